//! Git sources: work trees, bare repositories and remotes, with the real git.

use std::time::Duration;

use reconcile::gitops::report::{Revision, Verdict};

use super::harness::{World, actions, config_map, eventually, exists, pod};
use crate::support::git::Repository;

fn repository(world: &World) -> Repository {
    Repository::init(&world.source())
}

fn id(revision: &Revision) -> &str {
    match revision {
        Revision::Commit(commit) => &commit.id,
        other => panic!("{other:?} is no commit"),
    }
}

#[tokio::test]
async fn the_commit_is_applied_and_the_files_are_previewed() {
    let world = World::new().await;
    let repository = repository(&world);
    world.write("a.yaml", &config_map("a", "1"));
    world.write(".gitignore", "ignored.yaml\nbuild/\n");
    let commit = repository.commit("first commit\n\nwith more");
    world.write("b.yaml", &config_map("b", "1"));
    world.write("ignored.yaml", "a: [");
    world.write("build/x.yaml", "a: [");
    world.write("a.yaml", &config_map("a", "2"));
    world.write(".hidden.yaml", "a: [");

    let outcome = world.sync().await;
    assert_eq!(id(&outcome.revision), commit);
    assert_eq!(world.names("ConfigMap").await, ["a"]);
    let plan = world.dry_run().await;
    assert_eq!(
        actions(&plan),
        ["create configmap/b", "update configmap/a"]
            .map(String::from)
            .iter()
            .rev()
            .cloned()
            .collect::<Vec<_>>()
    );
    let Revision::WorkTree { head, uncommitted } = &plan.revision else {
        panic!("{:?}", plan.revision)
    };
    let head = head.as_ref().expect("a commit");
    assert_eq!(
        (head.id.as_str(), head.reference.as_deref(), head.subject.as_str()),
        (commit.as_str(), Some("main"), "first commit")
    );
    let changed: Vec<String> = uncommitted
        .iter()
        .map(|file| format!("{} {}", file.state, file.path))
        .collect();
    assert_eq!(changed, ["new .hidden.yaml", "modified a.yaml", "new b.yaml"]);

    let mut config = world.config();
    config.reference = Some("HEAD".into());
    assert_eq!(
        world.dry_run_with(&config).await.verdict(),
        Verdict::Same,
        "with --ref the commit is previewed"
    );
}

#[tokio::test]
async fn a_repository_without_a_commit_says_so_and_can_be_previewed() {
    let world = World::new().await;
    repository(&world);
    world.write("a.yaml", &config_map("a", "1"));
    let error = world.try_sync(&world.config()).await.expect_err("no commit");
    assert!(error.to_string().contains("has no commit yet"), "{error}");
    assert_eq!(actions(&world.dry_run().await), ["create configmap/a"]);
}

#[tokio::test]
async fn every_kind_of_reference_is_understood() {
    let world = World::new().await;
    let repository = repository(&world);
    world.write("a.yaml", &config_map("a", "1"));
    let first = repository.commit("first");
    repository.git(&["tag", "light"]);
    repository.git(&["tag", "-m", "annotated", "v1"]);
    repository.git(&["checkout", "-q", "-b", "feature/x"]);
    world.write("a.yaml", &config_map("a", "2"));
    let second = repository.commit("second");
    repository.git(&["update-ref", "refs/remotes/origin/theirs", &second]);
    repository.git(&["checkout", "-q", "main"]);
    for (reference, expected) in [
        ("main", &first),
        ("light", &first),
        ("v1", &first),
        ("feature/x", &second),
        ("refs/heads/feature/x", &second),
        ("origin/theirs", &second),
        ("theirs", &second),
        (&second[..], &second),
        (&second[..8], &second),
    ] {
        let mut config = world.config();
        config.reference = Some(reference.to_owned());
        assert_eq!(id(&world.sync_with(&config).await.revision), expected, "{reference}");
    }
    let mut config = world.config();
    config.reference = Some("nope".into());
    let error = world.try_sync(&config).await.expect_err("unknown").to_string();
    assert!(
        error.contains("no branch, tag or commit nope (branches: feature/x, main; tags: v1, light)"),
        "{error}"
    );
}

#[tokio::test]
async fn folders_links_and_submodules_in_a_commit() {
    let world = World::new().await;
    let repository = repository(&world);
    world.write("apps/a.yaml", &config_map("a", "1"));
    world.write("apps/.hidden/x.yaml", "a: [");
    world.write("base/b.yaml", &config_map("b", "1"));
    std::os::unix::fs::symlink("../base", world.source().join("apps/base")).expect("linked");
    std::os::unix::fs::symlink("/etc/passwd", world.source().join("apps/out.yaml")).expect("linked");
    repository.commit("links");
    let mut config = world.config();
    config.path = Some("apps".into());
    let outcome = world.sync_with(&config).await;
    assert_eq!(world.names("ConfigMap").await, ["a", "b"]);
    assert!(
        outcome.problems[0]
            .to_string()
            .starts_with("out.yaml: a link that leads out"),
        "{outcome:?}"
    );
    config.path = Some("nope".into());
    let error = world.try_sync(&config).await.expect_err("no folder").to_string();
    assert!(error.contains("has no folder nope"), "{error}");
}

#[tokio::test]
async fn a_folder_of_a_work_tree_is_a_directory_unless_a_reference_is_given() {
    let world = World::new().await;
    let repository = repository(&world);
    world.write("apps/a.yaml", &config_map("a", "1"));
    world.write("other.yaml", &config_map("other", "1"));
    repository.commit("first");
    world.write("apps/b.yaml", &config_map("b", "1"));
    let mut config = world.config();
    config.source = world.source().join("apps").display().to_string();
    world.sync_with(&config).await;
    assert_eq!(world.names("ConfigMap").await, ["a", "b"]);
    config.reference = Some("main".into());
    let plan = world.dry_run_with(&config).await;
    assert_eq!(
        actions(&plan),
        ["delete configmap/b"],
        "the same set, as of the commit: {plan:?}"
    );
}

#[tokio::test]
async fn a_commit_is_applied_at_once_and_a_saved_file_is_not() {
    let world = World::new().await;
    let repository = repository(&world);
    world.write("a.yaml", &config_map("a", "1"));
    repository.commit("first");
    let following = world.follow();
    following.said("synced").await;
    world.write("b.yaml", &config_map("b", "1"));
    world.write("web.yaml", &pod("web", "hello"));
    assert_eq!(world.names("ConfigMap").await, ["a"]);
    let started = std::time::Instant::now();
    repository.commit("second");
    let committed = started.elapsed();
    eventually("b is there", async || {
        world.get("ConfigMap", "b").await.ok_or_else(|| following.text())
    })
    .await;
    println!("commit took {committed:?}, applied after {:?}", started.elapsed());

    for (step, arguments) in [
        ("amend", vec!["commit", "-q", "--amend", "-m", "again"]),
        ("pack", vec!["pack-refs", "--all"]),
        ("branch", vec!["checkout", "-q", "-b", "other"]),
    ] {
        repository.git(&arguments);
        world.write("c.yaml", &config_map(&format!("after-{step}"), "1"));
        repository.commit(step);
        let name = format!("after-{step}");
        eventually(step, async || {
            world.get("ConfigMap", &name).await.ok_or_else(|| following.text())
        })
        .await;
    }
    repository.git(&["checkout", "-q", "main"]);
    eventually("back on main", async || match world.names("ConfigMap").await {
        names if names == ["a", "after-pack", "b"] => Ok(()),
        names => Err(format!("{names:?}\n{}", following.text())),
    })
    .await;
    following.stop().await;
}

#[tokio::test]
async fn a_bare_repository_is_followed_at_its_reference() {
    let world = World::new().await;
    let bare = Repository::init_bare(&world.path("bare.git"));
    let work = Repository::init(&world.path("work"));
    work.git(&["remote", "add", "origin", bare.path.to_str().expect("text")]);
    std::fs::write(world.path("work/a.yaml"), config_map("a", "1")).expect("written");
    work.commit("first");
    work.git(&["push", "-q", "origin", "main:live"]);
    let mut config = world.config();
    config.source = bare.path.display().to_string();
    config.reference = Some("live".into());
    let following = world.follow_with(config);
    following.said("synced").await;
    std::fs::write(world.path("work/b.yaml"), config_map("b", "1")).expect("written");
    work.commit("second");
    work.git(&["push", "-q", "origin", "main:live"]);
    eventually("b is there", async || {
        world.get("ConfigMap", "b").await.ok_or_else(|| following.text())
    })
    .await;
    following.stop().await;
}

#[tokio::test]
async fn a_remote_is_polled_and_survives_force_pushes_and_outages() {
    let world = World::new().await;
    let bare = Repository::init_bare(&world.path("bare.git"));
    let work = Repository::init(&world.path("work"));
    work.git(&["remote", "add", "origin", bare.path.to_str().expect("text")]);
    let write = |name: &str, text: &str| std::fs::write(world.path("work").join(name), text).expect("written");
    let push = || work.git(&["push", "-q", "--force", "origin", "main"]);
    write("a.yaml", &config_map("a", "1"));
    work.commit("first");
    push();
    let mut config = world.config();
    config.source = format!("file://{}", bare.path.display());
    config.interval = Duration::from_millis(100);
    let following = world.follow_with(config.clone());
    following.said("synced").await;
    write("b.yaml", &config_map("b", "1"));
    work.commit("second");
    push();
    eventually("b is there", async || {
        world.get("ConfigMap", "b").await.ok_or_else(|| following.text())
    })
    .await;

    write("c.yaml", &config_map("c", "1"));
    work.git(&["add", "-A"]);
    work.git(&["rm", "-q", "--cached", "b.yaml"]);
    work.git(&["commit", "-q", "--amend", "-m", "other"]);
    push();
    eventually("c instead of b", async || match world.names("ConfigMap").await {
        names if names == ["a", "c"] => Ok(()),
        names => Err(format!("{names:?}\n{}", following.text())),
    })
    .await;

    // Away: told once, nothing deleted, drift still repaired.
    std::fs::rename(&bare.path, world.path("gone.git")).expect("moved");
    following.said("retrying").await;
    world.delete("ConfigMap", "a").await;
    eventually("a is back", async || {
        world.get("ConfigMap", "a").await.ok_or_else(|| following.text())
    })
    .await;
    assert_eq!(world.names("ConfigMap").await, ["a", "c"]);
    std::fs::rename(world.path("gone.git"), &bare.path).expect("moved");
    write("d.yaml", &config_map("d", "1"));
    work.commit("third");
    push();
    eventually("d is there", async || {
        world.get("ConfigMap", "d").await.ok_or_else(|| following.text())
    })
    .await;
    following.stop().await;

    config.reference = Some(work.git(&["rev-parse", "--short", "HEAD~1"]).trim().to_owned());
    world.sync_with(&config).await;
    assert!(
        world.get("ConfigMap", "d").await.is_none(),
        "an abbreviated commit of a remote"
    );
    config.reference = Some("nope".into());
    let error = world.try_sync(&config).await.expect_err("no such branch").to_string();
    assert!(error.contains("no branch or tag nope (branches: main)"), "{error}");
    assert!(exists(&world.path("data/sources")));
}

#[tokio::test]
async fn a_truncated_repository_is_an_error_and_deletes_nothing() {
    let world = World::new().await;
    let repository = repository(&world);
    world.write("a.yaml", &config_map("a", "1"));
    world.write("b.yaml", &config_map("b", "1"));
    repository.commit("first");
    world.sync().await;
    world.remove("b.yaml");
    world.write("a.yaml", &config_map("a", "2"));
    repository.commit("second");
    let blob = repository.git(&["rev-parse", "HEAD:a.yaml"]).trim().to_owned();
    let object = world
        .source()
        .join(format!(".git/objects/{}/{}", &blob[..2], &blob[2..]));
    std::fs::remove_file(object).expect("removed");
    let outcome = world.sync().await;
    assert_eq!(outcome.counts.delete, 0, "{outcome:?}");
    assert!(outcome.problems[0].to_string().starts_with("a.yaml:"), "{outcome:?}");
    assert_eq!(world.names("ConfigMap").await, ["a", "b"]);
}

#[tokio::test]
async fn a_hundred_commits_in_a_row_end_at_the_last() {
    let world = World::new().await;
    let repository = repository(&world);
    world.write("a.yaml", &config_map("a", "0"));
    repository.commit("0");
    let following = world.follow();
    following.said("synced").await;
    let script = format!(
        "for number in $(seq 100); do echo '{}' | sed s/VALUE/v$number/ > a.yaml; git -c user.name=a -c user.email=a commit -qam $number; done",
        config_map("a", "VALUE")
    );
    let ended = std::process::Command::new("sh")
        .current_dir(&repository.path)
        .args(["-ec", &script])
        .status();
    assert!(ended.expect("a shell").success());
    eventually("the last", async || match world.get("ConfigMap", "a").await {
        Some(object) if object["data"]["key"] == "v100" => Ok(()),
        other => Err(format!("{other:?}")),
    })
    .await;
    following.stop().await;
}
