//! The writes of a binding, one by one.

use super::super::binding::{Write, next};
use super::{bound_at, bound_to, claim, over, volume};
use serde_json::{Value, json};

fn written(write: &Write) -> (&'static str, Value) {
    let json = |object: Result<Value, _>| object.expect("JSON");
    match write {
        Write::Volume(volume) => ("volume", json(serde_json::to_value(volume))),
        Write::VolumeStatus(volume) => ("volume status", json(serde_json::to_value(volume))),
        Write::Claim(claim) => ("claim", json(serde_json::to_value(claim))),
        Write::ClaimStatus(claim) => ("claim status", json(serde_json::to_value(claim))),
    }
}

#[test]
fn a_binding_is_four_writes_in_their_order() {
    let (mut of_volume, mut of_claim) = (volume("v", json!({})), claim("c", json!({})));
    let mut steps = Vec::new();
    while let Some(write) = next(&of_volume, &of_claim) {
        steps.push(written(&write).0);
        match write {
            Write::Volume(now) | Write::VolumeStatus(now) => of_volume = *now,
            Write::Claim(now) | Write::ClaimStatus(now) => of_claim = *now,
        }
    }
    assert_eq!(steps, ["volume", "volume status", "claim", "claim status"]);
    let (_, of_volume) = written(&Write::Volume(Box::new(of_volume)));
    let reference = json!({
        "apiVersion": "v1", "kind": "PersistentVolumeClaim", "namespace": "default", "name": "c", "uid": "uid-c",
        "resourceVersion": "1",
    });
    assert_eq!(of_volume["spec"]["claimRef"], reference);
    let by_controller = json!({"pv.kubernetes.io/bound-by-controller": "yes"});
    assert_eq!(of_volume["metadata"]["annotations"], by_controller);
    assert_eq!(of_volume["status"], json!({"phase": "Bound"}));
    let (_, of_claim) = written(&Write::Claim(Box::new(of_claim)));
    let both = json!({"pv.kubernetes.io/bound-by-controller": "yes", "pv.kubernetes.io/bind-completed": "yes"});
    assert_eq!(of_claim["metadata"]["annotations"], both);
    assert_eq!(of_claim["spec"]["volumeName"], "v");
    let status = json!({"phase": "Bound", "accessModes": ["ReadWriteOnce"], "capacity": {"storage": "5Gi"}});
    assert_eq!(of_claim["status"], status);
}

#[test]
fn what_a_person_wrote_is_not_marked_as_the_controllers() {
    let for_name = volume(
        "v",
        json!({"spec": {"claimRef": {"namespace": "default", "name": "c"}}}),
    );
    let (kind, volume) = written(&next(&for_name, &claim("c", json!({}))).expect("a write"));
    assert_eq!((kind, &volume["metadata"]["annotations"]), ("volume", &Value::Null));
    assert_eq!(volume["spec"]["claimRef"]["uid"], "uid-c");
    let bound = super::volume("v", bound_to("c"));
    let (kind, claim) = written(&next(&bound, &claim("c", json!({"spec": {"volumeName": "v"}}))).expect("a write"));
    let completed = json!({"pv.kubernetes.io/bind-completed": "yes"});
    assert_eq!((kind, &claim["metadata"]["annotations"]), ("claim", &completed));
}

#[test]
fn what_is_bound_stays_but_for_what_may_change() {
    let bound = volume("v", bound_to("c"));
    assert_eq!(next(&bound, &claim("c", bound_at("v"))), None);
    let smaller = over(bound_at("v"), json!({"status": {"capacity": {"storage": "4Gi"}}}));
    assert_eq!(
        next(&bound, &claim("c", smaller)),
        None,
        "a file system may be smaller than its volume"
    );
    let other_access = over(bound_at("v"), json!({"status": {"accessModes": ["ReadOnlyMany"]}}));
    let (kind, claim) = written(&next(&bound, &claim("c", other_access)).expect("a write"));
    assert_eq!(
        (kind, &claim["status"]["accessModes"]),
        ("claim status", &json!(["ReadWriteOnce"]))
    );
}
