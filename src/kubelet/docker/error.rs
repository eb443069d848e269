//! Sorts Docker's refusals by what a caller can do about them.

use bollard::errors::Error;

/// Why Docker did not do what was asked.
#[derive(Clone, Debug, thiserror::Error, PartialEq, Eq)]
pub enum DockerError {
    /// There is no such container, image or volume.
    #[error("{0}")]
    NotFound(String),
    /// The name is taken, or the container is in a state that does not allow it.
    #[error("{0}")]
    Conflict(String),
    /// Docker or the container runtime refused.
    #[error("{0}")]
    Refused(String),
    /// Docker did not answer.
    #[error("Docker cannot be reached: {0}")]
    Unavailable(String),
}

impl DockerError {
    /// Takes "there is no such thing" for success.
    pub(super) fn ignoring_missing<T: Default>(result: Result<T, Error>) -> Result<T, Self> {
        match result.map_err(Self::from) {
            Err(Self::NotFound(_)) => Ok(T::default()),
            other => other,
        }
    }
}

impl From<Error> for DockerError {
    fn from(error: Error) -> Self {
        match error {
            Error::DockerResponseServerError { status_code, message } => match status_code {
                404 => Self::NotFound(message),
                409 => Self::Conflict(message),
                _ => Self::Refused(message),
            },
            Error::DockerStreamError { error } => Self::Refused(error),
            Error::DockerContainerWaitError { error, .. } => Self::Refused(error),
            Error::SocketNotFoundError(path) => Self::Unavailable(format!("there is no socket {path}")),
            Error::RequestTimeoutError => Self::Unavailable("it did not answer in time".into()),
            other => Self::Unavailable(causes(&other)),
        }
    }
}

/// The error and what caused it: hyper's own text says only that a connection failed.
fn causes(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let cause_text = cause.to_string();
        if !text.contains(&cause_text) {
            text = format!("{text}: {cause_text}");
        }
        source = cause.source();
    }
    text
}
