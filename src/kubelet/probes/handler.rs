//! Carries out one probe or hook: a command, an HTTP request, a connection, a pause.

use std::time::Duration;

use k8s_openapi::api::core::v1::{Container, ExecAction, HTTPGetAction, LifecycleHandler, Probe, TCPSocketAction};
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use tokio::net::TcpStream;

use crate::kubelet::docker::{Engine, Executed};

/// The most of an answer that goes into a message.
const MAX_MESSAGE_BYTES: usize = 1024;

/// What is probed.
#[derive(Clone)]
pub struct Target<'a> {
    /// Docker.
    pub engine: &'a Engine,
    /// The container's Docker id.
    pub id: &'a str,
    /// Its spec, for named ports; absent where only the hook is known.
    pub spec: Option<&'a Container>,
    /// The pod's address.
    pub pod_ip: &'a str,
}

/// How a probe or hook went.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// Well.
    Success,
    /// Not well, and why.
    Failure(String),
}

/// Runs a probe once, within its own time.
pub async fn probe(target: &Target<'_>, probe: &Probe) -> Answer {
    let limit = Duration::from_secs(probe.timeout_seconds.unwrap_or(1).max(1).unsigned_abs().into());
    if let Some(action) = &probe.exec {
        return exec(target, action, limit).await;
    }
    if let Some(action) = &probe.http_get {
        return http_get(target, action, limit).await;
    }
    if let Some(action) = &probe.tcp_socket {
        return tcp(target, action, limit).await;
    }
    Answer::Failure("probes of this kind are not supported: use exec, httpGet or tcpSocket".into())
}

/// Runs a hook to its end, within that time.
pub async fn hook(target: &Target<'_>, handler: &LifecycleHandler, limit: Duration) -> Answer {
    if let Some(action) = &handler.exec {
        return exec(target, action, limit).await;
    }
    if let Some(action) = &handler.http_get {
        return http_get(target, action, limit).await;
    }
    if let Some(action) = &handler.sleep {
        let pause = Duration::from_secs(action.seconds.max(0).unsigned_abs());
        tokio::time::sleep(pause.min(limit)).await;
        return Answer::Success;
    }
    if let Some(action) = &handler.tcp_socket {
        return tcp(target, action, limit).await;
    }
    Answer::Failure("the hook names nothing to do".into())
}

async fn exec(target: &Target<'_>, action: &ExecAction, limit: Duration) -> Answer {
    let command = action.command.clone().unwrap_or_default();
    match target.engine.exec(target.id, command.clone(), limit).await {
        Ok(Executed::Exited { code: 0, .. }) => Answer::Success,
        Ok(Executed::Exited { code, output }) => {
            let output = shorten(output.trim_end());
            Answer::Failure(if output.is_empty() {
                format!("command {command:?} exited with {code}")
            } else {
                output
            })
        }
        Ok(Executed::TimedOut) => Answer::Failure(format!("command {command:?} timed out after {}s", limit.as_secs())),
        Err(error) => Answer::Failure(error.to_string()),
    }
}

async fn http_get(target: &Target<'_>, action: &HTTPGetAction, limit: Duration) -> Answer {
    let Some(port) = port(target, &action.port) else {
        return Answer::Failure(format!("the container has no port {:?}", action.port));
    };
    let scheme = action.scheme.as_deref().unwrap_or("HTTP").to_ascii_lowercase();
    let host = action
        .host
        .as_deref()
        .filter(|host| !host.is_empty())
        .unwrap_or(target.pod_ip);
    let path = action.path.as_deref().unwrap_or("/").trim_start_matches('/');
    let host = if host.contains(':') {
        format!("[{host}]")
    } else {
        host.to_owned()
    };
    let url = format!("{scheme}://{host}:{port}/{path}");
    let Some(client) = client() else {
        return Answer::Failure("no HTTP client could be made".into());
    };
    let mut request = client
        .get(&url)
        .timeout(limit)
        .header("user-agent", "kube-probe/reconcile")
        .header("accept", "*/*");
    for header in action.http_headers.iter().flatten() {
        request = request.header(&header.name, &header.value);
    }
    match request.send().await {
        Ok(response) if response.status().is_success() || response.status().is_redirection() => Answer::Success,
        Ok(response) => Answer::Failure(format!(
            "HTTP probe failed with statuscode: {}",
            response.status().as_u16()
        )),
        Err(error) => Answer::Failure(format!("Get {url:?}: {}", innermost(&error))),
    }
}

/// Probes follow no redirects to elsewhere, keep no connections, and trust any certificate, as in Kubernetes.
fn client() -> Option<reqwest::Client> {
    static CLIENT: std::sync::OnceLock<Option<reqwest::Client>> = std::sync::OnceLock::new();
    let build = || {
        let builder = reqwest::Client::builder()
            .redirect(reqwest::redirect::Policy::none())
            .pool_max_idle_per_host(0)
            .no_proxy()
            .danger_accept_invalid_certs(true);
        builder
            .build()
            .map_err(|error| tracing::warn!(%error, "no HTTP client for probes"))
            .ok()
    };
    CLIENT.get_or_init(build).clone()
}

async fn tcp(target: &Target<'_>, action: &TCPSocketAction, limit: Duration) -> Answer {
    let Some(port) = port(target, &action.port) else {
        return Answer::Failure(format!("the container has no port {:?}", action.port));
    };
    let host = action
        .host
        .as_deref()
        .filter(|host| !host.is_empty())
        .unwrap_or(target.pod_ip);
    match tokio::time::timeout(limit, TcpStream::connect((host, port))).await {
        Ok(Ok(_connected)) => Answer::Success,
        Ok(Err(error)) => Answer::Failure(format!("dial tcp {host}:{port}: {error}")),
        Err(_elapsed) => Answer::Failure(format!("dial tcp {host}:{port}: i/o timeout")),
    }
}

fn port(target: &Target<'_>, wanted: &IntOrString) -> Option<u16> {
    match wanted {
        IntOrString::Int(number) => u16::try_from(*number).ok(),
        IntOrString::String(name) => {
            let ports = target.spec.and_then(|spec| spec.ports.as_ref());
            let named = ports
                .into_iter()
                .flatten()
                .find(|port| port.name.as_ref() == Some(name));
            named
                .and_then(|port| u16::try_from(port.container_port).ok())
                .or_else(|| name.parse().ok())
        }
    }
}

fn innermost(error: &dyn std::error::Error) -> String {
    let mut current = error;
    while let Some(source) = current.source() {
        current = source;
    }
    current.to_string()
}

fn shorten(text: &str) -> String {
    let mut end = text.len().min(MAX_MESSAGE_BYTES);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    text[..end].to_owned()
}
