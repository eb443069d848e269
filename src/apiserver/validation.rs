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
pub fn decode(
    kind: &Kind,
    loose: Loose,
    strictness: Strictness,
    warnings: &mut Vec<String>,
) -> Result<Value, ApiError> {
    let refuse = |reason: &str| {
        ApiError::BadRequest(format!(
            "{} in version {:?} cannot be handled as a {}: {reason}",
            kind.kind, kind.version, kind.kind
        ))
    };
    let decoded = kind
        .decode(loose.value)
        .map_err(|error| ApiError::BadRequest(error.to_string()))?;
    strictness
        .judge(noticed(&decoded.unknown, &loose.repeated), warnings)
        .map_err(|reason| refuse(&reason))?;
    Ok(decoded.object)
}
