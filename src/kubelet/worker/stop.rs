//! Stops containers in the background: the preStop hook, then Docker's stop, all within one grace period.

use std::sync::Arc;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::core::v1::{LifecycleHandler, Pod};
use tokio::time::Instant;

use super::{Outcome, Worker};
use crate::kubelet::context::Context;
use crate::kubelet::events::Kind;
use crate::kubelet::observed::Observed;
use crate::kubelet::plan::StopReason;
use crate::kubelet::pod;
use crate::kubelet::probes::{Answer, Target, hook};

/// The sandbox's program ends as soon as it is asked to.
pub(super) const SANDBOX_GRACE: Duration = Duration::from_secs(5);

/// What is left to a container whose hook used the grace period up, as in Kubernetes.
const AFTER_HOOK: Duration = Duration::from_secs(2);

impl Worker {
    /// Begins a stop; its end wakes the worker.
    pub(super) fn stop(
        &mut self,
        pod: Option<&Arc<Pod>>,
        observed: &Observed,
        id: &str,
        container: &str,
        grace: Duration,
        why: StopReason,
    ) {
        let again = self.local.stopping.contains_key(id);
        if let (Some(pod), false) = (pod, again) {
            self.tell_stop(pod, container, why);
        }
        let deadline = SignedDuration::try_from(grace)
            .ok()
            .and_then(|grace| Timestamp::now().checked_add(grace).ok());
        self.local
            .stopping
            .insert(id.to_owned(), deadline.unwrap_or(Timestamp::MAX));
        let stored = observed
            .containers
            .iter()
            .find(|known| known.id == id)
            .and_then(|known| known.pre_stop.as_deref());
        let handler = stored
            .filter(|_| !again)
            .and_then(|text| serde_json::from_str::<LifecycleHandler>(text).ok());
        let ip = observed
            .ready_sandbox()
            .and_then(|sandbox| sandbox.ips.first().copied());
        let job = Job {
            context: self.context.clone(),
            pod: pod.cloned(),
            id: id.to_owned(),
            container: container.to_owned(),
            pod_ip: ip.unwrap_or(self.context.host_ip).to_string(),
            grace,
            handler,
        };
        self.background.spawn(job.run());
    }

    fn tell_stop(&self, pod: &Arc<Pod>, container: &str, why: StopReason) {
        let events = &self.context.events;
        if why == StopReason::SandboxChanged {
            let message = "Pod sandbox changed, it will be killed and re-created.".to_owned();
            events.pod(pod, None, Kind::Normal, "SandboxChanged", message);
        }
        let message = match why {
            StopReason::Changed => format!("Container {container} definition changed, will be restarted"),
            StopReason::Unhealthy => format!("Container {container} failed liveness probe, will be restarted"),
            StopReason::NeverStarted => format!("Container {container} failed startup probe, will be restarted"),
            _ => format!("Stopping container {container}"),
        };
        events.pod(pod, Some(container), Kind::Normal, "Killing", message);
        if why == StopReason::DeadlineExceeded {
            let message = "Pod was active on the node longer than the specified deadline".to_owned();
            events.pod(pod, None, Kind::Normal, "DeadlineExceeded", message);
        }
    }
}

/// One stop.
struct Job {
    context: Arc<Context>,
    pod: Option<Arc<Pod>>,
    id: String,
    container: String,
    pod_ip: String,
    grace: Duration,
    handler: Option<LifecycleHandler>,
}

impl Job {
    async fn run(self) -> Outcome {
        let begun = Instant::now();
        let mut left = self.grace;
        if let Some(handler) = &self.handler {
            self.run_hook(handler).await;
            left = self
                .grace
                .saturating_sub(begun.elapsed())
                .max(AFTER_HOOK.min(self.grace));
        }
        if let Err(error) = self.context.engine.stop(&self.id, left).await {
            tracing::warn!(container = self.container, %error, "a container could not be stopped; trying again");
        }
        Outcome::Stopped(self.id)
    }

    async fn run_hook(&self, handler: &LifecycleHandler) {
        let target = Target {
            engine: &self.context.engine,
            id: &self.id,
            spec: self.pod.as_deref().and_then(|pod| pod::container(pod, &self.container)),
            pod_ip: &self.pod_ip,
        };
        let ended = tokio::time::timeout(self.grace, hook(&target, handler, self.grace)).await;
        let failure = match ended {
            Ok(Answer::Success) => return,
            Ok(Answer::Failure(reason)) => reason,
            Err(_elapsed) => format!("it did not end within {}s", self.grace.as_secs()),
        };
        if let Some(pod) = &self.pod {
            let message = format!("PreStopHook failed: {failure}");
            self.context
                .events
                .pod(pod, Some(&self.container), Kind::Warning, "FailedPreStopHook", message);
        }
    }
}
