//! Every refusal as a `Status` object: the one place that knows HTTP codes and Status reasons. Never decides to refuse.

use axum::body::Body;
use axum::response::{IntoResponse, Response};
use http::{HeaderValue, StatusCode, header};
use serde_json::{Value, json};

use crate::object::managed::Conflict;
use crate::object::patch::PatchError;
use crate::object::{FieldError, Kind};
use crate::store::StoreError;

/// What a client waits before it asks again after a passing failure.
const RETRY_AFTER_SECONDS: u32 = 1;

/// Why a request was refused or failed.
#[derive(Clone, Debug, thiserror::Error)]
pub enum ApiError {
    /// No object of that name.
    #[error("{} {name:?} not found", .resource.plural)]
    NotFound {
        /// Of which resource.
        resource: Resource,
        /// Its name.
        name: String,
    },
    /// Nothing is served at that path.
    #[error("the server could not find the requested resource")]
    NoSuchPath,
    /// A kubelet does not know what was asked of it; complete text.
    #[error("{0}")]
    UpstreamNotFound(String),
    /// The name is taken.
    #[error("{} {name:?} already exists", .resource.plural)]
    AlreadyExists {
        /// Of which resource.
        resource: Resource,
        /// The name.
        name: String,
    },
    /// The object is not in the state that the request expects.
    #[error("Operation cannot be fulfilled on {} {name:?}: {reason}", .resource.plural)]
    Conflict {
        /// Of which resource.
        resource: Resource,
        /// Its name.
        name: String,
        /// What differs.
        reason: String,
    },
    /// Other managers own applied fields.
    #[error("{}", apply_message(.0))]
    ApplyConflict(Vec<Conflict>),
    /// The object breaks rules of its kind.
    #[error("{}", invalid_message(.group, .kind, .name, .errors))]
    Invalid {
        /// Group of the kind.
        group: String,
        /// The kind.
        kind: String,
        /// The object's name.
        name: String,
        /// Everything wrong with it.
        errors: Vec<FieldError>,
    },
    /// A well-formed patch does not fit the object.
    #[error("{0}")]
    Unprocessable(String),
    /// The request cannot be understood.
    #[error("{0}")]
    BadRequest(String),
    /// Policy refuses it.
    #[error("{} {name:?} is forbidden: {reason}", .resource.plural)]
    Forbidden {
        /// Of which resource.
        resource: Resource,
        /// Its name.
        name: String,
        /// Why.
        reason: String,
        /// A machine-readable cause (reason, message, field), where there is one.
        cause: Option<[String; 3]>,
    },
    /// The user may not do that; complete text.
    #[error("{0}")]
    Denied(String),
    /// No valid credentials came along.
    #[error("Unauthorized")]
    Unauthorized,
    /// The resource has no such verb.
    #[error("the server does not allow this method on the requested resource")]
    MethodNotAllowed,
    /// None of the accepted media types can be made.
    #[error("only the following media types are accepted: application/json")]
    NotAcceptable,
    /// The body's media type is not understood.
    #[error("the body of the request was in an unknown format - accepted media types include: {0}")]
    UnsupportedMediaType(String),
    /// The body is too long.
    #[error("the request body is larger than the {0} bytes that are accepted")]
    TooLarge(usize),
    /// What was asked for lies too far in the past.
    #[error("{message}")]
    Expired {
        /// Complete text.
        message: String,
        /// With which an inconsistent list can go on.
        continue_token: Option<String>,
    },
    /// The revision asked for does not exist yet.
    #[error("Too large resource version: {requested}, current: {current}")]
    FutureVersion {
        /// Asked for.
        requested: u64,
        /// The newest.
        current: u64,
    },
    /// Another server (a kubelet, or the store) did not answer.
    #[error("{0}")]
    Unavailable(String),
    /// Something failed that should not.
    #[error("Internal error occurred: {0}")]
    Internal(String),
}

/// A resource as errors name it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Resource {
    /// API group, empty for core.
    pub group: String,
    /// e.g. `pods`.
    pub plural: String,
}

impl From<&Kind> for Resource {
    fn from(kind: &Kind) -> Self {
        Self {
            group: kind.group.to_owned(),
            plural: kind.plural.to_owned(),
        }
    }
}

/// `pods`, `leases.coordination.k8s.io`.
fn qualified(name: &str, group: &str) -> String {
    if group.is_empty() {
        name.to_owned()
    } else {
        format!("{name}.{group}")
    }
}

fn apply_message(conflicts: &[Conflict]) -> String {
    let plural = if conflicts.len() == 1 { "conflict" } else { "conflicts" };
    let list: Vec<_> = conflicts
        .iter()
        .map(|conflict| format!("conflict with {}: {}", conflict.message, conflict.field))
        .collect();
    match list.as_slice() {
        [one] => format!("Apply failed with 1 conflict: {one}"),
        many => format!("Apply failed with {} {plural}: {}", many.len(), many.join(", ")),
    }
}

fn invalid_message(group: &str, kind: &str, name: &str, errors: &[FieldError]) -> String {
    let mut texts: Vec<String> = Vec::with_capacity(errors.len());
    for text in errors.iter().map(ToString::to_string) {
        if !texts.contains(&text) {
            texts.push(text);
        }
    }
    let body = match texts.as_slice() {
        [one] => one.clone(),
        many => format!("[{}]", many.join(", ")),
    };
    format!("{} \"{name}\" is invalid: {body}", qualified(kind, group))
}

impl ApiError {
    /// No such object.
    pub fn not_found(kind: &Kind, name: &str) -> Self {
        Self::NotFound {
            resource: kind.into(),
            name: name.to_owned(),
        }
    }

    /// Somebody else wrote the object meanwhile.
    pub fn modified(kind: &Kind, name: &str) -> Self {
        Self::conflict(
            kind,
            name,
            "the object has been modified; please apply your changes to the latest version and try again".to_owned(),
        )
    }

    /// The object is in another state than expected.
    pub fn conflict(kind: &Kind, name: &str, reason: String) -> Self {
        Self::Conflict {
            resource: kind.into(),
            name: name.to_owned(),
            reason,
        }
    }

    /// The object breaks its kind's rules.
    pub fn invalid(kind: &Kind, name: &str, errors: Vec<FieldError>) -> Self {
        Self::Invalid {
            group: kind.group.to_owned(),
            kind: kind.kind.to_owned(),
            name: name.to_owned(),
            errors,
        }
    }

    /// Policy refuses the object.
    pub fn forbidden(kind: &Kind, name: &str, reason: String) -> Self {
        Self::Forbidden {
            resource: kind.into(),
            name: name.to_owned(),
            reason,
            cause: None,
        }
    }

    /// Code and reason.
    fn code(&self) -> (u16, &'static str) {
        match self {
            Self::NotFound { .. } | Self::NoSuchPath | Self::UpstreamNotFound(_) => (404, "NotFound"),
            Self::AlreadyExists { .. } => (409, "AlreadyExists"),
            Self::Conflict { .. } | Self::ApplyConflict(_) => (409, "Conflict"),
            Self::Invalid { .. } | Self::Unprocessable(_) => (422, "Invalid"),
            Self::BadRequest(_) => (400, "BadRequest"),
            Self::Forbidden { .. } | Self::Denied(_) => (403, "Forbidden"),
            Self::Unauthorized => (401, "Unauthorized"),
            Self::MethodNotAllowed => (405, "MethodNotAllowed"),
            Self::NotAcceptable => (406, "NotAcceptable"),
            Self::UnsupportedMediaType(_) => (415, "UnsupportedMediaType"),
            Self::TooLarge(_) => (413, "RequestEntityTooLarge"),
            Self::Expired { .. } => (410, "Expired"),
            Self::FutureVersion { .. } => (504, "Timeout"),
            Self::Unavailable(_) => (503, "ServiceUnavailable"),
            Self::Internal(_) => (500, "InternalError"),
        }
    }

    /// The `details` of the Status, `None` where Kubernetes sends none.
    fn details(&self) -> Option<Value> {
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
                if let Some([reason, message, field]) = cause {
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
                "retryAfterSeconds": RETRY_AFTER_SECONDS,
            }),
            Self::Unavailable(_) => json!({"retryAfterSeconds": RETRY_AFTER_SECONDS}),
            Self::Internal(reason) => json!({"causes": [{"message": reason}]}),
            Self::NoSuchPath | Self::Unprocessable(_) | Self::MethodNotAllowed => json!({}),
            _ => return None,
        };
        if let Some(map) = details.as_object_mut() {
            map.retain(|_, value| value.as_str() != Some(""));
        }
        Some(details)
    }

    /// The `Status` object that tells a client of it.
    pub fn status(&self) -> Value {
        let (code, reason) = self.code();
        let mut status = json!({
            "kind": "Status",
            "apiVersion": "v1",
            "metadata": {},
            "status": "Failure",
            "message": self.to_string(),
            "reason": reason,
            "code": code,
        });
        if let Some(details) = self.details() {
            status["details"] = details;
        }
        if let Self::Expired {
            continue_token: Some(token),
            ..
        } = self
        {
            status["metadata"]["continue"] = json!(token);
        }
        status
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let (code, _) = self.code();
        if let Self::Internal(reason) = &self {
            tracing::error!(reason, "a request failed");
        }
        let mut response = Response::new(Body::from(self.status().to_string()));
        *response.status_mut() = StatusCode::from_u16(code).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
        if matches!(self, Self::FutureVersion { .. } | Self::Unavailable(_)) {
            headers.insert(header::RETRY_AFTER, HeaderValue::from(RETRY_AFTER_SECONDS));
        }
        response
    }
}

impl From<StoreError> for ApiError {
    /// For failures that a verb does not handle itself.
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::Compacted { requested, oldest } => Self::Expired {
                message: format!("too old resource version: {requested} ({oldest})"),
                continue_token: None,
            },
            StoreError::Future { requested, current } => Self::FutureVersion { requested, current },
            StoreError::Behind => Self::Expired {
                message: "the watcher fell behind and was ended".to_owned(),
                continue_token: None,
            },
            StoreError::Unavailable(reason) => Self::Unavailable(format!("the store is unavailable: {reason}")),
            StoreError::Conflict { .. } => Self::Internal("the store refused a write that was not handled".to_owned()),
            StoreError::Failed(reason) => Self::Internal(format!("the store failed: {reason}")),
        }
    }
}

impl From<PatchError> for ApiError {
    fn from(error: PatchError) -> Self {
        match error {
            PatchError::Malformed(reason) => Self::BadRequest(reason),
            PatchError::Unprocessable(reason) => Self::Unprocessable(reason),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::object::FieldErrorKind;

    fn resource() -> Resource {
        Resource {
            group: String::new(),
            plural: "pods".into(),
        }
    }

    #[test]
    fn texts_are_those_of_kubernetes() {
        let cases = [
            (
                ApiError::NotFound {
                    resource: resource(),
                    name: "web".into(),
                },
                404,
                "NotFound",
                "pods \"web\" not found",
            ),
            (
                ApiError::AlreadyExists {
                    resource: resource(),
                    name: "web".into(),
                },
                409,
                "AlreadyExists",
                "pods \"web\" already exists",
            ),
            (
                ApiError::Forbidden {
                    resource: resource(),
                    name: "p".into(),
                    reason: "no".into(),
                    cause: None,
                },
                403,
                "Forbidden",
                "pods \"p\" is forbidden: no",
            ),
            (
                ApiError::FutureVersion {
                    requested: 9,
                    current: 5,
                },
                504,
                "Timeout",
                "Too large resource version: 9, current: 5",
            ),
        ];
        for (error, code, reason, message) in cases {
            let status = error.status();
            assert_eq!(
                (&status["code"], &status["reason"], &status["message"]),
                (&json!(code), &json!(reason), &json!(message))
            );
        }
    }

    #[test]
    fn all_errors_of_an_object_come_at_once_and_repeated_texts_are_said_once() {
        let wrong = |field: &str| FieldError {
            field: field.into(),
            kind: FieldErrorKind::Required,
            message: "Required value".into(),
        };
        let error = ApiError::Invalid {
            group: "batch".into(),
            kind: "Job".into(),
            name: "j".into(),
            errors: vec![wrong("spec.a"), wrong("spec.b"), wrong("spec.a")],
        };
        let status = error.status();
        assert_eq!(
            status["message"],
            "Job.batch \"j\" is invalid: [spec.a: Required value, spec.b: Required value]"
        );
        assert_eq!(status["details"]["causes"].as_array().map(Vec::len), Some(3));
        assert_eq!(status["details"]["causes"][0]["reason"], "FieldValueRequired");
    }
}
