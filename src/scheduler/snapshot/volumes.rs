//! Volumes, claims and storage classes, as they are or as they will be once what was decided is written. Pure.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use k8s_openapi::api::core::v1::{PersistentVolume, PersistentVolumeClaim};
use k8s_openapi::api::storage::v1::StorageClass;

use crate::object::volume;

/// A claim's namespace and name.
pub type ClaimKey = (String, String);

/// What has to be written before a pod's volumes are its own.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Bindings {
    /// Volumes that are for a claim from now on.
    pub volumes: Vec<Arc<PersistentVolume>>,
    /// Claims that somebody makes a volume for, from now on on the node chosen.
    pub claims: Vec<Arc<PersistentVolumeClaim>>,
    /// Whether some claim has no volume yet, so that the pod has to wait once all is written.
    pub waits: bool,
}

/// An object as the API has it, and as it will be.
#[derive(Clone, Debug, PartialEq)]
struct Known<T> {
    told: Option<Arc<T>>,
    assumed: Option<Arc<T>>,
}

impl<T> Known<T> {
    fn latest(&self) -> Option<&T> {
        self.assumed.as_deref().or(self.told.as_deref())
    }
}

impl<T> Default for Known<T> {
    fn default() -> Self {
        Self {
            told: None,
            assumed: None,
        }
    }
}

/// All that is known of storage.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Volumes {
    volumes: BTreeMap<String, Known<PersistentVolume>>,
    claims: HashMap<ClaimKey, Known<PersistentVolumeClaim>>,
    classes: HashMap<String, Arc<StorageClass>>,
}

impl Volumes {
    /// Every volume, by name.
    pub fn volumes(&self) -> impl Iterator<Item = &PersistentVolume> {
        self.volumes.values().filter_map(Known::latest)
    }

    /// The volume of that name.
    pub fn volume(&self, name: &str) -> Option<&PersistentVolume> {
        self.volumes.get(name)?.latest()
    }

    /// The claim of that name.
    pub fn claim(&self, key: &ClaimKey) -> Option<&PersistentVolumeClaim> {
        self.claims.get(key)?.latest()
    }

    /// The class of that name.
    pub fn class(&self, name: &str) -> Option<&StorageClass> {
        self.classes.get(name).map(|class| &**class)
    }

    /// Takes in a volume. What was assumed of it holds until the API tells of a claim that it is for.
    pub fn set_volume(&mut self, volume: PersistentVolume) {
        let known = self.volumes.entry(name(&volume.metadata)).or_default();
        if volume::claim_ref(&volume).is_some() {
            known.assumed = None;
        }
        known.told = Some(Arc::new(volume));
    }

    /// Takes in a claim. What was assumed of it holds until the API tells of its node or its volume.
    pub fn set_claim(&mut self, claim: PersistentVolumeClaim) {
        let known = self.claims.entry(claim_key(&claim)).or_default();
        let annotations = claim.metadata.annotations.as_ref();
        if volume::has_annotation(annotations, volume::SELECTED_NODE) || volume::volume_name(&claim).is_some() {
            known.assumed = None;
        }
        known.told = Some(Arc::new(claim));
    }

    /// Takes in a class.
    pub fn set_class(&mut self, class: StorageClass) {
        self.classes.insert(name(&class.metadata), Arc::new(class));
    }

    /// Forgets a volume.
    pub fn remove_volume(&mut self, name: &str) {
        self.volumes.remove(name);
    }

    /// Forgets a claim.
    pub fn remove_claim(&mut self, key: &ClaimKey) {
        self.claims.remove(key);
    }

    /// Forgets a class.
    pub fn remove_class(&mut self, name: &str) {
        self.classes.remove(name);
    }

    /// The names of all volumes.
    pub fn volume_names(&self) -> Vec<String> {
        self.volumes.keys().cloned().collect()
    }

    /// The keys of all claims.
    pub fn claim_keys(&self) -> Vec<ClaimKey> {
        self.claims.keys().cloned().collect()
    }

    /// The names of all classes.
    pub fn class_names(&self) -> Vec<String> {
        self.classes.keys().cloned().collect()
    }

    /// From now on it counts as written.
    pub fn assume(&mut self, bindings: &Bindings) {
        for volume in &bindings.volumes {
            let known = self.volumes.entry(name(&volume.metadata)).or_default();
            known.assumed = Some(volume.clone());
        }
        for claim in &bindings.claims {
            let known = self.claims.entry(claim_key(claim)).or_default();
            known.assumed = Some(claim.clone());
        }
    }

    /// It is not to be written after all, or that failed: as the API tells counts again.
    pub fn revert(&mut self, bindings: &Bindings) {
        for volume in &bindings.volumes {
            if let Some(known) = self.volumes.get_mut(&name(&volume.metadata)) {
                known.assumed.take_if(|assumed| Arc::ptr_eq(assumed, volume));
            }
        }
        for claim in &bindings.claims {
            if let Some(known) = self.claims.get_mut(&claim_key(claim)) {
                known.assumed.take_if(|assumed| Arc::ptr_eq(assumed, claim));
            }
        }
    }
}

/// Tells a claim from every other.
pub fn claim_key(claim: &PersistentVolumeClaim) -> ClaimKey {
    let namespace = claim.metadata.namespace.clone().unwrap_or_default();
    (namespace, name(&claim.metadata))
}

fn name(metadata: &k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta) -> String {
    metadata.name.clone().unwrap_or_default()
}
