//! The small kinds' rules, a row each, through the kinds table as the API server uses them.

use proptest::prelude::*;
use serde_json::{Value, json};

use crate::object::kind::{Kind, Part};

fn prepared(kind: &Kind, mut body: Value) -> Value {
    body["metadata"]["name"] = json!("a");
    if kind.namespaced {
        body["metadata"]["namespace"] = json!("default");
    }
    let mut object = kind.decode(body).unwrap().object;
    kind.default(&mut object);
    object
}

fn kind(plural: &str) -> &'static Kind {
    Kind::all().iter().find(|kind| kind.plural == plural).unwrap()
}

#[test]
fn creates() {
    for (plural, body, wanted) in [
        (
            "events",
            json!({"involvedObject": {"namespace": "other"}}),
            vec!["involvedObject.namespace"],
        ),
        (
            "events",
            json!({"involvedObject": {"kind": "Node", "name": "n"}}),
            vec![],
        ),
        (
            "leases",
            json!({"spec": {"leaseDurationSeconds": 0}}),
            vec!["spec.leaseDurationSeconds"],
        ),
        (
            "leases",
            json!({"spec": {"leaseDurationSeconds": 1, "leaseTransitions": 0}}),
            vec![],
        ),
        (
            "secrets",
            json!({"type": "kubernetes.io/tls"}),
            vec!["data[tls.crt]", "data[tls.key]"],
        ),
        (
            "secrets",
            json!({"type": "kubernetes.io/service-account-token"}),
            vec!["metadata.annotations[kubernetes.io/service-account.name]"],
        ),
        (
            "secrets",
            json!({"stringData": {"a": "x".repeat(1024 * 1024 + 1)}}),
            vec!["data"],
        ),
        (
            "configmaps",
            json!({"binaryData": {"..": "eA=="}}),
            vec!["binaryData[..]"],
        ),
        (
            "namespaces",
            json!({"spec": {"finalizers": ["mine"]}}),
            vec!["spec.finalizers"],
        ),
        (
            "priorityclasses",
            json!({"value": 5, "preemptionPolicy": "Maybe"}),
            vec!["preemptionPolicy"],
        ),
        ("serviceaccounts", json!({"secrets": [{"name": "x"}]}), vec![]),
    ] {
        let kind = kind(plural);
        let mut object = prepared(kind, body.clone());
        kind.prepare_create(&mut object);
        let errors = kind.validate_create(&object);
        assert_eq!(
            errors.iter().map(|error| error.field.as_str()).collect::<Vec<_>>(),
            wanted,
            "{plural} {errors:?}"
        );
    }
}

#[test]
fn updates() {
    let frozen = json!({"immutable": true, "data": {"a": "eA=="}});
    for (plural, old, new, wanted) in [
        (
            "configmaps",
            json!({"data": {"a": "1"}}),
            json!({"data": {"a": "2"}}),
            vec![],
        ),
        (
            "configmaps",
            frozen.clone(),
            json!({"data": {"a": "eA=="}}),
            vec!["immutable"],
        ),
        (
            "configmaps",
            frozen.clone(),
            json!({"immutable": true, "data": {}}),
            vec!["data"],
        ),
        ("configmaps", frozen.clone(), frozen.clone(), vec![]),
        (
            "secrets",
            frozen.clone(),
            json!({"immutable": true, "stringData": {"a": "y"}}),
            vec!["data"],
        ),
        (
            "secrets",
            frozen.clone(),
            json!({"immutable": true, "stringData": {"a": "x"}}),
            vec![],
        ),
        ("secrets", json!({}), json!({"type": "other"}), vec!["type"]),
        (
            "priorityclasses",
            json!({"value": 1}),
            json!({"value": 2}),
            vec!["value"],
        ),
        (
            "priorityclasses",
            json!({"value": 1}),
            json!({"value": 1, "globalDefault": true}),
            vec![],
        ),
        (
            "leases",
            json!({"spec": {"holderIdentity": "a"}}),
            json!({"spec": {"holderIdentity": "b"}}),
            vec![],
        ),
        (
            "serviceaccounts",
            json!({}),
            json!({"automountServiceAccountToken": false}),
            vec![],
        ),
        (
            "namespaces",
            json!({}),
            json!({"metadata": {"labels": {"a b": ""}}}),
            vec!["metadata.labels"],
        ),
    ] {
        let kind = kind(plural);
        let mut old = prepared(kind, old);
        kind.prepare_create(&mut old);
        let mut new = prepared(kind, new);
        kind.prepare_update(&mut new, &old, Part::Main);
        let errors = kind.validate_update(&new, &old, Part::Main);
        assert_eq!(
            errors.iter().map(|error| error.field.as_str()).collect::<Vec<_>>(),
            wanted,
            "{plural} {errors:?}"
        );
    }
}

#[test]
fn a_namespace_keeps_its_finalizer_and_status() {
    let namespaces = kind("namespaces");
    let mut old = prepared(namespaces, json!({}));
    namespaces.prepare_create(&mut old);
    let mut new = prepared(
        namespaces,
        json!({"spec": {"finalizers": []}, "status": {"phase": "Terminating"}}),
    );
    namespaces.prepare_update(&mut new, &old, Part::Main);
    assert_eq!(
        (&new["spec"], &new["status"]),
        (&json!({"finalizers": ["kubernetes"]}), &json!({"phase": "Active"}))
    );
}

/// JSON that looks like an object of the API often enough to get past the first fields.
fn any_json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        "\\PC{0,12}".prop_map(Value::from),
        "[0-9.eEKMGi+-]{0,6}".prop_map(Value::from),
    ];
    let key = prop_oneof![
        prop::sample::select(vec![
            "metadata",
            "spec",
            "status",
            "name",
            "labels",
            "containers",
            "resources",
            "requests",
            "cpu",
            "data",
            "volumes",
            "emptyDir",
            "sizeLimit",
            "env",
            "valueFrom",
            "ports",
            "containerPort",
            "affinity",
            "tolerations",
        ])
        .prop_map(str::to_owned),
        "\\PC{0,6}",
    ];
    leaf.prop_recursive(6, 48, 6, move |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::vec((key.clone(), inner), 0..5)
                .prop_map(|entries| Value::Object(entries.into_iter().collect())),
        ]
    })
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    /// Whatever the body, each kind answers; what it decodes once it decodes to itself.
    #[test]
    fn no_body_is_too_strange(body in any_json()) {
        for kind in Kind::all() {
            let Ok(decoded) = kind.decode(body.clone()) else { continue };
            let again = kind.decode(decoded.object.clone()).expect("what was written can be read");
            prop_assert_eq!(&again.object, &decoded.object);
            let mut object = decoded.object;
            kind.default(&mut object);
            let once = object.clone();
            kind.default(&mut object);
            prop_assert_eq!(&once, &object, "defaults are filled in once");
            kind.prepare_create(&mut object);
            kind.validate_create(&object);
            kind.validate_update(&object, &once, Part::Main);
            crate::object::table::row(kind, &object, jiff::Timestamp::UNIX_EPOCH);
        }
    }
}
