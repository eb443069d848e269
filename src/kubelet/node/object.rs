//! What this node's object says. Pure.

use std::collections::BTreeMap;
use std::net::IpAddr;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::{
    ContainerImage, DaemonEndpoint, Node, NodeAddress, NodeCondition, NodeDaemonEndpoints, NodeSpec, NodeStatus,
    NodeSystemInfo,
};
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;

use super::info::{Machine, Pressure};
use crate::kubelet::Config;
use crate::kubelet::docker::ImageSummary;
use crate::kubelet::status::seconds;

/// The Kubernetes version whose behaviour this kubelet follows.
const VERSION: &str = concat!("v1.37.0+reconcile.", env!("CARGO_PKG_VERSION"));

/// How the node is.
pub struct Health {
    /// Why Docker is not there, if it is not.
    pub docker: Result<(), String>,
    /// What the machine is short of.
    pub pressure: Pressure,
}

/// Everything a status is made from.
pub struct Facts<'a> {
    pub config: &'a Config,
    pub machine: &'a Machine,
    pub host_ip: IpAddr,
    pub port: u16,
    pub health: &'a Health,
    pub images: Vec<ImageSummary>,
    pub docker_version: Option<String>,
    pub before: Option<&'a NodeStatus>,
    pub now: Timestamp,
}

/// The node as it is created.
pub fn node(config: &Config) -> Node {
    let labels = [
        ("kubernetes.io/hostname", config.node_name.as_str()),
        ("kubernetes.io/os", "linux"),
        ("kubernetes.io/arch", architecture()),
    ];
    Node {
        metadata: ObjectMeta {
            name: Some(config.node_name.clone()),
            labels: Some(
                labels
                    .into_iter()
                    .map(|(name, value)| (name.to_owned(), value.to_owned()))
                    .collect(),
            ),
            ..ObjectMeta::default()
        },
        spec: Some(NodeSpec::default()),
        status: None,
    }
}

/// What the node offers.
pub fn resources(config: &Config, machine: &Machine) -> BTreeMap<String, Quantity> {
    let mut resources = BTreeMap::from([
        ("cpu".to_owned(), Quantity(machine.cpus.to_string())),
        (
            "memory".to_owned(),
            Quantity(format!("{}Ki", machine.memory_bytes / 1024)),
        ),
        ("pods".to_owned(), Quantity(config.max_pods.to_string())),
    ]);
    if machine.disk_bytes > 0 {
        resources.insert(
            "ephemeral-storage".to_owned(),
            Quantity(format!("{}Ki", machine.disk_bytes / 1024)),
        );
    }
    resources
}

/// The status that the API should show.
pub fn status(facts: Facts<'_>) -> NodeStatus {
    let Facts {
        config,
        machine,
        before,
        ..
    } = facts;
    let resources = resources(config, machine);
    let version_before = before
        .and_then(|status| status.node_info.as_ref())
        .map(|info| &info.container_runtime_version);
    let version = facts
        .docker_version
        .as_ref()
        .map(|version| format!("docker://{version}"));
    let conditions = conditions(&facts);
    let address = |kind: &str, address: String| NodeAddress {
        type_: kind.to_owned(),
        address,
    };
    let images = facts.images.into_iter().map(|image| ContainerImage {
        names: Some(image.names),
        size_bytes: Some(image.size_bytes),
    });
    NodeStatus {
        capacity: Some(resources.clone()),
        allocatable: Some(resources),
        addresses: Some(vec![
            address("InternalIP", facts.host_ip.to_string()),
            address("Hostname", config.node_name.clone()),
        ]),
        conditions: Some(conditions),
        daemon_endpoints: Some(NodeDaemonEndpoints {
            kubelet_endpoint: Some(DaemonEndpoint {
                port: facts.port.into(),
            }),
        }),
        images: Some(images.collect()),
        node_info: Some(NodeSystemInfo {
            architecture: architecture().into(),
            boot_id: machine.boot_id.clone(),
            container_runtime_version: version
                .or_else(|| version_before.cloned())
                .unwrap_or_else(|| "docker://".into()),
            kernel_version: machine.kernel.clone(),
            kubelet_version: VERSION.into(),
            kube_proxy_version: String::new(),
            machine_id: machine.machine_id.clone(),
            operating_system: "linux".into(),
            os_image: machine.os_image.clone(),
            system_uuid: machine.system_uuid.clone(),
            ..NodeSystemInfo::default()
        }),
        ..before.cloned().unwrap_or_default()
    }
}

fn conditions(facts: &Facts<'_>) -> Vec<NodeCondition> {
    let Health { docker, pressure } = facts.health;
    let pressed =
        |on: bool, kind: &'static str, good: (&'static str, &'static str), bad: (&'static str, &'static str)| {
            let (reason, message) = if on { bad } else { good };
            (kind, on, reason, message.to_owned())
        };
    let ready = match docker {
        Ok(()) => (
            "Ready",
            true,
            "KubeletReady",
            "kubelet is posting ready status".to_owned(),
        ),
        Err(reason) => (
            "Ready",
            false,
            "KubeletNotReady",
            format!("container runtime is down: {reason}"),
        ),
    };
    let wanted = [
        pressed(
            pressure.memory,
            "MemoryPressure",
            ("KubeletHasSufficientMemory", "kubelet has sufficient memory available"),
            (
                "KubeletHasInsufficientMemory",
                "kubelet has insufficient memory available",
            ),
        ),
        pressed(
            pressure.disk,
            "DiskPressure",
            ("KubeletHasNoDiskPressure", "kubelet has no disk pressure"),
            ("KubeletHasDiskPressure", "kubelet has disk pressure"),
        ),
        pressed(
            pressure.pids,
            "PIDPressure",
            ("KubeletHasSufficientPID", "kubelet has sufficient PID available"),
            ("KubeletHasInsufficientPID", "kubelet has insufficient PID available"),
        ),
        ready,
    ];
    let before = facts.before.and_then(|status| status.conditions.as_ref());
    let mut conditions = Vec::new();
    for (kind, on, reason, message) in wanted {
        let status = if on { "True" } else { "False" };
        let earlier = before
            .into_iter()
            .flatten()
            .find(|condition| condition.type_ == kind && condition.status == status);
        conditions.push(NodeCondition {
            type_: kind.into(),
            status: status.into(),
            reason: Some(reason.into()),
            message: Some(message),
            last_heartbeat_time: Some(seconds(facts.now)),
            last_transition_time: earlier
                .and_then(|condition| condition.last_transition_time.clone())
                .or_else(|| Some(seconds(facts.now))),
        });
    }
    let others = before
        .into_iter()
        .flatten()
        .filter(|condition| !conditions.iter().any(|ours| ours.type_ == condition.type_));
    let others = others.cloned().collect::<Vec<_>>();
    conditions.extend(others);
    conditions
}

/// Whether two statuses say the same but for when they were said.
pub fn same(before: &NodeStatus, after: &NodeStatus) -> bool {
    let timeless = |status: &NodeStatus| {
        let mut status = status.clone();
        for condition in status.conditions.iter_mut().flatten() {
            condition.last_heartbeat_time = None;
        }
        // The API server drops empty lists.
        status.images = status.images.filter(|images| !images.is_empty());
        status
    };
    timeless(before) == timeless(after)
}

fn architecture() -> &'static str {
    match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    }
}
