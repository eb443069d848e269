//! What stops a whole sync. Problems of single objects are [`super::Problem`]s, not errors.

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
    /// It was told to stop before it was done.
    #[error("stopped before the sync was complete")]
    Stopped,
}

impl Error {
    /// An answer of the API server, with the step it belongs to.
    pub(crate) fn api(step: impl Into<String>, error: kube::Error) -> Self {
        Self::Api {
            step: step.into(),
            reason: reason(&error),
            source: Box::new(error),
        }
    }
}

/// What the API server said, without the client's debug output around it.
pub(crate) fn reason(error: &kube::Error) -> String {
    match error {
        kube::Error::Api(status) if !status.message.is_empty() => status.message.clone(),
        kube::Error::Api(status) => format!("{} {}", status.code, status.reason),
        other => {
            let mut text = other.to_string();
            let mut cause = std::error::Error::source(other);
            while let Some(next) = cause {
                let next_text = next.to_string();
                if !text.contains(&next_text) {
                    text = format!("{text}: {next_text}");
                }
                cause = next.source();
            }
            text
        }
    }
}
