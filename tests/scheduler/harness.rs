//! An API server in this process, with the scheduler or the controllers beside it, and objects to feed them.

use std::collections::BTreeMap;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use k8s_openapi::api::core::v1::{Event, Node, Pod};
use kube::api::{DeleteParams, ListParams, Patch, PatchParams, PostParams};
use kube::{Api, Client};
use reconcile::apiserver::{ApiServer, Config, User};
use reconcile::scheduler;
use reconcile::store::Embedded;
use serde_json::{Value, json};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

/// How long anything here may take on a machine that is busy with other tests.
pub const PATIENCE: Duration = Duration::from_secs(30);

/// An API server over a store in memory.
pub struct Server {
    api: ApiServer,
    pub client: Client,
}

impl Server {
    pub async fn start() -> Self {
        // Another test of this process may have installed it before.
        drop(rustls::crypto::ring::default_provider().install_default());
        let store = Embedded::in_memory().expect("a store");
        let api = ApiServer::start(Config::new(Arc::new(store)))
            .await
            .expect("an API server");
        let client = Client::new(api.router_as(User::admin("test")), "default");
        Self { api, client }
    }

    /// Everything that is served, for a component with something in between.
    pub fn router(&self) -> Router {
        self.api.router_as(User::admin("test"))
    }

    pub fn scheduler(&self) -> Running {
        self.scheduler_over(self.client.clone())
    }

    pub fn scheduler_over(&self, client: Client) -> Running {
        Running::start(client, scheduler::Config::default())
    }

    pub fn scheduler_with(&self, config: scheduler::Config) -> Running {
        Running::start(self.client.clone(), config)
    }

    pub fn pods(&self) -> Api<Pod> {
        Api::default_namespaced(self.client.clone())
    }

    pub fn nodes(&self) -> Api<Node> {
        Api::all(self.client.clone())
    }

    /// Creates a node, as [`create_node`] does.
    pub async fn create_node(&self, node: Node) {
        create_node(&self.client, node).await;
    }

    pub async fn create_pod(&self, pod: &Pod) -> Pod {
        self.pods()
            .create(&PostParams::default(), pod)
            .await
            .expect("the pod is created")
    }

    pub async fn delete_pod(&self, name: &str) {
        let now = DeleteParams::default().grace_period(0);
        self.pods().delete(name, &now).await.expect("the pod is deleted");
    }

    /// Each pod's node, empty for none.
    pub async fn placed(&self) -> BTreeMap<String, String> {
        let pods = self.pods().list(&ListParams::default()).await.expect("a list");
        pods.into_iter()
            .map(|pod| (pod.metadata.name.clone().expect("a name"), node_of(&pod)))
            .collect()
    }

    /// Waits until the pod is bound, and tells its node.
    pub async fn bound(&self, name: &str) -> String {
        eventually(&format!("{name} is bound"), || async {
            let node = node_of(&self.pods().get(name).await.expect("the pod"));
            if node.is_empty() {
                Err("it has no node".to_owned())
            } else {
                Ok(node)
            }
        })
        .await
    }

    /// Waits until the pod says that it fits nowhere, in these words.
    pub async fn refused(&self, name: &str, message: &str) {
        eventually(&format!("{name} is refused"), || async {
            let pod = self.pods().get(name).await.expect("the pod");
            let conditions = pod.status.and_then(|status| status.conditions).unwrap_or_default();
            let said = conditions
                .into_iter()
                .find(|condition| condition.type_ == "PodScheduled");
            let said = said.map(|said| (said.status, said.reason, said.message));
            let wanted = (
                "False".to_owned(),
                Some("Unschedulable".to_owned()),
                Some(message.to_owned()),
            );
            if said.as_ref() == Some(&wanted) {
                Ok(())
            } else {
                Err(format!("it says {said:?}"))
            }
        })
        .await;
    }

    /// The events of that reason about that pod.
    pub async fn events(&self, pod: &str, reason: &str) -> Vec<Event> {
        let events: Api<Event> = Api::default_namespaced(self.client.clone());
        let all = events.list(&ListParams::default()).await.expect("a list");
        let about = |event: &Event| {
            event.involved_object.name.as_deref() == Some(pod) && event.reason.as_deref() == Some(reason)
        };
        all.into_iter().filter(about).collect()
    }
}

/// Creates a node as it is once its kubelet is up and the node controller has been by: Ready, with just its
/// own taints (the API server adds one to every new node).
pub async fn create_node(client: &Client, node: Node) {
    let nodes: Api<Node> = Api::all(client.clone());
    let name = node.metadata.name.clone().expect("a name");
    nodes
        .create(&PostParams::default(), &node)
        .await
        .expect("the node is created");
    let status = Patch::Merge(json!({"status": node.status}));
    nodes
        .patch_status(&name, &PatchParams::default(), &status)
        .await
        .expect("its status is written");
    let taints = Patch::Merge(json!({"spec": {"taints": node.spec.and_then(|spec| spec.taints)}}));
    nodes
        .patch(&name, &PatchParams::default(), &taints)
        .await
        .expect("its taints are written");
}

/// A component that runs until it is stopped.
pub struct Running {
    shutdown: CancellationToken,
    task: JoinHandle<Result<(), scheduler::Error>>,
}

impl Running {
    fn start(client: Client, config: scheduler::Config) -> Self {
        let shutdown = CancellationToken::new();
        let task = tokio::spawn(scheduler::run(client, config, shutdown.clone()));
        Self { shutdown, task }
    }

    pub async fn stop(self) {
        self.shutdown.cancel();
        self.task.await.expect("no panic").expect("no error");
    }

    /// Ends it in the middle of whatever it does, as a kill would.
    pub async fn kill(self) {
        self.task.abort();
        drop(self.task.await);
    }
}

/// Asks again and again until it holds.
pub async fn eventually<T, F, R>(what: &str, mut condition: F) -> T
where
    F: FnMut() -> R,
    R: Future<Output = Result<T, String>>,
{
    let start = tokio::time::Instant::now();
    loop {
        match condition().await {
            Ok(value) => return value,
            Err(why) => assert!(start.elapsed() < PATIENCE, "{what}: not within {PATIENCE:?}: {why}"),
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

pub fn node_of(pod: &Pod) -> String {
    pod.spec
        .as_ref()
        .and_then(|spec| spec.node_name.clone())
        .unwrap_or_default()
}

pub fn node(name: &str, cpu: &str, memory: &str) -> Node {
    let resources = json!({"cpu": cpu, "memory": memory, "pods": "110"});
    from(json!({
        "apiVersion": "v1",
        "kind": "Node",
        "metadata": {"name": name, "labels": {"kubernetes.io/hostname": name}},
        "status": {
            "allocatable": resources,
            "capacity": resources,
            "conditions": [{"type": "Ready", "status": "True"}],
        },
    }))
}

pub fn tainted(mut node: Node, key: &str, value: &str, effect: &str) -> Node {
    let taint = json!([{"key": key, "value": value, "effect": effect}]);
    node.spec.get_or_insert_default().taints = from(taint);
    node
}

/// A pod with these fields beside its one container, which asks for that much CPU.
pub fn pod(name: &str, cpu: &str, more: Value) -> Pod {
    let mut spec = json!({
        "containers": [{"name": "c", "image": "busybox", "resources": {"requests": {"cpu": cpu}}}],
    });
    for (key, value) in more.as_object().expect("fields") {
        spec[key] = value.clone();
    }
    from(json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name}, "spec": spec}))
}

pub fn from<T: serde::de::DeserializeOwned>(value: Value) -> T {
    serde_json::from_value(value).expect("it is written right")
}
