//! An API server, a source on disk, and what the reconciler reported.
//!
//! The API server is one of this process over an embedded store; with `RECONCILE_TEST_APISERVER=process` it is a process
//! of its own over an etcd, which knows nothing of any source and is reached with its kubeconfig only.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use k8s_openapi::api::coordination::v1::Lease;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::MicroTime;
use kube::api::{Api, DynamicObject, ListParams};
use kube::core::{ApiResource, GroupVersionKind};
use reconcile::apiserver::{self, ApiServer, User};
use reconcile::gitops::{self, Budget, Config, Outcome, PlanReport, Report};
use reconcile::store::{Embedded, Etcd, Store};
use serde_json::{Value, json};
use tokio::task::JoinHandle;
use tokio_util::sync::{CancellationToken, DropGuard};

use super::elsewhere::{self, Elsewhere};
use super::state::list;
use crate::support::etcd;

/// How long anything here may take on a machine that is busy with other tests.
const PATIENCE: Duration = Duration::from_secs(45);

/// A cluster without nodes and a directory for sources.
pub struct World {
    pub client: kube::Client,
    pub store: Arc<dyn Store>,
    /// How much a sync may delete without approval; no limit at first.
    pub budget: Budget,
    root: tempfile::TempDir,
    _server: Server,
}

/// What serves, until this is dropped.
enum Server {
    Here {
        _stop: DropGuard,
        _etcd: Option<etcd::Etcd>,
    },
    Elsewhere {
        _server: Elsewhere,
    },
}

impl World {
    pub async fn new() -> World {
        match elsewhere::is_wanted() {
            true => World::elsewhere(None).await,
            false => World::behind(|router| router).await,
        }
    }

    /// A cluster that keeps its state in an etcd.
    pub async fn on_etcd() -> World {
        if elsewhere::is_wanted() {
            return World::elsewhere(None).await;
        }
        let etcd = etcd::Etcd::start();
        let store = Etcd::connect(&[etcd.url()]).await.expect("a URL");
        let mut world = World::on(root(), Arc::new(store)).await;
        if let Server::Here { _etcd, .. } = &mut world._server {
            *_etcd = Some(etcd);
        }
        world
    }

    /// A cluster whose API server is reached through something.
    pub async fn behind(layer: impl FnOnce(axum::Router) -> axum::Router) -> World {
        if elsewhere::is_wanted() {
            return World::elsewhere(Some(Box::new(layer))).await;
        }
        let root = root();
        let store = Embedded::open(&root.path().join("state")).expect("a store");
        World::here(root, Arc::new(store), layer).await
    }

    /// A cluster that keeps its state there; its API server is always one of this process.
    pub async fn on(root: tempfile::TempDir, store: Arc<dyn Store>) -> World {
        World::here(root, store, |router| router).await
    }

    /// A cluster that keeps its state there, whose API server is reached through something.
    pub async fn here(
        root: tempfile::TempDir,
        store: Arc<dyn Store>,
        layer: impl FnOnce(axum::Router) -> axum::Router,
    ) -> World {
        reconcile_tls();
        let shutdown = CancellationToken::new();
        let mut config = apiserver::Config::new(Arc::clone(&store));
        config.shutdown = shutdown.clone();
        let server = ApiServer::start(config).await.expect("a server");
        let client = kube::Client::new(layer(server.router_as(User::admin("test"))), "default");
        let server = Server::Here {
            _stop: shutdown.drop_guard(),
            _etcd: None,
        };
        World::of(root, client, store, server)
    }

    async fn elsewhere(layer: Option<elsewhere::Layer<'_>>) -> World {
        reconcile_tls();
        let root = root();
        let server = Elsewhere::start(&root.path().join("server"));
        let store = Etcd::connect(&[server.etcd.url()]).await.expect("a URL");
        let direct = server.client().await;
        let client = match layer {
            Some(layer) => kube::Client::new(layer(elsewhere::forwarding(direct)), "default"),
            None => direct,
        };
        World::of(root, client, Arc::new(store), Server::Elsewhere { _server: server })
    }

    fn of(root: tempfile::TempDir, client: kube::Client, store: Arc<dyn Store>, server: Server) -> World {
        std::fs::create_dir(root.path().join("source")).expect("made");
        World {
            client,
            store,
            budget: Budget::Unlimited,
            root,
            _server: server,
        }
    }

    /// A place for the test's own files.
    pub fn path(&self, name: &str) -> PathBuf {
        self.root.path().join(name)
    }

    /// Where the source lies.
    pub fn source(&self) -> PathBuf {
        self.path("source")
    }

    /// Saves a file of the source: at once, so that nobody reads half of it.
    pub fn write(&self, path: &str, text: &str) {
        let (path, whole) = (self.source().join(path), self.path("to be saved"));
        std::fs::create_dir_all(path.parent().expect("a parent")).expect("made");
        std::fs::write(&whole, text).expect("written");
        std::fs::rename(whole, path).expect("put in place");
    }

    /// Removes a file of the source.
    pub fn remove(&self, path: &str) {
        std::fs::remove_file(self.source().join(path)).expect("removed");
    }

    /// Following the source with nothing special.
    pub fn config(&self) -> Config {
        let source = self.source().to_str().expect("a textual path").to_owned();
        Config {
            interval: Duration::from_secs(3600),
            budget: self.budget,
            ..Config::new(source, self.path("data"))
        }
    }

    pub async fn revision(&self) -> u64 {
        let revision = self.store.revision().await;
        revision.expect("a revision")
    }

    /// Syncs once without waiting long for health: nothing runs pods here.
    pub async fn sync(&self) -> Outcome {
        self.sync_with(&self.config()).await
    }

    pub async fn sync_with(&self, config: &Config) -> Outcome {
        self.try_sync(config).await.expect("synced")
    }

    pub async fn try_sync(&self, config: &Config) -> Result<Outcome, gitops::Error> {
        let reporter = Arc::new(|_: Report| {});
        let timeout = Duration::from_millis(1);
        gitops::sync_once(self.client.clone(), config, reporter, timeout, CancellationToken::new()).await
    }

    /// A dry run, which must not write.
    pub async fn dry_run(&self) -> PlanReport {
        self.dry_run_with(&self.config()).await
    }

    pub async fn dry_run_with(&self, config: &Config) -> PlanReport {
        let before = self.written().await;
        let report = gitops::dry_run(self.client.clone(), config).await.expect("a report");
        assert_eq!(self.written().await, before, "a dry run writes nothing");
        report
    }

    /// Every key with the revision that wrote it, but for events and leases: those are written beside a sync and after it.
    async fn written(&self) -> BTreeMap<String, u64> {
        let items = list(self.store.as_ref()).await.into_iter();
        let beside = ["/registry/events/", "/registry/leases/"];
        let written = items.filter(|item| !beside.iter().any(|prefix| item.key.starts_with(prefix)));
        written.map(|item| (item.key, item.mod_revision)).collect()
    }

    /// Follows the source until the value is dropped.
    pub fn follow(&self) -> Following {
        self.follow_with(self.config())
    }

    pub fn follow_with(&self, config: Config) -> Following {
        let reports: Arc<Mutex<Vec<Report>>> = Arc::default();
        let sink = Arc::clone(&reports);
        let reporter = Arc::new(move |report: Report| sink.lock().expect("unpoisoned").push(report));
        let shutdown = CancellationToken::new();
        let task = tokio::spawn(gitops::run(self.client.clone(), config, reporter, shutdown.clone()));
        Following {
            reports,
            shutdown,
            task,
        }
    }

    fn api(&self, kind: &str, namespace: Option<&str>) -> Api<DynamicObject> {
        let group = if kind == "Source" { "reconcile.dev" } else { "" };
        let resource = ApiResource::from_gvk(&GroupVersionKind::gvk(group, "v1", kind));
        match namespace.filter(|_| !matches!(kind, "Source" | "PersistentVolume")) {
            Some(namespace) => Api::namespaced_with(self.client.clone(), namespace, &resource),
            None => Api::all_with(self.client.clone(), &resource),
        }
    }

    /// An object of the namespace `default`, or of none.
    pub async fn get(&self, kind: &str, name: &str) -> Option<Value> {
        let namespace = (kind != "Namespace").then_some("default");
        self.get_in(kind, namespace, name).await
    }

    pub async fn get_in(&self, kind: &str, namespace: Option<&str>, name: &str) -> Option<Value> {
        let found = self.api(kind, namespace).get_opt(name).await.expect("an answer");
        found.map(|object| serde_json::to_value(object).expect("JSON"))
    }

    /// The names of a kind's objects in `default`, without those that every cluster has.
    pub async fn names(&self, kind: &str) -> Vec<String> {
        let list = self
            .api(kind, Some("default"))
            .list(&ListParams::default())
            .await
            .expect("a list");
        let names = list.items.into_iter().filter_map(|object| object.metadata.name);
        names
            .filter(|name| name != "kube-root-ca.crt" && name != "default")
            .collect()
    }

    /// What another hand does.
    pub async fn create(&self, object: Value) {
        self.try_create(object).await.expect("created");
    }

    pub async fn try_create(&self, object: Value) -> Result<(), String> {
        let kind = object["kind"].as_str().expect("a kind").to_owned();
        let object: DynamicObject = serde_json::from_value(object).expect("an object");
        let created = self
            .api(&kind, Some("default"))
            .create(&Default::default(), &object)
            .await;
        created.map(drop).map_err(|error| error.to_string())
    }

    pub async fn delete(&self, kind: &str, name: &str) {
        self.api(kind, Some("default"))
            .delete(name, &Default::default())
            .await
            .expect("deleted");
    }

    pub async fn merge(&self, kind: &str, name: &str, patch: Value) {
        self.try_merge(kind, name, patch).await.expect("patched");
    }

    pub async fn try_merge(&self, kind: &str, name: &str, patch: Value) -> Result<(), String> {
        let params = kube::api::PatchParams {
            field_manager: Some("another-hand".into()),
            ..Default::default()
        };
        let patch = kube::api::Patch::Merge(patch);
        let patched = self.api(kind, Some("default")).patch(name, &params, &patch).await;
        patched.map(drop).map_err(|error| error.to_string())
    }

    /// Tells a namespace to go; nothing here lets it.
    pub async fn delete_namespace(&self, name: &str) {
        let api = self.api("Namespace", None);
        api.delete(name, &Default::default()).await.expect("deleted");
    }

    /// Writes the lease of a process that follows sources.
    pub async fn lease(&self, name: &str, holder: &str, renewed: jiff::Timestamp, seconds: i32) {
        let api: Api<Lease> = Api::namespaced(self.client.clone(), "kube-system");
        let lease = json!({
            "apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "metadata": {"name": name},
            "spec": {"holderIdentity": holder, "leaseDurationSeconds": seconds, "renewTime": MicroTime(renewed)},
        });
        let params = kube::api::PatchParams::apply("another-hand").force();
        let patch = kube::api::Patch::Apply(lease);
        // A follower that was dropped removes its own at the same time, unless it is another's by then.
        eventually("a lease", async || match api.patch(name, &params, &patch).await {
            Ok(_) => Ok(()),
            Err(error) => Err(error.to_string()),
        })
        .await;
    }

    /// Merges something into the only source's parent.
    pub async fn merge_parent(&self, patch: Value) {
        let api = self.api("ConfigMap", Some("kube-system"));
        let books = ListParams::default().labels("applyset.kubernetes.io/id");
        for book in api.list(&books).await.expect("a list").items {
            let name = book.metadata.name.expect("a name");
            let patch = kube::api::Patch::Merge(patch.clone());
            api.patch(&name, &Default::default(), &patch).await.expect("patched");
        }
    }

    /// Deletes what every source's books are kept in.
    pub async fn delete_inventory(&self) {
        let api = self.api("ConfigMap", Some("kube-system"));
        let books = ListParams::default().labels("applyset.kubernetes.io/id");
        for book in api.list(&books).await.expect("a list").items {
            let name = book.metadata.name.expect("a name");
            api.delete(&name, &Default::default()).await.expect("deleted");
        }
    }

    /// What the scheduler does with a pod of `default`.
    pub async fn bind(&self, name: &str) {
        let binding = json!({"apiVersion": "v1", "kind": "Binding", "metadata": {"name": name}, "target": {"kind": "Node", "name": "node"}});
        let request = http::Request::post(format!("/api/v1/namespaces/default/pods/{name}/binding"))
            .header("content-type", "application/json")
            .body(binding.to_string().into_bytes())
            .expect("a request");
        self.client.request::<Value>(request).await.expect("bound");
    }

    pub async fn merge_status(&self, name: &str, status: Value) {
        let patch = kube::api::Patch::Merge(json!({"status": status}));
        self.api("Pod", Some("default"))
            .patch_status(name, &Default::default(), &patch)
            .await
            .expect("patched");
    }
}

fn root() -> tempfile::TempDir {
    tempfile::tempdir().expect("a directory")
}

/// A running reconciler.
pub struct Following {
    reports: Arc<Mutex<Vec<Report>>>,
    shutdown: CancellationToken,
    task: JoinHandle<Result<(), gitops::Error>>,
}

impl Following {
    pub fn reports(&self) -> Vec<Report> {
        self.reports.lock().expect("unpoisoned").clone()
    }

    /// Everything reported, as JSON lines: for messages and simple searches.
    pub fn text(&self) -> String {
        self.reports()
            .iter()
            .map(|report| serde_json::to_string(report).expect("JSON") + "\n")
            .collect()
    }

    /// Waits for a report that says this.
    #[track_caller]
    pub fn said<'a>(&'a self, part: &'a str) -> impl Future<Output = ()> + 'a {
        eventually(format!("a report with {part:?}"), move || async move {
            let text = self.text();
            text.contains(part).then_some(()).ok_or(text)
        })
    }

    /// Ends it as a kill does: nothing more is said or written.
    pub fn abandon(self) {
        self.task.abort();
    }

    /// Ends it as Ctrl-C does.
    pub async fn stop(self) {
        self.shutdown.cancel();
        let ended = tokio::time::timeout(Duration::from_secs(5), self.task).await;
        ended
            .expect("it ends promptly")
            .expect("it does not panic")
            .expect("it ends well");
    }
}

/// Waits until the condition holds.
#[track_caller]
pub fn eventually<T, F: Future<Output = Result<T, String>>>(
    what: impl Into<String>,
    mut condition: impl FnMut() -> F,
) -> impl Future<Output = T> {
    let what = what.into();
    let caller = std::panic::Location::caller();
    async move {
        let started = std::time::Instant::now();
        loop {
            match condition().await {
                Ok(value) => return value,
                Err(last) if started.elapsed() > PATIENCE => panic!("{caller}: {what} did not come true; last: {last}"),
                Err(_) => tokio::time::sleep(Duration::from_millis(10)).await,
            }
        }
    }
}

/// What every client and server of TLS needs once a process.
pub fn reconcile_tls() {
    // Every test is a process of its own under nextest; under cargo test the second call finds it installed.
    if rustls::crypto::ring::default_provider().install_default().is_err() {
        tracing::debug!("TLS was set up before");
    }
}

pub fn config_map(name: &str, value: &str) -> String {
    format!("apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: {name}\ndata:\n  key: \"{value}\"\n")
}

pub fn pod(name: &str, greeting: &str) -> String {
    format!(
        "apiVersion: v1\nkind: Pod\nmetadata:\n  name: {name}\n  labels:\n    app: {name}\nspec:\n  containers:\n  - name: main\n    image: busybox:1.36\n    command: [sleep, \"1000\"]\n    env:\n    - name: GREETING\n      value: {greeting}\n"
    )
}

/// The text of a plan's problems.
pub fn problems(problems: &[gitops::Problem]) -> Vec<String> {
    problems.iter().map(ToString::to_string).collect()
}

/// What a dry run would do, a line an object.
pub fn actions(report: &PlanReport) -> Vec<String> {
    report
        .entries
        .iter()
        .map(|entry| format!("{:?} {}", entry.action, entry.name).to_lowercase())
        .collect()
}

/// Whether a path is there.
pub fn exists(path: &Path) -> bool {
    path.exists()
}
