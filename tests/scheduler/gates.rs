//! Scheduling gates: nothing is placed before the last one is gone.

use k8s_openapi::api::core::v1::Pod;
use kube::api::{Patch, PatchParams};
use serde_json::{Value, json};

use super::harness::{Server, node, node_of, pod};

async fn change(server: &Server, name: &str, spec: Value) -> Pod {
    let patch = Patch::Merge(json!({"spec": spec}));
    let changed = server.pods().patch(name, &PatchParams::default(), &patch).await;
    changed.expect("the pod is changed")
}

/// The node of a pod after another one, made since, got its own: the scheduler has been by.
async fn left_alone(server: &Server, name: &str, witness: &str) -> bool {
    server.create_pod(&pod(witness, "0", json!({}))).await;
    server.bound(witness).await;
    node_of(&server.pods().get(name).await.expect("the pod")).is_empty()
}

#[tokio::test]
async fn a_pod_is_placed_when_its_last_gate_goes() {
    let server = Server::start().await;
    for name in ["plain", "fast"] {
        let mut node = node(name, "4", "4Gi");
        let labels = node.metadata.labels.get_or_insert_default();
        labels.insert("disk".to_owned(), if name == "fast" { "ssd" } else { "hdd" }.to_owned());
        server.create_node(node).await;
    }
    let scheduler = server.scheduler();
    let gated = json!({"schedulingGates": [{"name": "example.com/a"}, {"name": "example.com/b"}]});
    let made = server.create_pod(&pod("gated", "1", gated)).await;
    let conditions = made.status.and_then(|status| status.conditions).unwrap_or_default();
    assert_eq!(conditions[0].reason.as_deref(), Some("SchedulingGated"));
    assert!(left_alone(&server, "gated", "one").await);
    // Whoever opens the gates says where the pod may go.
    let one = json!({"schedulingGates": [{"name": "example.com/b"}], "nodeSelector": {"disk": "ssd"}});
    change(&server, "gated", one).await;
    assert!(left_alone(&server, "gated", "two").await);
    assert!(
        server.events("gated", "FailedScheduling").await.is_empty(),
        "nobody tried"
    );
    change(&server, "gated", json!({"schedulingGates": null})).await;
    assert_eq!(server.bound("gated").await, "fast");
    let bound = server.pods().get("gated").await.expect("the pod");
    let conditions = bound.status.and_then(|status| status.conditions).unwrap_or_default();
    let scheduled: Vec<&str> = conditions
        .iter()
        .filter(|condition| condition.type_ == "PodScheduled")
        .map(|condition| condition.status.as_str())
        .collect();
    assert_eq!(scheduled, ["True"]);
    scheduler.stop().await;
}
