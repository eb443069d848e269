//! A pod's conditions, by the rules of Kubernetes' kubelet. Pure.

use k8s_openapi::api::core::v1::{ContainerStatus, PodCondition, PodStatus};

use super::{Input, seconds};
use crate::kubelet::pod;
use crate::object::prepull;

/// What a condition says: whether it holds, and why not.
type Verdict = Result<(), (&'static str, String)>;

/// Ours, with the time kept where nothing changed, and everybody else's as they are.
pub fn conditions(input: Input<'_>, status: &PodStatus, phase: &str) -> Vec<PodCondition> {
    let sandbox = input
        .observed
        .ready_sandbox()
        .is_some_and(|sandbox| pod::host_network(input.pod) || !sandbox.ips.is_empty() || phase == "Running");
    let containers_ready = containers_ready(input, status, phase);
    let ready = containers_ready.clone().and_then(|()| gates(input));
    let sandbox = if sandbox { Ok(()) } else { Err(("", String::new())) };
    let ours = [
        ("PodReadyToStartContainers", sandbox),
        ("Initialized", initialized(input, status, phase)),
        ("Ready", ready),
        ("ContainersReady", containers_ready),
        ("PodScheduled", Ok(())),
    ];
    let previous = input.pod.status.as_ref().and_then(|status| status.conditions.as_ref());
    let previous = previous.map_or(&[][..], Vec::as_slice);
    let mut conditions = ours
        .into_iter()
        .map(|(kind, verdict)| condition(kind, verdict, previous, input))
        .collect::<Vec<_>>();
    conditions.extend(prepulled(previous, input));
    let is_ours = |kind: &str| kind == prepull::CONDITION || conditions.iter().any(|ours| ours.type_ == kind);
    let others = previous.iter().filter(|condition| !is_ours(&condition.type_));
    let others = others.cloned().collect::<Vec<_>>();
    conditions.extend(others);
    conditions
}

fn condition(kind: &str, verdict: Verdict, previous: &[PodCondition], input: Input<'_>) -> PodCondition {
    let status = if verdict.is_ok() { "True" } else { "False" };
    let (reason, message) = match verdict {
        Ok(()) => (None, None),
        Err((reason, message)) => (text(reason), text(&message)),
    };
    let before = previous.iter().find(|condition| condition.type_ == kind);
    let since = before.filter(|condition| condition.status == status);
    PodCondition {
        type_: kind.to_owned(),
        status: status.to_owned(),
        reason,
        message,
        last_transition_time: since
            .and_then(|condition| condition.last_transition_time.clone())
            .or_else(|| Some(seconds(input.now))),
        observed_generation: input.pod.metadata.generation,
        ..PodCondition::default()
    }
}

/// The answer to whoever asked for images, once there is one.
fn prepulled(previous: &[PodCondition], input: Input<'_>) -> Option<PodCondition> {
    let prepulling = input.local.prepulling.as_ref()?;
    let result = prepulling.result.as_ref()?;
    let verdict = match result {
        Ok(()) => Ok(()),
        Err(_) => Err(("PullFailed", String::new())),
    };
    Some(PodCondition {
        message: Some(prepull::message(&prepulling.mark, result)),
        ..condition(prepull::CONDITION, verdict, previous, input)
    })
}

fn initialized(input: Input<'_>, status: &PodStatus, phase: &str) -> Verdict {
    let specs = pod::init_containers(input.pod);
    if specs.is_empty() {
        return Ok(());
    }
    if phase == "Succeeded" {
        return Err(("PodCompleted", String::new())).or(Ok(()));
    }
    let statuses = status.init_container_statuses.as_deref().unwrap_or_default();
    let main_started = status
        .container_statuses
        .iter()
        .flatten()
        .any(|container| container.container_id.is_some() || container.started == Some(true));
    let incomplete = specs.iter().zip(statuses).filter(|(spec, status)| {
        if pod::is_sidecar(spec) {
            status.started != Some(true) && !main_started
        } else {
            !status.ready && !main_started
        }
    });
    let names = incomplete.map(|(spec, _)| spec.name.as_str()).collect::<Vec<_>>();
    match names.as_slice() {
        [] => Ok(()),
        names => Err((
            "ContainersNotInitialized",
            format!("containers with incomplete status: [{}]", names.join(" ")),
        )),
    }
}

fn containers_ready(input: Input<'_>, status: &PodStatus, phase: &str) -> Verdict {
    match phase {
        "Succeeded" => return Err(("PodCompleted", String::new())),
        "Failed" => return Err(("PodFailed", String::new())),
        _ => {}
    }
    let sidecars = pod::init_containers(input.pod)
        .iter()
        .filter(|spec| pod::is_sidecar(spec));
    let is_sidecar = |status: &&ContainerStatus| sidecars.clone().any(|spec| spec.name == status.name);
    let init = status.init_container_statuses.iter().flatten().filter(is_sidecar);
    let main = status.container_statuses.iter().flatten();
    let unready = init.chain(main).filter(|container| !container.ready);
    let names = unready.map(|container| container.name.as_str()).collect::<Vec<_>>();
    match names.as_slice() {
        [] => Ok(()),
        names => Err((
            "ContainersNotReady",
            format!("containers with unready status: [{}]", names.join(" ")),
        )),
    }
}

fn gates(input: Input<'_>) -> Verdict {
    let gates = input.pod.spec.as_ref().and_then(|spec| spec.readiness_gates.as_ref());
    let conditions = input.pod.status.as_ref().and_then(|status| status.conditions.as_ref());
    for gate in gates.into_iter().flatten() {
        let found = conditions
            .into_iter()
            .flatten()
            .find(|condition| condition.type_ == gate.condition_type);
        match found {
            Some(condition) if condition.status == "True" => {}
            Some(_) => {
                let message = format!(
                    "the status of pod readiness gate \"{}\" is not \"True\", but False",
                    gate.condition_type
                );
                return Err(("ReadinessGatesNotReady", message));
            }
            None => {
                let message = format!(
                    "corresponding condition of pod readiness gate \"{}\" does not exist.",
                    gate.condition_type
                );
                return Err(("ReadinessGatesNotReady", message));
            }
        }
    }
    Ok(())
}

fn text(text: &str) -> Option<String> {
    Some(text.to_owned()).filter(|text| !text.is_empty())
}
