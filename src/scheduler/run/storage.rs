//! Watches volumes, claims and classes, and hands what they tell to the state.

use std::collections::HashSet;
use std::fmt::Debug;
use std::time::Instant;

use futures::Stream;
use k8s_openapi::api::core::v1::{PersistentVolume, PersistentVolumeClaim};
use k8s_openapi::api::storage::v1::StorageClass;
use kube::runtime::watcher::{self, Event};
use kube::{Api, Client, Resource};
use serde::de::DeserializeOwned;

use super::{Listed, Scheduler};
use crate::client::lasting;
use crate::scheduler::state::Storage;

/// What was listed so far, while a watch starts over; and whether it ever was complete.
pub(super) struct Listing<S: Storage> {
    listed: HashSet<S::Key>,
    pub known: bool,
}

impl<S: Storage> Default for Listing<S> {
    fn default() -> Self {
        Self {
            listed: HashSet::new(),
            known: false,
        }
    }
}

/// A kind that has its listing.
pub(super) trait Watched: Storage + Sized {
    fn listing(listed: &mut Listed) -> &mut Listing<Self>;
}

impl Watched for PersistentVolume {
    fn listing(listed: &mut Listed) -> &mut Listing<Self> {
        &mut listed.volumes
    }
}

impl Watched for PersistentVolumeClaim {
    fn listing(listed: &mut Listed) -> &mut Listing<Self> {
        &mut listed.claims
    }
}

impl Watched for StorageClass {
    fn listing(listed: &mut Listed) -> &mut Listing<Self> {
        &mut listed.classes
    }
}

/// The events of all objects of a kind.
pub(super) fn watched<S>(client: &Client, what: &'static str) -> impl Stream<Item = Event<S>> + use<S>
where
    S: Watched + Resource<DynamicType = ()> + Clone + DeserializeOwned + Debug + Send + 'static,
{
    let watch = kube::runtime::watcher(Api::<S>::all(client.clone()), watcher::Config::default());
    lasting(watch, what)
}

impl Scheduler {
    /// Takes in an event.
    pub(super) fn storage<S: Watched>(&mut self, event: Event<S>) {
        let now = Instant::now();
        let listing = S::listing(&mut self.listed);
        match event {
            Event::Apply(object) => self.state.storage_changed(object, now),
            Event::Delete(object) => self.state.storage_gone::<S>(&object.key(), now),
            Event::Init => listing.listed.clear(),
            Event::InitApply(object) => {
                listing.listed.insert(object.key());
                self.state.storage_changed(object, now);
            }
            Event::InitDone => {
                let listed = std::mem::take(&mut listing.listed);
                listing.known = true;
                self.state.keep_storage::<S>(&listed, now);
            }
        }
    }
}
