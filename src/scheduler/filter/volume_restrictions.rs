//! A claim that one pod alone may use is had by no other pod, wherever that runs.

use super::{Check, refuse_unless};
use crate::object::volume::ONE_POD;
use crate::scheduler::pod::{Claim, PendingPod};
use crate::scheduler::refusal::Refusal;
use crate::scheduler::snapshot::Snapshot;

pub(super) fn check<'a>(pod: &'a PendingPod, snapshot: &'a Snapshot) -> Option<Check<'a>> {
    let is_taken = |claim: &Claim| {
        let key = (pod.info.namespace.clone(), claim.name.clone());
        let known = snapshot.volumes().claim(&key).and_then(|claim| claim.spec.as_ref());
        let modes = known.and_then(|spec| spec.access_modes.as_deref()).unwrap_or_default();
        modes.iter().any(|mode| mode == ONE_POD) && snapshot.users_of(&key) > 0
    };
    let taken = pod.info.claims.iter().any(is_taken);
    taken.then(|| -> Check<'a> { Box::new(|_| refuse_unless(false, Refusal::ClaimTaken)) })
}
