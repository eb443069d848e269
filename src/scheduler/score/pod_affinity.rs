//! Better the more pods there are that should be near and the fewer that should not, in both directions.

use std::collections::HashMap;

use super::MAX;
use crate::scheduler::affinity::{PodTerms, Term};
use crate::scheduler::pod::{PendingPod, PodInfo};
use crate::scheduler::snapshot::{NodeInfo, Snapshot};

/// What being required near by a pod already there weighs: kube-scheduler's default.
const REQUIRED_NEAR_WEIGHT: i64 = 1;

/// The sum of weights in each domain, by the domain's label and value.
type Weights<'a> = HashMap<(&'a str, &'a str), i64>;

pub(super) fn score(pod: &PendingPod, snapshot: &Snapshot, nodes: &[&NodeInfo]) -> Option<Vec<i64>> {
    let own = pod.info.terms.as_deref().filter(|terms| !terms.preferred.is_empty());
    if own.is_none() && snapshot.pods_with_terms() == 0 {
        return None;
    }
    let mut weights = Weights::new();
    for node in snapshot.nodes().filter(|node| own.is_some() || node.with_terms > 0) {
        for other in node.pods.values() {
            weigh(&mut weights, pod, own, other, node, snapshot);
        }
    }
    if weights.is_empty() {
        return None;
    }
    let sum = |node: &&NodeInfo| {
        let labels = node.labels.iter();
        labels
            .filter_map(|(key, value)| weights.get(&(key.as_str(), value.as_str())))
            .sum()
    };
    Some(between(nodes.iter().map(sum).collect()))
}

fn weigh<'a>(
    weights: &mut Weights<'a>,
    pod: &PendingPod,
    own: Option<&PodTerms>,
    other: &PodInfo,
    node: &'a NodeInfo,
    snapshot: &Snapshot,
) {
    let mut add = |term: &Term, meant: &PodInfo, weight: i64| {
        if !term.matches(meant, snapshot.namespaces()) {
            return;
        }
        if let Some((key, value)) = node.labels.get_key_value(&term.topology_key) {
            *weights.entry((key, value)).or_default() += weight;
        }
    };
    for (weight, term) in own.into_iter().flat_map(|own| &own.preferred) {
        add(term, other, *weight);
    }
    if let Some(theirs) = other.terms.as_deref() {
        for term in &theirs.near {
            add(term, &pod.info, REQUIRED_NEAR_WEIGHT);
        }
        for (weight, term) in &theirs.preferred {
            add(term, &pod.info, *weight);
        }
    }
}

/// Stretches the scores so that the lowest becomes 0 and the highest [`MAX`]; no pods at all (0) always lies within.
fn between(scores: Vec<i64>) -> Vec<i64> {
    let lowest = scores.iter().copied().min().unwrap_or_default().min(0);
    let highest = scores.iter().copied().max().unwrap_or_default().max(0);
    let range = highest - lowest;
    let stretch = |score: i64| {
        if range == 0 {
            0
        } else {
            (MAX as f64 * ((score - lowest) as f64 / range as f64)) as i64
        }
    };
    scores.into_iter().map(stretch).collect()
}
