//! How things stand, for those who watch. Costs the same however many pods and nodes there are.

use std::sync::Arc;
use std::time::Instant;

use super::State;
use crate::scheduler::queue::{Incoming, Sizes};

/// How many there are of what.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counted {
    /// Pods that wait for a node.
    pub queue: Sizes,
    /// Pods that wait for their gates to go.
    pub gated: usize,
    /// Nodes.
    pub nodes: usize,
    /// Pods on nodes, those that are being bound included.
    pub pods: usize,
}

/// A pod's way to its node so far.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct History {
    /// The attempt that is under way, from 1 on.
    pub attempt: u32,
    /// When it was first heard of as one that could be placed.
    pub since: Instant,
}

impl State {
    /// How things stand.
    pub fn counted(&self) -> Counted {
        Counted {
            queue: self.queue.sizes(),
            gated: self.gated.len(),
            nodes: self.snapshot.node_count(),
            pods: self.snapshot.pod_count(),
        }
    }

    /// What became of a pod that is being bound until now.
    pub fn history(&self, uid: &str) -> Option<History> {
        let since = self.waiting.get(uid)?.since;
        let attempt = self.queue.failures(uid) + 1;
        Some(History { attempt, since })
    }

    /// Which pods came to which part of the queue since this was last asked.
    pub fn take_incoming(&mut self) -> Incoming {
        self.queue.take_incoming()
    }

    /// How many pods of a profile a plugin keeps from being placed, where that changed since this was last asked.
    pub fn take_refused(&mut self) -> Vec<((Arc<str>, &'static str), usize)> {
        self.refused.take_changed()
    }
}
