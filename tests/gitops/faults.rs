//! What goes wrong with sources and clusters, and that nothing is deleted because of it.

use std::path::Path;

use reconcile::gitops;
use reconcile::gitops::report::Verdict;
use serde_json::json;

use super::harness::{World, actions, config_map, pod, problems};

/// A source of three objects, synced.
async fn synced() -> World {
    let world = World::new().await;
    world.write("one.yaml", &config_map("one", "1"));
    world.write("two.yaml", &config_map("two", "2"));
    world.write("web.yaml", &pod("web", "hello"));
    world.sync().await;
    world
}

async fn all_there(world: &World, case: &str) {
    assert_eq!(world.names("ConfigMap").await, ["one", "two"], "{case}");
    assert_eq!(world.names("Pod").await, ["web"], "{case}");
}

#[tokio::test]
async fn broken_files_delete_nothing() {
    let world = synced().await;
    let good = std::fs::read_to_string(world.source().join("one.yaml")).expect("read");
    for (case, text) in [
        ("bad YAML", "a: [".to_owned()),
        ("half written", good[..good.len() / 2].to_owned()),
        ("half a key", good[..good.len() - 3].to_owned()),
        ("emptied", String::new()),
        ("a kind with a typo", good.replace("ConfigMap", "ConfigMapp")),
        ("a version with a typo", good.replace("v1", "v11")),
        ("a group with a typo", good.replace("v1", "core/v1")),
        ("no name", good.replace("  name: one\n", "  labels: {}\n")),
        ("a number as name", good.replace("name: one", "name: 1")),
        ("a tab", good.replace("  key", "\tkey")),
        ("a duplicate key", good.clone() + "kind: ConfigMap\n"),
        ("binary", "\u{0}\u{1}\u{2}".to_owned()),
        (
            "a merge conflict",
            format!("<<<<<<< HEAD\n{good}=======\n{good}>>>>>>> other\n"),
        ),
        ("an alias bomb", bomb()),
        ("an object twice", format!("{good}---\n{good}")),
        ("an unknown field", good.clone() + "dta: {}\n"),
        ("a wrong type", good.replace("key: \"1\"", "key: [1]")),
    ] {
        world.write("one.yaml", &text);
        let outcome = world.sync().await;
        assert_eq!(outcome.counts.delete, 0, "{case}: {outcome:?}");
        all_there(&world, case).await;
        if case != "emptied" {
            let found = problems(&outcome.problems);
            assert!(
                found.iter().any(|problem| problem.starts_with("one.yaml:")),
                "{case}: {found:?}"
            );
            assert_eq!(world.dry_run().await.verdict(), Verdict::Error, "{case}");
        }
        world.write("one.yaml", &good);
        assert_eq!(world.sync().await.counts.changes(), 0, "{case}: and back");
    }
}

fn bomb() -> String {
    let mut text = "a0: &a0 [lol]\n".to_owned();
    for level in 1..30 {
        let below = level - 1;
        text += &format!("a{level}: &a{level} [*a{below}, *a{below}, *a{below}]\n");
    }
    text
}

#[tokio::test]
async fn invalid_utf8_and_utf16_delete_nothing() {
    let world = synced().await;
    for bytes in [b"\xff\xfeo\0n\0e\0".as_slice(), b"kind: \xc3\x28".as_slice()] {
        std::fs::write(world.source().join("one.yaml"), bytes).expect("written");
        let outcome = world.sync().await;
        assert_eq!(outcome.counts.delete, 0);
        assert!(problems(&outcome.problems)[0].contains("not UTF-8"), "{outcome:?}");
        all_there(&world, "not UTF-8").await;
    }
}

#[tokio::test]
async fn a_huge_file_deletes_nothing() {
    let world = synced().await;
    std::fs::File::create(world.source().join("two.yaml"))
        .and_then(|file| file.set_len(100 << 20))
        .expect("grown");
    let started = std::time::Instant::now();
    let outcome = world.sync().await;
    assert!(started.elapsed().as_secs() < 5);
    assert!(
        problems(&outcome.problems)[0].starts_with("two.yaml: the file has 104857600 bytes"),
        "{outcome:?}"
    );
    world.remove("one.yaml");
    assert_eq!(world.sync().await.counts.delete, 0, "not everything was read");
    all_there(&world, "huge").await;
}

#[tokio::test]
async fn an_empty_source_deletes_nothing_and_says_so() {
    let world = synced().await;
    for file in ["one.yaml", "two.yaml", "web.yaml"] {
        world.remove(file);
    }
    let plan = world.dry_run().await;
    assert!(
        plan.notices.iter().any(|notice| notice.contains("no object at all")),
        "{plan:?}"
    );
    assert_eq!(
        actions(&plan),
        ["keep configmap/one", "keep configmap/two", "keep pod/web"]
    );
    world.write("comment.yaml", "# nothing yet\n");
    assert_eq!(world.sync().await.counts.keep, 3);
    all_there(&world, "empty").await;
}

#[tokio::test]
async fn a_vanished_source_is_an_error_and_deletes_nothing() {
    let world = synced().await;
    std::fs::rename(world.source(), world.path("away")).expect("moved");
    let error = world.try_sync(&world.config()).await.expect_err("gone");
    assert!(error.to_string().contains("no such file or directory"), "{error}");
    let mut config = world.config();
    std::fs::rename(world.path("away"), world.source()).expect("moved");
    config.path = Some("sub".into());
    world.try_sync(&config).await.expect_err("no such folder");
    all_there(&world, "vanished").await;
}

#[tokio::test]
async fn unreadable_links_block_all_deletes() {
    let world = synced().await;
    world.remove("one.yaml");
    std::os::unix::fs::symlink("/etc/hostname", world.source().join("link.yaml")).expect("linked");
    let outcome = world.sync().await;
    assert_eq!(outcome.counts.keep, 1, "{outcome:?}");
    all_there(&world, "a link out of the source").await;
    world.remove("link.yaml");
    assert_eq!(world.sync().await.counts.delete, 1);
}

#[tokio::test]
async fn other_files_go_on_beside_a_broken_one() {
    let world = synced().await;
    world.write("one.yaml", "a: [");
    world.write("three.yaml", &config_map("three", "3"));
    world.remove("two.yaml");
    let outcome = world.sync().await;
    assert_eq!(
        (outcome.counts.create, outcome.counts.delete, outcome.counts.keep),
        (1, 1, 1),
        "{outcome:?}"
    );
    assert_eq!(world.names("ConfigMap").await, ["one", "three"]);
}

#[tokio::test]
async fn protected_objects_and_unpruned_sources_keep_what_left() {
    let world = synced().await;
    world
        .merge(
            "ConfigMap",
            "one",
            json!({"metadata": {"annotations": {"reconcile.dev/prune": "disabled"}}}),
        )
        .await;
    world.remove("one.yaml");
    world.remove("two.yaml");
    let mut config = world.config();
    config.prune = false;
    assert_eq!(world.sync_with(&config).await.counts.keep, 2);
    let outcome = world.sync().await;
    assert_eq!((outcome.counts.keep, outcome.counts.delete), (1, 1));
    assert_eq!(world.names("ConfigMap").await, ["one"]);
}

#[tokio::test]
async fn what_was_never_owned_is_never_deleted() {
    let world = synced().await;
    world
        .create(json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "mine"}}))
        .await;
    // Released from the source by hand.
    world
        .merge(
            "ConfigMap",
            "one",
            json!({"metadata": {"labels": {"applyset.kubernetes.io/part-of": null}}}),
        )
        .await;
    world.remove("one.yaml");
    world.remove("two.yaml");
    assert_eq!(world.sync().await.counts.delete, 1);
    assert_eq!(world.names("ConfigMap").await, ["mine", "one"]);
}

#[tokio::test]
async fn flags_and_sources_that_cannot_work_are_refused_at_once() {
    let world = World::new().await;
    world.write("file.yaml", "x");
    type Change = fn(&mut gitops::Config, &Path);
    let cases: [(&str, Change, &str); 8] = [
        (
            "no such source",
            |config, _| config.source = "/no/such/place".into(),
            "no such file or directory",
        ),
        (
            "a file",
            |config, root| config.source = root.join("source/file.yaml").display().to_string(),
            "is a file",
        ),
        (
            "a reference without git",
            |config, _| config.reference = Some("main".into()),
            "needs a git repository",
        ),
        (
            "five cron fields",
            |config, _| config.schedules = vec!["* * * * *".into()],
            "seconds",
        ),
        (
            "a way out",
            |config, _| config.path = Some("../x".into()),
            "must lie below",
        ),
        (
            "absolute",
            |config, _| config.path = Some("/etc".into()),
            "must lie below",
        ),
        (
            "no interval",
            |config, _| config.interval = std::time::Duration::ZERO,
            "--interval",
        ),
        (
            "an unknown scheme",
            |config, _| config.source = "ftp://example.com/x".into(),
            "no such file",
        ),
    ];
    for (case, change, expected) in cases {
        let mut config = world.config();
        change(&mut config, &world.path(""));
        let error = gitops::check(&config).expect_err(case).to_string();
        assert!(error.contains(expected), "{case}: {error}");
    }
    gitops::check(&world.config()).expect("fine");
}

/// Ends a sync at every request it makes, as a crash would, and goes on from there.
#[tokio::test]
async fn a_sync_cut_off_anywhere_leaves_neither_orphans_nor_duplicates() {
    let world = World::new().await;
    let mut cut = 0;
    for round in 0..4 {
        for name in ["a", "b", "c", "d"] {
            world.write(
                &format!("{name}-{round}.yaml"),
                &config_map(&format!("{name}-{round}"), "1"),
            );
            world.write(
                &format!("pod-{name}.yaml"),
                &pod(&format!("pod-{name}"), &format!("round {round}")),
            );
            if round > 0 {
                world.remove(&format!("{name}-{}.yaml", round - 1));
            }
        }
        // Longer and longer, until one gets through.
        for polls in 1.. {
            let config = world.config();
            let sync = world.try_sync(&config);
            let mut sync = std::pin::pin!(sync);
            let mut left = polls * 7;
            let done = std::future::poll_fn(|context| {
                if left == 0 {
                    return std::task::Poll::Ready(false);
                }
                left -= 1;
                sync.as_mut().poll(context).map(|_| true)
            })
            .await;
            if done {
                break;
            }
            cut += 1;
            assert!(polls < 1000, "it never gets through");
        }
        let expected: Vec<String> = ["a", "b", "c", "d"]
            .iter()
            .map(|name| format!("{name}-{round}"))
            .collect();
        assert_eq!(world.names("ConfigMap").await, expected, "round {round}");
        assert_eq!(world.names("Pod").await, ["pod-a", "pod-b", "pod-c", "pod-d"]);
        assert_eq!(world.dry_run().await.verdict(), Verdict::Same);
    }
    assert!(cut > 10, "only {cut} syncs were cut off");
}
