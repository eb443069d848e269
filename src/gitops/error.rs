//! What stops a whole sync. Problems of single objects are [`super::Problem`]s, not errors.

use super::record::Closed;
use crate::client::Told;

/// Why a sync could not be done.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The flags contradict each other or cannot be read.
    #[error("{0}")]
    Config(String),
    /// The source cannot be read.
    #[error("{0}")]
    Source(String),
    /// The API server does not answer or refuses us.
    #[error("{step}: {reason}")]
    Api {
        /// What was being done, e.g. `listing pods`.
        step: String,
        /// What the API server or the connection said.
        reason: String,
        /// The client's own error.
        #[source]
        source: Box<kube::Error>,
    },
    /// Nobody would see what is asked.
    #[error("nobody follows the source {0}; is its reconciler running?")]
    NotFollowed(String),
    /// People asked that it be left alone.
    #[error("the source {0} is suspended; `reconcile resume {0}` ends that")]
    Suspended(String),
    /// Its own configuration says that it be left alone.
    #[error("the source {0} is suspended by its spec; set spec.suspend of the Source to false to end that")]
    SuspendedBySpec(String),
    /// Its sync windows do not allow it now.
    #[error("the source {name} is not synced now: {closed}")]
    Closed {
        /// What people call it.
        name: String,
        /// Why, and until when.
        closed: Closed,
    },
    /// It is not as it was when a plan was made.
    #[error("the plan is not carried out: {0}")]
    Moved(String),
    /// What its configuration was read from is not as it was.
    #[error("{0} changed")]
    Outdated(String),
    /// It was told to stop before it was done.
    #[error("stopped before the sync was complete")]
    Stopped,
}

impl Error {
    /// An answer of the API server, with the step it belongs to.
    pub(crate) fn api(step: impl Into<String>, error: kube::Error) -> Self {
        Self::Api {
            step: step.into(),
            reason: Told(&error).to_string(),
            source: Box::new(error),
        }
    }
}
