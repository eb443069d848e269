//! A pod's way from creation to deletion.

use serde_json::json;

use super::harness::{Cluster, condition, container, idle, phase, shell};
use crate::support::docker;

#[tokio::test(flavor = "multi_thread")]
async fn a_pod_runs_and_goes() {
    let cluster = Cluster::start().await;
    cluster
        .create(
            "web",
            json!({"containers": [idle("c")], "terminationGracePeriodSeconds": 5}),
        )
        .await;
    let pod = cluster.until_ready("web").await;

    let status = pod.status.clone().expect("a status");
    assert_eq!(status.phase.as_deref(), Some("Running"));
    assert_eq!(status.host_ip.as_deref(), Some("127.0.0.1"));
    assert!(
        status.pod_ip.is_some_and(|ip| ip.starts_with("172.")),
        "an address of Docker's bridge"
    );
    for kind in [
        "Initialized",
        "Ready",
        "ContainersReady",
        "PodScheduled",
        "PodReadyToStartContainers",
    ] {
        assert_eq!(condition(&pod, kind).as_deref(), Some("True"), "{kind}");
    }
    let shown = container(&pod, 0);
    assert_eq!(
        (&shown["restartCount"], &shown["ready"], &shown["started"]),
        (&json!(0), &json!(true), &json!(true))
    );
    assert!(
        shown["containerID"]
            .as_str()
            .is_some_and(|id| id.starts_with("docker://")),
        "{shown}"
    );
    assert!(
        shown["imageID"].as_str().is_some_and(|id| id.starts_with("docker")),
        "{shown}"
    );
    cluster.until_event("web", "Started: Started container c").await;

    cluster.delete("web", 5).await;
    cluster.until_gone("web").await;
    assert_eq!(docker::with_sandboxes(cluster.node()), [], "nothing is left in Docker");
    cluster.until_files_gone(&pod).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pod_that_ends_says_how() {
    let cluster = Cluster::start().await;
    for (name, code, reason, ends) in [("good", 0, "Completed", "Succeeded"), ("bad", 3, "Error", "Failed")] {
        let script = format!("echo bye > /dev/termination-log; exit {code}");
        cluster
            .create(
                name,
                json!({"restartPolicy": "Never", "containers": [shell("c", &script)]}),
            )
            .await;
        let pod = cluster.until(name, "the pod ended", |pod| phase(pod) == ends).await;
        let ended = container(&pod, 0)["state"]["terminated"].clone();
        assert_eq!(
            (&ended["exitCode"], &ended["reason"], &ended["message"]),
            (&json!(code), &json!(reason), &json!("bye\n")),
            "{name}"
        );
    }
}
