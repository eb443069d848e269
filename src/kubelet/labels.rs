//! Names and labels of the containers we make: all that a restarted kubelet knows of them. Never talks to Docker.
//!
//! The names and the `io.kubernetes.*` labels are those of Kubernetes' own Docker shim, so that tools made for it work here.

use std::collections::{BTreeMap, HashMap};

use k8s_openapi::api::core::v1::{Container, Pod};
use kube::ResourceExt;
use sha2::{Digest, Sha256};

use super::Config;

/// The pod's name.
pub const POD_NAME: &str = "io.kubernetes.pod.name";
/// The pod's namespace.
pub const POD_NAMESPACE: &str = "io.kubernetes.pod.namespace";
/// The pod's uid.
pub const POD_UID: &str = "io.kubernetes.pod.uid";
/// The container's name in its pod.
pub const CONTAINER_NAME: &str = "io.kubernetes.container.name";
/// [`TYPE_SANDBOX`] or [`TYPE_CONTAINER`].
pub const TYPE: &str = "io.kubernetes.docker.type";
/// Which sandbox (a Docker id) a container joined.
pub const SANDBOX_ID: &str = "io.kubernetes.sandbox.id";
/// Changes when the container has to be replaced.
pub const HASH: &str = "annotation.io.kubernetes.container.hash";
/// How often the container was started before, over all sandboxes of the pod.
pub const RESTART_COUNT: &str = "annotation.io.kubernetes.container.restartCount";
/// Seconds that a graceful stop may take.
pub const GRACE_PERIOD: &str = "annotation.io.kubernetes.pod.terminationGracePeriod";
/// Whether an empty termination message is filled from the log.
pub const MESSAGE_POLICY: &str = "annotation.io.kubernetes.container.terminationMessagePolicy";
/// The file on the host that takes the termination message.
pub const MESSAGE_FILE: &str = "dev.reconcile.termination-message-file";
/// The cluster whose kubelet made the container.
pub const CLUSTER: &str = "dev.reconcile.cluster";
/// The node whose kubelet made the container.
pub const NODE: &str = "dev.reconcile.node";
/// The image as the pod names it.
pub const IMAGE: &str = "dev.reconcile.image";
/// The image as `status.containerStatuses[].imageID` shows it.
pub const IMAGE_ID: &str = "dev.reconcile.image-id";
/// Seconds to wait after this container's end before the next start.
pub const BACKOFF_SECONDS: &str = "dev.reconcile.backoff-seconds";
/// JSON of the preStop hook, for stopping a container whose pod is no longer known.
pub const PRE_STOP: &str = "dev.reconcile.pre-stop";

/// [`TYPE`] of the container that holds a pod's namespaces.
pub const TYPE_SANDBOX: &str = "podsandbox";
/// [`TYPE`] of every other container.
pub const TYPE_CONTAINER: &str = "container";

/// The labels that everything of this node carries; also the filter that finds it.
pub fn node(config: &Config) -> BTreeMap<String, String> {
    BTreeMap::from([
        (CLUSTER.to_owned(), config.cluster.clone()),
        (NODE.to_owned(), config.node_name.clone()),
    ])
}

/// The labels that all containers of a pod carry.
pub fn pod(config: &Config, pod: &Pod) -> BTreeMap<String, String> {
    let grace = pod.spec.as_ref().and_then(|spec| spec.termination_grace_period_seconds);
    let mut labels = config.container_labels.clone();
    labels.extend(node(config));
    labels.extend([
        (POD_NAME.to_owned(), pod.name_any()),
        (POD_NAMESPACE.to_owned(), pod.namespace().unwrap_or_default()),
        (POD_UID.to_owned(), pod.uid().unwrap_or_default()),
        (GRACE_PERIOD.to_owned(), grace.unwrap_or(30).to_string()),
    ]);
    labels
}

/// `k8s_POD_<pod>_<namespace>_<uid>_<attempt>`.
pub fn sandbox_name(pod: &Pod, attempt: u32) -> String {
    container_name("POD", pod, attempt)
}

/// `k8s_<container>_<pod>_<namespace>_<uid>_<attempt>`.
pub fn container_name(container: &str, pod: &Pod, attempt: u32) -> String {
    let namespace = pod.namespace().unwrap_or_default();
    let uid = pod.uid().unwrap_or_default();
    format!("k8s_{container}_{}_{namespace}_{uid}_{attempt}", pod.name_any())
}

/// What of a container's spec may change while the pod lives and then needs a new container: its image.
pub fn spec_hash(container: &Container) -> String {
    let mut hasher = Sha256::new();
    hasher.update(container.name.as_bytes());
    hasher.update([0]);
    hasher.update(container.image.as_deref().unwrap_or_default().as_bytes());
    hex::encode(&hasher.finalize()[..8])
}

/// A label's number; 0 where it is absent or unreadable.
pub fn number(labels: &HashMap<String, String>, name: &str) -> u32 {
    labels.get(name).and_then(|text| text.parse().ok()).unwrap_or(0)
}
