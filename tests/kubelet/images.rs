//! Images that are there, have to be pulled, or cannot be.

use kube::api::{Patch, PatchParams};
use serde_json::json;

use super::harness::{Cluster, container, idle};
use crate::support::registry::Registry;
use crate::support::{docker, images};

#[tokio::test(flavor = "multi_thread")]
async fn an_image_is_pulled_when_its_policy_says_so() {
    let cluster = Cluster::start().await;
    let registry = Registry::start();
    let image = registry.publish(images::BUSYBOX, "tool:1");
    let with = |policy: &str| {
        let mut container = idle("c");
        container["image"] = json!(image);
        container["imagePullPolicy"] = json!(policy);
        json!({"containers": [container], "terminationGracePeriodSeconds": 1})
    };
    cluster.create("first", with("IfNotPresent")).await;
    let pod = cluster.until_ready("first").await;
    let id = container(&pod, 0)["imageID"].as_str().expect("an id").to_owned();
    assert!(id.starts_with("docker-pullable://") && id.contains("@sha256:"), "{id}");
    for beginning in [
        "Pulling: Pulling image",
        "Pulled: Successfully pulled image",
        "Created: ",
        "Started: ",
    ] {
        cluster.until_event("first", beginning).await;
    }
    cluster.create("second", with("IfNotPresent")).await;
    cluster.until_ready("second").await;
    cluster
        .until_event(
            "second",
            &format!("Pulled: Container image \"{image}\" already present on machine"),
        )
        .await;
    cluster.create("third", with("Always")).await;
    cluster.until_ready("third").await;
    cluster.until_event("third", "Pulled: Successfully pulled image").await;
    for name in ["first", "second", "third"] {
        cluster.delete(name, 1).await;
        cluster.until_gone(name).await;
    }
    docker::docker(&["rmi", "-f", &image]);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_image_that_cannot_be_had_says_why_and_a_better_one_is_tried_at_once() {
    let cluster = Cluster::start().await;
    // Nothing listens on the discard port.
    let mut missing = idle("c");
    missing["image"] = json!("127.0.0.1:9/none:1");
    missing["imagePullPolicy"] = json!("IfNotPresent");
    cluster.create("web", json!({"containers": [missing]})).await;
    let reason = |pod: &k8s_openapi::api::core::v1::Pod| container(pod, 0)["state"]["waiting"]["reason"].clone();
    cluster
        .until("web", "the pull failed", |pod| reason(pod) == "ErrImagePull")
        .await;
    cluster
        .until("web", "it backs off", |pod| reason(pod) == "ImagePullBackOff")
        .await;
    cluster
        .until_event("web", "Failed: Failed to pull image \"127.0.0.1:9/none:1\"")
        .await;
    cluster.until_event("web", "BackOff: Back-off pulling image").await;
    let patch = json!({"spec": {"containers": [{"name": "c", "image": images::BUSYBOX}]}});
    cluster
        .pods()
        .patch("web", &PatchParams::default(), &Patch::Strategic(patch))
        .await
        .expect("patched");
    let pod = cluster.until_ready("web").await;
    assert_eq!(container(&pod, 0)["restartCount"], 0, "the first start is no restart");
}

#[tokio::test(flavor = "multi_thread")]
async fn images_that_no_pull_can_mend() {
    let cluster = Cluster::start().await;
    for (name, image, policy, expected) in [
        ("never", "127.0.0.1:9/none:1", "Never", "ErrImageNeverPull"),
        ("malformed", "Not/A:Name:At-all", "IfNotPresent", "InvalidImageName"),
    ] {
        let mut bad = idle("c");
        bad["image"] = json!(image);
        bad["imagePullPolicy"] = json!(policy);
        cluster.create(name, json!({"containers": [bad]})).await;
        cluster
            .until(name, expected, |pod| {
                container(pod, 0)["state"]["waiting"]["reason"] == expected
            })
            .await;
    }
}
