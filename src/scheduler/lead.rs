//! Who places pods: this scheduler, or whichever of several is elected.

use kube::Client;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::configuration::{Configuration, Election};
use super::metrics::Metrics;
use super::run::{Error, place};
use super::state::State;
use crate::client::leader;

/// How the scheduler runs.
#[derive(Clone, Debug, Default)]
pub struct Config {
    /// Which pods it places and how.
    pub configuration: Configuration,
    /// Where the choice among equally good nodes starts; `None` for anywhere.
    pub seed: Option<u64>,
    /// What people know this machine by, where one of several schedulers is elected.
    pub host: String,
    /// What it does is measured here.
    pub metrics: Metrics,
}

/// Places pods until told to stop; where one of several schedulers is elected, whenever it is this one.
///
/// # Errors
/// Where the scheduler cannot go on; a failing API is waited for instead.
pub async fn run(client: Client, config: Config, shutdown: CancellationToken) -> Result<(), Error> {
    let Config {
        configuration,
        seed,
        host,
        metrics,
    } = config;
    let Configuration {
        profiles,
        backoff,
        election: Election { elects, terms },
    } = configuration;
    let state = || State::new(profiles.clone(), backoff, seed.unwrap_or_else(rand::random));
    if elects != Some(true) {
        return place(client, state(), metrics, None, shutdown).await;
    }
    let identity = format!("{host}_{}", Uuid::new_v4());
    leader::lead(client.clone(), terms, identity, shutdown.clone(), |term| {
        place(client.clone(), state(), metrics.clone(), Some(term), shutdown.clone())
    })
    .await
}
