//! Every refusal as a `Status` object: the one place that knows HTTP codes and Status reasons. Never decides to refuse.

mod details;
#[cfg(test)]
mod tests;

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
    #[error("{} {name:?} not found", .resource.qualified())]
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
    #[error("{} {name:?} already exists", .resource.qualified())]
    AlreadyExists {
        /// Of which resource.
        resource: Resource,
        /// The name.
        name: String,
    },
    /// The object is not in the state that the request expects.
    #[error("Operation cannot be fulfilled on {} {name:?}: {reason}", .resource.qualified())]
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
    #[error("{} {name:?} is forbidden: {reason}", .resource.qualified())]
    Forbidden {
        /// Of which resource.
        resource: Resource,
        /// Its name.
        name: String,
        /// Why.
        reason: String,
        /// A machine-readable cause (reason, message, field), where there is one.
        cause: Option<Box<[String; 3]>>,
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
    /// A disruption budget has no room for an eviction; told apart from other reasons to wait by its cause.
    #[error("Cannot evict pod as it would violate the pod's disruption budget.")]
    OverBudget {
        /// Which budget, and why.
        cause: String,
        /// When to ask again, where that is foreseeable.
        retry_after_seconds: Option<u32>,
    },
    /// Several disruption budgets select one pod, so that none of them can be kept.
    #[error("This pod has more than one PodDisruptionBudget, which the eviction subresource does not support.")]
    ManyBudgets,
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

impl Resource {
    /// `pods`, `leases.coordination.k8s.io`.
    fn qualified(&self) -> String {
        qualified(&self.plural, &self.group)
    }
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
            Self::OverBudget { .. } => (429, "TooManyRequests"),
            // Kubernetes gives this one no reason.
            Self::ManyBudgets => (500, ""),
            Self::Internal(_) => (500, "InternalError"),
        }
    }

    /// When the client should ask again, where that may help; the Status and a header tell it.
    fn retry_after_seconds(&self) -> Option<u32> {
        match self {
            Self::FutureVersion { .. } | Self::Unavailable(_) => Some(RETRY_AFTER_SECONDS),
            Self::OverBudget {
                retry_after_seconds, ..
            } => *retry_after_seconds,
            _ => None,
        }
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
            "code": code,
        });
        if !reason.is_empty() {
            status["reason"] = json!(reason);
        }
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
        if let Some(seconds) = self.retry_after_seconds() {
            headers.insert(header::RETRY_AFTER, HeaderValue::from(seconds));
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
