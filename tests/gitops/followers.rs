//! Who follows a source: one process at a time, seen by people, and what becomes of a source that nobody follows.

use std::time::Duration;

use axum::extract::Request;
use axum::middleware::{Next, from_fn};
use axum::response::IntoResponse as _;
use jiff::Timestamp;
use reconcile::gitops::manage::{Sources, Status};
use reconcile::gitops::{Config, Error, FollowedBy, Presence, Report};
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

use super::harness::{Following, World, config_map, eventually};
use super::sources;

const PATIENCE: Duration = Duration::from_secs(20);

/// Following the source as a process of that name.
fn process(world: &World, name: &str) -> Config {
    Config {
        presence: Presence::new(name),
        ..world.config()
    }
}

async fn statuses(world: &World) -> Vec<Status> {
    let sources = Sources::new(world.client.clone());
    sources.statuses(None).await.expect("statuses")
}

async fn followed_by(world: &World) -> FollowedBy {
    statuses(world).await.remove(0).followed_by
}

fn by(name: &str) -> FollowedBy {
    FollowedBy::Process(name.to_owned())
}

/// Waits until the object says that.
async fn holds(world: &World, name: &str, value: &str, following: &Following) {
    eventually(format!("{name} is {value}"), async || {
        let found = world.get("ConfigMap", name).await;
        match found.as_ref().map(|found| &found["data"]["key"]) {
            Some(found) if found == value => Ok(()),
            other => Err(format!("{other:?}\n{}", following.text())),
        }
    })
    .await;
}

#[tokio::test]
async fn one_follows_and_the_other_stands_by_until_it_ends() {
    let world = World::new().await;
    world.write("a.yaml", &config_map("a", "1"));
    let first = world.follow_with(process(&world, "one"));
    first.said("synced").await;
    assert_eq!(followed_by(&world).await, by("one"));
    let second = world.follow_with(process(&world, "two"));
    second.said("one follows it; standing by until that one ends").await;
    world.write("a.yaml", &config_map("a", "2"));
    holds(&world, "a", "2", &first).await;
    assert_eq!(followed_by(&world).await, by("one"));
    first.stop().await;
    second.said("one does not follow it any more; this one does").await;
    world.write("a.yaml", &config_map("a", "3"));
    holds(&world, "a", "3", &second).await;
    assert_eq!(followed_by(&world).await, by("two"));
    let said = second.text().matches("standing by").count();
    assert_eq!(said, 1, "once: {}", second.text());
    second.stop().await;
    assert_eq!(followed_by(&world).await, FollowedBy::Nobody);
    let leases = reconcile::store::ListOptions::default();
    let leases = world.store.list("/registry/leases/kube-system/", leases).await;
    assert!(leases.expect("a list").items.is_empty(), "the leases are gone");
}

#[tokio::test]
async fn a_standby_takes_over_when_a_lease_is_over() {
    let world = World::new().await;
    world.write("a.yaml", &config_map("a", "1"));
    // A process that was killed: its lease is there, and is not renewed.
    let gone = process(&world, "gone");
    let lease = gone.presence.name().to_owned();
    let following = world.follow_with(gone);
    following.said("synced").await;
    following.abandon();
    world.lease(&lease, "gone", Timestamp::now(), 2).await;
    assert_eq!(followed_by(&world).await, by("gone"));
    let second = world.follow_with(process(&world, "two"));
    second.said("gone follows it; standing by").await;
    second.said("gone does not follow it any more; this one does").await;
    assert_eq!(followed_by(&world).await, by("two"));
    second.stop().await;
}

#[tokio::test]
async fn whoever_asks_is_told_when_the_follower_ended_without_a_word() {
    let world = World::new().await;
    world.write("a.yaml", &config_map("a", "1"));
    let config = process(&world, "one");
    let lease = config.presence.name().to_owned();
    let first = world.follow_with(config);
    first.said("synced").await;
    first.abandon();
    world.lease(&lease, "one", Timestamp::now(), 3).await;
    let sources = Sources::new(world.client.clone());
    let asked = sources.sync(None, Duration::from_secs(3600));
    let told = tokio::time::timeout(PATIENCE, asked)
        .await
        .expect("at once when its lease is over");
    let told = told.expect_err("nobody synced it");
    assert!(matches!(told, Error::NotFollowed(_)), "{told}");
}

#[tokio::test]
async fn a_process_that_starts_again_goes_on_at_once() {
    let world = World::new().await;
    world.write("a.yaml", &config_map("a", "1"));
    let config = process(&world, "one");
    let lease = config.presence.name().to_owned();
    let first = world.follow_with(config);
    first.said("synced").await;
    first.abandon();
    // A kill leaves it as it is.
    world.lease(&lease, "one", Timestamp::now(), 3600).await;
    assert_eq!(followed_by(&world).await, by("one"));
    let again = world.follow_with(process(&world, "one"));
    again.said("synced").await;
    assert!(!again.text().contains("standing by"), "{}", again.text());
    again.stop().await;
}

#[tokio::test]
async fn who_loses_a_source_stops_writing_to_it() {
    let world = World::new().await;
    world.write("a.yaml", &config_map("a", "1"));
    let first = world.follow_with(process(&world, "one"));
    first.said("synced").await;
    // Another process took it, as after a long pause of the first.
    let second = Presence::new("two");
    world.lease(second.name(), "two", Timestamp::now(), 3600).await;
    let claim = json!({"metadata": {"annotations": {"reconcile.dev/followed-by": second.name()}}});
    world.merge_parent(claim).await;
    first.said("two follows it; standing by").await;
    world.write("a.yaml", &config_map("a", "2"));
    world.write("b.yaml", &config_map("b", "1"));
    let done = world.sync().await;
    assert_eq!(
        (done.counts.update, done.counts.create),
        (1, 1),
        "the first did nothing"
    );
    assert_eq!(followed_by(&world).await, by("two"));
    first.stop().await;
    assert_eq!(
        followed_by(&world).await,
        by("two"),
        "it takes nothing from others when it ends"
    );
}

#[tokio::test]
async fn a_single_sync_says_that_somebody_follows() {
    let world = World::new().await;
    world.write("a.yaml", &config_map("a", "1"));
    let following = world.follow_with(process(&world, "one"));
    following.said("synced").await;
    let said = std::sync::Arc::new(std::sync::Mutex::new(String::new()));
    let sink = std::sync::Arc::clone(&said);
    let reporter = std::sync::Arc::new(move |report: Report| {
        let line = serde_json::to_string(&report).expect("JSON");
        sink.lock().expect("unpoisoned").push_str(&line);
    });
    let (config, stop) = (process(&world, "two"), CancellationToken::new());
    let outcome = reconcile::gitops::sync_once(world.client.clone(), &config, reporter, PATIENCE, stop).await;
    assert!(outcome.expect("it is not held up").success());
    let said = said.lock().expect("unpoisoned").clone();
    assert!(said.contains("one follows source as well"), "{said}");
    assert_eq!(followed_by(&world).await, by("one"));
    following.stop().await;
}

#[tokio::test]
async fn without_a_right_to_leases_it_is_said_once_and_followed_all_the_same() {
    let refuse = async |request: Request, next: Next| {
        if !request.uri().path().contains("/leases") {
            return next.run(request).await;
        }
        let status = json!({"kind": "Status", "apiVersion": "v1", "status": "Failure", "code": 403, "reason": "Forbidden", "message": "leases are forbidden"});
        (http::StatusCode::FORBIDDEN, axum::Json(status)).into_response()
    };
    let world = World::behind(|router| router.layer(from_fn(refuse))).await;
    world.write("a.yaml", &config_map("a", "1"));
    let following = world.follow();
    following.said("synced").await;
    world.write("a.yaml", &config_map("a", "2"));
    holds(&world, "a", "2", &following).await;
    let said = following.text().matches("leases are forbidden").count();
    assert_eq!(said, 1, "{}", following.text());
    assert_eq!(followed_by(&world).await, FollowedBy::Unknown);
    let sources = Sources::new(world.client.clone());
    let synced = sources.sync(None, PATIENCE).await.expect("it is tried all the same");
    assert!(synced.is_in_sync());
    let refused = sources.forget("source").await.expect_err("it cannot be told");
    assert!(refused.to_string().contains("delete the ConfigMap"), "{refused}");
    following.stop().await;
}

#[tokio::test]
async fn a_source_is_forgotten_and_what_it_made_stays() {
    let world = World::new().await;
    world.write("a.yaml", &config_map("a", "1"));
    world.write("b.yaml", &config_map("b", "1"));
    let following = world.follow_with(process(&world, "one"));
    following.said("synced").await;
    let sources = Sources::new(world.client.clone());
    let refused = sources.forget("source").await.expect_err("it is followed");
    assert!(refused.to_string().contains("followed by one"), "{refused}");
    following.stop().await;
    let before = world.get("ConfigMap", "a").await.expect("it is there");
    let forgotten = sources.forget("source").await.expect("forgotten");
    let stays: Vec<String> = forgotten.stays.iter().map(ToString::to_string).collect();
    assert_eq!(stays, ["ConfigMap default/a", "ConfigMap default/b"]);
    assert!(statuses(&world).await.is_empty());
    let after = world.get("ConfigMap", "a").await.expect("it stays");
    assert_eq!(after["metadata"]["uid"], before["metadata"]["uid"]);
    assert_eq!(after["metadata"]["labels"], Value::Null, "nobody owns it");
    // Whoever follows it again takes it over.
    world.remove("b.yaml");
    assert!(world.sync().await.success());
    assert_eq!(
        world.names("ConfigMap").await,
        ["a", "b"],
        "what is nobody's is not deleted"
    );
}

#[tokio::test]
async fn sources_that_nobody_could_follow_are_shown_with_the_reason() {
    let world = World::new().await;
    let folder = sources::folder(&world, "apps", "a");
    let manager = sources::manage_with(&world, &[], &Default::default());
    world.create(sources::source("apps", &folder, json!({}))).await;
    let bad = json!({"secretRef": {"name": "none", "namespace": "default"}});
    world.create(sources::source("bad", &folder, bad)).await;
    sources::told(&world, "apps", "Synced").await;
    sources::told(&world, "bad", "Failed").await;
    let all = statuses(&world).await;
    let seen: Vec<_> = all
        .iter()
        .map(|one| (one.name.as_str(), one.followed_by.is_nobody(), one.obstacle.is_some()))
        .collect();
    assert_eq!(seen, [("apps", false, false), ("bad", true, true)]);
    let obstacle = all[1].obstacle.as_deref().expect("a reason");
    assert!(obstacle.contains("Secret default/none cannot be read"), "{obstacle}");
    let one = Sources::new(world.client.clone()).statuses(Some("bad")).await;
    assert_eq!(one.expect("it is known").len(), 1);
    // A source that is deleted is followed no more, though its process goes on.
    world.delete("Source", "apps").await;
    eventually("nobody follows it", async || match statuses(&world).await.remove(0) {
        one if one.name == "apps" && one.followed_by.is_nobody() => Ok(()),
        other => Err(format!("{other:?}")),
    })
    .await;
    let unknown = Sources::new(world.client.clone()).sync(Some("apps"), PATIENCE).await;
    assert!(matches!(unknown, Err(Error::NotFollowed(_))), "{unknown:?}");
    drop(manager);
}
