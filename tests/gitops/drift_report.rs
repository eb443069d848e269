//! Drift that is told and not repaired.

use std::time::Duration;

use reconcile::gitops::manage::Sources;
use reconcile::gitops::telling::Telling;
use reconcile::gitops::{Action, Config, OnDrift, Outcome, manager};
use reconcile::object::source::SourceSpec;
use serde_json::{Value, json};

use super::harness::{World, actions, config_map, eventually, pod, problems};
use super::sources::{manage_with, source, told};

fn reporting(world: &World) -> Config {
    Config {
        on_drift: OnDrift::Report,
        ..world.config()
    }
}

/// Each sync is of a process of its own: what was applied is known from the cluster alone.
async fn sync(world: &World) -> Outcome {
    let outcome = world.sync_with(&reporting(world)).await;
    let wrong = problems(&outcome.problems);
    // Nothing runs pods here.
    assert!(
        wrong.iter().all(|problem| problem.contains("not healthy in time")),
        "{wrong:?}"
    );
    outcome
}

async fn value(world: &World, name: &str) -> Option<Value> {
    let found = world.get("ConfigMap", name).await;
    found.map(|object| object["data"]["key"].clone())
}

async fn changed_by_hand(world: &World, name: &str) {
    world.merge("ConfigMap", name, json!({"data": {"key": "theirs"}})).await;
}

#[tokio::test]
async fn a_change_is_told_and_left_until_the_manifest_changes() {
    let world = World::new().await;
    for name in ["a", "b"] {
        world.write(&format!("{name}.yaml"), &config_map(name, "1"));
    }
    sync(&world).await;
    changed_by_hand(&world, "a").await;

    let plan = world.dry_run_with(&reporting(&world)).await;
    assert_eq!(actions(&plan), ["drifted configmap/a"]);
    assert_eq!(format!("{:?}", plan.verdict()), "Differs");
    let told = serde_json::to_value(&plan.entries[0]).expect("JSON");
    let diff = told["diff"].to_string();
    assert!(
        diff.contains("theirs") && diff.contains("key: '1'") || diff.contains("key: \\\"1\\\""),
        "{diff}"
    );
    assert!(
        told["reasons"].to_string().contains("another hand changed it"),
        "{told}"
    );

    let outcome = sync(&world).await;
    assert_eq!((outcome.counts.changes(), outcome.counts.drifted), (0, 1));
    assert_eq!(value(&world, "a").await, Some(json!("theirs")));

    // A commit to something else leaves it, too, and one that changes this object is applied to all of it.
    world.write("b.yaml", &config_map("b", "2"));
    let outcome = sync(&world).await;
    assert_eq!((outcome.counts.update, outcome.counts.drifted), (1, 1));
    assert_eq!(value(&world, "a").await, Some(json!("theirs")));
    world.write("a.yaml", &(config_map("a", "1") + "  other: \"1\"\n"));
    assert_eq!(
        actions(&world.dry_run_with(&reporting(&world)).await),
        ["update configmap/a"]
    );
    let outcome = sync(&world).await;
    assert_eq!((outcome.counts.update, outcome.counts.drifted), (1, 0));
    assert_eq!(value(&world, "a").await, Some(json!("1")));
}

#[tokio::test]
async fn what_was_deleted_is_not_made_again_until_the_manifest_changes() {
    let world = World::new().await;
    world.write("a.yaml", &config_map("a", "1"));
    world.write("b.yaml", &config_map("b", "1"));
    sync(&world).await;
    world.delete("ConfigMap", "a").await;
    assert_eq!(
        actions(&world.dry_run_with(&reporting(&world)).await),
        ["drifted configmap/a"]
    );
    let outcome = sync(&world).await;
    assert_eq!((outcome.counts.changes(), outcome.counts.drifted), (0, 1));
    assert_eq!(value(&world, "a").await, None);

    // Broken and mended, it is still what was applied.
    world.write("c.yaml", "apiVersion: v1\nkind: ConfigMop\nmetadata:\n  name: c\n");
    assert!(!world.sync_with(&reporting(&world)).await.success());
    world.remove("c.yaml");
    assert_eq!(sync(&world).await.counts.drifted, 1);

    world.write("a.yaml", &config_map("a", "2"));
    assert_eq!(sync(&world).await.counts.create, 1);
    assert_eq!(value(&world, "a").await, Some(json!("2")));
}

#[tokio::test]
async fn an_annotation_says_otherwise_for_one_object() {
    let world = World::new().await;
    let annotated = |name: &str, policy: &str| {
        let annotated = format!("metadata:\n  annotations: {{reconcile.dev/drift: {policy}}}");
        config_map(name, "1").replacen("metadata:", &annotated, 1)
    };
    world.write("a.yaml", &annotated("a", "report"));
    world.write("b.yaml", &annotated("b", "repair"));
    world.write("c.yaml", &config_map("c", "1"));
    for (config, left, repaired) in [
        (world.config(), vec!["a"], vec!["b", "c"]),
        (reporting(&world), vec!["a", "c"], vec!["b"]),
    ] {
        world.sync_with(&config).await;
        for name in ["a", "b", "c"] {
            changed_by_hand(&world, name).await;
        }
        // The first of this policy, where it was another before, does not know what was applied as what.
        let outcome = world.sync_with(&config).await;
        assert_eq!(
            (outcome.counts.drifted, outcome.counts.update),
            (left.len(), repaired.len())
        );
        for name in left {
            assert_eq!(value(&world, name).await, Some(json!("theirs")), "{name}");
        }
        for name in repaired {
            assert_eq!(value(&world, name).await, Some(json!("1")), "{name}");
        }
    }
    world.write("a.yaml", &annotated("a", "sometimes"));
    let [problem] = problems(&world.dry_run().await.problems)
        .try_into()
        .expect("one problem");
    assert!(
        problem.starts_with("a.yaml:4:") && problem.contains("write repair or report"),
        "{problem}"
    );
}

#[tokio::test]
async fn a_secret_s_new_value_is_applied_though_its_mark_does_not_tell() {
    let world = World::new().await;
    let secret = |value: &str| {
        format!("apiVersion: v1\nkind: Secret\nmetadata:\n  name: s\nstringData:\n  key: {value}\n  other: \"1\"\n")
    };
    world.write("s.yaml", &secret("one"));
    sync(&world).await;
    world.write("s.yaml", &secret("two"));
    assert_eq!(sync(&world).await.counts.update, 1);
    world.merge("Secret", "s", json!({"stringData": {"other": "2"}})).await;
    assert_eq!(sync(&world).await.counts.drifted, 1);
    world.write("s.yaml", &secret("six"));
    assert_eq!(sync(&world).await.counts.update, 1);
}

#[tokio::test]
async fn who_follows_is_told_once_and_repairs_when_asked() {
    let world = World::new().await;
    world.write("a.yaml", &config_map("a", "1"));
    world.write("p.yaml", &pod("p", "hello"));
    let spec = SourceSpec {
        source: world.source().to_str().expect("text").to_owned(),
        drift: Some("report".into()),
        ..SourceSpec::default()
    };
    let config = manager::config("apps", &spec, world.path("data")).expect("right");
    assert_eq!(config.on_drift, OnDrift::Report);
    let following = world.follow_with(config.clone());
    eventually("it is synced", || async {
        value(&world, "a").await.ok_or_else(|| following.text())
    })
    .await;
    following.said("\"synced\"").await;
    changed_by_hand(&world, "a").await;
    following.said("changed by another-hand").await;
    world.delete("Pod", "p").await;
    following.said("deleted by another hand").await;
    assert_eq!(value(&world, "a").await, Some(json!("theirs")));
    let sources = Sources::new(world.client.clone());
    let status = sources.statuses(Some("apps")).await.expect("known").remove(0);
    assert_eq!((status.record.drift_count, status.objects), (2, 2));
    following.stop().await;

    // A restart knows it, and a sync that somebody asks for repairs it.
    let following = world.follow_with(config);
    following.said("deleted by another hand").await;
    assert_eq!(value(&world, "a").await, Some(json!("theirs")));
    let status = sources
        .sync(Some("apps"), Duration::from_secs(20))
        .await
        .expect("synced");
    assert_eq!(status.record.drift_count, 0, "{}", following.text());
    assert_eq!(value(&world, "a").await, Some(json!("1")));
    assert!(world.get("Pod", "p").await.is_some());
    following.stop().await;
}

#[tokio::test]
async fn a_source_object_has_the_condition() {
    let world = World::new().await;
    world.write("a.yaml", &config_map("a", "1"));
    let _manager = manage_with(&world, &[], &Telling::default());
    world
        .create(source("apps", &world.source(), json!({"drift": "report"})))
        .await;
    let first = told(&world, "apps", "Synced").await;
    assert_eq!(
        first["status"]["conditions"].as_array().map(Vec::len),
        Some(1),
        "{first}"
    );
    changed_by_hand(&world, "a").await;
    let drifted = told(&world, "apps", "Drifted").await;
    let conditions = &drifted["status"]["conditions"];
    assert_eq!(
        (&conditions[0]["status"], &conditions[1]["status"]),
        (&json!("True"), &json!("True"))
    );
    let message = "1 in all: ConfigMap default/a was changed by another-hand";
    assert_eq!(
        (&conditions[1]["type"], &conditions[1]["message"]),
        (&json!("Drifted"), &json!(message))
    );
    world.merge("ConfigMap", "a", json!({"data": {"key": "1"}})).await;
    let again = told(&world, "apps", "Synced").await;
    assert_eq!(again["status"]["conditions"][1]["status"], "False", "{again}");
}

#[tokio::test]
async fn a_secret_that_was_deleted_is_made_again_with_what_its_manifest_says_now() {
    let world = World::new().await;
    let secret =
        |value: &str| format!("apiVersion: v1\nkind: Secret\nmetadata:\n  name: a\nstringData:\n  key: {value}\n");
    world.write("a.yaml", &secret("old"));
    sync(&world).await;
    world.delete("Secret", "a").await;
    // As long as the old one: nothing that may be recorded of it tells the two apart.
    world.write("a.yaml", &secret("new"));
    let plan = world.dry_run_with(&reporting(&world)).await;
    assert_eq!(actions(&plan), ["create secret/a"]);
    assert_eq!(sync(&world).await.counts.create, 1);
    let live = world.get("Secret", "a").await.expect("a");
    assert_eq!(live["data"]["key"], "bmV3");
}

#[tokio::test]
async fn a_plan_counts_what_drifted() {
    let world = World::new().await;
    world.write("a.yaml", &config_map("a", "1"));
    sync(&world).await;
    changed_by_hand(&world, "a").await;
    let plan = world.dry_run_with(&reporting(&world)).await;
    assert_eq!((plan.counts.drifted, plan.counts.changes()), (1, 0));
    assert_eq!(plan.entries[0].action, Action::Drifted);
    // By default it is repaired.
    assert_eq!(actions(&world.dry_run().await), ["update configmap/a"]);
}
