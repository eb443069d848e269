//! Probes decide who is ready and who starts again.

use serde_json::json;

use super::harness::{Cluster, condition, container, idle, is_ready, phase, shell};

#[tokio::test(flavor = "multi_thread")]
async fn a_pod_is_ready_when_its_probe_says_so() {
    let cluster = Cluster::start().await;
    let outside = tempfile::tempdir().expect("a directory");
    let mut probed = idle("c");
    probed["volumeMounts"] = json!([{"name": "out", "mountPath": "/out"}]);
    probed["readinessProbe"] =
        json!({"exec": {"command": ["cat", "/out/ready"]}, "periodSeconds": 1, "failureThreshold": 1});
    let volumes = json!([{"name": "out", "hostPath": {"path": outside.path()}}]);
    cluster
        .create("web", json!({"containers": [probed], "volumes": volumes}))
        .await;
    let pod = cluster.until("web", "it runs", |pod| phase(pod) == "Running").await;
    assert_eq!(condition(&pod, "Ready").as_deref(), Some("False"));
    cluster
        .until_event("web", "Unhealthy: Readiness probe failed: cat: ")
        .await;
    std::fs::write(outside.path().join("ready"), "").expect("written");
    cluster.until_ready("web").await;
    std::fs::remove_file(outside.path().join("ready")).expect("removed");
    let pod = cluster
        .until("web", "it is not ready any more", |pod| !is_ready(pod))
        .await;
    assert_eq!(container(&pod, 0)["restartCount"], 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dead_container_is_restarted() {
    let cluster = Cluster::start().await;
    let mut probed = shell(
        "c",
        "trap 'exit 0' TERM; touch /alive; sleep 3; rm /alive; while true; do sleep 0.1; done",
    );
    probed["livenessProbe"] =
        json!({"exec": {"command": ["cat", "/alive"]}, "periodSeconds": 1, "failureThreshold": 2});
    cluster
        .create(
            "web",
            json!({"containers": [probed], "terminationGracePeriodSeconds": 2}),
        )
        .await;
    cluster
        .until("web", "it was restarted", |pod| container(pod, 0)["restartCount"] == 1)
        .await;
    cluster
        .until_event("web", "Killing: Container c failed liveness probe, will be restarted")
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn http_and_tcp_probes_reach_the_pod() {
    let cluster = Cluster::start().await;
    let mut web = shell("c", "mkdir /www; echo ok > /www/healthy; httpd -f -p 8080 -h /www");
    web["ports"] = json!([{"name": "web", "containerPort": 8080}]);
    web["startupProbe"] = json!({"tcpSocket": {"port": 8080}, "periodSeconds": 1, "failureThreshold": 30});
    web["readinessProbe"] = json!({"httpGet": {"path": "/healthy", "port": "web"}, "periodSeconds": 1});
    let mut absent = web.clone();
    absent["readinessProbe"] = json!({"httpGet": {"path": "/absent", "port": "web"}, "periodSeconds": 1});
    cluster
        .create("good", json!({"containers": [web], "terminationGracePeriodSeconds": 1}))
        .await;
    cluster
        .create(
            "bad",
            json!({"containers": [absent], "terminationGracePeriodSeconds": 1}),
        )
        .await;
    cluster.until_ready("good").await;
    cluster
        .until_event(
            "bad",
            "Unhealthy: Readiness probe failed: HTTP probe failed with statuscode: 404",
        )
        .await;
    // The event may come before the status that tells of the passed startup probe.
    let pod = cluster
        .until("bad", "the pod has started", |pod| container(pod, 0)["started"] == true)
        .await;
    assert!(!is_ready(&pod));
}
