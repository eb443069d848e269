//! Better the more pods there are that should be near and the fewer that should not, in both directions.

use std::borrow::Cow;

use super::MAX;
use crate::scheduler::pod::PendingPod;
use crate::scheduler::snapshot::{NodeInfo, Snapshot, Tally, Wish};

pub(super) fn score(pod: &PendingPod, snapshot: &Snapshot, nodes: &[&NodeInfo]) -> Option<Vec<i64>> {
    if pod.profile.prefers_alone && pod.asked.preferred.is_empty() {
        return None;
    }
    let required_near_weight = pod.profile.required_near_weight;
    let own: Vec<(i64, Cow<Tally>)> = pod
        .asked
        .preferred
        .iter()
        .map(|(weight, question)| (*weight, snapshot.tally(question)))
        .collect();
    let theirs: Vec<&Wish> = snapshot
        .wishes()
        .iter()
        .filter(|wish| wish.term.who.means(&pod.info, snapshot.namespaces()))
        .collect();
    if own.is_empty() && theirs.is_empty() {
        return None;
    }
    let sum = |node: &&NodeInfo| {
        let own = own
            .iter()
            .map(|(weight, tally)| weight * tally.at(node).unwrap_or_default());
        let theirs = theirs.iter().map(|wish| {
            let (near, preferred) = wish.liked(node);
            required_near_weight * near + preferred
        });
        own.sum::<i64>() + theirs.sum::<i64>()
    };
    Some(between(nodes.iter().map(sum).collect()))
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
