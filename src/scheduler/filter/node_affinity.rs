//! What a node must be like: the node selector and the required node affinity, and what the profile adds.

use super::{Check, refuse_unless};
use crate::scheduler::node_rules::term_matches;
use crate::scheduler::pod::PendingPod;
use crate::scheduler::refusal::Refusal;
use crate::scheduler::snapshot::Snapshot;

pub(super) fn check<'a>(pod: &'a PendingPod, _: &'a Snapshot) -> Option<Check<'a>> {
    let rules = &pod.node_rules;
    let Some(added) = pod.profile.added_affinity.required.as_deref() else {
        return (!rules.is_empty())
            .then(|| -> Check<'a> { Box::new(|node| refuse_unless(rules.hold(node), Refusal::NodeAffinity)) });
    };
    Some(Box::new(|node| {
        let satisfied = added.iter().any(|term| term_matches(term, node));
        refuse_unless(satisfied, Refusal::AddedAffinity)?;
        refuse_unless(rules.hold(node), Refusal::NodeAffinity)
    }))
}
