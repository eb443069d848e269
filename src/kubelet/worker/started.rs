//! What follows the making of containers: starts them, runs their postStart hooks, remembers what failed.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use futures::future::join_all;
use k8s_openapi::api::core::v1::{Container as Spec, Pod};

use super::hold::Pace;
use super::launch::{Round, Step};
use super::{Error, Outcome, Worker};
use crate::kubelet::create_spec::CreateSpec;
use crate::kubelet::docker::DockerError;
use crate::kubelet::events::Kind;
use crate::kubelet::plan::Launch;
use crate::kubelet::pod;
use crate::kubelet::probes::{Answer, Target, hook};

/// A postStart hook that hangs would keep its container from ever being ready, and unseen.
const POST_START_LIMIT: Duration = Duration::from_secs(600);

impl Worker {
    /// Starts what was created, pulls what is missing, remembers what failed.
    pub(super) async fn finish(
        &mut self,
        round: &Round<'_>,
        launches: Vec<Launch>,
        steps: Vec<Step>,
        ips: &[String],
    ) -> Result<(), Error> {
        let mut starting = Vec::new();
        for (launch, step) in launches.into_iter().zip(steps) {
            let Some(spec) = pod::container(round.pod, &launch.container) else {
                continue;
            };
            match step {
                Step::Created { id, spec: made } => starting.push((spec, id, made)),
                Step::Pull => self.pull(round.pod, spec),
                Step::NeedsAddress => {
                    let message = "the sandbox has no address".to_owned();
                    self.hold(spec, "CreateContainerConfigError", message, Pace::SOON);
                }
                Step::Failed { reason, message } => {
                    let told = match reason {
                        "InvalidImageName" => "InspectFailed",
                        "ErrImageNeverPull" => reason,
                        _ => "Failed",
                    };
                    let text = if told == "Failed" {
                        format!("Error: {message}")
                    } else {
                        message.clone()
                    };
                    self.tell(round.pod, &spec.name, Kind::Warning, told, text);
                    self.hold(spec, reason, message, Pace::SOON);
                }
            }
        }
        let started = join_all(starting.iter().map(|(_, id, made)| self.start_created(id, made))).await;
        for ((spec, _, _), result) in starting.iter().zip(started) {
            self.started(round.pod, spec, result, ips)?;
        }
        Ok(())
    }

    /// Starts a created container; returns the id of the one that runs.
    async fn start_created(&self, id: &str, spec: &CreateSpec) -> Result<String, DockerError> {
        let engine = &self.context.engine;
        match engine.start(id).await {
            // The runtime does not always say that this is why, so it is tried once without.
            Err(DockerError::Refused(_)) if spec.resources.oom_score_adj < 0 => {
                engine.remove(id).await?;
                let mut spec = spec.clone();
                spec.resources.oom_score_adj = 0;
                let id = engine.create(&spec).await?;
                engine.start(&id).await?;
                self.context.may_lower_oom_score.store(false, Ordering::Relaxed);
                Ok(id)
            }
            result => result.map(|()| id.to_owned()),
        }
    }

    fn started(
        &mut self,
        pod: &Arc<Pod>,
        spec: &Spec,
        result: Result<String, DockerError>,
        ips: &[String],
    ) -> Result<(), Error> {
        let name = &spec.name;
        let image = spec.image.clone().unwrap_or_default();
        if !self.pulled.remove(&(name.clone(), image.clone())) {
            let message = format!("Container image {image:?} already present on machine");
            self.tell(pod, name, Kind::Normal, "Pulled", message);
        }
        self.local.holds.remove(name);
        self.tell(pod, name, Kind::Normal, "Created", format!("Created container {name}"));
        match result {
            Ok(id) => {
                self.tell(pod, name, Kind::Normal, "Started", format!("Started container {name}"));
                self.run_post_start(pod, spec, id, ips.first().cloned());
                Ok(())
            }
            Err(error @ DockerError::Unavailable(_)) => Err(error.into()),
            Err(error) => {
                let message = format!("Error: failed to start container {name:?}: {error}");
                self.tell(pod, name, Kind::Warning, "Failed", message);
                Ok(())
            }
        }
    }

    fn run_post_start(&mut self, pod: &Arc<Pod>, spec: &Spec, id: String, ip: Option<String>) {
        let Some(handler) = spec
            .lifecycle
            .as_ref()
            .and_then(|lifecycle| lifecycle.post_start.clone())
        else {
            return;
        };
        self.local.hooks.push(id.clone());
        let (context, pod, spec) = (self.context.clone(), pod.clone(), spec.clone());
        self.background.spawn(async move {
            let pod_ip = ip.unwrap_or_else(|| context.host_ip.to_string());
            let target = Target {
                engine: &context.engine,
                id: &id,
                spec: Some(&spec),
                pod_ip: &pod_ip,
            };
            if let Answer::Failure(reason) = hook(&target, &handler, POST_START_LIMIT).await {
                let message = format!("PostStartHook failed: {reason}");
                context
                    .events
                    .pod(&pod, Some(&spec.name), Kind::Warning, "FailedPostStartHook", message);
                let grace = Duration::from_secs(pod::grace_seconds(&pod).into());
                if let Err(error) = context.engine.stop(&id, grace).await {
                    tracing::warn!(%error, container = spec.name, "a container whose hook failed could not be stopped");
                }
            }
            Outcome::Hooked(id)
        });
    }
}
