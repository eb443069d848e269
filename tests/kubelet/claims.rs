//! Volumes of claims: waited for, mounted, and refused with a reason.

use std::fs;

use k8s_openapi::api::core::v1::{PersistentVolume, PersistentVolumeClaim, Pod};
use kube::Api;
use kube::api::{DeleteParams, PostParams};
use reconcile::controllers;
use serde_json::{Value, json};
use tokio_util::sync::{CancellationToken, DropGuard};

use super::harness::{Cluster, phase, shell};
use crate::support::docker;

/// Binds claims, until the guard is dropped.
fn bind(cluster: &Cluster) -> DropGuard {
    let shutdown = CancellationToken::new();
    let config = controllers::Config::default();
    tokio::spawn(controllers::run(cluster.client.clone(), config, shutdown.clone()));
    shutdown.drop_guard()
}

async fn create_volume(cluster: &Cluster, name: &str, source: Value) {
    let mut spec = json!({
        "capacity": {"storage": "1Gi"}, "accessModes": ["ReadWriteOnce"], "storageClassName": name,
        "persistentVolumeReclaimPolicy": "Retain",
    });
    for (key, value) in source.as_object().expect("fields") {
        spec[key] = value.clone();
    }
    let volume = json!({"apiVersion": "v1", "kind": "PersistentVolume", "metadata": {"name": name}, "spec": spec});
    let volume: PersistentVolume = serde_json::from_value(volume).expect("a volume");
    let volumes = Api::all(cluster.client.clone());
    volumes.create(&PostParams::default(), &volume).await.expect("created");
}

/// What asks for the volume of that name, by its class.
fn asks(class: &str) -> Value {
    json!({
        "accessModes": ["ReadWriteOnce"], "storageClassName": class, "resources": {"requests": {"storage": "1Gi"}},
    })
}

async fn create_claim(cluster: &Cluster, name: &str, class: &str) {
    let claim = json!({
        "apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": {"name": name}, "spec": asks(class),
    });
    let claim: PersistentVolumeClaim = serde_json::from_value(claim).expect("a claim");
    let claims = Api::default_namespaced(cluster.client.clone());
    claims.create(&PostParams::default(), &claim).await.expect("created");
}

fn of_claim(name: &str) -> Value {
    json!({"name": "data", "persistentVolumeClaim": {"claimName": name}})
}

/// A pod that runs the script once, with the volume at /data, its sub-path `in` at /part, and read-only at /look.
fn runs(script: &str, volume: Value) -> Value {
    let mut run = shell("c", script);
    run["volumeMounts"] = json!([
        {"name": "data", "mountPath": "/data"},
        {"name": "data", "mountPath": "/part", "subPath": "in"},
        {"name": "data", "mountPath": "/look", "readOnly": true},
    ]);
    json!({"restartPolicy": "Never", "containers": [run], "volumes": [volume]})
}

async fn until_succeeded(cluster: &Cluster, name: &str) {
    let ended = |pod: &Pod| phase(pod) == "Succeeded";
    cluster.until(name, "it ended well", ended).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pod_waits_for_its_claim_and_then_has_it() {
    let cluster = Cluster::start().await;
    let _binding = bind(&cluster);
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("made");
    let failed = |why: &str| format!("FailedMount: MountVolume.SetUp failed for volume \"data\" : {why}");
    let script = "set -e; echo kept > /data/file; echo part > /part/x; [ \"$(cat /look/file)\" = kept ]; \
                  ! touch /look/y";
    cluster.create("web", runs(script, of_claim("data"))).await;
    cluster
        .until_event("web", &failed("persistentvolumeclaim \"data\" not found"))
        .await;
    create_claim(&cluster, "data", "v").await;
    cluster
        .until_event("web", &failed("persistentvolumeclaim \"data\" is not bound"))
        .await;
    assert_eq!(
        docker::with_sandboxes(cluster.node()),
        [],
        "nothing was made for nothing"
    );
    create_volume(&cluster, "v", json!({"hostPath": {"path": path}})).await;
    until_succeeded(&cluster, "web").await;
    assert_eq!(fs::read_to_string(path.join("file")).expect("the file"), "kept\n");
    assert_eq!(fs::read_to_string(path.join("in/x")).expect("the file"), "part\n");
    // Another pod finds what the first one left, and may not write where it says so.
    let mut read_only = of_claim("data");
    read_only["persistentVolumeClaim"]["readOnly"] = json!(true);
    let script = "[ \"$(cat /data/file)\" = kept ] && ! touch /data/z";
    cluster.create("reader", runs(script, read_only)).await;
    until_succeeded(&cluster, "reader").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_local_volume_must_be_there() {
    let cluster = Cluster::start().await;
    let _binding = bind(&cluster);
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("disk");
    let hostname = json!({"key": "kubernetes.io/hostname", "operator": "In", "values": [cluster.node()]});
    let affinity = json!({"required": {"nodeSelectorTerms": [{"matchExpressions": [hostname]}]}});
    create_volume(
        &cluster,
        "v",
        json!({"local": {"path": path}, "nodeAffinity": affinity}),
    )
    .await;
    create_claim(&cluster, "data", "v").await;
    cluster
        .create("web", runs("echo 1 > /data/file", of_claim("data")))
        .await;
    let missing = format!("local path {path:?} does not exist on this node");
    let failed = format!("FailedMount: MountVolume.SetUp failed for volume \"data\" : {missing}");
    cluster.until_event("web", &failed).await;
    fs::create_dir(&path).expect("made");
    until_succeeded(&cluster, "web").await;
    assert!(path.join("file").exists());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_volume_that_cannot_be_mounted_here_says_why() {
    let cluster = Cluster::start().await;
    let _binding = bind(&cluster);
    let elsewhere = json!({"key": "kubernetes.io/hostname", "operator": "In", "values": ["elsewhere"]});
    let affinity = json!({"required": {"nodeSelectorTerms": [{"matchExpressions": [elsewhere]}]}});
    let local = json!({"local": {"path": "/tmp"}, "nodeAffinity": affinity});
    for (name, source, why) in [
        (
            "share",
            json!({"nfs": {"server": "s", "path": "/"}}),
            "is of kind nfs, which is not supported",
        ),
        ("away", local, "is not for this node: no matching NodeSelectorTerms"),
    ] {
        create_volume(&cluster, name, source).await;
        create_claim(&cluster, name, name).await;
        cluster.create(name, runs("true", of_claim(name))).await;
        let failed =
            format!("FailedMount: MountVolume.SetUp failed for volume \"data\" : persistentvolume \"{name}\" {why}");
        cluster.until_event(name, &failed).await;
    }
    assert_eq!(docker::with_sandboxes(cluster.node()), []);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pod_brings_its_own_claim_along() {
    let cluster = Cluster::start().await;
    let _binding = bind(&cluster);
    let directory = tempfile::tempdir().expect("a directory");
    create_volume(&cluster, "v", json!({"hostPath": {"path": directory.path()}})).await;
    let own = json!({"name": "data", "ephemeral": {"volumeClaimTemplate": {"spec": asks("v")}}});
    cluster.create("web", runs("echo own > /data/file", own)).await;
    until_succeeded(&cluster, "web").await;
    let file = directory.path().join("file");
    assert_eq!(fs::read_to_string(file).expect("the file"), "own\n");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_claim_that_is_going_starts_no_pod_and_stays_for_one_that_runs() {
    let cluster = Cluster::start().await;
    let _binding = bind(&cluster);
    let directory = tempfile::tempdir().expect("a directory");
    create_volume(&cluster, "v", json!({"hostPath": {"path": directory.path()}})).await;
    create_claim(&cluster, "data", "v").await;
    let script = "trap 'exit 0' TERM; [ -e /data/again ] && exit 0; until [ -e /data/end ]; do sleep 0.1; done; \
                  touch /data/again; exit 1";
    let mut spec = runs(script, of_claim("data"));
    spec["restartPolicy"] = json!("OnFailure");
    cluster.create("first", spec).await;
    cluster.until_ready("first").await;
    let claims = Api::<PersistentVolumeClaim>::default_namespaced(cluster.client.clone());
    claims
        .delete("data", &DeleteParams::default())
        .await
        .expect("an answer");
    cluster.create("second", runs("true", of_claim("data"))).await;
    let why = "can't start pod because persistentvolumeclaim \"data\" is being deleted";
    let failed = format!("FailedMount: MountVolume.SetUp failed for volume \"data\" : {why}");
    cluster.until_event("second", &failed).await;
    fs::write(directory.path().join("end"), "").expect("written");
    until_succeeded(&cluster, "first").await;
    cluster.delete("second", 0).await;
    cluster.until_gone("second").await;
}
