//! The controllers: taints follow conditions, lost nodes lose their pods, namespaces go when they are empty.

use std::time::Duration;

use k8s_openapi::api::coordination::v1::Lease;
use k8s_openapi::api::core::v1::{ConfigMap, Namespace, Node, Pod};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::MicroTime;
use k8s_openapi::jiff::Timestamp;
use kube::Api;
use kube::api::{DeleteParams, Patch, PatchParams, PostParams};
use reconcile::controllers;
use serde_json::{Value, json};
use tokio_util::sync::{CancellationToken, DropGuard};

use super::harness::{Server, eventually, from, node, pod};

/// Runs the controllers, as impatient as given, until the guard is dropped.
fn start(server: &Server, config: controllers::Config) -> DropGuard {
    let shutdown = CancellationToken::new();
    tokio::spawn(controllers::run(server.client.clone(), config, shutdown.clone()));
    shutdown.drop_guard()
}

fn patient() -> controllers::Config {
    controllers::Config::default()
}

async fn set_ready(server: &Server, name: &str, status: &str) {
    let patch = json!({"status": {"conditions": [{"type": "Ready", "status": status}]}});
    let patched = server
        .nodes()
        .patch_status(name, &PatchParams::default(), &Patch::Strategic(patch))
        .await;
    patched.expect("the condition is written");
}

/// Waits until the node's taints are these, as `key:effect`.
async fn taints_are(server: &Server, name: &str, wanted: &[&str]) {
    eventually(&format!("taints are {wanted:?}"), || async {
        let node = server.nodes().get(name).await.expect("the node");
        let taints = node.spec.and_then(|spec| spec.taints).unwrap_or_default();
        let texts: Vec<String> = taints
            .iter()
            .map(|taint| format!("{}:{}", taint.key, taint.effect))
            .collect();
        if texts == wanted {
            Ok(())
        } else {
            Err(format!("{texts:?}"))
        }
    })
    .await;
}

#[tokio::test]
async fn taints_follow_the_ready_condition() {
    let server = Server::start().await;
    let _running = start(&server, patient());
    server.create_node(node("n", "1", "1Gi")).await;
    set_ready(&server, "n", "False").await;
    let not_ready = [
        "node.kubernetes.io/not-ready:NoSchedule",
        "node.kubernetes.io/not-ready:NoExecute",
    ];
    taints_are(&server, "n", &not_ready).await;
    set_ready(&server, "n", "True").await;
    taints_are(&server, "n", &[]).await;
}

#[tokio::test]
async fn a_silent_node_is_unknown_and_loses_pods_that_do_not_stand_it() {
    let server = Server::start().await;
    server.create_node(node("n", "4", "1Gi")).await;
    let on = |name: &str, patience: Value| {
        let key = "node.kubernetes.io/unreachable";
        let toleration =
            json!({"key": key, "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": patience});
        pod(
            name,
            "0",
            json!({"nodeName": "n", "tolerations": [toleration], "terminationGracePeriodSeconds": 0}),
        )
    };
    server.create_pod(&on("leaves", json!(0))).await;
    server.create_pod(&on("stays", Value::Null)).await;
    let _running = start(
        &server,
        controllers::Config {
            node_grace: Duration::from_millis(300),
            ..patient()
        },
    );
    eventually("the node is unknown", || async {
        let node = server.nodes().get("n").await.expect("the node");
        let conditions = node.status.and_then(|status| status.conditions).unwrap_or_default();
        let ready = conditions
            .into_iter()
            .find(|condition| condition.type_ == "Ready")
            .expect("ready");
        let said = (ready.status.as_str(), ready.message.as_deref());
        let wanted = ("Unknown", Some("Kubelet stopped posting node status."));
        if said == wanted {
            Ok(())
        } else {
            Err(format!("{said:?}"))
        }
    })
    .await;
    let unreachable = [
        "node.kubernetes.io/unreachable:NoSchedule",
        "node.kubernetes.io/unreachable:NoExecute",
    ];
    taints_are(&server, "n", &unreachable).await;
    gone(&server.pods(), "leaves").await;
    server.pods().get("stays").await.expect("it stands the taint");
}

#[tokio::test]
async fn a_node_that_renews_its_lease_is_left_alone() {
    let server = Server::start().await;
    for name in ["lives", "dies"] {
        server.create_node(node(name, "4", "1Gi")).await;
    }
    let leases: Api<Lease> = Api::namespaced(server.client.clone(), "kube-node-lease");
    let lease = from(json!({"apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "metadata": {"name": "lives"}}));
    leases.create(&PostParams::default(), &lease).await.expect("created");
    let renew = || async {
        let patch = json!({"spec": {"renewTime": MicroTime(Timestamp::now())}});
        leases
            .patch("lives", &PatchParams::default(), &Patch::Merge(patch))
            .await
            .expect("renewed");
    };
    renew().await;
    let _running = start(
        &server,
        controllers::Config {
            node_grace: Duration::from_secs(2),
            ..patient()
        },
    );
    // The other node shows that the grace is over.
    eventually("the silent node is found out", || async {
        renew().await;
        let ready = ready(&server, "dies").await;
        if ready == "Unknown" { Ok(()) } else { Err(ready) }
    })
    .await;
    assert_eq!(ready(&server, "lives").await, "True");
}

async fn ready(server: &Server, name: &str) -> String {
    let node = server.nodes().get(name).await.expect("the node");
    let conditions = node.status.and_then(|status| status.conditions).unwrap_or_default();
    conditions
        .into_iter()
        .find(|condition| condition.type_ == "Ready")
        .expect("ready")
        .status
}

#[tokio::test]
async fn pods_of_a_node_that_is_gone_are_collected_and_no_others() {
    let server = Server::start().await;
    server.create_node(node("here", "4", "1Gi")).await;
    server.create_node(node("soon-gone", "4", "1Gi")).await;
    server.create_pod(&pod("stays", "0", json!({"nodeName": "here"}))).await;
    server
        .create_pod(&pod("lost", "0", json!({"nodeName": "soon-gone"})))
        .await;
    let quarantine = Duration::from_millis(300);
    let _running = start(
        &server,
        controllers::Config {
            orphan_quarantine: quarantine,
            ..patient()
        },
    );
    server
        .nodes()
        .delete("soon-gone", &DeleteParams::default())
        .await
        .expect("deleted");
    gone(&server.pods(), "lost").await;
    server.pods().get("stays").await.expect("its node is there");
}

#[tokio::test]
async fn the_oldest_finished_pods_beyond_the_bound_are_collected() {
    let server = Server::start().await;
    server.create_node(node("n", "4", "1Gi")).await;
    for name in ["a", "b", "c"] {
        server
            .create_pod(&pod(name, "0", json!({"nodeName": "n", "restartPolicy": "Never"})))
            .await;
        let patch = json!({"status": {"phase": "Succeeded"}});
        let patched = server
            .pods()
            .patch_status(name, &PatchParams::default(), &Patch::Merge(patch))
            .await;
        patched.expect("it has succeeded");
    }
    let _running = start(
        &server,
        controllers::Config {
            finished_pods_kept: 1,
            ..patient()
        },
    );
    eventually("one is kept", || async {
        let left = server.placed().await.len();
        if left == 1 {
            Ok(())
        } else {
            Err(format!("{left} are left"))
        }
    })
    .await;
}

#[tokio::test]
async fn a_deleted_namespace_is_emptied_and_goes() {
    let server = Server::start().await;
    let _running = start(&server, patient());
    let namespaces: Api<Namespace> = Api::all(server.client.clone());
    let namespace = from(json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "team"}}));
    namespaces
        .create(&PostParams::default(), &namespace)
        .await
        .expect("created");
    let pods: Api<Pod> = Api::namespaced(server.client.clone(), "team");
    let maps: Api<ConfigMap> = Api::namespaced(server.client.clone(), "team");
    let map = |name: &str, finalizers: Value| -> ConfigMap {
        let metadata = json!({"name": name, "finalizers": finalizers});
        from(json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata}))
    };
    maps.create(&PostParams::default(), &map("plain", json!([])))
        .await
        .expect("created");
    maps.create(&PostParams::default(), &map("held", json!(["example.com/hold"])))
        .await
        .expect("created");
    server.create_node(node("n", "4", "1Gi")).await;
    let bound = pod(
        "web",
        "0",
        json!({"nodeName": "n", "terminationGracePeriodSeconds": 30}),
    );
    pods.create(&PostParams::default(), &bound).await.expect("created");

    namespaces
        .delete("team", &DeleteParams::default())
        .await
        .expect("its deletion begins");
    eventually("the pod is being deleted", || async {
        let pod = pods.get("web").await.expect("the pod waits for its kubelet");
        pod.metadata.deletion_timestamp.map(drop).ok_or("not yet".to_owned())
    })
    .await;
    maps.get("plain").await.expect("what a pod may use outlives it");
    // As its kubelet would, once the containers have stopped.
    pods.delete("web", &DeleteParams::default().grace_period(0))
        .await
        .expect("confirmed");
    gone(&maps, "plain").await;
    namespaces.get("team").await.expect("a held object keeps the namespace");
    let release = Patch::Merge(json!({"metadata": {"finalizers": null}}));
    maps.patch("held", &PatchParams::default(), &release)
        .await
        .expect("released");
    gone(&namespaces, "team").await;
}

#[tokio::test]
async fn a_cordoned_node_is_tainted_and_other_taints_stay() {
    let server = Server::start().await;
    let _running = start(&server, patient());
    let mut own: Node = node("n", "1", "1Gi");
    own.spec = from(json!({"taints": [{"key": "dedicated", "value": "db", "effect": "NoSchedule"}]}));
    server.create_node(own).await;
    let cordon = Patch::Merge(json!({"spec": {"unschedulable": true}}));
    server
        .nodes()
        .patch("n", &PatchParams::default(), &cordon)
        .await
        .expect("cordoned");
    taints_are(
        &server,
        "n",
        &["dedicated:NoSchedule", "node.kubernetes.io/unschedulable:NoSchedule"],
    )
    .await;
}

async fn gone<K>(objects: &Api<K>, name: &str)
where
    K: Clone + std::fmt::Debug + serde::de::DeserializeOwned,
{
    eventually(&format!("{name} is gone"), || async {
        match objects.get_opt(name).await.expect("an answer") {
            None => Ok(()),
            Some(_) => Err("it is there".to_owned()),
        }
    })
    .await;
}
