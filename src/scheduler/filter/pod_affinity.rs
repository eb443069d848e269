//! Pods that must be near this one or away from it, in both directions.

use std::borrow::Cow;

use super::{Check, Verdict};
use crate::scheduler::pod::PendingPod;
use crate::scheduler::refusal::Refusal;
use crate::scheduler::snapshot::{NodeInfo, Snapshot, Tally, Wish};

pub(super) fn check<'a>(pod: &'a PendingPod, snapshot: &'a Snapshot) -> Option<Check<'a>> {
    let asked = &pod.asked;
    let unwelcome: Vec<&Wish> = snapshot
        .wishes()
        .iter()
        .filter(|wish| wish.keeps_away() && wish.term.who.means(&pod.info, snapshot.namespaces()))
        .collect();
    if asked.near.is_empty() && asked.away.is_empty() && unwelcome.is_empty() {
        return None;
    }
    let tallies = |questions: &'a [_]| -> Vec<Cow<'a, Tally>> {
        questions.iter().map(|question| snapshot.tally(question)).collect()
    };
    let (near, away) = (tallies(&asked.near), tallies(&asked.away));
    // The first of a group that wants to be near itself may start anywhere. Each of these questions asks for pods that
    // all of the terms mean.
    let first = near.iter().all(|tally| tally.total() == 0)
        && asked
            .near
            .iter()
            .all(|question| question.means(&pod.info, snapshot.namespaces()));
    Some(Box::new(move |node| {
        if !near.iter().all(|tally| is_near(tally, node, first)) {
            return Err(vec![Refusal::PodAffinity]);
        }
        if away.iter().any(|tally| tally.at(node).is_some_and(|pods| pods > 0)) {
            return Err(vec![Refusal::PodAntiAffinity]);
        }
        welcome(&unwelcome, node)
    }))
}

/// Even the first of a group needs a node that has the labels.
fn is_near(tally: &Tally, node: &NodeInfo, first: bool) -> bool {
    let pods = tally.at(node);
    pods.is_some_and(|pods| first || pods > 0)
}

fn welcome(unwelcome: &[&Wish], node: &NodeInfo) -> Verdict {
    if unwelcome.iter().any(|wish| wish.keeps_away_from(node)) {
        return Err(vec![Refusal::ExistingAntiAffinity]);
    }
    Ok(())
}
