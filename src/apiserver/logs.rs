//! `pods/log`: passes a container's log on from the kubelet of the pod's node. Never talks to Docker.

use axum::response::Response;

use super::error::ApiError;
use super::verbs::Call;

/// Streams the log.
///
/// # Errors
/// 400 where it is not clear which log, or there is none yet.
pub async fn logs(_call: &Call<'_>) -> Result<Response, ApiError> {
    Err(ApiError::Unavailable("logs are not served yet".to_owned()))
}
