//! `.reconcileignore` and `--ignore`: what is left out is as if it were absent, wherever the source is.

use super::harness::{World, actions, config_map, problems};
use crate::support::git::Repository;

fn write_all(world: &World) {
    for name in ["a", "b"] {
        world.write(&format!("apps/{name}.yaml"), &config_map(name, "1"));
        world.write(
            &format!("drafts/draft-{name}.yaml"),
            &config_map(&format!("draft-{name}"), "1"),
        );
    }
    world.write(".reconcileignore", "# not yet\ndrafts/\n");
}

#[tokio::test]
async fn what_becomes_ignored_has_left_the_source() {
    for is_repository in [false, true] {
        let world = World::new().await;
        let repository = is_repository.then(|| Repository::init(&world.source()));
        let save = || {
            if let Some(repository) = &repository {
                repository.commit("saved");
            }
        };
        write_all(&world);
        save();
        let mut config = world.config();
        world.sync_with(&config).await;
        assert_eq!(world.names("ConfigMap").await, ["a", "b"]);

        // A list that cannot be read keeps what there is, and lets in nothing that it may have kept out.
        world.write("drafts/.reconcileignore", "x[\n");
        world.write("apps/.reconcileignore", "b.yaml\nx[\n");
        world.write(".reconcileignore", "");
        save();
        let outcome = world.sync_with(&config).await;
        assert_eq!(world.names("ConfigMap").await, ["a", "b"]);
        let said = problems(&outcome.problems);
        assert!(
            said[0].starts_with("apps/.reconcileignore: \"x[\" is no pattern"),
            "{said:?}"
        );
        assert!(said[1].starts_with("drafts/.reconcileignore"), "{said:?}");

        world.write("drafts/.reconcileignore", "*\n!draft-b.yaml\n");
        world.write("apps/.reconcileignore", "b.yaml\n");
        let on_disk = ["delete configmap/b", "create configmap/draft-b"];
        let mut planned = actions(&world.dry_run_with(&config).await);
        planned.sort();
        let mut wanted = on_disk.map(String::from).to_vec();
        wanted.sort();
        assert!(
            planned.iter().filter(|line| !line.starts_with("keep")).eq(&wanted),
            "{planned:?}"
        );
        save();
        world.sync_with(&config).await;
        assert_eq!(
            world.names("ConfigMap").await,
            ["a", "draft-b"],
            "repository: {is_repository}"
        );

        config.ignore = vec!["drafts/".into()];
        world.sync_with(&config).await;
        assert_eq!(world.names("ConfigMap").await, ["a"]);
        // A folder of it: the lists above it hold there as well.
        world.write(".reconcileignore", "/apps/a.yaml\n");
        world.write("apps/.reconcileignore", "");
        save();
        config.path = Some("apps".into());
        let snapshot = world.dry_run_with(&config).await;
        assert!(
            actions(&snapshot).iter().all(|line| !line.contains("configmap/a")),
            "{snapshot:?}"
        );
        assert!(
            actions(&snapshot).contains(&"create configmap/b".to_owned()),
            "{snapshot:?}"
        );
    }
}

#[tokio::test]
async fn a_pattern_that_is_none_is_refused() {
    let world = World::new().await;
    let mut config = world.config();
    config.ignore = vec!["a[".into()];
    let error = world.try_sync(&config).await.expect_err("refused").to_string();
    assert!(error.starts_with("--ignore: \"a[\" is no pattern"), "{error}");
}
