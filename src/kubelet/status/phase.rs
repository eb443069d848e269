//! A pod's phase, from its containers' states, by the rules of Kubernetes' kubelet. Pure.

use k8s_openapi::api::core::v1::{ContainerStatus, Pod};

use crate::kubelet::observed::Observed;
use crate::kubelet::plan::Stage;
use crate::kubelet::pod::{self, RestartPolicy};

/// How many containers are in which state.
#[derive(Default)]
struct Counts {
    waiting: usize,
    running: usize,
    stopped: usize,
    succeeded: usize,
}

/// `Pending`, `Running`, `Succeeded` or `Failed`.
pub fn phase(
    pod: &Pod,
    observed: &Observed,
    stage: Stage,
    init: &[ContainerStatus],
    main: &[ContainerStatus],
) -> &'static str {
    match pod.status.as_ref().and_then(|status| status.phase.as_deref()) {
        Some("Succeeded") => return "Succeeded",
        Some("Failed") => return "Failed",
        _ => {}
    }
    let any_running = observed.containers.iter().any(|container| container.running());
    if stage == Stage::DeadlineExceeded && !any_running {
        return "Failed";
    }
    let counts = count(main);
    if pod::is_terminating(pod) && !any_running && counts.waiting == 0 {
        return if counts.stopped == counts.succeeded {
            "Succeeded"
        } else {
            "Failed"
        };
    }
    let phase = from_containers(pod, init, &counts);
    // While something still runs, a pod has not ended.
    match phase {
        "Succeeded" | "Failed" if any_running => "Running",
        phase => phase,
    }
}

fn from_containers(pod: &Pod, init: &[ContainerStatus], counts: &Counts) -> &'static str {
    let policy = pod::restart_policy(pod);
    let mut init_pending = false;
    for (spec, status) in pod::init_containers(pod).iter().zip(init) {
        let exit_code = exit_code(status);
        if pod::is_sidecar(spec) {
            init_pending |= status.started != Some(true) && counts.running + counts.stopped == 0;
        } else {
            match exit_code {
                Some(0) => {}
                Some(_) if policy == RestartPolicy::Never => return "Failed",
                _ => init_pending |= counts.running + counts.stopped == 0,
            }
        }
    }
    if init_pending || counts.waiting > 0 {
        return "Pending";
    }
    if counts.running > 0 {
        return "Running";
    }
    match policy {
        _ if counts.stopped == 0 => "Pending",
        RestartPolicy::Always => "Running",
        _ if counts.stopped == counts.succeeded => "Succeeded",
        RestartPolicy::Never => "Failed",
        RestartPolicy::OnFailure => "Running",
    }
}

fn count(statuses: &[ContainerStatus]) -> Counts {
    let mut counts = Counts::default();
    for status in statuses {
        let running = status.state.as_ref().is_some_and(|state| state.running.is_some());
        match exit_code(status) {
            _ if running => counts.running += 1,
            Some(code) => {
                counts.stopped += 1;
                counts.succeeded += usize::from(code == 0);
            }
            None => counts.waiting += 1,
        }
    }
    counts
}

/// How the container ended, also where it now waits for its next start.
fn exit_code(status: &ContainerStatus) -> Option<i32> {
    let of = |state: &Option<k8s_openapi::api::core::v1::ContainerState>| {
        let terminated = state.as_ref()?.terminated.as_ref()?;
        Some(terminated.exit_code)
    };
    if status.state.as_ref().is_some_and(|state| state.running.is_some()) {
        return None;
    }
    of(&status.state).or_else(|| of(&status.last_state))
}
