//! Waves: what an object's annotation puts later begins when what comes before it is healthy.

use std::time::Duration;

use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

use super::harness::{World, actions, config_map, eventually, pod, problems};

/// A pod of that wave.
fn of_wave(wave: &str, name: &str, greeting: &str) -> String {
    let annotated = format!("metadata:\n  annotations: {{reconcile.dev/wave: \"{wave}\"}}");
    let text = pod(name, greeting).replacen("metadata:", &annotated, 1);
    assert!(text.contains("annotations"), "{text}");
    text
}

/// What a kubelet reports of a pod whose containers are ready.
fn ready() -> Value {
    json!({"phase": "Running", "conditions": [{"type": "Ready", "status": "True"}]})
}

async fn names(world: &World, wanted: &[&str], told: impl Fn() -> String) {
    eventually(format!("the pods {wanted:?}"), async || {
        match world.names("Pod").await {
            names if names == wanted => Ok(()),
            names => Err(format!("{names:?}\n{}", told())),
        }
    })
    .await;
}

#[tokio::test]
async fn a_wave_begins_when_the_one_before_is_healthy() {
    let world = World::new().await;
    world.write("web.yaml", &of_wave("1", "web", "hello"));
    world.write("db.yaml", &pod("db", "hello"));
    world.write("first.yaml", &of_wave("-1", "first", "hello"));
    // Kinds that are not workloads have waves of their own.
    world.write("settings.yaml", &config_map("settings", "1"));
    assert_eq!(
        actions(&world.dry_run().await),
        [
            "create configmap/settings",
            "create pod/first",
            "create pod/db",
            "create pod/web"
        ]
    );
    let following = world.follow();
    following.said("it waits for wave -1: Pod default/first").await;
    assert_eq!(world.names("Pod").await, ["first"]);
    world.merge_status("first", ready()).await;
    names(&world, &["db", "first"], || following.text()).await;
    world.merge_status("db", ready()).await;
    names(&world, &["db", "first", "web"], || following.text()).await;
    following.stop().await;
}

#[tokio::test]
async fn a_wave_that_failed_holds_up_what_comes_after_it_and_all_deletions() {
    let world = World::new().await;
    world.write("web.yaml", &of_wave("1", "web", "hello"));
    world.write("db.yaml", &pod("db", "hello"));
    world.write("old.yaml", &config_map("old", "1"));
    world.write("stays.yaml", &config_map("stays", "1"));
    let following = world.follow();
    following.said("it waits for wave 0: Pod default/db").await;
    world.remove("old.yaml");
    world
        .merge_status("db", json!({"phase": "Failed", "reason": "Evicted"}))
        .await;
    following.said("deletions come after all waves").await;
    assert!(world.get("ConfigMap", "old").await.is_some());
    // It does not become healthy by itself, but a commit may mend it.
    world.write("db.yaml", &of_wave("2", "db", "hello"));
    names(&world, &["db", "web"], || following.text()).await;
    world.merge_status("web", ready()).await;
    eventually("what left is deleted", async || {
        match world.get("ConfigMap", "old").await {
            None => Ok(()),
            Some(_) => Err(following.text()),
        }
    })
    .await;
    following.stop().await;
}

#[tokio::test]
async fn a_refused_object_holds_up_the_waves_after_it_and_nothing_else() {
    let world = World::new().await;
    world.write("db.yaml", &pod("db", "hello").replace("name: main", "name: MAIN"));
    world.write("web.yaml", &of_wave("1", "web", "hello"));
    world.write("other.yaml", &pod("other", "hello"));
    let outcome = world.sync().await;
    let found = problems(&outcome.problems);
    let waits = "web.yaml:1:1: Pod default/web: it waits for wave 0: Pod default/db is refused";
    assert!(found.iter().any(|problem| problem == waits), "{found:#?}");
    assert_eq!(world.names("Pod").await, ["other"]);
}

#[tokio::test]
async fn a_single_sync_goes_on_as_soon_as_a_wave_is_healthy() {
    let world = World::new().await;
    world.write("db.yaml", &pod("db", "hello"));
    world.write("web.yaml", &of_wave("1", "web", "hello"));
    let config = world.config();
    let sync = reconcile::gitops::sync_once(
        world.client.clone(),
        &config,
        std::sync::Arc::new(|_| {}),
        Duration::from_secs(30),
        CancellationToken::new(),
    );
    let kubelet = async {
        for name in ["db", "web"] {
            names(&world, if name == "db" { &["db"] } else { &["db", "web"] }, String::new).await;
            world.merge_status(name, ready()).await;
        }
    };
    let (outcome, ()) = tokio::join!(sync, kubelet);
    let outcome = outcome.expect("synced");
    assert!(outcome.success(), "{:?}", outcome.problems);
    assert_eq!(outcome.counts.create, 2);
}

#[tokio::test]
async fn a_wave_that_is_no_number_is_an_error_of_that_object_alone() {
    let world = World::new().await;
    world.write("db.yaml", &of_wave("soon", "db", "hello"));
    world.write("other.yaml", &pod("other", "hello"));
    let plan = world.dry_run().await;
    let [problem] = problems(&plan.problems).try_into().expect("one problem");
    assert!(
        problem.starts_with("db.yaml:4:") && problem.contains("must be a whole number in quotes"),
        "{problem}"
    );
    assert_eq!(actions(&plan), ["create pod/other"]);
}
