//! Sends each request to what answers it. Answers nothing itself.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;

use axum::Router;
use axum::extract::{Request, State};
use axum::middleware;
use axum::response::{IntoResponse, Response};
use futures::FutureExt;
use http::Method;

use super::auth;
use super::error::ApiError;
use super::request::{Path, Query, Verb};
use super::server::Server;
use super::verbs::{self, Call};
use super::{discovery, health, openapi, reviews, subresources};

/// Everything that is served, for requests whose `User` extension says who asks.
pub fn router(server: Arc<Server>) -> Router {
    Router::new()
        .fallback(handle)
        .with_state(server.clone())
        .layer(middleware::from_fn_with_state(server, auth::check))
}

async fn handle(State(server): State<Arc<Server>>, request: Request) -> Response {
    // A defect in one request must not take the connection's other requests with it.
    match AssertUnwindSafe(answer(&server, request)).catch_unwind().await {
        Ok(Ok(response)) => response,
        Ok(Err(error)) => error.into_response(),
        Err(_) => ApiError::Internal("the request's handler panicked".to_owned()).into_response(),
    }
}

async fn answer(server: &Arc<Server>, request: Request) -> Result<Response, ApiError> {
    let (parts, body) = request.into_parts();
    let path = parts.uri.path();
    let query = Query::parse(&parts.uri)?;
    if let Some(answer) = fixed(server, &parts, path, &query).await {
        return answer;
    }
    let path = Path::parse(path).ok_or(ApiError::NoSuchPath)?;
    if let Some(review) = reviews::find(&path) {
        return reviews::answer(server, review, &parts, body).await;
    }
    let target = path.target()?;
    let verb = Verb::of(&parts.method, &target, &query)?;
    let call = Call {
        server,
        target,
        query: &query,
        headers: &parts.headers,
    };
    match target.subresource {
        None => verbs::run(call, verb, body).await,
        Some(name) => subresources::run(call, name, verb, body).await,
    }
}

/// Paths that name no object.
async fn fixed(
    server: &Server,
    parts: &http::request::Parts,
    path: &str,
    query: &Query,
) -> Option<Result<Response, ApiError>> {
    let trimmed = path.trim_end_matches('/');
    let segments: Vec<&str> = trimmed.split('/').skip(1).collect();
    let headers = &parts.headers;
    let answer = match segments.as_slice() {
        ["version"] => Ok(health::version()),
        ["healthz" | "livez", ..] => Ok(health::live(query)),
        ["readyz", ..] => Ok(health::ready(server, query).await),
        ["api"] => discovery::core(headers),
        ["api", "v1"] => discovery::resources("", "v1"),
        ["apis"] => discovery::groups(headers),
        ["apis", group] => discovery::group(group),
        ["apis", group, version] => discovery::resources(group, version),
        ["openapi", "v2"] => openapi::v2(headers),
        ["openapi", "v3"] => openapi::v3_index(),
        ["openapi", "v3", rest @ ..] => openapi::v3(headers, rest),
        _ => return None,
    };
    if parts.method == Method::GET || parts.method == Method::HEAD {
        Some(answer)
    } else {
        Some(Err(ApiError::MethodNotAllowed))
    }
}
