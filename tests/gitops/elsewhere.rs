//! An API server in a process of its own, over an etcd.

use std::path::{Path, PathBuf};
use std::time::Duration;

use axum::body::Body;
use http::{Request, Response};
use kube::Client;
use kube::config::{KubeConfigOptions, Kubeconfig};

use crate::support::etcd::Etcd;
use crate::support::process::Process;
use crate::support::tools;

/// Set to `process` where the tests' API servers are to be processes of their own.
const WHERE: &str = "RECONCILE_TEST_APISERVER";

/// How long a start may take on a machine that is busy.
const PATIENCE: Duration = Duration::from_secs(60);

/// What lies between a client and its API server.
pub type Layer<'a> = Box<dyn FnOnce(axum::Router) -> axum::Router + 'a>;

/// Whether API servers are to be processes of their own.
pub fn is_wanted() -> bool {
    match std::env::var(WHERE).as_deref() {
        Err(_) => false,
        Ok("process") => true,
        Ok(other) => panic!("{WHERE} is `process` or not set; it is {other:?}"),
    }
}

/// The process and what it keeps its state in.
pub struct Elsewhere {
    // Dropped in this order.
    _process: Process,
    pub etcd: Etcd,
    data: PathBuf,
}

impl Elsewhere {
    /// Starts both and waits until they serve.
    pub fn start(data: &Path) -> Elsewhere {
        let etcd = Etcd::start();
        Elsewhere {
            _process: serve(data, Some(&etcd)),
            etcd,
            data: data.to_owned(),
        }
    }

    /// A client with all that its kubeconfig says and nothing else.
    pub async fn client(&self) -> Client {
        client(&kubeconfig(&self.data)).await
    }
}

/// Starts `reconcile apiserver` on that data directory, and that etcd if there is one, and waits until it serves.
pub fn serve(data: &Path, etcd: Option<&Etcd>) -> Process {
    let mut command = tools::reconcile();
    command.arg("apiserver").arg("--data-dir").arg(data);
    command.args(["--listen", "127.0.0.1:0"]);
    if let Some(etcd) = etcd {
        command.args(["--etcd", &etcd.url()]);
    }
    let mut process = Process::start(&mut command);
    process.line_with("export KUBECONFIG=", PATIENCE);
    process
}

/// What such a process writes for its clients.
pub fn kubeconfig(data: &Path) -> PathBuf {
    data.join("kubeconfig")
}

/// A client with what a kubeconfig says.
pub async fn client(kubeconfig: &Path) -> Client {
    super::harness::reconcile_tls();
    let file = Kubeconfig::read_from(kubeconfig).expect("a kubeconfig");
    let config = kube::Config::from_custom_kubeconfig(file, &KubeConfigOptions::default()).await;
    Client::try_from(config.expect("a configuration")).expect("a client")
}

/// Sends every request on to that API server.
pub fn forwarding(client: Client) -> axum::Router {
    axum::Router::new().fallback(move |request: Request<Body>| {
        let client = client.clone();
        async move {
            let (head, body) = request.into_parts();
            let body = axum::body::to_bytes(body, usize::MAX).await.expect("a whole body");
            let request = Request::from_parts(head, kube::client::Body::from(body.to_vec()));
            match client.send(request).await {
                Ok(response) => response.map(Body::new),
                Err(error) => {
                    let cut: Result<&str, _> = Err(std::io::Error::other(error.to_string()));
                    Response::new(Body::from_stream(futures::stream::iter([cut])))
                }
            }
        }
    })
}
