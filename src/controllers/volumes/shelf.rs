//! Finds a volume for a claim: one that is set aside for it, or else the smallest that fits. Pure.

use std::collections::{BTreeMap, HashSet};

use k8s_openapi::api::core::v1::{PersistentVolume, PersistentVolumeClaim};

use super::words::{key, key_of};
use super::world::{Key, Objects};
use crate::object::volume::matching::{self, can_hold};
use crate::object::volume::{claim_class, claim_ref, is_for, is_large_enough, is_of_mode, offers_ways, volume_class};

/// Why a volume is not for a claim that names it, in Kubernetes' words.
#[derive(Clone, Copy, Debug, thiserror::Error, PartialEq, Eq)]
pub enum Misfit {
    /// The claim asks for more.
    #[error("requested PV is too small")]
    TooSmall,
    /// They are of different classes.
    #[error("storageClassName does not match")]
    Class,
    /// One is a file system, the other a device.
    #[error("incompatible volumeMode")]
    Mode,
    /// It cannot be used in all the ways that the claim asks for.
    #[error("incompatible accessMode")]
    Access,
}

/// The volumes, as one pass over the claims looks for them.
pub struct Shelf<'a> {
    /// By the claims they are set aside for.
    reserved: BTreeMap<Key, Vec<&'a PersistentVolume>>,
    /// Nobody's.
    free: Vec<&'a PersistentVolume>,
    /// Those that this pass gave away.
    taken: HashSet<&'a str>,
}

impl<'a> Shelf<'a> {
    /// All of them, nothing given away yet.
    pub fn new(volumes: &'a Objects<PersistentVolume>) -> Self {
        let (mut reserved, mut free) = (BTreeMap::<Key, Vec<_>>::new(), Vec::new());
        for (_, volume) in volumes.iter() {
            // What is going is nothing to begin with.
            if volume.metadata.deletion_timestamp.is_some() {
                continue;
            }
            match claim_ref(volume) {
                Some(reference) => reserved.entry(key_of(reference)).or_default().push(volume),
                None => free.push(volume),
            }
        }
        Self {
            reserved,
            free,
            taken: HashSet::new(),
        }
    }

    /// A volume that is set aside for the claim and can hold it.
    pub fn reserved(&self, claim: &PersistentVolumeClaim) -> Option<&'a PersistentVolume> {
        let named = self.reserved.get(&key(&claim.metadata)).into_iter().flatten();
        let usable = named.filter(|volume| is_for(volume, claim) && can_hold(volume, claim));
        // One that names this very claim is further on the way than one that names any of that name.
        let any_of_the_name = |volume: &&&PersistentVolume| claim_ref(volume).is_some_and(|of| of.uid.is_none());
        usable.min_by_key(any_of_the_name).copied()
    }

    /// The smallest free volume that fits.
    pub fn smallest(&self, claim: &PersistentVolumeClaim) -> Option<&'a PersistentVolume> {
        let left = self
            .free
            .iter()
            .copied()
            .filter(|volume| !self.taken.contains(name(volume)));
        matching::candidates(claim, left).into_iter().next()
    }

    /// Gives the volume away for this pass.
    pub fn take(&mut self, volume: &'a PersistentVolume) {
        self.taken.insert(name(volume));
    }
}

/// Why the volume is not for the claim, if so. Neither labels nor who it belongs to are looked at.
pub fn misfit(volume: &PersistentVolume, claim: &PersistentVolumeClaim) -> Option<Misfit> {
    if !is_large_enough(volume, claim) {
        Some(Misfit::TooSmall)
    } else if volume_class(volume) != claim_class(claim) {
        Some(Misfit::Class)
    } else if !is_of_mode(volume, claim) {
        Some(Misfit::Mode)
    } else if !offers_ways(volume, claim) {
        Some(Misfit::Access)
    } else {
        None
    }
}

fn name(volume: &PersistentVolume) -> &str {
    volume.metadata.name.as_deref().unwrap_or_default()
}
