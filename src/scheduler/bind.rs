//! Binds a pod to its node through the API, and finds out what came of it.

use std::time::Duration;

use k8s_openapi::api::core::v1::{Binding, ObjectReference, PersistentVolume, PersistentVolumeClaim, Pod};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, Status};
use kube::api::PostParams;
use kube::{Api, Client, ResourceExt as _};

use super::pod::{PendingPod, uid};
use super::snapshot::Bindings;
use super::state::Bound;
use crate::client::Told;

/// How long to wait before asking again what became of a binding; doubles up to the longest.
const FIRST_PAUSE: Duration = Duration::from_millis(250);
/// The longest such wait: an API server that comes back should not be kept waiting for its pods.
const LONGEST_PAUSE: Duration = Duration::from_secs(5);

/// What came of a binding, and why it failed, if it did.
pub(super) struct Outcome {
    pub bound: Bound,
    /// Whether our own request did it.
    pub ours: bool,
    pub error: Option<Failure>,
}

/// Why a binding failed.
#[derive(Debug, thiserror::Error)]
pub(super) enum Failure {
    /// The API refused it or did not answer.
    #[error(transparent)]
    Api(kube::Error),
    /// The volumes could not be made the pod's.
    #[error("binding volumes")]
    Volumes(#[source] kube::Error),
    /// The volumes did not become the pod's.
    #[error("binding volumes: {0}")]
    NotBound(String),
}

impl Outcome {
    /// The pod is on no node, and nobody was asked to put it on one.
    pub fn not_tried(error: Failure) -> Self {
        Self {
            bound: Bound::Not,
            ours: false,
            error: Some(error),
        }
    }
}

/// Writes what makes volumes the pod's own, each over the version that was decided by.
///
/// # Errors
/// Where the API refuses, also because something has changed since.
pub(super) async fn prepare(client: &Client, bindings: &Bindings) -> Result<(), Failure> {
    let volumes: Api<PersistentVolume> = Api::all(client.clone());
    for volume in &bindings.volumes {
        let written = volumes
            .replace(&volume.name_any(), &PostParams::default(), volume)
            .await;
        written.map_err(Failure::Volumes)?;
    }
    for claim in &bindings.claims {
        let claims = Api::<PersistentVolumeClaim>::namespaced(client.clone(), &claim.namespace().unwrap_or_default());
        let written = claims.replace(&claim.name_any(), &PostParams::default(), claim).await;
        written.map_err(Failure::Volumes)?;
    }
    Ok(())
}

/// Binds the pod. Whatever fails, the API has the last word: a lost answer may well have bound the pod, so it is
/// read again, for as long as that takes, before anything is concluded.
pub(super) async fn bind(client: &Client, pod: &PendingPod, node: &str) -> Outcome {
    let pods: Api<Pod> = Api::namespaced(client.clone(), &pod.info.namespace);
    let error = match post(&pods, pod, node).await {
        Ok(()) => {
            return Outcome {
                bound: Bound::On(node.into()),
                ours: true,
                error: None,
            };
        }
        Err(error) => error,
    };
    let bound = settle(&pods, pod).await;
    let ours = bound == Bound::On(node.into()) && !matches!(error, kube::Error::Api(_));
    Outcome {
        bound,
        ours,
        error: Some(Failure::Api(error)),
    }
}

async fn post(pods: &Api<Pod>, pod: &PendingPod, node: &str) -> Result<(), kube::Error> {
    let binding = Binding {
        metadata: ObjectMeta {
            name: Some(pod.info.name.clone()),
            namespace: Some(pod.info.namespace.clone()),
            // Refused if a new pod has taken the name.
            uid: Some(pod.info.uid.to_string()),
            ..ObjectMeta::default()
        },
        target: ObjectReference {
            api_version: Some("v1".to_owned()),
            kind: Some("Node".to_owned()),
            name: Some(node.to_owned()),
            ..ObjectReference::default()
        },
    };
    pods.create_subresource::<Binding, Status>("binding", &pod.info.name, &PostParams::default(), &binding)
        .await?;
    Ok(())
}

/// Reads the pod until the API answers.
async fn settle(pods: &Api<Pod>, pod: &PendingPod) -> Bound {
    let mut pause = FIRST_PAUSE;
    loop {
        match pods.get_opt(&pod.info.name).await {
            Ok(read) => return judge(read.as_ref(), &pod.info.uid),
            Err(error) => {
                tracing::debug!(pod = %pod.info.name, error = %Told(&error), "cannot read what became of a binding")
            }
        }
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(LONGEST_PAUSE);
    }
}

fn judge(read: Option<&Pod>, wanted: &str) -> Bound {
    let Some(pod) = read.filter(|pod| *uid(pod) == *wanted) else {
        return Bound::Gone;
    };
    let node = pod.spec.as_ref().and_then(|spec| spec.node_name.as_deref());
    match node.filter(|node| !node.is_empty()) {
        Some(node) => Bound::On(node.into()),
        None if pod.metadata.deletion_timestamp.is_some() => Bound::Gone,
        None => Bound::Not,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    #[test]
    fn what_is_read_decides_what_came_of_a_binding() {
        let read = |uid: &str, node: Value, deleted: Value| -> Option<Pod> {
            let metadata = json!({"name": "p", "uid": uid, "deletionTimestamp": deleted});
            let pod = json!({"metadata": metadata, "spec": {"containers": [], "nodeName": node}});
            Some(serde_json::from_value(pod).expect("a pod"))
        };
        let then = json!("2026-01-02T03:04:05Z");
        for (name, pod, wanted) in [
            ("bound", read("u", json!("n"), Value::Null), Bound::On("n".into())),
            (
                "bound and going",
                read("u", json!("n"), then.clone()),
                Bound::On("n".into()),
            ),
            ("not bound", read("u", Value::Null, Value::Null), Bound::Not),
            ("an empty name is none", read("u", json!(""), Value::Null), Bound::Not),
            ("never to be bound", read("u", Value::Null, then), Bound::Gone),
            ("another of its name", read("v", json!("n"), Value::Null), Bound::Gone),
            ("gone", None, Bound::Gone),
        ] {
            assert_eq!(judge(pod.as_ref(), "u"), wanted, "{name}");
        }
    }
}
