//! Who asks, and whether they may. Never reads objects but for a token's account.

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use http::header;
use jiff::Timestamp;

use super::error::ApiError;
use super::request::{Path, Query, Verb};
use super::server::Server;
use super::{registry, service_accounts};
use crate::object::Kind;

/// The group that may do everything.
pub const ADMINS: &str = "system:masters";
/// The group of kubelets.
pub const NODES: &str = "system:nodes";
/// The group of everybody who is known.
const AUTHENTICATED: &str = "system:authenticated";
/// Components that may do everything.
const COMPONENTS: [&str; 3] = [
    "system:kube-scheduler",
    "system:kube-controller-manager",
    "system:apiserver",
];

/// Who sends a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct User {
    /// e.g. `reconcile-admin`, `system:serviceaccount:default:default`.
    pub name: String,
    /// e.g. `system:masters`.
    pub groups: Vec<String>,
}

impl User {
    /// A user of these groups; everybody who is known is `system:authenticated` too.
    pub fn new(name: impl Into<String>, groups: impl IntoIterator<Item = String>) -> Self {
        let mut groups: Vec<String> = groups.into_iter().collect();
        if !groups.iter().any(|group| group == AUTHENTICATED) {
            groups.push(AUTHENTICATED.to_owned());
        }
        Self {
            name: name.into(),
            groups,
        }
    }

    /// A user who may do everything.
    pub fn admin(name: impl Into<String>) -> Self {
        Self::new(name, [ADMINS.to_owned()])
    }
}

/// Whether the user is an administrator or one of this cluster's components.
pub fn may_do_everything(user: &User) -> bool {
    COMPONENTS.contains(&user.name.as_str()) || user.groups.iter().any(|group| group == ADMINS || group == NODES)
}

/// Lets a request through where its user may make it.
pub async fn check(State(server): State<Arc<Server>>, mut request: Request, next: Next) -> Response {
    let path = request.uri().path().trim_end_matches('/').to_owned();
    if is_open(&path) {
        return next.run(request).await;
    }
    if request.extensions().get::<User>().is_none() {
        let token = bearer(&request).map(str::to_owned);
        match token_user(&server, token.as_deref()).await {
            Ok(user) => {
                request.extensions_mut().insert(user);
            }
            Err(error) => return error.into_response(),
        }
    }
    let allowed = request
        .extensions()
        .get::<User>()
        .is_some_and(|user| may_do_everything(user) || is_for_everybody(&path));
    if allowed {
        return next.run(request).await;
    }
    let name = request
        .extensions()
        .get::<User>()
        .map(|user| user.name.clone())
        .unwrap_or_default();
    refusal(&name, &request).into_response()
}

/// Paths that answer whoever asks.
fn is_open(path: &str) -> bool {
    matches!(path.split('/').nth(1), Some("healthz" | "livez" | "readyz" | "version"))
}

/// Paths that answer every known user: discovery and questions about oneself.
fn is_for_everybody(path: &str) -> bool {
    let segments: Vec<&str> = path.split('/').skip(1).collect();
    match segments.as_slice() {
        ["api"] | ["api", "v1"] | ["apis", ..] if segments.len() <= 3 => true,
        ["openapi", ..] => true,
        ["apis", "authorization.k8s.io" | "authentication.k8s.io", "v1", review] => review.starts_with("selfsubject"),
        _ => false,
    }
}

/// The request's bearer token.
fn bearer(request: &Request) -> Option<&str> {
    request
        .headers()
        .get(header::AUTHORIZATION)?
        .to_str()
        .ok()?
        .strip_prefix("Bearer ")
        .map(str::trim)
}

/// The service account of a bearer token.
async fn token_user(server: &Server, token: Option<&str>) -> Result<User, ApiError> {
    let token = token.ok_or(ApiError::Unauthorized)?;
    let claims = server
        .tokens
        .check(token, Timestamp::now().as_second())
        .ok_or(ApiError::Unauthorized)?;
    let account = registry::find(
        server,
        service_accounts::kind()?,
        Some(&claims.namespace),
        &claims.service_account,
    )
    .await?;
    // A token dies with its account, also where one of the same name came after it, and with the Secret it lay in.
    let alive = account.is_some_and(|account| registry::text(&account.object, "/metadata/uid") == claims.uid);
    let secret_there = match &claims.secret {
        Some(secret) => registry::find(server, service_accounts::secrets()?, Some(&claims.namespace), secret)
            .await?
            .is_some(),
        None => true,
    };
    if !alive || !secret_there {
        return Err(ApiError::Unauthorized);
    }
    let groups = [
        "system:serviceaccounts".to_owned(),
        format!("system:serviceaccounts:{}", claims.namespace),
    ];
    Ok(User::new(
        format!("system:serviceaccount:{}:{}", claims.namespace, claims.service_account),
        groups,
    ))
}

/// The text that tells a user what they may not do.
fn refusal(user: &str, request: &Request) -> ApiError {
    let path = request.uri().path();
    let other = || {
        ApiError::Denied(format!(
            "forbidden: User {user:?} cannot {} path {path:?}",
            request.method().as_str().to_ascii_lowercase()
        ))
    };
    let Some(parsed) = Path::parse(path) else {
        return other();
    };
    let (Ok(target), Ok(query)) = (parsed.target(), Query::parse(request.uri())) else {
        return other();
    };
    let Ok(verb) = Verb::of(request.method(), &target, &query) else {
        return other();
    };
    let Kind { group, plural, .. } = target.kind;
    let resource = target
        .subresource
        .map_or_else(|| (*plural).to_owned(), |sub| format!("{plural}/{sub}"));
    let qualified = if group.is_empty() {
        (*plural).to_owned()
    } else {
        format!("{plural}.{group}")
    };
    let object = target
        .name
        .map_or_else(|| qualified.clone(), |name| format!("{qualified} {name:?}"));
    let place = match target.namespace {
        Some(namespace) => format!(" in the namespace {namespace:?}"),
        None => " at the cluster scope".to_owned(),
    };
    ApiError::Denied(format!(
        "{object} is forbidden: User {user:?} cannot {} resource {resource:?} in API group {group:?}{place}",
        verb.name()
    ))
}
