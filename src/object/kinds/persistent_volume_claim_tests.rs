//! What a claim must say, and what of it may change.

use serde_json::{Value, json};

use super::*;
use crate::object::Kind;

fn kind() -> &'static Kind {
    Kind::find("", "v1", "persistentvolumeclaims").expect("it is served")
}

/// A good one but for these fields of its spec; `null` takes one away.
fn claim(fields: Value) -> Value {
    let mut spec = json!({"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "2Gi"}}});
    for (field, value) in fields.as_object().expect("fields") {
        spec[field] = value.clone();
    }
    let body = json!({"metadata": {"name": "c", "namespace": "default"}, "spec": spec, "status": {"phase": "Bound"}});
    let mut object = kind().decode(body).expect("it can be read").object;
    kind().default(&mut object);
    kind().prepare_create(&mut object);
    object
}

fn size(text: &str) -> Value {
    json!({"requests": {"storage": text}})
}

fn told(errors: &[FieldError]) -> Vec<String> {
    errors.iter().map(ToString::to_string).collect()
}

#[test]
fn what_a_claim_must_say() {
    for (name, fields, wanted) in [
        ("good", json!({}), vec![]),
        ("of no class", json!({"storageClassName": ""}), vec![]),
        (
            "no way to use it",
            json!({"accessModes": null}),
            vec!["spec.accessModes: Required value: at least 1 access mode is required"],
        ),
        (
            "no size",
            json!({"resources": null}),
            vec!["spec.resources[storage]: Required value"],
        ),
        (
            "nothing",
            json!({"resources": size("0")}),
            vec![r#"spec.resources[storage]: Invalid value: "0": must be greater than zero"#],
        ),
        (
            "a selector",
            json!({"selector": {"matchExpressions": [{"key": "a", "operator": "Near"}]}}),
            vec![r#"spec.selector.matchExpressions[0].operator: Invalid value: "Near": not a valid selector operator"#],
        ),
        (
            "a mode",
            json!({"volumeMode": "Tape"}),
            vec![r#"spec.volumeMode: Unsupported value: "Tape": supported values: "Block", "Filesystem""#],
        ),
        (
            "a copy of something",
            json!({"dataSource": {"kind": "VolumeSnapshot", "name": "s"}}),
            vec![
                "spec.dataSource: Invalid value: \"VolumeSnapshot\": must be 'PersistentVolumeClaim' when referencing the \
                 default apiGroup",
            ],
        ),
    ] {
        assert_eq!(told(&kind().validate_create(&claim(fields))), wanted, "{name}");
    }
}

#[test]
fn what_a_claim_asks_for_stays_but_for_its_size() {
    const FIXED: &str = "spec: Forbidden: spec is immutable after creation except resources.requests and \
        volumeAttributesClassName for bound claims";
    const SHRUNK: &str = "spec.resources.requests.storage: Forbidden: field can not be less than status.capacity";
    let named = || json!({"volumeName": "v", "storageClassName": "local"});
    let with = |field: &str, value: Value| {
        let mut fields = named();
        fields[field] = value;
        fields
    };
    for (name, old, phase, new, wanted) in [
        ("nothing", json!({}), "Pending", json!({}), vec![]),
        (
            "its volume, once",
            json!({}),
            "Pending",
            json!({"volumeName": "v"}),
            vec![],
        ),
        (
            "its class, once",
            json!({}),
            "Pending",
            json!({"storageClassName": "local"}),
            vec![],
        ),
        (
            "another volume",
            named(),
            "Bound",
            with("volumeName", json!("w")),
            vec![FIXED],
        ),
        (
            "another class",
            named(),
            "Bound",
            with("storageClassName", json!("w")),
            vec![FIXED],
        ),
        (
            "its ways",
            named(),
            "Bound",
            with("accessModes", json!(["ReadOnlyMany"])),
            vec![FIXED],
        ),
        ("its size", named(), "Bound", with("resources", size("3Gi")), vec![]),
        (
            "its size too early",
            json!({}),
            "Pending",
            json!({"resources": size("3Gi")}),
            vec![FIXED],
        ),
        (
            "shrinking",
            named(),
            "Bound",
            with("resources", size("1Gi")),
            vec![SHRUNK],
        ),
    ] {
        let mut old = claim(old);
        old["status"] = json!({"phase": phase, "capacity": {"storage": "2Gi"}});
        let mut new = claim(new);
        kind().prepare_update(&mut new, &old, Part::Main);
        assert_eq!(new["status"], old["status"], "{name}: the status is the controller's");
        assert_eq!(told(&kind().validate_update(&new, &old, Part::Main)), wanted, "{name}");
    }
}

#[test]
fn what_a_claim_leaves_out_is_filled_in() {
    let claim = claim(json!({}));
    assert_eq!(claim["spec"]["volumeMode"], "Filesystem");
    assert_eq!(claim["status"], json!({"phase": "Pending"}), "a creator sets no status");
}
