//! Kubelets that go away and come back, or share a Docker.

use std::collections::BTreeMap;
use std::time::Duration;

use kube::api::DeleteParams;
use reconcile::kubelet;
use serde_json::json;

use super::harness::{Cluster, container, idle, shell};
use crate::support::{docker, eventually, stays};

/// Restart counts by pod.
async fn restarts(cluster: &Cluster, names: &[String]) -> BTreeMap<String, i64> {
    let mut counts = BTreeMap::new();
    for name in names {
        let pod = cluster.get(name).await;
        counts.insert(name.clone(), container(&pod, 0)["restartCount"].as_i64().unwrap_or(0));
    }
    counts
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_kubelet_adopts_what_it_finds() {
    let mut cluster = Cluster::without_kubelet().await;
    let names = (0..3).map(|index| format!("pod-{index}")).collect::<Vec<_>>();
    for name in &names {
        cluster.create(name, json!({"containers": [idle("c")]})).await;
    }
    let mut counts = BTreeMap::new();
    // From before anything exists to well after everything runs: each moment of a start is hit by some kill.
    for milliseconds in [30, 120, 250, 400, 600, 200, 350, 900, 50, 1500] {
        cluster.start_kubelet();
        tokio::time::sleep(Duration::from_millis(milliseconds)).await;
        cluster.kill_kubelet().await;
        let now = restarts(&cluster, &names).await;
        for (name, count) in &counts {
            assert!(now[name] >= *count, "{name} fell from {count} to {}", now[name]);
        }
        counts = now;
    }
    cluster.start_kubelet();
    for name in &names {
        cluster.until_ready(name).await;
    }
    let mut pods = docker::running(cluster.node())
        .into_iter()
        .map(|container| container.pod)
        .collect::<Vec<_>>();
    pods.sort();
    assert_eq!(pods, names, "each runs once");
    assert!(
        restarts(&cluster, &names).await.values().all(|count| *count == 0),
        "nothing ended, so nothing restarted"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stopped_kubelet_leaves_everything_running() {
    let mut cluster = Cluster::start().await;
    cluster.create("web", json!({"containers": [idle("c")]})).await;
    let before = cluster.until_ready("web").await;
    cluster.stop_kubelet().await;
    assert_eq!(docker::running(cluster.node()).len(), 1);
    cluster.start_kubelet();
    cluster.create("other", json!({"containers": [idle("c")]})).await;
    cluster.until_ready("other").await;
    assert_eq!(container(&cluster.get("web").await, 0), container(&before, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_crash_loop_keeps_its_count_and_pace_over_restarts() {
    let mut cluster = Cluster::start().await;
    cluster
        .create("web", json!({"containers": [shell("c", "exit 1")]}))
        .await;
    // The first restart comes at once; only the second waits.
    let backing_off = |pod: &k8s_openapi::api::core::v1::Pod| {
        let status = container(pod, 0);
        status["restartCount"] == 1 && status["state"]["waiting"]["reason"] == "CrashLoopBackOff"
    };
    let before = cluster.until("web", "it backs off", backing_off).await;
    cluster.kill_kubelet().await;
    // Older ones may be cleared away meanwhile; none may be added.
    let known = docker::containers(cluster.node());
    cluster.start_kubelet();
    stays("the back-off holds", Duration::from_secs(3), || {
        let all = docker::containers(cluster.node());
        match all.iter().find(|one| known.iter().all(|other| other.id != one.id)) {
            None => Ok(()),
            Some(made) => Err(format!("{made:?} was made")),
        }
    });
    let after = cluster
        .until("web", "it is tried again", |pod| container(pod, 0)["restartCount"] == 2)
        .await;
    assert_eq!(container(&before, 0)["restartCount"], 1);
    assert_eq!(after.metadata.uid, before.metadata.uid);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_deleted_meanwhile_is_stopped_gracefully() {
    let mut cluster = Cluster::start().await;
    let outside = tempfile::tempdir().expect("a directory");
    let mut polite = shell(
        "c",
        "trap 'echo bye > /out/bye; exit 0' TERM; while true; do sleep 0.1; done",
    );
    polite["volumeMounts"] = json!([{"name": "out", "mountPath": "/out"}]);
    let volumes = json!([{"name": "out", "hostPath": {"path": outside.path()}}]);
    cluster
        .create("web", json!({"containers": [polite], "volumes": volumes}))
        .await;
    let pod = cluster.until_ready("web").await;
    cluster.kill_kubelet().await;
    let now = DeleteParams::default().grace_period(0);
    cluster.pods().delete("web", &now).await.expect("deleted");
    cluster.until_gone("web").await;
    cluster.start_kubelet();
    eventually("its containers are gone", Duration::from_secs(40), || {
        let left = docker::with_sandboxes(cluster.node());
        if left.is_empty() {
            Ok(())
        } else {
            Err(format!("{left:?}"))
        }
    });
    assert_eq!(
        std::fs::read_to_string(outside.path().join("bye")).expect("its last words"),
        "bye\n"
    );
    cluster.until_files_gone(&pod).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_api_that_cannot_be_read_stops_nothing() {
    let mut cluster = Cluster::start().await;
    cluster.create("web", json!({"containers": [idle("c")]})).await;
    cluster.until_ready("web").await;
    cluster.kill_kubelet().await;
    let refuse = axum::Router::new().fallback(|| async { axum::http::StatusCode::SERVICE_UNAVAILABLE });
    let good = std::mem::replace(&mut cluster.client, kube::Client::new(refuse, "default"));
    cluster.start_kubelet();
    stays(
        "the container runs",
        Duration::from_secs(3),
        || match docker::running(cluster.node()).len() {
            1 => Ok(()),
            count => Err(format!("{count} run")),
        },
    );
    cluster.kill_kubelet().await;
    cluster.client = good;
}

#[tokio::test(flavor = "multi_thread")]
async fn two_nodes_share_a_docker() {
    let one = Cluster::start().await;
    let mut two = Cluster::start().await;
    one.create("web", json!({"containers": [idle("c")]})).await;
    two.create(
        "web",
        json!({"containers": [idle("c")], "terminationGracePeriodSeconds": 1}),
    )
    .await;
    one.until_ready("web").await;
    two.until_ready("web").await;
    let before = docker::running(one.node());
    two.stop_kubelet().await;
    let taken = kubelet::down(&two.config).await.expect("taken down");
    assert_eq!((taken.containers, taken.sandboxes), (1, 1));
    assert_eq!(docker::with_sandboxes(two.node()), []);
    assert_eq!(docker::running(one.node()), before, "the other's are left alone");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_name_is_free_again_at_once() {
    let cluster = Cluster::start().await;
    cluster
        .create(
            "web",
            json!({"containers": [idle("c")], "terminationGracePeriodSeconds": 5}),
        )
        .await;
    let first = cluster.until_ready("web").await;
    cluster.delete("web", 0).await;
    cluster.until_gone("web").await;
    cluster.create("web", json!({"containers": [idle("c")]})).await;
    let second = cluster.until_ready("web").await;
    assert_ne!(first.metadata.uid, second.metadata.uid);
    eventually("only the second runs", Duration::from_secs(20), || {
        let running = docker::with_sandboxes(cluster.node());
        let stale = running
            .iter()
            .filter(|container| Some(&container.uid) != second.metadata.uid.as_ref())
            .count();
        if stale == 0 && running.len() == 2 {
            Ok(())
        } else {
            Err(format!("{running:?}"))
        }
    });
}
