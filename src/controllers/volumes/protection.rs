//! When what is being deleted and was kept may go. Pure.

use k8s_openapi::api::core::v1::{PersistentVolume, PersistentVolumeClaim};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;

use super::binding::Write;
use super::words::{BOUND, key, volume_phase};
use super::world::World;
use crate::object::volume::{CLAIM_PROTECTION, VOLUME_PROTECTION};

/// The claim without its protection, where it is being deleted and no pod holds it.
pub fn release_claim(claim: &PersistentVolumeClaim, world: &World) -> Option<Write> {
    let metadata = without(&claim.metadata, CLAIM_PROTECTION)?;
    let key = key(&claim.metadata);
    let held = world.users(&key).any(|pod| pod.holds(&key));
    (!held).then(|| {
        let claim = claim.clone();
        Write::Claim(Box::new(PersistentVolumeClaim { metadata, ..claim }))
    })
}

/// The volume without its protection, where it is being deleted and is not bound.
pub fn release_volume(volume: &PersistentVolume) -> Option<Write> {
    let metadata = without(&volume.metadata, VOLUME_PROTECTION)?;
    (volume_phase(volume) != BOUND).then(|| {
        let volume = volume.clone();
        Write::Volume(Box::new(PersistentVolume { metadata, ..volume }))
    })
}

/// The same without that finalizer, where it has it and is being deleted.
fn without(metadata: &ObjectMeta, finalizer: &str) -> Option<ObjectMeta> {
    metadata.deletion_timestamp.as_ref()?;
    let mut metadata = metadata.clone();
    let finalizers = metadata.finalizers.as_mut()?;
    let before = finalizers.len();
    finalizers.retain(|one| one != finalizer);
    (finalizers.len() < before).then_some(metadata)
}
