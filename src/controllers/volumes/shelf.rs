//! Finds a volume for a claim: one that is set aside for it, or else the smallest that fits. Pure.

use std::collections::{BTreeMap, BTreeSet, HashSet};

use k8s_openapi::api::core::v1::{PersistentVolume, PersistentVolumeClaim};

use super::words::{AVAILABLE, claim_class, claim_ref, key, names, volume_class, volume_phase};
use super::world::{Key, Objects};
use crate::object::quantity::Quantity;
use crate::object::selector::LabelSelector;

/// What both of these are where nothing else is said.
const FILESYSTEM: &str = "Filesystem";
/// The resource that volumes are made of.
pub(super) const STORAGE: &str = "storage";

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
    /// Nobody's, the smallest first.
    free: Vec<(Quantity, &'a PersistentVolume)>,
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
                Some(reference) => {
                    let text = |text: &Option<String>| text.clone().unwrap_or_default();
                    let of = (text(&reference.namespace), text(&reference.name));
                    reserved.entry(of).or_default().push(volume);
                }
                None if volume_phase(volume) == AVAILABLE => free.extend(capacity(volume).map(|size| (size, volume))),
                None => {}
            }
        }
        free.sort_by_key(|(size, _)| *size);
        Self {
            reserved,
            free,
            taken: HashSet::new(),
        }
    }

    /// A volume that is set aside for the claim and not too small for it.
    pub fn reserved(&self, claim: &PersistentVolumeClaim) -> Option<&'a PersistentVolume> {
        let candidates = self.reserved.get(&key(&claim.metadata)).into_iter().flatten();
        let named = candidates.filter(|volume| claim_ref(volume).is_some_and(|reference| names(reference, claim)));
        // One that names this very claim is further on the way than one that names any of that name.
        let mut named: Vec<&&PersistentVolume> = named
            .filter(|volume| !matches!(misfit(volume, claim), Some(Misfit::TooSmall | Misfit::Mode)))
            .collect();
        named.sort_by_key(|volume| claim_ref(volume).and_then(|reference| reference.uid.as_ref()).is_none());
        named.first().map(|volume| **volume)
    }

    /// The smallest free volume that fits.
    pub fn smallest(&self, claim: &PersistentVolumeClaim) -> Option<&'a PersistentVolume> {
        let wanted = request(claim);
        let from = self.free.partition_point(|(size, _)| *size < wanted);
        let selector = claim.spec.as_ref().and_then(|spec| spec.selector.as_ref());
        let selector = selector.map(LabelSelector::from_spec).transpose().ok()?;
        let selected = |volume: &PersistentVolume| {
            let labels = volume.metadata.labels.clone().unwrap_or_default();
            selector.as_ref().is_none_or(|selector| selector.matches(&labels))
        };
        let fits = |volume: &PersistentVolume| {
            let taken = self.taken.contains(name(volume));
            !taken && misfit(volume, claim).is_none() && selected(volume)
        };
        let larger = self.free[from..].iter().map(|(_, volume)| *volume);
        larger.into_iter().find(|volume| fits(volume))
    }

    /// Gives the volume away for this pass.
    pub fn take(&mut self, volume: &'a PersistentVolume) {
        self.taken.insert(name(volume));
    }
}

/// Why the volume is not for the claim, if so. Neither labels nor who it belongs to are looked at.
pub fn misfit(volume: &PersistentVolume, claim: &PersistentVolumeClaim) -> Option<Misfit> {
    let (of_volume, of_claim) = (volume.spec.as_ref(), claim.spec.as_ref());
    if capacity(volume).is_none_or(|size| size < request(claim)) {
        return Some(Misfit::TooSmall);
    }
    if volume_class(volume) != claim_class(claim) {
        return Some(Misfit::Class);
    }
    let mode = |mode: Option<&'_ String>| mode.map_or(FILESYSTEM, String::as_str).to_owned();
    let volume_mode = mode(of_volume.and_then(|spec| spec.volume_mode.as_ref()));
    if volume_mode != mode(of_claim.and_then(|spec| spec.volume_mode.as_ref())) {
        return Some(Misfit::Mode);
    }
    let offered: BTreeSet<&String> = of_volume
        .into_iter()
        .flat_map(|spec| spec.access_modes.iter().flatten())
        .collect();
    let mut asked = of_claim.into_iter().flat_map(|spec| spec.access_modes.iter().flatten());
    asked.any(|mode| !offered.contains(mode)).then_some(Misfit::Access)
}

/// How much the volume holds, where it says so.
fn capacity(volume: &PersistentVolume) -> Option<Quantity> {
    volume.spec.as_ref()?.capacity.as_ref()?.get(STORAGE)?.0.parse().ok()
}

/// How much the claim asks for.
fn request(claim: &PersistentVolumeClaim) -> Quantity {
    let resources = claim.spec.as_ref().and_then(|spec| spec.resources.as_ref());
    let request = resources.and_then(|resources| resources.requests.as_ref()?.get(STORAGE));
    request.and_then(|request| request.0.parse().ok()).unwrap_or_default()
}

fn name(volume: &PersistentVolume) -> &str {
    volume.metadata.name.as_deref().unwrap_or_default()
}
