//! The cluster's certificates: a CA made on first start, what it signs, and the files they lie in. Never serves.

mod authority;
mod files;
mod identity;
mod kubeconfig;
mod tls;

use std::path::PathBuf;

pub use authority::{Pki, Subject};
pub use files::write_private;
pub use identity::peer_user;
pub use kubeconfig::kubeconfig;
pub use tls::{kubelet_client, server_config};

/// A certificate and its private key, both PEM.
#[derive(Clone)]
pub struct Credentials {
    /// The certificate.
    pub certificate: String,
    /// Its key.
    pub key: String,
}

/// What went wrong with certificates.
#[derive(Debug, thiserror::Error)]
pub enum PkiError {
    /// A file could not be read or written.
    #[error("{path}: {source}")]
    File {
        /// Which one.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// A file holds something else than it should.
    #[error("{path} is damaged: {reason}; remove it to have it made anew")]
    Damaged {
        /// Which one.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// A certificate could not be made.
    #[error("a certificate could not be made: {0}")]
    Make(#[from] rcgen::Error),
    /// TLS could not be set up.
    #[error("TLS could not be set up: {0}")]
    Tls(String),
}
