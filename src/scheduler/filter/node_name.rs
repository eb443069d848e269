//! A pod that names its node goes nowhere else.

use super::{Check, refuse_unless};
use crate::scheduler::pod::PendingPod;
use crate::scheduler::refusal::Refusal;
use crate::scheduler::snapshot::Snapshot;

pub(super) fn check<'a>(pod: &'a PendingPod, _: &'a Snapshot) -> Option<Check<'a>> {
    if pod.node_name.is_empty() {
        return None;
    }
    Some(Box::new(|node| {
        refuse_unless(pod.node_name == *node.name, Refusal::NodeName)
    }))
}
