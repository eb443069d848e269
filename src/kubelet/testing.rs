//! Builders of pods and containers for this module's tests.

use jiff::Timestamp;
use k8s_openapi::api::core::v1::{Container as Spec, Pod, PodSpec, PodStatus};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, Time};

use super::labels;
use super::observed::{Container, Exit, Observed, Sandbox, State};

pub fn at(second: i64) -> Timestamp {
    Timestamp::from_second(second).expect("in range")
}

pub fn spec(name: &str) -> Spec {
    Spec {
        name: name.into(),
        image: Some("busybox".into()),
        ..Spec::default()
    }
}

pub fn sidecar(name: &str) -> Spec {
    Spec {
        restart_policy: Some("Always".into()),
        ..spec(name)
    }
}

/// A pod with these main containers.
pub fn pod(policy: &str, containers: &[&str]) -> Pod {
    Pod {
        metadata: ObjectMeta {
            name: Some("web".into()),
            namespace: Some("default".into()),
            uid: Some("u-1".into()),
            ..ObjectMeta::default()
        },
        spec: Some(PodSpec {
            restart_policy: Some(policy.into()),
            containers: containers.iter().map(|name| spec(name)).collect(),
            ..PodSpec::default()
        }),
        status: Some(PodStatus::default()),
    }
}

pub fn with_init(mut pod: Pod, init: Vec<Spec>) -> Pod {
    pod.spec.as_mut().expect("set").init_containers = Some(init);
    pod
}

/// As after `kubectl delete` at second 500.
pub fn deleting(mut pod: Pod, grace_seconds: i64) -> Pod {
    pod.metadata.deletion_timestamp = Some(Time(at(500 + grace_seconds)));
    pod.metadata.deletion_grace_period_seconds = Some(grace_seconds);
    pod
}

pub fn sandbox(attempt: u32, ready: bool) -> Sandbox {
    Sandbox {
        id: format!("sandbox-{attempt}"),
        attempt,
        ready,
        fresh: false,
        ips: if ready {
            vec!["172.17.0.2".parse().expect("an address")]
        } else {
            Vec::new()
        },
    }
}

fn container(name: &str, attempt: u32, state: State) -> Container {
    Container {
        id: format!("{name}-{attempt}"),
        name: name.into(),
        sandbox: "sandbox-0".into(),
        attempt,
        hash: labels::spec_hash(&spec(name)),
        backoff_seconds: if attempt == 0 { 0 } else { 10 },
        grace_seconds: 30,
        image: "busybox".into(),
        image_id: "docker://sha256:1".into(),
        pre_stop: None,
        memory_limited: false,
        state,
    }
}

pub fn running(name: &str, attempt: u32) -> Container {
    container(name, attempt, State::Running { started_at: at(100) })
}

pub fn created(name: &str, attempt: u32) -> Container {
    container(name, attempt, State::Created)
}

pub fn ended(name: &str, attempt: u32, code: i32, started_at: Timestamp, finished_at: Timestamp) -> Container {
    let exit = Exit {
        code,
        started_at: Some(started_at),
        finished_at,
        oom_killed: false,
        message: None,
    };
    container(name, attempt, State::Exited(exit))
}

/// A ready sandbox with these containers.
pub fn observed(mut containers: Vec<Container>) -> Observed {
    containers.sort_by_key(|container| std::cmp::Reverse(container.attempt));
    Observed {
        sandboxes: vec![sandbox(0, true)],
        containers,
    }
}
