//! Containers that end and start again.

use kube::api::{Patch, PatchParams};
use serde_json::json;

use super::harness::{Cluster, container, idle, phase, shell};
use crate::support::{docker, images};

#[tokio::test(flavor = "multi_thread")]
async fn a_crash_loop_is_told() {
    let cluster = Cluster::start().await;
    cluster
        .create("web", json!({"containers": [shell("c", "exit 7")]}))
        .await;
    let pod = cluster
        .until("web", "it is in its back-off", |pod| {
            container(pod, 0)["state"]["waiting"]["reason"] == "CrashLoopBackOff"
        })
        .await;
    let shown = container(&pod, 0);
    assert_eq!(shown["lastState"]["terminated"]["exitCode"], 7);
    assert_eq!(shown["lastState"]["terminated"]["reason"], "Error");
    assert_eq!(shown["restartCount"], 1, "the first restart is at once");
    assert_eq!(phase(&pod), "Running");
    cluster
        .until_event(
            "web",
            "BackOff: Back-off restarting failed container c in pod web_default",
        )
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_image_changes_in_place() {
    images::ensure(images::BUSYBOX_2);
    let cluster = Cluster::start().await;
    let spec = json!({"containers": [idle("a"), idle("b")], "terminationGracePeriodSeconds": 2});
    cluster.create("web", spec).await;
    let before = cluster.until_ready("web").await;
    let patch = json!({"spec": {"containers": [{"name": "a", "image": images::BUSYBOX_2}]}});
    let patched = cluster
        .pods()
        .patch("web", &PatchParams::default(), &Patch::Strategic(patch))
        .await;
    patched.expect("patched");
    let after = cluster
        .until("web", "the new image runs", |pod| {
            container(pod, 0)["image"] == images::BUSYBOX_2 && container(pod, 0)["ready"] == true
        })
        .await;
    assert_eq!(after.metadata.uid, before.metadata.uid);
    assert_eq!(container(&after, 0)["restartCount"], 1);
    assert_ne!(container(&after, 0)["imageID"], container(&before, 0)["imageID"]);
    assert_eq!(
        container(&after, 1)["containerID"],
        container(&before, 1)["containerID"],
        "the other runs on"
    );
    assert_eq!(
        after.status.expect("a status").pod_ip,
        before.status.expect("a status").pod_ip
    );
    cluster
        .until_event("web", "Killing: Container a definition changed, will be restarted")
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_label_changes_nothing_that_runs_and_nothing_is_written_for_nothing() {
    let cluster = Cluster::start().await;
    cluster.create("web", json!({"containers": [idle("c")]})).await;
    let before = cluster.until_ready("web").await;
    let patch = json!({"metadata": {"labels": {"new": "label"}}});
    let patched = cluster
        .pods()
        .patch("web", &PatchParams::default(), &Patch::Merge(patch))
        .await
        .expect("patched");
    // Another pod's whole start is time enough for a needless write to this one.
    cluster.create("other", json!({"containers": [idle("c")]})).await;
    cluster.until_ready("other").await;
    let after = cluster.get("web").await;
    assert_eq!(container(&after, 0), container(&before, 0));
    assert_eq!(after.metadata.resource_version, patched.metadata.resource_version);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_others_kill_comes_back() {
    let cluster = Cluster::start().await;
    cluster.create("web", json!({"containers": [idle("c")]})).await;
    cluster.until_ready("web").await;
    let running = docker::running(cluster.node());
    docker::docker(&["kill", &running[0].id]);
    let pod = cluster
        .until("web", "the container runs again", |pod| {
            container(pod, 0)["restartCount"] == 1 && container(pod, 0)["ready"] == true
        })
        .await;
    let ended = container(&pod, 0)["lastState"]["terminated"].clone();
    assert_eq!(
        (&ended["exitCode"], &ended["reason"]),
        (&json!(137), &json!("Error")),
        "a kill is not want of memory"
    );

    let all = docker::with_sandboxes(cluster.node());
    let sandbox = all
        .iter()
        .find(|container| container.kind == "podsandbox")
        .expect("a sandbox");
    docker::docker(&["rm", "-f", &sandbox.id]);
    cluster.until_event("web", "SandboxChanged: ").await;
    cluster
        .until("web", "it runs in a new sandbox", |pod| {
            container(pod, 0)["restartCount"] == 2 && container(pod, 0)["ready"] == true
        })
        .await;
    let all = docker::with_sandboxes(cluster.node());
    assert_eq!(all.iter().filter(|container| container.kind == "podsandbox").count(), 1);
    assert_eq!(docker::running(cluster.node()).len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deadline_fails_the_pod() {
    let cluster = Cluster::start().await;
    let spec = json!({"containers": [idle("c")], "activeDeadlineSeconds": 3, "terminationGracePeriodSeconds": 2});
    cluster.create("web", spec).await;
    let pod = cluster.until("web", "it failed", |pod| phase(pod) == "Failed").await;
    assert_eq!(
        pod.status.expect("a status").reason.as_deref(),
        Some("DeadlineExceeded")
    );
    assert_eq!(docker::running(cluster.node()), []);
}

#[tokio::test(flavor = "multi_thread")]
async fn want_of_memory_is_told() {
    let cluster = Cluster::start().await;
    let mut hungry = shell("c", "x=0123456789abcdef; while true; do x=$x$x; done");
    hungry["resources"] = json!({"limits": {"memory": "16Mi"}});
    cluster
        .create("web", json!({"restartPolicy": "Never", "containers": [hungry]}))
        .await;
    let pod = cluster.until("web", "it failed", |pod| phase(pod) == "Failed").await;
    let ended = container(&pod, 0)["state"]["terminated"].clone();
    assert_eq!(
        (&ended["reason"], &ended["exitCode"]),
        (&json!("OOMKilled"), &json!(137)),
        "{ended}"
    );
}
