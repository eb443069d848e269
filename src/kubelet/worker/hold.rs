//! What waits before it is tried again, and how long.

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::core::v1::{Container as Spec, Pod};

use super::Worker;
use crate::kubelet::local::Hold;
use crate::kubelet::{labels, pod, status};

/// How fast something that failed is tried again.
#[derive(Clone, Copy)]
pub(super) struct Pace {
    first: SignedDuration,
    most: SignedDuration,
}

impl Pace {
    /// What may be mended by another object's arrival.
    pub(super) const SOON: Self = Self {
        first: SignedDuration::from_secs(1),
        most: SignedDuration::from_secs(15),
    };
    /// What burdens a registry.
    pub(super) const PULL: Self = Self {
        first: SignedDuration::from_secs(10),
        most: SignedDuration::from_mins(5),
    };
}

fn next_hold(before: Option<&Hold>, reason: &str, message: String, pace: Pace, hash: String) -> Hold {
    let failures = before.map_or(0, |hold| hold.failures);
    let factor = 2_i32.saturating_pow(failures.min(10));
    let wait = pace.first.saturating_mul(factor).min(pace.most);
    let now = Timestamp::now();
    Hold {
        reason: reason.to_owned(),
        message,
        since: now,
        retry_at: Some(now.saturating_add(wait).unwrap_or(now)),
        failures: failures + 1,
        hash,
    }
}

impl Worker {
    /// Remembers a failure of a container, and when to try again.
    pub(super) fn hold(&mut self, spec: &Spec, reason: &str, message: String, pace: Pace) {
        let hold = self.local.holds.get(&spec.name);
        let hold = next_hold(hold, reason, message, pace, labels::spec_hash(spec));
        self.local.holds.insert(spec.name.clone(), hold);
    }

    /// Remembers a failure of the pod's volumes or sandbox, and when to try again.
    pub(super) fn hold_pod(&mut self, message: String) {
        let hold = next_hold(self.local.pod_hold.as_ref(), "", message, Pace::SOON, String::new());
        self.local.pod_hold = Some(hold);
    }

    /// Keeps the container back until its pull ends; what the last one failed with stays to be seen.
    pub(super) fn hold_while_pulling(&mut self, spec: &Spec) {
        let before = self.local.holds.get(&spec.name);
        let hold = Hold {
            reason: before.map(|hold| hold.reason.clone()).unwrap_or_default(),
            message: before.map(|hold| hold.message.clone()).unwrap_or_default(),
            since: before.map_or_else(Timestamp::now, |hold| hold.since),
            retry_at: None,
            failures: before.map_or(0, |hold| hold.failures),
            hash: labels::spec_hash(spec),
        };
        self.local.holds.insert(spec.name.clone(), hold);
    }

    /// A hold is about a container's spec as it was; a changed spec is tried at once.
    pub(super) fn drop_stale_holds(&mut self, pod: &Pod) {
        self.local
            .holds
            .retain(|name, hold| pod::container(pod, name).is_some_and(|spec| labels::spec_hash(spec) == hold.hash));
    }

    /// When time alone changes the status: a fresh pull failure turns into a back-off.
    pub(super) fn status_changes_at(&self) -> Option<Timestamp> {
        let now = Timestamp::now();
        let changes = self.local.holds.values().filter(|hold| hold.reason == "ErrImagePull");
        let at = changes.filter_map(|hold| hold.since.checked_add(status::FRESH_FAILURE).ok());
        at.filter(|at| *at > now).min()
    }
}
