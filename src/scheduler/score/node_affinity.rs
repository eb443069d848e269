//! Better the more preferred terms of the node affinity a node satisfies, and of what the profile adds, by their weights.

use super::stretch;
use crate::scheduler::node_rules::term_matches;
use crate::scheduler::pod::PendingPod;
use crate::scheduler::snapshot::{NodeInfo, Snapshot};

pub(super) fn score(pod: &PendingPod, _: &Snapshot, nodes: &[&NodeInfo]) -> Option<Vec<i64>> {
    let (preferred, added) = (&pod.preferred_nodes, &pod.profile.added_affinity.preferred);
    if preferred.is_empty() && added.is_empty() {
        return None;
    }
    let weight = |node: &&NodeInfo| {
        let terms = preferred.iter().chain(added);
        let satisfied = terms.filter(|term| term_matches(&term.preference, node));
        satisfied.map(|term| i64::from(term.weight)).sum()
    };
    Some(stretch(nodes.iter().map(weight).collect()))
}
