//! Plans how a pod's containers end: main containers, then sidecars, then the sandbox. Pure.

use std::collections::BTreeSet;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::core::v1::Pod;

use super::{Action, Plan, StopReason};
use crate::kubelet::local::Local;
use crate::kubelet::observed::{Container, Observed};
use crate::kubelet::pod;

/// A stop under way is cut short only where that saves at least this much.
const WORTHWHILE: SignedDuration = SignedDuration::from_secs(1);

/// The pod is not in the API: stop and remove everything.
pub fn gone(last: Option<&Pod>, observed: &Observed, local: &Local, now: Timestamp, plan: &mut Plan) {
    let grace = last.map(pod::grace_seconds);
    let sidecars = last.map(sidecars).unwrap_or_default();
    if stop_all(&sidecars, grace, StopReason::Deleted, observed, local, now, plan) {
        return;
    }
    let containers = observed.containers.iter().map(|container| &container.id);
    let sandboxes = observed.sandboxes.iter().map(|sandbox| &sandbox.id);
    plan.actions
        .extend(containers.chain(sandboxes).map(|id| Action::Remove { id: id.clone() }));
    if observed.is_empty() {
        plan.actions.push(Action::Forget);
    }
}

/// Somebody deletes the pod: stop everything, then let the API object go.
pub fn delete(pod: &Pod, observed: &Observed, local: &Local, now: Timestamp, plan: &mut Plan) {
    let grace = Some(pod::grace_seconds(pod));
    if !stop_all(&sidecars(pod), grace, StopReason::Deleted, observed, local, now, plan) {
        plan.actions.push(Action::FinishDeletion);
    }
}

/// The pod ended by itself or by its deadline: stop what still runs, keep the dead for their logs.
pub fn finish(pod: &Pod, why: StopReason, observed: &Observed, local: &Local, now: Timestamp, plan: &mut Plan) {
    let grace = Some(pod::grace_seconds(pod));
    if stop_all(&sidecars(pod), grace, why, observed, local, now, plan) {
        return;
    }
    let ready = observed.sandboxes.iter().filter(|sandbox| sandbox.ready);
    plan.actions
        .extend(ready.map(|sandbox| Action::StopSandbox { id: sandbox.id.clone() }));
    collect(observed, plan);
}

/// Stops what runs; returns whether anything still does. Sidecars stop after the main containers, last started first.
fn stop_all(
    sidecars: &[String],
    grace: Option<u32>,
    why: StopReason,
    observed: &Observed,
    local: &Local,
    now: Timestamp,
    plan: &mut Plan,
) -> bool {
    let running = || observed.containers.iter().filter(|container| container.running());
    let is_sidecar = |container: &&Container| sidecars.contains(&container.name);
    let mut first = running().filter(|container| !is_sidecar(container)).collect::<Vec<_>>();
    if first.is_empty() {
        let last_started = sidecars
            .iter()
            .rev()
            .find(|name| running().any(|container| container.name == **name));
        first = running()
            .filter(|container| Some(&container.name) == last_started)
            .collect();
    }
    for container in &first {
        let seconds = grace.unwrap_or(container.grace_seconds.max(1));
        stop(container, seconds, why, local, now, plan);
    }
    running().next().is_some()
}

/// Asks for a stop unless one is under way that ends about as soon.
pub fn stop(container: &Container, seconds: u32, why: StopReason, local: &Local, now: Timestamp, plan: &mut Plan) {
    let ends = now
        .saturating_add(SignedDuration::from_secs(seconds.into()))
        .unwrap_or(Timestamp::MAX);
    if let Some(deadline) = local.stopping.get(&container.id)
        && ends.duration_since(*deadline) > -WORTHWHILE
    {
        return;
    }
    plan.actions.push(Action::Stop {
        id: container.id.clone(),
        container: container.name.clone(),
        grace: Duration::from_secs(seconds.into()),
        why,
    });
}

/// Removes what is dead and superseded: of each container the newest dead one stays, for its log and its state.
pub fn collect(observed: &Observed, plan: &mut Plan) {
    let mut kept = BTreeSet::new();
    for container in observed
        .containers
        .iter()
        .filter(|container| container.exit().is_some())
    {
        if !kept.insert(&container.name) {
            plan.actions.push(Action::Remove {
                id: container.id.clone(),
            });
        }
    }
    let newest = observed.sandboxes.iter().map(|sandbox| sandbox.attempt).max();
    for sandbox in &observed.sandboxes {
        if !sandbox.ready && Some(sandbox.attempt) != newest {
            plan.actions.push(Action::Remove { id: sandbox.id.clone() });
        }
    }
}

fn sidecars(pod: &Pod) -> Vec<String> {
    let sidecars = pod::init_containers(pod)
        .iter()
        .filter(|container| pod::is_sidecar(container));
    sidecars.map(|container| container.name.clone()).collect()
}
