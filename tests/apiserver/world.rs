//! A whole API server of a test's own: store, certificates, TLS listener, HTTP client, kubeconfig.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt;
use reconcile::apiserver::pki::{self, Credentials, Pki, Subject};
use reconcile::apiserver::{ApiServer, Config, serve};
use reconcile::store::{Embedded, Etcd, Store};
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::runtime::Runtime;
use tokio_util::sync::CancellationToken;

use crate::support::etcd;
use crate::support::kubectl::Kubectl;

/// Longer than any answer takes on a busy machine.
const TIMEOUT: Duration = Duration::from_secs(30);

/// Where the objects lie.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Backend {
    /// redb, in memory.
    Embedded,
    /// A real etcd.
    Etcd,
}

/// A running API server and an administrator's client.
pub struct World {
    pub runtime: Runtime,
    pub store: Arc<dyn Store>,
    pub url: String,
    pub pki: Pki,
    pub directory: tempfile::TempDir,
    client: reqwest::Client,
    shutdown: CancellationToken,
    _etcd: Option<etcd::Etcd>,
}

/// An HTTP answer.
#[derive(Debug)]
pub struct Answer {
    pub code: u16,
    pub warnings: Vec<String>,
    pub content_type: String,
    pub text: String,
    pub body: Value,
}

impl Answer {
    /// Its body, where it is of that code.
    #[track_caller]
    pub fn of(self, code: u16) -> Value {
        assert_eq!(self.code, code, "{}", self.text);
        self.body
    }

    /// The Status' reason, where it is a Status of that code.
    #[track_caller]
    pub fn refused(self, code: u16, reason: &str) -> String {
        let body = self.of(code);
        assert_eq!(
            (&body["kind"], &body["reason"], &body["code"]),
            (&json!("Status"), &json!(reason), &json!(code)),
            "{body}"
        );
        body["message"].as_str().expect("a message").to_owned()
    }
}

/// Whether rustls' process-wide default is set; clients of these tests need one.
fn install_provider() {
    // A second test in the same process finds it set, which is as good.
    if rustls::crypto::CryptoProvider::get_default().is_none() {
        drop(rustls::crypto::ring::default_provider().install_default());
    }
}

/// A client that trusts the cluster and shows these credentials.
pub fn client_with(pki: &Pki, credentials: Option<&Credentials>) -> reqwest::Client {
    install_provider();
    let ca = reqwest::Certificate::from_pem(pki.ca_certificate().as_bytes()).expect("the CA");
    let mut builder = reqwest::Client::builder().no_proxy().tls_certs_only([ca]);
    if let Some(credentials) = credentials {
        let both = format!("{}{}", credentials.certificate, credentials.key);
        builder = builder.identity(reqwest::Identity::from_pem(both.as_bytes()).expect("an identity"));
    }
    builder.build().expect("a client")
}

impl World {
    /// Starts everything, empty.
    pub fn start(backend: Backend) -> World {
        let runtime = Runtime::new().expect("a runtime");
        let (store, etcd): (Arc<dyn Store>, _) = match backend {
            Backend::Embedded => (Arc::new(Embedded::in_memory().expect("a store")), None),
            Backend::Etcd => {
                let etcd = etcd::Etcd::start();
                let store = runtime.block_on(Etcd::connect(&[etcd.url()])).expect("a store");
                (Arc::new(store), Some(etcd))
            }
        };
        World::over(runtime, store, etcd)
    }

    /// Starts everything over a store.
    pub fn over(runtime: Runtime, store: Arc<dyn Store>, etcd: Option<etcd::Etcd>) -> World {
        let directory = tempfile::tempdir().expect("a directory");
        let pki = Pki::open(&directory.path().join("pki")).expect("certificates");
        let shutdown = CancellationToken::new();
        let config = Config::with_pki(store.clone(), &pki, shutdown.clone()).expect("a configuration");
        let tls = pki::server_config(&pki.serving(&[]).expect("a certificate"), pki.ca_certificate()).expect("TLS");
        let (server, listener) = runtime.block_on(async {
            let server = ApiServer::start(config).await.expect("an API server");
            (server, TcpListener::bind("127.0.0.1:0").await.expect("a port"))
        });
        let address = listener.local_addr().expect("an address");
        runtime.spawn(serve(listener, server.router(), Some(tls), shutdown.clone()));
        let client = client_with(&pki, Some(&pki.client(Subject::ADMIN).expect("a certificate")));
        World {
            runtime,
            store,
            url: format!("https://{address}"),
            pki,
            directory,
            client,
            shutdown,
            _etcd: etcd,
        }
    }

    /// The administrator's client.
    pub fn client(&self) -> &reqwest::Client {
        &self.client
    }

    /// A file that `kubectl` enters the cluster with.
    pub fn kubeconfig(&self) -> PathBuf {
        let path = self.directory.path().join("kubeconfig");
        let admin = self.pki.client(Subject::ADMIN).expect("a certificate");
        let text = pki::kubeconfig(&self.url, self.pki.ca_certificate(), Subject::ADMIN.user, &admin);
        pki::write_private(&path, text.as_bytes()).expect("a kubeconfig");
        path
    }

    /// Every kubectl at hand.
    pub fn kubectls(&self) -> Vec<Kubectl> {
        Kubectl::available(&self.kubeconfig())
    }

    /// Sends a request as it is.
    pub fn send(&self, request: reqwest::RequestBuilder) -> Answer {
        self.runtime.block_on(async {
            let answer = request.timeout(TIMEOUT).send().await.expect("an answer");
            let code = answer.status().as_u16();
            let header = |value: &reqwest::header::HeaderValue| value.to_str().expect("a header").to_owned();
            let warnings = answer.headers().get_all("warning").iter().map(header).collect();
            let content_type = answer.headers().get("content-type").map(header).unwrap_or_default();
            let text = answer.text().await.expect("a body");
            let body = serde_json::from_str(&text).unwrap_or(Value::Null);
            Answer {
                code,
                warnings,
                content_type,
                text,
                body,
            }
        })
    }

    pub fn get(&self, path: &str) -> Answer {
        self.send(self.client.get(format!("{}{path}", self.url)))
    }

    pub fn get_as(&self, path: &str, accept: &str) -> Answer {
        self.send(self.client.get(format!("{}{path}", self.url)).header("accept", accept))
    }

    pub fn post(&self, path: &str, body: &Value) -> Answer {
        self.send(
            self.client
                .post(format!("{}{path}", self.url))
                .header("user-agent", "golden/1")
                .json(body),
        )
    }

    pub fn put(&self, path: &str, body: &Value) -> Answer {
        self.send(self.client.put(format!("{}{path}", self.url)).json(body))
    }

    pub fn delete(&self, path: &str) -> Answer {
        self.send(self.client.delete(format!("{}{path}", self.url)))
    }

    pub fn delete_with(&self, path: &str, options: &Value) -> Answer {
        self.send(self.client.delete(format!("{}{path}", self.url)).json(options))
    }

    /// A patch; `kind` is `json`, `merge`, `strategic-merge` or `apply`.
    pub fn patch(&self, path: &str, kind: &str, patch: &Value) -> Answer {
        let media = if kind == "apply" {
            "application/apply-patch+yaml".to_owned()
        } else {
            format!("application/{kind}-patch+json")
        };
        let request = self
            .client
            .patch(format!("{}{path}", self.url))
            .header("content-type", media);
        self.send(request.body(patch.to_string()))
    }

    /// Opens a watch.
    pub fn watch(&self, path_and_query: &str) -> Watch<'_> {
        let url = format!("{}{path_and_query}", self.url);
        let response = self
            .runtime
            .block_on(async { self.client.get(url).send().await.expect("an answer") });
        assert_eq!(response.status().as_u16(), 200, "{path_and_query}");
        Watch {
            world: self,
            body: Box::pin(response.bytes_stream()),
            buffer: Vec::new(),
        }
    }

    /// A configmap's creation.
    #[track_caller]
    pub fn create_config_map(&self, name: &str, labels: &Value) -> Value {
        self.post(CONFIG_MAPS, &config_map(name, labels)).of(201)
    }

    /// Ends everything that is open.
    pub fn shut_down(&self) {
        self.shutdown.cancel();
    }
}

impl Drop for World {
    fn drop(&mut self) {
        self.shutdown.cancel();
    }
}

pub const CONFIG_MAPS: &str = "/api/v1/namespaces/default/configmaps";
pub const PODS: &str = "/api/v1/namespaces/default/pods";

/// The path of a configmap.
pub fn config_map_path(name: &str) -> String {
    format!("{CONFIG_MAPS}/{name}")
}

/// The path of a pod.
pub fn pod_path(name: &str) -> String {
    format!("{PODS}/{name}")
}

pub fn config_map(name: &str, labels: &Value) -> Value {
    json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name, "labels": labels}, "data": {"k": "v"}})
}

pub fn pod(name: &str) -> Value {
    json!({
        "apiVersion": "v1", "kind": "Pod", "metadata": {"name": name},
        "spec": {"containers": [{"name": "c", "image": "busybox:1.36"}]},
    })
}

/// An object's resourceVersion.
#[track_caller]
pub fn version(object: &Value) -> u64 {
    let text = object["metadata"]["resourceVersion"]
        .as_str()
        .unwrap_or_else(|| panic!("no resourceVersion: {object}"));
    text.parse().expect("a number")
}

/// An open watch.
pub struct Watch<'w> {
    world: &'w World,
    body: std::pin::Pin<Box<dyn futures::Stream<Item = reqwest::Result<bytes::Bytes>> + Send>>,
    buffer: Vec<u8>,
}

impl Watch<'_> {
    /// The next event; `None` where the watch has ended.
    #[track_caller]
    pub fn next(&mut self) -> Option<Value> {
        loop {
            if let Some(end) = self.buffer.iter().position(|byte| *byte == b'\n') {
                let line: Vec<u8> = self.buffer.drain(..=end).collect();
                return Some(serde_json::from_slice(&line).expect("an event"));
            }
            let body = &mut self.body;
            let chunk = self
                .world
                .runtime
                .block_on(async { tokio::time::timeout(TIMEOUT, body.next()).await });
            match chunk.expect("an event in time") {
                Some(Ok(chunk)) => self.buffer.extend_from_slice(&chunk),
                Some(Err(_)) | None => return None,
            }
        }
    }

    /// The next event's type, object name and revision.
    #[track_caller]
    pub fn event(&mut self) -> (String, String, u64) {
        let event = self.next().expect("another event");
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let object = &event["object"];
        (
            text(&event["type"]),
            text(&object["metadata"]["name"]),
            object["metadata"]["resourceVersion"]
                .as_str()
                .unwrap_or("0")
                .parse()
                .expect("a number"),
        )
    }
}
