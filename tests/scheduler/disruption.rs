//! Disruption budgets: counted as pods come, get ready and go, and kept to by evictions.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use axum::extract::Request;
use axum::middleware::{Next, from_fn};
use k8s_openapi::api::policy::v1::{PodDisruptionBudget, PodDisruptionBudgetStatus};
use k8s_openapi::jiff::{SignedDuration, Timestamp};
use kube::api::{EvictParams, Patch, PatchParams, PostParams};
use kube::{Api, Client};
use reconcile::controllers;
use serde_json::{Value, json};
use tokio_util::sync::{CancellationToken, DropGuard};

use super::harness::{Server, eventually, from, node, pod};

fn start(server: &Server) -> DropGuard {
    start_over(server.client.clone())
}

fn start_over(client: Client) -> DropGuard {
    let shutdown = CancellationToken::new();
    let config = controllers::Config::default();
    tokio::spawn(controllers::run(client, config, shutdown.clone()));
    shutdown.drop_guard()
}

fn budgets(server: &Server) -> Api<PodDisruptionBudget> {
    Api::default_namespaced(server.client.clone())
}

async fn create_budget(server: &Server, name: &str, app: &str, terms: Value) {
    let mut spec = terms;
    spec["selector"] = json!({"matchLabels": {"app": app}});
    let budget =
        json!({"apiVersion": "policy/v1", "kind": "PodDisruptionBudget", "metadata": {"name": name}, "spec": spec});
    budgets(server)
        .create(&PostParams::default(), &from(budget))
        .await
        .expect("the budget is created");
}

async fn create_pod(server: &Server, name: &str, app: &str) {
    let mut pod = pod(name, "0", json!({"nodeName": "n", "terminationGracePeriodSeconds": 0}));
    pod.metadata.labels = from(json!({"app": app}));
    server.create_pod(&pod).await;
}

async fn set_ready(server: &Server, name: &str, ready: bool) {
    let status = if ready { "True" } else { "False" };
    let patch = json!({"status": {"phase": "Running", "conditions": [{"type": "Ready", "status": status}]}});
    let patched = server
        .pods()
        .patch_status(name, &PatchParams::default(), &Patch::Strategic(patch))
        .await;
    patched.expect("its status is written");
}

/// Waits until the budget says that many are healthy, wanted, there and may go.
async fn counts(server: &Server, name: &str, wanted: [i32; 4]) -> PodDisruptionBudget {
    eventually(&format!("{name} counts {wanted:?}"), || async {
        let budget = budgets(server).get(name).await.expect("the budget");
        let status = budget.status.clone().unwrap_or_default();
        let said = [
            status.current_healthy,
            status.desired_healthy,
            status.expected_pods,
            status.disruptions_allowed,
        ];
        let counted = status.observed_generation == budget.metadata.generation;
        if counted && said == wanted.map(Some) {
            Ok(budget)
        } else {
            Err(format!("{status:?}"))
        }
    })
    .await
}

/// What the budget's condition says: its status, its reason.
fn condition(status: &PodDisruptionBudgetStatus) -> (&str, &str) {
    let condition = &status.conditions.as_ref().expect("conditions")[0];
    (&condition.status, &condition.reason)
}

async fn evict(server: &Server, name: &str) -> u16 {
    match server.pods().evict(name, &EvictParams::default()).await {
        Ok(_) => 201,
        Err(kube::Error::Api(status)) => status.code,
        Err(error) => panic!("{error}"),
    }
}

#[tokio::test]
async fn a_budget_is_counted_and_kept() {
    let server = Server::start().await;
    server.create_node(node("n", "4", "4Gi")).await;
    let _running = start(&server);
    create_budget(&server, "web", "web", json!({"minAvailable": 1})).await;
    let none = counts(&server, "web", [0, 1, 0, 0]).await;
    let status = none.status.expect("a status");
    assert_eq!(condition(&status), ("False", "InsufficientPods"));
    for name in ["a", "b"] {
        create_pod(&server, name, "web").await;
    }
    counts(&server, "web", [0, 1, 2, 0]).await;
    for name in ["a", "b"] {
        set_ready(&server, name, true).await;
    }
    let full = counts(&server, "web", [2, 1, 2, 1]).await;
    assert_eq!(condition(&full.status.expect("a status")), ("True", "SufficientPods"));
    assert_eq!(evict(&server, "a").await, 201);
    assert_eq!(
        evict(&server, "b").await,
        429,
        "whether it has been counted again or not"
    );
    let left = counts(&server, "web", [1, 1, 1, 0]).await;
    assert!(left.status.expect("a status").disrupted_pods.is_none(), "it is gone");
    assert_eq!(evict(&server, "b").await, 429);
    create_pod(&server, "c", "web").await;
    set_ready(&server, "c", true).await;
    counts(&server, "web", [2, 1, 2, 1]).await;
    set_ready(&server, "c", false).await;
    counts(&server, "web", [1, 1, 2, 0]).await;
    assert_eq!(evict(&server, "c").await, 201, "it is not among the healthy");
    // Another spec is counted too.
    let patch = Patch::Merge(json!({"spec": {"minAvailable": 0}}));
    budgets(&server)
        .patch("web", &PatchParams::default(), &patch)
        .await
        .expect("changed");
    counts(&server, "web", [1, 0, 1, 1]).await;
    assert_eq!(evict(&server, "b").await, 201);
    counts(&server, "web", [0, 0, 0, 0]).await;
}

#[tokio::test]
async fn what_has_no_scale_allows_nothing_and_says_so() {
    let server = Server::start().await;
    server.create_node(node("n", "4", "4Gi")).await;
    create_pod(&server, "p", "web").await;
    set_ready(&server, "p", true).await;
    let _running = start(&server);
    create_budget(&server, "share", "web", json!({"minAvailable": "50%"})).await;
    counts(&server, "share", [1, 0, 0, 0]).await;
    eventually("the event is there", || async {
        let events = server.events("share", "UnmanagedPods").await;
        let types: Vec<_> = events.iter().map(|event| event.type_.as_deref()).collect();
        if types == [Some("Warning")] {
            Ok(())
        } else {
            Err(format!("{types:?}"))
        }
    })
    .await;
    let owner = json!({"metadata": {"ownerReferences": [
        {"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": "r", "uid": "u", "controller": true},
    ]}});
    server
        .pods()
        .patch("p", &PatchParams::default(), &Patch::Merge(owner))
        .await
        .expect("owned");
    eventually("it cannot be counted", || async {
        let status = budgets(&server)
            .get("share")
            .await
            .expect("the budget")
            .status
            .expect("a status");
        match condition(&status) {
            ("False", "SyncFailed") => Ok(()),
            other => Err(format!("{other:?}")),
        }
    })
    .await;
}

#[tokio::test]
async fn a_status_is_written_only_where_it_changes() {
    let server = Server::start().await;
    server.create_node(node("n", "4", "4Gi")).await;
    create_pod(&server, "p", "web").await;
    set_ready(&server, "p", true).await;
    let writes = Arc::new(AtomicUsize::new(0));
    let count = writes.clone();
    let counting = server.router().layer(from_fn(move |request: Request, next: Next| {
        if request.uri().path().ends_with("/poddisruptionbudgets/web/status") {
            count.fetch_add(1, Ordering::SeqCst);
        }
        next.run(request)
    }));
    let _running = start_over(Client::new(counting, "default"));
    create_budget(&server, "web", "web", json!({"minAvailable": 0})).await;
    counts(&server, "web", [1, 0, 1, 1]).await;
    let label = Patch::Merge(json!({"metadata": {"labels": {"tier": "front"}}}));
    server
        .pods()
        .patch("p", &PatchParams::default(), &label)
        .await
        .expect("labelled");
    // Once a later budget is counted the controller has been by.
    create_budget(&server, "later", "web", json!({"minAvailable": 0})).await;
    counts(&server, "later", [1, 0, 1, 1]).await;
    assert_eq!(writes.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn what_others_write_meanwhile_is_counted_anew() {
    let server = Server::start().await;
    server.create_node(node("n", "4", "4Gi")).await;
    for name in ["a", "b"] {
        create_pod(&server, name, "web").await;
        set_ready(&server, name, true).await;
    }
    // Just before the first count arrives somebody gives leave to a pod.
    let (given, others) = (Arc::new(AtomicUsize::new(0)), budgets(&server));
    let contested = server.router().layer(from_fn(move |request: Request, next: Next| {
        let writes = request.uri().path().ends_with("/web/status");
        let first = writes && given.fetch_add(1, Ordering::SeqCst) == 0;
        let others = others.clone();
        async move {
            if first {
                let leave = json!({"status": {"disruptedPods": {"a": Timestamp::now().to_string()}}});
                let (how, leave) = (PatchParams::default(), Patch::Merge(leave));
                others.patch_status("web", &how, &leave).await.expect("leave is given");
            }
            next.run(request).await
        }
    }));
    create_budget(&server, "web", "web", json!({"minAvailable": 1})).await;
    let _running = start_over(Client::new(contested, "default"));
    let counted = counts(&server, "web", [1, 1, 2, 0]).await;
    let going = counted
        .status
        .and_then(|status| status.disrupted_pods)
        .unwrap_or_default();
    assert_eq!(going.into_keys().collect::<Vec<_>>(), ["a"], "it is not overwritten");
}

#[tokio::test]
async fn leave_that_was_given_long_ago_is_forgotten() {
    let server = Server::start().await;
    server.create_node(node("n", "4", "4Gi")).await;
    for name in ["old", "new"] {
        create_pod(&server, name, "web").await;
        set_ready(&server, name, true).await;
    }
    create_budget(&server, "web", "web", json!({"minAvailable": 0})).await;
    let ago = |minutes: i64| (Timestamp::now() - SignedDuration::from_mins(minutes)).to_string();
    let given =
        json!({"status": {"observedGeneration": 1, "disruptedPods": {"old": ago(3), "new": ago(1), "gone": ago(0)}}});
    let given = budgets(&server)
        .patch_status("web", &PatchParams::default(), &Patch::Merge(given))
        .await;
    given.expect("written");
    let _running = start(&server);
    let counted = counts(&server, "web", [1, 0, 2, 1]).await;
    let going = counted
        .status
        .and_then(|status| status.disrupted_pods)
        .unwrap_or_default();
    assert_eq!(going.into_keys().collect::<Vec<_>>(), ["new"]);
}
