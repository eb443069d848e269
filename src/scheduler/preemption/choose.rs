//! Which pod is more important, and which node's victims are the lesser evil.

use std::cmp::{Ordering, Reverse};
use std::sync::Arc;

use super::Victims;
use crate::scheduler::pod::PodInfo;

/// Sorts the most important pod first: higher priority, then longer running; uid last, so that the order is always the same.
pub(super) fn by_importance(a: &Arc<PodInfo>, b: &Arc<PodInfo>) -> Ordering {
    let rank = |pod: &PodInfo| (Reverse(pod.priority), started(pod));
    rank(a).cmp(&rank(b)).then_with(|| a.uid.cmp(&b.uid))
}

/// Of two nodes the one whose victims are the lesser evil; the first where both are alike.
pub(super) fn better(a: Victims, b: Victims) -> Victims {
    match evil(&a).cmp(&evil(&b)) {
        Ordering::Greater => b,
        Ordering::Less | Ordering::Equal => a,
    }
}

/// The fewest broken budgets, then the least important victim at the top, then the smallest sum of priorities, then the
/// fewest victims, then the one whose most important victims have run the shortest.
fn evil(victims: &Victims) -> (usize, i32, i64, usize, Reverse<i64>) {
    let pods = &victims.pods;
    let highest = pods.iter().map(|pod| pod.priority).max().unwrap_or(i32::MIN);
    // Shifted to be positive, so that more victims are never better for having negative priorities.
    let sum = pods
        .iter()
        .map(|pod| i64::from(pod.priority) + i64::from(i32::MAX) + 1)
        .sum();
    let at_the_top = pods.iter().filter(|pod| pod.priority == highest);
    let earliest = at_the_top.map(|pod| started(pod)).min().unwrap_or(i64::MAX);
    (victims.violations, highest, sum, pods.len(), Reverse(earliest))
}

/// A pod that has not started is as young as can be.
fn started(pod: &PodInfo) -> i64 {
    pod.started_seconds.unwrap_or(i64::MAX)
}
