//! `GET /containerLogs/{namespace}/{pod}/{container}`: what a container wrote.

use axum::body::Body;
use axum::extract::{Path, Query, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use futures::{Stream, StreamExt};
use jiff::Timestamp;
use k8s_openapi::api::core::v1::Pod;
use kube::ResourceExt;
use serde::Deserialize;

use super::{Shared, engine};
use crate::kubelet::docker::{DockerError, LogQuery};
use crate::kubelet::observed::{Container, Observed, State as ContainerState};
use crate::kubelet::{labels, pod};

/// The options of a pod's log, as Kubernetes names them.
#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct Options {
    follow: Option<String>,
    timestamps: Option<String>,
    previous: Option<String>,
    tail_lines: Option<u64>,
    since_seconds: Option<i64>,
    since_time: Option<String>,
    limit_bytes: Option<u64>,
}

/// Serves a log.
pub async fn container_logs(
    state: State<Shared>,
    Path((namespace, name, container)): Path<(String, String, String)>,
    Query(options): Query<Options>,
) -> Response {
    match open(state, &namespace, &name, &container, &options).await {
        Ok(response) => response,
        Err(refusal) => refusal.into_response(),
    }
}

type Refusal = (StatusCode, String);

async fn open(
    state: State<Shared>,
    namespace: &str,
    name: &str,
    container: &str,
    options: &Options,
) -> Result<Response, Refusal> {
    let pod = state.pods.find(namespace, name);
    let pod = pod.ok_or_else(|| (StatusCode::NOT_FOUND, format!("pod \"{namespace}/{name}\" not found\n")))?;
    if pod::container(&pod, container).is_none() {
        return Err((
            StatusCode::NOT_FOUND,
            format!("container {container:?} not found in pod {name:?}\n"),
        ));
    }
    let query = query(options, Timestamp::now())?;
    let engine = match engine(&state) {
        Ok(engine) => engine,
        Err(response) => return Ok(*response),
    };
    let uid = pod.uid().unwrap_or_default();
    let failed = |error: DockerError| (StatusCode::INTERNAL_SERVER_ERROR, format!("{error}\n"));
    let (observed, _) = engine
        .observe(&labels::node(&state.config), &uid)
        .await
        .map_err(failed)?;
    let id = choose(&pod, &observed, container, truth(options.previous.as_ref()))?
        .id
        .clone();
    let stream = engine
        .logs(&id, &query)
        .take_until(state.shutdown.clone().cancelled_owned())
        .boxed();
    let body = Body::from_stream(limited(stream, options.limit_bytes));
    Ok(([(header::CONTENT_TYPE, "text/plain")], body).into_response())
}

/// The container whose log is meant.
fn choose<'a>(pod: &Pod, observed: &'a Observed, name: &str, previous: bool) -> Result<&'a Container, Refusal> {
    let pod_name = pod.name_any();
    let mut found = observed.containers.iter().filter(|container| container.name == name);
    let newest = found.next();
    if previous {
        let earlier = newest.and_then(|newest| found.find(|container| container.attempt < newest.attempt));
        let message = format!("previous terminated container {name:?} in pod {pod_name:?} not found\n");
        return earlier.ok_or((StatusCode::BAD_REQUEST, message));
    }
    match newest {
        Some(container) if container.state != ContainerState::Created => Ok(container),
        _ => {
            let state = pod::published(pod, name).and_then(|status| status.state.as_ref());
            let reason = state
                .and_then(|state| state.waiting.as_ref())
                .and_then(|waiting| waiting.reason.clone());
            let reason = reason.unwrap_or_else(|| "ContainerCreating".into());
            let message = format!("container {name:?} in pod {pod_name:?} is waiting to start: {reason}\n");
            Err((StatusCode::BAD_REQUEST, message))
        }
    }
}

fn query(options: &Options, now: Timestamp) -> Result<LogQuery, Refusal> {
    let bad = |message: String| (StatusCode::BAD_REQUEST, message);
    let since = match (&options.since_time, options.since_seconds) {
        (Some(_), Some(_)) => return Err(bad("at most one of sinceTime and sinceSeconds may be given\n".into())),
        (Some(time), None) => {
            let time = time
                .parse::<Timestamp>()
                .map_err(|error| bad(format!("sinceTime: {error}\n")))?;
            Some(time.as_second())
        }
        (None, Some(seconds)) if seconds < 1 => return Err(bad("sinceSeconds must be greater than 0\n".into())),
        (None, Some(seconds)) => Some(now.as_second().saturating_sub(seconds)),
        (None, None) => None,
    };
    Ok(LogQuery {
        follow: truth(options.follow.as_ref()),
        tail_lines: options.tail_lines,
        since: since.map(|seconds| i32::try_from(seconds.max(0)).unwrap_or(i32::MAX)),
        timestamps: truth(options.timestamps.as_ref()),
    })
}

/// A flag without a value is set.
fn truth(flag: Option<&String>) -> bool {
    flag.is_some_and(|text| matches!(text.as_str(), "" | "1" | "t" | "T" | "true" | "True" | "TRUE"))
}

/// The stream's first bytes; ends with the last of them and not with what would come next, and after an error, for the
/// head is sent already.
fn limited(
    stream: impl Stream<Item = Result<Bytes, DockerError>> + Send + Unpin + 'static,
    limit: Option<u64>,
) -> impl Stream<Item = Result<Bytes, DockerError>> + Send + 'static {
    let left = limit.map_or(usize::MAX, |limit| usize::try_from(limit).unwrap_or(usize::MAX));
    futures::stream::unfold((stream, left), |(mut stream, left)| async move {
        if left == 0 {
            return None;
        }
        Some(match stream.next().await? {
            Ok(mut chunk) => {
                chunk.truncate(left);
                let left = left - chunk.len();
                (Ok(chunk), (stream, left))
            }
            Err(error) => (Err(error), (stream, 0)),
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kubelet::testing::{at, created, ended, observed, pod, running};

    #[test]
    fn chooses_the_newest_or_the_one_before() {
        let pod = pod("Always", &["c"]);
        let both = observed(vec![ended("c", 0, 1, at(1), at(2)), running("c", 1)]);
        assert_eq!(choose(&pod, &both, "c", false).expect("runs").attempt, 1);
        assert_eq!(choose(&pod, &both, "c", true).expect("ran").attempt, 0);
        let one = observed(vec![running("c", 0)]);
        let refusal = choose(&pod, &one, "c", true).expect_err("there is none before");
        assert!(
            refusal.1.contains("previous terminated container \"c\""),
            "{}",
            refusal.1
        );
        let refusal = choose(&pod, &observed(vec![created("c", 0)]), "c", false).expect_err("it does not run yet");
        assert!(
            refusal.1.contains("waiting to start: ContainerCreating"),
            "{}",
            refusal.1
        );
    }

    #[tokio::test]
    async fn a_limit_cuts_in_the_middle_of_a_chunk() {
        let chunks = ["ab", "cd", "ef"].map(|text| Ok(Bytes::from(text)));
        let limited = limited(futures::stream::iter(chunks), Some(3));
        let bytes = limited
            .map(|chunk| chunk.expect("no error"))
            .collect::<Vec<_>>()
            .await
            .concat();
        assert_eq!(bytes, b"abc");
    }

    #[tokio::test]
    async fn a_limit_that_is_reached_does_not_wait_for_more() {
        let chunks = futures::stream::iter([Ok(Bytes::from("ab"))]).chain(futures::stream::pending());
        let limited = limited(chunks, Some(2)).collect::<Vec<_>>();
        let chunks = tokio::time::timeout(std::time::Duration::from_secs(5), limited).await;
        assert_eq!(chunks.expect("it ends").len(), 1);
    }

    #[test]
    fn since_is_one_or_the_other() {
        let seconds = Options {
            since_seconds: Some(10),
            ..Options::default()
        };
        assert_eq!(query(&seconds, at(100)).expect("fine").since, Some(90));
        let time = Options {
            since_time: Some("1970-01-01T00:01:00Z".into()),
            ..Options::default()
        };
        assert_eq!(query(&time, at(100)).expect("fine").since, Some(60));
        let both = Options {
            since_seconds: Some(1),
            ..time
        };
        assert_eq!(query(&both, at(100)).expect_err("not both").0, StatusCode::BAD_REQUEST);
    }
}
