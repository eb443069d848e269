//! The scheduler: the pure decision by the size of the cluster, and from thousands of pending pods to all of them bound,
//! over an API server of the same process and each store. The floor is a client that only posts the bindings.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures::{StreamExt, TryStreamExt, stream};
use k8s_openapi::api::core::v1::{Binding, Node, Pod};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Status;
use kube::api::{Api, ListParams, Patch, PatchParams, PostParams, WatchEvent, WatchParams};
use kube::core::PartialObjectMeta;
use kube::{Client, ResourceExt as _};
use reconcile::apiserver::{ApiServer, Config, User};
use reconcile::scheduler::pod::{Role, pending, role};
use reconcile::scheduler::profile::Profiles;
use reconcile::scheduler::{self, Snapshot, schedule};
use reconcile::store::{Embedded, Etcd, Store};
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

use crate::idle::memory;
use crate::pods::client;
use crate::report::{Row, goal, median, percentile};
use crate::support::cluster::{Backend, Cluster};
use crate::support::etcd;

/// Pods that are bound.
const PODS: usize = 5000;
/// Requests under way at once while the cluster is made.
const WRITERS: usize = 64;
/// Decisions that are timed at each size.
const DECISIONS: usize = 2000;
/// Pods that each node has already, where only decisions are timed.
const PODS_A_NODE: usize = 6;
/// Nodes, pods and their rate where the time of each pod is measured.
const STEADY_NODES: usize = 100;
const STEADY_PODS: usize = 1000;
const STEADY_A_SECOND: u32 = 100;
/// A large cluster.
const LARGE_NODES: usize = 5000;
const LARGE_PODS: usize = 30_000;
/// Nothing takes longer.
const PATIENCE: Duration = Duration::from_secs(300);

/// A kind of pods that are placed, and the least of them a second.
struct Load {
    name: &'static str,
    nodes: usize,
    spec: fn() -> Value,
    least: f64,
}

const LOADS: &[Load] = &[
    Load {
        name: "1,000 nodes",
        nodes: 1000,
        spec: || json!({}),
        least: 3000.0,
    },
    Load {
        name: "5,000 nodes",
        nodes: 5000,
        spec: || json!({}),
        least: 2000.0,
    },
    Load {
        name: "5,000 nodes, each away from the others",
        nodes: 5000,
        spec: away,
        least: 500.0,
    },
    Load {
        name: "5,000 nodes, spread over zones and hosts",
        nodes: 5000,
        spec: spread,
        least: 500.0,
    },
];

/// What a store lies on, kept for as long as it is used.
type Keep = Box<dyn std::any::Any>;

/// The pure decision at three sizes, and the memory of a large cluster.
pub fn decisions() -> Vec<Row> {
    let sizes = [100, 1000, 5000].into_iter().map(decision);
    sizes.chain([size()]).collect()
}

/// All loads over the embedded store.
pub fn embedded() -> Vec<Row> {
    measure("embedded store", || async {
        let directory = tempfile::tempdir().expect("a directory");
        let store = Embedded::open(&directory.path().join("store.redb")).expect("a store");
        (Arc::new(store) as Arc<dyn Store>, Box::new(directory) as Keep)
    })
}

/// All loads over etcd.
pub fn over_etcd() -> Vec<Row> {
    measure("etcd", || async {
        let server = etcd::Etcd::start();
        let store = Etcd::connect(&[server.url()]).await.expect("a store");
        (Arc::new(store) as Arc<dyn Store>, Box::new(server) as Keep)
    })
}

fn measure<F: Future<Output = (Arc<dyn Store>, Keep)>>(store: &str, open: fn() -> F) -> Vec<Row> {
    let loads = LOADS.iter().map(|load| bind_all(store, load, open));
    loads.chain([latency(store, open)]).collect()
}

fn decision(nodes: usize) -> Row {
    let mut snapshot = Snapshot::default();
    for number in 0..nodes {
        snapshot.set_node(&node(number));
    }
    for number in 0..nodes * PODS_A_NODE {
        let mut pod = pod(&format!("there-{number}"), &json!({}));
        pod.spec.as_mut().expect("a spec").node_name = Some(node(number % nodes).name_any());
        let Role::Placed(info, name) = role(&pod, &Profiles::default()) else {
            panic!("a pod with a node is placed")
        };
        snapshot.set_pod(info.into(), &name);
    }
    let mut times = Vec::with_capacity(DECISIONS);
    let mut turn = 0;
    for number in 0..DECISIONS {
        let pending = pending(&pod(&format!("new-{number}"), &json!({})));
        let began = Instant::now();
        snapshot.prepare(&pending);
        let decision = schedule(&pending, &snapshot, turn, number as u64).expect("it fits");
        snapshot.set_pod(pending.info.clone(), &decision.node);
        times.push(began.elapsed());
        turn += decision.turns;
    }
    let micros = |time: Duration| time.as_secs_f64() * 1e6;
    let p99 = percentile(times.clone(), 99);
    Row {
        what: format!("one decision on {nodes} nodes with {} pods", nodes * PODS_A_NODE),
        ours: format!("{:.0} µs (p99 {:.0} µs)", micros(median(times)), micros(p99)),
        beside: String::new(),
        ratio: None,
        goal: String::new(),
    }
}

fn bind_all<F>(store: &str, load: &Load, open: fn() -> F) -> Row
where
    F: Future<Output = (Arc<dyn Store>, Keep)>,
{
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let scheduled = runtime.block_on(async {
        let (store, _keep) = open().await;
        let client = serve(store, load).await;
        let pods: Api<PartialObjectMeta<Pod>> = Api::default_namespaced(client.clone());
        let from = version(&pods).await;
        let shutdown = CancellationToken::new();
        let began = Instant::now();
        let waiting = tokio::spawn(all_bound(pods, from));
        let running = tokio::spawn(scheduler::run(client, scheduler::Config::default(), shutdown.clone()));
        waiting.await.expect("all are bound");
        let took = began.elapsed();
        shutdown.cancel();
        running.await.expect("no panic").expect("no error");
        took
    });
    let floor = runtime.block_on(async {
        let (store, _keep) = open().await;
        let client = serve(store, load).await;
        let pods: Api<Pod> = Api::default_namespaced(client.clone());
        let all: Api<PartialObjectMeta<Pod>> = Api::default_namespaced(client);
        let from = version(&all).await;
        let began = Instant::now();
        let waiting = tokio::spawn(all_bound(all, from));
        stream::iter(0..PODS)
            .for_each_concurrent(WRITERS, |number| {
                let pods = pods.clone();
                async move { post(&pods, &format!("pod-{number}"), number % load.nodes).await }
            })
            .await;
        waiting.await.expect("all are bound");
        began.elapsed()
    });
    let rate = |took: Duration| PODS as f64 / took.as_secs_f64();
    let what = format!("{store}: {PODS} pods pending → bound, {}", load.name);
    let mut row = Row::rates(&what, rate(scheduled), "bindings alone", rate(floor));
    row.goal = goal(&format!("≥ {:.0}/s", load.least), rate(scheduled) >= load.least);
    row
}

/// An API server with all nodes and pods.
async fn serve(store: Arc<dyn Store>, load: &Load) -> Client {
    let api = ApiServer::start(Config::new(store)).await.expect("an API server");
    let client = Client::new(api.router_as(User::admin("bench")), "default");
    let nodes: Api<Node> = Api::all(client.clone());
    stream::iter(0..load.nodes)
        .for_each_concurrent(WRITERS, |number| make_node(&nodes, number))
        .await;
    let pods: Api<Pod> = Api::default_namespaced(client.clone());
    let spec = (load.spec)();
    stream::iter(0..PODS)
        .for_each_concurrent(WRITERS, |number| {
            let (pods, pod) = (pods.clone(), pod(&format!("pod-{number}"), &spec));
            async move {
                pods.create(&PostParams::default(), &pod).await.expect("created");
            }
        })
        .await;
    client
}

/// A node that is Ready, as its kubelet and the node controller would have it.
async fn make_node(nodes: &Api<Node>, number: usize) {
    let node = node(number);
    let name = node.name_any();
    nodes.create(&PostParams::default(), &node).await.expect("created");
    let status = Patch::Merge(json!({"status": node.status}));
    nodes
        .patch_status(&name, &PatchParams::default(), &status)
        .await
        .expect("its status");
    let taints = Patch::Merge(json!({"spec": {"taints": null}}));
    nodes
        .patch(&name, &PatchParams::default(), &taints)
        .await
        .expect("its taints");
}

async fn post(pods: &Api<Pod>, name: &str, node: usize) {
    let binding: Binding = serde_json::from_value(json!({
        "metadata": {"name": name, "namespace": "default"},
        "target": {"apiVersion": "v1", "kind": "Node", "name": format!("node-{node}")},
    }))
    .expect("a binding");
    let params = PostParams::default();
    let posted = pods.create_subresource::<Binding, Status>("binding", name, &params, &binding);
    posted.await.expect("bound");
}

/// The newest version of the cluster, to watch from.
async fn version(pods: &Api<PartialObjectMeta<Pod>>) -> String {
    let listed = pods
        .list_metadata(&ListParams::default().limit(1))
        .await
        .expect("listed");
    listed.metadata.resource_version.expect("a list has a version")
}

/// Waits until no pod is without a node: a watch of those without loses each as it is bound.
async fn all_bound(pods: Api<PartialObjectMeta<Pod>>, from: String) {
    let unbound = WatchParams::default().fields("spec.nodeName=").timeout(290);
    let waiting = async {
        let mut events = pods.watch_metadata(&unbound, &from).await.expect("watched").boxed();
        let mut left = PODS;
        while left > 0 {
            match events.try_next().await.expect("the watch goes on") {
                Some(WatchEvent::Deleted(_)) => left -= 1,
                Some(_) => {}
                None => panic!("the watch ended with {left} pods to go"),
            }
        }
    };
    tokio::time::timeout(PATIENCE, waiting).await.expect("in time");
}

/// Pods created at a steady rate, each from its creation until a watch shows it bound.
fn latency<F>(store: &str, open: fn() -> F) -> Row
where
    F: Future<Output = (Arc<dyn Store>, Keep)>,
{
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let (ours, floor) = runtime.block_on(async {
        let (store, _keep) = open().await;
        let api = ApiServer::start(Config::new(store)).await.expect("an API server");
        let client = Client::new(api.router_as(User::admin("bench")), "default");
        let nodes: Api<Node> = Api::all(client.clone());
        stream::iter(0..STEADY_NODES)
            .for_each_concurrent(WRITERS, |number| make_node(&nodes, number))
            .await;
        let floor = steady(&client, "floor", false).await;
        let shutdown = CancellationToken::new();
        let running = tokio::spawn(scheduler::run(
            client.clone(),
            scheduler::Config::default(),
            shutdown.clone(),
        ));
        let ours = steady(&client, "pod", true).await;
        shutdown.cancel();
        running.await.expect("no panic").expect("no error");
        (ours, floor)
    });
    let p99 = percentile(ours.clone(), 99);
    let most = Duration::from_millis(20);
    let mut row = Row::latency(
        &format!("{store}: {STEADY_A_SECOND} pods a second, create → bound"),
        ours,
        "create",
        &floor,
        most,
    );
    row.goal = goal("p99 ≤ 20 ms", p99 <= most);
    row
}

async fn steady(client: &Client, prefix: &str, wait_bound: bool) -> Vec<Duration> {
    let pods: Api<Pod> = Api::default_namespaced(client.clone());
    let from = version(&Api::default_namespaced(client.clone())).await;
    let mut events = pods
        .watch(&WatchParams::default().timeout(290), &from)
        .await
        .expect("watched")
        .boxed();
    let (maker, made) = (pods.clone(), prefix.to_owned());
    let making = tokio::spawn(async move {
        let mut ticks = tokio::time::interval(Duration::from_secs(1) / STEADY_A_SECOND);
        let mut began = HashMap::new();
        for number in 0..STEADY_PODS {
            ticks.tick().await;
            let name = format!("{made}-{number}");
            let mut pod = pod(&name, &json!({}));
            if !wait_bound {
                pod.spec.as_mut().expect("a spec").scheduler_name = Some("nobody".to_owned());
            }
            began.insert(name, Instant::now());
            maker.create(&PostParams::default(), &pod).await.expect("created");
        }
        began
    });
    let mut ended = HashMap::new();
    while ended.len() < STEADY_PODS {
        let event = tokio::time::timeout(PATIENCE, events.try_next())
            .await
            .expect("in time");
        let Some(WatchEvent::Added(pod) | WatchEvent::Modified(pod)) = event.expect("the watch goes on") else {
            continue;
        };
        let is_bound = pod.spec.as_ref().is_some_and(|spec| spec.node_name.is_some());
        let name = pod.name_any();
        if name.starts_with(prefix) && (is_bound || !wait_bound) {
            ended.entry(name).or_insert_with(Instant::now);
        }
    }
    let began = making.await.expect("all are created");
    ended.into_iter().map(|(name, end)| end - began[&name]).collect()
}

/// Memory of a scheduler of its own process in a large cluster.
fn size() -> Row {
    let mut cluster = Cluster::new("scheduler-size", Backend::Embedded);
    cluster.start_apiserver();
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    runtime.block_on(async {
        let client = client(&cluster).await;
        let nodes: Api<Node> = Api::all(client.clone());
        stream::iter(0..LARGE_NODES)
            .for_each_concurrent(WRITERS, |number| {
                let nodes = nodes.clone();
                async move {
                    nodes
                        .create(&PostParams::default(), &node(number))
                        .await
                        .expect("created");
                }
            })
            .await;
        let pods: Api<Pod> = Api::default_namespaced(client);
        stream::iter(0..LARGE_PODS)
            .for_each_concurrent(WRITERS, |number| {
                let pods = pods.clone();
                let mut pod = pod(&format!("pod-{number}"), &json!({}));
                pod.spec.as_mut().expect("a spec").node_name = Some(format!("node-{}", number % LARGE_NODES));
                async move {
                    pods.create(&PostParams::default(), &pod).await.expect("created");
                }
            })
            .await;
    });
    cluster.start_scheduler();
    // One more pod that tolerates everything is bound once all is known.
    let resident = runtime.block_on(async {
        let pods: Api<Pod> = Api::default_namespaced(client(&cluster).await);
        let last = pod("last", &json!({"tolerations": [{"operator": "Exists"}]}));
        pods.create(&PostParams::default(), &last).await.expect("created");
        let bound = kube::runtime::wait::await_condition(pods, "last", |pod: Option<&Pod>| {
            pod.and_then(|pod| pod.spec.as_ref())
                .is_some_and(|spec| spec.node_name.is_some())
        });
        tokio::time::timeout(PATIENCE, bound)
            .await
            .expect("in time")
            .expect("bound");
        memory(cluster.reconciler().id()).0
    });
    cluster.stop();
    Row {
        what: format!("scheduler's memory (RSS), {LARGE_NODES} nodes and {LARGE_PODS} pods"),
        ours: format!("{resident:.0} MB"),
        beside: String::new(),
        ratio: None,
        goal: goal("≤ 150 MB", resident <= 150.0),
    }
}

fn node(number: usize) -> Node {
    let name = format!("node-{number}");
    let resources = json!({"cpu": "32", "memory": "128Gi", "pods": "110"});
    serde_json::from_value(json!({
        "apiVersion": "v1", "kind": "Node",
        "metadata": {"name": name, "labels": {
            "kubernetes.io/hostname": name, "topology.kubernetes.io/zone": format!("zone-{}", number % 5),
        }},
        "status": {
            "allocatable": resources, "capacity": resources, "conditions": [{"type": "Ready", "status": "True"}],
        },
    }))
    .expect("a node")
}

fn pod(name: &str, more: &Value) -> Pod {
    let mut spec = json!({
        "containers": [{"name": "main", "image": "busybox:1.37",
            "resources": {"requests": {"cpu": "100m", "memory": "128Mi"}}}],
    });
    for (key, value) in more.as_object().expect("fields") {
        spec[key] = value.clone();
    }
    serde_json::from_value(json!({
        "apiVersion": "v1", "kind": "Pod", "metadata": {"name": name, "namespace": "default", "labels": {"app": "web"}, "uid": name},
        "spec": spec,
    }))
    .expect("a pod")
}

fn away() -> Value {
    let term = json!({"labelSelector": {"matchLabels": {"app": "web"}}, "topologyKey": "kubernetes.io/hostname"});
    json!({"affinity": {"podAntiAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": [term]}}})
}

fn spread() -> Value {
    let constraint = |key: &str| {
        json!({"maxSkew": 1, "topologyKey": key, "whenUnsatisfiable": "DoNotSchedule",
            "labelSelector": {"matchLabels": {"app": "web"}}})
    };
    json!({"topologySpreadConstraints": [
        constraint("topology.kubernetes.io/zone"), constraint("kubernetes.io/hostname"),
    ]})
}
