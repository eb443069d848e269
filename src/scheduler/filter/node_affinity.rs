//! What a node must be like: the node selector and the required node affinity.

use super::{Check, refuse_unless};
use crate::scheduler::pod::PendingPod;
use crate::scheduler::refusal::Refusal;
use crate::scheduler::snapshot::Snapshot;

pub(super) fn check<'a>(pod: &'a PendingPod, _: &'a Snapshot) -> Option<Check<'a>> {
    let rules = &pod.node_rules;
    if rules.is_empty() {
        return None;
    }
    Some(Box::new(|node| refuse_unless(rules.hold(node), Refusal::NodeAffinity)))
}
