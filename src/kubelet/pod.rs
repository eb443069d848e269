//! Short answers about a pod's spec and status. Pure.

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::core::v1::{Container, ContainerStatus, Pod};

/// Seconds a pod gets to stop where it does not say.
const DEFAULT_GRACE_SECONDS: i64 = 30;

/// When a pod's containers start again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RestartPolicy {
    /// Whatever they ended with.
    Always,
    /// After a failure.
    OnFailure,
    /// Not at all.
    Never,
}

impl RestartPolicy {
    /// Whether a container that ended with this code starts again.
    pub fn restarts(self, code: i32) -> bool {
        match self {
            Self::Always => true,
            Self::OnFailure => code != 0,
            Self::Never => false,
        }
    }
}

/// The pod's restart policy.
pub fn restart_policy(pod: &Pod) -> RestartPolicy {
    match pod.spec.as_ref().and_then(|spec| spec.restart_policy.as_deref()) {
        Some("Never") => RestartPolicy::Never,
        Some("OnFailure") => RestartPolicy::OnFailure,
        _ => RestartPolicy::Always,
    }
}

/// The pod's init containers, sidecars among them, in order.
pub fn init_containers(pod: &Pod) -> &[Container] {
    let list = pod.spec.as_ref().and_then(|spec| spec.init_containers.as_ref());
    list.map_or(&[], Vec::as_slice)
}

/// The pod's main containers.
pub fn containers(pod: &Pod) -> &[Container] {
    pod.spec.as_ref().map_or(&[], |spec| spec.containers.as_slice())
}

/// Every container of the pod, init containers first.
pub fn all_containers(pod: &Pod) -> impl Iterator<Item = &Container> {
    init_containers(pod).iter().chain(containers(pod))
}

/// The container of that name.
pub fn container<'a>(pod: &'a Pod, name: &str) -> Option<&'a Container> {
    all_containers(pod).find(|container| container.name == name)
}

/// Whether an init container goes on running beside the main ones.
pub fn is_sidecar(container: &Container) -> bool {
    container.restart_policy.as_deref() == Some("Always")
}

/// The restart policy that holds for an init container.
pub fn init_restart_policy(pod: &Pod, container: &Container) -> RestartPolicy {
    match restart_policy(pod) {
        _ if is_sidecar(container) => RestartPolicy::Always,
        // An init container has to succeed once, so only its failures repeat.
        RestartPolicy::Always => RestartPolicy::OnFailure,
        other => other,
    }
}

/// Whether somebody asked for the pod's deletion.
pub fn is_terminating(pod: &Pod) -> bool {
    pod.metadata.deletion_timestamp.is_some()
}

/// Seconds that the pod's containers get to stop; at least one.
pub fn grace_seconds(pod: &Pod) -> u32 {
    let configured = pod.spec.as_ref().and_then(|spec| spec.termination_grace_period_seconds);
    let asked = pod
        .metadata
        .deletion_grace_period_seconds
        .filter(|_| is_terminating(pod));
    let seconds = asked.or(configured).unwrap_or(DEFAULT_GRACE_SECONDS);
    u32::try_from(seconds.max(1)).unwrap_or(u32::MAX)
}

/// Whether the API already shows the pod as ended for good.
pub fn has_terminal_phase(pod: &Pod) -> bool {
    let phase = pod.status.as_ref().and_then(|status| status.phase.as_deref());
    matches!(phase, Some("Succeeded" | "Failed"))
}

/// When `activeDeadlineSeconds` ends the pod.
pub fn deadline(pod: &Pod) -> Option<Timestamp> {
    let seconds = pod.spec.as_ref()?.active_deadline_seconds?;
    let start = pod.status.as_ref()?.start_time.as_ref()?.0;
    start.checked_add(SignedDuration::from_secs(seconds)).ok()
}

/// What the API shows of the container of that name.
pub fn published<'a>(pod: &'a Pod, name: &str) -> Option<&'a ContainerStatus> {
    let status = pod.status.as_ref()?;
    let lists = [&status.init_container_statuses, &status.container_statuses];
    lists
        .into_iter()
        .flatten()
        .flatten()
        .find(|container| container.name == name)
}

/// Whether the pod shares the host's network.
pub fn host_network(pod: &Pod) -> bool {
    pod.spec.as_ref().and_then(|spec| spec.host_network).unwrap_or(false)
}
