//! Looks at Docker with the docker command, and removes what a test's node left there.

use std::process::Command;
use std::time::Duration;

use super::process;

/// The label that every container and sandbox of a kubelet carries, with the node's name.
pub const NODE_LABEL: &str = "dev.reconcile.node";

/// Longer than Docker ever takes here, so that a stuck daemon fails a test instead of hanging it.
const TIMEOUT: Duration = Duration::from_secs(120);

/// A container as `docker ps` shows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Container {
    pub id: String,
    pub running: bool,
    pub pod: String,
    pub uid: String,
    /// The container's name in its pod; `POD` or empty for the sandbox.
    pub name: String,
    /// `container` or `podsandbox`.
    pub kind: String,
}

/// Runs docker; panics where it fails.
#[track_caller]
pub fn docker(arguments: &[&str]) -> String {
    try_docker(arguments).ok()
}

/// Runs docker.
#[track_caller]
pub fn try_docker(arguments: &[&str]) -> process::Ended {
    let program = super::tools::installed("docker", "docker.io");
    process::run(Command::new(program).args(arguments), TIMEOUT)
}

/// The pods' containers of a node, ended ones too, without the sandboxes.
#[track_caller]
pub fn containers(node: &str) -> Vec<Container> {
    let mut all = with_sandboxes(node);
    all.retain(|container| container.kind == "container");
    all
}

/// The containers of a node that run, without the sandboxes.
#[track_caller]
pub fn running(node: &str) -> Vec<Container> {
    let mut all = containers(node);
    all.retain(|container| container.running);
    all
}

/// The containers and sandboxes of a node, ended ones too.
#[track_caller]
pub fn with_sandboxes(node: &str) -> Vec<Container> {
    let filter = format!("label={NODE_LABEL}={node}");
    let format = [
        "{{.ID}}",
        "{{.State}}",
        "{{.Label \"io.kubernetes.pod.name\"}}",
        "{{.Label \"io.kubernetes.pod.uid\"}}",
        "{{.Label \"io.kubernetes.container.name\"}}",
        "{{.Label \"io.kubernetes.docker.type\"}}",
    ]
    .join("\t");
    let lines = docker(&["ps", "-a", "--no-trunc", "--filter", &filter, "--format", &format]);
    lines.lines().map(container).collect()
}

fn container(line: &str) -> Container {
    let mut cells = line.split('\t').map(str::to_owned);
    let mut cell = || cells.next().unwrap_or_default();
    Container {
        id: cell(),
        running: cell() == "running",
        pod: cell(),
        uid: cell(),
        name: cell(),
        kind: cell(),
    }
}

/// Removes a node's containers and sandboxes when dropped.
pub struct NodeGuard {
    node: String,
}

impl NodeGuard {
    /// Guards that node's containers; the name must be one of [`super::unique`]'s.
    pub fn new(node: &str) -> NodeGuard {
        assert!(node.starts_with("test-"), "{node} is not a test's node");
        NodeGuard { node: node.to_owned() }
    }
}

impl Drop for NodeGuard {
    fn drop(&mut self) {
        let filter = format!("label={NODE_LABEL}={}", self.node);
        let found = try_docker(&["ps", "-aq", "--filter", &filter]);
        let ids: Vec<&str> = found.stdout.split_whitespace().collect();
        if ids.is_empty() {
            return;
        }
        let mut arguments = vec!["rm", "-f", "-v"];
        arguments.extend(ids);
        let removed = try_docker(&arguments);
        if removed.code != Some(0) {
            eprintln!("could not remove all containers of {}: {removed}", self.node);
        }
    }
}
