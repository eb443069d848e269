//! What is told of other hands' changes: what they did, and what became of it.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use axum::extract::Request;
use axum::middleware::{Next, from_fn};
use http::Method;
use reconcile::gitops::Report;
use reconcile::gitops::manage::Sources;
use reconcile::gitops::record::Record;
use reconcile::gitops::report::{Action, Cause};
use reconcile::store::Embedded;
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
    // No controller there lets the pod go before the test does.
    let root = tempfile::tempdir().expect("a directory");
    let store = Embedded::open(&root.path().join("state")).expect("a store");
    let world = World::on(root, Arc::new(store)).await;
    world.write("web.yaml", &pod("web", "hello"));
    world.sync().await;
    world.bind("web").await;
    // Another hand that had nothing to do with it.
    world
        .merge("Pod", "web", json!({"metadata": {"annotations": {"seen": "yes"}}}))
        .await;
    let following = world.follow();
    following.said("\"unchanged\":1").await;
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

#[tokio::test]
async fn what_others_write_while_a_plan_is_made_is_no_drift() {
    // Each question what applying would do comes right after another hand's write.
    let count = Arc::new(AtomicU32::new(0));
    let written = Arc::clone(&count);
    let world = World::behind(|router| {
        router.layer(from_fn(move |request: Request, next: Next| {
            let written = Arc::clone(&written);
            async move {
                let query = request.uri().query().unwrap_or_default();
                if request.method() == Method::PATCH && query.contains("dryRun") && request.uri().path().ends_with("/a")
                {
                    let note = written.load(Ordering::Relaxed);
                    let patch = json!({"metadata": {"annotations": {"seen": note.to_string()}}});
                    let path = format!("{}?fieldManager=another-hand", request.uri().path());
                    let theirs = http::Request::patch(path).header("content-type", "application/merge-patch+json");
                    let theirs = theirs.body(patch.to_string().into()).expect("a request");
                    // Not before it is there.
                    let done = next.clone().run(theirs).await.status().is_success();
                    written.fetch_add(u32::from(done), Ordering::Relaxed);
                }
                next.run(request).await
            }
        }))
    })
    .await;
    world.write("a.yaml", &config_map("a", "1"));
    world.sync().await;
    let before = count.load(Ordering::Relaxed);
    let outcome = world.sync().await;
    assert!(count.load(Ordering::Relaxed) > before, "another hand wrote");
    assert_eq!(outcome.counts.changes(), 0, "{outcome:?}");
    // Where the object really differs, it is repaired all the same.
    world.merge("ConfigMap", "a", json!({"data": {"key": "2"}})).await;
    assert_eq!(world.sync().await.counts.update, 1);
    assert_eq!(world.get("ConfigMap", "a").await.expect("there")["data"]["key"], "1");
}
