//! What a running kubelet knows of a pod and Docker does not show. Lost on restart without harm. Plain data.

use std::collections::BTreeMap;

use jiff::Timestamp;

/// A pod's transient facts.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Local {
    /// Why a container is not started just now, by its name.
    pub holds: BTreeMap<String, Hold>,
    /// Why the pod has no sandbox or volumes just now.
    pub pod_hold: Option<Hold>,
    /// What the probes found, by container id; a container without probes is absent.
    pub probes: BTreeMap<String, Probed>,
    /// When a stop that is under way ends at the latest, by container id.
    pub stopping: BTreeMap<String, Timestamp>,
    /// Containers whose postStart hook has not ended.
    pub hooks: Vec<String>,
    /// What is pulled for the pod that replaces this one.
    pub prepulling: Option<Prepulling>,
}

/// Images that are pulled for another pod, as an annotation asks.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Prepulling {
    /// Which annotation.
    pub mark: String,
    /// What the last try came to; none before its end.
    pub result: Option<Result<(), String>>,
    /// Whether a try is under way.
    pub under_way: bool,
    /// How many tries failed.
    pub failures: u32,
    /// When to try again, where the last try failed.
    pub retry_at: Option<Timestamp>,
}

impl Prepulling {
    /// Whether it is time for another try.
    pub fn is_due(&self, now: Timestamp) -> bool {
        !self.under_way && self.retry_at.is_some_and(|at| at <= now)
    }
}

/// A reason to wait.
#[derive(Clone, Debug, PartialEq)]
pub struct Hold {
    /// e.g. `ErrImagePull`; empty while nothing failed yet.
    pub reason: String,
    /// What a person reads.
    pub message: String,
    /// When it failed last.
    pub since: Timestamp,
    /// When to try again; `None` while the attempt is under way.
    pub retry_at: Option<Timestamp>,
    /// How often it failed in a row.
    pub failures: u32,
    /// The spec hash of the container it is about; another spec is another chance.
    pub hash: String,
}

/// What a container's probes found so far.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Probed {
    /// The readiness probe succeeds, or there is none.
    pub ready: bool,
    /// The startup probe succeeded, or there is none.
    pub started: bool,
    /// The liveness probe has not failed for good.
    pub alive: bool,
}

impl Default for Probed {
    fn default() -> Self {
        Self {
            ready: true,
            started: true,
            alive: true,
        }
    }
}

impl Local {
    /// What the probes say of that container.
    pub fn probed(&self, id: &str) -> Probed {
        self.probes.get(id).copied().unwrap_or_default()
    }
}
