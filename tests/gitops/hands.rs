//! What is told of other hands' changes: what they did, and what became of it.

use reconcile::gitops::Report;
use reconcile::gitops::manage::Sources;
use reconcile::gitops::record::Record;
use reconcile::gitops::report::{Action, Cause};
use serde_json::json;

use super::harness::{Following, World, config_map, eventually, pod};
use super::state::{is_going, let_go};

async fn record(world: &World) -> Record {
    let sources = Sources::new(world.client.clone());
    sources.statuses(None).await.expect("statuses").remove(0).record
}

/// What was done because another hand had done something, and by whose.
fn repairs(following: &Following) -> Vec<(Action, Option<String>)> {
    let changes = following.reports().into_iter().filter_map(|report| match report {
        Report::Change(change) => Some(change),
        _ => None,
    });
    let repairs = changes.filter_map(|change| match change.cause {
        Cause::Drift { manager } => Some((change.action, manager)),
        Cause::Source => None,
    });
    repairs.collect()
}

#[tokio::test]
async fn a_pod_that_was_deleted_by_hand_is_created_again_and_nobody_is_named() {
    let world = World::new().await;
    world.write("web.yaml", &pod("web", "hello"));
    let following = world.follow();
    following.said("synced").await;
    world.bind("web").await;
    // Another hand that had nothing to do with it.
    world
        .merge("Pod", "web", json!({"metadata": {"annotations": {"seen": "yes"}}}))
        .await;
    world.delete("Pod", "web").await;
    let going = world.get("Pod", "web").await.expect("it takes its time");
    assert!(is_going(&going), "{going}");
    following.said("it stops, and is then made again").await;
    assert!(let_go(world.store.as_ref()).await);
    eventually("it is told", async || match repairs(&following).as_slice() {
        [(Action::Create, None)] => Ok(()),
        other => Err(format!("{other:?}\n{}", following.text())),
    })
    .await;
    let again = world.get("Pod", "web").await.expect("it is there again");
    assert_ne!(again["metadata"]["uid"], going["metadata"]["uid"]);
    following.stop().await;
}

#[tokio::test]
async fn a_repair_counts_apart_and_is_no_sync_of_the_revision() {
    let world = World::new().await;
    world.write("a.yaml", &config_map("a", "1"));
    let following = world.follow();
    following.said("synced").await;
    let before = record(&world).await;
    world.merge("ConfigMap", "a", json!({"data": {"key": "2"}})).await;
    let after = eventually("it is repaired and recorded", async || match record(&world).await {
        record if record.history[0].repairs == 1 => Ok(record),
        other => Err(format!("{:?}\n{}", other.history, following.text())),
    })
    .await;
    assert_eq!(after.history[0].counts, before.history[0].counts);
    assert_eq!(after.synced_at, before.synced_at);
    assert_eq!(repairs(&following), [(Action::Update, Some("another-hand".to_owned()))]);
    following.stop().await;
}
