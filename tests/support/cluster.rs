//! The built binary as a cluster of a test's own: all in one process, or a process for each component.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use serde_json::Value;

use super::docker::{self, Container, NodeGuard};
use super::etcd::Etcd;
use super::kubectl::Kubectl;
use super::process::{self, Ended, Process};
use super::{eventually, images, tools, unique};

/// How long a start may take, on a machine that is compiling or running other tests meanwhile.
pub const START: Duration = Duration::from_secs(30);
/// How long a change may take until it shows.
pub const CHANGE: Duration = Duration::from_secs(60);
/// A stop takes at most 5 s by contract; the rest is for a loaded machine.
pub const STOP: Duration = Duration::from_secs(8);
/// For commands that end by themselves.
const COMMAND: Duration = Duration::from_secs(60);

/// Which store keeps the state.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Backend {
    Embedded,
    Etcd,
}

/// A data directory, a node name, perhaps an etcd, and the processes that run on them.
pub struct Cluster {
    // Dropped in this order: first what starts containers, then the containers, then what they lie on.
    processes: Vec<Process>,
    guards: Vec<NodeGuard>,
    nodes: Vec<String>,
    pub etcd: Option<Etcd>,
    pub node: String,
    /// Set for every command and process of this cluster.
    pub environment: Vec<(String, String)>,
    root: tempfile::TempDir,
}

impl Cluster {
    /// Nothing is started yet but an etcd where that is the store.
    #[track_caller]
    pub fn new(what: &str, backend: Backend) -> Cluster {
        images::ensure(images::BUSYBOX);
        images::ensure(images::BUSYBOX_2);
        let node = unique(what);
        Cluster {
            processes: Vec::new(),
            guards: vec![NodeGuard::new(&node)],
            nodes: vec![node.clone()],
            etcd: (backend == Backend::Etcd).then(Etcd::start),
            node,
            environment: Vec::new(),
            root: tempfile::tempdir().expect("a temporary directory"),
        }
    }

    /// A place for the test's own files.
    pub fn path(&self, name: &str) -> PathBuf {
        self.root.path().join(name)
    }

    /// `--data-dir`.
    pub fn data_dir(&self) -> PathBuf {
        self.path("data")
    }

    /// What the running cluster wrote for its clients.
    pub fn kubeconfig(&self) -> PathBuf {
        self.data_dir().join("kubeconfig")
    }

    fn reconcile(&self) -> Command {
        let mut command = tools::reconcile();
        command.envs(self.environment.iter().map(|(name, value)| (name, value)));
        command
    }

    /// `reconcile` with this cluster's data directory, node name, store and any free port, and then `arguments`.
    pub fn command(&self, arguments: &[&str]) -> Command {
        let mut command = self.reconcile();
        command.current_dir(self.root.path());
        command.arg("--data-dir").arg(self.data_dir());
        command.args(["--node-name", &self.node, "--listen", "127.0.0.1:0"]);
        if let Some(etcd) = &self.etcd {
            command.args(["--etcd", &etcd.url()]);
        }
        command.args(arguments);
        command
    }

    /// Runs such a command to its end.
    #[track_caller]
    pub fn run(&self, arguments: &[&str]) -> Ended {
        process::run(&mut self.command(arguments), COMMAND)
    }

    /// Starts everything in one process and waits until it serves.
    #[track_caller]
    pub fn start(&mut self, arguments: &[&str]) {
        let mut process = Process::start(&mut self.command(arguments));
        process.line_with("export KUBECONFIG=", START);
        self.processes.push(process);
        self.wait_ready();
    }

    /// Starts everything in one process and waits for nothing.
    #[track_caller]
    pub fn launch(&mut self, arguments: &[&str]) {
        let process = Process::start(&mut self.command(arguments));
        self.processes.push(process);
    }

    /// Starts a process for each component, and last the reconciler with `arguments`.
    #[track_caller]
    pub fn start_separately(&mut self, arguments: &[&str]) {
        self.start_apiserver();
        self.start_scheduler();
        let node = self.node.clone();
        self.start_kubelet(&node);
        self.start_reconciler(arguments);
    }

    /// `reconcile apiserver`.
    #[track_caller]
    pub fn start_apiserver(&mut self) {
        let mut command = self.reconcile();
        command.arg("apiserver").arg("--data-dir").arg(self.data_dir());
        command.args(["--listen", "127.0.0.1:0"]);
        if let Some(etcd) = &self.etcd {
            command.args(["--etcd", &etcd.url()]);
        }
        let mut process = Process::start(&mut command);
        process.line_with("export KUBECONFIG=", START);
        self.processes.push(process);
        self.wait_ready();
    }

    /// `reconcile scheduler`.
    #[track_caller]
    pub fn start_scheduler(&mut self) {
        let mut command = self.reconcile();
        command.arg("scheduler").arg("--kubeconfig").arg(self.kubeconfig());
        command.arg("--data-dir").arg(self.path("scheduler"));
        self.processes.push(Process::start(&mut command));
    }

    /// `reconcile kubelet` for a node of that name, whose containers go with this cluster.
    #[track_caller]
    pub fn start_kubelet(&mut self, node: &str) {
        if node != self.node {
            self.guards.push(NodeGuard::new(node));
            self.nodes.push(node.to_owned());
        }
        let mut command = self.reconcile();
        command.arg("kubelet").arg("--kubeconfig").arg(self.kubeconfig());
        command.arg("--data-dir").arg(self.path(&format!("kubelet-{node}")));
        command.args(["--node-name", node]);
        self.processes.push(Process::start(&mut command));
    }

    /// Only the reconciler, beside an API server that runs.
    #[track_caller]
    pub fn start_reconciler(&mut self, arguments: &[&str]) {
        let mut command = self.reconcile();
        command.current_dir(self.root.path());
        command.arg("--kubeconfig").arg(self.kubeconfig());
        command.arg("--data-dir").arg(self.path("reconciler"));
        command.args(arguments);
        self.processes.push(Process::start(&mut command));
    }

    /// The process started last: the reconciler, alone or with the rest.
    #[track_caller]
    pub fn reconciler(&mut self) -> &mut Process {
        self.processes.last_mut().expect("started")
    }

    /// Whether every process started still runs.
    pub fn all_running(&mut self) -> bool {
        self.processes.iter_mut().all(Process::is_running)
    }

    /// SIGTERM to every process, the last started first; each must end in time, with success.
    #[track_caller]
    pub fn stop(&mut self) {
        while let Some(process) = self.processes.pop() {
            let ended = process.terminate(STOP);
            assert_eq!(ended.code, Some(0), "{ended}");
        }
    }

    /// SIGTERM to the process started last.
    #[track_caller]
    pub fn stop_last(&mut self) {
        let ended = self.processes.pop().expect("started").terminate(STOP);
        assert_eq!(ended.code, Some(0), "{ended}");
    }

    /// SIGKILL to every process at once; returns what they had written.
    pub fn kill(&mut self) -> String {
        // All get the signal before any is waited for.
        for process in &self.processes {
            process.signal("KILL");
        }
        let ended = self.processes.drain(..).map(|process| process.kill().all());
        ended.collect()
    }

    /// `reconcile down` for this node.
    #[track_caller]
    pub fn down(&self) -> Ended {
        let mut command = self.reconcile();
        command.arg("down").arg("--data-dir").arg(self.data_dir());
        process::run(command.args(["--node-name", &self.node]), COMMAND)
    }

    /// Debian's kubectl for this cluster.
    #[track_caller]
    pub fn kubectl(&self) -> Kubectl {
        Kubectl::debian(&self.kubeconfig())
    }

    /// Every kubectl at hand for this cluster.
    #[track_caller]
    pub fn kubectls(&self) -> Vec<Kubectl> {
        Kubectl::available(&self.kubeconfig())
    }

    /// Waits until `/readyz` says ok.
    #[track_caller]
    pub fn wait_ready(&self) {
        eventually("/readyz says ok", START, || {
            let answer = self.kubectl().run(&["get", "--raw", "/readyz"]);
            answer.stdout.starts_with("ok").then_some(()).ok_or(answer.to_string())
        });
    }

    /// The pod of the default namespace as it is now.
    #[track_caller]
    pub fn pod(&self, name: &str) -> Result<PodView, String> {
        self.kubectl().json(&["pod", name]).map(PodView)
    }

    /// Waits until the pod runs and is ready, and `also` holds.
    #[track_caller]
    pub fn running_pod(&self, name: &str, also: impl Fn(&PodView) -> Result<(), String>) -> PodView {
        eventually(&format!("pod {name} is running"), CHANGE, || {
            let pod = self.pod(name)?;
            if pod.phase() != "Running" || !pod.ready() {
                return Err(pod.0.to_string());
            }
            also(&pod)?;
            Ok(pod)
        })
    }

    /// The pods' containers of every node, ended ones too, without the sandboxes.
    #[track_caller]
    pub fn containers(&self) -> Vec<Container> {
        self.nodes.iter().flat_map(|node| docker::containers(node)).collect()
    }

    /// Waits until the pod is gone from the API and Docker runs nothing of it.
    #[track_caller]
    pub fn no_pod(&self, name: &str) {
        eventually(&format!("pod {name} is gone"), CHANGE, || match self.pod(name) {
            Err(error) if error.contains("NotFound") => Ok(()),
            Err(error) => Err(error),
            Ok(pod) => Err(pod.0.to_string()),
        });
        eventually(&format!("containers of {name} are gone"), CHANGE, || {
            let mut left = Vec::new();
            for node in &self.nodes {
                left.extend(docker::with_sandboxes(node));
            }
            left.retain(|container| container.pod == name && container.running);
            left.is_empty().then_some(()).ok_or(format!("{left:?}"))
        });
    }

    /// The resourceVersion of a list of everything one kind has: the store's revision, that no reading changes.
    #[track_caller]
    pub fn revision(&self, plural: &str) -> String {
        let list = self.kubectl().ok(&["get", "--raw", &format!("/api/v1/{plural}")]);
        let list: Value = serde_json::from_str(&list).expect("a list is JSON");
        list["metadata"]["resourceVersion"]
            .as_str()
            .expect("a list has a resourceVersion")
            .to_owned()
    }
}

/// A pod as the API shows it, with what tests ask of it.
#[derive(Clone, Debug)]
pub struct PodView(pub Value);

impl PodView {
    pub fn uid(&self) -> String {
        self.text("/metadata/uid")
    }

    pub fn phase(&self) -> String {
        self.text("/status/phase")
    }

    pub fn label(&self, name: &str) -> String {
        self.text(&format!("/metadata/labels/{name}"))
    }

    /// The first container's id at its runtime.
    pub fn container_id(&self) -> String {
        self.text("/status/containerStatuses/0/containerID")
    }

    /// The first container's image as the spec names it.
    pub fn image(&self) -> String {
        self.text("/spec/containers/0/image")
    }

    /// How often the first container was restarted.
    pub fn restarts(&self) -> i64 {
        self.0
            .pointer("/status/containerStatuses/0/restartCount")
            .and_then(Value::as_i64)
            .unwrap_or(0)
    }

    pub fn ready(&self) -> bool {
        let conditions = self.0.pointer("/status/conditions").and_then(Value::as_array);
        conditions.is_some_and(|all| all.iter().any(|one| one["type"] == "Ready" && one["status"] == "True"))
    }

    fn text(&self, pointer: &str) -> String {
        self.0
            .pointer(pointer)
            .and_then(Value::as_str)
            .unwrap_or_default()
            .to_owned()
    }
}

/// The path as an argument.
pub fn text(path: &Path) -> &str {
    path.to_str().expect("a textual path")
}
