//! Going back from commits that do not become healthy, and as people ask; quarantine, and how it ends.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use reconcile::gitops::manage::{Sources, Status};
use reconcile::gitops::report::Verdict;
use reconcile::gitops::{self, Budget, Config};
use serde_json::json;

use super::harness::{Following, World, config_map, eventually, pod, problems};
use super::remotes::Upstream;
use crate::support::git::Repository;

const PATIENCE: Duration = Duration::from_secs(20);

/// A deadline that no test waits for.
const LATER: Duration = Duration::from_secs(3600);

/// One that is over before anybody looks.
const AT_ONCE: Duration = Duration::from_millis(1);

fn config(world: &World, health_timeout: Duration) -> Config {
    Config {
        rollback: true,
        health_timeout,
        min_ready: Duration::ZERO,
        ..world.config()
    }
}

async fn status(world: &World) -> Status {
    let sources = Sources::new(world.client.clone());
    sources.statuses(None).await.expect("statuses").remove(0)
}

/// What the kubelet says of a pod that runs.
async fn ready(world: &World, name: &str) {
    let conditions = json!([{"type": "Ready", "status": "True"}]);
    world
        .merge_status(name, json!({"phase": "Running", "conditions": conditions}))
        .await;
}

async fn fail(world: &World, name: &str) {
    let ended = json!([{"name": "main", "image": "busybox:1.36", "imageID": "", "ready": false, "restartCount": 0,
        "state": {"terminated": {"exitCode": 3, "reason": "Error"}}}]);
    world
        .merge_status(name, json!({"phase": "Failed", "containerStatuses": ended}))
        .await;
}

/// Waits until the pod is the one of that greeting.
async fn greets(world: &World, following: &Following, greeting: &str) {
    eventually(format!("web says {greeting}"), async || {
        let found = world.get("Pod", "web").await;
        let said = found
            .as_ref()
            .map(|pod| pod["spec"]["containers"][0]["env"][0]["value"].clone());
        match said {
            Some(said) if said == greeting => Ok(()),
            other => Err(format!("{other:?}\n{}", following.text())),
        }
    })
    .await;
}

/// Waits until that commit is the last healthy one.
async fn healthy(world: &World, following: &Following, commit: &str) {
    eventually("it is healthy", async || match status(world).await.record.healthy {
        Some(known) if known.revision.id() == commit => Ok(()),
        other => Err(format!("{other:?}\n{}", following.text())),
    })
    .await;
}

async fn quarantined(world: &World, following: &Following, commit: Option<&str>) {
    eventually(format!("{commit:?} is quarantined"), async || {
        let quarantine = status(world).await.record.quarantine;
        match quarantine.as_ref().map(|known| known.revision.id()) == commit {
            true => Ok(()),
            false => Err(format!("{quarantine:?}\n{}", following.text())),
        }
    })
    .await;
}

fn told(following: &Following, part: &str) -> usize {
    following.text().matches(part).count()
}

/// A repository whose first commit, a pod, is healthy.
async fn good(world: &World, health_timeout: Duration) -> (Repository, String, Following) {
    let repository = Repository::init(&world.source());
    world.write("web.yaml", &pod("web", "one"));
    let good = repository.commit("good");
    let following = world.follow_with(config(world, health_timeout));
    greets(world, &following, "one").await;
    ready(world, "web").await;
    healthy(world, &following, &good).await;
    (repository, good, following)
}

#[tokio::test]
async fn what_is_not_healthy_in_time_is_gone_back_from_also_over_restarts() {
    let world = World::new().await;
    let (repository, good, following) = good(&world, LATER).await;
    world.write("web.yaml", &pod("web", "two"));
    world.write("more.yaml", &config_map("more", "1"));
    let bad = repository.commit("bad");
    greets(&world, &following, "two").await;
    eventually("it is applied", async || {
        let applied = status(&world)
            .await
            .record
            .revision
            .map(|revision| revision.id().to_owned());
        (applied.as_deref() == Some(bad.as_str()))
            .then_some(())
            .ok_or(format!("{applied:?}"))
    })
    .await;
    assert_eq!(status(&world).await.record.quarantine, None, "it has time yet");
    following.stop().await;

    // The deadline counts from when it was applied first, by whichever process.
    let following = world.follow_with(config(&world, AT_ONCE));
    following.said("rolledBack").await;
    greets(&world, &following, "one").await;
    quarantined(&world, &following, Some(&bad)).await;
    eventually("what came with it goes", async || {
        match world.names("ConfigMap").await {
            names if names.is_empty() => Ok(()),
            names => Err(format!("{names:?}")),
        }
    })
    .await;
    let after = status(&world).await;
    let quarantine = after.record.quarantine.as_ref().expect("a quarantine");
    assert_eq!(
        (quarantine.instead.id.as_str(), &quarantine.pinned),
        (good.as_str(), &None)
    );
    assert!(
        quarantine.reason.contains("Pod default/web (Pending)"),
        "{quarantine:?}"
    );
    assert!(!after.is_in_sync(), "the source is at something else");
    following.stop().await;

    // What is gone back to is kept up after a restart too, and what comes next is applied.
    let following = world.follow_with(config(&world, LATER));
    following.said("synced").await;
    greets(&world, &following, "one").await;
    world.delete("Pod", "web").await;
    greets(&world, &following, "one").await;
    world.remove("web.yaml");
    let next = repository.commit("next");
    quarantined(&world, &following, None).await;
    healthy(&world, &following, &next).await;
    assert_eq!(world.names("ConfigMap").await, ["more"]);
    let record = status(&world).await.record;
    let seen: Vec<_> = record
        .history
        .iter()
        .map(|past| {
            (
                past.revision.id(),
                past.healthy_at.is_some(),
                past.quarantined.is_some(),
            )
        })
        .collect();
    assert_eq!(
        seen,
        [
            (next.as_str(), true, false),
            (&good, false, false),
            (&bad, false, true),
            (&good, true, false)
        ]
    );
    following.stop().await;
}

#[tokio::test]
async fn what_fails_is_gone_back_from_at_once_and_only_once() {
    let world = World::new().await;
    let (repository, _, following) = good(&world, LATER).await;
    world.write("web.yaml", &pod("web", "two"));
    let bad = repository.commit("bad");
    greets(&world, &following, "two").await;
    fail(&world, "web").await;
    following
        .said("Pod default/web: Failed: container main ended with exit code 3 (Error)")
        .await;
    greets(&world, &following, "one").await;
    // That does not do either, and there is nothing else.
    fail(&world, "web").await;
    following.said("it is what was gone back to").await;
    quarantined(&world, &following, Some(&bad)).await;
    assert_eq!(told(&following, "rolledBack"), 1, "{}", following.text());
    ready(&world, "web").await;
    eventually("it is well again", async || match status(&world).await.record.stays {
        None => Ok(()),
        other => Err(format!("{other:?}")),
    })
    .await;
    // Whoever thinks that it will do now can try it again.
    Sources::new(world.client.clone())
        .suspend(None, false)
        .await
        .expect("resumed");
    greets(&world, &following, "two").await;
    quarantined(&world, &following, None).await;
    following.stop().await;
}

#[tokio::test]
async fn without_a_healthy_revision_nothing_is_gone_back_to() {
    let world = World::new().await;
    let repository = Repository::init(&world.source());
    world.write("web.yaml", &pod("web", "one"));
    repository.commit("never healthy");
    let following = world.follow_with(config(&world, AT_ONCE));
    following.said("no revision before it was seen healthy").await;
    world.write("web.yaml", &pod("web", "two"));
    repository.commit("nor this");
    greets(&world, &following, "two").await;
    eventually("both are told", async || match told(&following, "is not rolled back") {
        2 => Ok(()),
        other => Err(format!("{other}: {}", following.text())),
    })
    .await;
    let sources = Sources::new(world.client.clone());
    let after = sources.sync(None, PATIENCE).await.expect("synced");
    assert!(after.record.stays.is_some() && after.record.quarantine.is_none());
    following.stop().await;
    let following = world.follow_with(config(&world, AT_ONCE));
    following.said("synced").await;
    sources.sync(None, PATIENCE).await.expect("synced");
    assert_eq!(told(&following, "is not rolled back"), 0, "{}", following.text());
    following.stop().await;
}

#[tokio::test]
async fn a_healthy_commit_outlives_its_branch() {
    let world = World::new().await;
    let upstream = Upstream::new(&world.path(""));
    upstream.write("web.yaml", pod("web", "one").as_bytes());
    let good = upstream.push("good");
    let mut config = config(&world, LATER);
    config.source = format!("file://{}", upstream.bare.path.display());
    config.interval = Duration::from_millis(100);
    let following = world.follow_with(config.clone());
    greets(&world, &following, "one").await;
    ready(&world, "web").await;
    healthy(&world, &following, &good).await;

    upstream.write("web.yaml", pod("web", "two").as_bytes());
    upstream.work.git(&["commit", "-aq", "--amend", "-m", "bad"]);
    upstream.work.git(&["push", "-q", "--force", "origin", "main"]);
    let bad = upstream.work.git(&["rev-parse", "HEAD"]).trim().to_owned();
    greets(&world, &following, "two").await;
    for repository in [&upstream.bare, &clone_of(&world)] {
        repository.git(&["reflog", "expire", "--expire=now", "--all"]);
        repository.git(&["gc", "-q", "--prune=now"]);
    }
    fail(&world, "web").await;
    greets(&world, &following, "one").await;
    quarantined(&world, &following, Some(&bad)).await;
    following.stop().await;

    // Where it is nowhere any more, this is said and everything stays.
    std::fs::remove_dir_all(clone_of(&world).path).expect("removed");
    let following = world.follow_with(config);
    following.said(&good[..7]).await;
    following.said("retrying").await;
    greets(&world, &following, "one").await;
    following.stop().await;
}

fn clone_of(world: &World) -> Repository {
    let mut clones = std::fs::read_dir(world.path("data/sources")).expect("clones");
    let path = clones.next().expect("a clone").expect("readable").path();
    Repository { path }
}

async fn value(world: &World) -> String {
    let found = world.get("ConfigMap", "a").await.expect("a");
    found["data"]["key"].as_str().expect("text").to_owned()
}

/// Waits until `a` has that value.
async fn shows(world: &World, following: &Following, expected: &str) {
    eventually(expected, async || match value(world).await {
        value if value == expected => Ok(()),
        value => Err(format!("{value}: {}", following.text())),
    })
    .await;
}

/// A repository with a commit for each value of `a`.
fn values(world: &World, repository: &Repository, values: &[&str]) -> Vec<String> {
    let commit = |value: &&str| {
        world.write("a.yaml", &config_map("a", value));
        repository.commit(value)
    };
    values.iter().map(commit).collect()
}

#[tokio::test]
async fn people_go_back_to_a_hash_a_tag_or_the_beginning_of_a_hash() {
    let world = World::new().await;
    let sources = Sources::new(world.client.clone());
    let repository = Repository::init(&world.source());
    let commits = values(&world, &repository, &["1", "2", "3"]);
    repository.git(&["tag", "-m", "second", "v2", &commits[1]]);
    let following = world.follow();
    following.said("synced").await;
    for (wanted, expected) in [(&commits[0][..7], "1"), ("v2", "2"), (commits[0].as_str(), "1")] {
        let status = sources.rollback(wanted, None, PATIENCE).await.expect(wanted);
        assert!(status.is_applied() && !status.is_in_sync(), "{status:?}");
        let quarantine = status.record.quarantine.expect("a quarantine");
        assert_eq!(quarantine.revision.id(), commits[2]);
        assert_eq!(quarantine.pinned.as_deref(), Some(wanted));
        assert_eq!(quarantine.reason, "rolled back by hand");
        assert_eq!(value(&world).await, expected, "{wanted}");
    }
    for (wanted, reason) in [
        (
            "nope",
            "has no branch, tag or commit nope (branches: main; tags: v2); give a hash or the beginning of one, a branch or a tag; applied before: ",
        ),
        (&commits[2][..7], "is what the source is at"),
    ] {
        let error = sources
            .rollback(wanted, None, PATIENCE)
            .await
            .expect_err(wanted)
            .to_string();
        assert!(error.contains(reason), "{error}");
        let status = status(&world).await;
        let pinned = status.record.quarantine.and_then(|known| known.pinned);
        assert_eq!(pinned.as_ref(), Some(&commits[0]), "nothing changes");
        assert_eq!(value(&world).await, "1");
    }
    // A sync goes where the follower is, and does not pass for one of the source's own revision.
    let once = world.sync().await;
    let found = problems(&once.problems);
    assert!(
        matches!(found.as_slice(), [one] if one.contains("the source's own revision is not applied: rolled back to")),
        "{found:?}"
    );
    assert_eq!(value(&world).await, "1");
    let plan = world.dry_run().await;
    assert_eq!(plan.verdict(), Verdict::Same, "{plan:?}");
    assert!(
        plan.notices.iter().any(|notice| notice.contains("by hand")),
        "{:?}",
        plan.notices
    );
    world.write("a.yaml", &config_map("a", "4"));
    assert_eq!(world.dry_run().await.verdict(), Verdict::Differs, "the next commit");

    sources.suspend(None, false).await.expect("resumed");
    shows(&world, &following, "3").await;
    sources.rollback("v2", None, PATIENCE).await.expect("gone back");
    shows(&world, &following, "2").await;
    repository.commit("newer");
    shows(&world, &following, "4").await;
    quarantined(&world, &following, None).await;
    let parent = status(&world).await.parent;
    let parent = world
        .get_in("ConfigMap", Some("kube-system"), &parent)
        .await
        .expect("a parent");
    assert_eq!(parent["metadata"]["annotations"].get("reconcile.dev/pinned"), None);
    assert!(status(&world).await.is_in_sync());
    following.stop().await;
}

#[tokio::test]
async fn people_go_back_though_the_remote_does_not_answer() {
    let world = World::new().await;
    let sources = Sources::new(world.client.clone());
    let upstream = Upstream::new(&world.path(""));
    let mut config = world.config();
    config.source = format!("file://{}", upstream.bare.path.display());
    let following = world.follow_with(config);
    following.said("synced").await;
    upstream.work.git(&["tag", "-m", "first", "v1"]);
    upstream.write("a.yaml", config_map("a", "2").as_bytes());
    upstream.push("second");
    upstream.work.git(&["push", "-q", "origin", "v1"]);
    sources.sync(None, PATIENCE).await.expect("synced");
    assert_eq!(value(&world).await, "2");
    sources
        .rollback("v1", None, PATIENCE)
        .await
        .expect("a tag of the remote");
    assert_eq!(value(&world).await, "1");
    sources.suspend(None, false).await.expect("resumed");
    sources.sync(None, PATIENCE).await.expect("synced");
    assert_eq!(value(&world).await, "2");

    let first = status(&world)
        .await
        .record
        .history
        .back()
        .expect("the first")
        .revision
        .id()
        .to_owned();
    std::fs::rename(&upstream.bare.path, world.path("aside")).expect("moved");
    let status = sources.rollback(&first[..7], None, PATIENCE).await.expect("known");
    assert!(status.record.quarantine.is_some(), "{status:?}");
    assert_eq!(value(&world).await, "1");
    let error = sources.rollback("v9", None, PATIENCE).await.expect_err("unknown");
    assert!(error.to_string().contains("applied before"), "{error}");
    following.stop().await;
}

#[tokio::test]
async fn a_directory_has_nothing_to_go_back_to() {
    let world = World::new().await;
    world.write("a.yaml", &config_map("a", "1"));
    let error = gitops::check(&config(&world, LATER))
        .expect_err("a directory")
        .to_string();
    assert!(
        error.contains("is no git source; give the root of the work tree"),
        "{error}"
    );
    let following = world.follow();
    following.said("synced").await;
    let sources = Sources::new(world.client.clone());
    let error = sources.rollback("v1", None, PATIENCE).await.expect_err("a directory");
    assert!(error.to_string().contains("only git keeps them"), "{error}");
    assert!(status(&world).await.is_in_sync());
    following.stop().await;
}

#[tokio::test]
async fn going_back_deletes_no_more_than_any_sync() {
    let mut world = World::new().await;
    world.budget = Budget::default();
    let (repository, _, following) = good(&world, LATER).await;
    for number in 0..8 {
        world.write(&format!("{number}.yaml"), &config_map(&format!("m{number}"), "1"));
    }
    world.write("web.yaml", &pod("web", "two"));
    repository.commit("bad");
    greets(&world, &following, "two").await;
    fail(&world, "web").await;
    greets(&world, &following, "one").await;
    eventually("it waits", async || match status(&world).await.record.approval {
        Some(approval) if approval.deletes == 8 => Ok(()),
        other => Err(format!("{other:?}\n{}", following.text())),
    })
    .await;
    assert_eq!(world.names("ConfigMap").await.len(), 8);
    Sources::new(world.client.clone())
        .approve(None)
        .await
        .expect("approved");
    eventually("they go", async || match world.names("ConfigMap").await {
        names if names.is_empty() => Ok(()),
        names => Err(format!("{names:?}")),
    })
    .await;
    following.stop().await;
}

#[tokio::test]
async fn members_are_listed_once_a_round_though_their_health_is_looked_at() {
    let (lists, rounds): (Arc<AtomicUsize>, Arc<AtomicUsize>) = Default::default();
    let counters = (Arc::clone(&lists), Arc::clone(&rounds));
    let world = World::behind(|router| {
        router.layer(axum::middleware::map_request(move |request: axum::extract::Request| {
            let query = request.uri().query().unwrap_or_default();
            let path = request.uri().path();
            let is_read = request.method() == http::Method::GET && !query.contains("watch=");
            if is_read && path == "/api/v1/pods" && query.contains("part-of") {
                counters.0.fetch_add(1, Ordering::SeqCst);
            }
            if is_read && path.starts_with("/api/v1/namespaces/kube-system/configmaps/reconcile-") {
                counters.1.fetch_add(1, Ordering::SeqCst);
            }
            std::future::ready(request)
        }))
    })
    .await;
    let repository = Repository::init(&world.source());
    world.write("p.yaml", &pod("p", "hello"));
    repository.commit("a pod");
    let following = world.follow_with(config(&world, LATER));
    following.said("\"synced\"").await;
    // The watches have begun with lists of their own by the time that a later round has ended.
    for name in ["a", "b", "c", "d"] {
        world.write(&format!("{name}.yaml"), &config_map(name, "1"));
        repository.commit(name);
        following.said(&format!("\"name\":\"{name}\"")).await;
        if name == "a" {
            lists.store(0, Ordering::SeqCst);
            rounds.store(0, Ordering::SeqCst);
        }
    }
    let (listed, read) = (lists.load(Ordering::SeqCst), rounds.load(Ordering::SeqCst));
    // A round may have begun before the counting did.
    assert!(listed > 0 && listed <= read + 1, "{listed} lists in {read} rounds");
    following.stop().await;
}
