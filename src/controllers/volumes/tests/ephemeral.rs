//! Claims that pods bring along.

use super::super::decide::{Action, decide};
use super::{claim, over, pod, world};
use k8s_openapi::api::core::v1::Pod;
use serde_json::{Value, json};

fn with_own(name: &str, phase: &str) -> Pod {
    let spec = json!({"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}});
    let template = json!({"metadata": {"labels": {"app": "web"}}, "spec": spec});
    pod(
        name,
        "n",
        phase,
        json!([{"name": "data", "ephemeral": {"volumeClaimTemplate": template}}]),
    )
}

fn owned_by(uid: &str) -> Value {
    let owner = json!({"apiVersion": "v1", "kind": "Pod", "name": "p", "uid": uid, "controller": true});
    json!({"metadata": {"ownerReferences": [owner]}})
}

#[test]
fn a_claim_comes_with_its_pod() {
    let made = decide(&world(vec![], vec![]).with_pod(&with_own("p", "Pending")));
    let [Action::Make(made)] = made.as_slice() else {
        panic!("{made:?}")
    };
    let made = serde_json::to_value(made).expect("JSON");
    let owner = json!({
        "apiVersion": "v1", "kind": "Pod", "name": "p", "uid": "uid-p", "controller": true, "blockOwnerDeletion": true,
    });
    let metadata = json!({
        "namespace": "default", "name": "p-data", "labels": {"app": "web"}, "ownerReferences": [owner],
    });
    assert_eq!(made["metadata"], metadata);
    assert_eq!(made["spec"]["resources"]["requests"]["storage"], "1Gi");

    let mut going = with_own("p", "Running");
    going.metadata.deletion_timestamp = super::from(json!("2026-01-01T00:00:00Z"));
    for (name, pod) in [("going", going), ("ended", with_own("p", "Succeeded"))] {
        assert_eq!(decide(&world(vec![], vec![]).with_pod(&pod)), [], "{name}");
    }
}

#[test]
fn a_claim_goes_with_its_pod() {
    let one = |more| world(vec![], vec![claim("p-data", more)]);
    let deleted = |world: &super::World| {
        decide(world)
            .iter()
            .any(|action| matches!(action, Action::Delete { .. }))
    };
    assert!(deleted(&one(owned_by("uid-p"))), "the pod is gone");
    assert!(!deleted(&one(owned_by("uid-p")).with_pod(&with_own("p", "Succeeded"))));
    assert!(
        deleted(&one(owned_by("uid-old")).with_pod(&with_own("p", "Running"))),
        "another pod of the name"
    );
    assert!(!deleted(&one(json!({}))), "nobody's");
    let going = json!({"metadata": {"deletionTimestamp": "2026-01-01T00:00:00Z"}});
    assert!(!deleted(&one(over(owned_by("uid-p"), going))), "it is going already");
}

#[test]
fn a_claim_that_is_not_the_pods_is_left_and_told() {
    let actions = decide(&world(vec![], vec![claim("p-data", json!({}))]).with_pod(&with_own("p", "Pending")));
    let told = actions.iter().find_map(|action| match action {
        Action::Tell { about, notice, .. } if about.kind.as_deref() == Some("Pod") => Some(notice),
        _ => None,
    });
    let told = told.expect("it is told");
    assert_eq!((told.warning, told.reason), (true, "FailedBinding"));
    assert!(
        told.message.contains("was not created for pod default/p"),
        "{}",
        told.message
    );
    assert!(
        !actions
            .iter()
            .any(|action| matches!(action, Action::Make(_) | Action::Delete { .. }))
    );
}
