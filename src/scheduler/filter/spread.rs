//! Topology spread: no domain may run more of the counted pods than the emptiest plus `maxSkew`.

use std::borrow::Cow;

use super::Check;
use crate::scheduler::pod::PendingPod;
use crate::scheduler::refusal::Refusal;
use crate::scheduler::snapshot::{Snapshot, Tally};
use crate::scheduler::spread::Constraint;

pub(super) fn check<'a>(pod: &'a PendingPod, snapshot: &'a Snapshot) -> Option<Check<'a>> {
    let constraints = &pod.spread.hard;
    if constraints.is_empty() {
        return None;
    }
    let counted: Vec<Counted> = constraints
        .iter()
        .map(|constraint| Counted::new(constraint, pod, snapshot))
        .collect();
    Some(Box::new(move |node| {
        for Counted {
            constraint,
            tally,
            emptiest,
            this,
        } in &counted
        {
            if !node.labels.contains_key(constraint.question.topology_key()) {
                return Err(vec![Refusal::SpreadLabel]);
            }
            let there = tally.at(node).unwrap_or_default();
            if there + this - emptiest > constraint.max_skew {
                return Err(vec![Refusal::Spread]);
            }
        }
        Ok(())
    }))
}

/// A constraint and the pods that count.
struct Counted<'a> {
    constraint: &'a Constraint,
    tally: Cow<'a, Tally>,
    emptiest: i64,
    /// 1 where the pod itself will count.
    this: i64,
}

impl<'a> Counted<'a> {
    fn new(constraint: &'a Constraint, pod: &PendingPod, snapshot: &'a Snapshot) -> Self {
        let tally = snapshot.tally(&constraint.question);
        // With fewer domains than there should be, the missing ones are empty ones.
        let enough = tally.domains() >= constraint.min_domains;
        let fewest = tally.fewest().unwrap_or(i64::from(i32::MAX));
        Self {
            constraint,
            emptiest: if enough { fewest } else { 0 },
            this: i64::from(constraint.question.means(&pod.info, snapshot.namespaces())),
            tally,
        }
    }
}
