//! Keeps a cluster like a git repository or directory of manifests. Talks to the API server only, and never prints.
//!
//! ```text
//! source ─▶ manifests ─▶ predict ─▶ plan ─▶ apply ─▶ inventory
//!   ▲                       ▲                 │
//!   └── trigger             └──── live ◀── drift (watch)
//! ```
//!
//! `rollback` keeps what is applied apart from what the source is at, where a revision does not become healthy.
//! [`trust`] decides which revisions a source lets through, and [`webhook`] is one of the triggers; [`telling`]
//! tells others what becomes of sources. Sources know of each other by their records, and within a process by what they
//! say ([`Neighbours`]): what moves from one to another is not deleted. One process follows a source at a time
//! ([`Presence`]).
//! [`dry_run`] stops after the plan, [`sync_once`] goes once round and waits for health, [`run`] keeps going round, and
//! [`manager`] does so for every `Source` object. What became of a source, and what people ask of it through [`manage`],
//! lies beside its inventory in the cluster ([`record`]).

mod access;
mod agreed;
mod apply;
mod applyset;
mod budget;
mod ceded;
mod config;
mod diff;
mod drift;
mod error;
mod fail_point;
mod fieldset;
mod fight;
mod health;
mod inputs;
mod inventory;
mod kinds;
mod lease;
pub mod manage;
pub mod manager;
mod manifests;
mod neighbours;
pub mod observed;
mod on_drift;
mod once;
mod order;
mod pattern;
mod plan;
mod predict;
mod quiet;
pub mod record;
mod renew;
pub mod report;
mod requests;
mod rollback;
mod run;
mod schedule;
mod source;
mod sync;
pub mod telling;
pub mod trust;
mod wave;
pub mod webhook;
mod window;

use std::sync::Arc;
use std::time::Duration;

use kube::Client;
use tokio_util::sync::CancellationToken;

pub use access::Access;
pub use agreed::Agreed;
pub use budget::Budget;
pub use config::Config;
pub use error::Error;
pub use inputs::{Held, Inputs};
pub use lease::{FollowedBy, Presence};
pub use neighbours::{Membership, Neighbours, introduce};
pub use on_drift::{Drifted, OnDrift};
pub use report::{Action, Counts, ObjectKey, Outcome, Place, PlanReport, Problem, Report, Reporter};
pub use window::Window;

/// Refuses a configuration that cannot work (bad schedule, no such source, …) before anything is started.
///
/// # Errors
/// What is wrong with it, in words for the person who wrote the flags.
pub fn check(config: &Config) -> Result<(), Error> {
    if config.interval.is_zero() {
        return Err(Error::Config("--interval must be longer than nothing".into()));
    }
    schedule::Schedules::parse(&config.schedules)?;
    source::Source::open(config)?;
    if let Some(file) = &config.webhook_secret {
        webhook::Secret::read(file)?;
        if !config.schedules.is_empty() {
            let reason = "webhooks tell of news at once, and --schedule looks for it at its times only; choose one";
            return Err(Error::Config(reason.into()));
        }
    }
    Ok(())
}

/// Follows the source until `shutdown`, telling `reporter` what happens. Failures of the source or of the API server
/// are reported and tried again.
///
/// # Errors
/// Only what trying again cannot mend: a configuration that [`check`] refuses.
pub async fn run(
    client: Client,
    config: Config,
    reporter: Arc<dyn Reporter>,
    shutdown: CancellationToken,
) -> Result<(), Error> {
    check(&config)?;
    renew::run(client, config, reporter, shutdown).await
}

/// Syncs once and waits until what was applied is healthy, at most `timeout`.
///
/// # Errors
/// Where the source or the API server cannot be read at all. What is wrong with single objects is in the outcome.
pub async fn sync_once(
    client: Client,
    config: &Config,
    reporter: Arc<dyn Reporter>,
    timeout: Duration,
    shutdown: CancellationToken,
) -> Result<Outcome, Error> {
    check(config)?;
    once::sync(client, config, None, reporter.as_ref(), timeout, &shutdown).await
}

/// Carries out a plan that was written down, if a sync would still do exactly that; as [`sync_once`] otherwise.
///
/// # Errors
/// As for [`sync_once`]; and where the source or an object that the plan touches changed since, or another would be
/// touched: then nothing is written.
pub async fn apply_plan(
    client: Client,
    config: &Config,
    plan: &Agreed,
    reporter: Arc<dyn Reporter>,
    timeout: Duration,
    shutdown: CancellationToken,
) -> Result<Outcome, Error> {
    check(config)?;
    once::sync(client, config, Some(plan), reporter.as_ref(), timeout, &shutdown).await
}

/// What a sync would change. Writes nothing to the cluster.
///
/// # Errors
/// Where the source or the API server cannot be read at all. What is wrong with single objects is in the report.
pub async fn dry_run(client: Client, config: &Config) -> Result<PlanReport, Error> {
    check(config)?;
    once::dry_run(client, config).await
}
