//! Applies patches to objects: JSON patch, merge patch, strategic merge patch.

use serde_json::Value;

use super::Kind;

/// Why a patch does not apply.
#[derive(Clone, Debug, thiserror::Error, PartialEq, Eq)]
pub enum PatchError {
    /// The patch itself is malformed (HTTP 400).
    #[error("{0}")]
    Malformed(String),
    /// The patch is well formed but does not fit this object (HTTP 422).
    #[error("{0}")]
    Unprocessable(String),
}

/// RFC 6902.
///
/// # Errors
/// Where the patch is malformed, a path is missing or a test fails.
pub fn json(_object: &Value, _patch: &Value) -> Result<Value, PatchError> {
    Err(PatchError::Malformed("not built yet".into()))
}

/// RFC 7386.
pub fn merge(object: &Value, _patch: &Value) -> Value {
    object.clone()
}

/// Kubernetes' strategic merge: lists merge by each field's own key, with all directives.
///
/// # Errors
/// Where a directive is unknown or a list item lacks its merge key.
pub fn strategic(_kind: &Kind, _object: &Value, _patch: &Value) -> Result<Value, PatchError> {
    Err(PatchError::Malformed("not built yet".into()))
}
