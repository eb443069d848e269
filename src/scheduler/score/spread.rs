//! Better the fewer counted pods a node's domains hold, for spread constraints that need not be kept.

use std::borrow::Cow;
use std::collections::HashSet;

use super::MAX;
use crate::scheduler::pod::PendingPod;
use crate::scheduler::snapshot::{NodeInfo, Snapshot, Tally};
use crate::scheduler::spread::Constraint;

/// Each node is its own domain of this label: counted node by node.
const HOST: &str = "kubernetes.io/hostname";

pub(super) fn score(pod: &PendingPod, snapshot: &Snapshot, nodes: &[&NodeInfo]) -> Option<Vec<i64>> {
    let constraints = &pod.spread.soft;
    if constraints.is_empty() {
        // Nothing to keep: every node is as good as can be, which is what kube-scheduler records.
        return Some(vec![MAX; nodes.len()]);
    }
    let has_all = |node: &&NodeInfo| {
        let mut keys = constraints.iter().map(|each| each.question.topology_key());
        keys.all(|key| node.labels.contains_key(key))
    };
    let candidates: Vec<&NodeInfo> = nodes.iter().copied().filter(has_all).collect();
    let counted: Vec<Counted> = constraints
        .iter()
        .map(|constraint| Counted::new(constraint, snapshot, &candidates))
        .collect();
    let raw = nodes.iter().map(|node| {
        if !has_all(node) {
            return None;
        }
        let mut sum = 0.0;
        for counted in &counted {
            sum += counted.at(node) as f64 * counted.weight + (counted.constraint.max_skew - 1) as f64;
        }
        // Cut off as recorded; newer kube-schedulers round.
        Some(sum as i64)
    });
    Some(turn(&raw.collect::<Vec<_>>()))
}

/// A constraint and the pods that count.
struct Counted<'a> {
    constraint: &'a Constraint,
    tally: Cow<'a, Tally>,
    /// The more domains, the more a pod counts, so that zones are not drowned by hosts.
    weight: f64,
}

impl<'a> Counted<'a> {
    fn new(constraint: &'a Constraint, snapshot: &'a Snapshot, candidates: &[&NodeInfo]) -> Self {
        let key = constraint.question.topology_key();
        let domains = if key == HOST {
            candidates.len()
        } else {
            let values = candidates.iter().filter_map(|node| node.labels.get(key));
            values.collect::<HashSet<_>>().len()
        };
        Self {
            constraint,
            tally: snapshot.tally(&constraint.question),
            weight: ((domains + 2) as f64).ln(),
        }
    }

    fn at(&self, node: &NodeInfo) -> i64 {
        if self.constraint.question.topology_key() == HOST {
            self.tally.on(node)
        } else {
            self.tally.at(node).unwrap_or_default()
        }
    }
}

/// Turns counts around, so that fewest is best; a node without the labels (`None`) is worst.
fn turn(counts: &[Option<i64>]) -> Vec<i64> {
    let lowest = counts.iter().flatten().copied().min().unwrap_or_default();
    let highest = counts.iter().flatten().copied().max().unwrap_or_default();
    let turn = |count: &Option<i64>| match count {
        None => 0,
        Some(_) if highest == 0 => MAX,
        Some(count) => MAX * (highest + lowest - count) / highest,
    };
    counts.iter().map(turn).collect()
}
