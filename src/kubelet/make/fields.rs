//! What a pod may ask about itself: its fields and its containers' resources. Pure.

use std::collections::BTreeMap;
use std::net::IpAddr;

use k8s_openapi::api::core::v1::{Container, Pod};
use k8s_openapi::apimachinery::pkg::api::resource::Quantity as ApiQuantity;
use kube::ResourceExt;

use super::ConfigError;
use crate::kubelet::pod;
use crate::object::quantity::Quantity;

/// What is known of a pod beside its spec.
#[derive(Clone, Debug)]
pub struct Facts {
    /// The node's address.
    pub host_ip: IpAddr,
    /// The pod's addresses; none before its sandbox runs.
    pub pod_ips: Vec<String>,
    /// What the node offers: stands in for a limit that is not set.
    pub allocatable: BTreeMap<String, ApiQuantity>,
}

/// The value of a `fieldRef`.
pub fn downward_field(pod: &Pod, facts: &Facts, path: &str) -> Result<String, ConfigError> {
    let spec = pod.spec.as_ref();
    let text = |value: Option<&String>| value.cloned().unwrap_or_default();
    if let Some((map, key)) = path.strip_suffix("']").and_then(|path| path.split_once("['")) {
        return match map {
            "metadata.labels" => Ok(text(pod.labels().get(key))),
            "metadata.annotations" => Ok(text(pod.annotations().get(key))),
            _ => Err(unsupported(path)),
        };
    }
    Ok(match path {
        "metadata.name" => pod.name_any(),
        "metadata.namespace" => pod.namespace().unwrap_or_default(),
        "metadata.uid" => pod.uid().unwrap_or_default(),
        "metadata.labels" => lines(pod.labels()),
        "metadata.annotations" => lines(pod.annotations()),
        "spec.nodeName" => text(spec.and_then(|spec| spec.node_name.as_ref())),
        "spec.serviceAccountName" => text(spec.and_then(|spec| spec.service_account_name.as_ref())),
        "status.hostIP" | "status.hostIPs" => facts.host_ip.to_string(),
        "status.podIP" => text(facts.pod_ips.first()),
        "status.podIPs" => facts.pod_ips.join(","),
        _ => return Err(unsupported(path)),
    })
}

/// Whether the value of a `fieldRef` is known only once the sandbox runs.
pub(super) fn needs_pod_ip(path: &str) -> bool {
    matches!(path, "status.podIP" | "status.podIPs")
}

fn unsupported(path: &str) -> ConfigError {
    ConfigError(format!("unsupported fieldPath: {path}"))
}

/// `key="value"` a line, as a downward API file shows a map.
fn lines(map: &BTreeMap<String, String>) -> String {
    let lines = map.iter().map(|(key, value)| format!("{key}={value:?}"));
    lines.collect::<Vec<_>>().join("\n")
}

/// The value of a `resourceFieldRef`, in units of its divisor and rounded up.
pub fn resource_field(
    pod: &Pod,
    own: Option<&Container>,
    facts: &Facts,
    container_name: Option<&str>,
    resource: &str,
    divisor: Option<&ApiQuantity>,
) -> Result<String, ConfigError> {
    let container = match container_name.filter(|name| !name.is_empty()) {
        Some(name) => pod::container(pod, name).ok_or_else(|| ConfigError(format!("container {name} not found")))?,
        None => own.ok_or_else(|| ConfigError(format!("resourceFieldRef {resource} names no container")))?,
    };
    let resources = container.resources.as_ref();
    let limit = |name: &str| resources.and_then(|resources| resources.limits.as_ref()?.get(name));
    let request = |name: &str| resources.and_then(|resources| resources.requests.as_ref()?.get(name));
    let (found, name) = match resource.split_once('.') {
        Some(("limits", name)) => (limit(name).or_else(|| facts.allocatable.get(name)), name),
        Some(("requests", name)) => (request(name).or_else(|| limit(name)), name),
        _ => return Err(ConfigError(format!("unsupported container resource : {resource}"))),
    };
    let Some(amount) = found else {
        return Ok("0".into());
    };
    let millis = |quantity: &ApiQuantity| {
        let parsed = quantity.0.parse::<Quantity>();
        parsed.map_err(|error| ConfigError(format!("{resource}: {error}")))
    };
    let amount = millis(amount)?;
    let divisor = divisor.map(millis).transpose()?;
    let (amount, divisor) = if name == "cpu" {
        (amount.millis(), divisor.map_or(1000, Quantity::millis))
    } else {
        (amount.value(), divisor.map_or(1, Quantity::value))
    };
    // A divisor of 0 is how an unset one is written.
    let divisor = match divisor {
        0 if name == "cpu" => 1000,
        0 => 1,
        divisor => divisor,
    };
    Ok(amount.max(0).div_ceil_by(divisor).to_string())
}

/// Division that rounds up, for amounts that are not negative.
trait DivCeil {
    fn div_ceil_by(self, divisor: i64) -> i64;
}

impl DivCeil for i64 {
    fn div_ceil_by(self, divisor: i64) -> i64 {
        let divisor = divisor.max(1);
        self / divisor + i64::from(self % divisor != 0)
    }
}
