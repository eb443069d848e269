//! What a volume must say, and what of it may change.

use serde_json::{Value, json};

use super::*;
use crate::object::Kind;

fn kind() -> &'static Kind {
    Kind::find("", "v1", "persistentvolumes").expect("it is served")
}

fn selector(name: &str) -> Value {
    json!({"required": {"nodeSelectorTerms": [{"matchExpressions": [
        {"key": "kubernetes.io/hostname", "operator": "In", "values": [name]}]}]}})
}

/// A good one but for these fields of its spec; `null` takes one away.
fn volume(fields: Value) -> Value {
    let mut spec = json!({"capacity": {"storage": "1Gi"}, "accessModes": ["ReadWriteOnce"],
        "local": {"path": "/data"}, "nodeAffinity": selector("a")});
    for (field, value) in fields.as_object().expect("fields") {
        spec[field] = value.clone();
    }
    let body = json!({"metadata": {"name": "v"}, "spec": spec, "status": {"phase": "Bound"}});
    let mut object = kind().decode(body).expect("it can be read").object;
    kind().default(&mut object);
    kind().prepare_create(&mut object);
    object
}

fn told(errors: &[FieldError]) -> Vec<String> {
    errors.iter().map(ToString::to_string).collect()
}

#[test]
fn what_a_volume_must_say() {
    let host_path = |path: &str| json!({"local": null, "nodeAffinity": null, "hostPath": {"path": path}});
    let with = |mut fields: Value, field: &str, value: Value| {
        fields[field] = value;
        fields
    };
    for (name, fields, wanted) in [
        ("good", json!({}), vec![]),
        ("a path of any node", host_path("/data"), vec![]),
        (
            "no capacity",
            json!({"capacity": null}),
            vec!["spec.capacity: Required value"],
        ),
        (
            "something else",
            json!({"capacity": {"cpu": "1"}}),
            vec![r#"spec.capacity: Unsupported value: {"cpu":"1"}: supported values: "storage""#],
        ),
        (
            "something else besides",
            json!({"capacity": {"storage": "1Gi", "cpu": "1"}}),
            vec![r#"spec.capacity: Unsupported value: {"cpu":"1","storage":"1Gi"}: supported values: "storage""#],
        ),
        (
            "nothing",
            json!({"capacity": {"storage": "0"}}),
            vec![r#"spec.capacity[storage]: Invalid value: "0": must be greater than zero"#],
        ),
        (
            "no way to use it",
            json!({"accessModes": []}),
            vec!["spec.accessModes: Required value"],
        ),
        (
            "an unknown way",
            json!({"accessModes": ["Sometimes"]}),
            vec![
                r#"spec.accessModes: Unsupported value: "Sometimes": supported values: "ReadOnlyMany", "ReadWriteMany", "ReadWriteOnce", "ReadWriteOncePod""#,
            ],
        ),
        (
            "for one pod, and for others",
            json!({"accessModes": ["ReadWriteOncePod", "ReadWriteOnce"]}),
            vec!["spec.accessModes: Forbidden: may not use ReadWriteOncePod with other access modes"],
        ),
        (
            "nowhere",
            json!({"local": null}),
            vec!["spec: Required value: must specify a volume type"],
        ),
        (
            "in two places",
            json!({"hostPath": {"path": "/data"}}),
            vec!["spec.local: Forbidden: may not specify more than 1 volume type"],
        ),
        (
            "on any node",
            json!({"nodeAffinity": null}),
            vec!["spec.nodeAffinity: Required value: Local volume requires node affinity"],
        ),
        (
            "on no node",
            json!({"nodeAffinity": {"required": {"nodeSelectorTerms": []}}}),
            vec![
                "spec.nodeAffinity.required.nodeSelectorTerms: Required value: must have at least one node selector term",
            ],
        ),
        (
            "on some nodes",
            json!({"nodeAffinity": {}}),
            vec!["spec.nodeAffinity.required: Required value: must specify required node constraints"],
        ),
        (
            "no path",
            json!({"local": {"path": ""}}),
            vec!["spec.local.path: Required value"],
        ),
        (
            "a step back",
            json!({"local": {"path": "/a/../b"}}),
            vec![r#"spec.local.path: Invalid value: "/a/../b": must not contain '..'"#],
        ),
        (
            "from where",
            json!({"local": {"path": "data"}}),
            vec![r#"spec.local.path: Invalid value: "data": must be an absolute path"#],
        ),
        (
            "another step back",
            host_path("/a/.."),
            vec![r#"spec.hostPath.path: Invalid value: "/a/..": must not contain '..'"#],
        ),
        (
            "a driver, and none of its volumes",
            json!({"local": null, "csi": {"driver": "a.b", "volumeHandle": ""}}),
            vec!["spec.csi.volumeHandle: Required value"],
        ),
        (
            "a class",
            json!({"storageClassName": "A"}),
            vec!["spec.storageClassName: Invalid value: \"A\": a lowercase RFC 1123 subdomain"],
        ),
        (
            "a mode",
            json!({"volumeMode": "Tape"}),
            vec![r#"spec.volumeMode: Unsupported value: "Tape": supported values: "Block", "Filesystem""#],
        ),
        (
            "a policy",
            json!({"persistentVolumeReclaimPolicy": "Keep"}),
            vec![
                r#"spec.persistentVolumeReclaimPolicy: Unsupported value: "Keep": supported values: "Delete", "Recycle", "Retain""#,
            ],
        ),
        (
            "everything recycled",
            with(host_path("//"), "persistentVolumeReclaimPolicy", json!("Recycle")),
            vec!["spec.persistentVolumeReclaimPolicy: Forbidden: may not be 'recycle' for a hostPath mount of '/'"],
        ),
    ] {
        let errors = told(&kind().validate_create(&volume(fields)));
        let same = errors.len() == wanted.len()
            && errors
                .iter()
                .zip(&wanted)
                .all(|(error, wanted)| error.starts_with(wanted));
        assert!(same, "{name}: {errors:#?}");
    }
}

#[test]
fn what_a_volume_leaves_out_is_filled_in() {
    let volume = volume(json!({"local": null, "hostPath": {"path": "/data"}}));
    assert_eq!(volume["spec"]["persistentVolumeReclaimPolicy"], "Retain");
    assert_eq!(volume["spec"]["volumeMode"], "Filesystem");
    assert_eq!(volume["spec"]["hostPath"]["type"], "");
    assert_eq!(
        volume["status"],
        json!({"phase": "Pending"}),
        "a creator sets no status"
    );
}

#[test]
fn where_the_data_is_stays() {
    for (name, fields, wanted) in [
        ("nothing", json!({}), vec![]),
        (
            "its claim",
            json!({"claimRef": {"namespace": "n", "name": "c"}}),
            vec![],
        ),
        ("its size", json!({"capacity": {"storage": "2Gi"}}), vec![]),
        ("its end", json!({"persistentVolumeReclaimPolicy": "Delete"}), vec![]),
        (
            "its path",
            json!({"local": {"path": "/other"}}),
            vec!["spec.persistentvolumesource: Forbidden: spec.persistentvolumesource is immutable after creation"],
        ),
        (
            "its mode",
            json!({"volumeMode": "Block"}),
            vec![r#"spec.volumeMode: Invalid value: "Block": field is immutable"#],
        ),
        (
            "its node",
            json!({"nodeAffinity": selector("b")}),
            vec!["spec.nodeAffinity: Invalid value: "],
        ),
    ] {
        let errors = told(&kind().validate_update(&volume(fields), &volume(json!({})), Part::Main));
        let same = errors.len() == wanted.len()
            && errors
                .iter()
                .zip(&wanted)
                .all(|(error, wanted)| error.starts_with(wanted));
        assert!(same, "{name}: {errors:#?}");
    }
}

#[test]
fn a_node_may_be_told_later() {
    let host_path = json!({"path": "/data"});
    let old = volume(json!({"local": null, "nodeAffinity": null, "hostPath": host_path}));
    let new = volume(json!({"local": null, "hostPath": host_path}));
    assert_eq!(
        told(&kind().validate_update(&new, &old, Part::Main)),
        Vec::<String>::new()
    );
}

#[test]
fn each_writer_has_its_part() {
    let old = volume(json!({}));
    let mut new = volume(json!({"storageClassName": "x"}));
    new["status"]["phase"] = json!("Available");
    let mut by_status = new.clone();
    kind().prepare_update(&mut by_status, &old, Part::Status);
    assert_eq!(
        (&by_status["spec"], &by_status["status"]),
        (&old["spec"], &new["status"])
    );
    let mut by_main = new.clone();
    kind().prepare_update(&mut by_main, &old, Part::Main);
    assert_eq!((&by_main["spec"], &by_main["status"]), (&new["spec"], &old["status"]));
}
