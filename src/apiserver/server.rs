//! What every request handler shares: the store, the clock, the way to kubelets. Owns no rules.

use std::sync::Arc;

use jiff::Timestamp;
use tokio_util::sync::CancellationToken;

use super::tokens::TokenKey;
use crate::store::Store;

/// Shared by all requests.
pub struct Server {
    /// Where everything lies.
    pub store: Arc<dyn Store>,
    /// Ends open watches and log streams.
    pub shutdown: CancellationToken,
    /// The cluster CA's certificate (PEM), put into service account secrets.
    pub ca_certificate: String,
    /// Signs service account tokens.
    pub tokens: TokenKey,
    /// Reaches kubelets, with the API server's client certificate.
    pub kubelets: reqwest::Client,
}

/// Now, as objects write times: RFC 3339, whole seconds, UTC.
pub fn now() -> String {
    time_text(Timestamp::now())
}

/// A time as objects write it.
pub fn time_text(time: Timestamp) -> String {
    time.strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}
