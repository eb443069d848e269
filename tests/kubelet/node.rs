//! The node's object: what it says, who may change it, and what it says when Docker is away.

use std::time::Instant;

use k8s_openapi::api::coordination::v1::Lease;
use k8s_openapi::api::core::v1::Node;
use kube::Api;
use kube::api::{Patch, PatchParams};
use serde_json::{Value, json};

use super::harness::{Cluster, PATIENCE, idle};

async fn until(cluster: &Cluster, what: &str, condition: impl Fn(&Value) -> bool) -> Value {
    let api = Api::<Node>::all(cluster.client.clone());
    let begun = Instant::now();
    loop {
        let node = api.get_opt(cluster.node()).await.expect("an answer");
        let node = serde_json::to_value(node).expect("JSON");
        if !node.is_null() && condition(&node) {
            return node;
        }
        assert!(begun.elapsed() < PATIENCE, "{what}; last seen {node:#}");
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
}

fn ready(node: &Value) -> Value {
    let conditions = node["status"]["conditions"].as_array().cloned().unwrap_or_default();
    conditions
        .into_iter()
        .find(|condition| condition["type"] == "Ready")
        .unwrap_or_default()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_registers_and_keeps_what_others_set() {
    let mut cluster = Cluster::start().await;
    let node = until(&cluster, "it is ready", |node| ready(node)["status"] == "True").await;
    let status = &node["status"];
    assert_eq!(status["capacity"]["pods"], "110");
    for resource in ["cpu", "memory", "ephemeral-storage"] {
        assert!(status["allocatable"][resource].is_string(), "{resource}");
    }
    assert_eq!(
        status["addresses"][0],
        json!({"type": "InternalIP", "address": "127.0.0.1"})
    );
    assert!(
        status["daemonEndpoints"]["kubeletEndpoint"]["Port"]
            .as_u64()
            .is_some_and(|port| port > 0)
    );
    let info = &status["nodeInfo"];
    assert!(
        info["containerRuntimeVersion"]
            .as_str()
            .is_some_and(|text| text.starts_with("docker://")),
        "{info}"
    );
    assert!(
        info["kubeletVersion"]
            .as_str()
            .is_some_and(|text| text.starts_with("v1.37")),
        "{info}"
    );
    assert_eq!(node["metadata"]["labels"]["kubernetes.io/hostname"], cluster.node());
    assert!(status["images"].as_array().is_some_and(|images| !images.is_empty()));
    let leases = Api::<Lease>::namespaced(cluster.client.clone(), "kube-node-lease");
    let begun = Instant::now();
    let lease = loop {
        if let Some(lease) = leases.get_opt(cluster.node()).await.expect("an answer") {
            break lease.spec.expect("a spec");
        }
        assert!(begun.elapsed() < PATIENCE, "the node has no lease");
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    };
    assert_eq!(lease.holder_identity.as_deref(), Some(cluster.node()));

    let patch =
        json!({"metadata": {"labels": {"mine": "1"}}, "spec": {"taints": [{"key": "k", "effect": "NoSchedule"}]}});
    let api = Api::<Node>::all(cluster.client.clone());
    api.patch(cluster.node(), &PatchParams::default(), &Patch::Merge(patch))
        .await
        .expect("patched");
    cluster.stop_kubelet().await;
    cluster.start_kubelet();
    let port = status["daemonEndpoints"]["kubeletEndpoint"]["Port"].clone();
    let moved = |node: &Value| node["status"]["daemonEndpoints"]["kubeletEndpoint"]["Port"] != port;
    let node = until(&cluster, "it registered again", moved).await;
    assert_eq!(node["metadata"]["labels"]["mine"], "1");
    assert_eq!(node["spec"]["taints"][0]["key"], "k");
}

#[tokio::test(flavor = "multi_thread")]
async fn without_docker_the_node_says_so_and_waits() {
    let mut cluster = Cluster::without_kubelet().await;
    let directory = tempfile::tempdir().expect("a directory");
    let socket = directory.path().join("docker.sock");
    cluster.config.docker_host = format!("unix://{}", socket.display());
    cluster.start_kubelet();
    cluster.create("web", json!({"containers": [idle("c")]})).await;
    let node = until(&cluster, "it is not ready", |node| ready(node)["status"] == "False").await;
    let message = ready(&node)["message"].clone();
    assert!(
        message.as_str().is_some_and(|text| text.contains("there is no socket")),
        "{message}"
    );
    std::os::unix::fs::symlink("/var/run/docker.sock", &socket).expect("linked");
    until(&cluster, "it is ready", |node| ready(node)["status"] == "True").await;
    cluster.until_ready("web").await;
}
