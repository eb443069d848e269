//! The tallies that are kept at hand: those that were asked for of late.

use std::collections::HashMap;
use std::sync::Arc;

use super::{NodeInfo, Question, Tally};
use crate::scheduler::affinity::Namespaces;
use crate::scheduler::pod::PodInfo;

/// How many are kept: each makes every change of a pod a little dearer, and pods made from one template ask the same.
const MOST: usize = 64;

/// Tallies by their question's id.
#[derive(Clone, Debug, Default)]
pub(super) struct Tallies {
    kept: HashMap<Arc<str>, Kept>,
    /// Counts uses, to tell which was used last.
    clock: u64,
}

#[derive(Clone, Debug)]
struct Kept {
    tally: Tally,
    used: u64,
}

impl Tallies {
    pub(super) fn get(&self, question: &Question) -> Option<&Tally> {
        self.kept.get(question.id()).map(|kept| &kept.tally)
    }

    pub(super) fn all(&self) -> impl Iterator<Item = &Tally> {
        self.kept.values().map(|kept| &kept.tally)
    }

    /// Notes that this one is used; tells whether it is kept.
    pub(super) fn touch(&mut self, question: &Question) -> bool {
        self.clock += 1;
        let kept = self.kept.get_mut(question.id());
        kept.map(|kept| kept.used = self.clock).is_some()
    }

    /// Keeps one more; the one that was not used for longest has to go where there are too many.
    pub(super) fn keep(&mut self, tally: Tally) {
        if self.kept.len() >= MOST
            && let Some(oldest) = self.kept.iter().min_by_key(|(_, kept)| kept.used)
        {
            let id = oldest.0.clone();
            self.kept.remove(&id);
        }
        let id = tally.question().id().clone();
        self.kept.insert(
            id,
            Kept {
                tally,
                used: self.clock,
            },
        );
    }

    /// Namespaces' labels changed: whatever asks them is counted anew when it is asked for.
    pub(super) fn forget_those_by_namespace(&mut self) {
        self.kept.retain(|_, kept| !kept.tally.question().asks_namespaces());
    }

    pub(super) fn enter(&mut self, node: &NodeInfo, namespaces: &Namespaces) {
        for kept in self.kept.values_mut() {
            kept.tally.enter(node, namespaces);
        }
    }

    pub(super) fn leave(&mut self, node: &NodeInfo) {
        for kept in self.kept.values_mut() {
            kept.tally.leave(node);
        }
    }

    pub(super) fn pod(&mut self, node: &NodeInfo, pod: &PodInfo, sign: i64, namespaces: &Namespaces) {
        for kept in self.kept.values_mut() {
            kept.tally.pod(node, pod, sign, namespaces);
        }
    }
}
