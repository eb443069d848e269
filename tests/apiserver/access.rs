//! Who is let in: certificates, tokens, plain HTTP; health for everybody; and how it all ends.

use std::time::{Duration, Instant};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use reconcile::apiserver::pki::{Pki, Subject};
use reconcile::apiserver::{ApiServer, Config, serve};
use reconcile::store::Embedded;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use super::world::{Backend, PODS, World, client_with};

fn token_of(world: &World) -> String {
    let account = world.get("/api/v1/namespaces/default/serviceaccounts/default").of(200);
    let secret = account["secrets"][0]["name"].as_str().expect("a name").to_owned();
    let secret = world
        .get(&format!("/api/v1/namespaces/default/secrets/{secret}"))
        .of(200);
    String::from_utf8(
        STANDARD
            .decode(secret["data"]["token"].as_str().expect("a token"))
            .expect("base64"),
    )
    .expect("text")
}

#[test]
fn strangers_see_only_health_and_version() {
    let world = World::start(Backend::Embedded);
    let stranger = client_with(&world.pki, None);
    let get = |path: &str| world.send(stranger.get(format!("{}{path}", world.url)));
    for path in ["/healthz", "/livez", "/readyz"] {
        let answer = get(path);
        assert_eq!((answer.code, answer.text.as_str()), (200, "ok"), "{path}");
    }
    let version = get("/version").of(200);
    assert!(
        version["gitVersion"].as_str().expect("a version").starts_with("v1."),
        "{version}"
    );
    assert!(get("/readyz?verbose").text.contains("[+]store ok"));
    for path in [PODS, "/api", "/apis", "/openapi/v2", "/"] {
        assert_eq!(get(path).refused(401, "Unauthorized"), "Unauthorized");
    }
    let forged = stranger.get(format!("{}{PODS}", world.url)).bearer_auth("a.b.c");
    world.send(forged).refused(401, "Unauthorized");
}

#[test]
fn another_cas_certificate_is_not_let_in() {
    let world = World::start(Backend::Embedded);
    let directory = tempfile::tempdir().expect("a directory");
    let other = Pki::open(directory.path()).expect("another CA");
    let forged = other.client(Subject::ADMIN).expect("a certificate");
    let client = client_with(&world.pki, Some(&forged));
    let answer = world
        .runtime
        .block_on(async { client.get(format!("{}{PODS}", world.url)).send().await });
    assert!(answer.is_err(), "the handshake fails: {answer:?}");
}

#[test]
fn service_accounts_are_known_but_may_do_nothing_yet() {
    let world = World::start(Backend::Embedded);
    let token = token_of(&world);
    let client = client_with(&world.pki, None);
    let get = |path: &str| world.send(client.get(format!("{}{path}", world.url)).bearer_auth(&token));
    assert_eq!(
        get(PODS).refused(403, "Forbidden"),
        "pods is forbidden: User \"system:serviceaccount:default:default\" cannot list resource \"pods\" in API group \"\" in the \
         namespace \"default\""
    );
    assert!(
        get("/apis/coordination.k8s.io/v1/leases")
            .refused(403, "Forbidden")
            .contains("at the cluster scope")
    );
    get("/api/v1").of(200);
    let review = json!({"apiVersion": "authorization.k8s.io/v1", "kind": "SelfSubjectAccessReview", "spec": {}});
    let ask = |client: &reqwest::Client, token: &str| {
        let url = format!("{}/apis/authorization.k8s.io/v1/selfsubjectaccessreviews", world.url);
        let request = client.post(url).json(&review);
        world
            .send(if token.is_empty() {
                request
            } else {
                request.bearer_auth(token)
            })
            .of(201)["status"]["allowed"]
            .clone()
    };
    assert_eq!(ask(&client, &token), Value::Bool(false));
    assert_eq!(ask(world.client(), ""), Value::Bool(true));
    world
        .delete("/api/v1/namespaces/default/serviceaccounts/default")
        .of(200);
    get("/api/v1").refused(401, "Unauthorized");
}

#[test]
fn tokens_can_be_requested() {
    let world = World::start(Backend::Embedded);
    let path = "/api/v1/namespaces/default/serviceaccounts/default/token";
    let issued = world.post(path, &json!({"spec": {"expirationSeconds": 600}})).of(201);
    let token = issued["status"]["token"].as_str().expect("a token");
    let client = client_with(&world.pki, None);
    world
        .send(client.get(format!("{}/api/v1", world.url)).bearer_auth(token))
        .of(200);
    world
        .post(path, &json!({"spec": {"expirationSeconds": 5}}))
        .refused(400, "BadRequest");
    world
        .post("/api/v1/namespaces/default/serviceaccounts/none/token", &json!({}))
        .refused(404, "NotFound");
}

#[test]
fn plain_http_is_an_administrators_and_on_loopback_only() {
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    runtime.block_on(async {
        let store = std::sync::Arc::new(Embedded::in_memory().expect("a store"));
        let server = ApiServer::start(Config::new(store)).await.expect("a server");
        let everywhere = TcpListener::bind("0.0.0.0:0").await.expect("a port");
        let refused = serve(everywhere, server.router(), None, CancellationToken::new()).await;
        assert_eq!(refused.expect_err("refused").kind(), std::io::ErrorKind::InvalidInput);
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("an address");
        let shutdown = CancellationToken::new();
        let served = tokio::spawn(serve(listener, server.router(), None, shutdown.clone()));
        let directory = tempfile::tempdir().expect("a directory");
        let client = client_with(&Pki::open(directory.path()).expect("a CA"), None);
        let answer = client
            .get(format!("http://{address}{PODS}"))
            .send()
            .await
            .expect("an answer");
        assert_eq!(answer.status().as_u16(), 200);
        shutdown.cancel();
        served.await.expect("no panic").expect("a clean end");
    });
}

#[test]
fn shutdown_ends_open_watches_within_five_seconds() {
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    runtime.block_on(async {
        let store = std::sync::Arc::new(Embedded::in_memory().expect("a store"));
        // The server's own shutdown is not the listener's: even watches that do not end by themselves are cut off.
        let server = ApiServer::start(Config::new(store)).await.expect("a server");
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("an address");
        let shutdown = CancellationToken::new();
        let served = tokio::spawn(serve(listener, server.router(), None, shutdown.clone()));
        let directory = tempfile::tempdir().expect("a directory");
        let client = client_with(&Pki::open(directory.path()).expect("a CA"), None);
        let mut watch = client
            .get(format!("http://{address}/api/v1/namespaces?watch=true"))
            .send()
            .await
            .expect("an answer");
        assert!(watch.chunk().await.expect("a chunk").is_some());
        let started = Instant::now();
        shutdown.cancel();
        served.await.expect("no panic").expect("a clean end");
        assert!(started.elapsed() < Duration::from_secs(5), "{:?}", started.elapsed());
    });
}

#[test]
fn a_store_that_is_away_makes_the_server_unready() {
    let mut etcd = crate::support::etcd::Etcd::start();
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let store = runtime
        .block_on(reconcile::store::Etcd::connect(&[etcd.url()]))
        .expect("a store");
    let world = World::over(runtime, std::sync::Arc::new(store), None);
    assert_eq!(world.get("/readyz").code, 200);
    etcd.kill();
    let answer = world.get("/readyz");
    assert_eq!(answer.code, 500, "{}", answer.text);
    assert!(answer.text.contains("[-]store failed"), "{}", answer.text);
    assert_eq!(world.get("/livez").code, 200);
    world.get(PODS).refused(503, "ServiceUnavailable");
    etcd.restart();
    crate::support::eventually("ready again", Duration::from_secs(30), || {
        match world.get("/readyz").code {
            200 => Ok(()),
            code => Err(code.to_string()),
        }
    });
}
