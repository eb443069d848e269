//! The annotations and finalizers by which Kubernetes' volume controllers, schedulers and provisioners understand one
//! another, and how they are read. Pure.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{ObjectReference, PersistentVolume, PersistentVolumeClaim};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;

use super::world::Key;

/// On a claim: it is bound, so that a volume that is missing is a loss.
pub(super) const BIND_COMPLETED: &str = "pv.kubernetes.io/bind-completed";
/// On a volume or a claim: its reference to the other was written by this controller, not by a person.
pub(super) const BOUND_BY_CONTROLLER: &str = "pv.kubernetes.io/bound-by-controller";
/// On a volume: who made it.
pub(super) const PROVISIONED_BY: &str = "pv.kubernetes.io/provisioned-by";
/// On a claim: the node that its first pod was placed on.
pub(super) const SELECTED_NODE: &str = "volume.kubernetes.io/selected-node";
/// On a claim: who is to make a volume for it.
pub(super) const STORAGE_PROVISIONER: &str = "volume.kubernetes.io/storage-provisioner";
/// The same as older provisioners look for it.
pub(super) const BETA_STORAGE_PROVISIONER: &str = "volume.beta.kubernetes.io/storage-provisioner";
/// On either: the class, from before there was a field for it.
const BETA_STORAGE_CLASS: &str = "volume.beta.kubernetes.io/storage-class";
/// Keeps a claim while a pod uses it.
pub(super) const CLAIM_PROTECTION: &str = "kubernetes.io/pvc-protection";
/// Keeps a volume while it is bound.
pub(super) const VOLUME_PROTECTION: &str = "kubernetes.io/pv-protection";
/// What such annotations say.
pub(super) const YES: &str = "yes";

pub(super) const AVAILABLE: &str = "Available";
pub(super) const BOUND: &str = "Bound";
pub(super) const FAILED: &str = "Failed";
pub(super) const LOST: &str = "Lost";
pub(super) const PENDING: &str = "Pending";
pub(super) const RELEASED: &str = "Released";

pub(super) fn annotation<'a>(metadata: &'a ObjectMeta, name: &str) -> Option<&'a str> {
    metadata.annotations.as_ref()?.get(name).map(String::as_str)
}

pub(super) fn annotate(metadata: &mut ObjectMeta, name: &str, value: &str) {
    let annotations = metadata.annotations.get_or_insert_with(BTreeMap::new);
    annotations.insert(name.to_owned(), value.to_owned());
}

/// An object's key; cluster-wide ones have no namespace.
pub(super) fn key(metadata: &ObjectMeta) -> Key {
    let text = |text: &Option<String>| text.clone().unwrap_or_default();
    (text(&metadata.namespace), text(&metadata.name))
}

/// The claim that the volume is for, if any.
pub(super) fn claim_ref(volume: &PersistentVolume) -> Option<&ObjectReference> {
    volume.spec.as_ref()?.claim_ref.as_ref()
}

/// Whether that reference is to this claim: the very one, or any of its name.
pub(super) fn names(reference: &ObjectReference, claim: &PersistentVolumeClaim) -> bool {
    let text = |text: &Option<String>| text.clone().unwrap_or_default();
    let uid = uid_of(reference);
    (text(&reference.namespace), text(&reference.name)) == key(&claim.metadata)
        && (uid.is_empty() || Some(uid) == claim.metadata.uid.as_deref())
}

/// The uid that a reference names; empty for any object of the name.
pub(super) fn uid_of(reference: &ObjectReference) -> &str {
    reference.uid.as_deref().unwrap_or_default()
}

/// The volume that the claim names; empty for none.
pub(super) fn volume_name(claim: &PersistentVolumeClaim) -> &str {
    let name = claim.spec.as_ref().and_then(|spec| spec.volume_name.as_deref());
    name.unwrap_or_default()
}

pub(super) fn volume_phase(volume: &PersistentVolume) -> &str {
    let phase = volume.status.as_ref().and_then(|status| status.phase.as_deref());
    phase.unwrap_or_default()
}

pub(super) fn claim_phase(claim: &PersistentVolumeClaim) -> &str {
    let phase = claim.status.as_ref().and_then(|status| status.phase.as_deref());
    phase.unwrap_or_default()
}

/// The volume's class; empty for none.
pub(super) fn volume_class(volume: &PersistentVolume) -> &str {
    let field = volume.spec.as_ref().and_then(|spec| spec.storage_class_name.as_deref());
    annotation(&volume.metadata, BETA_STORAGE_CLASS)
        .or(field)
        .unwrap_or_default()
}

/// The class that the claim asks for; empty for none.
pub(super) fn claim_class(claim: &PersistentVolumeClaim) -> &str {
    let field = claim.spec.as_ref().and_then(|spec| spec.storage_class_name.as_deref());
    annotation(&claim.metadata, BETA_STORAGE_CLASS)
        .or(field)
        .unwrap_or_default()
}
