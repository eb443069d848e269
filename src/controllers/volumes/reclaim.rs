//! What is to become of a volume that no binding is under way for. Pure.

use k8s_openapi::api::core::v1::{PersistentVolume, PersistentVolumeClaim};

use super::binding::{Write, with_volume_phase};
use super::claims::Notice;
use super::words::{AVAILABLE, BOUND, FAILED, PROVISIONED_BY, RELEASED, annotation, key_of, uid_of, volume_phase};
use super::world::{Key, Objects};
use crate::object::volume::{BOUND_BY_CONTROLLER, claim_ref, volume_name};

/// A write about a volume.
#[derive(Clone, Debug, PartialEq)]
pub struct Change {
    /// What is written.
    pub write: Write,
    /// What is told once it is written.
    pub notice: Option<Notice>,
    /// It holds only as long as this claim (its key and uid) is not there.
    pub without: Option<(Key, String)>,
}

/// What is to be written about the volume next, if anything.
pub fn decide(volume: &PersistentVolume, claims: &Objects<PersistentVolumeClaim>) -> Option<Change> {
    let Some(reference) = claim_ref(volume).filter(|reference| !uid_of(reference).is_empty()) else {
        return in_phase(volume, AVAILABLE);
    };
    let key = key_of(reference);
    let claim = claims.get(&key).filter(|claim| claim.metadata.uid == reference.uid);
    let Some(claim) = claim else {
        let change = released(volume)?;
        let without = Some((key, uid_of(reference).to_owned()));
        return Some(Change { without, ..change });
    };
    let name = volume.metadata.name.as_deref().unwrap_or_default();
    match volume_name(claim) {
        // Deciding about the claim goes on with that.
        None => None,
        Some(bound) if bound == name => in_phase(volume, BOUND),
        _ if is_provisioned(volume) && policy(volume) == "Delete" => released(volume),
        _ => Some(plain(unbind(volume))),
    }
}

fn in_phase(volume: &PersistentVolume, phase: &str) -> Option<Change> {
    (volume_phase(volume) != phase).then(|| plain(with_volume_phase(volume, phase, None)))
}

/// Once released it is for its policy to say; a failure stays to be seen.
fn released(volume: &PersistentVolume) -> Option<Change> {
    match volume_phase(volume) {
        RELEASED => failed(volume),
        FAILED => None,
        _ => Some(plain(with_volume_phase(volume, RELEASED, None))),
    }
}

/// Nobody here deletes what a volume holds or wipes it. Who provisioned it elsewhere does so.
fn failed(volume: &PersistentVolume) -> Option<Change> {
    let name = volume.metadata.name.as_deref().unwrap_or_default();
    let notice = match policy(volume) {
        "Delete" if is_provisioned(volume) => return None,
        "Delete" => {
            let message =
                format!("error getting deleter volume plugin for volume {name:?}: no deletable volume plugin matched");
            Notice::warning("VolumeFailedDelete", message)
        }
        "Recycle" => Notice::warning("VolumeFailedRecycle", "No recycler plugin found for the volume!"),
        _ => return None,
    };
    Some(Change {
        write: with_volume_phase(volume, FAILED, Some(notice.message.clone())),
        notice: Some(notice),
        without: None,
    })
}

/// The claim has another volume: a reference of ours goes, one of a person's stays open for a claim of that name.
fn unbind(volume: &PersistentVolume) -> Write {
    let mut volume = Box::new(volume.clone());
    let annotations = volume.metadata.annotations.as_mut();
    let ours = annotations.is_some_and(|annotations| annotations.remove(BOUND_BY_CONTROLLER).is_some());
    let spec = volume.spec.get_or_insert_default();
    if ours {
        spec.claim_ref = None;
    } else if let Some(reference) = &mut spec.claim_ref {
        reference.uid = None;
        reference.resource_version = None;
    }
    Write::Volume(volume)
}

fn plain(write: Write) -> Change {
    Change {
        write,
        notice: None,
        without: None,
    }
}

fn is_provisioned(volume: &PersistentVolume) -> bool {
    annotation(&volume.metadata, PROVISIONED_BY).is_some_and(|by| !by.is_empty() && !by.starts_with("kubernetes.io/"))
}

fn policy(volume: &PersistentVolume) -> &str {
    let policy = volume
        .spec
        .as_ref()
        .and_then(|spec| spec.persistent_volume_reclaim_policy.as_deref());
    policy.unwrap_or("Retain")
}
