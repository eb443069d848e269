//! An HTTP server that takes what it is sent, and answers as it is told.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Instant;

use axum::Router;
use axum::body::Bytes;
use axum::extract::{Request, State};
use axum::response::{IntoResponse as _, Response};
use http::{HeaderMap, StatusCode};
use serde_json::Value;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

use super::harness::eventually;

/// What came.
#[derive(Clone, Debug)]
pub struct Came {
    pub path: String,
    pub headers: HeaderMap,
    pub body: Value,
    pub at: Instant,
}

/// How a request is answered: a status, and a header that goes with it.
type Answer = (StatusCode, Option<(&'static str, String)>);

#[derive(Default)]
struct Shared {
    came: Mutex<Vec<Came>>,
    answers: Mutex<VecDeque<Answer>>,
    hangs: bool,
}

/// A running server; it ends when this is dropped.
pub struct Receiving {
    pub address: SocketAddr,
    shared: Arc<Shared>,
    task: JoinHandle<()>,
}

impl Receiving {
    pub async fn start() -> Receiving {
        Receiving::with(Shared::default()).await
    }

    /// One that takes what it is sent and never answers.
    pub async fn hanging() -> Receiving {
        Receiving::with(Shared {
            hangs: true,
            ..Shared::default()
        })
        .await
    }

    async fn with(shared: Shared) -> Receiving {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("an address");
        let shared = Arc::new(shared);
        let router = Router::new().fallback(take).with_state(Arc::clone(&shared));
        let task = tokio::spawn(async move { axum::serve(listener, router).await.expect("served") });
        Receiving { address, shared, task }
    }

    /// The next requests are answered like this, and all others with 200.
    pub fn answers(&self, answers: impl IntoIterator<Item = Answer>) {
        self.shared.answers.lock().expect("unpoisoned").extend(answers);
    }

    pub fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    /// All that came so far.
    pub fn came(&self) -> Vec<Came> {
        self.shared.came.lock().expect("unpoisoned").clone()
    }

    /// Waits until so many came.
    #[track_caller]
    pub fn count(&self, count: usize) -> impl Future<Output = Vec<Came>> {
        eventually(format!("{count} requests"), move || async move {
            let came = self.came();
            if came.len() >= count {
                Ok(came)
            } else {
                Err(format!("{came:#?}"))
            }
        })
    }
}

impl Drop for Receiving {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn take(State(shared): State<Arc<Shared>>, request: Request) -> Response {
    let (head, body) = request.into_parts();
    let body: Bytes = axum::body::to_bytes(body, 1 << 20).await.expect("a body");
    shared.came.lock().expect("unpoisoned").push(Came {
        path: head.uri.to_string(),
        headers: head.headers,
        body: serde_json::from_slice(&body).expect("JSON"),
        at: Instant::now(),
    });
    if shared.hangs {
        return std::future::pending().await;
    }
    let answer = shared.answers.lock().expect("unpoisoned").pop_front();
    let (status, header) = answer.unwrap_or((StatusCode::OK, None));
    let mut response = status.into_response();
    if let Some((name, value)) = header {
        response
            .headers_mut()
            .insert(name, value.parse().expect("a header's value"));
    }
    response
}
