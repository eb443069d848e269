//! This node's kubelet: its name and configuration from the flags.

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Result, bail};
use k8s_openapi::api::core::v1::Node;
use kube::runtime::wait::await_condition;
use kube::{Api, Client};

use super::args::NodeArgs;
use super::data_dir::DataDir;
use crate::client::Told;
use crate::kubelet;
use crate::object::taint::NOT_READY;

/// A node registers and reports within some tens of milliseconds once Docker answers.
const READY: Duration = Duration::from_secs(1);

/// What people know this machine by.
pub fn host() -> String {
    hostname::get().map_or_else(|_| "localhost".to_owned(), |name| name.to_string_lossy().into_owned())
}

/// The node's name: the flag's, or the host name made into a valid object name.
pub fn name(args: &NodeArgs) -> Result<String> {
    let Some(name) = &args.node_name else {
        let host = hostname::get()?.to_string_lossy().to_lowercase();
        let name: String = host
            .chars()
            .map(|c| if c.is_ascii_alphanumeric() || c == '.' { c } else { '-' })
            .collect();
        let name = name.trim_matches(|c: char| !c.is_ascii_alphanumeric()).to_owned();
        if name.is_empty() {
            bail!("the host name {host:?} makes no node name; give one with --node-name");
        }
        return Ok(name);
    };
    let valid = !name.is_empty()
        && name.len() <= 253
        && name.split('.').all(|part| {
            !part.is_empty()
                && !part.starts_with('-')
                && !part.ends_with('-')
                && part
                    .bytes()
                    .all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-')
        });
    if !valid {
        bail!("--node-name {name:?} is no valid node name: use lower case letters, digits, '-' and '.'");
    }
    Ok(name.clone())
}

/// The kubelet's configuration. `client_ca` is the PEM of the authority whose clients may read logs.
pub fn config(args: &NodeArgs, data: &DataDir, bind: SocketAddr, client_ca: Option<String>) -> Result<kubelet::Config> {
    let mut config = kubelet::Config::new(name(args)?, data.path());
    config.docker_host.clone_from(&args.docker_host);
    config.pause_image.clone_from(&args.pause_image);
    config.bind = bind;
    // The API server reads logs at the node's address, so one that is listened on alone must be that.
    config.node_ip = Some(bind.ip()).filter(|address| !address.is_unspecified());
    config.client_ca = client_ca;
    Ok(config)
}

/// Waits until the node takes pods, or for as long as that usually takes: pods that come sooner are placed only when
/// they are tried again, and leave an event that says so. Without Docker the node is not ready, and all else goes on.
pub async fn ready(client: &Client, name: &str) {
    let nodes: Api<Node> = Api::all(client.clone());
    let ready = await_condition(nodes, name, |node: Option<&Node>| {
        let spec = node.and_then(|node| node.spec.as_ref());
        spec.is_some_and(|spec| !spec.taints.iter().flatten().any(|taint| taint.key == NOT_READY))
    });
    match tokio::time::timeout(READY, ready).await {
        Ok(Ok(_)) => {}
        Ok(Err(error)) => tracing::debug!(error = %Told(&error), "the node could not be watched"),
        Err(_) => tracing::debug!(node = name, "the node is not ready yet"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn named(name: &str) -> NodeArgs {
        NodeArgs {
            node_name: Some(name.into()),
            pause_image: None,
            docker_host: String::new(),
        }
    }

    #[test]
    fn node_names() {
        for (name_, valid) in [
            ("n1", true),
            ("a.b-c", true),
            ("", false),
            ("Upper", false),
            ("-a", false),
            ("a..b", false),
        ] {
            assert_eq!(name(&named(name_)).is_ok(), valid, "{name_:?}");
        }
    }
}
