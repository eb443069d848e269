//! The scheduler's process ends between deciding and binding, and the API server's in the middle of bursts, on both
//! stores. By the store's own history every pod gets one node, once, and no node more than it has.

use std::collections::BTreeMap;

use futures::StreamExt as _;
use futures::future::join_all;
use http::StatusCode;
use k8s_openapi::api::core::v1::Pod;
use kube::api::{ListParams, PostParams, WatchEvent, WatchParams};
use kube::{Api, Client};
use serde_json::json;

use super::harness::{create_node, eventually, node, node_of, pod};
use super::processes::{Apiserver, Gate, PATIENCE, next};
use crate::support::etcd::Etcd;

/// How often each of the two is killed, on each store.
const KILLS: usize = 6;
/// Pods that are made at once.
const BURST: usize = 12;
const NODES: usize = 4;
const PODS: usize = 2 * KILLS * BURST;

#[tokio::test(flavor = "multi_thread")]
async fn on_the_embedded_store() {
    every_pod_is_bound_once(None).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn on_etcd() {
    every_pod_is_bound_once(Some(Etcd::start())).await;
}

async fn every_pod_is_bound_once(etcd: Option<Etcd>) {
    let mut server = Apiserver::start(etcd);
    let client = server.client().await;
    let pods: Api<Pod> = Api::default_namespaced(client.clone());
    // Just enough for all: whatever counts twice leaves somebody out.
    for index in 0..NODES {
        let cores = (PODS / NODES).to_string();
        create_node(&client, node(&format!("n{index}"), &cores, "64Gi")).await;
    }
    let begin = pods.list(&ListParams::default()).await.expect("a list").metadata;
    let begin = begin.resource_version.expect("a version");
    let gate = Gate::before(client.clone()).await;
    for round in 0..KILLS {
        kill_the_scheduler(&gate, &client, round).await;
    }
    let scheduler = gate.scheduler();
    for round in KILLS..2 * KILLS {
        kill_the_api_server(&gate, &mut server, &client, round).await;
    }
    pods.create(&PostParams::default(), &wish("too-much"))
        .await
        .expect("created");
    eventually("there is no room left", || async {
        let status = pods.get("too-much").await.expect("the pod").status;
        let conditions = status.and_then(|status| status.conditions).unwrap_or_default();
        let refused = |reason: &Option<String>| reason.as_deref() == Some("Unschedulable");
        match conditions.iter().any(|condition| refused(&condition.reason)) {
            true => Ok(()),
            false => Err(format!("{conditions:?}")),
        }
    })
    .await;
    let ended = scheduler.terminate(PATIENCE);
    assert!(!ended.stderr.contains("panicked"), "{ended}");
    check_history(&pods, &begin).await;
    server.stop();
}

/// A pod of one core; the nodes here have no kubelet, and that they are said to be gone for it is no matter.
fn wish(name: &str) -> Pod {
    pod(name, "1", json!({"tolerations": [{"operator": "Exists"}]}))
}

/// Makes the pods of a round, however often that takes.
async fn create_burst(client: Client, round: usize) {
    let pods: Api<Pod> = Api::default_namespaced(client);
    let pods = &pods;
    join_all((0..BURST).map(|index| async move {
        let pod = wish(&format!("r{round:02}-{index:02}"));
        eventually("the pod is created", || async {
            match pods.create(&PostParams::default(), &pod).await {
                Ok(_) => Ok(()),
                // Only the answer was lost.
                Err(kube::Error::Api(status)) if status.is_already_exists() => Ok(()),
                Err(error) => Err(error.to_string()),
            }
        })
        .await;
    }))
    .await;
}

async fn all_bound(client: &Client, round: usize) {
    let pods: Api<Pod> = Api::default_namespaced(client.clone());
    let wanted = (round + 1) * BURST;
    eventually(&format!("round {round}: every pod is bound"), || async {
        let list = pods
            .list(&ListParams::default())
            .await
            .map_err(|error| error.to_string())?;
        let bound = list.iter().filter(|pod| !node_of(pod).is_empty()).count();
        if bound == wanted {
            Ok(())
        } else {
            Err(format!("{bound} of {wanted}"))
        }
    })
    .await;
}

/// The scheduler has decided, and dies; some of its bindings arrive all the same, some never do.
async fn kill_the_scheduler(gate: &Gate, client: &Client, round: usize) {
    let mut held = gate.hold();
    let scheduler = gate.scheduler();
    create_burst(client.clone(), round).await;
    let mut decided = Vec::new();
    while decided.len() <= round {
        decided.push(next(&mut held).await);
    }
    let ended = scheduler.kill();
    assert!(!ended.stderr.contains("panicked"), "{ended}");
    for (index, binding) in decided.into_iter().enumerate() {
        if index % 2 == round % 2 {
            let pod = binding.pod.clone();
            assert_eq!(binding.deliver().await, StatusCode::CREATED, "round {round}: {pod}");
        }
    }
    gate.open();
    drop(held);
    let again = gate.scheduler();
    all_bound(client, round).await;
    again.terminate(PATIENCE);
}

/// The API server dies with one binding done, one arriving and others on their way, and while pods are made.
async fn kill_the_api_server(gate: &Gate, server: &mut Apiserver, client: &Client, round: usize) {
    let mut held = gate.hold();
    let burst = tokio::spawn(create_burst(client.clone(), round));
    let first = next(&mut held).await;
    assert_eq!(first.deliver().await, StatusCode::CREATED, "round {round}");
    let second = next(&mut held).await;
    let arriving = tokio::spawn(second.deliver());
    server.kill();
    // It may have arrived or not; who knows is the store.
    arriving.await.expect("no panic");
    gate.open();
    drop(held);
    server.start_again();
    burst.await.expect("no panic");
    all_bound(client, round).await;
}

/// Reads everything that happened to pods since then, as the store has it.
async fn check_history(pods: &Api<Pod>, begin: &str) {
    let mut nodes = BTreeMap::<String, Vec<String>>::new();
    let mut watch = pods
        .watch(&WatchParams::default(), begin)
        .await
        .expect("a watch")
        .boxed();
    let last = loop {
        let event = tokio::time::timeout(PATIENCE, watch.next())
            .await
            .expect("an event in time");
        let pod = match event.expect("the watch goes on").expect("an event") {
            WatchEvent::Added(pod) | WatchEvent::Modified(pod) => pod,
            WatchEvent::Bookmark(_) => continue,
            other => panic!("{other:?}"),
        };
        let uid = pod.metadata.uid.clone().expect("a uid");
        let node = node_of(&pod);
        let had = nodes.entry(uid.clone()).or_default();
        if had.last() != Some(&node) {
            had.push(node);
        }
        if pod.metadata.name.as_deref() == Some("too-much") {
            break uid;
        }
    };
    nodes.remove(&last);
    assert_eq!(nodes.len(), PODS);
    let mut full = BTreeMap::<&str, usize>::new();
    for (uid, had) in &nodes {
        let [none, node] = &had[..] else {
            panic!("{uid} was bound other than once: {had:?}")
        };
        assert!(none.is_empty() && !node.is_empty(), "{uid}: {had:?}");
        *full.entry(node).or_default() += 1;
    }
    assert_eq!(full.len(), NODES, "{full:?}");
    assert!(full.values().all(|count| *count == PODS / NODES), "{full:?}");
}
