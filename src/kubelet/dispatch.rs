//! Keeps one worker a pod and wakes it: by the API's watch, by Docker's events, and by a slow relist in case both failed.

use std::collections::{BTreeSet, HashMap};
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt;
use futures::stream::BoxStream;
use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::core::v1::Pod;
use kube::Api;
use kube::runtime::watcher;
use tokio::sync::Notify;
use tokio::task::{JoinError, JoinSet};
use tokio::time::{Instant, MissedTickBehavior, interval, sleep_until};
use tokio_util::sync::CancellationToken;

use super::context::Context;
use super::docker::{DockerError, Event};
use super::pods::Known;
use super::worker::{self, Worker};
use crate::client::lasting;

/// How often everything is looked at even if nothing was heard.
const RELIST: Duration = Duration::from_secs(60);

/// Wait before Docker is asked again whether it is back, and how long it may take to say so.
const RECONNECT: Duration = Duration::from_secs(1);
const PING_TIMEOUT: Duration = Duration::from_secs(5);

/// Docker's events are read from a moment before they are asked for, so that none falls between a list and them.
const OVERLAP: SignedDuration = SignedDuration::from_secs(2);

/// Workers at once: a node's pods and those still going away. More wait for the next relist.
const MAX_WORKERS: usize = 1024;

/// How long workers may take to let go after `shutdown`.
const LET_GO: Duration = Duration::from_secs(2);

/// The node's workers.
pub struct Dispatch {
    context: Arc<Context>,
    node_changed: Arc<Notify>,
    shutdown: CancellationToken,
    wakes: HashMap<String, Arc<Notify>>,
    workers: JoinSet<String>,
}

type DockerEvents = BoxStream<'static, Result<Event, DockerError>>;

impl Dispatch {
    /// No workers yet; `node_changed` is notified when images change.
    pub fn new(context: Arc<Context>, node_changed: Arc<Notify>, shutdown: CancellationToken) -> Self {
        Self {
            context,
            node_changed,
            shutdown,
            wakes: HashMap::new(),
            workers: JoinSet::new(),
        }
    }

    /// Keeps workers until shutdown.
    pub async fn run(mut self) {
        let selector = format!("spec.nodeName={}", self.context.config.node_name);
        let api = Api::<Pod>::all(self.context.client.clone());
        let watched = watcher(api, watcher::Config::default().fields(&selector));
        let mut watched = pin!(lasting(watched, "pods"));
        let mut docker = Some(self.docker_events());
        let mut reconnect_at = Instant::now();
        let mut relist = interval(RELIST);
        relist.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                () = self.shutdown.cancelled() => break,
                event = watched.next() => match event {
                    Some(event) => self.take_pods(event).await,
                    None => {
                        tracing::error!("the watch of pods ended, which it never does");
                        break;
                    }
                },
                event = next(&mut docker), if docker.is_some() => match event {
                    Some(Ok(event)) => self.take_docker(event),
                    ended => {
                        let error = ended.and_then(Result::err).map(|error| error.to_string());
                        tracing::warn!(error, "Docker's event stream ended; waiting for Docker to come back");
                        docker = None;
                        reconnect_at = Instant::now() + RECONNECT;
                        self.node_changed.notify_one();
                    }
                },
                () = sleep_until(reconnect_at), if docker.is_none() => {
                    let pinged = tokio::time::timeout(PING_TIMEOUT, self.context.engine.ping()).await;
                    if matches!(pinged, Ok(Ok(()))) {
                        tracing::info!("Docker is back");
                        docker = Some(self.docker_events());
                        // What happened in between was not heard.
                        self.context.images.changed();
                        self.node_changed.notify_one();
                        self.relist().await;
                    }
                    reconnect_at = Instant::now() + RECONNECT;
                }
                _ = relist.tick() => self.relist().await,
                Some(ended) = self.workers.join_next() => self.take_end(ended),
            }
        }
        let all = async { while self.workers.join_next().await.is_some() {} };
        if tokio::time::timeout(LET_GO, all).await.is_err() {
            tracing::debug!("some workers were cut off");
        }
    }

    fn docker_events(&self) -> DockerEvents {
        let now = Timestamp::now();
        let since = now.saturating_sub(OVERLAP).unwrap_or(now);
        self.context.engine.events(self.context.labels.clone(), since).boxed()
    }

    async fn take_pods(&mut self, event: watcher::Event<Pod>) {
        let first = matches!(event, watcher::Event::InitDone) && !self.context.pods.read();
        for uid in self.context.pods.apply(event) {
            self.wake(&uid);
        }
        if first {
            // Only now is it known which containers belong to no pod any more.
            self.relist().await;
        }
    }

    fn take_docker(&mut self, event: Event) {
        match event {
            Event::Pod(uid) => self.wake(&uid),
            Event::OutOfMemory { pod, container } => {
                self.context.ooms.note(container);
                self.wake(&pod);
            }
            Event::Images => {
                self.context.images.changed();
                self.node_changed.notify_one();
            }
        }
    }

    /// Wakes everybody, and finds what nobody looks after.
    async fn relist(&mut self) {
        if !self.context.pods.read() {
            return;
        }
        let mut uids = BTreeSet::from_iter(self.context.pods.uids());
        match self.context.engine.pod_uids(&self.context.labels).await {
            Ok(found) => uids.extend(found),
            Err(error) => tracing::warn!(%error, "listing containers"),
        }
        match worker::file_owners(&self.context.config).await {
            Ok(found) => uids.extend(found),
            Err(error) => tracing::warn!(%error, "listing the pods' files"),
        }
        for uid in uids {
            self.wake(&uid);
        }
    }

    /// Wakes the pod's worker; makes one where there is none.
    fn wake(&mut self, uid: &str) {
        if let Some(wake) = self.wakes.get(uid) {
            wake.notify_one();
            return;
        }
        if uid.is_empty() || uid.contains('/') || self.workers.len() >= MAX_WORKERS {
            tracing::warn!(uid, workers = self.workers.len(), "no worker for this pod");
            return;
        }
        let wake = Arc::new(Notify::new());
        let worker = Worker::new(self.context.clone(), uid.to_owned(), wake.clone());
        self.workers.spawn(worker.run(self.shutdown.clone()));
        self.wakes.insert(uid.to_owned(), wake);
    }

    fn take_end(&mut self, ended: Result<String, JoinError>) {
        match ended {
            Ok(uid) => {
                self.wakes.remove(&uid);
                // It may have come into the API while its worker was leaving.
                if matches!(self.context.pods.get(&uid), Known::Pod(_)) {
                    self.wake(&uid);
                }
            }
            Err(error) => {
                tracing::error!(%error, "a pod's worker ended unexpectedly");
                // Its uid went with it: whoever is left without a worker gets one at the next relist.
                self.wakes.retain(|_, wake| Arc::strong_count(wake) > 1);
            }
        }
    }
}

async fn next(docker: &mut Option<DockerEvents>) -> Option<Result<Event, DockerError>> {
    match docker {
        Some(events) => events.next().await,
        None => std::future::pending().await,
    }
}
