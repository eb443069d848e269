//! Registers this node, keeps its status and its lease fresh. Never touches pods.

mod info;
mod lease;
mod object;

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::{Node, NodeStatus};
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;
use kube::api::{Patch, PatchParams, PostParams};
use kube::{Api, Client};
use serde_json::json;
use tokio::sync::{Notify, watch};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::client::Told;

pub use info::{Machine, host_ip};

use super::Config;
use super::docker::{Engine, ImageSummary};
use super::events::{Events, Kind};
use info::Pressure;
use object::Health;

/// How often the lease is renewed and the node's health looked at.
const BEAT: Duration = Duration::from_secs(10);

/// How often the status is written even if nothing changed.
const HEARTBEAT: Duration = Duration::from_secs(300);

/// How often Docker's images and the disk are looked at even if nothing was heard of them.
const LEARN: Duration = Duration::from_secs(60);

/// Waits between tries while the API server does not answer.
const RETRY_MIN: Duration = Duration::from_millis(500);
const RETRY_MAX: Duration = Duration::from_secs(10);

/// How long Docker may take to say that it is there.
const PING_TIMEOUT: Duration = Duration::from_secs(10);

/// The most images a node's status lists, as in Kubernetes.
const MAX_IMAGES: usize = 50;

/// Docker as the kubelet sees it: an engine, or why there is none.
pub type DockerState = Result<Arc<Engine>, String>;

/// Keeps this node's object.
pub struct Keeper {
    /// The API.
    pub client: Client,
    /// The kubelet's configuration.
    pub config: Config,
    /// The node's address.
    pub host_ip: IpAddr,
    /// The port that logs are served on.
    pub port: u16,
    /// What the machine offers.
    pub machine: Machine,
    /// Docker.
    pub docker: watch::Receiver<DockerState>,
    /// Wakes when images or Docker changed.
    pub changed: Arc<Notify>,
    /// Where to tell what happens.
    pub events: Events,
    /// What was last learnt of Docker and the disk.
    pub learnt: Learnt,
}

/// What is too dear to ask for at every beat.
#[derive(Default)]
pub struct Learnt {
    images: Vec<ImageSummary>,
    docker_version: Option<String>,
    pressure: Pressure,
    at: Option<Instant>,
    /// Whether Docker told its part and has not been away since.
    from_docker: bool,
}

impl Keeper {
    /// Registers the node and keeps it fresh until `shutdown`.
    pub async fn run(mut self, shutdown: CancellationToken) {
        tokio::select! {
            () = shutdown.cancelled() => {}
            () = self.keep() => {}
        }
    }

    async fn keep(&mut self) {
        let mut retry = RETRY_MIN;
        let mut node = loop {
            match self.register().await {
                Ok(node) => break node,
                Err(error) => {
                    tracing::warn!(error = %Told(&error), "the node could not be registered; trying again");
                    tokio::time::sleep(retry).await;
                    retry = (retry * 2).min(RETRY_MAX);
                }
            }
        };
        self.events
            .node(&node, Kind::Normal, "Starting", "Starting kubelet.".into());
        let mut lease = lease::Lease::new(self.client.clone(), &self.config.node_name);
        let mut written_at = Instant::now();
        let mut beat = tokio::time::interval(BEAT);
        beat.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                _ = beat.tick() => {
                    if let Err(error) = lease.renew(&node).await {
                        tracing::warn!(error = %Told(&error), "the node's lease could not be renewed");
                    }
                }
                () = self.changed.notified() => self.learnt.at = None,
                changed = self.docker.changed() => {
                    self.learnt.at = None;
                    if changed.is_err() {
                        // The kubelet is ending.
                        return std::future::pending().await;
                    }
                }
            }
            let status = self.status(node.status.as_ref()).await;
            let due = written_at.elapsed() >= HEARTBEAT;
            if !due && node.status.as_ref().is_some_and(|before| object::same(before, &status)) {
                continue;
            }
            match self.write(&node, status).await {
                Ok(written) => {
                    node = written;
                    written_at = Instant::now();
                }
                Err(error) => {
                    tracing::warn!(error = %Told(&error), "the node's status could not be written");
                    if matches!(&error, kube::Error::Api(refusal) if refusal.code == 404)
                        && let Ok(again) = self.register().await
                    {
                        node = again;
                    }
                }
            }
        }
    }

    /// Creates the node, or takes over the one that is there: labels and taints that others set stay.
    async fn register(&mut self) -> Result<Node, kube::Error> {
        let api = Api::<Node>::all(self.client.clone());
        let wanted = object::node(&self.config);
        let node = match api.get_opt(&self.config.node_name).await? {
            None => api.create(&PostParams::default(), &wanted).await?,
            Some(existing) => {
                let labels = existing.metadata.labels.clone().unwrap_or_default();
                let missing = wanted
                    .metadata
                    .labels
                    .iter()
                    .flatten()
                    .filter(|(name, value)| labels.get(*name) != Some(value));
                let missing = missing.collect::<BTreeMap<_, _>>();
                if missing.is_empty() {
                    existing
                } else {
                    let body = json!({"metadata": {"labels": missing}});
                    api.patch(&self.config.node_name, &PatchParams::default(), &Patch::Merge(body))
                        .await?
                }
            }
        };
        let status = self.status(node.status.as_ref()).await;
        self.write(&node, status).await
    }

    /// Writes the status by compare-and-swap; on a conflict the node is read again, and its status is all we replace.
    async fn write(&self, node: &Node, status: NodeStatus) -> Result<Node, kube::Error> {
        let api = Api::<Node>::all(self.client.clone());
        let name = &self.config.node_name;
        let body = |node: &Node| Node {
            status: Some(status.clone()),
            ..node.clone()
        };
        match api.replace_status(name, &PostParams::default(), &body(node)).await {
            Err(kube::Error::Api(refusal)) if refusal.code == 409 => {
                let current = api.get(name).await?;
                api.replace_status(name, &PostParams::default(), &body(&current)).await
            }
            result => result,
        }
    }

    async fn status(&mut self, before: Option<&NodeStatus>) -> NodeStatus {
        let docker = self.docker.borrow_and_update().clone();
        let answered = match &docker {
            Err(reason) => Err(reason.clone()),
            Ok(engine) => match tokio::time::timeout(PING_TIMEOUT, engine.ping()).await {
                Ok(Ok(())) => Ok(()),
                Ok(Err(error)) => Err(error.to_string()),
                Err(_elapsed) => Err("Docker does not answer".into()),
            },
        };
        let back = answered.is_ok() && !self.learnt.from_docker;
        if back || self.learnt.at.is_none_or(|at| at.elapsed() >= LEARN) {
            self.learn(docker.as_ref().ok().filter(|_| answered.is_ok())).await;
        }
        object::status(object::Facts {
            config: &self.config,
            machine: &self.machine,
            host_ip: self.host_ip,
            port: self.port,
            health: &Health {
                docker: answered,
                pressure: self.learnt.pressure,
            },
            images: self.learnt.images.clone(),
            docker_version: self.learnt.docker_version.clone(),
            before,
            now: Timestamp::now(),
        })
    }

    async fn learn(&mut self, engine: Option<&Arc<Engine>>) {
        self.learnt.pressure = self.machine.pressure(&self.config.data_dir).await;
        self.learnt.at = Some(Instant::now());
        self.learnt.from_docker = false;
        let Some(engine) = engine else { return };
        match (engine.images().await, engine.info().await) {
            (Ok(mut images), Ok(info)) => {
                images.sort_by_key(|image| std::cmp::Reverse(image.size_bytes));
                images.truncate(MAX_IMAGES);
                self.learnt.images = images;
                self.learnt.docker_version = Some(info.version);
                self.learnt.from_docker = true;
            }
            (Err(error), _) | (_, Err(error)) => tracing::debug!(%error, "Docker did not tell its images"),
        }
    }
}

/// What the node offers to pods.
pub fn allocatable(config: &Config, machine: &Machine) -> BTreeMap<String, Quantity> {
    object::resources(config, machine)
}
