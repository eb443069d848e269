//! Logs through a kubelet: a stand-in that records what it is asked.

use std::convert::Infallible;
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::Body;
use axum::extract::{Path, RawQuery, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use bytes::Bytes;
use futures::StreamExt;
use reconcile::apiserver::{User, pki, serve};
use serde_json::json;
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::world::{Backend, PODS, World, pod, pod_path};

/// Lines that the stand-in sends to whoever follows, and what it was asked.
#[derive(Clone)]
struct Kubelet {
    asked: Arc<Mutex<Vec<String>>>,
    lines: Arc<Mutex<Option<mpsc::Receiver<&'static str>>>>,
}

async fn container_logs(
    State(kubelet): State<Kubelet>,
    user: axum::Extension<User>,
    Path((namespace, pod, container)): Path<(String, String, String)>,
    RawQuery(query): RawQuery,
) -> Response {
    let query = query.unwrap_or_default();
    kubelet
        .asked
        .lock()
        .expect("a lock")
        .push(format!("{} {namespace}/{pod}/{container}?{query}", user.name));
    if query.contains("previous=true") {
        return (
            StatusCode::BAD_REQUEST,
            "previous terminated container \"c\" in pod \"p\" not found",
        )
            .into_response();
    }
    match kubelet.lines.lock().expect("a lock").take() {
        Some(lines) if query.contains("follow=true") => {
            let lines = tokio_stream::wrappers::ReceiverStream::new(lines)
                .map(|line| Ok::<_, Infallible>(Bytes::from_static(line.as_bytes())));
            Body::from_stream(lines).into_response()
        }
        _ => "hello\n".into_response(),
    }
}

fn world_with_kubelet() -> (World, Kubelet, mpsc::Sender<&'static str>, CancellationToken) {
    let world = World::start(Backend::Embedded);
    let (sender, receiver) = mpsc::channel(1);
    let kubelet = Kubelet {
        asked: Arc::default(),
        lines: Arc::new(Mutex::new(Some(receiver))),
    };
    let router = Router::new()
        .route("/containerLogs/{namespace}/{pod}/{container}", get(container_logs))
        .with_state(kubelet.clone());
    let directory = tempfile::tempdir().expect("a directory");
    // A kubelet's certificate is its own; the clients it lets in are the cluster's.
    let own = pki::Pki::open(directory.path())
        .expect("a CA")
        .serving(&[])
        .expect("a certificate");
    let tls = pki::server_config(&own, world.pki.ca_certificate()).expect("TLS");
    let listener = world
        .runtime
        .block_on(TcpListener::bind("127.0.0.1:0"))
        .expect("a port");
    let port = listener.local_addr().expect("an address").port();
    let shutdown = CancellationToken::new();
    world
        .runtime
        .spawn(serve(listener, router, Some(tls), shutdown.clone()));
    let node = json!({"apiVersion": "v1", "kind": "Node", "metadata": {"name": "n"}, "status": {
        "addresses": [{"type": "InternalIP", "address": "127.0.0.1"}],
        "daemonEndpoints": {"kubeletEndpoint": {"Port": port}},
    }});
    world.post("/api/v1/nodes", &node).of(201);
    world.post(PODS, &pod("p")).of(201);
    (world, kubelet, sender, shutdown)
}

fn bind(world: &World, name: &str, node: &str) {
    let binding = json!({"metadata": {"name": name}, "target": {"kind": "Node", "name": node}});
    world.post(&format!("{}/binding", pod_path(name)), &binding).of(201);
}

#[test]
fn logs_come_from_the_kubelet_of_the_pods_node() {
    let (world, kubelet, _sender, _shutdown) = world_with_kubelet();
    let path = format!("{}/log", pod_path("p"));
    assert_eq!(
        world.get(&path).refused(400, "BadRequest"),
        "pod p does not have a host assigned"
    );
    bind(&world, "p", "n");
    let answer = world.get(&format!("{path}?tailLines=5&timestamps=true&nonsense=1"));
    assert_eq!(
        (answer.code, answer.text.as_str(), answer.content_type.as_str()),
        (200, "hello\n", "text/plain")
    );
    assert_eq!(
        kubelet.asked.lock().expect("a lock").as_slice(),
        ["kube-apiserver-kubelet-client default/p/c?tailLines=5&timestamps=true"]
    );
    let message = world.get(&format!("{path}?previous=true")).refused(400, "BadRequest");
    assert!(message.starts_with("previous terminated container"), "{message}");
    assert_eq!(
        world.get(&format!("{path}?container=x")).refused(400, "BadRequest"),
        "container x is not valid for pod p"
    );
    world.get(&format!("{path}?tailLines=-1")).refused(400, "BadRequest");
    world.get(&format!("{path}?tailLines=x")).refused(400, "BadRequest");
    world.get(&format!("{}/log", pod_path("none"))).refused(404, "NotFound");
    world.post(PODS, &pod("far")).of(201);
    bind(&world, "far", "nowhere");
    assert_eq!(
        world.get(&format!("{}/log", pod_path("far"))).refused(404, "NotFound"),
        "nodes \"nowhere\" not found"
    );
}

#[test]
fn a_followed_log_comes_line_by_line_and_ends_with_its_reader() {
    let (world, _kubelet, sender, _shutdown) = world_with_kubelet();
    bind(&world, "p", "n");
    world.runtime.block_on(async {
        let url = format!("{}{}/log?follow=true", world.url, pod_path("p"));
        let mut answer = world.client().get(url).send().await.expect("an answer");
        for line in ["one\n", "two\n"] {
            sender.send(line).await.expect("sent");
            assert_eq!(
                answer.chunk().await.expect("a chunk").expect("more"),
                line,
                "at once, not when the log ends"
            );
        }
        drop(answer);
        let closed = tokio::time::timeout(std::time::Duration::from_secs(20), sender.closed()).await;
        assert!(closed.is_ok(), "the kubelet learns that nobody reads any more");
    });
}

#[test]
fn an_unreachable_kubelet_is_told() {
    let (world, _kubelet, _sender, shutdown) = world_with_kubelet();
    bind(&world, "p", "n");
    shutdown.cancel();
    let path = format!("{}/log", pod_path("p"));
    crate::support::eventually("the kubelet is gone", std::time::Duration::from_secs(20), || {
        let answer = world.get(&path);
        if answer.code == 503 { Ok(()) } else { Err(answer.text) }
    });
    let message = world.get(&path).refused(503, "ServiceUnavailable");
    assert!(message.contains("the kubelet of node n cannot be reached"), "{message}");
}
