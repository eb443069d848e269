//! A host port is had once a node, address and protocol.

use super::{Check, refuse_unless};
use crate::scheduler::pod::PendingPod;
use crate::scheduler::refusal::Refusal;
use crate::scheduler::snapshot::Snapshot;

pub(super) fn check<'a>(pod: &'a PendingPod, _: &'a Snapshot) -> Option<Check<'a>> {
    let wanted = &pod.info.host_ports;
    if wanted.is_empty() {
        return None;
    }
    Some(Box::new(|node| {
        refuse_unless(wanted.iter().all(|port| node.has_free(port)), Refusal::HostPorts)
    }))
}
