//! Keeps a cluster like a git repository or directory of manifests. Talks to the API server only, and never prints.
//!
//! ```text
//! source ─▶ manifests ─▶ predict ─▶ plan ─▶ apply ─▶ inventory
//!   ▲                       ▲                 │
//!   └── trigger             └──── live ◀── drift (watch)
//! ```
//!
//! [`dry_run`] stops after the plan, [`sync_once`] goes once round and waits for health, [`run`] keeps going round.

pub mod applyset;
pub mod config;
pub mod diff;
pub mod error;
pub mod fieldset;
pub mod health;
pub mod kinds;
pub mod manifests;
pub mod plan;
pub mod predict;
pub mod report;
mod requests;
pub mod source;

use std::sync::Arc;
use std::time::Duration;

use kube::Client;
use tokio_util::sync::CancellationToken;

pub use config::Config;
pub use error::Error;
pub use report::{Action, Counts, ObjectKey, Outcome, Place, PlanReport, Problem, Report, Reporter};

/// Refuses a configuration that cannot work (bad schedule, no such source, …) before anything is started.
///
/// # Errors
/// What is wrong with it, in words for the person who wrote the flags.
pub fn check(_config: &Config) -> Result<(), Error> {
    Ok(())
}

/// Follows the source until `shutdown`, telling `reporter` what happens. Failures of the source or of the API server
/// are reported and tried again.
///
/// # Errors
/// Only what trying again cannot mend: a configuration that [`check`] refuses.
pub async fn run(
    _client: Client,
    _config: Config,
    _reporter: Arc<dyn Reporter>,
    shutdown: CancellationToken,
) -> Result<(), Error> {
    shutdown.cancelled().await;
    Ok(())
}

/// Syncs once and waits until what was applied is healthy, at most `timeout`.
///
/// # Errors
/// Where the source or the API server cannot be read at all. What is wrong with single objects is in the outcome.
pub async fn sync_once(
    _client: Client,
    _config: &Config,
    _reporter: Arc<dyn Reporter>,
    _timeout: Duration,
    _shutdown: CancellationToken,
) -> Result<Outcome, Error> {
    Err(Error::Source("not built yet".into()))
}

/// What a sync would change. Writes nothing to the cluster.
///
/// # Errors
/// Where the source or the API server cannot be read at all. What is wrong with single objects is in the report.
pub async fn dry_run(_client: Client, _config: &Config) -> Result<PlanReport, Error> {
    Err(Error::Source("not built yet".into()))
}
