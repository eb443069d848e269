//! Serves plain HTTP/1.1 to strangers: one request a connection, bounded in connections and in time.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use http::Request;
use hyper::body::Incoming;
use hyper::server::conn::http1::Builder;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tower::ServiceExt as _;

/// Connections open at a time: more than are read at once, so that the rest can be told to come back.
const CONNECTIONS_MAX: usize = 64;

/// How long the head of a request may take.
const HEAD_TIMEOUT: Duration = Duration::from_secs(5);

/// How long a connection may last: head, body and answer.
const CONNECTION_TIMEOUT: Duration = Duration::from_secs(20);

/// Pause after the system refused a connection (too many open files), so as not to spin.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Serves until `shutdown`.
///
/// # Errors
/// None so far; connections that fail are logged.
pub async fn serve(listener: TcpListener, router: Router, shutdown: CancellationToken) -> io::Result<()> {
    let permits = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    let mut connections = JoinSet::new();
    let accepting = async {
        loop {
            // Taken first: what cannot be served waits in the system's queue, which is bounded.
            let Ok(permit) = Arc::clone(&permits).acquire_owned().await else {
                return;
            };
            while let Some(ended) = connections.try_join_next() {
                if let Err(error) = ended {
                    tracing::error!(%error, "a connection's task failed");
                }
            }
            match listener.accept().await {
                Ok((stream, _)) => {
                    let router = router.clone();
                    connections.spawn(async move {
                        connection(stream, router).await;
                        drop(permit);
                    });
                }
                Err(error) => {
                    tracing::warn!(%error, "a connection could not be accepted");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            }
        }
    };
    shutdown.run_until_cancelled(accepting).await;
    connections.shutdown().await;
    Ok(())
}

async fn connection(stream: TcpStream, router: Router) {
    let service = service_fn(move |request: Request<Incoming>| router.clone().oneshot(request.map(Body::new)));
    let serving = Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_TIMEOUT)
        .keep_alive(false)
        .serve_connection(TokioIo::new(stream), service);
    match tokio::time::timeout(CONNECTION_TIMEOUT, serving).await {
        Ok(Ok(())) => {}
        Ok(Err(error)) => tracing::debug!(%error, "a connection failed"),
        Err(_) => tracing::debug!("a connection took too long"),
    }
}
