//! The status of each container of a pod. Pure.

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::core::v1::{
    Container as Spec, ContainerState, ContainerStateRunning, ContainerStateTerminated, ContainerStateWaiting,
    ContainerStatus,
};
use kube::ResourceExt;

use super::{Input, seconds};
use crate::kubelet::observed::{Container, Exit, State};
use crate::kubelet::plan::{Stage, backoff};
use crate::kubelet::pod::{self, RestartPolicy};

/// How long a fresh pull failure is shown as such before it becomes a back-off.
pub const FRESH_FAILURE: SignedDuration = SignedDuration::from_secs(3);

/// Statuses of the init containers, in the spec's order.
pub fn init_statuses(input: Input<'_>, stage: Stage) -> Vec<ContainerStatus> {
    let specs = pod::init_containers(input.pod).iter();
    let statuses = specs.map(|spec| {
        let mut status = one(input, spec, pod::init_restart_policy(input.pod, spec), stage, true);
        let exit_code = status
            .state
            .as_ref()
            .and_then(|state| state.terminated.as_ref())
            .map(|end| end.exit_code);
        if !pod::is_sidecar(spec) {
            status.ready = exit_code == Some(0);
            status.started = Some(status.started == Some(true) && exit_code.is_none());
        }
        status
    });
    statuses.collect()
}

/// Statuses of the main containers, by name.
pub fn main_statuses(input: Input<'_>, stage: Stage) -> Vec<ContainerStatus> {
    let policy = pod::restart_policy(input.pod);
    let specs = pod::containers(input.pod).iter();
    let mut statuses = specs
        .map(|spec| one(input, spec, policy, stage, false))
        .collect::<Vec<_>>();
    statuses.sort_by(|left, right| left.name.cmp(&right.name));
    statuses
}

fn one(input: Input<'_>, spec: &Spec, policy: RestartPolicy, stage: Stage, init: bool) -> ContainerStatus {
    let published = pod::published(input.pod, &spec.name);
    let newest = input.observed.newest(&spec.name);
    let restarts = published.map_or(0, |status| status.restart_count);
    let mut status = ContainerStatus {
        name: spec.name.clone(),
        image: spec.image.clone().unwrap_or_default(),
        restart_count: restarts,
        started: Some(false),
        ..ContainerStatus::default()
    };
    match newest {
        Some(container) => describe(input, spec, container, policy, stage, &mut status),
        None => absent(input, spec, published, stage, init, &mut status),
    }
    status
}

/// Docker shows a container of that name.
fn describe(
    input: Input<'_>,
    spec: &Spec,
    container: &Container,
    policy: RestartPolicy,
    stage: Stage,
    status: &mut ContainerStatus,
) {
    status.container_id = Some(container_id(container));
    status.image = container.image.clone();
    status.image_id = container.image_id.clone();
    status.restart_count = status
        .restart_count
        .max(i32::try_from(container.attempt).unwrap_or(i32::MAX));
    status.last_state = last_state(input, container);
    match &container.state {
        State::Created => status.state = Some(waiting("ContainerCreating", "")),
        State::Running { started_at } => {
            let probed = input.local.probed(&container.id);
            let hooked = input.local.hooks.contains(&container.id);
            status.started = Some(probed.started && !hooked);
            status.ready = probed.started && probed.ready && !hooked;
            status.state = Some(running(*started_at));
        }
        State::Exited(exit) => {
            let ended = terminated(container, exit);
            let again = stage == Stage::Live && !pod::is_terminating(input.pod);
            let hold = input
                .local
                .holds
                .get(&spec.name)
                .filter(|_| again)
                .and_then(|hold| shown(input, hold));
            let next = backoff::next(container, exit, input.now);
            if let Some(hold) = hold {
                status.state = Some(hold);
                status.last_state = Some(ended);
            } else if again && policy.restarts(exit.code) && next.start_at > input.now {
                status.state = Some(crash_loop(input, spec, next.waited_seconds));
                status.last_state = Some(ended);
            } else {
                status.state = Some(ended);
            }
        }
    }
}

/// Docker shows no container of that name: it was never made, or it has been removed.
fn absent(
    input: Input<'_>,
    spec: &Spec,
    published: Option<&ContainerStatus>,
    stage: Stage,
    init: bool,
    status: &mut ContainerStatus,
) {
    if let Some(published) = published.filter(|published| published.container_id.is_some()) {
        let terminated = published.state.as_ref().and_then(|state| state.terminated.clone());
        let ended = terminated.unwrap_or_else(|| lost(input, published));
        status.image = published.image.clone();
        status.image_id = published.image_id.clone();
        status.container_id = published.container_id.clone();
        let ended = ContainerState {
            terminated: Some(ended),
            ..ContainerState::default()
        };
        if stage != Stage::Live || pod::is_terminating(input.pod) || init {
            status.last_state = published.last_state.clone();
            status.state = Some(ended);
        } else {
            status.state = Some(waiting("ContainerCreating", ""));
            status.last_state = Some(ended);
        }
        return;
    }
    status.last_state = published.and_then(|published| published.last_state.clone());
    let hold = input.local.holds.get(&spec.name).and_then(|hold| shown(input, hold));
    let pod_hold = input
        .local
        .pod_hold
        .as_ref()
        .filter(|hold| hold.reason == "CreateContainerConfigError");
    let pod_hold = pod_hold.and_then(|hold| shown(input, hold));
    let initializing = !init && !pod::init_containers(input.pod).is_empty();
    let usual = if initializing {
        "PodInitializing"
    } else {
        "ContainerCreating"
    };
    status.state = Some(hold.or(pod_hold).unwrap_or_else(|| waiting(usual, "")));
}

/// A container that the API showed and nobody can tell the end of.
fn lost(input: Input<'_>, published: &ContainerStatus) -> ContainerStateTerminated {
    let running = published.state.as_ref().and_then(|state| state.running.as_ref());
    ContainerStateTerminated {
        exit_code: 137,
        reason: Some("ContainerStatusUnknown".into()),
        message: Some("The container could not be located when the pod was terminated".into()),
        container_id: published.container_id.clone(),
        started_at: running.and_then(|running| running.started_at.clone()),
        finished_at: Some(seconds(input.now)),
        ..ContainerStateTerminated::default()
    }
}

/// How the container before this one ended: as Docker still shows it, or else as the API does.
fn last_state(input: Input<'_>, container: &Container) -> Option<ContainerState> {
    let earlier = input
        .observed
        .containers
        .iter()
        .filter(|other| other.name == container.name);
    let before = earlier
        .filter(|other| other.attempt < container.attempt)
        .max_by_key(|other| other.attempt);
    if let Some((before, exit)) = before.and_then(|before| Some((before, before.exit()?))) {
        return Some(terminated(before, exit));
    }
    let published = pod::published(input.pod, &container.name)?;
    let same = published.container_id.as_deref() == Some(&container_id(container));
    let ended = published
        .state
        .as_ref()
        .filter(|state| state.terminated.is_some() && !same);
    ended
        .or(published.last_state.as_ref().filter(|state| state.terminated.is_some()))
        .cloned()
}

/// What a hold looks like; a failed pull becomes a back-off after a moment.
fn shown(input: Input<'_>, hold: &crate::kubelet::local::Hold) -> Option<ContainerState> {
    if hold.reason.is_empty() {
        return None;
    }
    let fresh = input.now.duration_since(hold.since) < FRESH_FAILURE;
    if hold.reason == "ErrImagePull" && !fresh {
        let image = hold.message.split('"').nth(1).unwrap_or_default();
        return Some(waiting(
            "ImagePullBackOff",
            &format!("Back-off pulling image \"{image}\": {}", hold.message),
        ));
    }
    Some(waiting(&hold.reason, &hold.message))
}

fn crash_loop(input: Input<'_>, spec: &Spec, seconds: u32) -> ContainerState {
    let (name, namespace) = (input.pod.name_any(), input.pod.namespace().unwrap_or_default());
    let uid = input.pod.uid().unwrap_or_default();
    let wait = match (seconds / 60, seconds % 60) {
        (0, seconds) => format!("{seconds}s"),
        (minutes, seconds) => format!("{minutes}m{seconds}s"),
    };
    let message = format!(
        "back-off {wait} restarting failed container={} pod={name}_{namespace}({uid})",
        spec.name
    );
    waiting("CrashLoopBackOff", &message)
}

fn container_id(container: &Container) -> String {
    format!("docker://{}", container.id)
}

fn waiting(reason: &str, message: &str) -> ContainerState {
    ContainerState {
        waiting: Some(ContainerStateWaiting {
            reason: Some(reason.to_owned()),
            message: Some(message.to_owned()).filter(|message| !message.is_empty()),
        }),
        ..ContainerState::default()
    }
}

fn running(started_at: Timestamp) -> ContainerState {
    ContainerState {
        running: Some(ContainerStateRunning {
            started_at: Some(seconds(started_at)),
        }),
        ..ContainerState::default()
    }
}

fn terminated(container: &Container, exit: &Exit) -> ContainerState {
    ContainerState {
        terminated: Some(ContainerStateTerminated {
            exit_code: exit.code,
            reason: Some(exit.reason().to_owned()),
            message: exit.message.clone(),
            started_at: Some(seconds(exit.started_at.unwrap_or(Timestamp::UNIX_EPOCH))),
            finished_at: Some(seconds(exit.finished_at)),
            container_id: Some(container_id(container)),
            signal: None,
        }),
        ..ContainerState::default()
    }
}
