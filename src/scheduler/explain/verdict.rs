//! What would be decided now, told as the scheduler tells it.

use super::{Explanation, NodeExplanation, Outcome, Preemption, Refused, World};
use crate::scheduler::pod::PendingPod;
use crate::scheduler::preemption::{self, Budget, Concerned};
use crate::scheduler::sampling::nodes_to_find;
use crate::scheduler::schedule::Unschedulable;
use crate::scheduler::snapshot::Snapshot;

/// How many equally good nodes are named.
const NAMED: usize = 3;

/// Says where the pod would go; or why it goes nowhere, and what driving others out would do.
pub(super) fn decide(
    explanation: &mut Explanation,
    pod: &PendingPod,
    snapshot: &mut Snapshot,
    world: &World,
    seed: u64,
) {
    let budgets: Vec<&Budget> = world.budgets.iter().collect();
    let reserved: Vec<_> = world.reserved(pod).collect();
    let concerned = Concerned {
        budgets: &budgets,
        reserved: &reserved,
    };
    let totals = explanation.nodes.iter().filter_map(total);
    match totals.max() {
        Some(best) => choose(explanation, pod, snapshot.node_count(), best),
        None => refuse(explanation, pod, snapshot, concerned, seed),
    }
}

fn choose(explanation: &mut Explanation, pod: &PendingPod, nodes: usize, best: i64) {
    let fitting = || explanation.nodes.iter().filter(|node| total(node).is_some());
    let feasible = fitting().count();
    let of_that_name = fitting().find(|node| Some(node.name.as_str()) == pod.nominated.as_deref());
    let sample = Some(nodes_to_find(nodes, pod.profile.percentage_of_nodes)).filter(|sample| *sample < feasible);
    let (chosen, why) = match of_that_name {
        Some(node) => (vec![node.name.clone()], ", which was made free for it".to_owned()),
        None => {
            let best = fitting().filter(|node| total(node) == Some(best));
            let chosen: Vec<String> = best.map(|node| node.name.clone()).collect();
            let looked_at = sample.map(|sample| format!(", if it is among the {sample} that one look takes"));
            (chosen, looked_at.unwrap_or_default())
        }
    };
    let named = chosen.iter().take(NAMED).map(String::as_str).collect::<Vec<_>>();
    let named = match chosen.len().saturating_sub(NAMED) {
        0 => named.join(" or "),
        more => format!("{} or one of {more} others as good", named.join(", ")),
    };
    explanation.summary = format!("{feasible}/{nodes} nodes are available: {named} would be chosen{why}.");
    explanation.chosen = chosen;
    explanation.sample = sample;
}

fn refuse(
    explanation: &mut Explanation,
    pod: &PendingPod,
    snapshot: &mut Snapshot,
    concerned: Concerned<'_>,
    seed: u64,
) {
    for node in &mut explanation.nodes {
        if let Outcome::Refused(refused) = &mut node.outcome {
            let alone = unschedulable([(node.name.as_str(), &*refused)]);
            let victims = preemption::preempt(pod, &alone, snapshot, concerned, seed);
            refused.preemption = victims.ok().map(Preemption::of);
        }
    }
    let refused = || {
        explanation.nodes.iter().filter_map(|node| match &node.outcome {
            Outcome::Refused(refused) => Some((node.name.as_str(), refused)),
            Outcome::Fits { .. } => None,
        })
    };
    let all = unschedulable(refused());
    let victims = preemption::preempt(pod, &all, snapshot, concerned, seed);
    let summary = preemption::told(&all, victims.as_ref().err());
    let easiest = refused().min_by_key(|(name, refused)| (refused.ease(), name.to_string()));
    explanation.easiest = easiest.map(|(name, _)| name.to_owned());
    explanation.preemption = victims.ok().map(Preemption::of);
    explanation.summary = summary;
}

fn unschedulable<'a>(refused: impl IntoIterator<Item = (&'a str, &'a Refused)>) -> Unschedulable {
    let refusals = refused
        .into_iter()
        .map(|(name, refused)| (name.into(), refused.reasons.clone()));
    Unschedulable {
        refusals: refusals.collect(),
    }
}

fn total(node: &NodeExplanation) -> Option<i64> {
    match &node.outcome {
        Outcome::Fits { total, .. } => Some(*total),
        Outcome::Refused(_) => None,
    }
}
