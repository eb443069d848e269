//! The decision: from a pod and the cluster to a node, or to all the reasons why there is none. Pure.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

use super::filter::Filters;
use super::pod::PendingPod;
use super::refusal::Refusal;
use super::sampling::nodes_to_find;
use super::score;
use super::snapshot::{NodeInfo, Snapshot};

/// Where a pod goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Decision {
    /// The node chosen.
    pub node: Arc<str>,
    /// Its weighted score.
    pub score: i64,
    /// How many nodes would have done, of those that were looked at.
    pub feasible: usize,
    /// How far the next look at the nodes should begin beyond this one, so that all get their turn.
    pub turns: usize,
}

/// Why a pod goes nowhere, node by node.
#[derive(Clone, Debug, Default, PartialEq, Eq, thiserror::Error)]
pub struct Unschedulable {
    /// Each node's reasons.
    pub refusals: Vec<(Arc<str>, Vec<Refusal>)>,
}

impl fmt::Display for Unschedulable {
    /// `0/3 nodes are available: 2 Insufficient cpu, 1 node(s) were unschedulable.`, as kube-scheduler writes it,
    /// down to ordering the counted reasons as texts.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.refusals.is_empty() {
            return formatter.write_str("no nodes available to schedule pods");
        }
        let mut all = self.refusals.iter().flat_map(|(_, refusals)| refusals);
        if let Some(refusal) = all.find(|refusal| refusal.is_of_the_pod()) {
            return write!(formatter, "0/{} nodes are available: {refusal}.", self.refusals.len());
        }
        let mut counts = BTreeMap::<String, usize>::new();
        for refusal in self.refusals.iter().flat_map(|(_, refusals)| refusals) {
            *counts.entry(refusal.to_string()).or_default() += 1;
        }
        let mut reasons: Vec<String> = counts
            .iter()
            .map(|(reason, count)| format!("{count} {reason}"))
            .collect();
        reasons.sort();
        write!(
            formatter,
            "0/{} nodes are available: {}.",
            self.refusals.len(),
            reasons.join(", ")
        )
    }
}

/// Chooses the best node that fits; among equally good ones, one that the seed picks. Of a large cluster only a sample is
/// looked at, from `begin` on, which is a turn that [`Decision::turns`] moves on.
///
/// # Errors
/// Where no node fits, with each node's reasons.
pub fn schedule(pod: &PendingPod, snapshot: &Snapshot, begin: usize, seed: u64) -> Result<Decision, Unschedulable> {
    choose(pod, snapshot, &Filters::new(pod, snapshot), begin, seed)
}

/// As [`schedule`], of the nodes that these filters let through.
pub(super) fn choose(
    pod: &PendingPod,
    snapshot: &Snapshot,
    filters: &Filters,
    begin: usize,
    seed: u64,
) -> Result<Decision, Unschedulable> {
    if let Some(decision) = nominated(pod, snapshot, filters) {
        return Ok(decision);
    }
    let wanted = nodes_to_find(snapshot.node_count(), pod.profile.percentage_of_nodes);
    let mut nodes: Vec<&NodeInfo> = Vec::new();
    let mut turns = 0;
    for (turn, node) in snapshot.nodes_in_turn(begin) {
        if nodes.len() >= wanted {
            break;
        }
        turns = turn + 1;
        if filters.check(node).is_ok() {
            nodes.push(node);
        }
    }
    let (index, score) = match nodes.len() {
        0 => return Err(explain(filters, snapshot)),
        1 => (0, 0),
        _ => best(&score::totals(pod, snapshot, &nodes), seed),
    };
    Ok(Decision {
        node: nodes[index].name.clone(),
        score,
        feasible: nodes.len(),
        turns,
    })
}

/// The node that was made free for the pod, if it fits there now: others have been looked at before.
fn nominated(pod: &PendingPod, snapshot: &Snapshot, filters: &Filters) -> Option<Decision> {
    let node = snapshot.node(pod.nominated.as_deref()?)?;
    filters.check(node).ok()?;
    Some(Decision {
        node: node.name.clone(),
        score: 0,
        feasible: 1,
        turns: 0,
    })
}

/// The nodes that the pod fits on.
pub fn feasible<'a>(pod: &PendingPod, snapshot: &'a Snapshot) -> Vec<&'a NodeInfo> {
    let filters = Filters::new(pod, snapshot);
    snapshot.nodes().filter(|node| filters.check(node).is_ok()).collect()
}

/// Each node's reasons.
pub(super) fn explain(filters: &Filters, snapshot: &Snapshot) -> Unschedulable {
    let refused = |node: &NodeInfo| Some((node.name.clone(), filters.check(node).err()?));
    Unschedulable {
        refusals: snapshot.nodes().filter_map(refused).collect(),
    }
}

fn best(totals: &[i64], seed: u64) -> (usize, i64) {
    let highest = totals.iter().copied().max().unwrap_or_default();
    let best: Vec<usize> = (0..totals.len()).filter(|index| totals[*index] == highest).collect();
    match best[..] {
        [only] => (only, highest),
        _ => (best[StdRng::seed_from_u64(seed).random_range(0..best.len())], highest),
    }
}
