//! A node of a cluster of its own: store, API server and kubelet, with a name no other test has.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use k8s_openapi::api::core::v1::{Event, Pod};
use kube::api::{DeleteParams, ListParams, PostParams};
use kube::{Api, Client};
use reconcile::apiserver::{self, ApiServer, User};
use reconcile::kubelet::{self, Config};
use reconcile::store::Embedded;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::support::docker::NodeGuard;
use crate::support::{images, unique};

/// Longer than anything here takes on a busy machine.
pub const PATIENCE: Duration = Duration::from_secs(60);

const POLL: Duration = Duration::from_millis(20);

/// A cluster of one node.
pub struct Cluster {
    pub client: Client,
    pub config: Config,
    kubelet: Option<(CancellationToken, JoinHandle<Result<(), kubelet::Error>>)>,
    // Dropped in this order: containers go before the directories they mount.
    _containers: NodeGuard,
    _dir: TempDir,
}

impl Cluster {
    /// An API server and a running kubelet.
    pub async fn start() -> Self {
        let mut cluster = Self::without_kubelet().await;
        cluster.start_kubelet();
        cluster
    }

    /// An API server, and a kubelet yet to be started.
    pub async fn without_kubelet() -> Self {
        images::ensure(images::BUSYBOX);
        // Another test of this process may have been first.
        drop(rustls::crypto::ring::default_provider().install_default());
        let dir = tempfile::tempdir().expect("a directory");
        let store = Embedded::open(&dir.path().join("store")).expect("a store");
        let server = ApiServer::start(apiserver::Config::new(Arc::new(store)))
            .await
            .expect("an API server");
        let client = Client::new(server.router_as(User::admin("test")), "default");
        let node = unique("kubelet");
        let config = Config {
            bind: "127.0.0.1:0".parse().expect("an address"),
            node_ip: Some("127.0.0.1".parse().expect("an address")),
            cluster: node.clone(),
            ..Config::new(node.clone(), dir.path().join("kubelet"))
        };
        Self {
            client,
            kubelet: None,
            _containers: NodeGuard::new(&node),
            config,
            _dir: dir,
        }
    }

    pub fn start_kubelet(&mut self) {
        let shutdown = CancellationToken::new();
        let running = kubelet::run(self.client.clone(), self.config.clone(), shutdown.clone());
        self.kubelet = Some((shutdown, tokio::spawn(running)));
    }

    pub async fn stop_kubelet(&mut self) {
        let (shutdown, running) = self.kubelet.take().expect("it runs");
        shutdown.cancel();
        let ended = tokio::time::timeout(Duration::from_secs(5), running)
            .await
            .expect("it stops within 5 s");
        ended.expect("no panic").expect("no error");
    }

    /// As SIGKILL would: whatever it was doing stops where it is.
    pub async fn kill_kubelet(&mut self) {
        let (_, running) = self.kubelet.take().expect("it runs");
        running.abort();
        assert!(running.await.is_err_and(|error| error.is_cancelled()));
    }

    pub fn node(&self) -> &str {
        &self.config.node_name
    }

    pub fn pods(&self) -> Api<Pod> {
        Api::default_namespaced(self.client.clone())
    }

    /// Creates a pod on this node; `spec` is the pod's spec.
    pub async fn create(&self, name: &str, spec: Value) -> Pod {
        let mut spec = spec;
        spec["nodeName"] = json!(self.node());
        let pod = json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name}, "spec": spec});
        let pod = serde_json::from_value(pod).expect("a pod");
        self.pods().create(&PostParams::default(), &pod).await.expect("created")
    }

    pub async fn delete(&self, name: &str, grace_seconds: u32) {
        let parameters = DeleteParams::default().grace_period(grace_seconds);
        self.pods().delete(name, &parameters).await.expect("deleted");
    }

    pub async fn get(&self, name: &str) -> Pod {
        self.pods().get(name).await.expect("the pod")
    }

    /// Waits until the pod looks like that.
    pub async fn until(&self, name: &str, what: &str, condition: impl Fn(&Pod) -> bool) -> Pod {
        let begun = Instant::now();
        loop {
            let pod = self.get(name).await;
            if condition(&pod) {
                return pod;
            }
            assert!(
                begun.elapsed() < PATIENCE,
                "not within {PATIENCE:?}: {what}; last seen: {:#?}\n{:#?}",
                pod.status,
                self.events(name).await
            );
            tokio::time::sleep(POLL).await;
        }
    }

    pub async fn until_ready(&self, name: &str) -> Pod {
        self.until(name, "the pod is ready", is_ready).await
    }

    /// Waits until the pod is gone from the API.
    pub async fn until_gone(&self, name: &str) {
        let begun = Instant::now();
        while self.pods().get_opt(name).await.expect("an answer").is_some() {
            assert!(begun.elapsed() < PATIENCE, "pod {name} is still there");
            tokio::time::sleep(POLL).await;
        }
    }

    /// The pod's events, as `reason: message`.
    pub async fn events(&self, name: &str) -> Vec<String> {
        let api = Api::<Event>::default_namespaced(self.client.clone());
        let listed = api.list(&ListParams::default()).await.expect("events");
        let about = listed
            .items
            .into_iter()
            .filter(|event| event.involved_object.name.as_deref() == Some(name));
        about
            .map(|event| {
                format!(
                    "{}: {}",
                    event.reason.unwrap_or_default(),
                    event.message.unwrap_or_default()
                )
            })
            .collect()
    }

    /// Waits for an event that begins like that.
    pub async fn until_event(&self, name: &str, beginning: &str) {
        let begun = Instant::now();
        loop {
            let events = self.events(name).await;
            if events.iter().any(|event| event.starts_with(beginning)) {
                return;
            }
            assert!(begun.elapsed() < PATIENCE, "no event {beginning:?} among {events:#?}");
            tokio::time::sleep(POLL).await;
        }
    }

    pub fn pod_dir(&self, pod: &Pod) -> std::path::PathBuf {
        let data_dir = Path::new(&self.config.data_dir).canonicalize().expect("it exists");
        data_dir.join("pods").join(pod.metadata.uid.as_ref().expect("a uid"))
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        if let Some((shutdown, running)) = self.kubelet.take() {
            shutdown.cancel();
            running.abort();
        }
    }
}

pub fn condition(pod: &Pod, kind: &str) -> Option<String> {
    let conditions = pod.status.as_ref()?.conditions.as_ref()?;
    Some(
        conditions
            .iter()
            .find(|condition| condition.type_ == kind)?
            .status
            .clone(),
    )
}

pub fn is_ready(pod: &Pod) -> bool {
    condition(pod, "Ready").as_deref() == Some("True")
}

pub fn phase(pod: &Pod) -> &str {
    pod.status
        .as_ref()
        .and_then(|status| status.phase.as_deref())
        .unwrap_or_default()
}

/// The status of the pod's container at that place, as JSON.
pub fn container(pod: &Pod, index: usize) -> Value {
    let status = serde_json::to_value(pod.status.as_ref().expect("a status")).expect("JSON");
    status["containerStatuses"][index].clone()
}

/// A container that runs this shell command.
pub fn shell(name: &str, script: &str) -> Value {
    json!({"name": name, "image": images::BUSYBOX, "command": ["sh", "-c", script]})
}

/// A container that runs until it is told to stop.
pub fn idle(name: &str) -> Value {
    shell(name, "trap 'exit 0' TERM; echo ready; while true; do sleep 0.1; done")
}

impl Cluster {
    /// Waits until nothing of the pod is left on the host.
    pub async fn until_files_gone(&self, pod: &Pod) {
        let (directory, begun) = (self.pod_dir(pod), Instant::now());
        while directory.exists() {
            assert!(begun.elapsed() < PATIENCE, "{} is still there", directory.display());
            tokio::time::sleep(POLL).await;
        }
    }
}
