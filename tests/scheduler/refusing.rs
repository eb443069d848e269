//! Pods that fit nowhere say why, and are placed when something changes.

use kube::api::{Patch, PatchParams};
use serde_json::json;

use super::harness::{Server, eventually, node, pod, tainted};

const REFUSAL: &str = "0/3 nodes are available: 1 node(s) had untolerated taint {dedicated: db}, 2 Insufficient cpu. \
                       preemption: 0/3 nodes are available: 3 Preemption is not helpful for scheduling.";
const NO_HELP: &str = "preemption: 0/1 nodes are available: 1 Preemption is not helpful for scheduling.";

#[tokio::test]
async fn a_pod_that_fits_nowhere_says_why_and_is_bound_once_a_node_appears() {
    let server = Server::start().await;
    for small in ["a", "b"] {
        server.create_node(node(small, "1", "4Gi")).await;
    }
    server
        .create_node(tainted(node("c", "8", "4Gi"), "dedicated", "db", "NoSchedule"))
        .await;
    let scheduler = server.scheduler();
    server.create_pod(&pod("big", "2", json!({}))).await;
    server.refused("big", REFUSAL).await;
    eventually("the event is there", || async {
        let events = server.events("big", "FailedScheduling").await;
        let [event] = &events[..] else {
            return Err(format!("{} events", events.len()));
        };
        assert_eq!(event.message.as_deref(), Some(REFUSAL));
        assert_eq!(event.type_.as_deref(), Some("Warning"));
        assert_eq!(
            event.source.as_ref().and_then(|source| source.component.as_deref()),
            Some("default-scheduler")
        );
        Ok(())
    })
    .await;
    server.create_node(node("d", "4", "4Gi")).await;
    assert_eq!(server.bound("big").await, "d");
    scheduler.stop().await;
}

#[tokio::test]
async fn without_any_node_a_pod_waits_for_the_first() {
    let server = Server::start().await;
    let scheduler = server.scheduler();
    server.create_pod(&pod("early", "1", json!({}))).await;
    server.refused("early", "no nodes available to schedule pods").await;
    server.create_node(node("first", "4", "4Gi")).await;
    assert_eq!(server.bound("early").await, "first");
    scheduler.stop().await;
}

#[tokio::test]
async fn a_changed_node_a_freed_one_and_a_changed_pod_help() {
    let server = Server::start().await;
    server.create_node(node("full", "1", "4Gi")).await;
    let scheduler = server.scheduler();
    server.create_pod(&pod("first", "1", json!({}))).await;
    server.bound("first").await;
    server.create_pod(&pod("second", "1", json!({}))).await;
    server
        .refused(
            "second",
            "0/1 nodes are available: 1 Insufficient cpu. \
             preemption: 0/1 nodes are available: 1 No preemption victims found for incoming pod.",
        )
        .await;
    server.delete_pod("first").await;
    assert_eq!(server.bound("second").await, "full");

    let selecting = pod("choosy", "0", json!({"nodeSelector": {"disk": "ssd"}}));
    server.create_pod(&selecting).await;
    let refusal = format!("0/1 nodes are available: 1 node(s) didn't match Pod's node affinity/selector. {NO_HELP}");
    server.refused("choosy", &refusal).await;
    let label = Patch::Merge(json!({"metadata": {"labels": {"disk": "ssd"}}}));
    server
        .nodes()
        .patch("full", &PatchParams::default(), &label)
        .await
        .expect("labelled");
    assert_eq!(server.bound("choosy").await, "full");

    let cordon = Patch::Merge(json!({"spec": {"unschedulable": true}}));
    server
        .nodes()
        .patch("full", &PatchParams::default(), &cordon)
        .await
        .expect("cordoned");
    // The scheduler has seen it once a pod is refused for it.
    server.create_pod(&pod("locked-out", "0", json!({}))).await;
    let refusal = format!("0/1 nodes are available: 1 node(s) were unschedulable. {NO_HELP}");
    server.refused("locked-out", &refusal).await;
    let key = "node.kubernetes.io/unschedulable";
    let tolerating = json!([{"key": key, "operator": "Exists", "effect": "NoSchedule"}]);
    let current = server
        .pods()
        .get("locked-out")
        .await
        .expect("the pod")
        .spec
        .expect("a spec")
        .tolerations;
    let mut all = serde_json::to_value(current.unwrap_or_default()).expect("JSON");
    all.as_array_mut()
        .expect("a list")
        .extend(tolerating.as_array().expect("a list").clone());
    let tolerate = Patch::Merge(json!({"spec": {"tolerations": all}}));
    server
        .pods()
        .patch("locked-out", &PatchParams::default(), &tolerate)
        .await
        .expect("tolerating");
    assert_eq!(server.bound("locked-out").await, "full");
    scheduler.stop().await;
}

#[tokio::test]
async fn gates_and_other_schedulers_pods_are_left_alone() {
    let server = Server::start().await;
    server.create_node(node("n", "4", "4Gi")).await;
    let scheduler = server.scheduler();
    server
        .create_pod(&pod(
            "gated",
            "1",
            json!({"schedulingGates": [{"name": "example.com/wait"}]}),
        ))
        .await;
    server
        .create_pod(&pod("theirs", "1", json!({"schedulerName": "theirs"})))
        .await;
    server.create_pod(&pod("ours", "1", json!({}))).await;
    server.bound("ours").await;
    let placed = server.placed().await;
    assert_eq!(
        (placed["gated"].as_str(), placed["theirs"].as_str()),
        ("", ""),
        "they came first and were not taken"
    );
    let open = Patch::Merge(json!({"spec": {"schedulingGates": null}}));
    server
        .pods()
        .patch("gated", &PatchParams::default(), &open)
        .await
        .expect("the gate is removed");
    assert_eq!(server.bound("gated").await, "n");
    assert_eq!(server.placed().await["theirs"], "");
    scheduler.stop().await;
}
