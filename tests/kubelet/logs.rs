//! The log server: who may read, and what.

use std::time::{Duration, Instant};

use k8s_openapi::api::core::v1::Node;
use kube::Api;
use rcgen::{BasicConstraints, CertificateParams, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair};
use serde_json::json;

use super::harness::{Cluster, PATIENCE, container, idle, phase, shell};

/// A CA, and a client certificate of it with its key, as PEM.
struct Pki {
    ca: String,
    client: String,
}

fn pki() -> Pki {
    let key = KeyPair::generate().expect("a key");
    let mut params = CertificateParams::new(Vec::new()).expect("parameters");
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let ca = params.self_signed(&key).expect("a CA");
    let issuer = Issuer::new(params, key);
    let client_key = KeyPair::generate().expect("a key");
    let mut params = CertificateParams::new(vec!["kube-apiserver".to_owned()]).expect("parameters");
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
    let client = params.signed_by(&client_key, &issuer).expect("a certificate");
    Pki {
        ca: ca.pem(),
        client: format!("{}{}", client.pem(), client_key.serialize_pem()),
    }
}

fn client(identity: Option<&str>) -> reqwest::Client {
    let builder = reqwest::Client::builder()
        .danger_accept_invalid_certs(true)
        .timeout(PATIENCE);
    let builder = match identity {
        Some(pem) => builder.identity(reqwest::Identity::from_pem(pem.as_bytes()).expect("an identity")),
        None => builder,
    };
    builder.build().expect("a client")
}

/// A cluster whose kubelet trusts this CA, and where its logs are.
async fn start(pki: &Pki) -> (Cluster, String) {
    let mut cluster = Cluster::without_kubelet().await;
    cluster.config.client_ca = Some(pki.ca.clone());
    cluster.start_kubelet();
    let api = Api::<Node>::all(cluster.client.clone());
    let begun = Instant::now();
    loop {
        let node = api.get_opt(cluster.node()).await.expect("an answer");
        let endpoint = node.and_then(|node| node.status?.daemon_endpoints?.kubelet_endpoint);
        // A node that is new has the port 0 until its first status is written.
        if let Some(endpoint) = endpoint.filter(|endpoint| endpoint.port > 0) {
            let url = format!("https://127.0.0.1:{}/containerLogs/default", endpoint.port);
            return (cluster, url);
        }
        assert!(begun.elapsed() < PATIENCE, "the node has no port");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn logs_are_for_those_with_a_certificate() {
    let ours = pki();
    let (cluster, url) = start(&ours).await;
    let script = "echo one; echo two >&2; printf three";
    cluster
        .create(
            "web",
            json!({"restartPolicy": "Never", "containers": [shell("c", script)]}),
        )
        .await;
    cluster.until("web", "it ended", |pod| phase(pod) == "Succeeded").await;
    let get = async |client: &reqwest::Client, path: &str| {
        let answer = client.get(format!("{url}/{path}")).send().await.expect("an answer");
        (answer.status().as_u16(), answer.text().await.expect("a text"))
    };
    let known = client(Some(&ours.client));
    let (status, text) = get(&known, "web/c").await;
    assert_eq!(status, 200);
    let mut lines = text.lines().collect::<Vec<_>>();
    lines.sort_unstable();
    assert_eq!(lines, ["one", "three", "two"]);
    assert_eq!(get(&known, "web/c?tailLines=1").await, (200, "three".to_owned()));
    assert_eq!(get(&known, "web/c?limitBytes=2").await.1.len(), 2);
    let stamped = get(&known, "web/c?timestamps=true&tailLines=1").await.1;
    assert!(stamped.starts_with("20") && stamped.ends_with("Z three"), "{stamped}");
    assert_eq!(get(&known, "web/none").await.0, 404);
    assert_eq!(get(&known, "none/c").await.0, 404);
    let (status, text) = get(&known, "web/c?previous=true").await;
    assert_eq!(status, 400);
    assert!(
        text.contains("previous terminated container \"c\" in pod \"web\" not found"),
        "{text}"
    );

    assert_eq!(get(&client(None), "web/c").await.0, 401);
    let stranger = client(Some(&pki().client));
    assert!(
        stranger.get(format!("{url}/web/c")).send().await.is_err(),
        "another CA's certificate is no certificate"
    );
    let health = client(None)
        .get(url.replace("/containerLogs/default", "/healthz"))
        .send()
        .await
        .expect("an answer");
    assert_eq!(health.text().await.expect("a text"), "ok");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_followed_log_ends_with_its_container() {
    let ours = pki();
    let (cluster, url) = start(&ours).await;
    let script = "trap 'echo bye; exit 0' TERM; echo hello; while true; do sleep 0.1; done";
    cluster
        .create(
            "web",
            json!({"containers": [shell("c", script)], "terminationGracePeriodSeconds": 5}),
        )
        .await;
    cluster.until_ready("web").await;
    let known = client(Some(&ours.client));
    let mut answer = known
        .get(format!("{url}/web/c?follow=true"))
        .send()
        .await
        .expect("an answer");
    assert_eq!(answer.chunk().await.expect("a chunk").expect("not the end"), "hello\n");
    cluster.delete("web", 5).await;
    let rest = tokio::time::timeout(PATIENCE, answer.text())
        .await
        .expect("it ends")
        .expect("a text");
    assert_eq!(rest, "bye\n");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_log_of_the_container_before() {
    let ours = pki();
    let (cluster, url) = start(&ours).await;
    let script =
        "echo start $(cat /disk/n 2>/dev/null); [ -e /disk/n ] || { echo again > /disk/n; exit 1; }; sleep 1000";
    let mut twice = shell("c", script);
    twice["volumeMounts"] = json!([{"name": "disk", "mountPath": "/disk"}]);
    let volumes = json!([{"name": "disk", "emptyDir": {}}]);
    cluster
        .create(
            "web",
            json!({"containers": [twice], "volumes": volumes, "terminationGracePeriodSeconds": 1}),
        )
        .await;
    cluster
        .until("web", "it runs again", |pod| {
            container(pod, 0)["restartCount"] == 1 && container(pod, 0)["ready"] == true
        })
        .await;
    let known = client(Some(&ours.client));
    let get = async |path: &str| {
        known
            .get(format!("{url}/{path}"))
            .send()
            .await
            .expect("an answer")
            .text()
            .await
    };
    assert_eq!(get("web/c?previous=true").await.expect("a text"), "start\n");
    let begun = Instant::now();
    loop {
        let text = get("web/c").await.expect("a text");
        if text == "start again\n" {
            break;
        }
        assert!(begun.elapsed() < PATIENCE, "{text}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_follower_does_not_hold_up_the_end_of_the_kubelet() {
    let ours = pki();
    let (mut cluster, url) = start(&ours).await;
    cluster
        .create(
            "web",
            json!({"containers": [idle("c")], "terminationGracePeriodSeconds": 1}),
        )
        .await;
    cluster.until_ready("web").await;
    let known = client(Some(&ours.client));
    let mut answer = known
        .get(format!("{url}/web/c?follow=true"))
        .send()
        .await
        .expect("an answer");
    assert_eq!(answer.chunk().await.expect("a chunk").expect("not the end"), "ready\n");
    cluster.stop_kubelet().await;
}
