use k8s_openapi::api::core::v1::{Namespace, Node};
use serde_json::{Value, json};

use super::*;
use crate::scheduler::profile::Profiles;

mod hints;

/// `default/new`, which asks for 500m of CPU, with these fields of its spec.
fn pod(more: &Value) -> Pod {
    made("new", None, more, &json!({}))
}

fn made(name: &str, node: Option<&str>, spec: &Value, metadata: &Value) -> Pod {
    let mut pod = json!({
        "metadata": {"name": name, "namespace": "default", "uid": name, "labels": {"app": name}},
        "spec": {
            "nodeName": node,
            "containers": [{"name": "c", "resources": {"requests": {"cpu": "500m"}}}],
        },
    });
    for (key, value) in spec.as_object().expect("fields") {
        pod["spec"][key] = value.clone();
    }
    for (key, value) in metadata.as_object().expect("fields") {
        pod["metadata"][key] = value.clone();
    }
    serde_json::from_value(pod).expect("a pod")
}

fn cpu(cpu: &str) -> Value {
    json!({"containers": [{"name": "c", "resources": {"requests": {"cpu": cpu}}}]})
}

/// A node of two cores, with these fields.
fn node(name: &str, more: &Value) -> Node {
    let mut node = json!({
        "metadata": {"name": name, "labels": {"zone": "a"}},
        "status": {"allocatable": {"cpu": "2", "memory": "1Gi", "pods": "3"}},
    });
    for (pointer, value) in more.as_object().expect("fields") {
        let mut place = &mut node;
        for part in pointer.split('.') {
            place = &mut place[part];
        }
        *place = value.clone();
    }
    serde_json::from_value(node).expect("a node")
}

fn world(nodes: &[Node], pods: &[Pod]) -> World {
    let namespace = json!({"metadata": {"name": "default"}});
    let namespace: Namespace = serde_json::from_value(namespace).expect("a namespace");
    World::new(Profiles::default(), nodes, pods, &[namespace], &[])
}

fn refused<'a>(explanation: &'a Explanation, name: &str) -> &'a Refused {
    let node = explanation.nodes.iter().find(|node| node.name == name);
    match &node.expect("the node is explained").outcome {
        Outcome::Refused(refused) => refused,
        Outcome::Fits { .. } => panic!("it fits: {explanation:?}"),
    }
}

#[test]
fn the_easiest_lacks_the_fewest_and_least() {
    let small = |name: &str, cpu: &str| node(name, &json!({"status.allocatable.cpu": cpu}));
    let tainted = json!({"spec.taints": [{"key": "k", "effect": "NoSchedule"}]});
    let unwell = json!({"spec.taints": [{"key": "node.kubernetes.io/unreachable", "effect": "NoSchedule"}]});
    for (name, nodes, wanted) in [
        ("the least short", vec![small("a", "100m"), small("b", "400m")], "b"),
        (
            "one thing instead of two",
            vec![node("a", &tainted), {
                let mut both = small("b", "400m");
                both.spec.get_or_insert_default().unschedulable = Some(true);
                both
            }],
            "a",
        ),
        (
            "a node that is well",
            vec![node("a", &unwell), node("b", &tainted)],
            "b",
        ),
    ] {
        let explanation = explain(&pod(&json!({})), &world(&nodes, &[]), 1);
        assert_eq!(explanation.easiest.as_deref(), Some(wanted), "{name}");
        assert_eq!(explanation.nodes[0].name, wanted, "{name}: it comes first");
    }
}

#[test]
fn a_placed_pod_is_explained_as_if_it_were_not_there_yet() {
    let placed = made("new", Some("n"), &cpu("2"), &json!({}));
    let nodes = [
        node("n", &json!({})),
        node("m", &json!({"status.allocatable.cpu": "4"})),
    ];
    let explanation = explain(&placed, &world(&nodes, std::slice::from_ref(&placed)), 1);
    let seen: Vec<_> = explanation
        .nodes
        .iter()
        .map(|node| {
            (
                node.name.as_str(),
                node.current,
                matches!(node.outcome, Outcome::Fits { .. }),
            )
        })
        .collect();
    assert_eq!(seen, [("m", false, true), ("n", true, true)]);
    assert_eq!(explanation.summary, "2/2 nodes are available: m would be chosen.");
    assert_eq!(explanation.chosen, ["m"]);
}

#[test]
fn preemption_is_told_for_each_node_and_for_the_pod() {
    let low = |name: &str, node: &str, priority| {
        let mut spec = cpu("2");
        spec["priority"] = json!(priority);
        made(name, Some(node), &spec, &json!({}))
    };
    let pods = [low("lower", "n", 1), low("low", "m", 2), low("high", "k", 9)];
    let nodes = ["n", "m", "k"].map(|name| node(name, &json!({})));
    let world = world(&nodes, &pods);
    let explanation = explain(&pod(&json!({"priority": 5})), &world, 1);
    assert_eq!(explanation.summary, "0/3 nodes are available: 3 Insufficient cpu.");
    let preemption = explanation
        .preemption
        .as_ref()
        .map(|each| (each.node.as_str(), each.to_string()));
    let text = "preempting default/lower (priority 1) would make room".to_owned();
    assert_eq!(preemption, Some(("n", text)));
    for (name, wanted) in [("n", Some("lower")), ("m", Some("low")), ("k", None)] {
        let preemption = refused(&explanation, name).preemption.as_ref();
        assert_eq!(preemption.map(|each| each.pods[0].name.as_str()), wanted, "{name}");
    }
    let never = explain(&pod(&json!({"priority": 5, "preemptionPolicy": "Never"})), &world, 1);
    let words = "0/3 nodes are available: 3 Insufficient cpu. preemption: not eligible due to preemptionPolicy=Never.";
    assert_eq!(never.summary, words);
    assert!(never.preemption.is_none() && refused(&never, "n").preemption.is_none());
}

#[test]
fn nobody_is_named_to_be_driven_out_where_there_is_room() {
    let low = made("low", Some("n"), &cpu("2"), &json!({}));
    let nodes = ["n", "free"].map(|name| node(name, &json!({})));
    let explanation = explain(&pod(&json!({"priority": 5})), &world(&nodes, &[low]), 1);
    assert_eq!(explanation.chosen, ["free"]);
    assert!(refused(&explanation, "n").preemption.is_none());
}

#[test]
fn room_that_is_kept_for_others_is_taken() {
    let mut other = made("other", None, &json!({"priority": 5}), &json!({}));
    other.status.get_or_insert_default().nominated_node_name = Some("n".to_owned());
    let small = node("n", &json!({"status.allocatable.cpu": "700m"}));
    let world = world(&[small], &[other]);
    for (name, priority, fits) in [
        ("less important", 4, false),
        ("as important", 5, false),
        ("more", 6, true),
    ] {
        let explanation = explain(&pod(&json!({"priority": priority})), &world, 1);
        assert_eq!(explanation.chosen.len(), usize::from(fits), "{name}");
    }
}

#[test]
fn where_a_pod_stands() {
    let now = json!({"deletionTimestamp": "2026-01-02T03:04:05Z"});
    let none = json!({});
    let with_status = |status: Value| {
        let mut pod = pod(&json!({}));
        pod.status = serde_json::from_value(status).expect("a status");
        pod
    };
    let condition = json!({"conditions": [{"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": "full"}]});
    for (asked, wanted, looked) in [
        (
            pod(&none),
            "waits, and nothing was decided on it yet (is the scheduler running?)",
            1,
        ),
        (
            with_status(condition),
            "waits: it fitted nowhere when it was looked at",
            1,
        ),
        (made("new", Some("n"), &none, &none), "is on node n", 1),
        (made("new", Some("n"), &none, &now), "is on node n and being deleted", 1),
        (
            made("new", None, &none, &now),
            "is being deleted and goes to no node",
            0,
        ),
        (
            pod(&json!({"schedulingGates": [{"name": "example.com/a"}, {"name": "b"}]})),
            "waits for its scheduling gates to go: example.com/a, b",
            1,
        ),
        (
            pod(&json!({"schedulerName": "theirs"})),
            "is for the scheduler theirs to place; what follows is what ours would do",
            1,
        ),
        (
            with_status(json!({"phase": "Succeeded"})),
            "has finished (Succeeded) and takes nothing of its node",
            0,
        ),
        (
            Pod::default(),
            "waits, and nothing was decided on it yet (is the scheduler running?)",
            1,
        ),
    ] {
        let explanation = explain(&asked, &world(&[node("n", &none)], &[]), 1);
        assert_eq!(explanation.standing.to_string(), wanted);
        assert_eq!(explanation.nodes.len(), looked, "{wanted}");
    }
}

#[test]
fn without_nodes_there_is_nothing_to_compare() {
    let explanation = explain(&pod(&json!({})), &world(&[], &[]), 1);
    assert_eq!(explanation.summary, "no nodes available to schedule pods");
    assert_eq!((explanation.nodes.len(), explanation.easiest), (0, None));
}

#[test]
fn data_has_the_words_beside_it() {
    let nodes = [node("n", &json!({"status.allocatable.cpu": "200m"}))];
    let explanation = explain(&pod(&json!({})), &world(&nodes, &[]), 1);
    let data = serde_json::to_value(&explanation).expect("JSON");
    assert_eq!(data["state"], "undecided");
    let wanted = json!({
        "name": "n",
        "current": false,
        "outcome": "refused",
        "filter": "NodeResourcesFit",
        "reasons": ["Insufficient cpu"],
        "changes": [{
            "kind": "resource",
            "resource": "cpu",
            "short": "300m",
            "asked": "500m",
            "free": "200m",
            "capacity": "200m",
            "text": "needs 300m more cpu: free 200m of 200m, asked 500m (more than the whole node has)",
        }],
        "preemption": null,
    });
    assert_eq!(data["nodes"][0], wanted);
}
