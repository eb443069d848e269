//! Decides what to do next for a pod. Pure: what Docker shows, what is remembered and the time come in.

pub mod backoff;
mod startup;
mod teardown;
#[cfg(test)]
mod tests;

use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::Pod;

use super::local::Local;
use super::observed::Observed;
use super::pod;

/// What should be.
#[derive(Clone, Copy, Debug)]
pub enum Desired<'a> {
    /// The pod is in the API: as it says.
    Pod(&'a Pod),
    /// The pod is not in the API any more: nothing. What was last seen of it tells how long a stop may take.
    Gone(Option<&'a Pod>),
}

/// What to do now, and when to look again even if nothing happens.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Plan {
    /// In order.
    pub actions: Vec<Action>,
    /// The next moment at which time alone changes the plan.
    pub wake_at: Option<Timestamp>,
}

/// One thing to do.
#[derive(Clone, Debug, PartialEq)]
pub enum Action {
    /// Make the volumes and a sandbox, for the launches that follow.
    CreateSandbox {
        /// Its number.
        attempt: u32,
    },
    /// Make and start a container in the ready sandbox, or in the one just asked for.
    Launch(Launch),
    /// Tell that a container waits for its next start.
    BackOff {
        /// Its name.
        container: String,
    },
    /// Stop a running container.
    Stop {
        /// Docker's id.
        id: String,
        /// Its name in the pod.
        container: String,
        /// How long it gets, hooks included.
        grace: Duration,
        /// Why.
        why: StopReason,
    },
    /// Stop a sandbox that no container runs in.
    StopSandbox {
        /// Docker's id.
        id: String,
    },
    /// Remove an ended container or sandbox.
    Remove {
        /// Docker's id.
        id: String,
    },
    /// Everything ended: publish the last status, remove the containers, let the API object go.
    FinishDeletion,
    /// Everything is gone: remove the files and forget the pod.
    Forget,
}

/// A container to make and start.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Launch {
    /// Its name in the pod.
    pub container: String,
    /// How many starts came before.
    pub attempt: u32,
    /// How long to wait after its end.
    pub backoff_seconds: u32,
}

/// Why a container is stopped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StopReason {
    /// The pod is being deleted, or is gone.
    Deleted,
    /// The pod has run for its `activeDeadlineSeconds`.
    DeadlineExceeded,
    /// The pod ended; its sidecars follow.
    Finished,
    /// The pod's sandbox died.
    SandboxChanged,
    /// Its spec changed.
    Changed,
    /// Its liveness probe failed.
    Unhealthy,
    /// Its startup probe failed.
    NeverStarted,
}

impl Plan {
    fn wake(&mut self, at: Timestamp) {
        self.wake_at = Some(self.wake_at.map_or(at, |earlier| earlier.min(at)));
    }
}

/// Where a pod is in its life, as its containers and the time tell.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    /// Containers run or will.
    Live,
    /// Every container ended and none will start again.
    Finished,
    /// It ran for its `activeDeadlineSeconds`.
    DeadlineExceeded,
}

/// Where the pod is in its life.
pub fn stage(pod: &Pod, observed: &Observed, now: Timestamp) -> Stage {
    let published_reason = pod.status.as_ref().and_then(|status| status.reason.as_deref());
    if pod::has_terminal_phase(pod) {
        return match published_reason {
            Some("DeadlineExceeded") => Stage::DeadlineExceeded,
            _ => Stage::Finished,
        };
    }
    if pod::deadline(pod).is_some_and(|deadline| now >= deadline) {
        return Stage::DeadlineExceeded;
    }
    if startup::all_done(pod, observed) {
        Stage::Finished
    } else {
        Stage::Live
    }
}

/// What to do next for a pod.
pub fn plan(desired: Desired<'_>, observed: &Observed, local: &Local, now: Timestamp) -> Plan {
    let mut plan = Plan::default();
    match desired {
        Desired::Gone(last) => teardown::gone(last, observed, local, now, &mut plan),
        Desired::Pod(pod) if pod::is_terminating(pod) => teardown::delete(pod, observed, local, now, &mut plan),
        Desired::Pod(pod) => match stage(pod, observed, now) {
            Stage::Finished => teardown::finish(pod, StopReason::Finished, observed, local, now, &mut plan),
            Stage::DeadlineExceeded => {
                teardown::finish(pod, StopReason::DeadlineExceeded, observed, local, now, &mut plan);
            }
            Stage::Live => {
                if let Some(deadline) = pod::deadline(pod) {
                    plan.wake(deadline);
                }
                startup::advance(pod, observed, local, now, &mut plan);
                teardown::collect(observed, &mut plan);
            }
        },
    }
    plan
}
