//! Tells people what happens to pods and to the node.

use k8s_openapi::api::core::v1::{EventSource, Node, ObjectReference, Pod};
use kube::{Client, ResourceExt};
use tokio_util::sync::CancellationToken;

use crate::client::events;

pub use crate::client::events::Kind;

/// Takes events; clones share one queue.
#[derive(Clone)]
pub struct Events(events::Events);

impl Events {
    /// A queue, and the task that empties it until `shutdown`.
    pub fn start(client: Client, node_name: String, shutdown: CancellationToken) -> (Self, impl Future<Output = ()>) {
        let source = EventSource {
            component: Some("kubelet".into()),
            host: Some(node_name),
        };
        let (events, poster) = events::Events::start(client, source, shutdown);
        (Self(events), poster)
    }

    /// Something about a pod, or about one of its containers.
    pub fn pod(&self, pod: &Pod, container: Option<&str>, kind: Kind, reason: &'static str, message: String) {
        let init = container.is_some_and(|name| super::pod::init_containers(pod).iter().any(|spec| spec.name == name));
        let list = if init { "spec.initContainers" } else { "spec.containers" };
        let about = ObjectReference {
            api_version: Some("v1".into()),
            kind: Some("Pod".into()),
            namespace: pod.namespace(),
            name: Some(pod.name_any()),
            uid: pod.uid(),
            resource_version: pod.resource_version(),
            field_path: container.map(|name| format!("{list}{{{name}}}")),
        };
        self.0.send(about, kind, reason, message);
    }

    /// Something about the node.
    pub fn node(&self, node: &Node, kind: Kind, reason: &'static str, message: String) {
        let about = ObjectReference {
            kind: Some("Node".into()),
            name: Some(node.name_any()),
            uid: Some(node.name_any()),
            ..ObjectReference::default()
        };
        self.0.send(about, kind, reason, message);
    }
}
