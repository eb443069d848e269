//! Pods of higher priority drive out those in their way, through the API.

use std::collections::HashSet;
use std::sync::Arc;

use axum::extract::Request;
use axum::middleware::{Next, from_fn};
use k8s_openapi::api::policy::v1::PodDisruptionBudget;
use k8s_openapi::api::scheduling::v1::PriorityClass;
use kube::api::PostParams;
use kube::{Api, Client};
use serde_json::{Value, json};
use tokio::sync::watch;

use super::harness::{Server, eventually, from, node, pod};

/// Classes of priority 10, 20 and 1000, and one of 1000 that drives nobody out.
async fn classes(server: &Server) {
    let api: Api<PriorityClass> = Api::all(server.client.clone());
    for (name, value, policy) in [
        ("low", 10, "PreemptLowerPriority"),
        ("middle", 20, "PreemptLowerPriority"),
        ("high", 1000, "PreemptLowerPriority"),
        ("patient", 1000, "Never"),
    ] {
        let class = json!({"metadata": {"name": name}, "value": value, "preemptionPolicy": policy});
        api.create(&PostParams::default(), &from(class))
            .await
            .expect("the class is created");
    }
}

fn of_class(class: &str) -> Value {
    json!({"priorityClassName": class, "terminationGracePeriodSeconds": 30})
}

#[tokio::test]
async fn the_less_important_goes_and_the_more_important_comes() {
    let server = Server::start().await;
    classes(&server).await;
    server.create_node(node("n", "2", "4Gi")).await;
    let scheduler = server.scheduler();
    for name in ["low-1", "low-2"] {
        server.create_pod(&pod(name, "1", of_class("low"))).await;
        server.bound(name).await;
    }
    server.create_pod(&pod("high", "1", of_class("high"))).await;
    let victim = eventually("one is told to go", || async {
        let mut going = Vec::new();
        for name in ["low-1", "low-2"] {
            let pod = server.pods().get(name).await.expect("the pod");
            going.extend(pod.metadata.deletion_timestamp.is_some().then(|| name.to_owned()));
        }
        match &going[..] {
            [one] => Ok(one.clone()),
            others => Err(format!("{others:?} are going")),
        }
    })
    .await;
    eventually("the node is nominated", || async {
        let status = server.pods().get("high").await.expect("the pod").status;
        match status.and_then(|status| status.nominated_node_name) {
            Some(node) if node == "n" => Ok(()),
            other => Err(format!("nominated: {other:?}")),
        }
    })
    .await;
    let marked = server
        .pods()
        .get(&victim)
        .await
        .expect("the pod")
        .status
        .expect("a status");
    let marked = serde_json::to_value(marked.conditions).expect("JSON");
    let target = marked
        .as_array()
        .expect("conditions")
        .iter()
        .find(|one| one["type"] == "DisruptionTarget");
    assert_eq!(target.expect("it is marked")["reason"], "PreemptionByScheduler");
    let uid = server
        .pods()
        .get("high")
        .await
        .expect("the pod")
        .metadata
        .uid
        .expect("a uid");
    eventually("the victim's event is there", || async {
        let events = server.events(&victim, "Preempted").await;
        let [event] = &events[..] else {
            return Err(format!("{} events", events.len()));
        };
        let wanted = format!("Preempted by pod {uid} on node n");
        (event.message.as_ref() == Some(&wanted))
            .then_some(())
            .ok_or(format!("{:?}", event.message))
    })
    .await;
    assert!(super::harness::node_of(&server.pods().get("high").await.expect("the pod")).is_empty());
    // As its kubelet would, once its containers have ended.
    server.delete_pod(&victim).await;
    assert_eq!(server.bound("high").await, "n");
    let other = if victim == "low-1" { "low-2" } else { "low-1" };
    let other = server.pods().get(other).await.expect("the pod");
    assert!(other.metadata.deletion_timestamp.is_none(), "one was enough");
    scheduler.stop().await;
}

#[tokio::test]
async fn equal_ones_and_patient_ones_drive_nobody_out() {
    let server = Server::start().await;
    classes(&server).await;
    server.create_node(node("n", "1", "4Gi")).await;
    let scheduler = server.scheduler();
    server.create_pod(&pod("there", "1", of_class("low"))).await;
    server.bound("there").await;
    for (name, class, why) in [
        (
            "equal",
            "low",
            "preemption: 0/1 nodes are available: 1 No preemption victims found for incoming pod.",
        ),
        (
            "patient",
            "patient",
            "preemption: not eligible due to preemptionPolicy=Never.",
        ),
    ] {
        server.create_pod(&pod(name, "1", of_class(class))).await;
        let message = format!("0/1 nodes are available: 1 Insufficient cpu. {why}");
        server.refused(name, &message).await;
    }
    let there = server.pods().get("there").await.expect("the pod");
    assert!(there.metadata.deletion_timestamp.is_none());
    scheduler.stop().await;
}

#[tokio::test]
async fn nobody_is_driven_out_before_the_budgets_are_known() {
    let server = Server::start().await;
    classes(&server).await;
    // The guarded one is the lesser evil, were it not guarded.
    for (name, class) in [("guarded", "low"), ("free", "middle")] {
        server.create_node(node(name, "1", "4Gi")).await;
        let mut pod = pod(name, "1", of_class(class));
        pod.spec.as_mut().expect("a spec").node_name = Some(name.to_owned());
        pod.metadata.labels = from(json!({"app": name}));
        server.create_pod(&pod).await;
    }
    let budgets: Api<PodDisruptionBudget> = Api::default_namespaced(server.client.clone());
    let budget = json!({
        "metadata": {"name": "guard"}, "spec": {"minAvailable": 1, "selector": {"matchLabels": {"app": "guarded"}}},
    });
    let made = budgets.create(&PostParams::default(), &from(budget)).await;
    made.expect("the budget is created");
    server.create_pod(&pod("high", "1", of_class("high"))).await;
    // The budgets' list is answered once everything else has been listed and is watched.
    let watched = Arc::new(watch::Sender::new(HashSet::new()));
    let held = server.router().layer(from_fn(move |request: Request, next: Next| {
        let path = request.uri().path().to_owned();
        if request.uri().query().is_some_and(|query| query.contains("watch=true")) {
            watched.send_modify(|watched| {
                watched.insert(path.clone());
            });
        }
        let mut watched = watched.subscribe();
        async move {
            if path.ends_with("/poddisruptionbudgets") {
                let others = ["/api/v1/pods", "/api/v1/nodes", "/api/v1/namespaces"];
                let all = watched.wait_for(|watched| others.iter().all(|path| watched.contains(*path)));
                all.await.expect("the test goes on");
            }
            next.run(request).await
        }
    }));
    let scheduler = server.scheduler_over(Client::new(held, "default"));
    eventually("the free one is told to go", || async {
        let free = server.pods().get("free").await.expect("the pod");
        free.metadata
            .deletion_timestamp
            .map(drop)
            .ok_or_else(|| "it stays".to_owned())
    })
    .await;
    let guarded = server.pods().get("guarded").await.expect("the pod");
    assert!(guarded.metadata.deletion_timestamp.is_none(), "its budget lets none go");
    scheduler.stop().await;
}
