//! An API server and a scheduler in processes of their own, and a gate between them that holds bindings back.

use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::extract::Request;
use axum::middleware::{Next, from_fn};
use axum::response::{IntoResponse, Response};
use http::StatusCode;
use kube::Client;
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;

use crate::gitops::elsewhere::{self, forwarding};
use crate::support::etcd::Etcd;
use crate::support::process::Process;
use crate::support::{free_port, tools};

/// How long a process may take to start or to end, on a machine that is busy.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// `reconcile apiserver`, which comes back where it was.
pub struct Apiserver {
    process: Option<Process>,
    port: u16,
    data: tempfile::TempDir,
    etcd: Option<Etcd>,
}

impl Apiserver {
    pub fn start(etcd: Option<Etcd>) -> Self {
        let mut server = Self {
            process: None,
            port: free_port(),
            data: tempfile::tempdir().expect("a directory"),
            etcd,
        };
        server.start_again();
        server
    }

    /// Kills it as a power cut would; its state stays.
    pub fn kill(&mut self) {
        let ended = self.process.take().expect("it runs").kill();
        assert!(!ended.stderr.contains("panicked"), "{ended}");
    }

    pub fn start_again(&mut self) {
        let mut command = tools::reconcile();
        command.arg("apiserver").arg("--data-dir").arg(self.data.path());
        command.args(["--listen", &format!("127.0.0.1:{}", self.port)]);
        if let Some(etcd) = &self.etcd {
            command.args(["--etcd", &etcd.url()]);
        }
        let mut process = Process::start(&mut command);
        process.line_with("export KUBECONFIG=", PATIENCE);
        self.process = Some(process);
    }

    pub fn kubeconfig(&self) -> std::path::PathBuf {
        elsewhere::kubeconfig(self.data.path())
    }

    /// A client with all that the kubeconfig says and nothing else.
    pub async fn client(&self) -> Client {
        elsewhere::client(&self.kubeconfig()).await
    }

    pub fn stop(mut self) {
        self.process.take().expect("it runs").terminate(PATIENCE);
    }
}

/// `reconcile scheduler` for the API server of a kubeconfig.
pub fn scheduler(kubeconfig: &Path) -> Process {
    let mut command = tools::reconcile();
    command.arg("scheduler").arg("--kubeconfig").arg(kubeconfig);
    Process::start(&mut command)
}

/// A binding that the scheduler has sent and that has not arrived.
pub struct Held {
    /// The pod that is bound.
    pub pod: String,
    request: Request,
    next: Next,
    answer: oneshot::Sender<Response>,
}

impl Held {
    /// Lets it arrive, whether or not its sender is still there for the answer; what is dropped instead never does.
    pub async fn deliver(self) -> StatusCode {
        let answer = self.next.run(self.request).await;
        let status = answer.status();
        // A sender that was killed has no use for it.
        drop(self.answer.send(answer));
        status
    }
}

/// An address of an API server that everything passes but bindings while they are held.
pub struct Gate {
    url: String,
    holder: Arc<Mutex<Option<mpsc::UnboundedSender<Held>>>>,
    task: JoinHandle<std::io::Result<()>>,
}

impl Gate {
    /// One before the API server of this client.
    pub async fn before(client: Client) -> Self {
        let holder = Arc::new(Mutex::new(None));
        let shared = holder.clone();
        let router = forwarding(client).layer(from_fn(move |request: Request, next: Next| {
            let holder = shared.clone();
            async move { pass(&holder, request, next).await }
        }));
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("an address");
        Self {
            url: format!("http://{address}"),
            holder,
            task: tokio::spawn(async move { axum::serve(listener, router).await }),
        }
    }

    /// `reconcile scheduler` behind the gate.
    pub fn scheduler(&self) -> Process {
        let mut command = tools::reconcile();
        Process::start(command.args(["scheduler", "--server", &self.url]))
    }

    /// From now on bindings come here.
    pub fn hold(&self) -> mpsc::UnboundedReceiver<Held> {
        let (sender, receiver) = mpsc::unbounded_channel();
        *self.holder.lock().expect("nobody panics here") = Some(sender);
        receiver
    }

    /// From now on bindings pass.
    pub fn open(&self) {
        *self.holder.lock().expect("nobody panics here") = None;
    }
}

impl Drop for Gate {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// The next binding that is held.
pub async fn next(held: &mut mpsc::UnboundedReceiver<Held>) -> Held {
    let next = tokio::time::timeout(PATIENCE, held.recv()).await;
    next.expect("a binding comes in time").expect("the gate stands")
}

async fn pass(holder: &Mutex<Option<mpsc::UnboundedSender<Held>>>, request: Request, next: Next) -> Response {
    let pod = request.uri().path().strip_suffix("/binding").map(|path| {
        let name = path.rsplit('/').next();
        name.expect("a path has a last part").to_owned()
    });
    let Some(pod) = pod else { return next.run(request).await };
    // Read now: its sender may be gone when it is to arrive.
    let (head, body) = request.into_parts();
    let body = axum::body::to_bytes(body, usize::MAX).await.expect("a whole body");
    let request = Request::from_parts(head, body.into());
    let (answer, answered) = oneshot::channel();
    let passing = {
        // Sent while nobody can open the gate, so that nothing is sent to a test that has looked its last.
        let holder = holder.lock().expect("nobody panics here");
        match &*holder {
            None => Some((request, next)),
            Some(sender) => {
                drop(sender.send(Held {
                    pod,
                    request,
                    next,
                    answer,
                }));
                None
            }
        }
    };
    if let Some((request, next)) = passing {
        return next.run(request).await;
    }
    match answered.await {
        Ok(answer) => answer,
        Err(_) => StatusCode::BAD_GATEWAY.into_response(),
    }
}
