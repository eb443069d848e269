//! `pods/log`: passes a container's log on from the kubelet of the pod's node, as it comes. Never talks to Docker.

use std::net::IpAddr;

use axum::body::Body;
use axum::response::Response;
use futures::StreamExt;
use http::{HeaderValue, StatusCode, header};
use serde_json::Value;

use super::error::ApiError;
use super::negotiate::accepted;
use super::registry::{self, text};
use super::verbs::Call;
use crate::object::Kind;

/// Parameters that the kubelet understands.
const PASSED_ON: [&str; 7] = [
    "follow",
    "tailLines",
    "sinceSeconds",
    "sinceTime",
    "timestamps",
    "previous",
    "limitBytes",
];
/// As much of a kubelet's refusal as is told.
const REFUSAL_BYTES_MAX: usize = 4096;

/// Streams a container's log.
///
/// # Errors
/// 400 where it is not clear which log, or the pod has no node yet; else what the kubelet says.
pub async fn logs(call: &Call<'_>) -> Result<Response, ApiError> {
    if !accepted(call.headers)
        .iter()
        .any(|clause| clause.takes_json() || clause.media.starts_with("text/"))
    {
        return Err(ApiError::NotAcceptable);
    }
    let (kind, name) = (call.target.kind, call.name()?);
    let namespace = call.target.namespace.ok_or(ApiError::NoSuchPath)?;
    check_parameters(call)?;
    let pod = registry::read(call.server, kind, Some(namespace), name).await?.object;
    let container = choose_container(&pod, name, call.query.get("container"))?;
    let node = text(&pod, "/spec/nodeName");
    if node.is_empty() {
        return Err(ApiError::BadRequest(format!(
            "pod {name} does not have a host assigned"
        )));
    }
    let url = kubelet_url(call, node, namespace, name, container).await?;
    let sent = call.server.kubelets.get(url).send();
    let answer = tokio::select! {
        () = call.server.shutdown.cancelled() => return Err(ApiError::Unavailable("the server is shutting down".to_owned())),
        answer = sent => answer.map_err(|error| unreachable_kubelet(node, &error))?,
    };
    if !answer.status().is_success() {
        return Err(refused(call, name, answer).await);
    }
    let until_shutdown = call.server.shutdown.clone().cancelled_owned();
    let mut response = Response::new(Body::from_stream(answer.bytes_stream().take_until(until_shutdown)));
    response
        .headers_mut()
        .insert(header::CONTENT_TYPE, HeaderValue::from_static("text/plain"));
    Ok(response)
}

/// Refuses parameters that a kubelet could only misunderstand.
fn check_parameters(call: &Call<'_>) -> Result<(), ApiError> {
    for (name, least) in [("tailLines", 0), ("sinceSeconds", 1), ("limitBytes", 1)] {
        if call.query.number::<i64>(name)?.is_some_and(|number| number < least) {
            return Err(ApiError::BadRequest(format!(
                "{name}: Invalid value: must be greater than or equal to {least}"
            )));
        }
    }
    if call.query.get("sinceSeconds").is_some() && call.query.get("sinceTime").is_some() {
        return Err(ApiError::BadRequest(
            "at most one of `sinceTime` or `sinceSeconds` may be specified".to_owned(),
        ));
    }
    Ok(())
}

/// The container whose log is meant.
fn choose_container<'p>(pod: &'p Value, name: &str, asked: Option<&'p str>) -> Result<&'p str, ApiError> {
    let names = |list: &str| -> Vec<&'p str> {
        let containers = pod.pointer(list).and_then(Value::as_array);
        containers
            .into_iter()
            .flatten()
            .filter_map(|container| container["name"].as_str())
            .collect()
    };
    let (ordinary, init) = (names("/spec/containers"), names("/spec/initContainers"));
    let refuse = |reason: String| Err(ApiError::BadRequest(reason));
    match (asked, ordinary.as_slice()) {
        (Some(asked), _) if ordinary.contains(&asked) || init.contains(&asked) => Ok(asked),
        (Some(asked), _) => refuse(format!("container {asked} is not valid for pod {name}")),
        (None, [only]) => Ok(only),
        (None, []) => refuse(format!("a container name must be specified for pod {name}")),
        (None, several) => {
            let init = if init.is_empty() {
                String::new()
            } else {
                format!(" or one of the init containers: [{}]", init.join(" "))
            };
            refuse(format!(
                "a container name must be specified for pod {name}, choose one of: [{}]{init}",
                several.join(" ")
            ))
        }
    }
}

/// Where the node's kubelet serves that log.
async fn kubelet_url(
    call: &Call<'_>,
    node: &str,
    namespace: &str,
    pod: &str,
    container: &str,
) -> Result<reqwest::Url, ApiError> {
    let nodes = Kind::find("", "v1", "nodes").ok_or_else(|| ApiError::Internal("nodes are not served".to_owned()))?;
    let object = registry::read(call.server, nodes, None, node).await?.object;
    let (host, port) = kubelet_address(&object)
        .ok_or_else(|| ApiError::Unavailable(format!("node {node} has not published where its kubelet serves logs")))?;
    let host = match host.parse::<IpAddr>() {
        Ok(IpAddr::V6(address)) => format!("[{address}]"),
        _ => host.to_owned(),
    };
    let mut url = reqwest::Url::parse(&format!("https://{host}:{port}/containerLogs"))
        .map_err(|error| ApiError::Unavailable(format!("node {node} has published a wrong address: {error}")))?;
    url.path_segments_mut()
        .map_err(|()| ApiError::Internal("a kubelet's address has no path".to_owned()))?
        .extend([namespace, pod, container]);
    let passed = PASSED_ON
        .into_iter()
        .filter_map(|name| Some((name, call.query.get(name)?)));
    let mut pairs = url.query_pairs_mut();
    pairs.extend_pairs(passed);
    drop(pairs);
    Ok(url)
}

/// A node's address and kubelet port.
fn kubelet_address(node: &Value) -> Option<(&str, u16)> {
    let port = node.pointer("/status/daemonEndpoints/kubeletEndpoint/Port")?.as_u64()?;
    let addresses = node.pointer("/status/addresses")?.as_array()?;
    let of_type = |wanted: &str| addresses.iter().find(|address| address["type"] == wanted)?["address"].as_str();
    let address = of_type("InternalIP").or_else(|| of_type("Hostname"))?;
    u16::try_from(port)
        .ok()
        .filter(|port| *port > 0)
        .map(|port| (address, port))
}

fn unreachable_kubelet(node: &str, error: &reqwest::Error) -> ApiError {
    let mut text = error.to_string();
    let mut source = std::error::Error::source(error);
    while let Some(cause) = source {
        text = format!("{text}: {cause}");
        source = cause.source();
    }
    ApiError::Unavailable(format!("the kubelet of node {node} cannot be reached: {text}"))
}

/// What the client is told where the kubelet refuses.
async fn refused(call: &Call<'_>, pod: &str, answer: reqwest::Response) -> ApiError {
    let status = answer.status();
    let mut text = Vec::new();
    let mut chunks = answer.bytes_stream();
    while let Some(Ok(chunk)) = chunks.next().await {
        text.extend_from_slice(&chunk);
        if text.len() >= REFUSAL_BYTES_MAX {
            break;
        }
    }
    text.truncate(REFUSAL_BYTES_MAX);
    let text = String::from_utf8_lossy(&text).trim().to_owned();
    match StatusCode::from_u16(status.as_u16()) {
        Ok(StatusCode::BAD_REQUEST) => ApiError::BadRequest(text),
        Ok(StatusCode::NOT_FOUND) if text.is_empty() => ApiError::not_found(call.target.kind, pod),
        Ok(StatusCode::NOT_FOUND) => ApiError::UpstreamNotFound(text),
        _ => ApiError::Internal(format!("the kubelet answered {status}: {text}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_container_is_chosen_or_asked_for() {
        let pod = |names: &[&str]| {
            let list: Vec<_> = names.iter().map(|name| json!({"name": name})).collect();
            json!({"spec": {"containers": list, "initContainers": [{"name": "setup"}]}})
        };
        assert_eq!(choose_container(&pod(&["a"]), "p", None).expect("the only one"), "a");
        assert_eq!(choose_container(&pod(&["a", "b"]), "p", Some("b")).expect("named"), "b");
        assert_eq!(
            choose_container(&pod(&["a", "b"]), "p", Some("setup")).expect("an init container"),
            "setup"
        );
        let text = choose_container(&pod(&["a", "b"]), "p", None)
            .expect_err("several")
            .to_string();
        assert_eq!(
            text,
            "a container name must be specified for pod p, choose one of: [a b] or one of the init containers: [setup]"
        );
        let text = choose_container(&pod(&["a"]), "p", Some("x"))
            .expect_err("unknown")
            .to_string();
        assert_eq!(text, "container x is not valid for pod p");
    }

    #[test]
    fn a_kubelets_address() {
        let node = |port: u64| {
            json!({"status": {
                "addresses": [{"type": "Hostname", "address": "h"}, {"type": "InternalIP", "address": "10.0.0.1"}],
                "daemonEndpoints": {"kubeletEndpoint": {"Port": port}},
            }})
        };
        assert_eq!(kubelet_address(&node(10250)), Some(("10.0.0.1", 10250)));
        assert_eq!(kubelet_address(&node(0)), None);
        assert_eq!(kubelet_address(&node(70000)), None);
        assert_eq!(kubelet_address(&json!({})), None);
    }
}
