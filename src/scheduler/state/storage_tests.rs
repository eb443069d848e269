//! Pods whose volumes have to become theirs before they are bound.

use std::time::Duration;

use serde_json::{Value, json};

use super::*;
use crate::object::volume;
use crate::scheduler::profile::Profiles;
use crate::scheduler::queue::Backoff;
use crate::scheduler::state::Bound;

fn from<T: serde::de::DeserializeOwned>(value: Value) -> T {
    serde_json::from_value(value).expect("it is written right")
}

fn claim(name: &str, bound_to: Option<&str>) -> PersistentVolumeClaim {
    let bound = bound_to.map(|_| json!({volume::BIND_COMPLETED: "yes"}));
    from(json!({
        "metadata": {"namespace": "default", "name": name, "uid": name, "annotations": bound},
        "spec": {"accessModes": ["ReadWriteOnce"], "storageClassName": "local", "volumeName": bound_to,
            "resources": {"requests": {"storage": "1Gi"}}},
    }))
}

fn volume() -> PersistentVolume {
    from(json!({
        "metadata": {"name": "v"}, "status": {"phase": "Available"},
        "spec": {"capacity": {"storage": "1Gi"}, "accessModes": ["ReadWriteOnce"], "storageClassName": "local"},
    }))
}

/// A node, a class, claims x and y, and a pod for each of these.
fn world(pods: &[&str], now: Instant) -> State {
    let mut state = State::new(Profiles::default(), Backoff::default(), 1);
    let node = json!({"metadata": {"name": "n"}, "status": {"allocatable": {"pods": "9"}}});
    state.node_changed(&from(node), now);
    let class = json!({"metadata": {"name": "local"}, "volumeBindingMode": "WaitForFirstConsumer",
        "provisioner": volume::NO_PROVISIONER});
    state.storage_changed(from::<StorageClass>(class), now);
    for name in ["x", "y"] {
        state.storage_changed(claim(name, None), now);
    }
    for name in pods {
        let pod = json!({"metadata": {"namespace": "default", "name": name, "uid": name, "resourceVersion": "1"},
            "spec": {"containers": [], "volumes": [{"name": "v", "persistentVolumeClaim": {"claimName": name}}]}});
        state.pod_changed(&from(pod), now);
    }
    state
}

fn told(step: Option<Step>) -> String {
    match step {
        None => "nothing".to_owned(),
        Some(Step::Bind { pod, node }) => format!("bind {} to {node}", pod.info.name),
        Some(Step::Prepare { pod, .. }) => format!("prepare {}", pod.info.name),
        Some(Step::Fail { pod, reason }) => format!("fail {}: {reason}", pod.info.name),
        Some(Step::Refuse { pod, message, .. }) => format!("refuse {}: {message}", pod.info.name),
    }
}

const NO_VOLUME: &str = "0/1 nodes are available: 1 node(s) didn't find available persistent volumes to bind. \
    preemption: 0/1 nodes are available: 1 Preemption is not helpful for scheduling.";

#[test]
fn a_pod_is_bound_once_its_volume_is_its_own_and_a_volume_wakes_it() {
    let now = Instant::now();
    let mut state = world(&["x"], now);
    assert_eq!(told(state.next(now)), format!("refuse x: {NO_VOLUME}"));
    state.storage_changed(volume(), now);
    assert_eq!(told(state.next(now)), "prepare x");
    let mut half = claim("x", Some("v"));
    half.metadata.annotations = None;
    state.storage_changed(half, now);
    assert_eq!(told(state.next(now)), "nothing", "it is still being written");
    state.prepared("x");
    assert_eq!(told(state.next(now)), "nothing", "one side is written");
    state.storage_changed(claim("x", Some("v")), now);
    assert_eq!(told(state.next(now)), "bind x to n");
    assert_eq!(told(state.next(now)), "nothing");
}

#[test]
fn a_pod_whose_volume_is_its_own_is_bound_at_once() {
    let now = Instant::now();
    let mut state = world(&["x"], now);
    state.storage_changed(volume(), now);
    state.storage_changed(claim("x", Some("v")), now);
    assert_eq!(told(state.next(now)), "bind x to n");
}

#[test]
fn a_volume_that_is_promised_is_nobody_elses_until_that_fails() {
    let now = Instant::now();
    let mut state = world(&["x", "y"], now);
    state.storage_changed(volume(), now);
    assert_eq!(told(state.next(now)), "prepare x");
    assert_eq!(told(state.next(now)), format!("refuse y: {NO_VOLUME}"));
    // News of the volume that is older than what was decided.
    state.storage_changed(volume(), now);
    assert_eq!(told(state.next(now)), format!("refuse y: {NO_VOLUME}"));
    state.bound(&"x".into(), &Bound::Not, now);
    state.storage_changed(volume(), now);
    assert_eq!(told(state.next(now)), "prepare y");
}

#[test]
fn what_a_list_does_not_have_is_gone() {
    let now = Instant::now();
    let mut state = world(&["x"], now);
    state.storage_changed(volume(), now);
    state.keep_storage::<PersistentVolume>(&HashSet::from(["v".to_owned()]), now);
    state.keep_storage::<PersistentVolume>(&HashSet::new(), now);
    assert_eq!(told(state.next(now)), format!("refuse x: {NO_VOLUME}"));
    state.storage_changed(volume(), now);
    state.keep_storage::<PersistentVolume>(&HashSet::from(["v".to_owned()]), now);
    assert_eq!(told(state.next(now)), "prepare x");
}

#[test]
fn a_pod_waits_for_its_volumes_only_so_long() {
    let now = Instant::now();
    let mut state = world(&["x"], now);
    state.storage_changed(volume(), now);
    assert_eq!(told(state.next(now)), "prepare x");
    state.prepared("x");
    assert_eq!(told(state.next(now)), "nothing");
    assert_eq!(state.next_due(), Some(now + Duration::from_secs(600)));
    let reason = "its volumes were not bound within 600 seconds";
    assert_eq!(
        told(state.next(now + Duration::from_secs(600))),
        format!("fail x: {reason}")
    );
    assert_eq!(
        state.next_due(),
        None,
        "what comes of it is told by whoever carries it out"
    );
}

#[test]
fn a_pod_that_goes_gives_its_volume_back() {
    let now = Instant::now();
    let mut state = world(&["x", "y"], now);
    state.storage_changed(volume(), now);
    assert_eq!(told(state.next(now)), "prepare x");
    state.pod_gone("x", now);
    assert_eq!(told(state.next(now)), "prepare y");
}
