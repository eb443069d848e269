//! Fields that a manifest leaves to others.

use serde_json::json;

use super::harness::{World, actions, config_map, problems};

fn ceding(pointers: &str, value: &str) -> String {
    let annotated = format!("metadata:\n  annotations: {{reconcile.dev/ignore: \"{pointers}\"}}");
    config_map("a", value).replacen("metadata:", &annotated, 1) + "  other: \"1\"\n"
}

#[tokio::test]
async fn a_ceded_field_is_set_at_first_and_then_left_to_others() {
    let world = World::new().await;
    world.write("a.yaml", &ceding("/data/key", "1"));
    assert!(world.sync().await.success());
    let data = async || world.get("ConfigMap", "a").await.expect("it is there")["data"].clone();
    assert_eq!(data().await, json!({"key": "1", "other": "1"}));

    world
        .merge("ConfigMap", "a", json!({"data": {"key": "theirs", "other": "theirs"}}))
        .await;
    assert_eq!(actions(&world.dry_run().await), ["update configmap/a"]);
    assert!(world.sync().await.success());
    assert_eq!(data().await, json!({"key": "theirs", "other": "1"}));
    assert_eq!(world.sync().await.counts.changes(), 0);

    // Another value in the manifest makes no difference, and neither does its removal by another hand.
    world.write("a.yaml", &ceding("/data/key", "2"));
    assert_eq!(actions(&world.dry_run().await), Vec::<String>::new());
    world.merge("ConfigMap", "a", json!({"data": {"key": null}})).await;
    assert_eq!(world.sync().await.counts.changes(), 0);
    assert_eq!(data().await, json!({"other": "1"}));

    // Taken back.
    world.write("a.yaml", &ceding("/data/unknown", "3"));
    assert!(world.sync().await.success());
    assert_eq!(data().await, json!({"key": "3", "other": "1"}));
}

#[tokio::test]
async fn what_makes_an_object_ours_is_not_ceded() {
    let world = World::new().await;
    world.write("a.yaml", &ceding("/metadata/labels", "1"));
    world.write("b.yaml", &config_map("b", "1"));
    let plan = world.dry_run().await;
    let [problem] = problems(&plan.problems).try_into().expect("one problem");
    assert!(
        problem.starts_with("a.yaml:4:") && problem.contains("cannot be left to others"),
        "{problem}"
    );
    assert_eq!(actions(&plan), ["create configmap/b"]);
}
