//! Reads what Docker shows of our containers. Changes nothing.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::net::IpAddr;

use bollard::models::{ContainerInspectResponse, ContainerState, ContainerStateStatusEnum, ContainerSummary};
use futures::future::try_join_all;
use jiff::Timestamp;

use super::{DockerError, Engine};
use crate::kubelet::labels;
use crate::kubelet::observed::{Container, Exit, Observed, Sandbox, State};

/// Docker's start failures carry this exit code or higher; kept where it reports none.
const CANNOT_RUN: i32 = 128;

/// A container as found by its labels alone.
#[derive(Clone, Debug)]
pub struct Found {
    /// Docker's id.
    pub id: String,
    /// All its labels.
    pub labels: HashMap<String, String>,
    /// Whether its process lives.
    pub running: bool,
}

/// Where an ended container's termination message is, and whether its log may stand in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MessageSource {
    /// The file on the host.
    pub file: String,
    /// Whether the log's end replaces an empty file after a failure.
    pub from_log: bool,
}

/// What Docker shows of a pod, and where its ended containers left their messages, by container id.
pub type PodSight = (Observed, BTreeMap<String, MessageSource>);

impl Engine {
    /// Every container that carries these labels.
    ///
    /// # Errors
    /// Where Docker does not answer.
    pub async fn find(&self, labels: &BTreeMap<String, String>) -> Result<Vec<Found>, DockerError> {
        let found = self.list(labels).await?.into_iter().filter_map(|summary| {
            let running = alive(&summary);
            Some(Found {
                id: summary.id?,
                labels: summary.labels.unwrap_or_default(),
                running,
            })
        });
        Ok(found.collect())
    }

    /// What Docker shows of the pod with this uid; `node` are the labels of the node.
    ///
    /// # Errors
    /// Where Docker does not answer.
    pub async fn observe(&self, node: &BTreeMap<String, String>, uid: &str) -> Result<PodSight, DockerError> {
        let mut filter = node.clone();
        filter.insert(labels::POD_UID.to_owned(), uid.to_owned());
        let listed = self.list(&filter).await?;
        let inspected = try_join_all(
            listed
                .iter()
                .filter_map(|summary| summary.id.as_deref())
                .map(|id| self.look(id)),
        );
        let mut observed = Observed::default();
        let mut messages = BTreeMap::new();
        for response in inspected.await?.into_iter().flatten() {
            let labels = response
                .config
                .as_ref()
                .and_then(|config| config.labels.clone())
                .unwrap_or_default();
            match labels.get(labels::TYPE).map(String::as_str) {
                Some(labels::TYPE_SANDBOX) => observed.sandboxes.extend(sandbox(response, &labels)),
                Some(labels::TYPE_CONTAINER) => {
                    if let Some(container) = container(response, &labels) {
                        messages.extend(message_source(&labels).map(|source| (container.id.clone(), source)));
                        observed.containers.push(container);
                    }
                }
                _ => {}
            }
        }
        observed
            .sandboxes
            .sort_by_key(|sandbox| std::cmp::Reverse(sandbox.attempt));
        observed
            .containers
            .sort_by_key(|container| std::cmp::Reverse(container.attempt));
        Ok((observed, messages))
    }

    /// One that vanished since it was listed is `None`.
    async fn look(&self, id: &str) -> Result<Option<ContainerInspectResponse>, DockerError> {
        match self.docker.inspect_container(id, None).await.map_err(DockerError::from) {
            Ok(response) => Ok(Some(response)),
            Err(DockerError::NotFound(_)) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// The sandbox with this id, if it exists.
    ///
    /// # Errors
    /// Where Docker does not answer.
    pub async fn sandbox(&self, id: &str) -> Result<Option<Sandbox>, DockerError> {
        let Some(response) = self.look(id).await? else {
            return Ok(None);
        };
        let labels = response
            .config
            .as_ref()
            .and_then(|config| config.labels.clone())
            .unwrap_or_default();
        Ok(sandbox(response, &labels))
    }

    /// The uids of all pods that this node has containers of.
    ///
    /// # Errors
    /// Where Docker does not answer.
    pub async fn pod_uids(&self, node: &BTreeMap<String, String>) -> Result<BTreeSet<String>, DockerError> {
        let found = self.find(node).await?;
        Ok(found
            .into_iter()
            .filter_map(|container| container.labels.get(labels::POD_UID).cloned())
            .collect())
    }
}

fn alive(summary: &ContainerSummary) -> bool {
    use bollard::models::ContainerSummaryStateEnum as S;
    matches!(summary.state, Some(S::RUNNING | S::PAUSED | S::RESTARTING))
}

fn sandbox(response: ContainerInspectResponse, labels: &HashMap<String, String>) -> Option<Sandbox> {
    let status = response.state.as_ref().and_then(|state| state.status);
    let networks = response
        .network_settings
        .and_then(|settings| settings.networks)
        .unwrap_or_default();
    let ips = networks
        .into_values()
        .flat_map(|network| [network.ip_address, network.global_ipv6_address]);
    Some(Sandbox {
        id: response.id?,
        attempt: labels::number(labels, labels::RESTART_COUNT),
        ready: status == Some(ContainerStateStatusEnum::RUNNING),
        fresh: status == Some(ContainerStateStatusEnum::CREATED),
        ips: ips.flatten().filter_map(|text| text.parse::<IpAddr>().ok()).collect(),
    })
}

fn container(response: ContainerInspectResponse, labels: &HashMap<String, String>) -> Option<Container> {
    let label = |name: &str| labels.get(name).cloned().unwrap_or_default();
    let created_at = response.created.as_deref().and_then(timestamp);
    let state = state(response.state?, created_at);
    let limit = response.host_config.and_then(|host| host.memory);
    let memory_limited = limit.is_some_and(|bytes| bytes > 0);
    Some(Container {
        id: response.id?,
        name: label(labels::CONTAINER_NAME),
        sandbox: label(labels::SANDBOX_ID),
        attempt: labels::number(labels, labels::RESTART_COUNT),
        hash: label(labels::HASH),
        backoff_seconds: labels::number(labels, labels::BACKOFF_SECONDS),
        grace_seconds: labels::number(labels, labels::GRACE_PERIOD),
        image: label(labels::IMAGE),
        image_id: label(labels::IMAGE_ID),
        pre_stop: labels.get(labels::PRE_STOP).cloned(),
        memory_limited,
        state,
    })
}

fn state(state: ContainerState, created_at: Option<Timestamp>) -> State {
    use ContainerStateStatusEnum as S;
    let started_at = state.started_at.as_deref().and_then(timestamp);
    let finished_at = state.finished_at.as_deref().and_then(timestamp);
    let code = state
        .exit_code
        .and_then(|code| i32::try_from(code).ok())
        .unwrap_or_default();
    let error = state.error.filter(|error| !error.is_empty());
    let fallback = created_at.unwrap_or(Timestamp::UNIX_EPOCH);
    match state.status {
        Some(S::RUNNING | S::PAUSED | S::RESTARTING) => State::Running {
            started_at: started_at.unwrap_or(fallback),
        },
        // Docker leaves a container whose start failed in this state, with the failure's code.
        Some(S::CREATED) if code == 0 && error.is_none() => State::Created,
        Some(S::CREATED) => State::Exited(Exit {
            code: if code == 0 { CANNOT_RUN } else { code },
            started_at: None,
            finished_at: fallback,
            oom_killed: false,
            message: error,
        }),
        _ => State::Exited(Exit {
            code,
            started_at,
            finished_at: finished_at.unwrap_or(fallback),
            oom_killed: state.oom_killed.unwrap_or(false),
            message: error,
        }),
    }
}

fn message_source(labels: &HashMap<String, String>) -> Option<MessageSource> {
    Some(MessageSource {
        file: labels.get(labels::MESSAGE_FILE)?.clone(),
        from_log: labels
            .get(labels::MESSAGE_POLICY)
            .is_some_and(|policy| policy == "FallbackToLogsOnError"),
    })
}

/// Docker writes the year 1 for "never".
fn timestamp(text: &str) -> Option<Timestamp> {
    text.parse::<Timestamp>()
        .ok()
        .filter(|time| *time > Timestamp::UNIX_EPOCH)
}
