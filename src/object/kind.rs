//! The table of kinds served: a kind is a row here plus its defaults, validation and columns.

use serde_json::Value;

use super::FieldError;

/// A kind of object: its names, its place in the API and the rules of its own.
pub struct Kind {
    /// API group, empty for core.
    pub group: &'static str,
    /// API version, e.g. `v1`.
    pub version: &'static str,
    /// e.g. `Pod`.
    pub kind: &'static str,
    /// e.g. `pods`; also the resource's name in paths and keys.
    pub plural: &'static str,
    /// e.g. `pod`.
    pub singular: &'static str,
    /// e.g. `po`.
    pub short_names: &'static [&'static str],
    /// e.g. `all`.
    pub categories: &'static [&'static str],
    /// Whether objects live in a namespace.
    pub namespaced: bool,
    /// Whether `/status` is a subresource, so that other writes leave the status alone.
    pub status: bool,
}

/// A body that was read into the shape of its kind.
#[derive(Clone, Debug)]
pub struct Decoded {
    /// The object in canonical form (quantities, no unknown fields, apiVersion and kind set).
    pub object: Value,
    /// Paths of the fields that the kind does not have, e.g. `spec.containers[0].imge`.
    pub unknown: Vec<String>,
}

/// A body that does not fit its kind's types (HTTP 400).
#[derive(Clone, Debug, thiserror::Error)]
#[error("{0}")]
pub struct DecodeError(pub String);

/// Which part of an object a write may change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// Everything but the status, where the kind has a status subresource.
    Main,
    /// Only the status (and metadata as Kubernetes lets `/status` writes change it).
    Status,
}

impl Kind {
    /// Every kind served.
    pub fn all() -> &'static [Kind] {
        &[]
    }

    /// The kind of that group, version and plural name.
    pub fn find(group: &str, version: &str, plural: &str) -> Option<&'static Kind> {
        Self::all()
            .iter()
            .find(|kind| kind.group == group && kind.version == version && kind.plural == plural)
    }

    /// The kind of that `apiVersion` and `kind`.
    pub fn of(api_version: &str, name: &str) -> Option<&'static Kind> {
        Self::all()
            .iter()
            .find(|kind| kind.kind == name && kind.api_version() == api_version)
    }

    /// `v1`, `coordination.k8s.io/v1`.
    pub fn api_version(&self) -> String {
        match self.group {
            "" => self.version.to_owned(),
            group => format!("{group}/{}", self.version),
        }
    }

    /// Reads a body: types checked, quantities made canonical, unknown fields dropped and listed.
    ///
    /// # Errors
    /// Where a field has the wrong type, naming it.
    pub fn decode(&self, _body: Value) -> Result<Decoded, DecodeError> {
        Err(DecodeError("not built yet".into()))
    }

    /// Fills in what Kubernetes fills in for fields left out.
    pub fn default(&self, _object: &mut Value) {}

    /// Resets what a creator may not set (status, generation) and sets what creation decides (phase, QoS class).
    pub fn prepare_create(&self, _object: &mut Value) {}

    /// Carries over from `old` what a write of this part may not change; counts `generation`.
    pub fn prepare_update(&self, _object: &mut Value, _old: &Value, _part: Part) {}

    /// Everything wrong with a new object (metadata's rules included).
    pub fn validate_create(&self, _object: &Value) -> Vec<FieldError> {
        Vec::new()
    }

    /// Everything wrong with this change of an object.
    pub fn validate_update(&self, _object: &Value, _old: &Value, _part: Part) -> Vec<FieldError> {
        Vec::new()
    }

    /// The fields that a field selector may name, with their values in this object.
    pub fn selectable_fields(&self, _object: &Value) -> Vec<(&'static str, String)> {
        Vec::new()
    }
}
