//! Runs a kubelet: connects to Docker, registers the node, serves logs, and keeps one worker a pod.

use std::sync::Arc;
use std::time::Duration;

use kube::Client;
use tokio::net::TcpListener;
use tokio::sync::{Notify, watch};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::config::DEFAULT_PORT;
use super::context::Context;
use super::dispatch::Dispatch;
use super::docker::Engine;
use super::events::Events;
use super::images::Images;
use super::node::{self, DockerState, Keeper, Machine};
use super::ooms::Ooms;
use super::pods::Pods;
use super::server;
use super::sources::Sources;
use super::{Config, labels};

/// Waits between tries to reach Docker.
const CONNECT_MIN: Duration = Duration::from_millis(250);
const CONNECT_MAX: Duration = Duration::from_secs(5);

/// How long work under way may take to let go after `shutdown`.
const SHUTDOWN_TIMEOUT: Duration = Duration::from_secs(2);

/// Why a kubelet cannot run.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The log server's address is not to be had.
    #[error("listening on {address} for log requests: {source}")]
    Listen {
        /// The address.
        address: std::net::SocketAddr,
        /// What the system said.
        source: std::io::Error,
    },
    /// The log server has no TLS configuration.
    #[error(transparent)]
    Tls(#[from] server::TlsError),
    /// The data directory cannot be used.
    #[error("the data directory {path}: {source}")]
    DataDir {
        /// The directory.
        path: std::path::PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// Docker cannot be reached, where there is no point in waiting for it.
    #[error(transparent)]
    Docker(#[from] super::docker::DockerError),
}

/// Runs this node's pods until `shutdown`, which leaves their containers running.
///
/// Docker need not be there yet: until it is, the node says so and the kubelet keeps trying.
///
/// # Errors
/// Where the log server's address or the data directory cannot be used.
pub async fn run(client: Client, config: Config, shutdown: CancellationToken) -> Result<(), Error> {
    let data_dir = config.data_dir.clone();
    let config = config
        .settled()
        .map_err(|source| Error::DataDir { path: data_dir, source })?;
    let listener = listen(&config).await?;
    let port = listener
        .local_addr()
        .map_err(|source| Error::Listen {
            address: config.bind,
            source,
        })?
        .port();
    let host_ip = config.node_ip.unwrap_or_else(node::host_ip);
    let machine = Machine::read(&config.data_dir).await;
    let pods = Arc::new(Pods::default());
    let changed = Arc::new(Notify::new());
    let (docker, docker_state) = watch::channel::<DockerState>(Err("not connected to Docker yet".into()));
    let (events, poster) = Events::start(client.clone(), config.node_name.clone(), shutdown.clone());
    let served = server::serve(
        listener,
        server::Shared {
            pods: pods.clone(),
            docker: docker_state.clone(),
            config: config.clone(),
            shutdown: shutdown.clone(),
        },
    )?;
    let keeper = Keeper {
        client: client.clone(),
        config: config.clone(),
        host_ip,
        port,
        machine: machine.clone(),
        docker: docker_state,
        changed: changed.clone(),
        events: events.clone(),
        learnt: node::Learnt::default(),
    };
    // Dropping this future drops them too: a kubelet that is gone does nothing more.
    let mut tasks = JoinSet::new();
    tasks.spawn(poster);
    tasks.spawn(served);
    tasks.spawn(keeper.run(shutdown.clone()));
    if let Some(engine) = connect(&config, &docker, &shutdown).await {
        let context = Arc::new(Context {
            images: Images::new(engine.clone()),
            sources: Sources::new(client.clone()),
            ooms: Ooms::default(),
            labels: labels::node(&config),
            allocatable: node::allocatable(&config, &machine),
            memory_bytes: machine.memory_bytes,
            loading_pause: tokio::sync::Mutex::default(),
            may_lower_oom_score: true.into(),
            config,
            client,
            engine,
            events,
            pods,
            host_ip,
        });
        Dispatch::new(context, changed, shutdown.clone()).run().await;
    }
    let all = async { while tasks.join_next().await.is_some() {} };
    if tokio::time::timeout(SHUTDOWN_TIMEOUT, all).await.is_err() {
        tracing::warn!("some of the kubelet's work did not let go in time");
    }
    Ok(())
}

/// The port that Kubernetes uses may belong to another kubelet; any other does, for the node publishes it.
async fn listen(config: &Config) -> Result<TcpListener, Error> {
    let mut address = config.bind;
    let failed = |source| Error::Listen {
        address: config.bind,
        source,
    };
    match TcpListener::bind(address).await {
        Err(error) if error.kind() == std::io::ErrorKind::AddrInUse && address.port() == DEFAULT_PORT => {
            address.set_port(0);
            TcpListener::bind(address).await.map_err(failed)
        }
        bound => bound.map_err(failed),
    }
}

/// Keeps trying until Docker answers; `None` on shutdown.
async fn connect(
    config: &Config,
    docker: &watch::Sender<DockerState>,
    shutdown: &CancellationToken,
) -> Option<Arc<Engine>> {
    let mut wait = CONNECT_MIN;
    loop {
        match Engine::connect(&config.docker_host).await {
            Ok(engine) => {
                let engine = Arc::new(engine);
                drop(docker.send_replace(Ok(engine.clone())));
                return Some(engine);
            }
            Err(error) => {
                let reason = error.to_string();
                let news = docker.send_if_modified(|state| {
                    let news = !matches!(state, Err(known) if *known == reason);
                    *state = Err(reason.clone());
                    news
                });
                if news {
                    tracing::warn!(%error, host = config.docker_host, "Docker is not there; trying again");
                }
            }
        }
        tokio::select! {
            () = shutdown.cancelled() => return None,
            () = tokio::time::sleep(wait) => {}
        }
        wait = (wait * 2).min(CONNECT_MAX);
    }
}
