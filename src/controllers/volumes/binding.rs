//! How a volume and a claim become one another's, a write at a time: what is written already says which is next, so that
//! it does not matter where it was broken off. Pure.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{ObjectReference, PersistentVolume, PersistentVolumeClaim};
use k8s_openapi::apimachinery::pkg::api::resource::Quantity as ApiQuantity;

use super::words::{BOUND, YES, annotate, annotation, claim_phase, volume_phase};
use crate::object::quantity::Quantity;
use crate::object::volume::{BIND_COMPLETED, BOUND_BY_CONTROLLER, STORAGE, claim_ref, means, volume_name};

/// One write, to be made over the version that it was made from.
#[derive(Clone, Debug, PartialEq)]
pub enum Write {
    /// The volume, but for its status.
    Volume(Box<PersistentVolume>),
    /// The volume's status.
    VolumeStatus(Box<PersistentVolume>),
    /// The claim, but for its status.
    Claim(Box<PersistentVolumeClaim>),
    /// The claim's status.
    ClaimStatus(Box<PersistentVolumeClaim>),
}

/// What is to be written next to bind the two; `None` where they are bound. The volume is first, since only one of
/// several claims can have it.
pub fn next(volume: &PersistentVolume, claim: &PersistentVolumeClaim) -> Option<Write> {
    let of_volume = reference_claim(volume, claim).map(|volume| Write::Volume(Box::new(volume)));
    of_volume
        .or_else(|| (volume_phase(volume) != BOUND).then(|| with_volume_phase(volume, BOUND, None)))
        .or_else(|| name_volume(claim, volume).map(|claim| Write::Claim(Box::new(claim))))
        .or_else(|| bound_status(claim, volume))
}

/// The volume in that phase.
pub(super) fn with_volume_phase(volume: &PersistentVolume, phase: &str, message: Option<String>) -> Write {
    let mut volume = Box::new(volume.clone());
    let status = volume.status.get_or_insert_default();
    status.phase = Some(phase.to_owned());
    status.message = message;
    Write::VolumeStatus(volume)
}

/// The claim in that phase, with nothing that only a bound one has.
pub(super) fn with_claim_phase(claim: &PersistentVolumeClaim, phase: &str) -> Write {
    let mut claim = Box::new(claim.clone());
    let status = claim.status.get_or_insert_default();
    status.phase = Some(phase.to_owned());
    status.access_modes = None;
    status.capacity = None;
    Write::ClaimStatus(claim)
}

fn reference_claim(volume: &PersistentVolume, claim: &PersistentVolumeClaim) -> Option<PersistentVolume> {
    let before = claim_ref(volume).filter(|reference| means(reference, claim));
    if before.is_some_and(|reference| reference.uid == claim.metadata.uid) {
        return None;
    }
    let chosen_here = before.is_none();
    let mut volume = volume.clone();
    volume.spec.get_or_insert_default().claim_ref = Some(ObjectReference {
        api_version: Some("v1".to_owned()),
        kind: Some("PersistentVolumeClaim".to_owned()),
        namespace: claim.metadata.namespace.clone(),
        name: claim.metadata.name.clone(),
        uid: claim.metadata.uid.clone(),
        resource_version: claim.metadata.resource_version.clone(),
        ..ObjectReference::default()
    });
    if chosen_here {
        annotate(&mut volume.metadata, BOUND_BY_CONTROLLER, YES);
    }
    Some(volume)
}

fn name_volume(claim: &PersistentVolumeClaim, volume: &PersistentVolume) -> Option<PersistentVolumeClaim> {
    let name = volume.metadata.name.as_deref().unwrap_or_default();
    let chosen_here = volume_name(claim) != Some(name);
    if !chosen_here && annotation(&claim.metadata, BIND_COMPLETED).is_some() {
        return None;
    }
    let mut claim = claim.clone();
    if chosen_here {
        claim.spec.get_or_insert_default().volume_name = Some(name.to_owned());
        annotate(&mut claim.metadata, BOUND_BY_CONTROLLER, YES);
    }
    annotate(&mut claim.metadata, BIND_COMPLETED, YES);
    Some(claim)
}

/// The capacity of a claim that was bound before stays: its file system may be smaller than its volume.
fn bound_status(claim: &PersistentVolumeClaim, volume: &PersistentVolume) -> Option<Write> {
    let spec = volume.spec.as_ref();
    let access_modes = spec.and_then(|spec| spec.access_modes.clone());
    let before = claim.status.clone().unwrap_or_default();
    let mut status = before.clone();
    if claim_phase(claim) != BOUND {
        status.phase = Some(BOUND.to_owned());
        let capacity = spec.and_then(|spec| spec.capacity.clone());
        if amount(capacity.as_ref()) != amount(before.capacity.as_ref()) {
            status.capacity = capacity;
        }
    }
    status.access_modes = access_modes;
    (status != before).then(|| {
        let mut claim = Box::new(claim.clone());
        claim.status = Some(status);
        Write::ClaimStatus(claim)
    })
}

fn amount(resources: Option<&BTreeMap<String, ApiQuantity>>) -> Option<Quantity> {
    resources?.get(STORAGE)?.0.parse().ok()
}
