//! Webhooks of GitHub, Gitea, Forgejo and GitLab: a delivery for a source wakes whoever follows it, and does nothing
//! else. Never fetches.

mod delivery;
mod secret;
mod seen;
#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::Duration;
use std::{fmt, io};

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::{Path, State};
use axum::response::{IntoResponse as _, Response};
use axum::routing::post;
use chrono::Utc;
use http::header::{CONTENT_LENGTH, RETRY_AFTER};
use http::{Request, StatusCode};
use http_body_util::{BodyExt as _, LengthLimitError, Limited};
use tokio::net::TcpListener;
use tokio::sync::{Notify, Semaphore};
use tokio_util::sync::CancellationToken;

use super::observed::Observed;
use super::report::{Report, Reporter};
use crate::plain_http;
use delivery::{Meaning, Refusal, decide};
use seen::Seen;

pub use delivery::Followed;
pub use secret::Secret;

/// The name of the source where there is only one: `POST /webhook/default`.
pub const DEFAULT: &str = "default";

/// One delivery. A push of many commits has some 100 kB.
const MAX_BODY_BYTES: usize = 1 << 20;

/// How long a body may take; senders give up after about as long.
const BODY_TIMEOUT: Duration = Duration::from_secs(10);

/// Deliveries read at a time: what all of them can hold in memory stays small.
const MAX_AT_ONCE: usize = 16;

/// What [`Notify`]s wait for deliveries. Cheap to clone; clones share.
#[derive(Clone, Default)]
pub struct Webhooks(Arc<Inner>);

struct Inner {
    hooks: RwLock<HashMap<String, Arc<Hook>>>,
    /// Stands for every source that does not exist: whoever asks learns nothing from the answer or its time.
    nobody: Hook,
    permits: Semaphore,
}

impl Default for Inner {
    fn default() -> Self {
        let unknown: [u8; 32] = rand::random();
        Self {
            hooks: RwLock::default(),
            nobody: Hook::new(
                Secret::new(unknown).expect("32 bytes are some"),
                Followed::Any,
                Arc::new(|_: Report| {}),
            ),
            permits: Semaphore::new(MAX_AT_ONCE),
        }
    }
}

impl fmt::Debug for Webhooks {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Webhooks")
    }
}

/// One source's.
struct Hook {
    secret: Secret,
    followed: Followed,
    seen: Mutex<Seen>,
    news: Arc<Notify>,
    /// Told how each delivery was answered.
    reporter: Arc<dyn Reporter>,
}

impl Hook {
    fn new(secret: Secret, followed: Followed, reporter: Arc<dyn Reporter>) -> Self {
        Self {
            secret,
            followed,
            seen: Mutex::default(),
            news: Arc::default(),
            reporter,
        }
    }
}

impl Webhooks {
    /// Accepts deliveries for a source from now on; one registered before under that name is replaced. What is returned
    /// is notified when there may be news, and `reporter` is told how each delivery was answered.
    pub fn register(&self, name: &str, secret: Secret, followed: Followed, reporter: Arc<dyn Reporter>) -> Arc<Notify> {
        let hook = Arc::new(Hook::new(secret, followed, reporter));
        let news = Arc::clone(&hook.news);
        let mut hooks = self.0.hooks.write().unwrap_or_else(PoisonError::into_inner);
        hooks.insert(name.to_owned(), hook);
        news
    }

    /// Accepts none for that source any more.
    pub fn remove(&self, name: &str) {
        let mut hooks = self.0.hooks.write().unwrap_or_else(PoisonError::into_inner);
        hooks.remove(name);
    }

    /// `POST /webhook/<source>`.
    pub fn router(&self) -> Router {
        Router::new()
            .route("/webhook/{source}", post(receive))
            .with_state(self.clone())
    }

    fn hook(&self, name: &str) -> Option<Arc<Hook>> {
        let hooks = self.0.hooks.read().unwrap_or_else(PoisonError::into_inner);
        hooks.get(name).cloned()
    }

    /// Decides over a delivery and wakes.
    fn take(&self, name: &str, request: &http::request::Parts, body: &[u8]) -> Result<Meaning, Refusal> {
        let hook = self.hook(name);
        let hook = hook.as_deref().unwrap_or(&self.0.nobody);
        let mut seen = hook.seen.lock().unwrap_or_else(PoisonError::into_inner);
        let headers = &request.headers;
        let meaning = decide(headers, body, &hook.secret, &hook.followed, &mut seen, Utc::now())?;
        if meaning == Meaning::News {
            hook.news.notify_one();
        }
        Ok(meaning)
    }
}

/// Serves until `shutdown`. Plain HTTP: where the way from the sender is not trusted, something with TLS stands before it.
///
/// # Errors
/// None so far; connections that fail are logged.
pub async fn serve(listener: TcpListener, webhooks: Webhooks, shutdown: CancellationToken) -> io::Result<()> {
    plain_http::serve(listener, webhooks.router(), shutdown).await
}

async fn receive(State(webhooks): State<Webhooks>, Path(source): Path<String>, request: Request<Body>) -> Response {
    let answer = decided(&webhooks, &source, request).await;
    let hook = webhooks.hook(&source);
    let reporter = &hook.as_deref().unwrap_or(&webhooks.0.nobody).reporter;
    reporter.observe(&Observed::WebhookAnswered(answer.status()));
    answer
}

async fn decided(webhooks: &Webhooks, source: &str, request: Request<Body>) -> Response {
    let Ok(_permit) = webhooks.0.permits.try_acquire() else {
        let later = [(RETRY_AFTER, "5")];
        return (StatusCode::SERVICE_UNAVAILABLE, later, "too many deliveries at once\n").into_response();
    };
    let (head, body) = request.into_parts();
    let body = match read(&head, body).await {
        Ok(body) => body,
        Err((status, reason)) => return answer(status, reason),
    };
    match webhooks.take(source, &head, &body) {
        Ok(Meaning::News) => answer(StatusCode::ACCEPTED, "looking for news"),
        Ok(Meaning::Nothing(why)) => answer(StatusCode::OK, &why),
        Err(refusal) => {
            tracing::debug!(%source, %refusal, "a webhook was refused");
            let status = match &refusal {
                Refusal::Unauthorized => StatusCode::UNAUTHORIZED,
                Refusal::Repeated => StatusCode::CONFLICT,
                Refusal::NotJson => StatusCode::UNSUPPORTED_MEDIA_TYPE,
                Refusal::Unreadable(_) => StatusCode::BAD_REQUEST,
            };
            answer(status, &refusal.to_string())
        }
    }
}

/// Reads the body within bounds; one that says it is too large is not read at all.
async fn read(head: &http::request::Parts, body: Body) -> Result<Bytes, (StatusCode, &'static str)> {
    let too_large = (StatusCode::PAYLOAD_TOO_LARGE, "a delivery may have 1 MiB at most");
    let announced = head.headers.get(CONTENT_LENGTH);
    let announced = announced.and_then(|length| length.to_str().ok()?.parse::<u64>().ok());
    if announced.is_some_and(|length| length > MAX_BODY_BYTES as u64) {
        return Err(too_large);
    }
    let whole = Limited::new(body, MAX_BODY_BYTES).collect();
    match tokio::time::timeout(BODY_TIMEOUT, whole).await {
        Ok(Ok(body)) => Ok(body.to_bytes()),
        Ok(Err(error)) if error.is::<LengthLimitError>() => Err(too_large),
        Ok(Err(_)) => Err((StatusCode::BAD_REQUEST, "the body ended early")),
        Err(_) => Err((StatusCode::REQUEST_TIMEOUT, "the body took too long")),
    }
}

fn answer(status: StatusCode, text: &str) -> Response {
    (status, format!("{text}\n")).into_response()
}
