//! What people see of a source with `kubectl describe`: events of the `Source`, or of the parent in `kube-system`.

use k8s_openapi::api::core::v1::Event;
use kube::api::{Api, ListParams};
use reconcile::gitops::manage::Sources;
use reconcile::gitops::telling::Telling;
use serde_json::json;

use super::harness::{World, config_map, eventually};
use super::sources;
use crate::support::git::Repository;

/// Each event of that kind of object as `Type Reason message`, with its count.
async fn events(world: &World, kind: &str) -> Vec<(String, i32)> {
    let api: Api<Event> = Api::all(world.client.clone());
    let of_kind = ListParams::default().fields(&format!("involvedObject.kind={kind}"));
    let list = api.list(&of_kind).await.expect("a list");
    list.items
        .into_iter()
        .map(|event| {
            let source = event.source.expect("a source");
            assert_eq!(source.component.as_deref(), Some("reconcile"));
            assert!(event.involved_object.uid.is_some(), "kubectl asks by it");
            let words = [event.type_, event.reason, event.message];
            (
                words.map(Option::unwrap_or_default).join(" "),
                event.count.unwrap_or_default(),
            )
        })
        .collect()
}

/// Waits for an event that begins and goes on like this; returns its text.
async fn told(world: &World, kind: &str, begin: &str, part: &str) -> String {
    eventually(format!("an event {begin:?} with {part:?}"), async || {
        let events = events(world, kind).await;
        let found = events
            .iter()
            .find(|(text, _)| text.starts_with(begin) && text.contains(part));
        found.map(|(text, _)| text.clone()).ok_or(format!("{events:#?}"))
    })
    .await
}

#[tokio::test]
async fn the_parent_has_the_events_of_a_source_without_an_object() {
    let mut world = World::new().await;
    world.budget = "1".parse().expect("a budget");
    for name in ["a", "b", "c"] {
        world.write(&format!("{name}.yaml"), &config_map(name, "1"));
    }
    let following = world.follow();
    told(&world, "ConfigMap", "Normal Synced ", ": 3 created").await;
    world.write("bad.yaml", "\t");
    told(&world, "ConfigMap", "Warning Problem ", "bad.yaml:1:1").await;
    world.remove("bad.yaml");
    told(&world, "ConfigMap", "Normal Synced ", ": nothing to change").await;
    world.merge("ConfigMap", "a", json!({"data": {"key": "other"}})).await;
    let repaired = told(&world, "ConfigMap", "Normal DriftRepaired ", "ConfigMap default/a").await;
    assert!(repaired.contains("by another-hand"), "{repaired}");
    world.remove("a.yaml");
    world.remove("b.yaml");
    let required = told(&world, "ConfigMap", "Warning ApprovalRequired ", "2 of 3 objects").await;
    assert!(required.contains("reconcile approve"), "{required}");
    let sources = Sources::new(world.client.clone());
    sources.suspend(None, true).await.expect("suspended");
    told(&world, "ConfigMap", "Normal Suspended ", "").await;
    sources.suspend(None, false).await.expect("resumed");
    told(&world, "ConfigMap", "Normal Resumed ", "").await;
    following.stop().await;
    let before = events(&world, "ConfigMap").await;
    // What is known already is told by nobody again, a restarted reconciler included.
    let following = world.follow();
    following.said("synced").await;
    following.stop().await;
    assert_eq!(events(&world, "ConfigMap").await, before);
}

#[tokio::test]
async fn the_same_again_is_counted_up() {
    let world = World::new().await;
    world.write("a.yaml", &config_map("a", "1"));
    let following = world.follow();
    told(&world, "ConfigMap", "Normal Synced ", "1 created").await;
    let sources = Sources::new(world.client.clone());
    for round in 1..=2 {
        sources.suspend(None, true).await.expect("suspended");
        eventually("it is told", async || {
            let events = events(&world, "ConfigMap").await;
            let counts: Vec<i32> = events
                .iter()
                .filter(|(text, _)| text.starts_with("Normal Suspended "))
                .map(|(_, count)| *count)
                .collect();
            if counts == [round] {
                Ok(())
            } else {
                Err(format!("{events:#?}"))
            }
        })
        .await;
        sources.suspend(None, false).await.expect("resumed");
    }
    following.stop().await;
}

#[tokio::test]
async fn a_source_object_has_its_own_events() {
    let world = World::new().await;
    let _manager = sources::manage_with(&world, &[], &Telling::default());
    let folder = sources::folder(&world, "one", "a");
    world.create(sources::source("apps", &folder, json!({}))).await;
    told(&world, "Source", "Normal Synced ", "1 created").await;
    std::fs::remove_dir_all(&folder).expect("removed");
    told(&world, "Source", "Warning SyncFailed ", "no such file").await;
    sources::folder(&world, "one", "a");
    told(&world, "Source", "Normal Recovered ", "").await;
    assert_eq!(events(&world, "ConfigMap").await, [], "told once, in one place");
}

#[tokio::test]
async fn going_back_is_an_event_that_somebody_should_look_at() {
    let world = World::new().await;
    let repository = Repository::init(&world.source());
    for value in ["1", "2"] {
        world.write("a.yaml", &config_map("a", value));
        repository.commit(value);
    }
    let following = world.follow();
    following.said("synced").await;
    let patience = std::time::Duration::from_secs(20);
    let sources = Sources::new(world.client.clone());
    sources.rollback("HEAD~1", None, patience).await.expect("gone back");
    let told = told(&world, "ConfigMap", "Warning RolledBack ", "rolled back to ").await;
    assert!(told.contains("is quarantined until a newer one comes"), "{told}");
    following.stop().await;
}
