//! Reads containers' logs, both streams in one as Kubernetes serves them.

use bollard::query_parameters::LogsOptionsBuilder;
use bytes::Bytes;
use futures::{Stream, StreamExt, TryStreamExt};
use tokio::time::timeout;

use super::{DockerError, Engine, REQUEST_TIMEOUT};

/// Which part of a log to read.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LogQuery {
    /// Whether to go on until the container ends.
    pub follow: bool,
    /// Only this many lines at the end.
    pub tail_lines: Option<u64>,
    /// Only what was written since, in seconds of Unix time.
    pub since: Option<i32>,
    /// Whether each line begins with its time.
    pub timestamps: bool,
}

impl Engine {
    /// What the container wrote. Ends with the log, or with the container when following.
    pub fn logs(&self, id: &str, query: &LogQuery) -> impl Stream<Item = Result<Bytes, DockerError>> + Send + use<> {
        let tail = query
            .tail_lines
            .map_or_else(|| "all".to_owned(), |lines| lines.to_string());
        let mut options = LogsOptionsBuilder::new()
            .stdout(true)
            .stderr(true)
            .follow(query.follow)
            .timestamps(query.timestamps)
            .tail(&tail);
        if let Some(since) = query.since {
            options = options.since(since);
        }
        let stream = self.docker.logs(id, Some(options.build()));
        let stream = stream.map_ok(|output| output.into_bytes()).map_err(DockerError::from);
        if query.follow {
            return stream.boxed();
        }
        // What is there already comes at once, so that silence means that Docker is stuck.
        let bounded = futures::stream::unfold(Some(stream.boxed()), |stream| async move {
            let mut stream = stream?;
            match timeout(REQUEST_TIMEOUT, stream.next()).await {
                Ok(chunk) => Some((chunk?, Some(stream))),
                Err(_elapsed) => {
                    let what = format!("Docker sent nothing of a log for {} s", REQUEST_TIMEOUT.as_secs());
                    Some((Err(DockerError::Unavailable(what)), None))
                }
            }
        });
        bounded.boxed()
    }
}
