//! Pods are bound once, where there is room, whatever goes wrong on the way.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use axum::extract::Request;
use axum::middleware::{Next, from_fn};
use axum::response::{IntoResponse, Response};
use futures::future::join_all;
use http::StatusCode;
use k8s_openapi::api::core::v1::{Binding, Pod};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Status;
use kube::api::{DeleteParams, PostParams};
use kube::{Api, Client};
use serde_json::json;

use super::harness::{Server, eventually, from, node, pod};

#[tokio::test]
async fn a_bound_pod_has_its_event_and_condition_as_describe_shows_them() {
    let server = Server::start().await;
    server.create_node(node("n", "4", "4Gi")).await;
    let scheduler = server.scheduler();
    server.create_pod(&pod("web", "1", json!({}))).await;
    assert_eq!(server.bound("web").await, "n");
    eventually("the event is there", || async {
        let events = server.events("web", "Scheduled").await;
        let [event] = &events[..] else {
            return Err(format!("{} events", events.len()));
        };
        assert_eq!(event.message.as_deref(), Some("Successfully assigned default/web to n"));
        assert_eq!(event.type_.as_deref(), Some("Normal"));
        assert_eq!(
            event.source.as_ref().and_then(|source| source.component.as_deref()),
            Some("default-scheduler")
        );
        Ok(())
    })
    .await;
    let status = server
        .pods()
        .get("web")
        .await
        .expect("the pod")
        .status
        .expect("a status");
    let conditions = status.conditions.expect("conditions");
    assert!(
        conditions
            .iter()
            .any(|condition| condition.type_ == "PodScheduled" && condition.status == "True")
    );
    scheduler.stop().await;
}

#[tokio::test]
async fn no_node_is_ever_over_committed_and_freed_room_is_used() {
    let server = Server::start().await;
    for name in ["a", "b"] {
        server.create_node(node(name, "4", "4Gi")).await;
    }
    let scheduler = server.scheduler();
    let pods: Vec<_> = (0..20)
        .map(|index| pod(&format!("p{index:02}"), "1", json!({})))
        .collect();
    join_all(pods.iter().map(|pod| server.create_pod(pod))).await;
    wait_for(&server, 8, 12).await;
    let placed = server.placed().await;
    assert_eq!(
        by_node(&placed),
        BTreeMap::from([("a".to_owned(), 4), ("b".to_owned(), 4)]),
        "equal nodes share"
    );
    let bound: Vec<&String> = placed
        .iter()
        .filter(|(_, node)| !node.is_empty())
        .map(|(name, _)| name)
        .collect();
    for name in &bound[..3] {
        server.delete_pod(name).await;
    }
    wait_for(&server, 8, 9).await;
    assert_eq!(by_node(&server.placed().await).values().max(), Some(&4));
    scheduler.stop().await;
}

#[tokio::test]
async fn a_host_port_is_given_once_a_node() {
    let server = Server::start().await;
    for name in ["a", "b"] {
        server.create_node(node(name, "4", "4Gi")).await;
    }
    let scheduler = server.scheduler();
    let serving = |name: &str| {
        let mut pod = pod(name, "0", json!({}));
        let ports = json!([{"containerPort": 80, "hostPort": 8080}]);
        pod.spec.as_mut().expect("a spec").containers[0].ports = from(ports);
        pod
    };
    for name in ["x", "y", "z"] {
        server.create_pod(&serving(name)).await;
    }
    wait_for(&server, 2, 1).await;
    assert_eq!(by_node(&server.placed().await).len(), 2, "one on each");
    let refusal = "0/2 nodes are available: 2 node(s) didn't have free ports for the requested pod ports. \
                   preemption: 0/2 nodes are available: 2 No preemption victims found for incoming pod.";
    let left = server
        .placed()
        .await
        .into_iter()
        .find(|(_, node)| node.is_empty())
        .expect("one is left")
        .0;
    server.refused(&left, refusal).await;
    scheduler.stop().await;
}

#[tokio::test]
async fn another_binder_and_a_deletion_in_between_do_no_harm() {
    let server = Server::start().await;
    server.create_node(node("ours", "100", "100Gi")).await;
    server.create_node(node("theirs", "0", "1Gi")).await;
    // Just before the scheduler's own binding arrives, every other pod is bound by somebody else, or deleted.
    let client = server.client.clone();
    let contested = server.router().layer(from_fn(move |request: Request, next: Next| {
        let pods: Api<Pod> = Api::default_namespaced(client.clone());
        async move {
            if let Some(name) = bound_name(&request) {
                meddle(&pods, &name).await;
            }
            next.run(request).await
        }
    }));
    let scheduler = server.scheduler_over(Client::new(contested, "default"));
    let pods: Vec<_> = (0..30)
        .map(|index| pod(&format!("p{index:02}"), "2", json!({})))
        .collect();
    join_all(pods.iter().map(|pod| server.create_pod(pod))).await;
    wait_for(&server, 27, 0).await;
    let counts = BTreeMap::from([("ours".to_owned(), 15), ("theirs".to_owned(), 12)]);
    assert_eq!(by_node(&server.placed().await), counts);
    // What was taken from it does not count on its node any more.
    server.create_pod(&pod("rest-1", "70", json!({}))).await;
    assert_eq!(server.bound("rest-1").await, "ours");
    server.create_pod(&pod("too-much", "1", json!({}))).await;
    server
        .refused(
            "too-much",
            "0/2 nodes are available: 2 Insufficient cpu. \
             preemption: 0/2 nodes are available: 1 No preemption victims found for incoming pod, \
             1 Preemption is not helpful for scheduling.",
        )
        .await;
    scheduler.stop().await;
}

/// The pod that a request binds.
fn bound_name(request: &Request) -> Option<String> {
    let path = request.uri().path().strip_suffix("/binding")?;
    path.rsplit('/').next().map(str::to_owned)
}

/// Deletes pods ending in 0, binds other even ones, and leaves odd ones alone.
async fn meddle(pods: &Api<Pod>, name: &str) {
    if name.ends_with('0') {
        let now = DeleteParams::default().grace_period(0);
        pods.delete(name, &now).await.expect("deleted");
    } else if name.ends_with(['2', '4', '6', '8']) {
        let binding: Binding = from(json!({"metadata": {"name": name}, "target": {"kind": "Node", "name": "theirs"}}));
        let post = PostParams::default();
        pods.create_subresource::<_, Status>("binding", name, &post, &binding)
            .await
            .expect("bound");
    }
}

#[tokio::test]
async fn a_restart_in_the_middle_of_a_burst_loses_and_repeats_nothing() {
    let server = Server::start().await;
    for name in ["a", "b", "c"] {
        server.create_node(node(name, "10", "10Gi")).await;
    }
    let pods: Vec<_> = (0..40)
        .map(|index| pod(&format!("p{index:02}"), "1", json!({})))
        .collect();
    join_all(pods.iter().map(|pod| server.create_pod(pod))).await;
    for share in [3, 9, 15] {
        let scheduler = server.scheduler();
        eventually("some are bound", || async {
            let bound = server.placed().await.values().filter(|node| !node.is_empty()).count();
            if bound >= share {
                Ok(())
            } else {
                Err(format!("{bound}"))
            }
        })
        .await;
        scheduler.kill().await;
    }
    let scheduler = server.scheduler();
    wait_for(&server, 30, 10).await;
    assert_eq!(by_node(&server.placed().await).values().max(), Some(&10));
    scheduler.stop().await;
}

/// What becomes of a binding on its way.
#[derive(Clone, Copy)]
enum Mishap {
    /// It never arrives.
    Lost,
    /// It is done, but its answer gets lost.
    Unanswered,
}

#[tokio::test]
async fn a_lost_binding_is_tried_again() {
    one_mishap_each(Mishap::Lost).await;
}

#[tokio::test]
async fn a_lost_answer_is_found_out() {
    one_mishap_each(Mishap::Unanswered).await;
}

async fn one_mishap_each(mishap: Mishap) {
    let server = Server::start().await;
    server.create_node(node("n", "3", "4Gi")).await;
    let failed = Arc::new(AtomicUsize::new(0));
    let count = failed.clone();
    let unlucky = server.router().layer(from_fn(move |request: Request, next: Next| {
        let count = count.clone();
        async move { pass(mishap, &count, request, next).await }
    }));
    let scheduler = server.scheduler_over(Client::new(unlucky, "default"));
    for index in 0..4 {
        server.create_pod(&pod(&format!("p{index}"), "1", json!({}))).await;
    }
    wait_for(&server, 3, 1).await;
    assert!(failed.load(Ordering::SeqCst) >= 3, "the mishaps happened");
    scheduler.stop().await;
}

/// The first three bindings fail.
async fn pass(mishap: Mishap, failed: &AtomicUsize, request: Request, next: Next) -> Response {
    let binds = request.uri().path().ends_with("/binding");
    if !binds || failed.fetch_add(1, Ordering::SeqCst) >= 3 {
        return next.run(request).await;
    }
    if matches!(mishap, Mishap::Unanswered) {
        next.run(request).await;
    }
    StatusCode::BAD_GATEWAY.into_response()
}

async fn wait_for(server: &Server, bound: usize, waiting: usize) {
    eventually(&format!("{bound} pods are bound and {waiting} wait"), || async {
        let placed = server.placed().await;
        let without = placed.values().filter(|node| node.is_empty()).count();
        let counts = (placed.len() - without, without);
        if counts == (bound, waiting) {
            Ok(())
        } else {
            Err(format!("{counts:?}"))
        }
    })
    .await;
}

fn by_node(placed: &BTreeMap<String, String>) -> BTreeMap<String, usize> {
    let mut counts = BTreeMap::new();
    for node in placed.values().filter(|node| !node.is_empty()) {
        *counts.entry(node.clone()).or_default() += 1;
    }
    counts
}
