//! What placed pods wish about other pods: each different wish once, with where those are that have it.

use std::collections::HashMap;
use std::sync::Arc;

use super::NodeInfo;
use crate::scheduler::affinity::Term;
use crate::scheduler::pod::PodInfo;

/// Wishes by their term's id.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Wishes(HashMap<Arc<str>, Wish>);

/// A term and those that wish it, by the value of the term's label where they are.
#[derive(Clone, Debug, PartialEq)]
pub struct Wish {
    /// Which pods are meant, and where "near" ends.
    pub term: Term,
    near: HashMap<String, i64>,
    away: HashMap<String, i64>,
    preferred: HashMap<String, i64>,
}

/// How a pod wishes a term.
#[derive(Clone, Copy)]
enum How {
    Near,
    Away,
    Preferred(i64),
}

impl Wishes {
    /// Whether nobody wishes anything.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Every different wish.
    pub fn iter(&self) -> impl Iterator<Item = &Wish> {
        self.0.values()
    }

    pub(super) fn add(&mut self, pod: &PodInfo, node: &NodeInfo) {
        each(pod, |term, how| self.change(term, how, node, 1));
    }

    pub(super) fn remove(&mut self, pod: &PodInfo, node: &NodeInfo) {
        each(pod, |term, how| self.change(term, how, node, -1));
    }

    fn change(&mut self, term: &Term, how: How, node: &NodeInfo, sign: i64) {
        let Some(value) = node.labels.get(&term.topology_key) else {
            return;
        };
        if !self.0.contains_key(term.id()) {
            self.0.insert(term.id().clone(), Wish::new(term.clone()));
        }
        let wish = self.0.get_mut(term.id()).expect("it was just inserted");
        let (domains, amount) = match how {
            How::Near => (&mut wish.near, 1),
            How::Away => (&mut wish.away, 1),
            How::Preferred(weight) => (&mut wish.preferred, weight),
        };
        let there = domains.entry(value.clone()).or_default();
        *there += sign * amount;
        if *there == 0 {
            domains.remove(value);
        }
        if wish.near.is_empty() && wish.away.is_empty() && wish.preferred.is_empty() {
            self.0.remove(term.id());
        }
    }
}

impl Wish {
    fn new(term: Term) -> Self {
        Self {
            term,
            near: HashMap::new(),
            away: HashMap::new(),
            preferred: HashMap::new(),
        }
    }

    /// Whether anybody wants those meant away.
    pub fn keeps_away(&self) -> bool {
        !self.away.is_empty()
    }

    /// Whether a pod near this node wants those meant away.
    pub fn keeps_away_from(&self, node: &NodeInfo) -> bool {
        self.domain(&self.away, node) > 0
    }

    /// How many pods near this node require those meant near, and the sum of the weights of those that would like it.
    pub fn liked(&self, node: &NodeInfo) -> (i64, i64) {
        (self.domain(&self.near, node), self.domain(&self.preferred, node))
    }

    fn domain(&self, domains: &HashMap<String, i64>, node: &NodeInfo) -> i64 {
        if domains.is_empty() {
            return 0;
        }
        let value = node.labels.get(&self.term.topology_key);
        value.and_then(|value| domains.get(value)).copied().unwrap_or_default()
    }
}

/// Every term of the pod.
fn each(pod: &PodInfo, mut take: impl FnMut(&Term, How)) {
    let Some(terms) = pod.terms.as_deref() else { return };
    terms.near.iter().for_each(|term| take(term, How::Near));
    terms.away.iter().for_each(|term| take(term, How::Away));
    for (weight, term) in &terms.preferred {
        take(term, How::Preferred(*weight));
    }
}
