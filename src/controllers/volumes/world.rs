//! The volumes, claims and classes there are, and the pods that use claims. Pure.

use std::collections::{BTreeMap, BTreeSet};

use k8s_openapi::api::core::v1::{PersistentVolume, PersistentVolumeClaim, PersistentVolumeClaimTemplate, Pod};
use k8s_openapi::api::storage::v1::StorageClass;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;

use super::words::key;
use crate::object::volume;

/// An object's namespace (empty for cluster-wide kinds) and name.
pub type Key = (String, String);

/// Everything deciding needs to know.
#[derive(Debug, Default)]
pub struct World {
    /// Volumes.
    pub volumes: Objects<PersistentVolume>,
    /// Claims.
    pub claims: Objects<PersistentVolumeClaim>,
    /// Classes.
    pub classes: Objects<StorageClass>,
    /// Pods that use claims.
    pub pods: Objects<PodUse>,
}

/// The objects of a kind, as a watch tells them.
#[derive(Debug)]
pub struct Objects<K> {
    known: BTreeMap<Key, K>,
    listed: BTreeSet<Key>,
    complete: bool,
}

impl<K> Default for Objects<K> {
    fn default() -> Self {
        Self {
            known: BTreeMap::new(),
            listed: BTreeSet::new(),
            complete: false,
        }
    }
}

impl<K: PartialEq> Objects<K> {
    /// All of them in the order of their names.
    pub fn iter(&self) -> impl Iterator<Item = (&Key, &K)> {
        self.known.iter()
    }

    /// One of a namespace.
    pub fn get(&self, key: &Key) -> Option<&K> {
        self.known.get(key)
    }

    /// A cluster-wide one.
    pub fn named(&self, name: &str) -> Option<&K> {
        self.known.get(&(String::new(), name.to_owned()))
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.known.is_empty()
    }

    /// Whether a list of them was complete, so that what is not here is not there.
    pub fn is_complete(&self) -> bool {
        self.complete
    }

    /// Those of a namespace.
    pub fn within<'a>(&'a self, namespace: &'a str) -> impl Iterator<Item = &'a K> {
        let from = (namespace.to_owned(), String::new());
        let there = self.known.range(from..).take_while(move |(key, _)| key.0 == namespace);
        there.map(|(_, object)| object)
    }

    /// Takes in one; tells whether it is new or changed.
    pub fn changed(&mut self, metadata: &ObjectMeta, object: K) -> bool {
        let key = key(metadata);
        let is_news = self.known.get(&key) != Some(&object);
        self.known.insert(key, object);
        is_news
    }

    /// Forgets one; tells whether it was known.
    pub fn gone(&mut self, metadata: &ObjectMeta) -> bool {
        self.known.remove(&key(metadata)).is_some()
    }

    /// A list begins.
    pub fn list_begins(&mut self) {
        self.listed.clear();
    }

    /// Takes in one of a list; tells whether it is new or changed.
    pub fn listed(&mut self, metadata: &ObjectMeta, object: K) -> bool {
        self.listed.insert(key(metadata));
        self.changed(metadata, object)
    }

    /// A list is complete: forgets what it did not have.
    pub fn list_ends(&mut self) {
        let listed = std::mem::take(&mut self.listed);
        self.known.retain(|key, _| listed.contains(key));
        self.complete = true;
    }
}

/// What is looked at of a pod that uses claims.
#[derive(Clone, Debug, PartialEq)]
pub struct PodUse {
    /// Its namespace and name.
    pub key: Key,
    /// Its uid.
    pub uid: String,
    /// Whether it has a node.
    pub placed: bool,
    /// Whether it succeeded or failed for good.
    pub finished: bool,
    /// Whether its deletion has begun.
    pub deleting: bool,
    /// The claims that it uses.
    pub claims: BTreeSet<String>,
    /// The claims that are its own, by name.
    pub own: BTreeMap<String, PersistentVolumeClaimTemplate>,
}

impl PodUse {
    /// What is looked at of the pod; `None` where it uses no claim.
    pub fn read(pod: &Pod) -> Option<Self> {
        let key = key(&pod.metadata);
        let spec = pod.spec.as_ref()?;
        let mut own = BTreeMap::new();
        let claims: BTreeSet<String> = volume::claims::used(pod).map(|used| used.name()).collect();
        for used in volume::claims::used(pod) {
            own.extend(used.template.map(|template| (used.name(), template.clone())));
        }
        let phase = pod.status.as_ref().and_then(|status| status.phase.as_deref());
        (!claims.is_empty()).then(|| Self {
            key,
            uid: pod.metadata.uid.clone().unwrap_or_default(),
            placed: spec.node_name.as_ref().is_some_and(|node| !node.is_empty()),
            finished: matches!(phase, Some("Succeeded" | "Failed")),
            deleting: pod.metadata.deletion_timestamp.is_some(),
            claims,
            own,
        })
    }

    /// Whether it keeps that claim from going. Without a node it does not: no kubelet starts a pod on a claim that is
    /// going.
    pub fn holds(&self, claim: &Key) -> bool {
        self.placed && !self.finished && self.uses(claim)
    }

    /// Whether it names that claim.
    pub fn uses(&self, claim: &Key) -> bool {
        self.key.0 == claim.0 && self.claims.contains(&claim.1)
    }
}

impl World {
    /// Whether everything there is is known: what is not known would seem to be gone.
    pub fn is_complete(&self) -> bool {
        let Self {
            volumes,
            claims,
            classes,
            pods,
        } = self;
        volumes.is_complete() && claims.is_complete() && classes.is_complete() && pods.is_complete()
    }

    /// The pods that name that claim.
    pub fn users<'a>(&'a self, claim: &'a Key) -> impl Iterator<Item = &'a PodUse> {
        self.pods.within(&claim.0).filter(|pod| pod.uses(claim))
    }
}
