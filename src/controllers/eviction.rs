//! When a tainted node drives a pod out. Pure.

use k8s_openapi::api::core::v1::{Node, Taint};
use k8s_openapi::jiff::{SignedDuration, Timestamp};

use super::world::PodView;
use crate::object::taint::{NO_EXECUTE, tolerating};

/// The node's taints that drive pods out.
pub fn driving(node: &Node) -> Vec<&Taint> {
    let taints = node
        .spec
        .as_ref()
        .and_then(|spec| spec.taints.as_deref())
        .unwrap_or_default();
    taints.iter().filter(|taint| taint.effect == NO_EXECUTE).collect()
}

/// When these taints drive the pod out; `None` where it stands them all for good. Patience starts when the taint
/// came or the pod did, whichever is later.
pub fn due(pod: &PodView, taints: &[&Taint]) -> Option<Timestamp> {
    if pod.deleting || pod.finished {
        return None;
    }
    taints.iter().filter_map(|taint| due_by(pod, taint)).min()
}

fn due_by(pod: &PodView, taint: &Taint) -> Option<Timestamp> {
    let Some(toleration) = tolerating(&pod.tolerations, taint) else {
        return Some(Timestamp::MIN);
    };
    let seconds = toleration.toleration_seconds?.max(0);
    let since = taint
        .time_added
        .as_ref()
        .map_or(pod.created, |time| time.0.max(pod.created));
    Some(
        since
            .saturating_add(SignedDuration::from_secs(seconds))
            .unwrap_or(Timestamp::MAX),
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn second(second: i64) -> Timestamp {
        Timestamp::from_second(second).expect("a time")
    }

    fn pod(tolerations: Value, created: i64) -> PodView {
        let pod = json!({
            "metadata": {"name": "p", "uid": "p", "creationTimestamp": second(created).to_string()},
            "spec": {"containers": [], "tolerations": tolerations, "nodeName": "n"},
        });
        PodView::read(&serde_json::from_value(pod).expect("a pod"))
    }

    #[test]
    fn patience_is_what_the_tolerations_say() {
        let node: Node = serde_json::from_value(json!({"spec": {"taints": [
            {"key": "a", "effect": "NoExecute", "timeAdded": second(100).to_string()},
            {"key": "b", "effect": "NoExecute", "timeAdded": second(200).to_string()},
            {"key": "c", "effect": "NoSchedule"},
        ]}}))
        .expect("a node");
        let stands = |key: &str, seconds: Option<i64>| match seconds {
            Some(seconds) => json!({"key": key, "operator": "Exists", "tolerationSeconds": seconds}),
            None => json!({"key": key, "operator": "Exists"}),
        };
        for (name, tolerations, created, wanted) in [
            ("none", json!([]), 0, Some(Timestamp::MIN)),
            ("one of two", json!([stands("a", None)]), 0, Some(Timestamp::MIN)),
            ("both for good", json!([stands("a", None), stands("b", None)]), 0, None),
            (
                "one for a while",
                json!([stands("a", Some(300)), stands("b", None)]),
                0,
                Some(second(400)),
            ),
            (
                "the sooner",
                json!([stands("a", Some(300)), stands("b", Some(100))]),
                0,
                Some(second(300)),
            ),
            (
                "from its own start",
                json!([stands("a", Some(300)), stands("b", None)]),
                250,
                Some(second(550)),
            ),
            (
                "no patience",
                json!([stands("a", Some(-1)), stands("b", None)]),
                0,
                Some(second(100)),
            ),
        ] {
            assert_eq!(due(&pod(tolerations, created), &driving(&node)), wanted, "{name}");
        }
        let deleting = PodView {
            deleting: true,
            ..pod(json!([]), 0)
        };
        assert_eq!(due(&deleting, &driving(&node)), None, "it is going already");
    }
}
