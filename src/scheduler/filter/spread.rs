//! Topology spread: no domain may run more of the counted pods than the emptiest plus `maxSkew`.

use std::borrow::Cow;

use super::Check;
use crate::scheduler::pod::PendingPod;
use crate::scheduler::refusal::Refusal;
use crate::scheduler::snapshot::{NodeInfo, Snapshot, Tally};
use crate::scheduler::spread::Constraint;

pub(super) fn check<'a>(pod: &'a PendingPod, snapshot: &'a Snapshot) -> Option<Check<'a>> {
    let counted = Counted::all(pod, snapshot);
    if counted.is_empty() {
        return None;
    }
    Some(Box::new(move |node| {
        for counted in &counted {
            match counted.skew(node) {
                None => return Err(vec![Refusal::SpreadLabel]),
                Some(skew) if skew > counted.constraint.max_skew => return Err(vec![Refusal::Spread]),
                Some(_) => {}
            }
        }
        Ok(())
    }))
}

/// A constraint and the pods that count.
pub(in crate::scheduler) struct Counted<'a> {
    pub constraint: &'a Constraint,
    tally: Cow<'a, Tally>,
    /// How many pods the emptiest domain holds.
    pub emptiest: i64,
    /// 1 where the pod itself will count.
    this: i64,
}

impl<'a> Counted<'a> {
    /// Every constraint of the pod that must be kept.
    pub fn all(pod: &'a PendingPod, snapshot: &'a Snapshot) -> Vec<Self> {
        let constraints = pod.spread.hard.iter();
        constraints
            .map(|constraint| Self::new(constraint, pod, snapshot))
            .collect()
    }

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

    /// How far the node's domain would be ahead of the emptiest with the pod; `None` where the node has no such label.
    pub fn skew(&self, node: &NodeInfo) -> Option<i64> {
        let there = self.tally.is_labelled(node).then(|| self.there(node))?;
        Some(there + self.this - self.emptiest)
    }

    /// How many pods count in the node's domain.
    pub fn there(&self, node: &NodeInfo) -> i64 {
        self.tally.at(node).unwrap_or_default()
    }
}
