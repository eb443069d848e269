//! Computes a pod's status from what Docker shows. Pure; writes nothing.

mod conditions;
mod containers;
mod phase;
#[cfg(test)]
mod tests;

use std::net::IpAddr;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::{HostIP, Pod, PodIP, PodStatus};

pub use containers::FRESH_FAILURE;

use super::local::Local;
use super::observed::Observed;
use super::plan::{Stage, stage};
use super::pod;

/// Everything a status is computed from.
#[derive(Clone, Copy, Debug)]
pub struct Input<'a> {
    /// The pod as the API shows it, its last status included.
    pub pod: &'a Pod,
    /// What Docker shows.
    pub observed: &'a Observed,
    /// What is remembered.
    pub local: &'a Local,
    /// The node's address.
    pub host_ip: IpAddr,
    /// Now.
    pub now: Timestamp,
}

/// The status that the API should show.
pub fn status(input: Input<'_>) -> PodStatus {
    let Input {
        pod,
        observed,
        host_ip,
        now,
        ..
    } = input;
    let previous = pod.status.clone().unwrap_or_default();
    let stage = stage(pod, observed, now);
    let init = containers::init_statuses(input, stage);
    let main = containers::main_statuses(input, stage);
    let phase = phase::phase(pod, observed, stage, &init, &main);
    let deadline = stage == Stage::DeadlineExceeded;
    let ips = pod_ips(input, &previous);
    let mut status = PodStatus {
        phase: Some(phase.to_owned()),
        start_time: previous.start_time.clone().or_else(|| Some(seconds(now))),
        host_ip: Some(host_ip.to_string()),
        host_ips: Some(vec![HostIP {
            ip: host_ip.to_string(),
        }]),
        pod_ip: ips.first().cloned(),
        pod_ips: Some(ips.into_iter().map(|ip| PodIP { ip }).collect::<Vec<_>>()).filter(|ips| !ips.is_empty()),
        init_container_statuses: Some(init).filter(|list| !list.is_empty()),
        container_statuses: Some(main),
        observed_generation: pod.metadata.generation,
        reason: if deadline {
            Some("DeadlineExceeded".into())
        } else {
            previous.reason.clone()
        },
        message: if deadline {
            Some(DEADLINE_MESSAGE.into())
        } else {
            previous.message.clone()
        },
        ..previous
    };
    status.conditions = Some(conditions::conditions(input, &status, phase));
    status
}

const DEADLINE_MESSAGE: &str = "Pod was active on the node longer than the specified deadline";

/// The sandbox's addresses; the last known ones of a pod that ended.
fn pod_ips(input: Input<'_>, previous: &PodStatus) -> Vec<String> {
    if pod::host_network(input.pod) {
        return vec![input.host_ip.to_string()];
    }
    let current = input
        .observed
        .ready_sandbox()
        .map(|sandbox| &sandbox.ips)
        .filter(|ips| !ips.is_empty());
    match current {
        Some(ips) => ips.iter().map(ToString::to_string).collect(),
        None => previous.pod_ips.iter().flatten().map(|ip| ip.ip.clone()).collect(),
    }
}

pub(crate) use crate::client::events::seconds;
