//! What scheduling keeps of a pod, and no more: thousands are held at once.

use std::collections::BTreeMap;
use std::sync::Arc;

use k8s_openapi::api::core::v1::{
    Affinity, Container, NodeAffinity, Pod, PodSpec, Toleration, TopologySpreadConstraint,
};

use super::affinity::PodTerms;
use super::resources::{self, Estimate, Resources};

/// The scheduler that pods are for which name none.
pub const DEFAULT_SCHEDULER: &str = "default-scheduler";
/// What a host port is bound to where the pod does not say.
const ANY_ADDRESS: &str = "0.0.0.0";

/// A port taken on the node itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HostPort {
    /// `0.0.0.0` for every address.
    pub address: String,
    /// `TCP`, `UDP` or `SCTP`.
    pub protocol: String,
    /// Never 0.
    pub port: i32,
}

impl HostPort {
    /// Whether both cannot be had on one node.
    pub fn conflicts(&self, other: &Self) -> bool {
        self.port == other.port
            && self.protocol == other.protocol
            && (self.address == other.address || self.address == ANY_ADDRESS || other.address == ANY_ADDRESS)
    }
}

/// What other pods and nodes must know of a pod.
#[derive(Clone, Debug, PartialEq)]
pub struct PodInfo {
    /// Tells this pod from an earlier one of its name.
    pub uid: Arc<str>,
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// Its labels.
    pub labels: BTreeMap<String, String>,
    /// What it takes from its node.
    pub requests: Resources,
    /// What scores reckon it takes.
    pub estimate: Estimate,
    /// The node's ports that it takes.
    pub host_ports: Vec<HostPort>,
    /// Which pods it wants near and away.
    pub terms: Option<Box<PodTerms>>,
}

/// A pod that waits for a node, with what only matters until it has one.
#[derive(Clone, Debug, PartialEq)]
pub struct PendingPod {
    /// What it has in common with placed pods.
    pub info: Arc<PodInfo>,
    /// Higher goes first.
    pub priority: i32,
    /// Seconds since 1970; older goes first.
    pub created_seconds: i64,
    /// The one node it asks for, empty for any. The loop takes a pod that names its node for bound; asking
    /// where such a pod could go is for those who ask the pure part alone.
    pub node_name: String,
    /// Labels that a node must have.
    pub node_selector: BTreeMap<String, String>,
    /// What a node must and should be like.
    pub node_affinity: Option<Box<NodeAffinity>>,
    /// Which taints it stands.
    pub tolerations: Vec<Toleration>,
    /// Its containers' images, with their tags.
    pub images: Vec<String>,
    /// How it and its like are to be spread.
    pub spread: Vec<TopologySpreadConstraint>,
}

/// What a pod is to the scheduler.
#[derive(Clone, Debug, PartialEq)]
pub enum Role {
    /// It runs, or is about to, on this node and takes its share.
    Placed(PodInfo, Arc<str>),
    /// It is for us to place.
    Pending(PendingPod),
    /// It is finished, being deleted, gated or another scheduler's.
    None,
}

/// What of this pod concerns a scheduler of that name.
pub fn role(pod: &Pod, scheduler: &str) -> Role {
    let Some(spec) = &pod.spec else { return Role::None };
    let phase = pod.status.as_ref().and_then(|status| status.phase.as_deref());
    if matches!(phase, Some("Succeeded" | "Failed")) {
        return Role::None;
    }
    if let Some(node) = spec.node_name.as_deref().filter(|name| !name.is_empty()) {
        return Role::Placed(info(pod, spec), node.into());
    }
    let ours = spec.scheduler_name.as_deref().unwrap_or(DEFAULT_SCHEDULER) == scheduler;
    let gated = spec.scheduling_gates.as_ref().is_some_and(|gates| !gates.is_empty());
    if !ours || gated || pod.metadata.deletion_timestamp.is_some() {
        return Role::None;
    }
    Role::Pending(read_pending(pod, spec))
}

/// Tells this pod from any other, also from an earlier one of its name.
pub fn uid(pod: &Pod) -> Arc<str> {
    let metadata = &pod.metadata;
    match metadata.uid.as_deref().filter(|uid| !uid.is_empty()) {
        Some(uid) => uid.into(),
        None => format!(
            "{}/{}",
            metadata.namespace.as_deref().unwrap_or_default(),
            metadata.name.as_deref().unwrap_or_default()
        )
        .into(),
    }
}

fn info(pod: &Pod, spec: &PodSpec) -> PodInfo {
    let namespace = pod.metadata.namespace.clone().unwrap_or_default();
    let labels = pod.metadata.labels.clone().unwrap_or_default();
    let terms = spec
        .affinity
        .as_ref()
        .and_then(|affinity| PodTerms::read(affinity, &namespace, &labels));
    PodInfo {
        uid: uid(pod),
        name: pod.metadata.name.clone().unwrap_or_default(),
        requests: resources::requests(spec),
        estimate: resources::estimate(spec),
        host_ports: host_ports(spec),
        terms: terms.map(Box::new),
        namespace,
        labels,
    }
}

/// Everything that matters to placing this pod, whoever is to place it.
pub fn pending(pod: &Pod) -> PendingPod {
    match &pod.spec {
        Some(spec) => read_pending(pod, spec),
        None => read_pending(pod, &PodSpec::default()),
    }
}

fn read_pending(pod: &Pod, spec: &PodSpec) -> PendingPod {
    PendingPod {
        info: Arc::new(info(pod, spec)),
        priority: spec.priority.unwrap_or_default(),
        created_seconds: pod
            .metadata
            .creation_timestamp
            .as_ref()
            .map_or(0, |time| time.0.as_second()),
        node_name: spec.node_name.clone().unwrap_or_default(),
        node_selector: spec.node_selector.clone().unwrap_or_default(),
        node_affinity: spec.affinity.as_ref().and_then(node_affinity),
        tolerations: spec.tolerations.clone().unwrap_or_default(),
        images: spec.containers.iter().map(image).collect(),
        spread: spec.topology_spread_constraints.clone().unwrap_or_default(),
    }
}

fn node_affinity(affinity: &Affinity) -> Option<Box<NodeAffinity>> {
    affinity.node_affinity.clone().map(Box::new)
}

fn image(container: &Container) -> String {
    tagged(container.image.as_deref().unwrap_or_default())
}

/// An image's name with the tag that stands for none.
pub fn tagged(image: &str) -> String {
    let last = image.rsplit('/').next().unwrap_or_default();
    if last.contains(':') {
        image.to_owned()
    } else {
        format!("{image}:latest")
    }
}

fn host_ports(spec: &PodSpec) -> Vec<HostPort> {
    let sidecars = spec
        .init_containers
        .iter()
        .flatten()
        .filter(|container| container.restart_policy.as_deref() == Some("Always"));
    let mut ports = Vec::new();
    for port in spec
        .containers
        .iter()
        .chain(sidecars)
        .flat_map(|container| container.ports.iter().flatten())
    {
        let Some(number) = port.host_port.filter(|number| *number > 0) else {
            continue;
        };
        let text = |value: &Option<String>, default: &str| match value.as_deref() {
            None | Some("") => default.to_owned(),
            Some(value) => value.to_owned(),
        };
        ports.push(HostPort {
            address: text(&port.host_ip, ANY_ADDRESS),
            protocol: text(&port.protocol, "TCP"),
            port: number,
        });
    }
    ports
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn role_of(spec: Value, metadata: Value, phase: &str) -> Role {
        let pod = serde_json::from_value(json!({"metadata": metadata, "spec": spec, "status": {"phase": phase}}));
        role(&pod.expect("a pod"), DEFAULT_SCHEDULER)
    }

    #[test]
    fn only_our_pods_without_a_node_wait() {
        let now = "2026-01-02T03:04:05Z";
        for (name, spec, metadata, phase, wanted) in [
            ("a new pod", json!({"containers": []}), json!({}), "Pending", "pending"),
            (
                "bound",
                json!({"containers": [], "nodeName": "n"}),
                json!({}),
                "Running",
                "placed",
            ),
            (
                "finished",
                json!({"containers": [], "nodeName": "n"}),
                json!({}),
                "Succeeded",
                "none",
            ),
            ("failed unbound", json!({"containers": []}), json!({}), "Failed", "none"),
            (
                "another's",
                json!({"containers": [], "schedulerName": "mine"}),
                json!({}),
                "Pending",
                "none",
            ),
            (
                "gated",
                json!({"containers": [], "schedulingGates": [{"name": "g"}]}),
                json!({}),
                "Pending",
                "none",
            ),
            (
                "being deleted",
                json!({"containers": []}),
                json!({"deletionTimestamp": now}),
                "Pending",
                "none",
            ),
            (
                "bound and being deleted",
                json!({"containers": [], "nodeName": "n"}),
                json!({"deletionTimestamp": now}),
                "Running",
                "placed",
            ),
        ] {
            let got = match role_of(spec, metadata, phase) {
                Role::Placed(..) => "placed",
                Role::Pending(_) => "pending",
                Role::None => "none",
            };
            assert_eq!(got, wanted, "{name}");
        }
    }

    #[test]
    fn images_get_the_tag_that_none_stands_for() {
        for (image, wanted) in [
            ("busybox", "busybox:latest"),
            ("busybox:1", "busybox:1"),
            ("registry:5000/busybox", "registry:5000/busybox:latest"),
            ("registry:5000/busybox:1", "registry:5000/busybox:1"),
        ] {
            assert_eq!(tagged(image), wanted);
        }
    }

    #[test]
    fn host_ports_conflict_by_address_protocol_and_number() {
        let port = |address: &str, protocol: &str, port| HostPort {
            address: address.into(),
            protocol: protocol.into(),
            port,
        };
        for (name, a, b, wanted) in [
            ("the same", port("0.0.0.0", "TCP", 80), port("0.0.0.0", "TCP", 80), true),
            (
                "another number",
                port("0.0.0.0", "TCP", 80),
                port("0.0.0.0", "TCP", 81),
                false,
            ),
            (
                "another protocol",
                port("0.0.0.0", "TCP", 80),
                port("0.0.0.0", "UDP", 80),
                false,
            ),
            (
                "any and one address",
                port("0.0.0.0", "TCP", 80),
                port("10.0.0.1", "TCP", 80),
                true,
            ),
            (
                "two addresses",
                port("10.0.0.2", "TCP", 80),
                port("10.0.0.1", "TCP", 80),
                false,
            ),
        ] {
            assert_eq!(a.conflicts(&b), wanted, "{name}");
            assert_eq!(b.conflicts(&a), wanted, "{name}, the other way");
        }
    }
}
