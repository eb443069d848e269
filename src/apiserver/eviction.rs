//! `pods/eviction`: deletes a pod as `kubectl drain` asks for it. There are no disruption budgets to respect yet.

use axum::body::Body;
use axum::response::Response;
use http::StatusCode;
use serde_json::json;

use super::error::ApiError;
use super::registry::delete::{self, Options};
use super::respond;
use super::subresources::read_small;
use super::verbs::{Call, check_name, check_namespace};

/// Deletes the pod of the path with the body's options.
///
/// # Errors
/// As a deletion.
pub async fn evict(call: &Call<'_>, body: Body) -> Result<Response, ApiError> {
    let eviction = read_small(call, body, "Eviction").await?;
    check_name(&eviction, call.name()?)?;
    check_namespace(&eviction, call.target.namespace)?;
    let mut options = Options::read(&eviction["deleteOptions"])?;
    options.dry_run |= call.query.dry_run()?;
    delete::delete(
        call.server,
        call.target.kind,
        call.target.namespace,
        call.name()?,
        &options,
    )
    .await?;
    let status = json!({"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success", "code": 201});
    Ok(respond::json_value(StatusCode::CREATED, &status))
}
