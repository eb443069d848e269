//! Reads a body into its kind's shape, and says or refuses what does not belong there. Never talks to the store.

use serde_json::Value;

use super::error::ApiError;
use super::loose::Loose;
use super::request::Query;
use crate::object::Kind;

/// What becomes of fields that a kind does not have (`fieldValidation`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Strictness {
    /// They are dropped silently.
    Ignore,
    /// They are dropped, and the client is told.
    Warn,
    /// The request is refused.
    Strict,
}

impl Strictness {
    /// Reads `fieldValidation`; Warn where it is left out, as current Kubernetes does.
    ///
    /// # Errors
    /// 400 for other values.
    pub fn read(query: &Query) -> Result<Self, ApiError> {
        match query.get("fieldValidation") {
            None | Some("Warn") => Ok(Self::Warn),
            Some("Ignore") => Ok(Self::Ignore),
            Some("Strict") => Ok(Self::Strict),
            Some(other) => Err(ApiError::BadRequest(format!(
                "fieldValidation: Unsupported value: {other:?}: supported values: \"Ignore\", \"Strict\", \"Warn\""
            ))),
        }
    }

    /// Deals with what was noticed.
    ///
    /// # Errors
    /// Where it is refused: the text of all.
    pub fn judge(self, noticed: Vec<String>, warnings: &mut Vec<String>) -> Result<(), String> {
        match self {
            Self::Ignore => {}
            Self::Warn => warnings.extend(noticed),
            Self::Strict if noticed.is_empty() => {}
            Self::Strict => return Err(format!("strict decoding error: {}", noticed.join(", "))),
        }
        Ok(())
    }
}

/// The texts of what does not belong, as `kubectl` shows them.
pub fn noticed(unknown: &[String], repeated: &[String]) -> Vec<String> {
    let repeated = repeated.iter().map(|path| format!("duplicate field \"{path}\""));
    let unknown = unknown.iter().map(|path| format!("unknown field \"{path}\""));
    unknown.chain(repeated).collect()
}

/// Reads a whole object of that kind.
///
/// # Errors
/// 400 where it is of another kind, does not fit its types, or has fields that strictness refuses.
pub fn decode(kind: &Kind, loose: Loose, strictness: Strictness, warnings: &mut Vec<String>) -> Result<Value, ApiError> {
    let refuse = |reason: &str| {
        ApiError::BadRequest(format!("{} in version {:?} cannot be handled as a {}: {reason}", kind.kind, kind.version, kind.kind))
    };
    let mut value = loose.value;
    if !value.is_object() {
        return Err(refuse("it is not an object"));
    }
    check_kind(kind, &value)?;
    value["apiVersion"] = Value::String(kind.api_version());
    value["kind"] = Value::String(kind.kind.to_owned());
    let decoded = kind.decode(value).map_err(|error| refuse(&error.to_string()))?;
    strictness.judge(noticed(&decoded.unknown, &loose.repeated), warnings).map_err(|reason| refuse(&reason))?;
    Ok(decoded.object)
}

/// Refuses a body that says it is something else; one that says nothing is taken for what the path names.
pub fn check_kind(kind: &Kind, value: &Value) -> Result<(), ApiError> {
    let said = |field: &str| match value.get(field) {
        None | Some(Value::Null) => Ok(""),
        Some(Value::String(text)) => Ok(text.as_str()),
        Some(_) => Err(ApiError::BadRequest(format!("{field} must be a text"))),
    };
    let (api_version, name) = (said("apiVersion")?, said("kind")?);
    let wrong_version = !api_version.is_empty() && api_version != kind.api_version();
    let wrong_kind = !name.is_empty() && name != kind.kind;
    if wrong_version || wrong_kind {
        return Err(ApiError::BadRequest(format!(
            "{name} in version {api_version:?} cannot be handled as a {}: {name:?} of {api_version:?} is not {:?} of {:?}",
            kind.kind,
            kind.kind,
            kind.api_version(),
        )));
    }
    Ok(())
}
