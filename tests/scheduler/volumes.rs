//! Pods, their claims and volumes, through a real API server with the scheduler and the controllers.

use std::fmt::Debug;

use k8s_openapi::NamespaceResourceScope;
use k8s_openapi::api::core::v1::{PersistentVolume, PersistentVolumeClaim};
use k8s_openapi::api::storage::v1::StorageClass;
use kube::api::{DeleteParams, PostParams};
use kube::{Api, Resource};
use reconcile::controllers;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use tokio_util::sync::{CancellationToken, DropGuard};

use super::harness::{Running, Server, eventually, from, node, pod};

const NO_HELP: &str = "preemption: 0/2 nodes are available: 2 Preemption is not helpful for scheduling.";

/// Two nodes, a class that waits for pods, and all that acts.
async fn world() -> (Server, Running, DropGuard) {
    let server = Server::start().await;
    for name in ["a", "b"] {
        server.create_node(node(name, "4", "4Gi")).await;
    }
    let class = json!({"metadata": {"name": "local"}, "provisioner": "kubernetes.io/no-provisioner",
        "volumeBindingMode": "WaitForFirstConsumer"});
    create::<StorageClass>(&Api::all(server.client.clone()), class).await;
    let scheduler = server.scheduler();
    let shutdown = CancellationToken::new();
    let config = controllers::Config::default();
    tokio::spawn(controllers::run(server.client.clone(), config, shutdown.clone()));
    (server, scheduler, shutdown.drop_guard())
}

async fn create<K: Clone + DeserializeOwned + Debug + Serialize>(api: &Api<K>, object: Value) {
    api.create(&PostParams::default(), &from(object))
        .await
        .expect("it is created");
}

fn volumes(server: &Server) -> Api<PersistentVolume> {
    Api::all(server.client.clone())
}

fn claims(server: &Server) -> Api<PersistentVolumeClaim> {
    of_namespace(server)
}

fn of_namespace<K: Resource<DynamicType = (), Scope = NamespaceResourceScope>>(server: &Server) -> Api<K> {
    Api::default_namespaced(server.client.clone())
}

async fn create_volume(server: &Server, name: &str, node: &str, size: &str, policy: &str) {
    let volume = json!({"metadata": {"name": name}, "spec": {
        "capacity": {"storage": size}, "accessModes": ["ReadWriteOnce"], "storageClassName": "local",
        "persistentVolumeReclaimPolicy": policy, "local": {"path": "/data"},
        "nodeAffinity": {"required": {"nodeSelectorTerms": [{"matchExpressions": [
            {"key": "kubernetes.io/hostname", "operator": "In", "values": [node]}]}]}}}});
    create(&volumes(server), volume).await;
}

async fn create_claim(server: &Server, name: &str, class: &str) {
    let claim = json!({"metadata": {"name": name}, "spec": {"accessModes": ["ReadWriteOnce"],
        "storageClassName": class, "resources": {"requests": {"storage": "1Gi"}}}});
    create(&claims(server), claim).await;
}

fn using(name: &str, claim: &str) -> k8s_openapi::api::core::v1::Pod {
    let volumes = json!([{"name": "v", "persistentVolumeClaim": {"claimName": claim}}]);
    pod(name, "100m", json!({"volumes": volumes}))
}

async fn claim_is(server: &Server, name: &str, phase: &str, volume: &str) {
    eventually(&format!("claim {name} is {phase} with {volume:?}"), || async {
        let claim = claims(server).get(name).await.expect("the claim");
        let has = claim.spec.and_then(|spec| spec.volume_name).unwrap_or_default();
        let is = claim.status.and_then(|status| status.phase).unwrap_or_default();
        if (is.as_str(), has.as_str()) == (phase, volume) {
            Ok(())
        } else {
            Err(format!("it is {is} with {has:?}"))
        }
    })
    .await;
}

async fn volume_is(server: &Server, name: &str, phase: &str) {
    eventually(&format!("volume {name} is {phase}"), || async {
        let volume = volumes(server).get(name).await.expect("the volume");
        let is = volume.status.and_then(|status| status.phase).unwrap_or_default();
        if is == phase {
            Ok(())
        } else {
            Err(format!("it is {is}"))
        }
    })
    .await;
}

#[tokio::test]
async fn a_pod_goes_where_a_volume_is_free_and_later_ones_follow_it() {
    let (server, scheduler, _controllers) = world().await;
    server.create_pod(&using("first", "data")).await;
    let refusal = format!("0/2 nodes are available: persistentvolumeclaim \"data\" not found. {NO_HELP}");
    server.refused("first", &refusal).await;
    create_claim(&server, "data", "local").await;
    let refusal =
        format!("0/2 nodes are available: 2 node(s) didn't find available persistent volumes to bind. {NO_HELP}");
    server.refused("first", &refusal).await;
    create_volume(&server, "large", "a", "9Gi", "Retain").await;
    create_volume(&server, "small", "b", "1Mi", "Retain").await;
    assert_eq!(server.bound("first").await, "a");
    claim_is(&server, "data", "Bound", "large").await;
    volume_is(&server, "large", "Bound").await;
    volume_is(&server, "small", "Available").await;
    server.create_pod(&using("second", "data")).await;
    assert_eq!(server.bound("second").await, "a");
    scheduler.stop().await;
}

#[tokio::test]
async fn a_claim_that_does_not_wait_is_bound_before_its_pod() {
    let (server, scheduler, _controllers) = world().await;
    server.create_pod(&using("early", "data")).await;
    let immediate = json!({"metadata": {"name": "now"}, "provisioner": "kubernetes.io/no-provisioner"});
    create::<StorageClass>(&Api::all(server.client.clone()), immediate).await;
    create_claim(&server, "data", "now").await;
    let refusal = format!("0/2 nodes are available: pod has unbound immediate PersistentVolumeClaims. {NO_HELP}");
    server.refused("early", &refusal).await;
    let volume = json!({"metadata": {"name": "v"}, "spec": {"capacity": {"storage": "1Gi"},
        "accessModes": ["ReadWriteOnce"], "storageClassName": "now", "hostPath": {"path": "/data"}}});
    create(&volumes(&server), volume).await;
    claim_is(&server, "data", "Bound", "v").await;
    server.bound("early").await;
    scheduler.stop().await;
}

#[tokio::test]
async fn what_is_used_stays_and_what_is_left_behind_is_told() {
    let (server, scheduler, _controllers) = world().await;
    for (name, policy, end) in [("kept", "Retain", "Released"), ("unwanted", "Delete", "Failed")] {
        create_volume(&server, name, "b", "1Gi", policy).await;
        create_claim(&server, name, "local").await;
        server.create_pod(&using(name, name)).await;
        assert_eq!(server.bound(name).await, "b", "{name}");
        claim_is(&server, name, "Bound", name).await;
        volume_is(&server, name, "Bound").await;
        claims(&server)
            .delete(name, &DeleteParams::default())
            .await
            .expect("it is told to go");
        claim_is(&server, name, "Bound", name).await;
        server.delete_pod(name).await;
        volume_is(&server, name, end).await;
        assert!(
            claims(&server).get_opt(name).await.expect("an answer").is_none(),
            "{name}"
        );
    }
    volumes(&server)
        .delete("kept", &DeleteParams::default())
        .await
        .expect("it is told to go");
    eventually("the volume is gone", || async {
        match volumes(&server).get_opt("kept").await.expect("an answer") {
            None => Ok(()),
            Some(volume) => Err(format!("{:?}", volume.metadata)),
        }
    })
    .await;
    scheduler.stop().await;
}

#[tokio::test]
async fn a_pods_own_claim_comes_and_goes_with_it() {
    let (server, scheduler, _controllers) = world().await;
    create_volume(&server, "v", "b", "1Gi", "Retain").await;
    let template = json!({"spec": {"accessModes": ["ReadWriteOnce"], "storageClassName": "local",
        "resources": {"requests": {"storage": "1Gi"}}}});
    let own = json!({"volumes": [{"name": "scratch", "ephemeral": {"volumeClaimTemplate": template}}]});
    server.create_pod(&pod("web", "100m", own)).await;
    assert_eq!(server.bound("web").await, "b");
    claim_is(&server, "web-scratch", "Bound", "v").await;
    server.delete_pod("web").await;
    volume_is(&server, "v", "Released").await;
    scheduler.stop().await;
}
