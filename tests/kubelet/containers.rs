//! What containers are started with, and in which order.

use k8s_openapi::api::core::v1::{ConfigMap, Secret};
use kube::Api;
use kube::api::PostParams;
use serde_json::{Value, json};

use super::harness::{Cluster, container, idle, phase, shell};
use crate::support::{docker, images};

/// Runs a shell script to its end and returns what it printed.
async fn output(cluster: &Cluster, name: &str, mut spec: Value, script: &str) -> String {
    spec["restartPolicy"] = json!("Never");
    spec["containers"][0]["name"] = json!("c");
    spec["containers"][0]["image"] = json!(images::BUSYBOX);
    spec["containers"][0]["command"] = json!(["sh", "-c", script]);
    cluster.create(name, spec).await;
    let pod = cluster
        .until(name, "it ended", |pod| matches!(phase(pod), "Succeeded" | "Failed"))
        .await;
    assert_eq!(phase(&pod), "Succeeded", "{:#?}", pod.status);
    let id = container(&pod, 0)["containerID"]
        .as_str()
        .expect("an id")
        .trim_start_matches("docker://")
        .to_owned();
    docker::docker(&["logs", &id])
}

async fn create_sources(cluster: &Cluster) {
    let map = json!({"metadata": {"name": "map"}, "data": {"KEY": "from map", "OTHER": "o"}});
    let secret = json!({"metadata": {"name": "secret"}, "stringData": {"PASSWORD": "s3cret"}});
    let maps = Api::<ConfigMap>::default_namespaced(cluster.client.clone());
    maps.create(&PostParams::default(), &serde_json::from_value(map).expect("a map"))
        .await
        .expect("created");
    let secrets = Api::<Secret>::default_namespaced(cluster.client.clone());
    secrets
        .create(
            &PostParams::default(),
            &serde_json::from_value(secret).expect("a secret"),
        )
        .await
        .expect("created");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_environment() {
    let cluster = Cluster::start().await;
    create_sources(&cluster).await;
    let env = json!([
        {"name": "PLAIN", "value": "1"},
        {"name": "EXPANDED", "value": "$(PLAIN)-$(M_OTHER)-$(NONE)-$$(PLAIN)"},
        {"name": "NAME", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}},
        {"name": "NODE", "valueFrom": {"fieldRef": {"fieldPath": "spec.nodeName"}}},
        {"name": "IP", "valueFrom": {"fieldRef": {"fieldPath": "status.podIP"}}},
        {"name": "KEY", "valueFrom": {"configMapKeyRef": {"name": "map", "key": "KEY"}}},
        {"name": "PASSWORD", "valueFrom": {"secretKeyRef": {"name": "secret", "key": "PASSWORD"}}},
        {"name": "ABSENT", "valueFrom": {"configMapKeyRef": {"name": "none", "key": "x", "optional": true}}},
        {"name": "CPU", "valueFrom": {"resourceFieldRef": {"resource": "limits.cpu", "divisor": "1m"}}},
        {"name": "MEMORY", "valueFrom": {"resourceFieldRef": {"resource": "limits.memory", "divisor": "1Mi"}}},
    ]);
    let resources = json!({"limits": {"cpu": "250m", "memory": "64Mi"}});
    let env_from = json!([{"prefix": "M_", "configMapRef": {"name": "map"}}]);
    let spec = json!({"containers": [{"env": env, "envFrom": env_from, "resources": resources, "args": []}]});
    let printed = output(&cluster, "env", spec, "env; hostname -i").await;
    let node = cluster.node().to_owned();
    for line in [
        "PLAIN=1",
        "EXPANDED=1-o-$(NONE)-$(PLAIN)",
        "NAME=env",
        &format!("NODE={node}"),
        "KEY=from map",
        "PASSWORD=s3cret",
        "M_KEY=from map",
        "CPU=250",
        "MEMORY=64",
        "HOSTNAME=env",
    ] {
        assert!(printed.lines().any(|printed| printed == line), "{line} in\n{printed}");
    }
    assert!(!printed.contains("ABSENT"), "{printed}");
    let ip = printed
        .lines()
        .find_map(|line| line.strip_prefix("IP="))
        .expect("an address");
    assert!(
        printed.lines().any(|line| line == ip),
        "the address is the pod's own: {printed}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_missing_config_map_holds_the_container_until_it_comes() {
    let cluster = Cluster::start().await;
    let mut waiting = idle("c");
    waiting["env"] = json!([{"name": "KEY", "valueFrom": {"configMapKeyRef": {"name": "map", "key": "KEY"}}}]);
    cluster.create("web", json!({"containers": [waiting]})).await;
    let reason = |pod: &k8s_openapi::api::core::v1::Pod| container(pod, 0)["state"]["waiting"]["reason"].clone();
    cluster
        .until("web", "it says why", |pod| reason(pod) == "CreateContainerConfigError")
        .await;
    cluster
        .until_event("web", "Failed: Error: configmap \"map\" not found")
        .await;
    create_sources(&cluster).await;
    cluster.until_ready("web").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn commands_and_arguments() {
    let cluster = Cluster::start().await;
    let container = json!({
        "name": "c", "image": images::BUSYBOX, "command": ["echo"], "args": ["$(A)", "$$(A)", "$(B)"],
        "workingDir": "/tmp", "env": [{"name": "A", "value": "1"}], "terminationMessagePolicy": "FallbackToLogsOnError",
    });
    cluster
        .create("echo", json!({"restartPolicy": "Never", "containers": [container]}))
        .await;
    cluster.until("echo", "it ended", |pod| phase(pod) == "Succeeded").await;
    let ended = docker::containers(cluster.node());
    assert_eq!(docker::docker(&["logs", &ended[0].id]), "1 $(A) $(B)\n");
    assert_eq!(
        docker::docker(&["inspect", "--format", "{{.Config.WorkingDir}}", &ended[0].id]),
        "/tmp\n"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_log_stands_in_for_a_message_after_a_failure() {
    let cluster = Cluster::start().await;
    let mut failing = shell("c", "echo what went wrong; exit 1");
    failing["terminationMessagePolicy"] = json!("FallbackToLogsOnError");
    cluster
        .create("web", json!({"restartPolicy": "Never", "containers": [failing]}))
        .await;
    let pod = cluster.until("web", "it ended", |pod| phase(pod) == "Failed").await;
    assert_eq!(
        container(&pod, 0)["state"]["terminated"]["message"],
        "what went wrong\n"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_program_that_is_not_there_cannot_run() {
    let cluster = Cluster::start().await;
    let missing = json!({"name": "c", "image": images::BUSYBOX, "command": ["/no/such/program"]});
    cluster
        .create("web", json!({"restartPolicy": "Never", "containers": [missing]}))
        .await;
    let pod = cluster.until("web", "it failed", |pod| phase(pod) == "Failed").await;
    let ended = container(&pod, 0)["state"]["terminated"].clone();
    assert_eq!(
        (&ended["reason"], &ended["exitCode"]),
        (&json!("ContainerCannotRun"), &json!(127)),
        "{ended}"
    );
    cluster
        .until_event("web", "Failed: Error: failed to start container \"c\"")
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn init_containers_come_first_and_sidecars_stay() {
    let cluster = Cluster::start().await;
    let mount = json!([{"name": "shared", "mountPath": "/shared"}]);
    let with_mount = |mut container: Value| {
        container["volumeMounts"] = mount.clone();
        container
    };
    let mut sidecar = with_mount(shell(
        "s",
        "trap 'echo s >> /shared/order; exit 0' TERM; while true; do sleep 0.1; done",
    ));
    sidecar["restartPolicy"] = json!("Always");
    let spec = json!({
        "restartPolicy": "Never",
        "volumes": [{"name": "shared", "emptyDir": {}}],
        "initContainers": [
            with_mount(shell("i", "echo i >> /shared/order")),
            sidecar,
            with_mount(shell("j", "echo j >> /shared/order")),
        ],
        "containers": [with_mount(shell("c", "echo c >> /shared/order; cat /shared/order"))],
    });
    let created = cluster.create("web", spec).await;
    let pod = cluster.until("web", "it ended", |pod| phase(pod) == "Succeeded").await;
    let order = std::fs::read_to_string(cluster.pod_dir(&created).join("volumes/shared/order")).expect("the order");
    assert_eq!(order.split_whitespace().collect::<Vec<_>>(), ["i", "j", "c", "s"]);
    let status = serde_json::to_value(pod.status).expect("JSON");
    for index in [0, 2] {
        assert_eq!(
            status["initContainerStatuses"][index]["state"]["terminated"]["reason"],
            "Completed"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn hooks_run_after_the_start_and_before_the_end() {
    let cluster = Cluster::start().await;
    let mut hooked = idle("c");
    hooked["volumeMounts"] = json!([{"name": "shared", "mountPath": "/shared"}]);
    hooked["lifecycle"] = json!({
        "postStart": {"exec": {"command": ["sh", "-c", "echo begun >> /shared/hooks"]}},
        "preStop": {"exec": {"command": ["sh", "-c", "cat /shared/hooks > /out/hooks; echo ending >> /out/hooks"]}},
    });
    let outside = tempfile::tempdir().expect("a directory");
    hooked["volumeMounts"]
        .as_array_mut()
        .expect("mounts")
        .push(json!({"name": "out", "mountPath": "/out"}));
    let volumes = json!([
        {"name": "shared", "emptyDir": {}},
        {"name": "out", "hostPath": {"path": outside.path(), "type": "Directory"}},
    ]);
    cluster
        .create(
            "web",
            json!({"containers": [hooked], "volumes": volumes, "terminationGracePeriodSeconds": 10}),
        )
        .await;
    cluster.until_ready("web").await;
    cluster.delete("web", 10).await;
    cluster.until_gone("web").await;
    assert_eq!(
        std::fs::read_to_string(outside.path().join("hooks")).expect("hooks"),
        "begun\nending\n"
    );
}
