//! What volumes hold, who may write them, and how they follow their objects.

use std::time::Duration;

use k8s_openapi::api::core::v1::{ConfigMap, Secret};
use kube::Api;
use kube::api::{Patch, PatchParams, PostParams};
use serde_json::{Value, json};

use super::harness::{Cluster, container, phase, shell};
use crate::support::docker;

async fn create(cluster: &Cluster) {
    let map = json!({"metadata": {"name": "map"}, "data": {"a": "1", "b": "2"}});
    let secret = json!({"metadata": {"name": "secret"}, "stringData": {"key": "s3cret"}});
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

/// Runs the script with these volumes and returns what it printed.
async fn output(cluster: &Cluster, name: &str, volumes: Value, mounts: Value, script: &str) -> String {
    let mut run = shell("c", script);
    run["volumeMounts"] = mounts;
    let spec = json!({"restartPolicy": "Never", "containers": [run], "volumes": volumes});
    cluster.create(name, spec).await;
    let pod = cluster
        .until(name, "it ended", |pod| matches!(phase(pod), "Succeeded" | "Failed"))
        .await;
    let id = container(&pod, 0)["containerID"]
        .as_str()
        .expect("an id")
        .trim_start_matches("docker://")
        .to_owned();
    let printed = docker::docker(&["logs", &id]);
    assert_eq!(phase(&pod), "Succeeded", "{printed}");
    printed
}

#[tokio::test(flavor = "multi_thread")]
async fn files_from_objects() {
    let cluster = Cluster::start().await;
    create(&cluster).await;
    let volumes = json!([
        {"name": "map", "configMap": {"name": "map"}},
        {"name": "items", "configMap": {"name": "map", "items": [{"key": "a", "path": "dir/file", "mode": 0o400}]}},
        {"name": "secret", "secret": {"secretName": "secret", "defaultMode": 0o440}},
        {"name": "down", "downwardAPI": {"items": [{"path": "name", "fieldRef": {"fieldPath": "metadata.name"}}]}},
        {"name": "all", "projected": {"sources": [
            {"configMap": {"name": "map"}}, {"secret": {"name": "secret"}},
            {"configMap": {"name": "none", "optional": true}},
        ]}},
    ]);
    let mount = |name: &str| json!({"name": name, "mountPath": format!("/{name}")});
    let mut mounts = ["map", "items", "secret", "down", "all"].map(mount).to_vec();
    mounts.push(json!({"name": "map", "mountPath": "/one", "subPath": "b"}));
    let script = "set -e; cat /map/a /map/b; echo; stat -L -c %a /items/dir/file /secret/key; \
                  cat /secret/key; echo; cat /down/name; echo; ls /all | tr '\\n' ' '; echo; cat /one; echo; \
                  if echo x > /map/a; then echo written; else echo refused; fi";
    let printed = output(&cluster, "files", volumes, json!(mounts), script).await;
    assert_eq!(
        printed.lines().collect::<Vec<_>>(),
        ["12", "400", "440", "s3cret", "files", "a b key ", "2", "refused"]
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_changed_config_map_reaches_the_running_pod() {
    let mut cluster = Cluster::without_kubelet().await;
    cluster.config.refresh_volumes = Duration::from_millis(200);
    cluster.start_kubelet();
    create(&cluster).await;
    let script = "trap 'exit 0' TERM; until [ \"$(cat /map/a)\" = changed ]; do sleep 0.1; done; [ ! -e /map/b ]";
    let mut waiting = shell("c", script);
    waiting["volumeMounts"] = json!([{"name": "map", "mountPath": "/map"}]);
    let volumes = json!([{"name": "map", "configMap": {"name": "map"}}]);
    let spec = json!({"restartPolicy": "Never", "containers": [waiting], "volumes": volumes});
    cluster.create("web", spec).await;
    cluster.until_ready("web").await;
    let maps = Api::<ConfigMap>::default_namespaced(cluster.client.clone());
    let patch = json!({"data": {"a": "changed", "b": null}});
    maps.patch("map", &PatchParams::default(), &Patch::Merge(patch))
        .await
        .expect("patched");
    cluster
        .until("web", "it saw the change", |pod| phase(pod) == "Succeeded")
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn empty_directories_are_shared_and_outlive_a_container() {
    let cluster = Cluster::start().await;
    let mounts = json!([{"name": "disk", "mountPath": "/disk"}, {"name": "memory", "mountPath": "/memory"}]);
    let script = "if [ -e /disk/x ] && [ -e /memory/x ]; then mount | grep -q 'tmpfs on /memory' && exit 0; exit 2; fi; \
                  touch /disk/x /memory/x; exit 1";
    let mut twice = shell("c", script);
    twice["volumeMounts"] = mounts;
    let volumes = json!([
        {"name": "disk", "emptyDir": {}},
        {"name": "memory", "emptyDir": {"medium": "Memory", "sizeLimit": "16Mi"}},
    ]);
    let spec = json!({"restartPolicy": "OnFailure", "containers": [twice], "volumes": volumes});
    let created = cluster.create("web", spec).await;
    let pod = cluster
        .until("web", "it ended well", |pod| phase(pod) == "Succeeded")
        .await;
    assert_eq!(container(&pod, 0)["restartCount"], 1);
    cluster.delete("web", 1).await;
    cluster.until_gone("web").await;
    cluster.until_files_gone(&created).await;
    let label = format!("label={}={}", docker::NODE_LABEL, cluster.node());
    assert_eq!(
        docker::docker(&["volume", "ls", "-q", "--filter", &label]),
        "",
        "the volume in memory is gone"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_group_owns_the_files() {
    let cluster = Cluster::start().await;
    create(&cluster).await;
    let mut run = shell(
        "c",
        "id -G; stat -L -c %g /secret/key /disk; cat /secret/key > /disk/copy && cat /disk/copy",
    );
    run["volumeMounts"] = json!([{"name": "disk", "mountPath": "/disk"}, {"name": "secret", "mountPath": "/secret"}]);
    let volumes = json!([{"name": "disk", "emptyDir": {}}, {"name": "secret", "secret": {"secretName": "secret", "defaultMode": 0o400}}]);
    let context = json!({"runAsUser": 1000, "runAsGroup": 1000, "fsGroup": 2000, "supplementalGroups": [3000]});
    let spec = json!({"restartPolicy": "Never", "containers": [run], "volumes": volumes, "securityContext": context});
    cluster.create("web", spec).await;
    let pod = cluster
        .until("web", "it ended", |pod| matches!(phase(pod), "Succeeded" | "Failed"))
        .await;
    let id = container(&pod, 0)["containerID"]
        .as_str()
        .expect("an id")
        .trim_start_matches("docker://")
        .to_owned();
    let printed = docker::docker(&["logs", &id]);
    assert_eq!(
        printed.lines().collect::<Vec<_>>(),
        ["1000 2000 3000", "2000", "2000", "s3cret"]
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_volume_that_cannot_be_made_says_why() {
    let cluster = Cluster::start().await;
    let token = json!({"projected": {"sources": [{"serviceAccountToken": {"path": "token"}}]}});
    for (name, mut volume, expected) in [
        (
            "map",
            json!({"configMap": {"name": "none"}}),
            "configmap \"none\" not found",
        ),
        (
            "file",
            json!({"hostPath": {"path": "/etc", "type": "File"}}),
            "hostPath type check failed: /etc is not a File",
        ),
        ("token", token, "projected service account tokens are not supported yet"),
    ] {
        volume["name"] = json!("v");
        let mut run = shell("c", "true");
        run["volumeMounts"] = json!([{"name": "v", "mountPath": "/v"}]);
        cluster
            .create(name, json!({"containers": [run], "volumes": [volume]}))
            .await;
        let beginning = format!("FailedMount: MountVolume.SetUp failed for volume \"v\" : {expected}");
        cluster.until_event(name, &beginning).await;
    }
    assert_eq!(
        docker::with_sandboxes(cluster.node()),
        [],
        "nothing was made for nothing"
    );
}
