//! Schedulers and API servers that know no more of each other than the Kubernetes API, over HTTPS: ours in a process of
//! its own, and a foreign one that lists, watches and binds.

use std::collections::BTreeMap;

use futures::StreamExt as _;
use k8s_openapi::api::core::v1::{Binding, Pod};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Status;
use kube::api::{ListParams, PostParams, WatchEvent, WatchParams};
use kube::config::Kubeconfig;
use kube::{Api, Client};
use serde_json::json;
use tokio::task::JoinHandle;

use super::harness::{create_node, eventually, from, node, node_of, pod};
use super::processes::{Apiserver, Gate, PATIENCE, next, scheduler};

fn pods(client: &Client) -> Api<Pod> {
    Api::default_namespaced(client.clone())
}

/// A pod of one core; the nodes here have no kubelet, and that they are said to be gone for it is no matter.
async fn create(client: &Client, name: &str, scheduler: &str) {
    let more = json!({"schedulerName": scheduler, "tolerations": [{"operator": "Exists"}]});
    let made = pods(client).create(&PostParams::default(), &pod(name, "1", more)).await;
    made.expect("the pod is created");
}

async fn bind(client: &Client, name: &str, node: &str) -> Result<Status, kube::Error> {
    let target = json!({"apiVersion": "v1", "kind": "Node", "name": node});
    let binding: Binding = from(json!({"metadata": {"name": name}, "target": target}));
    pods(client)
        .create_subresource("binding", name, &PostParams::default(), &binding)
        .await
}

/// Binds every pod that names it to one node: those listed, and those that the watch tells of.
fn foreign(client: Client, node: &'static str) -> JoinHandle<()> {
    tokio::spawn(async move {
        let mine = "spec.schedulerName=foreign,spec.nodeName=";
        let pods = pods(&client);
        let list = pods.list(&ListParams::default().fields(mine)).await.expect("a list");
        let version = list.metadata.resource_version.clone().expect("a version");
        for pod in list {
            take(&client, &pod, node).await;
        }
        let watch = pods.watch(&WatchParams::default().fields(mine), &version).await;
        let mut watch = watch.expect("a watch").boxed();
        while let Some(event) = watch.next().await {
            if let WatchEvent::Added(pod) = event.expect("an event") {
                take(&client, &pod, node).await;
            }
        }
    })
}

async fn take(client: &Client, pod: &Pod, node: &str) {
    let spec = pod.spec.as_ref().expect("a spec");
    assert_eq!(
        spec.scheduler_name.as_deref(),
        Some("foreign"),
        "only its own are shown to it"
    );
    let name = pod.metadata.name.as_deref().expect("a name");
    let bound = bind(client, name, node).await.expect("bound");
    assert_eq!(bound.status.as_deref(), Some("Success"));
}

async fn bound(client: &Client, name: &str) -> String {
    eventually(&format!("{name} is bound"), || async {
        let node = node_of(&pods(client).get(name).await.map_err(|error| error.to_string())?);
        if node.is_empty() { Err(node) } else { Ok(node) }
    })
    .await
}

async fn by_node(client: &Client) -> BTreeMap<String, usize> {
    let mut counts = BTreeMap::new();
    for pod in pods(client).list(&ListParams::default()).await.expect("a list") {
        *counts.entry(node_of(&pod)).or_default() += 1;
    }
    counts
}

/// Waits until ours has looked at this pod and found no room.
async fn refused(client: &Client, name: &str) {
    eventually(&format!("{name} is refused"), || async {
        let pod = pods(client).get(name).await.map_err(|error| error.to_string())?;
        let conditions = pod.status.and_then(|status| status.conditions).unwrap_or_default();
        let said = conditions.into_iter().find_map(|condition| condition.message);
        let wanted = "0/2 nodes are available: 2 Insufficient cpu. ";
        match said {
            Some(said) if said.starts_with(wanted) => Ok(()),
            other => Err(format!("{other:?}")),
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn one_that_knows_only_the_api_works_beside_ours() {
    let server = Apiserver::start(None);
    let kubeconfig = Kubeconfig::read_from(server.kubeconfig()).expect("a kubeconfig");
    let cluster = kubeconfig.clusters[0].cluster.as_ref().expect("a cluster");
    assert!(cluster.server.as_ref().is_some_and(|url| url.starts_with("https://")));
    assert!(cluster.certificate_authority.is_some() || cluster.certificate_authority_data.is_some());
    let client = server.client().await;
    for name in ["a", "b"] {
        create_node(&client, node(name, "3", "4Gi")).await;
    }
    let ours = scheduler(&server.kubeconfig());
    create(&client, "theirs-1", "foreign").await;
    create(&client, "ours-1", "default-scheduler").await;
    bound(&client, "ours-1").await;
    let untouched = pods(&client).get("theirs-1").await.expect("the pod");
    assert_eq!(node_of(&untouched), "", "it is not ours");

    let theirs = foreign(client.clone(), "b");
    assert_eq!(bound(&client, "theirs-1").await, "b", "found by listing");
    create(&client, "theirs-2", "foreign").await;
    assert_eq!(bound(&client, "theirs-2").await, "b", "found by watching");
    // What theirs take counts for ours.
    for name in ["ours-2", "ours-3", "ours-4"] {
        create(&client, name, "default-scheduler").await;
        bound(&client, name).await;
    }
    create(&client, "ours-5", "default-scheduler").await;
    refused(&client, "ours-5").await;
    assert_eq!(
        by_node(&client).await,
        BTreeMap::from([(String::new(), 1), ("a".to_owned(), 3), ("b".to_owned(), 3)])
    );
    theirs.abort();
    let ended = ours.terminate(PATIENCE);
    assert_eq!(ended.code, Some(0), "{ended}");
    server.stop();
}

#[tokio::test(flavor = "multi_thread")]
async fn of_two_that_bind_one_pod_the_later_gets_a_conflict() {
    let server = Apiserver::start(None);
    let client = server.client().await;
    for name in ["a", "b"] {
        create_node(&client, node(name, "2", "4Gi")).await;
    }
    let gate = Gate::before(client.clone()).await;
    let ours = gate.scheduler();
    // Ours comes first.
    create(&client, "first", "default-scheduler").await;
    let there = bound(&client, "first").await;
    let other = if there == "a" { "b" } else { "a" };
    match bind(&client, "first", other).await {
        Err(kube::Error::Api(status)) => assert_eq!((status.code, status.reason.as_str()), (409, "Conflict")),
        answer => panic!("{answer:?}"),
    }
    assert_eq!(bound(&client, "first").await, there);
    // Theirs comes between our decision and our binding, and puts the pod where the other one is.
    let mut held = gate.hold();
    create(&client, "contested", "default-scheduler").await;
    let late = next(&mut held).await;
    assert_eq!(late.pod, "contested");
    bind(&client, "contested", &there).await.expect("bound");
    gate.open();
    assert_eq!(late.deliver().await, http::StatusCode::CONFLICT);
    // Ours counts it where it is, and nowhere else: there is room for two, on the other node.
    for name in ["third", "fourth"] {
        create(&client, name, "default-scheduler").await;
        assert_eq!(bound(&client, name).await, other);
    }
    assert_eq!(bound(&client, "contested").await, there);
    create(&client, "fifth", "default-scheduler").await;
    refused(&client, "fifth").await;
    let ended = ours.terminate(PATIENCE);
    assert_eq!(ended.code, Some(0), "{ended}");
    server.stop();
}
