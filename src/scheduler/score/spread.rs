//! Better the fewer counted pods a node's domains hold, for spread constraints that need not be kept.

use std::collections::{HashMap, HashSet};

use super::MAX;
use crate::scheduler::filter::{Constraint, constraints};
use crate::scheduler::pod::PendingPod;
use crate::scheduler::snapshot::{NodeInfo, Snapshot};

/// Each node is its own domain of this label: counted node by node.
const HOST: &str = "kubernetes.io/hostname";

pub(super) fn score(pod: &PendingPod, snapshot: &Snapshot, nodes: &[&NodeInfo]) -> Option<Vec<i64>> {
    let constraints = constraints(pod, "ScheduleAnyway");
    if constraints.is_empty() {
        // Nothing to keep: every node is as good as can be, which is what kube-scheduler records.
        return Some(vec![MAX; nodes.len()]);
    }
    let has_all = |node: &&NodeInfo| {
        constraints
            .iter()
            .all(|each| node.labels.contains_key(each.topology_key))
    };
    let scored: Vec<bool> = nodes.iter().map(&has_all).collect();
    let candidates: Vec<&NodeInfo> = nodes.iter().copied().filter(has_all).collect();
    let counted: Vec<Counted> = constraints
        .iter()
        .map(|constraint| count(constraint, pod, snapshot, &candidates, &has_all))
        .collect();
    let raw = nodes.iter().zip(&scored).map(|(node, scored)| {
        if !scored {
            return None;
        }
        let mut sum = 0.0;
        for (constraint, counted) in constraints.iter().zip(&counted) {
            let there = match counted.domains.get(node.labels[constraint.topology_key].as_str()) {
                Some(count) => *count,
                None => constraint.count(pod, node),
            };
            sum += there as f64 * counted.weight + (constraint.max_skew - 1) as f64;
        }
        // Cut off as recorded; newer kube-schedulers round.
        Some(sum as i64)
    });
    Some(turn(&raw.collect::<Vec<_>>()))
}

/// The pods that count, by domain.
struct Counted<'a> {
    domains: HashMap<&'a str, i64>,
    /// The more domains, the more a pod counts, so that zones are not drowned by hosts.
    weight: f64,
}

fn count<'a>(
    constraint: &Constraint,
    pod: &PendingPod,
    snapshot: &'a Snapshot,
    candidates: &[&NodeInfo],
    has_all: &impl Fn(&&NodeInfo) -> bool,
) -> Counted<'a> {
    let weight = |domains: usize| ((domains + 2) as f64).ln();
    if constraint.topology_key == HOST {
        return Counted {
            domains: HashMap::new(),
            weight: weight(candidates.len()),
        };
    }
    let values: HashSet<&str> = candidates
        .iter()
        .map(|node| node.labels[constraint.topology_key].as_str())
        .collect();
    let mut domains = HashMap::new();
    for node in snapshot.nodes().filter(|node| has_all(node)) {
        let value = node.labels[constraint.topology_key].as_str();
        if values.contains(value) {
            let there = domains.entry(value).or_default();
            if constraint.includes(pod, node) {
                *there += constraint.count(pod, node);
            }
        }
    }
    Counted {
        weight: weight(values.len()),
        domains,
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
