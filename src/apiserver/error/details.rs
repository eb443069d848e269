//! What a `Status` says besides its message: the object, every cause, when to ask again.

use serde_json::{Value, json};

use super::ApiError;

/// The cause of an eviction that a budget refuses, by which clients know that asking again may help.
const DISRUPTION_BUDGET: &str = "DisruptionBudget";

impl ApiError {
    /// The `details` of the Status, `None` where Kubernetes sends none.
    pub(super) fn details(&self) -> Option<Value> {
        let mut details = match self {
            Self::NotFound { resource, name }
            | Self::AlreadyExists { resource, name }
            | Self::Conflict { resource, name, .. } => {
                json!({"name": name, "group": resource.group, "kind": resource.plural})
            }
            Self::Forbidden {
                resource, name, cause, ..
            } => {
                let mut details = json!({"name": name, "group": resource.group, "kind": resource.plural});
                if let Some([reason, message, field]) = cause.as_deref() {
                    details["causes"] = json!([{"reason": reason, "message": message, "field": field}]);
                }
                details
            }
            Self::ApplyConflict(conflicts) => {
                let causes: Vec<_> = conflicts
                    .iter()
                    .map(|conflict| {
                        json!({
                            "reason": "FieldManagerConflict",
                            "message": format!("conflict with {}", conflict.message),
                            "field": conflict.field,
                        })
                    })
                    .collect();
                json!({"causes": causes})
            }
            Self::Invalid {
                group,
                kind,
                name,
                errors,
            } => {
                let causes: Vec<_> = errors
                    .iter()
                    .map(|error| json!({"reason": error.kind.reason(), "message": error.message, "field": error.field}))
                    .collect();
                json!({"name": name, "group": group, "kind": kind, "causes": causes})
            }
            Self::FutureVersion { .. } => json!({
                "causes": [{"reason": "ResourceVersionTooLarge", "message": "Too large resource version"}],
            }),
            Self::OverBudget { cause, .. } => {
                json!({"causes": [{"reason": DISRUPTION_BUDGET, "message": cause}]})
            }
            Self::Unavailable(_) => json!({}),
            Self::Internal(reason) => json!({"causes": [{"message": reason}]}),
            Self::NoSuchPath | Self::Unprocessable(_) | Self::MethodNotAllowed => json!({}),
            _ => return None,
        };
        if let Some(seconds) = self.retry_after_seconds() {
            details["retryAfterSeconds"] = json!(seconds);
        }
        if let Some(map) = details.as_object_mut() {
            map.retain(|_, value| value.as_str() != Some(""));
        }
        Some(details)
    }
}
