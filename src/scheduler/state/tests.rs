use std::time::Duration;

use k8s_openapi::api::policy::v1::PodDisruptionBudget;

use serde_json::{Value, json};

use super::*;
use crate::scheduler::pod::pending;

fn pod(name: &str, priority: i32, node: Option<&str>, metadata: &Value) -> Pod {
    let mut pod = json!({
        "metadata": {"name": name, "namespace": "default", "uid": name, "resourceVersion": "1"},
        "spec": {
            "priority": priority,
            "nodeName": node,
            "containers": [{"name": "c", "resources": {"requests": {"cpu": "1"}}}],
        },
    });
    for (key, value) in metadata.as_object().expect("fields") {
        pod["metadata"][key] = value.clone();
    }
    serde_json::from_value(pod).expect("a pod")
}

/// Two nodes of one core, each with a pod of low priority.
fn full(now: Instant) -> State {
    let mut state = State::new(Profiles::default(), Backoff::default(), 1);
    for (node, there) in [("a", "low-a"), ("b", "low-b")] {
        let object = json!({"metadata": {"name": node}, "status": {"allocatable": {"cpu": "1", "pods": "10"}}});
        state.node_changed(&serde_json::from_value(object).expect("a node"), now);
        state.pod_changed(&pod(there, 1, Some(node), &json!({})), now);
    }
    state
}

/// The next step: who is refused, for whose going it waits, and who is told to go.
fn refused(state: &mut State, now: Instant) -> (String, Option<String>, Vec<String>) {
    match state.next(now) {
        Some(Step::Refuse { pod, victims, .. }) => (
            pod.info.name.clone(),
            pod.nominated.as_deref().map(str::to_owned),
            victims.iter().map(|victim| victim.name.clone()).collect(),
        ),
        other => panic!("{other:?}"),
    }
}

#[test]
fn nobody_else_goes_while_a_victim_is_on_its_way_out() {
    let now = Instant::now();
    let mut state = full(now);
    state.pod_changed(&pod("high", 10, None, &json!({})), now);
    let (_, nominated, victims) = refused(&mut state, now);
    let node = nominated.expect("a node is made free");
    assert_eq!(victims, [format!("low-{node}")]);

    // An older event of the victim, as its mark makes one before it is deleted.
    let labels = json!({"labels": {"any": "change"}});
    state.pod_changed(&pod(&victims[0], 1, Some(&node), &labels), now);
    state.pod_changed(&pod("high", 10, None, &labels), now);
    let (_, again, more) = refused(&mut state, now);
    assert_eq!((again.as_ref(), more.len()), (Some(&node), 0), "it waits");

    state.pod_gone(&victims[0], now);
    match state.next(now) {
        Some(Step::Bind { node: bound, .. }) => assert_eq!(*bound, *node),
        other => panic!("{other:?}"),
    }
}

#[test]
fn the_room_that_is_made_is_for_whoever_it_is_made_for() {
    let now = Instant::now();
    let mut state = full(now);
    state.pod_changed(&pod("high", 10, None, &json!({})), now);
    let (_, nominated, victims) = refused(&mut state, now);
    let node = nominated.expect("a node is made free");
    // The room is there, and another pod is decided on first.
    state.pod_changed(&pod("late", 5, None, &json!({})), now);
    state.pod_gone(&victims[0], now);
    let mut bound = Vec::new();
    let mut later = now;
    for _ in 0..8 {
        later += Duration::from_secs(1);
        if let Some(Step::Bind { pod, node }) = state.next(later) {
            bound.push((pod.info.name.clone(), node.to_string()));
        }
    }
    assert_eq!(bound, [("high".to_owned(), node)]);
}

#[test]
fn a_pod_that_is_to_come_counts_on_its_own_node_and_nowhere_else() {
    let now = Instant::now();
    let mut state = full(now);
    state.pod_changed(&pod("high", 10, None, &json!({"labels": {"app": "web"}})), now);
    let (_, nominated, _) = refused(&mut state, now);
    let node = nominated.expect("a node is made free");
    // Room for a second pod on both nodes, which lie in one zone.
    for name in ["a", "b"] {
        let object = json!({"metadata": {"name": name, "labels": {"zone": "z"}},
            "status": {"allocatable": {"cpu": "3", "pods": "10"}}});
        state.node_changed(&serde_json::from_value(object).expect("a node"), now);
    }
    let mut late = pod("late", 5, None, &json!({}));
    let away = json!({"podAntiAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": [
        {"labelSelector": {"matchLabels": {"app": "web"}}, "topologyKey": "zone"},
    ]}});
    late.spec.as_mut().expect("a spec").affinity = Some(serde_json::from_value(away).expect("affinity"));
    let late = pending(&late);
    state.snapshot.prepare(&late);
    let decision = state.decide(&late).expect("the other node is free of it");
    assert_ne!(
        *decision.node, *node,
        "kube-scheduler adds nominated pods to their own node only"
    );
    assert_eq!(decision.feasible, 1);
    assert!(state.snapshot.is_counted_right() && state.snapshot.node_of("high").is_none());
}

#[test]
fn budgets_stay_while_a_list_begins_anew_and_go_with_it() {
    let now = Instant::now();
    let guard = |of: &str| {
        let budget = json!({
            "metadata": {"name": of, "namespace": "default"},
            "spec": {"selector": {"matchLabels": {"app": of}}},
            "status": {"disruptionsAllowed": 0},
        });
        serde_json::from_value::<PodDisruptionBudget>(budget).expect("a budget")
    };
    for (name, listed, wanted) in [("listed again", true, "low-b"), ("not listed", false, "low-a")] {
        let mut state = full(now);
        // Of the two the less important one is guarded.
        let app = |app: &str| json!({"labels": {"app": app}});
        state.pod_changed(&pod("low-a", 1, Some("a"), &app("guarded")), now);
        state.pod_changed(&pod("low-b", 2, Some("b"), &app("free")), now);
        let budget = guard("guarded");
        state.budget_changed(&budget);
        let keys = listed.then(|| budget_key(&budget)).into_iter().collect();
        state.keep_budgets(&keys);
        state.pod_changed(&pod("high", 10, None, &json!({})), now);
        assert_eq!(refused(&mut state, now).2, [wanted], "{name}");
    }
}

#[test]
fn a_victim_that_cannot_be_told_to_go_is_chosen_again() {
    let now = Instant::now();
    let mut state = full(now);
    state.pod_changed(&pod("high", 10, None, &json!({})), now);
    let (_, _, victims) = refused(&mut state, now);
    state.victim_stays(&victims[0], now);
    let (_, _, again) = refused(&mut state, now);
    assert_eq!(again.len(), 1, "somebody has to go");
}

/// One node of one core that is made free for a pod of priority 10, for which another of priority 5 has to wait.
fn reserved(now: Instant) -> State {
    let mut state = State::new(Profiles::default(), Backoff::default(), 1);
    let node = json!({"metadata": {"name": "a"}, "status": {"allocatable": {"cpu": "1", "pods": "10"}}});
    state.node_changed(&serde_json::from_value(node).expect("a node"), now);
    state.pod_changed(&pod("low", 1, Some("a"), &json!({})), now);
    state.pod_changed(&pod("high", 10, None, &json!({})), now);
    assert_eq!(refused(&mut state, now).2, ["low"]);
    state.pod_changed(&pod("next", 5, None, &json!({})), now);
    // The room is made, and decided on before the one that it was made for is heard of.
    state.snapshot.remove_pod("low");
    assert_eq!(refused(&mut state, now).0, "next");
    state
}

/// Whether that pod is the next to be bound, by then.
fn is_bound_by(state: &mut State, name: &str, by: Instant) -> bool {
    match state.next(by) {
        Some(Step::Bind { pod, .. }) => pod.info.name == name,
        None => false,
        other => panic!("{other:?}"),
    }
}

#[test]
fn room_that_is_not_wanted_any_more_is_for_the_next() {
    let now = Instant::now();
    let mut state = reserved(now);
    state.pod_gone("high", now);
    assert!(is_bound_by(&mut state, "next", now), "the room is there");

    let mut state = reserved(now);
    state.pod_changed(&pod("high", 10, Some("elsewhere"), &json!({})), now);
    assert!(is_bound_by(&mut state, "next", now), "it went elsewhere");
}

#[test]
fn a_change_lets_the_more_important_drive_out_others() {
    let now = Instant::now();
    let node = |name: &str, cordoned: bool| -> Node {
        let spec = json!({"unschedulable": cordoned});
        let status = json!({"allocatable": {"cpu": "1", "pods": "10"}});
        serde_json::from_value(json!({"metadata": {"name": name}, "spec": spec, "status": status})).expect("a node")
    };
    let mut state = State::new(Profiles::default(), Backoff::default(), 1);
    for (name, there) in [("a", "low-a"), ("b", "low-b")] {
        state.node_changed(&node(name, true), now);
        state.pod_changed(&pod(there, 1, Some(name), &json!({})), now);
    }
    state.pod_changed(&pod("high", 10, None, &json!({})), now);
    assert_eq!(refused(&mut state, now).2, [""; 0], "both are cordoned");
    state.node_changed(&node("a", false), now);
    assert_eq!(refused(&mut state, now).2, ["low-a"], "one is not any more");
    state.node_changed(&node("b", false), now);
    assert_eq!(state.next(now), None, "one is enough");
    state.node_gone("a", now);
    assert_eq!(
        refused(&mut state, now).2,
        ["low-b"],
        "what was to be made free is gone"
    );
}

#[test]
fn what_no_event_told_is_found_by_the_net() {
    let now = Instant::now();
    let mut state = full(now);
    state.pod_changed(&pod("waits", 1, None, &json!({})), now);
    assert_eq!(refused(&mut state, now).0, "waits");
    // The room is there, and nobody woke those that wait for it.
    state.snapshot.remove_pod("low-a");
    let seconds = |seconds| now + Duration::from_secs(seconds);
    assert!(!is_bound_by(&mut state, "waits", seconds(299)), "nothing is due yet");
    assert!(is_bound_by(&mut state, "waits", seconds(300)));
}
