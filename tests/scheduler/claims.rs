//! Claims and volumes: bound to one another, kept while in use, let go, whenever the controller is broken off.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use axum::extract::Request;
use axum::middleware::{Next, from_fn};
use axum::response::IntoResponse;
use http::{Method, StatusCode};
use k8s_openapi::api::core::v1::{PersistentVolume, PersistentVolumeClaim};
use k8s_openapi::api::storage::v1::StorageClass;
use kube::api::{DeleteParams, ListParams, Patch, PatchParams, PostParams};
use kube::{Api, Client};
use reconcile::controllers;
use serde_json::{Value, json};
use tokio_util::sync::{CancellationToken, DropGuard};

use super::harness::{Server, eventually, from, node, pod};

fn start(client: Client) -> DropGuard {
    let shutdown = CancellationToken::new();
    tokio::spawn(controllers::run(
        client,
        controllers::Config::default(),
        shutdown.clone(),
    ));
    shutdown.drop_guard()
}

fn volumes(server: &Server) -> Api<PersistentVolume> {
    Api::all(server.client.clone())
}

fn claims(server: &Server) -> Api<PersistentVolumeClaim> {
    Api::default_namespaced(server.client.clone())
}

async fn create_volume(server: &Server, name: &str, size: &str, class: &str) -> PersistentVolume {
    let volume = json!({
        "apiVersion": "v1",
        "kind": "PersistentVolume",
        "metadata": {"name": name},
        "spec": {
            "capacity": {"storage": size}, "accessModes": ["ReadWriteOnce"], "storageClassName": class,
            "persistentVolumeReclaimPolicy": "Retain", "hostPath": {"path": "/data"},
        },
    });
    let created = volumes(server).create(&PostParams::default(), &from(volume)).await;
    created.expect("the volume is created")
}

async fn create_claim(server: &Server, name: &str, size: &str, class: &str) -> PersistentVolumeClaim {
    let claim = json!({
        "apiVersion": "v1",
        "kind": "PersistentVolumeClaim",
        "metadata": {"name": name},
        "spec": {
            "accessModes": ["ReadWriteOnce"], "storageClassName": class,
            "resources": {"requests": {"storage": size}},
        },
    });
    let created = claims(server).create(&PostParams::default(), &from(claim)).await;
    created.expect("the claim is created")
}

/// Waits until the volume is in that phase.
async fn volume_is(server: &Server, name: &str, phase: &str) -> PersistentVolume {
    eventually(&format!("volume {name} is {phase}"), || async {
        let volume = volumes(server).get(name).await.expect("the volume");
        match volume.status.as_ref().and_then(|status| status.phase.as_deref()) {
            Some(said) if said == phase => Ok(volume),
            other => Err(format!("{other:?}")),
        }
    })
    .await
}

/// Waits until the claim is in that phase.
async fn claim_is(server: &Server, name: &str, phase: &str) -> PersistentVolumeClaim {
    eventually(&format!("claim {name} is {phase}"), || async {
        let claim = claims(server).get_opt(name).await.expect("an answer");
        match claim.as_ref().and_then(|claim| claim.status.as_ref()?.phase.as_deref()) {
            Some(said) if said == phase => Ok(claim.expect("it has a phase")),
            other => Err(format!("{other:?}")),
        }
    })
    .await
}

async fn claim_goes(server: &Server, name: &str) {
    eventually(&format!("claim {name} goes"), || async {
        match claims(server).get_opt(name).await.expect("an answer") {
            None => Ok(()),
            Some(claim) => Err(format!("{:?}", claim.metadata)),
        }
    })
    .await;
}

/// Waits for the event and tells how often it is there.
async fn told(server: &Server, about: &str, reason: &str) -> usize {
    eventually(&format!("{reason} is told"), || async {
        match server.events(about, reason).await.len() {
            0 => Err("it is not".to_owned()),
            count => Ok(count),
        }
    })
    .await
}

fn uid(claim: &PersistentVolumeClaim) -> Option<String> {
    claim.metadata.uid.clone()
}

fn holder(volume: &PersistentVolume) -> Option<String> {
    volume.spec.as_ref()?.claim_ref.as_ref()?.uid.clone()
}

fn of_claim(name: &str) -> Value {
    json!({"nodeName": "n", "volumes": [{"name": "data", "persistentVolumeClaim": {"claimName": name}}]})
}

#[tokio::test]
async fn a_claim_and_its_volume_through_their_lives() {
    let server = Server::start().await;
    let _running = start(server.client.clone());
    create_volume(&server, "large", "9Gi", "").await;
    volume_is(&server, "large", "Available").await;
    create_volume(&server, "small", "2Gi", "").await;
    volume_is(&server, "small", "Available").await;
    create_claim(&server, "data", "1Gi", "").await;
    let claim = claim_is(&server, "data", "Bound").await;
    let spec = claim.spec.clone().expect("a spec");
    assert_eq!(spec.volume_name.as_deref(), Some("small"));
    let capacity = claim
        .status
        .clone()
        .and_then(|status| status.capacity)
        .expect("a capacity");
    assert_eq!(capacity["storage"].0, "2Gi");
    let volume = volume_is(&server, "small", "Bound").await;
    assert_eq!(holder(&volume), uid(&claim));

    let doomed = volumes(&server).delete("small", &DeleteParams::default()).await;
    assert!(doomed.expect("an answer").is_left(), "it is bound, and stays for now");
    claims(&server)
        .delete("data", &DeleteParams::default())
        .await
        .expect("deleted");
    claim_goes(&server, "data").await;
    eventually("the volume goes with it", || async {
        match volumes(&server).get_opt("small").await.expect("an answer") {
            None => Ok(()),
            Some(volume) => Err(format!("{:?}", volume.status)),
        }
    })
    .await;
    volume_is(&server, "large", "Available").await;
}

#[tokio::test]
async fn a_binding_is_gone_on_with_wherever_it_was_broken_off() {
    for writes in 0..4 {
        let server = Server::start().await;
        create_volume(&server, "v", "1Gi", "").await;
        let running = start(server.client.clone());
        volume_is(&server, "v", "Available").await;
        drop(running);
        create_claim(&server, "c", "1Gi", "").await;
        // The first controller's connection is cut after that many writes.
        let made = Arc::new(AtomicUsize::new(0));
        let count = made.clone();
        let cut = server.router().layer(from_fn(move |request: Request, next: Next| {
            let path = request.uri().path();
            let storage = path.contains("/persistentvolume");
            let is_write = request.method() != Method::GET && storage;
            let refused = is_write && count.fetch_add(1, Ordering::SeqCst) >= writes;
            async move {
                match refused {
                    true => StatusCode::SERVICE_UNAVAILABLE.into_response(),
                    false => next.run(request).await,
                }
            }
        }));
        let first = start(Client::new(cut, "default"));
        eventually("it was cut off", || async {
            match made.load(Ordering::SeqCst) {
                made if made > writes => Ok(()),
                made => Err(format!("{made} writes")),
            }
        })
        .await;
        drop(first);
        let claim = claims(&server).get("c").await.expect("the claim");
        let phase = claim.status.and_then(|status| status.phase);
        assert_eq!(phase.as_deref(), Some("Pending"), "{writes} writes are not all");
        let _second = start(server.client.clone());
        let claim = claim_is(&server, "c", "Bound").await;
        let volume = volume_is(&server, "v", "Bound").await;
        assert_eq!(holder(&volume), uid(&claim), "after {writes} writes");
    }
}

#[tokio::test]
async fn many_claims_share_no_volume() {
    let server = Server::start().await;
    let _running = start(server.client.clone());
    for index in 0..12 {
        create_volume(&server, &format!("v{index}"), "1Gi", "").await;
        create_claim(&server, &format!("c{index}"), "1Gi", "").await;
    }
    for index in 0..12 {
        claim_is(&server, &format!("c{index}"), "Bound").await;
    }
    let claims = claims(&server).list(&ListParams::default()).await.expect("claims");
    for claim in claims {
        let name = claim.spec.clone().and_then(|spec| spec.volume_name).expect("a volume");
        let volume = volumes(&server).get(&name).await.expect("the volume");
        assert_eq!(holder(&volume), uid(&claim), "{name}");
    }
}

#[tokio::test]
async fn what_waits_says_why_and_says_it_once() {
    let server = Server::start().await;
    let _running = start(server.client.clone());
    let class = json!({
        "apiVersion": "storage.k8s.io/v1", "kind": "StorageClass", "metadata": {"name": "later"},
        "provisioner": "kubernetes.io/no-provisioner", "volumeBindingMode": "WaitForFirstConsumer",
    });
    let classes: Api<StorageClass> = Api::all(server.client.clone());
    classes
        .create(&PostParams::default(), &from(class))
        .await
        .expect("the class");
    create_volume(&server, "local", "1Gi", "later").await;
    create_claim(&server, "none", "1Gi", "").await;
    create_claim(&server, "waits", "1Gi", "later").await;
    told(&server, "none", "FailedBinding").await;
    told(&server, "waits", "WaitForFirstConsumer").await;
    // Once these are bound the controller has been by many times.
    for index in 0..4 {
        create_volume(&server, &format!("v{index}"), "2Gi", "other").await;
        create_claim(&server, &format!("c{index}"), "2Gi", "other").await;
        claim_is(&server, &format!("c{index}"), "Bound").await;
    }
    assert_eq!(told(&server, "none", "FailedBinding").await, 1);
    assert_eq!(told(&server, "waits", "WaitForFirstConsumer").await, 1);
    claim_is(&server, "waits", "Pending").await;
    // The scheduler sets a volume aside.
    let aside = json!({"spec": {"claimRef": {"namespace": "default", "name": "waits"}}});
    let aside = volumes(&server)
        .patch("local", &PatchParams::default(), &Patch::Merge(aside))
        .await;
    aside.expect("it is set aside");
    claim_is(&server, "waits", "Bound").await;
}

#[tokio::test]
async fn a_claim_stays_for_its_pod() {
    let server = Server::start().await;
    server.create_node(node("n", "4", "4Gi")).await;
    let _running = start(server.client.clone());
    create_volume(&server, "v", "1Gi", "").await;
    create_claim(&server, "c", "1Gi", "").await;
    claim_is(&server, "c", "Bound").await;
    server.create_pod(&pod("user", "0", of_claim("c"))).await;
    claims(&server)
        .delete("c", &DeleteParams::default())
        .await
        .expect("an answer");
    // Another one that nobody uses has gone meanwhile.
    create_claim(&server, "unused", "1Gi", "").await;
    claims(&server)
        .delete("unused", &DeleteParams::default())
        .await
        .expect("an answer");
    claim_goes(&server, "unused").await;
    let claim = claims(&server).get("c").await.expect("it is still there");
    assert!(claim.metadata.deletion_timestamp.is_some());
    let ended = Patch::Merge(json!({"status": {"phase": "Succeeded"}}));
    server
        .pods()
        .patch_status("user", &PatchParams::default(), &ended)
        .await
        .expect("it ends");
    claim_goes(&server, "c").await;
    volume_is(&server, "v", "Released").await;
}

#[tokio::test]
async fn a_claim_whose_volume_is_gone_is_lost() {
    let server = Server::start().await;
    let _running = start(server.client.clone());
    create_volume(&server, "v", "1Gi", "").await;
    create_claim(&server, "c", "1Gi", "").await;
    claim_is(&server, "c", "Bound").await;
    volumes(&server)
        .delete("v", &DeleteParams::default())
        .await
        .expect("an answer");
    let forced = Patch::Merge(json!({"metadata": {"finalizers": null}}));
    volumes(&server)
        .patch("v", &PatchParams::default(), &forced)
        .await
        .expect("it goes");
    claim_is(&server, "c", "Lost").await;
    assert_eq!(told(&server, "c", "ClaimLost").await, 1);
}

#[tokio::test]
async fn a_volume_that_nobody_deletes_has_failed() {
    let server = Server::start().await;
    let _running = start(server.client.clone());
    create_volume(&server, "v", "1Gi", "").await;
    let delete = Patch::Merge(json!({"spec": {"persistentVolumeReclaimPolicy": "Delete"}}));
    volumes(&server)
        .patch("v", &PatchParams::default(), &delete)
        .await
        .expect("patched");
    create_claim(&server, "c", "1Gi", "").await;
    claim_is(&server, "c", "Bound").await;
    claims(&server)
        .delete("c", &DeleteParams::default())
        .await
        .expect("an answer");
    let failed = volume_is(&server, "v", "Failed").await;
    let message = failed.status.and_then(|status| status.message).expect("a message");
    assert!(message.contains("no deletable volume plugin matched"), "{message}");
    assert_eq!(told(&server, "v", "VolumeFailedDelete").await, 1);
}

#[tokio::test]
async fn a_pods_own_claim_comes_and_goes_with_it() {
    let server = Server::start().await;
    server.create_node(node("n", "4", "4Gi")).await;
    let _running = start(server.client.clone());
    create_volume(&server, "v", "1Gi", "").await;
    let spec = json!({
        "accessModes": ["ReadWriteOnce"], "storageClassName": "", "resources": {"requests": {"storage": "1Gi"}},
    });
    let own = json!({"name": "scratch", "ephemeral": {"volumeClaimTemplate": {"spec": spec}}});
    let created = server
        .create_pod(&pod("web", "0", json!({"nodeName": "n", "volumes": [own]})))
        .await;
    let claim = claim_is(&server, "web-scratch", "Bound").await;
    let owners = claim.metadata.owner_references.expect("an owner");
    assert_eq!(Some(&owners[0].uid), created.metadata.uid.as_ref());
    server.delete_pod("web").await;
    claim_goes(&server, "web-scratch").await;
    volume_is(&server, "v", "Released").await;
}
