//! HTTP over a store: generic verbs, watch, discovery, subresources. The only part that touches the store.
//!
//! A request goes `serve` (TLS, who is it) → `dispatch` (which path) → `auth` (may they) → `verbs` or `subresources` →
//! `registry` (the kind's rules, one compare-and-swap) → the store; answers take the shape that `negotiate` finds.

mod admission;
mod auth;
mod binding;
mod body;
mod discovery;
mod dispatch;
mod error;
mod event_expiry;
mod eviction;
mod health;
mod logs;
mod loose;
mod namespaces;
mod negotiate;
mod openapi;
mod patching;
pub mod pki;
mod priority;
mod protobuf;
mod record;
mod registry;
mod request;
mod respond;
mod reviews;
mod select;
mod serve;
mod server;
mod service_accounts;
mod storage;
mod subresources;
mod token_request;
mod tokens;
mod validation;
mod verbs;
mod watch;

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use tokio_util::sync::CancellationToken;

pub use auth::User;
pub use body::BODY_BYTES_MAX;
pub use error::ApiError;
use pki::{Credentials, Pki, PkiError, Subject};
pub use serve::serve;
use server::Server;
pub use tokens::TokenKey;

use crate::store::Store;

/// The field manager of objects that the server makes by itself.
const MANAGER: &str = "reconcile-apiserver";

/// How often a store that cannot be reached at start is tried again.
const BOOTSTRAP_RETRY: Duration = Duration::from_secs(1);

/// What an API server needs.
pub struct Config {
    /// Where everything lies.
    pub store: Arc<dyn Store>,
    /// Ends background tasks, open watches and log streams.
    pub shutdown: CancellationToken,
    /// The cluster CA's certificate (PEM), which pods get with their service account's token.
    pub ca_certificate: String,
    /// Signs service account tokens; must stay the same over restarts.
    pub token_key: TokenKey,
    /// The client certificate that kubelets ask for.
    pub kubelet_credentials: Option<Credentials>,
    /// Whether to make what every cluster has. Without it, starting writes nothing.
    pub bootstrap: bool,
}

impl Config {
    /// For a server without TLS of its own: no CA, a token key that dies with the process, no client certificate.
    pub fn new(store: Arc<dyn Store>) -> Self {
        Self {
            store,
            shutdown: CancellationToken::new(),
            ca_certificate: String::new(),
            token_key: TokenKey::random(),
            kubelet_credentials: None,
            bootstrap: true,
        }
    }

    /// For a server of the cluster whose certificates these are.
    ///
    /// # Errors
    /// Where a certificate cannot be made or kept.
    pub fn with_pki(store: Arc<dyn Store>, pki: &Pki, shutdown: CancellationToken) -> Result<Self, PkiError> {
        Ok(Self {
            store,
            shutdown,
            ca_certificate: pki.ca_certificate().to_owned(),
            token_key: pki.token_key(),
            kubelet_credentials: Some(pki.client(Subject::KUBELET_CLIENT)?),
            bootstrap: true,
        })
    }
}

/// A running API server, without a listener of its own.
#[derive(Clone)]
pub struct ApiServer {
    server: Arc<Server>,
}

impl ApiServer {
    /// Starts a server over a store and makes what every cluster has: namespaces with their service accounts, and
    /// priority classes.
    ///
    /// # Errors
    /// Where the store fails.
    pub async fn start(config: Config) -> Result<Self, ApiError> {
        let Config {
            store,
            shutdown,
            ca_certificate,
            token_key,
            kubelet_credentials,
            bootstrap,
        } = config;
        let kubelets =
            pki::kubelet_client(kubelet_credentials.as_ref()).map_err(|error| ApiError::Internal(error.to_string()))?;
        let server = Arc::new(Server {
            store,
            shutdown,
            ca_certificate,
            tokens: token_key,
            kubelets,
        });
        if bootstrap {
            match make_what_every_cluster_has(&server).await {
                Ok(()) => {}
                // A store that is away may come back: until then `/readyz` says why nothing works.
                Err(error @ ApiError::Unavailable(_)) => {
                    tracing::warn!(%error, "the store cannot be reached; trying again");
                    tokio::spawn(bootstrap_later(server.clone()));
                }
                Err(error) => return Err(error),
            }
            // Ends at shutdown; what it does is tidying, so nobody waits for it.
            tokio::spawn(event_expiry::run(server.clone()));
        }
        Ok(Self { server })
    }

    /// Everything that is served. A request's `User` extension says who asks; without one, a service account's bearer
    /// token does, or the request is refused.
    pub fn router(&self) -> Router {
        dispatch::router(self.server.clone())
    }

    /// As [`router`](Self::router), every request being made by that user: for components in the same process.
    pub fn router_as(&self, user: User) -> Router {
        self.router().layer(axum::Extension(user))
    }
}

async fn make_what_every_cluster_has(server: &Server) -> Result<(), ApiError> {
    priority::bootstrap(server).await?;
    namespaces::bootstrap(server).await
}

/// Tries again until the store is there.
async fn bootstrap_later(server: Arc<Server>) {
    loop {
        tokio::select! {
            () = server.shutdown.cancelled() => return,
            () = tokio::time::sleep(BOOTSTRAP_RETRY) => {}
        }
        match make_what_every_cluster_has(&server).await {
            Ok(()) => return,
            Err(error) => tracing::warn!(%error, "the cluster's first objects cannot be made yet"),
        }
    }
}
