//! What every kind's metadata must be and how a write may change it. Leaves uid, times and managedFields to the server.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;

use super::field_error::{FieldError, Path};
use super::kind::Part;

/// Drops what a creator may not set.
pub(super) fn prepare_create(meta: &mut ObjectMeta) {
    meta.self_link = None;
    meta.deletion_timestamp = None;
    meta.deletion_grace_period_seconds = None;
}

/// Carries over what an update may leave out and what it may not change.
pub(super) fn prepare_update(_meta: &mut ObjectMeta, _old: &ObjectMeta, _part: Part) {}

/// Everything wrong with a new object's metadata.
pub(super) fn validate_create(
    _meta: &ObjectMeta,
    _namespaced: bool,
    _name: fn(&str) -> Vec<String>,
    _errors: &mut Vec<FieldError>,
) {
    let _path = Path::new("metadata");
}

/// Everything wrong with a change of metadata.
pub(super) fn validate_update(_meta: &ObjectMeta, _old: &ObjectMeta, _namespaced: bool, _errors: &mut Vec<FieldError>) {
}
