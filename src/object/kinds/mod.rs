//! The rules of each kind: defaults, preparation, validation, selectable fields. One file or folder a kind; no names here.

mod amounts;
mod conditions;
mod config_map;
mod event;
mod label_selector;
mod lease;
mod namespace;
pub mod node;
mod persistent_volume;
mod persistent_volume_claim;
pub mod pod;
mod pod_disruption_budget;
mod priority_class;
mod secret;
pub(super) mod selectable;
mod service_account;
mod source;
mod storage;
mod storage_class;

use k8s_openapi::Metadata;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

pub(super) use config_map::ConfigMaps;
pub(super) use event::Events;
pub(super) use lease::Leases;
pub(super) use namespace::Namespaces;
pub(super) use node::Nodes;
pub(super) use persistent_volume::PersistentVolumes;
pub(super) use persistent_volume_claim::PersistentVolumeClaims;
pub(super) use pod::Pods;
pub(super) use pod_disruption_budget::PodDisruptionBudgets;
pub(super) use priority_class::PriorityClasses;
pub(super) use secret::Secrets;
use selectable::Selectable;
pub(super) use service_account::ServiceAccounts;
pub(super) use source::Sources;
pub(super) use storage_class::StorageClasses;

use super::field_error::{FieldError, Path};
use super::kind::{DecodeError, Decoded, Part};
use super::table::Table;
use super::{codec, format, metadata};

/// What a kind decides for itself, over its own type. Every method may be left as it is.
pub(super) trait Strategy: Sync {
    /// What `kubectl get` shows.
    const TABLE: Table;

    /// The kind's type.
    type Object: Serialize + DeserializeOwned + Metadata<Ty = ObjectMeta>;

    /// What is wrong with such a name.
    fn name_problems(name: &str) -> Vec<String> {
        format::dns_subdomain(name)
    }

    /// Fills in what was left out.
    fn default(_object: &mut Self::Object) {}

    /// Resets what a creator may not set and sets what creation decides.
    fn prepare_create(_object: &mut Self::Object) {}

    /// Carries over what this write may not change; metadata has been carried over.
    fn prepare_update(_object: &mut Self::Object, _old: &Self::Object, _part: Part) {}

    /// What is wrong besides metadata.
    fn validate_create(_object: &Self::Object, _errors: &mut Vec<FieldError>) {}

    /// What is wrong with the change besides metadata.
    fn validate_update(_object: &Self::Object, _old: &Self::Object, _part: Part, _errors: &mut Vec<FieldError>) {}

    /// What field selectors may name besides metadata's name and namespace.
    fn selectable() -> &'static [Selectable] {
        &[]
    }
}

/// A [`Strategy`] over JSON, so that the kinds table can hold all of them.
pub(super) trait Rules: Sync {
    fn decode(&self, body: &Value) -> Result<Decoded, DecodeError>;
    fn default(&self, object: &mut Value);
    fn prepare_create(&self, object: &mut Value);
    fn prepare_update(&self, object: &mut Value, old: &Value, part: Part);
    fn validate_create(&self, object: &Value, namespaced: bool) -> Vec<FieldError>;
    fn validate_update(&self, object: &Value, old: &Value, part: Part, namespaced: bool) -> Vec<FieldError>;
    fn selectable(&self) -> &'static [Selectable];
    fn table(&self) -> Table;
}

impl<S: Strategy> Rules for S {
    fn decode(&self, body: &Value) -> Result<Decoded, DecodeError> {
        let read = codec::read::<S::Object>(body)?;
        Ok(Decoded {
            object: codec::write(&read.object)?,
            unknown: read.unknown,
        })
    }

    fn default(&self, object: &mut Value) {
        change::<S::Object>(object, S::default);
    }

    fn prepare_create(&self, object: &mut Value) {
        change::<S::Object>(object, |object| {
            metadata::prepare_create(object.metadata_mut());
            S::prepare_create(object);
        });
    }

    fn prepare_update(&self, object: &mut Value, old: &Value, part: Part) {
        let Ok(old) = codec::read::<S::Object>(old) else { return };
        change::<S::Object>(object, |object| {
            metadata::prepare_update(object.metadata_mut(), old.object.metadata(), part);
            S::prepare_update(object, &old.object, part);
        });
    }

    fn validate_create(&self, object: &Value, namespaced: bool) -> Vec<FieldError> {
        let mut errors = Vec::new();
        if let Some(object) = readable::<S::Object>(object, &mut errors) {
            metadata::validate_create(object.metadata(), namespaced, S::name_problems, &mut errors);
            S::validate_create(&object, &mut errors);
        }
        errors
    }

    fn validate_update(&self, object: &Value, old: &Value, part: Part, namespaced: bool) -> Vec<FieldError> {
        let mut errors = Vec::new();
        let (new, old) = (
            readable::<S::Object>(object, &mut errors),
            readable::<S::Object>(old, &mut errors),
        );
        if let (Some(new), Some(old)) = (new, old) {
            metadata::validate_update(new.metadata(), old.metadata(), namespaced, &mut errors);
            S::validate_update(&new, &old, part, &mut errors);
        }
        errors
    }

    fn selectable(&self) -> &'static [Selectable] {
        S::selectable()
    }

    fn table(&self) -> Table {
        S::TABLE
    }
}

/// Changes an object as its type. One that cannot be read stays as it is: validation, which comes next, refuses it.
fn change<T: Serialize + DeserializeOwned>(object: &mut Value, change: impl FnOnce(&mut T)) {
    if let Ok(mut read) = codec::read::<T>(object) {
        change(&mut read.object);
        if let Ok(written) = codec::write(&read.object) {
            *object = written;
        }
    }
}

fn readable<T: DeserializeOwned>(object: &Value, errors: &mut Vec<FieldError>) -> Option<T> {
    match codec::read::<T>(object) {
        Ok(read) => Some(read.object),
        Err(error) => {
            errors.push(FieldError::invalid(&Path::new("<object>"), "", error.0));
            None
        }
    }
}

#[cfg(test)]
mod tests;
