//! Probes the running containers of one pod in the background and wakes its worker when a verdict changes.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use k8s_openapi::api::core::v1::{Container as Spec, Pod, Probe};
use tokio::sync::Notify;
use tokio::task::JoinSet;
use tokio::time::sleep;

use super::handler::{Answer, Target, probe};
use crate::kubelet::context::Context;
use crate::kubelet::events::Kind;
use crate::kubelet::local::Probed;
use crate::kubelet::observed::Observed;
use crate::kubelet::pod;

/// The probes of a pod's running containers, by container id.
#[derive(Default)]
pub struct Probes {
    running: BTreeMap<String, Running>,
}

struct Running {
    verdict: Arc<Mutex<Probed>>,
    /// Aborts the probing when dropped.
    _task: JoinSet<()>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Purpose {
    Startup,
    Readiness,
    Liveness,
}

/// Everything one container's probing needs.
#[derive(Clone)]
struct Subject {
    context: Arc<Context>,
    pod: Arc<Pod>,
    spec: Spec,
    id: String,
    pod_ip: String,
    verdict: Arc<Mutex<Probed>>,
    wake: Arc<Notify>,
}

impl Probes {
    /// Starts probing what began to run and stops probing what ended; returns the verdicts so far.
    pub fn follow(
        &mut self,
        context: &Arc<Context>,
        pod: &Arc<Pod>,
        observed: &Observed,
        wake: &Arc<Notify>,
    ) -> BTreeMap<String, Probed> {
        let alive = |id: &String| {
            observed
                .containers
                .iter()
                .any(|container| container.running() && container.id == *id)
        };
        self.running.retain(|id, _| alive(id));
        for container in observed.containers.iter().filter(|container| container.running()) {
            let Some(spec) = pod::container(pod, &container.name) else {
                continue;
            };
            let probed =
                spec.startup_probe.is_some() || spec.readiness_probe.is_some() || spec.liveness_probe.is_some();
            if !probed || self.running.contains_key(&container.id) {
                continue;
            }
            let published = pod::published(pod, &container.name)
                .filter(|status| status.container_id.as_deref() == Some(&format!("docker://{}", container.id)));
            // A container that this kubelet adopts keeps what the API says of it until a probe says otherwise.
            let verdict = Probed {
                ready: spec.readiness_probe.is_none() || published.is_some_and(|status| status.ready),
                started: spec.startup_probe.is_none() || published.is_some_and(|status| status.started == Some(true)),
                alive: true,
            };
            let ip = observed
                .ready_sandbox()
                .and_then(|sandbox| sandbox.ips.first().copied())
                .unwrap_or(context.host_ip);
            let subject = Subject {
                context: context.clone(),
                pod: pod.clone(),
                spec: spec.clone(),
                id: container.id.clone(),
                pod_ip: ip.to_string(),
                verdict: Arc::new(Mutex::new(verdict)),
                wake: wake.clone(),
            };
            let verdict = subject.verdict.clone();
            let mut task = JoinSet::new();
            task.spawn(subject.run());
            self.running
                .insert(container.id.clone(), Running { verdict, _task: task });
        }
        let verdicts = self
            .running
            .iter()
            .map(|(id, running)| (id.clone(), *lock(&running.verdict)));
        verdicts.collect()
    }
}

impl Subject {
    async fn run(self) {
        if let Some(startup) = self.spec.startup_probe.clone()
            && !lock(&self.verdict).started
            && !self.repeat(&startup, Purpose::Startup).await
        {
            return;
        }
        let readiness = async {
            if let Some(readiness) = &self.spec.readiness_probe {
                self.repeat(readiness, Purpose::Readiness).await;
            }
        };
        let liveness = async {
            if let Some(liveness) = &self.spec.liveness_probe {
                self.repeat(liveness, Purpose::Liveness).await;
            }
        };
        tokio::join!(readiness, liveness);
    }

    /// Probes until there is nothing more to find out; returns whether that was good.
    async fn repeat(&self, spec: &Probe, purpose: Purpose) -> bool {
        let seconds = |value: Option<i32>, default: i32| {
            Duration::from_secs(value.unwrap_or(default).max(0).unsigned_abs().into())
        };
        let period = seconds(spec.period_seconds, 10).max(Duration::from_secs(1));
        let enough = |threshold: Option<i32>, default: i32| threshold.unwrap_or(default).max(1).unsigned_abs();
        let (good, bad) = (enough(spec.success_threshold, 1), enough(spec.failure_threshold, 3));
        let target = Target {
            engine: &self.context.engine,
            id: &self.id,
            spec: Some(&self.spec),
            pod_ip: &self.pod_ip,
        };
        let (mut successes, mut failures) = (0_u32, 0_u32);
        sleep(seconds(spec.initial_delay_seconds, 0)).await;
        loop {
            match probe(&target, spec).await {
                Answer::Success => (successes, failures) = (successes.saturating_add(1), 0),
                Answer::Failure(reason) => {
                    (successes, failures) = (0, failures.saturating_add(1));
                    self.tell(purpose, &reason);
                }
            }
            if successes >= good {
                self.record(purpose, true);
                if purpose == Purpose::Startup {
                    return true;
                }
            } else if failures >= bad {
                self.record(purpose, false);
                if purpose != Purpose::Readiness {
                    return false;
                }
            }
            sleep(period).await;
        }
    }

    fn record(&self, purpose: Purpose, good: bool) {
        let mut verdict = lock(&self.verdict);
        let before = *verdict;
        match purpose {
            Purpose::Startup if good => verdict.started = true,
            Purpose::Readiness => verdict.ready = good,
            Purpose::Startup | Purpose::Liveness => verdict.alive = good,
        }
        if *verdict != before {
            self.wake.notify_one();
        }
    }

    fn tell(&self, purpose: Purpose, reason: &str) {
        let name = match purpose {
            Purpose::Startup => "Startup",
            Purpose::Readiness => "Readiness",
            Purpose::Liveness => "Liveness",
        };
        let message = format!("{name} probe failed: {reason}");
        self.context
            .events
            .pod(&self.pod, Some(&self.spec.name), Kind::Warning, "Unhealthy", message);
    }
}

fn lock(verdict: &Mutex<Probed>) -> std::sync::MutexGuard<'_, Probed> {
    verdict.lock().expect("nobody panics while holding this lock")
}
