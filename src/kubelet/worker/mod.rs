//! Keeps one pod as it should be: looks, plans, acts, looks again. One task a pod; nothing here is shared but the context.

mod files;
mod goodbye;
mod hold;
mod launch;
mod memory;
mod message;
mod prepull;
mod pull;
mod report;
mod started;
mod stop;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::Pod;
use kube::ResourceExt;
use tokio::sync::Notify;
use tokio::task::JoinSet;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::context::Context;
use super::docker::DockerError;
use super::events::Kind;
use super::local::Local;
use super::observed::Observed;
use super::plan::{Action, Desired, Plan, plan};
use super::pod;
use super::pods::Known;
use super::probes::Probes;
use super::status::{self, status};
use super::volumes;
use crate::client::Told;
pub use files::{remove as remove_files, uids as file_owners};
use report::Report;

/// Waits after something that should have worked did not: Docker or the API server is away.
const RETRY_MIN: Duration = Duration::from_millis(500);
const RETRY_MAX: Duration = Duration::from_secs(15);

/// A pod whose deletion was let go but that is still there (a finalizer) is looked at again after this.
const LINGERING: Duration = Duration::from_secs(10);

/// Keeps one pod as it should be.
pub struct Worker {
    context: Arc<Context>,
    uid: String,
    wake: Arc<Notify>,
    local: Local,
    report: Option<Report>,
    probes: Probes,
    background: JoinSet<Outcome>,
    /// Termination messages already read, by container id; an ended container's does not change.
    messages: BTreeMap<String, Option<String>>,
    /// Images pulled for a start that has not happened yet: container and image.
    pulled: BTreeSet<(String, String)>,
    /// The attempt of each container whose back-off was told of last.
    told: BTreeMap<String, u32>,
    refresh_at: Instant,
}

/// What work in the background ended with.
enum Outcome {
    /// A pull for a container.
    Pulled(pull::Pulled),
    /// Pulls for the pod that replaces this one.
    Prepulled(prepull::Prepulled),
    /// The stop of the container with this id.
    Stopped(String),
    /// The postStart hook of the container with this id.
    Hooked(String),
}

/// What to do after a look.
enum Next {
    /// Something was done: look again.
    Again,
    /// Nothing to do until woken, or until then.
    Wait(Option<Instant>),
    /// Nothing is left of the pod.
    Done,
}

/// Why a look or an action failed; it is tried again.
#[derive(Debug, thiserror::Error)]
pub(super) enum Error {
    #[error("{0}")]
    Docker(#[from] DockerError),
    #[error("the API server: {0}")]
    Api(#[from] kube::Error),
    #[error("removing the pod's files: {0}")]
    Files(std::io::Error),
}

impl Worker {
    /// A worker for the pod with this uid.
    pub fn new(context: Arc<Context>, uid: String, wake: Arc<Notify>) -> Self {
        let refresh_at = Instant::now() + context.config.refresh_volumes;
        Self {
            context,
            uid,
            wake,
            local: Local::default(),
            report: None,
            probes: Probes::default(),
            background: JoinSet::new(),
            messages: BTreeMap::new(),
            pulled: BTreeSet::new(),
            told: BTreeMap::new(),
            refresh_at,
        }
    }

    /// Works until nothing is left of the pod, or until `shutdown`, which leaves everything as it is.
    pub async fn run(mut self, shutdown: CancellationToken) -> String {
        let mut retry = RETRY_MIN;
        loop {
            let looked = tokio::select! {
                () = shutdown.cancelled() => return self.uid,
                looked = self.look() => looked,
            };
            let wait_until = match looked {
                Ok(Next::Done) => return self.uid,
                Ok(Next::Again) => {
                    retry = RETRY_MIN;
                    continue;
                }
                Ok(Next::Wait(until)) => {
                    retry = RETRY_MIN;
                    until
                }
                Err(error) => {
                    tracing::warn!(uid = self.uid, error = %Told(&error), "a pod could not be looked after; trying again");
                    let at = Instant::now() + retry;
                    retry = (retry * 2).min(RETRY_MAX);
                    Some(at)
                }
            };
            let timer = async {
                match wait_until {
                    Some(at) => tokio::time::sleep_until(at).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                () = shutdown.cancelled() => return self.uid,
                () = self.wake.notified() => {}
                () = timer => {}
                Some(outcome) = self.background.join_next() => self.take(outcome),
            }
            while let Some(outcome) = self.background.try_join_next() {
                self.take(outcome);
            }
        }
    }

    /// One look at the pod, and what follows from it.
    async fn look(&mut self) -> Result<Next, Error> {
        let known = self.context.pods.get(&self.uid);
        let (mut observed, sources) = self.context.engine.observe(&self.context.labels, &self.uid).await?;
        self.read_messages(&mut observed, &sources).await;
        // Of what the kubelet kills itself, and of a pod that goes, nobody waits to hear why it ended.
        if let Known::Pod(pod) = &known
            && let Some(until) = self.mark_ooms(pod, &mut observed, Timestamp::now())
            && pod.metadata.deletion_timestamp.is_none()
        {
            return Ok(Next::Wait(Some(instant(until))));
        }
        self.local.stopping.retain(|id, _| {
            observed
                .containers
                .iter()
                .any(|container| container.running() && container.id == *id)
        });
        self.local.hooks.retain(|id| {
            observed
                .containers
                .iter()
                .any(|container| container.running() && container.id == *id)
        });
        match known {
            Known::Unread => Ok(Next::Wait(None)),
            Known::Gone(last) => {
                self.report = None;
                let plan = plan(Desired::Gone(last.as_deref()), &observed, &self.local, Timestamp::now());
                self.carry_out(last.as_ref(), &observed, plan).await
            }
            Known::Pod(watched) => {
                let client = &self.context.client;
                let report = self
                    .report
                    .get_or_insert_with(|| Report::start(client.clone(), watched.clone()));
                let pod = report.newest(&watched);
                self.drop_stale_holds(&pod);
                self.local.probes = self.probes.follow(&self.context, &pod, &observed, &self.wake);
                let now = Timestamp::now();
                self.follow_prepull(&pod, now);
                let plan = plan(Desired::Pod(&pod), &observed, &self.local, now);
                self.publish(&pod, &observed, now);
                let next = self.carry_out(Some(&pod), &observed, plan).await?;
                Ok(self.with_refresh(&pod, &observed, next).await)
            }
        }
    }

    fn status(&self, pod: &Pod, observed: &Observed, now: Timestamp) -> k8s_openapi::api::core::v1::PodStatus {
        status(status::Input {
            pod,
            observed,
            local: &self.local,
            host_ip: self.context.host_ip,
            now,
        })
    }

    fn publish(&self, pod: &Pod, observed: &Observed, now: Timestamp) {
        if let Some(report) = &self.report {
            report.publish(self.status(pod, observed, now));
        }
    }

    async fn carry_out(&mut self, pod: Option<&Arc<Pod>>, observed: &Observed, plan: Plan) -> Result<Next, Error> {
        let mut acted = false;
        let mut sandbox = None;
        let mut launches = Vec::new();
        for action in plan.actions {
            acted |= !matches!(
                action,
                Action::BackOff { .. } | Action::Stop { .. } | Action::FinishDeletion
            );
            match action {
                Action::CreateSandbox { attempt } => sandbox = Some(attempt),
                Action::Launch(launch) => launches.push(launch),
                Action::BackOff { container } => self.tell_back_off(pod, observed, &container),
                Action::Stop {
                    id,
                    container,
                    grace,
                    why,
                } => self.stop(pod, observed, &id, &container, grace, why),
                Action::StopSandbox { id } => self.context.engine.stop(&id, stop::SANDBOX_GRACE).await?,
                Action::Remove { id } => {
                    self.context.engine.remove(&id).await?;
                    self.messages.remove(&id);
                    self.context.ooms.forget(&id);
                }
                Action::FinishDeletion => {
                    if let Some(pod) = pod {
                        self.finish_deletion(pod, observed).await?;
                    }
                    return Ok(Next::Wait(Some(Instant::now() + LINGERING)));
                }
                Action::Forget => {
                    self.forget().await?;
                    return Ok(Next::Done);
                }
            }
        }
        if let Some(pod) = pod
            && (sandbox.is_some() || !launches.is_empty())
        {
            self.start(pod, observed, sandbox, launches).await?;
        }
        if acted {
            return Ok(Next::Again);
        }
        Ok(Next::Wait(
            plan.wake_at
                .into_iter()
                .chain(self.status_changes_at())
                .chain(self.prepull_due())
                .min()
                .map(instant),
        ))
    }

    /// Keeps files of volumes like the objects they are made from.
    async fn with_refresh(&mut self, pod: &Arc<Pod>, observed: &Observed, next: Next) -> Next {
        let Next::Wait(until) = next else { return next };
        let runs = observed.containers.iter().any(|container| container.running());
        if !runs || !volumes::follow_the_api(pod) {
            return Next::Wait(until);
        }
        if Instant::now() >= self.refresh_at {
            self.refresh_at = Instant::now() + self.context.config.refresh_volumes;
            let facts = self.context.facts(self.pod_ips(pod, observed));
            if let Err(error) = volumes::prepare(self.tools(), pod, &facts).await {
                self.context
                    .events
                    .pod(pod, None, Kind::Warning, "FailedMount", error.to_string());
            }
        }
        Next::Wait(Some(until.map_or(self.refresh_at, |until| until.min(self.refresh_at))))
    }

    fn tools(&self) -> volumes::Tools<'_> {
        volumes::Tools {
            config: &self.context.config,
            engine: &self.context.engine,
            sources: &self.context.sources,
        }
    }

    fn pod_ips(&self, pod: &Pod, observed: &Observed) -> Vec<String> {
        if pod::host_network(pod) {
            return vec![self.context.host_ip.to_string()];
        }
        let ips = observed
            .ready_sandbox()
            .map(|sandbox| sandbox.ips.as_slice())
            .unwrap_or_default();
        ips.iter().map(ToString::to_string).collect()
    }

    /// Tells something about a container.
    fn tell(&self, pod: &Pod, container: &str, kind: Kind, reason: &'static str, message: String) {
        self.context.events.pod(pod, Some(container), kind, reason, message);
    }

    fn tell_back_off(&mut self, pod: Option<&Arc<Pod>>, observed: &Observed, container: &str) {
        let (Some(pod), Some(newest)) = (pod, observed.newest(container)) else {
            return;
        };
        if self.told.insert(container.to_owned(), newest.attempt) != Some(newest.attempt) {
            let (name, namespace) = (pod.name_any(), pod.namespace().unwrap_or_default());
            let message = format!(
                "Back-off restarting failed container {container} in pod {name}_{namespace}({})",
                self.uid
            );
            self.context
                .events
                .pod(pod, Some(container), Kind::Warning, "BackOff", message);
        }
    }

    fn take(&mut self, outcome: Result<Outcome, tokio::task::JoinError>) {
        match outcome {
            Ok(Outcome::Pulled(pulled)) => self.take_pull(pulled),
            Ok(Outcome::Prepulled(prepulled)) => self.take_prepull(prepulled),
            Ok(Outcome::Stopped(id)) => {
                self.local.stopping.remove(&id);
            }
            Ok(Outcome::Hooked(id)) => self.local.hooks.retain(|hooked| *hooked != id),
            Err(error) => tracing::error!(uid = self.uid, %error, "work on a pod ended unexpectedly"),
        }
    }
}

fn instant(at: Timestamp) -> Instant {
    let wait = at.duration_since(Timestamp::now());
    Instant::now() + Duration::try_from(wait).unwrap_or_default()
}
