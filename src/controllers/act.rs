//! Carries out what was decided. Reads again before it writes, and writes only over what it read.

use std::time::Duration;

use k8s_openapi::api::coordination::v1::Lease;
use k8s_openapi::api::core::v1::{Node, ObjectReference, Pod};
use k8s_openapi::jiff::{SignedDuration, Timestamp};
use kube::api::{DeleteParams, Patch, PatchParams, Preconditions};
use kube::{Api, Client};
use serde_json::json;

use super::world::PodView;
use super::{event, node_lifecycle};

/// Where kubelets renew their leases.
pub(super) const LEASES: &str = "kube-node-lease";

/// Something to do.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Action {
    /// This node has been silent for too long.
    Silence { node: String, grace: Duration },
    /// This node's taints do not fit its conditions.
    Taint { node: String },
    /// A taint drives this pod out.
    Evict { pod: PodView },
    /// This pod's node does not exist.
    Orphan { pod: PodView },
    /// This pod is to go without grace.
    Collect { pod: PodView },
}

impl Action {
    /// What it is about: two actions about the same thing never run at once.
    pub(super) fn about(&self) -> String {
        match self {
            Self::Silence { node, .. } | Self::Taint { node } => node.clone(),
            Self::Evict { pod } | Self::Orphan { pod } | Self::Collect { pod } => pod.uid.to_string(),
        }
    }
}

/// What came of an action.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    /// It is done, or turned out to be needless.
    Done,
    /// This node lives; only its signs of life had not arrived.
    Alive(String),
}

/// Does it. What turns out to be needless or gone is done.
///
/// # Errors
/// Where the API fails, or what was read has changed before it was written: decided on again later.
pub(super) async fn carry_out(client: &Client, action: Action) -> Result<Outcome, kube::Error> {
    let result = match action {
        Action::Silence { node, grace } => match silence(client, &node, grace).await {
            Ok(true) => return Ok(Outcome::Alive(node)),
            other => other.map(drop),
        },
        Action::Taint { node } => taint(client, &node).await,
        Action::Evict { pod } => evict(client, &pod).await,
        Action::Orphan { pod } => orphan(client, &pod).await,
        Action::Collect { pod } => delete(client, &pod, Some(0)).await,
    };
    match result {
        Err(kube::Error::Api(status)) if status.is_not_found() => Ok(Outcome::Done),
        other => other.map(|()| Outcome::Done),
    }
}

/// Makes the node's conditions unknown, unless its lease says that it is alive, which is told.
async fn silence(client: &Client, name: &str, grace: Duration) -> Result<bool, kube::Error> {
    let leases: Api<Lease> = Api::namespaced(client.clone(), LEASES);
    let now = Timestamp::now();
    let lease = leases.get_opt(name).await?.and_then(|lease| lease.spec?.renew_time);
    let grace = SignedDuration::try_from(grace).unwrap_or(SignedDuration::MAX);
    if lease.is_some_and(|renewed| now.duration_since(renewed.0) < grace) {
        return Ok(true);
    }
    let nodes: Api<Node> = Api::all(client.clone());
    let node = nodes.get(name).await?;
    let Some(conditions) = node_lifecycle::unknown_conditions(&node, now) else {
        return Ok(false);
    };
    let patch = json!({
        "metadata": {"resourceVersion": node.metadata.resource_version},
        "status": {"conditions": conditions},
    });
    nodes
        .patch_status(name, &PatchParams::default(), &Patch::Strategic(patch))
        .await?;
    tracing::warn!(node = name, "the kubelet stopped renewing its lease");
    let told = event::Event {
        component: "node-controller",
        severity: event::NORMAL,
        reason: "NodeNotReady",
        message: format!("Node {name} status is now: NodeNotReady"),
    };
    event::tell(client, node_reference(name), told).await;
    Ok(false)
}

async fn taint(client: &Client, name: &str) -> Result<(), kube::Error> {
    let nodes: Api<Node> = Api::all(client.clone());
    let node = nodes.get(name).await?;
    let Some(taints) = node_lifecycle::wanted_taints(&node, Timestamp::now()) else {
        return Ok(());
    };
    // A merge patch replaces the list as a whole, and refuses where the node has changed since it was read.
    let patch = json!({
        "metadata": {"resourceVersion": node.metadata.resource_version},
        "spec": {"taints": taints},
    });
    nodes.patch(name, &PatchParams::default(), &Patch::Merge(patch)).await?;
    Ok(())
}

async fn evict(client: &Client, pod: &PodView) -> Result<(), kube::Error> {
    let about = ObjectReference {
        api_version: Some("v1".to_owned()),
        kind: Some("Pod".to_owned()),
        namespace: Some(pod.namespace.clone()),
        name: Some(pod.name.clone()),
        uid: Some(pod.uid.to_string()),
        ..ObjectReference::default()
    };
    delete(client, pod, None).await?;
    let told = event::Event {
        component: "taint-eviction-controller",
        severity: event::NORMAL,
        reason: "TaintManagerEviction",
        message: format!("Marking for deletion Pod {}/{}", pod.namespace, pod.name),
    };
    event::tell(client, about, told).await;
    Ok(())
}

async fn orphan(client: &Client, pod: &PodView) -> Result<(), kube::Error> {
    let nodes: Api<Node> = Api::all(client.clone());
    let node = pod.node.as_deref().unwrap_or_default();
    if nodes.get_opt(node).await?.is_some() {
        return Ok(());
    }
    tracing::info!(namespace = %pod.namespace, pod = %pod.name, node, "collecting a pod whose node is gone");
    delete(client, pod, Some(0)).await
}

async fn delete(client: &Client, pod: &PodView, grace_seconds: Option<u32>) -> Result<(), kube::Error> {
    let pods: Api<Pod> = Api::namespaced(client.clone(), &pod.namespace);
    let parameters = DeleteParams {
        grace_period_seconds: grace_seconds,
        preconditions: Some(Preconditions {
            uid: Some(pod.uid.to_string()),
            resource_version: None,
        }),
        ..DeleteParams::default()
    };
    match pods.delete(&pod.name, &parameters).await {
        // A new pod has taken the name: the one meant is gone.
        Err(kube::Error::Api(status)) if status.is_conflict() => Ok(()),
        other => other.map(drop),
    }
}

fn node_reference(name: &str) -> ObjectReference {
    ObjectReference {
        api_version: Some("v1".to_owned()),
        kind: Some("Node".to_owned()),
        name: Some(name.to_owned()),
        // kubectl looks for a node's events by its name here.
        uid: Some(name.to_owned()),
        ..ObjectReference::default()
    }
}
