//! Who owns which field: `metadata.managedFields`, server-side apply and its conflicts.

use serde_json::Value;

use super::Kind;

/// Who writes, through which part of the API, and when.
#[derive(Clone, Copy, Debug)]
pub struct Writer<'a> {
    /// The field manager's name.
    pub manager: &'a str,
    /// `status` or empty.
    pub subresource: &'a str,
    /// RFC 3339, whole seconds, UTC.
    pub now: &'a str,
}

/// A field that another manager owns with another value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Conflict {
    /// Who owns it.
    pub manager: String,
    /// How it wrote it, e.g. `"kubectl" using apps/v1`.
    pub message: String,
    /// The field as Kubernetes writes it here, e.g. `.spec.containers[name="c"].image`.
    pub field: String,
}

/// Why an apply was refused.
#[derive(Clone, Debug, thiserror::Error)]
pub enum ApplyError {
    /// Other managers own these fields (HTTP 409); force takes them over.
    #[error("conflicts with {} field(s) of other managers", .0.len())]
    Conflicts(Vec<Conflict>),
    /// The applied configuration is itself wrong (HTTP 400), e.g. carries managedFields or repeats a list key.
    #[error("{0}")]
    Malformed(String),
}

/// Records in `new.metadata.managedFields` what this create or update changed.
pub fn track_update(_kind: &Kind, _old: Option<&Value>, _new: &mut Value, _writer: Writer<'_>) {}

/// Server-side apply: merges `applied` into `live`, removes what this manager owned and no longer applies,
/// and records ownership. The result is not yet defaulted or validated.
///
/// # Errors
/// Conflicts unless `force`; a malformed configuration.
pub fn apply(
    _kind: &Kind,
    _live: Option<&Value>,
    _applied: &Value,
    _force: bool,
    _writer: Writer<'_>,
) -> Result<Value, ApplyError> {
    Err(ApplyError::Malformed("not built yet".into()))
}
