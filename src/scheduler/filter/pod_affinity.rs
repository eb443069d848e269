//! Pods that must be near this one or away from it, in both directions.

use std::borrow::Cow;

use super::{Check, Verdict};
use crate::scheduler::pod::PendingPod;
use crate::scheduler::refusal::Refusal;
use crate::scheduler::snapshot::{NodeInfo, Question, Snapshot, Tally, Wish};

pub(super) fn check<'a>(pod: &'a PendingPod, snapshot: &'a Snapshot) -> Option<Check<'a>> {
    let neighbours = Neighbours::new(pod, snapshot)?;
    Some(Box::new(move |node| neighbours.check(node)))
}

/// Where pods are that must be near this one or away from it.
pub(in crate::scheduler) struct Neighbours<'a> {
    near: Vec<Cow<'a, Tally>>,
    away: Vec<Cow<'a, Tally>>,
    unwelcome: Vec<&'a Wish>,
    /// The first of a group that wants to be near itself may start anywhere.
    first: bool,
}

impl<'a> Neighbours<'a> {
    /// `None` where neither the pod nor anybody that means it cares.
    pub fn new(pod: &'a PendingPod, snapshot: &'a Snapshot) -> Option<Self> {
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
        // Each of these questions asks for pods that all of the terms mean.
        let first = near.iter().all(|tally| tally.total() == 0)
            && asked
                .near
                .iter()
                .all(|question| question.means(&pod.info, snapshot.namespaces()));
        Some(Self {
            near,
            away,
            unwelcome,
            first,
        })
    }

    fn check(&self, node: &NodeInfo) -> Verdict {
        if self.lacking(node).next().is_some() {
            return Err(vec![Refusal::PodAffinity]);
        }
        if self.in_the_way(node).next().is_some() {
            return Err(vec![Refusal::PodAntiAffinity]);
        }
        if self.objecting(node).next().is_some() {
            return Err(vec![Refusal::ExistingAntiAffinity]);
        }
        Ok(())
    }

    /// The questions for pods near that find none near this node.
    pub fn lacking<'b>(&'b self, node: &'b NodeInfo) -> impl Iterator<Item = &'b Question> {
        // Even the first of a group needs a node that has the labels.
        let is_near = |tally: &Tally| tally.at(node).is_some_and(|pods| self.first || pods > 0);
        let lacking = self.near.iter().filter(move |tally| !is_near(tally));
        lacking.map(|tally| tally.question())
    }

    /// The questions for pods to be away from that find some near this node.
    pub fn in_the_way<'b>(&'b self, node: &'b NodeInfo) -> impl Iterator<Item = &'b Question> {
        let found = |tally: &&Cow<Tally>| tally.at(node).is_some_and(|pods| pods > 0);
        self.away.iter().filter(found).map(|tally| tally.question())
    }

    /// The wishes of pods near this node to have this one away.
    pub fn objecting<'b>(&'b self, node: &'b NodeInfo) -> impl Iterator<Item = &'a Wish> + 'b {
        let objecting = self.unwelcome.iter().copied();
        objecting.filter(|wish| wish.keeps_away_from(node))
    }
}
