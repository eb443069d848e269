//! Plans how a pod's containers come up and stay up: sandbox, init containers in order, main containers. Pure.

use jiff::Timestamp;
use k8s_openapi::api::core::v1::{Container as Spec, Pod};

use super::{Action, Launch, Plan, StopReason, backoff, teardown};
use crate::kubelet::labels;
use crate::kubelet::local::Local;
use crate::kubelet::observed::{Container, Observed, Sandbox, State};
use crate::kubelet::pod::{self, RestartPolicy};

/// What to do about one container.
#[derive(Clone, Debug, PartialEq)]
enum Step {
    /// It runs, or it ended and stays so.
    Settled,
    /// It will be started at that time; `None` where something else has to happen first.
    Later(Option<Timestamp>),
    /// It waits for the end of its back-off.
    BackingOff(Timestamp),
    /// It starts now.
    Now(Launch),
}

/// Everything that decides a container's next step.
struct World<'a> {
    pod: &'a Pod,
    observed: &'a Observed,
    local: &'a Local,
    now: Timestamp,
}

/// Whether every container ended and none will start again.
pub fn all_done(pod: &Pod, observed: &Observed) -> bool {
    let stays_dead = |spec: &Spec, policy: RestartPolicy| {
        let newest = observed.newest(&spec.name);
        newest.is_some_and(|container| {
            container.exit().is_some_and(|exit| !policy.restarts(exit.code))
                && container.hash == labels::spec_hash(spec)
        })
    };
    let init_failed = pod::init_containers(pod).iter().any(|spec| {
        let failed = observed
            .newest(&spec.name)
            .and_then(Container::exit)
            .is_some_and(|exit| exit.code != 0);
        failed && stays_dead(spec, pod::init_restart_policy(pod, spec))
    });
    let containers = pod::containers(pod);
    let policy = pod::restart_policy(pod);
    init_failed
        || (!containers.is_empty()
            && containers
                .iter()
                .all(|spec| stays_dead(spec, policy) || orphaned(pod, observed, spec)))
}

/// A container of a pod that never restarts, which could not start before its sandbox died.
fn orphaned(pod: &Pod, observed: &Observed, spec: &Spec) -> bool {
    pod::restart_policy(pod) == RestartPolicy::Never
        && !observed.sandboxes.is_empty()
        && observed
            .sandboxes
            .iter()
            .all(|sandbox| !sandbox.ready && !sandbox.fresh)
        && observed.containers.iter().any(|container| container.exit().is_some())
        && observed.newest(&spec.name).is_none()
}

/// Brings the pod nearer to running.
pub fn advance(pod: &Pod, observed: &Observed, local: &Local, now: Timestamp, plan: &mut Plan) {
    let world = World {
        pod,
        observed,
        local,
        now,
    };
    let sandbox = observed.ready_sandbox();
    if world.stop_strays(sandbox, plan) {
        return;
    }
    if let Some(retry_at) = local.pod_hold.as_ref().and_then(|hold| hold.retry_at)
        && retry_at > now
    {
        plan.wake(retry_at);
        return;
    }
    if sandbox.is_none() {
        let fresh = observed.sandboxes.iter().filter(|sandbox| sandbox.fresh);
        plan.actions
            .extend(fresh.map(|sandbox| Action::Remove { id: sandbox.id.clone() }));
        let newest = observed
            .sandboxes
            .iter()
            .filter(|sandbox| !sandbox.fresh)
            .map(|sandbox| sandbox.attempt + 1)
            .max();
        plan.actions.push(Action::CreateSandbox {
            attempt: newest.unwrap_or(0),
        });
    }
    world.start(sandbox, plan);
}

impl World<'_> {
    /// Stops containers that must not run on as they are; returns whether to wait for that before anything else.
    fn stop_strays(&self, sandbox: Option<&Sandbox>, plan: &mut Plan) -> bool {
        let mut waiting = false;
        for container in self.observed.containers.iter().filter(|container| container.running()) {
            let probed = self.local.probed(&container.id);
            let spec = pod::container(self.pod, &container.name);
            let why = if sandbox.is_none_or(|sandbox| sandbox.id != container.sandbox) {
                waiting = true;
                StopReason::SandboxChanged
            } else if spec.is_some_and(|spec| labels::spec_hash(spec) != container.hash) {
                StopReason::Changed
            } else if !probed.alive {
                if probed.started {
                    StopReason::Unhealthy
                } else {
                    StopReason::NeverStarted
                }
            } else {
                continue;
            };
            let probe = spec.and_then(|spec| match why {
                StopReason::Unhealthy => spec.liveness_probe.as_ref(),
                StopReason::NeverStarted => spec.startup_probe.as_ref(),
                _ => None,
            });
            let own = probe.and_then(|probe| probe.termination_grace_period_seconds);
            let own = own.and_then(|seconds| u32::try_from(seconds.max(1)).ok());
            let seconds = own.unwrap_or_else(|| pod::grace_seconds(self.pod));
            teardown::stop(container, seconds, why, self.local, self.now, plan);
        }
        waiting
    }

    /// Launches what may start in this sandbox, or in a new one where there is none.
    fn start(&self, sandbox: Option<&Sandbox>, plan: &mut Plan) {
        let main_seen = sandbox.is_some_and(|sandbox| {
            pod::containers(self.pod)
                .iter()
                .any(|spec| self.observed.newest_in(&spec.name, &sandbox.id).is_some())
        });
        for spec in pod::init_containers(self.pod) {
            let here = sandbox.and_then(|sandbox| self.observed.newest_in(&spec.name, &sandbox.id));
            if main_seen && !pod::is_sidecar(spec) {
                continue;
            }
            if !self.init_passed(spec, here) {
                self.take(
                    self.step(spec, here, pod::init_restart_policy(self.pod, spec), true),
                    spec,
                    plan,
                );
                if !main_seen {
                    return;
                }
            }
        }
        for spec in pod::containers(self.pod) {
            let here = sandbox.and_then(|sandbox| self.observed.newest_in(&spec.name, &sandbox.id));
            self.take(self.step(spec, here, pod::restart_policy(self.pod), false), spec, plan);
        }
    }

    /// Whether the containers after this init container may start.
    fn init_passed(&self, spec: &Spec, here: Option<&Container>) -> bool {
        match here {
            Some(container) if pod::is_sidecar(spec) => {
                let probed = self.local.probed(&container.id);
                container.running() && probed.started && !self.local.hooks.contains(&container.id)
            }
            Some(container) => container.exit().is_some_and(|exit| exit.code == 0),
            None => false,
        }
    }

    /// `here` is the newest container of that name in the current sandbox.
    fn step(&self, spec: &Spec, here: Option<&Container>, policy: RestartPolicy, init: bool) -> Step {
        if let Some(hold) = self.local.holds.get(&spec.name) {
            match hold.retry_at {
                None => return Step::Later(None),
                Some(at) if at > self.now => return Step::Later(Some(at)),
                Some(_) => {}
            }
        }
        let newest = self.observed.newest(&spec.name);
        let Some(container) = newest else {
            return Step::Now(Launch {
                container: spec.name.clone(),
                attempt: self.first_attempt(&spec.name),
                backoff_seconds: 0,
            });
        };
        match &container.state {
            State::Running { .. } => Step::Settled,
            // Made, but its start was never asked for: somebody was killed in between. It is made again.
            State::Created => Step::Now(Launch {
                container: spec.name.clone(),
                attempt: container.attempt,
                backoff_seconds: container.backoff_seconds,
            }),
            State::Exited(exit) => {
                let attempt = container.attempt.max(self.published_restarts(&spec.name)) + 1;
                let next = backoff::next(container, exit, self.now);
                let launch = |backoff_seconds| Launch {
                    container: spec.name.clone(),
                    attempt,
                    backoff_seconds,
                };
                let changed = container.hash != labels::spec_hash(spec);
                // Init containers run anew in every sandbox.
                let anew = init && here.is_none();
                if changed || (anew && exit.code == 0) {
                    return Step::Now(launch(0));
                }
                if !anew && !policy.restarts(exit.code) {
                    return Step::Settled;
                }
                if next.start_at > self.now {
                    return Step::BackingOff(next.start_at);
                }
                Step::Now(launch(next.backoff_seconds))
            }
        }
    }

    fn take(&self, step: Step, spec: &Spec, plan: &mut Plan) {
        match step {
            Step::Settled | Step::Later(None) => {}
            Step::Later(Some(at)) => plan.wake(at),
            Step::BackingOff(at) => {
                plan.wake(at);
                plan.actions.push(Action::BackOff {
                    container: spec.name.clone(),
                });
            }
            Step::Now(launch) => {
                let stale = self
                    .observed
                    .newest(&spec.name)
                    .filter(|container| container.state == State::Created);
                plan.actions.extend(stale.map(|container| Action::Remove {
                    id: container.id.clone(),
                }));
                plan.actions.push(Action::Launch(launch));
            }
        }
    }

    /// Docker may have lost the containers that the API still counts.
    fn first_attempt(&self, name: &str) -> u32 {
        // A container id alone tells only that one was made: it counts once it ran.
        let ran = pod::published(self.pod, name).is_some_and(|status| {
            let states = [status.state.as_ref(), status.last_state.as_ref()];
            let mut states = states.into_iter().flatten();
            status.ready || states.any(|state| state.running.is_some() || state.terminated.is_some())
        });
        self.published_restarts(name) + u32::from(ran)
    }

    fn published_restarts(&self, name: &str) -> u32 {
        let count = pod::published(self.pod, name).map_or(0, |status| status.restart_count);
        u32::try_from(count).unwrap_or(0)
    }
}
