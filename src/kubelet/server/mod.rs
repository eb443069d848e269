//! Serves containers' logs over TLS to whoever holds a certificate of the cluster's CA. Serves nothing else.

mod logs;
mod tls;

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto::Builder;
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, watch};
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tower::ServiceExt;

use super::Config;
use super::node::DockerState;
use super::pods::Pods;

pub use tls::TlsError;

/// Connections at once: a follower of a log keeps one, and a node has at most some hundred containers.
const MAX_CONNECTIONS: usize = 512;

/// How long a peer may take over the TLS handshake.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);

/// What the handlers work with.
#[derive(Clone)]
pub struct Shared {
    /// The node's pods.
    pub pods: Arc<Pods>,
    /// Docker.
    pub docker: watch::Receiver<DockerState>,
    /// The kubelet's configuration.
    pub config: Config,
    /// Ends streams that follow a log.
    pub shutdown: CancellationToken,
}

/// Whether the peer showed a certificate of the cluster's CA.
#[derive(Clone, Copy)]
struct Authenticated(bool);

/// Serves until `shutdown`.
///
/// # Errors
/// Where no TLS configuration can be made.
pub fn serve(listener: TcpListener, shared: Shared) -> Result<impl Future<Output = ()>, TlsError> {
    let names = vec![shared.config.node_name.clone(), "localhost".to_owned()];
    let acceptor = TlsAcceptor::from(tls::server(names, shared.config.client_ca.as_deref())?);
    let shutdown = shared.shutdown.clone();
    Ok(accept(listener, acceptor, router(shared), shutdown))
}

fn router(shared: Shared) -> Router {
    Router::new()
        .route(
            "/containerLogs/{namespace}/{pod}/{container}",
            get(logs::container_logs),
        )
        .layer(axum::middleware::from_fn(require_certificate))
        .route("/healthz", get(|| async { "ok" }))
        .with_state(shared)
}

async fn require_certificate(request: Request, next: Next) -> Response {
    match request.extensions().get::<Authenticated>() {
        Some(Authenticated(true)) => next.run(request).await,
        _ => (
            StatusCode::UNAUTHORIZED,
            "a client certificate of the cluster's CA is required\n",
        )
            .into_response(),
    }
}

async fn accept(listener: TcpListener, acceptor: TlsAcceptor, router: Router, shutdown: CancellationToken) {
    let permits = Arc::new(Semaphore::new(MAX_CONNECTIONS));
    let connections = TaskTracker::new();
    loop {
        let permit = permits
            .clone()
            .acquire_owned()
            .await
            .expect("this semaphore is never closed");
        let accepted = tokio::select! {
            () = shutdown.cancelled() => break,
            accepted = listener.accept() => accepted,
        };
        let stream = match accepted {
            Ok((stream, _peer)) => stream,
            Err(error) => {
                tracing::warn!(%error, "a connection could not be accepted");
                // Out of file descriptors, say: trying again at once would only spin.
                tokio::time::sleep(Duration::from_millis(100)).await;
                continue;
            }
        };
        let (acceptor, router, shutdown) = (acceptor.clone(), router.clone(), shutdown.clone());
        connections.spawn(async move {
            tokio::select! {
                () = shutdown.cancelled() => {}
                () = handle(stream, acceptor, router) => {}
            }
            drop(permit);
        });
    }
    connections.close();
    connections.wait().await;
}

async fn handle(stream: TcpStream, acceptor: TlsAcceptor, router: Router) {
    let stream = match tokio::time::timeout(HANDSHAKE_TIMEOUT, acceptor.accept(stream)).await {
        Ok(Ok(stream)) => stream,
        Ok(Err(error)) => return tracing::debug!(%error, "a TLS handshake failed"),
        Err(_elapsed) => return tracing::debug!("a TLS handshake took too long"),
    };
    let authenticated = Authenticated(
        stream
            .get_ref()
            .1
            .peer_certificates()
            .is_some_and(|chain| !chain.is_empty()),
    );
    let service = router.map_request(move |mut request: axum::http::Request<hyper::body::Incoming>| {
        request.extensions_mut().insert(authenticated);
        request.map(axum::body::Body::new)
    });
    let builder = Builder::new(TokioExecutor::new());
    let served = builder
        .serve_connection(TokioIo::new(stream), TowerToHyperService::new(service))
        .await;
    if let Err(error) = served {
        tracing::debug!(%error, "a connection ended early");
    }
}

/// Docker, or why it cannot be asked.
fn engine(State(shared): &State<Shared>) -> Result<Arc<super::docker::Engine>, Box<Response>> {
    shared
        .docker
        .borrow()
        .clone()
        .map_err(|reason| Box::new((StatusCode::SERVICE_UNAVAILABLE, reason).into_response()))
}
