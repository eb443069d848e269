//! `serviceaccounts/token`: tokens that end.

use axum::body::Body;
use axum::response::Response;
use http::StatusCode;
use jiff::{SignedDuration, Timestamp};
use serde_json::json;

use super::error::ApiError;
use super::registry::{self, text};
use super::respond;
use super::server::time_text;
use super::subresources::read_small;
use super::tokens::{Claims, ISSUER};
use super::verbs::Call;

/// How long a token lasts where nothing is asked for, seconds; Kubernetes' default.
const SECONDS_DEFAULT: i64 = 3600;
/// The shortest, as in Kubernetes.
const SECONDS_MIN: i64 = 600;
/// The longest, as in Kubernetes.
const SECONDS_MAX: i64 = 1 << 32;

/// Issues a token for the account of the path.
///
/// # Errors
/// 404 for a missing account, 400 for an impossible duration.
pub async fn issue(call: &Call<'_>, body: Body) -> Result<Response, ApiError> {
    let mut request = read_small(call, body, "TokenRequest").await?;
    let (kind, name) = (call.target.kind, call.name()?);
    let namespace = call.target.namespace.ok_or(ApiError::NoSuchPath)?;
    let account = registry::read(call.server, kind, Some(namespace), name).await?;
    let seconds = request
        .pointer("/spec/expirationSeconds")
        .and_then(serde_json::Value::as_i64)
        .unwrap_or(SECONDS_DEFAULT);
    if !(SECONDS_MIN..=SECONDS_MAX).contains(&seconds) {
        return Err(ApiError::BadRequest(format!(
            "spec.expirationSeconds: Invalid value: {seconds}: must be between {SECONDS_MIN} and {SECONDS_MAX}"
        )));
    }
    let expires = Timestamp::now() + SignedDuration::from_secs(seconds);
    let token = call.server.tokens.sign(&Claims {
        namespace: namespace.to_owned(),
        service_account: name.to_owned(),
        uid: text(&account.object, "/metadata/uid").to_owned(),
        secret: None,
        expires: Some(expires.as_second()),
    });
    request["kind"] = json!("TokenRequest");
    request["apiVersion"] = json!("authentication.k8s.io/v1");
    request["metadata"]["name"] = json!(name);
    request["metadata"]["namespace"] = json!(namespace);
    if !request["spec"].is_object() {
        request["spec"] = json!({});
    }
    request["spec"]["expirationSeconds"] = json!(seconds);
    if registry::is_empty_list(&request, "/spec/audiences") {
        request["spec"]["audiences"] = json!([ISSUER]);
    }
    request["status"] = json!({"token": token, "expirationTimestamp": time_text(expires)});
    Ok(respond::json_value(StatusCode::CREATED, &request))
}
