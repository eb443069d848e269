//! Volumes, claims and classes: what is heard of them wakes pods that were refused for them, and pods whose volumes are
//! being made their own are bound once that is done.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Instant;

use k8s_openapi::api::core::v1::{PersistentVolume, PersistentVolumeClaim};
use k8s_openapi::api::storage::v1::StorageClass;
use kube::ResourceExt as _;

use super::{State, Step};
use crate::scheduler::filter::Needs;
use crate::scheduler::pod::PendingPod;
use crate::scheduler::queue::Cause;
use crate::scheduler::refusal::Refusal;
use crate::scheduler::snapshot::{Bindings, ClaimKey, Volumes, claim_key};

/// A pod with a node whose volumes are not its own yet.
#[derive(Debug)]
pub(super) struct Awaiting {
    node: Arc<str>,
    bindings: Bindings,
    due: Instant,
    /// Whether all is written, so that others have to act.
    written: bool,
    /// Something happened since it was last looked at.
    news: bool,
}

/// A kind of object that volumes are told of by.
pub trait Storage {
    /// Tells an object from every other of its kind.
    type Key: Eq + std::hash::Hash;

    /// What an event of it wakes pods as.
    const CAUSE: Cause;

    /// Tells it from every other.
    fn key(&self) -> Self::Key;

    /// Takes it in.
    fn set(self, volumes: &mut Volumes);

    /// Forgets the one of that key.
    fn remove(key: &Self::Key, volumes: &mut Volumes);

    /// All that are known.
    fn known(volumes: &Volumes) -> Vec<Self::Key>;
}

impl Storage for PersistentVolume {
    type Key = String;

    const CAUSE: Cause = Cause::PvUpdate;

    fn key(&self) -> String {
        self.name_any()
    }

    fn set(self, volumes: &mut Volumes) {
        volumes.set_volume(self);
    }

    fn remove(key: &String, volumes: &mut Volumes) {
        volumes.remove_volume(key);
    }

    fn known(volumes: &Volumes) -> Vec<String> {
        volumes.volume_names()
    }
}

impl Storage for PersistentVolumeClaim {
    type Key = ClaimKey;

    const CAUSE: Cause = Cause::PvcUpdate;

    fn key(&self) -> ClaimKey {
        claim_key(self)
    }

    fn set(self, volumes: &mut Volumes) {
        volumes.set_claim(self);
    }

    fn remove(key: &ClaimKey, volumes: &mut Volumes) {
        volumes.remove_claim(key);
    }

    fn known(volumes: &Volumes) -> Vec<ClaimKey> {
        volumes.claim_keys()
    }
}

impl Storage for StorageClass {
    type Key = String;

    const CAUSE: Cause = Cause::StorageClassUpdate;

    fn key(&self) -> String {
        self.name_any()
    }

    fn set(self, volumes: &mut Volumes) {
        volumes.set_class(self);
    }

    fn remove(key: &String, volumes: &mut Volumes) {
        volumes.remove_class(key);
    }

    fn known(volumes: &Volumes) -> Vec<String> {
        volumes.class_names()
    }
}

impl State {
    /// Takes in a volume, claim or class that is new or changed.
    pub fn storage_changed<S: Storage>(&mut self, object: S, now: Instant) {
        object.set(self.snapshot.volumes_mut());
        self.storage_news(S::CAUSE, now);
    }

    /// Forgets a volume, claim or class.
    pub fn storage_gone<S: Storage>(&mut self, key: &S::Key, now: Instant) {
        S::remove(key, self.snapshot.volumes_mut());
        self.storage_news(S::CAUSE, now);
    }

    /// Forgets all of a kind that a complete list did not have.
    pub fn keep_storage<S: Storage>(&mut self, listed: &HashSet<S::Key>, now: Instant) {
        for key in S::known(self.snapshot.volumes()) {
            if !listed.contains(&key) {
                self.storage_gone::<S>(&key, now);
            }
        }
    }

    /// Whatever the volumes are now, pods that use some may be better off.
    fn storage_news(&mut self, cause: Cause, now: Instant) {
        for awaiting in self.awaiting.values_mut() {
            awaiting.news = true;
        }
        for uid in self.queue.parked() {
            let waiting = self.waiting.get(&uid);
            if waiting.is_some_and(|waiting| !waiting.pod.info.claims.is_empty()) {
                self.queue.wake(&uid, cause, now);
            }
        }
    }

    /// What was to be written for a pod's volumes is written.
    pub fn prepared(&mut self, uid: &str) {
        if let Some(awaiting) = self.awaiting.get_mut(uid) {
            awaiting.written = true;
            awaiting.news = true;
        }
    }

    /// Counts as written what makes volumes the pod's own; `None` where they are.
    pub(super) fn promise(&mut self, pod: &PendingPod, node: &Arc<str>, now: Instant) -> Option<Bindings> {
        if pod.info.claims.is_empty() || !pod.profile.binds_volumes() {
            return None;
        }
        let needs = Needs::new(pod, &self.snapshot).ok()?;
        let bindings = needs.bindings(self.snapshot.node(node)?)?;
        if !bindings.waits {
            return None;
        }
        self.snapshot.volumes_mut().assume(&bindings);
        let awaiting = Awaiting {
            node: node.clone(),
            bindings: bindings.clone(),
            due: now + pod.profile.volumes_timeout,
            written: false,
            news: false,
        };
        self.awaiting.insert(pod.info.uid.clone(), awaiting);
        Some(bindings)
    }

    /// The pod does not wait for volumes any more, and what was not written never will be.
    pub(super) fn release(&mut self, uid: &str) {
        if let Some(awaiting) = self.awaiting.remove(uid) {
            self.snapshot.volumes_mut().revert(&awaiting.bindings);
        }
    }

    /// When the first pod has waited for too long.
    pub(super) fn awaiting_due(&self) -> Option<Instant> {
        let written = self.awaiting.values().filter(|awaiting| awaiting.written);
        written.map(|awaiting| awaiting.due).min()
    }

    /// A pod that waited for its volumes, and waits no longer.
    pub(super) fn next_awaiting(&mut self, now: Instant) -> Option<Step> {
        let ready = |awaiting: &Awaiting| awaiting.written && (awaiting.news || awaiting.due <= now);
        while let Some((uid, awaiting)) = self.awaiting.iter_mut().find(|(_, awaiting)| ready(awaiting)) {
            awaiting.news = false;
            let (uid, node, late) = (uid.clone(), awaiting.node.clone(), awaiting.due <= now);
            let Some(waiting) = self.waiting.get(&uid) else {
                self.release(&uid);
                continue;
            };
            let pod = waiting.pod.clone();
            match self.standing(&pod, &node) {
                Ok(true) => {
                    self.awaiting.remove(&uid);
                    return Some(Step::Bind { pod, node });
                }
                Ok(false) if !late => {}
                Ok(false) => {
                    let seconds = pod.profile.volumes_timeout.as_secs();
                    let reason = format!("its volumes were not bound within {seconds} seconds");
                    return Some(self.fail(pod, reason));
                }
                Err(refusals) => {
                    let reasons: Vec<String> = refusals.iter().map(ToString::to_string).collect();
                    return Some(self.fail(pod, reasons.join(", ")));
                }
            }
        }
        None
    }

    fn fail(&mut self, pod: Arc<PendingPod>, reason: String) -> Step {
        self.release(&pod.info.uid);
        Step::Fail { pod, reason }
    }

    /// Whether all of the pod's volumes are its own by now.
    ///
    /// # Errors
    /// Where they never will be on that node.
    fn standing(&self, pod: &PendingPod, node: &str) -> Result<bool, Vec<Refusal>> {
        let needs = match Needs::new(pod, &self.snapshot) {
            Ok(needs) => needs,
            // Half bound: the controller is about to write the rest.
            Err(Refusal::UnboundClaims) => return Ok(false),
            Err(fault) => return Err(vec![fault]),
        };
        // Without its node the binding itself tells what is to become of the pod.
        let Some(node) = self.snapshot.node(node) else {
            return Ok(true);
        };
        needs.check(node)?;
        Ok(!needs.is_waiting())
    }
}

#[cfg(test)]
#[path = "storage_tests.rs"]
mod tests;
