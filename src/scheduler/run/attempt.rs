//! What comes of an attempt to bind a pod, and how things stand, told to those who measure.

use std::sync::Arc;
use std::time::Instant;

use super::Scheduler;
use crate::client::Told;
use crate::scheduler::bind::Outcome;
use crate::scheduler::metrics;
use crate::scheduler::pod::PendingPod;
use crate::scheduler::report::Notice;
use crate::scheduler::state::{Bound, History};

/// A pod that is being bound.
pub(super) struct Attempt {
    pub pod: Arc<PendingPod>,
    /// When it was decided on.
    pub begun: Instant,
    pub history: Option<History>,
}

impl Scheduler {
    /// Takes in what came of a binding.
    pub(super) fn settled(&mut self, attempt: Attempt, outcome: Outcome, now: Instant) {
        let Attempt { pod, begun, history } = attempt;
        let Outcome { bound, ours, error } = outcome;
        let took = now.saturating_duration_since(begun);
        if let Bound::On(node) = &bound {
            if ours {
                let outcome = metrics::Outcome::Scheduled;
                self.metrics.attempted(&pod.profile.name, outcome, took);
                history.into_iter().for_each(|history| self.metrics.bound(history, now));
                tracing::debug!(namespace = %pod.info.namespace, pod = %pod.info.name, %node, "bound");
                self.tell(&pod.info, &pod.profile.name, Notice::scheduled(&pod, node));
            }
            self.memory.forget(&pod.info.uid);
        }
        if let (Bound::Not, Some(error)) = (&bound, &error) {
            let error = Told(error);
            self.metrics.attempted(&pod.profile.name, metrics::Outcome::Error, took);
            tracing::warn!(pod = %pod.info.name, %error, "binding failed and is tried again");
            let notice = Notice::failed(format!("binding failed: {error}"));
            self.tell(&pod.info, &pod.profile.name, notice);
        }
        self.state.bound(&pod.info.uid, &bound, now);
    }

    /// Shows how things stand.
    pub(super) fn measure(&mut self) {
        self.metrics.show(&self.state.counted());
        self.metrics.arrived(&self.state.take_incoming());
        for ((profile, plugin), pods) in self.state.take_refused() {
            self.metrics.refused(&profile, plugin, pods);
        }
    }
}
