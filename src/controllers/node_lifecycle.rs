//! What a node's conditions and silence mean for its taints. Pure.

use std::time::{Duration, Instant};

use k8s_openapi::api::core::v1::{Node, NodeCondition, Taint};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use k8s_openapi::jiff::Timestamp;

use super::world::NodeView;
use crate::object::taint::{NO_EXECUTE, NO_SCHEDULE, NOT_READY};

/// A node silent for this long counts as lost; Kubernetes' default, four renewals of the lease.
pub const GRACE: Duration = Duration::from_secs(40);

/// Ready is Unknown.
pub const UNREACHABLE: &str = "node.kubernetes.io/unreachable";

/// Taints that follow a condition: type, status, key.
const BY_CONDITION: [(&str, &str, &str); 4] = [
    ("MemoryPressure", "True", "node.kubernetes.io/memory-pressure"),
    ("DiskPressure", "True", "node.kubernetes.io/disk-pressure"),
    ("PIDPressure", "True", "node.kubernetes.io/pid-pressure"),
    ("NetworkUnavailable", "True", "node.kubernetes.io/network-unavailable"),
];
/// Follows `spec.unschedulable`.
const CORDONED: &str = "node.kubernetes.io/unschedulable";
/// Conditions that only the kubelet can know.
const KUBELETS: [&str; 4] = ["Ready", "MemoryPressure", "DiskPressure", "PIDPressure"];

/// When the node will have been silent for too long; `None` where that is known already.
pub fn silence_due(view: &NodeView, grace: Duration) -> Option<Instant> {
    (condition(&view.node, "Ready") != Some("Unknown")).then(|| view.seen + grace)
}

/// The node's conditions with everything that only its kubelet could know made unknown; `None` where they are so.
pub fn unknown_conditions(node: &Node, wall: Timestamp) -> Option<Vec<NodeCondition>> {
    let mut conditions = conditions(node).to_vec();
    let mut changed = false;
    for kind in KUBELETS {
        let place = conditions.iter().position(|condition| condition.type_ == kind);
        if place.is_some_and(|place| conditions[place].status == "Unknown") {
            continue;
        }
        changed = true;
        let before = place.map(|place| conditions.remove(place));
        conditions.push(unknown(kind, before, wall));
    }
    changed.then_some(conditions)
}

fn unknown(kind: &str, before: Option<NodeCondition>, wall: Timestamp) -> NodeCondition {
    let (reason, message) = match before {
        Some(_) => ("NodeStatusUnknown", "Kubelet stopped posting node status."),
        None => ("NodeStatusNeverUpdated", "Kubelet never posted node status."),
    };
    NodeCondition {
        type_: kind.to_owned(),
        status: "Unknown".to_owned(),
        reason: Some(reason.to_owned()),
        message: Some(message.to_owned()),
        last_heartbeat_time: before.and_then(|before| before.last_heartbeat_time),
        last_transition_time: Some(Time(wall)),
    }
}

/// The taints that the node should have, where those it has differ. Taints of anybody else's stay.
pub fn wanted_taints(node: &Node, wall: Timestamp) -> Option<Vec<Taint>> {
    let has = node
        .spec
        .as_ref()
        .and_then(|spec| spec.taints.as_deref())
        .unwrap_or_default();
    let wanted = wanted(node, has);
    let is_wanted = |taint: &Taint| {
        wanted
            .iter()
            .any(|(key, effect)| taint.key == *key && taint.effect == *effect)
    };
    let mut taints: Vec<Taint> = has
        .iter()
        .filter(|taint| !is_ours(&taint.key) || is_wanted(taint))
        .cloned()
        .collect();
    for (key, effect) in &wanted {
        if !taints.iter().any(|taint| taint.key == *key && taint.effect == *effect) {
            taints.push(Taint {
                key: (*key).to_owned(),
                effect: (*effect).to_owned(),
                value: None,
                time_added: Some(Time(wall)),
            });
        }
    }
    (taints != has).then_some(taints)
}

/// Our taints that hold now, by key and effect.
fn wanted(node: &Node, has: &[Taint]) -> Vec<(&'static str, &'static str)> {
    let mut wanted = Vec::new();
    match condition(node, "Ready") {
        Some("True") => {}
        Some("False") => wanted.extend([(NOT_READY, NO_SCHEDULE), (NOT_READY, NO_EXECUTE)]),
        Some(_) => wanted.extend([(UNREACHABLE, NO_SCHEDULE), (UNREACHABLE, NO_EXECUTE)]),
        // Not told yet: what the node registered with stays.
        None => {
            for key in [NOT_READY, UNREACHABLE] {
                let there = |effect: &&str| has.iter().any(|taint| taint.key == key && taint.effect == *effect);
                wanted.extend(
                    [NO_SCHEDULE, NO_EXECUTE]
                        .into_iter()
                        .filter(there)
                        .map(|effect| (key, effect)),
                );
            }
        }
    }
    for (kind, status, key) in BY_CONDITION {
        if condition(node, kind) == Some(status) {
            wanted.push((key, NO_SCHEDULE));
        }
    }
    if node
        .spec
        .as_ref()
        .and_then(|spec| spec.unschedulable)
        .unwrap_or_default()
    {
        wanted.push((CORDONED, NO_SCHEDULE));
    }
    wanted
}

fn is_ours(key: &str) -> bool {
    matches!(key, NOT_READY | UNREACHABLE | CORDONED) || BY_CONDITION.iter().any(|(_, _, ours)| *ours == key)
}

fn conditions(node: &Node) -> &[NodeCondition] {
    node.status
        .as_ref()
        .and_then(|status| status.conditions.as_deref())
        .unwrap_or_default()
}

fn condition<'a>(node: &'a Node, kind: &str) -> Option<&'a str> {
    conditions(node)
        .iter()
        .find(|condition| condition.type_ == kind)
        .map(|condition| condition.status.as_str())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn node(ready: Option<&str>, taints: Value, unschedulable: bool) -> Node {
        let conditions = ready.map(|status| json!([{"type": "Ready", "status": status}]));
        let node = json!({
            "metadata": {"name": "n"},
            "spec": {"taints": taints, "unschedulable": unschedulable},
            "status": {"conditions": conditions},
        });
        serde_json::from_value(node).expect("a node")
    }

    fn texts(taints: Option<Vec<Taint>>) -> Option<Vec<String>> {
        taints.map(|taints| {
            taints
                .iter()
                .map(|taint| format!("{}:{}", taint.key, taint.effect))
                .collect()
        })
    }

    #[test]
    fn taints_follow_conditions_and_leave_others_alone() {
        let mine = json!({"key": "dedicated", "value": "db", "effect": "NoSchedule"});
        let not_ready = |effect: &str| json!({"key": NOT_READY, "effect": effect});
        let both = json!([not_ready("NoSchedule"), not_ready("NoExecute")]);
        let lost = [
            "node.kubernetes.io/unreachable:NoSchedule",
            "node.kubernetes.io/unreachable:NoExecute",
        ];
        for (name, node, wanted) in [
            ("ready and clean", node(Some("True"), json!([mine]), false), None),
            ("became ready", node(Some("True"), both.clone(), false), Some(vec![])),
            ("still not ready", node(Some("False"), both.clone(), false), None),
            ("lost", node(Some("Unknown"), both.clone(), false), Some(lost.to_vec())),
            (
                "not ready",
                node(Some("False"), json!([mine]), false),
                Some(vec![
                    "dedicated:NoSchedule",
                    "node.kubernetes.io/not-ready:NoSchedule",
                    "node.kubernetes.io/not-ready:NoExecute",
                ]),
            ),
            ("just registered", node(None, both, false), None),
            (
                "cordoned",
                node(Some("True"), json!([]), true),
                Some(vec!["node.kubernetes.io/unschedulable:NoSchedule"]),
            ),
            (
                "uncordoned",
                node(Some("True"), json!([{"key": CORDONED, "effect": "NoSchedule"}]), false),
                Some(vec![]),
            ),
        ] {
            let wanted = wanted.map(|texts| texts.into_iter().map(str::to_owned).collect());
            assert_eq!(texts(wanted_taints(&node, Timestamp::UNIX_EPOCH)), wanted, "{name}");
        }
    }

    #[test]
    fn a_silent_node_is_unknown_and_only_once() {
        let mut silent = node(Some("True"), json!([]), false);
        let conditions = unknown_conditions(&silent, Timestamp::UNIX_EPOCH).expect("a change");
        let ready = conditions
            .iter()
            .find(|condition| condition.type_ == "Ready")
            .expect("ready");
        assert_eq!(ready.status, "Unknown");
        assert_eq!(ready.message.as_deref(), Some("Kubelet stopped posting node status."));
        silent.status.as_mut().expect("a status").conditions = Some(conditions);
        assert_eq!(unknown_conditions(&silent, Timestamp::UNIX_EPOCH), None);
    }
}
