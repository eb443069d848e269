//! Reviews that clients post to ask about themselves: who am I, may I. Nothing of them is kept.

use std::sync::Arc;

use axum::body::Body;
use axum::response::Response;
use http::request::Parts;
use http::{Method, StatusCode};
use serde_json::{Value, json};

use super::auth::{self, User};
use super::body;
use super::error::ApiError;
use super::request::Path;
use super::respond;
use super::server::Server;

/// A review that may be posted.
pub struct Review {
    /// API group.
    pub group: &'static str,
    /// API version.
    pub version: &'static str,
    /// Name in paths.
    pub plural: &'static str,
    /// Name of one.
    pub singular: &'static str,
    /// The kind.
    pub kind: &'static str,
}

/// Those that are served.
pub const ALL: &[Review] = &[
    Review {
        group: "authentication.k8s.io",
        version: "v1",
        plural: "selfsubjectreviews",
        singular: "selfsubjectreview",
        kind: "SelfSubjectReview",
    },
    Review {
        group: "authorization.k8s.io",
        version: "v1",
        plural: "selfsubjectaccessreviews",
        singular: "selfsubjectaccessreview",
        kind: "SelfSubjectAccessReview",
    },
];

/// The review that a path names.
pub fn find(path: &Path) -> Option<&'static Review> {
    ALL.iter()
        .find(|review| path.is_collection(review.group, review.version, review.plural))
}

/// Answers one.
///
/// # Errors
/// 400 for a body that cannot be read, 401 without a user.
pub async fn answer(_server: &Arc<Server>, review: &Review, parts: &Parts, body: Body) -> Result<Response, ApiError> {
    if parts.method != Method::POST {
        return Err(ApiError::MethodNotAllowed);
    }
    let user = parts.extensions.get::<User>().ok_or(ApiError::Unauthorized)?;
    let bytes = body::read(&parts.headers, body).await?;
    let mut object = body::parse(&bytes, body::notation(&parts.headers)?)?.value;
    if !object.is_object() {
        return Err(ApiError::BadRequest(format!("the body must be a {}", review.kind)));
    }
    object["kind"] = json!(review.kind);
    object["apiVersion"] = json!(format!("{}/{}", review.group, review.version));
    object["status"] = match review.kind {
        "SelfSubjectReview" => json!({"userInfo": {"username": user.name, "groups": user.groups}}),
        _ => access(user, &object),
    };
    Ok(respond::json_value(StatusCode::CREATED, &object))
}

fn access(user: &User, _review: &Value) -> Value {
    if auth::may_do_everything(user) {
        json!({"allowed": true})
    } else {
        json!({"allowed": false, "reason": "only administrators and this cluster's own components are let in"})
    }
}
