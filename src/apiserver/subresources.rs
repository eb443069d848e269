//! Paths behind an object's name. Never stores anything itself.

use axum::body::Body;
use axum::response::Response;
use http::StatusCode;

use super::error::ApiError;
use super::request::Verb;
use super::respond;
use super::verbs::{self, Call, check_name};
use super::{binding, body, eviction, logs, namespaces, token_request};

/// Answers a request for a subresource.
///
/// # Errors
/// 404 where there is none of that name, 405 where it has no such verb; else what the subresource says.
pub async fn run(call: Call<'_>, name: &str, verb: Verb, body: Body) -> Result<Response, ApiError> {
    let kind = call.target.kind;
    match (kind.group, kind.plural, name) {
        (_, _, "status") if kind.status => match verb {
            Verb::Get | Verb::Update | Verb::Patch => verbs::run(call, verb, body).await,
            _ => Err(ApiError::MethodNotAllowed),
        },
        ("", "pods", "binding") if verb == Verb::Create => binding::bind(&call, body).await,
        ("", "pods", "eviction") if verb == Verb::Create => eviction::evict(&call, body).await,
        ("", "pods", "log") if verb == Verb::Get => logs::logs(&call).await,
        ("", "serviceaccounts", "token") if verb == Verb::Create => token_request::issue(&call, body).await,
        ("", "namespaces", "finalize") if verb == Verb::Update => finalize(&call, body).await,
        ("", "pods", "binding" | "eviction" | "log")
        | ("", "serviceaccounts", "token")
        | ("", "namespaces", "finalize") => Err(ApiError::MethodNotAllowed),
        _ => Err(ApiError::NoSuchPath),
    }
}

async fn finalize(call: &Call<'_>, body: Body) -> Result<Response, ApiError> {
    let view = call.view()?;
    let mut warnings = Vec::new();
    let object = call.decode_body(body, &mut warnings).await?;
    check_name(&object, call.name()?)?;
    let outcome = namespaces::finalize(call.server, call.name()?, &object, call.query.dry_run()?).await?;
    Ok(respond::json_value(StatusCode::OK, &view.object(&outcome.object)))
}

/// Reads a small body that is no object of the kinds table (`Binding`, `Eviction`, `TokenRequest`).
///
/// # Errors
/// 400 where it cannot be read or is something else.
pub async fn read_small(call: &Call<'_>, body: Body, kind: &str) -> Result<serde_json::Value, ApiError> {
    let bytes = body::read(call.headers, body).await?;
    let value = body::parse(&bytes, body::notation(call.headers)?)?.value;
    let own = value
        .get("kind")
        .and_then(serde_json::Value::as_str)
        .unwrap_or_default();
    if !value.is_object() || !(own.is_empty() || own == kind) {
        return Err(ApiError::BadRequest(format!("the body must be a {kind}")));
    }
    for part in ["metadata", "spec", "status", "target"] {
        if value.get(part).is_some_and(|part| !part.is_object() && !part.is_null()) {
            return Err(ApiError::BadRequest(format!("{part} must be an object")));
        }
    }
    Ok(value)
}
