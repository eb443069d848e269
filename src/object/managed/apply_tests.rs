//! Server-side apply: conflicts, sharing, pruning, orders, refusals, a named row each behaviour.

use serde_json::{Value, json};

use super::test_support::*;
use super::{ApplyError, Writer};

#[test]
fn another_value_conflicts_and_force_takes_over() {
    let live = all_applied(&[("one", containers(json!([{"name": "c", "image": "i", "args": ["a"]}])))]);
    let config = containers(json!([{"name": "c", "image": "j", "args": ["a"]}]));
    let error = applied(Some(&live), &config, false, by("two", NOW)).unwrap_err();
    assert_eq!(
        error.to_string(),
        "Apply failed with 1 conflict: conflict with \"one\": .spec.containers[name=\"c\"].image"
    );
    let forced = applied(Some(&live), &config, true, by("two", NOW)).unwrap();
    assert_eq!(forced["spec"]["containers"][0]["image"], "j");
    let item = |fields: Value| json!({"f:spec": {"f:containers": {"k:{\"name\":\"c\"}": fields}}});
    assert_eq!(
        owned(&forced, "one"),
        item(json!({".": {}, "f:name": {}, "f:args": {}}))
    );
    assert_eq!(
        owned(&forced, "two"),
        item(json!({".": {}, "f:name": {}, "f:args": {}, "f:image": {}}))
    );
}

#[test]
fn conflicts_name_every_owner_and_field() {
    let live = created(
        containers(json!([{"name": "c", "image": "i", "stdin": true}])),
        "kubectl-client-side-apply",
    );
    let config = containers(json!([{"name": "c", "image": "j", "stdin": false}]));
    let error = applied(Some(&live), &config, false, by("one", NOW)).unwrap_err();
    assert_eq!(
        error.to_string(),
        "Apply failed with 2 conflicts: conflicts with \"kubectl-client-side-apply\" using v1:\n\
         - .spec.containers[name=\"c\"].image\n- .spec.containers[name=\"c\"].stdin"
    );
    let mut status = live.clone();
    status["status"] = json!({"phase": "Running"});
    pods().track(
        Some(&live),
        &mut status,
        Writer {
            manager: "kubelet",
            subresource: "status",
            now: NOW,
        },
    );
    let config = json!({"apiVersion": "v1", "kind": "Pod", "status": {"phase": "Failed"}});
    let writer = Writer {
        manager: "one",
        subresource: "status",
        now: NOW,
    };
    assert_eq!(
        conflicts(applied(Some(&status), &config, false, writer)),
        [(
            "\"kubelet\" with subresource \"status\" using v1".to_owned(),
            ".status.phase".to_owned()
        )]
    );
}

#[test]
fn the_same_value_is_shared_and_stays_until_the_last_owner_leaves() {
    let both = containers(json!([{"name": "c", "image": "i", "stdin": true}]));
    let less = containers(json!([{"name": "c", "image": "i"}]));
    let live = all_applied(&[("one", both.clone()), ("two", both), ("one", less.clone())]);
    assert_eq!(live["spec"]["containers"][0]["stdin"], true);
    let live = applied(Some(&live), &less, false, by("two", NOW)).unwrap();
    assert_eq!(live["spec"]["containers"][0].get("stdin"), None);
}

#[test]
fn what_is_not_applied_any_more_is_pruned() {
    let container = |fields: Value| {
        let mut item = json!({"name": "c", "image": "i"});
        item.as_object_mut()
            .unwrap()
            .extend(fields.as_object().unwrap().clone());
        containers(json!([item]))
    };
    for (name, before, after, path, wanted) in [
        ("scalar", json!({"stdin": true}), json!({}), "/stdin", None),
        (
            "list item",
            json!({"env": [{"name": "A"}, {"name": "B"}]}),
            json!({"env": [{"name": "B"}]}),
            "/env",
            Some(json!([{"name": "B"}])),
        ),
        (
            "the last list item",
            json!({"env": [{"name": "A"}]}),
            json!({}),
            "/env",
            None,
        ),
        (
            "part of an item",
            json!({"env": [{"name": "A", "value": "1"}]}),
            json!({"env": [{"name": "A"}]}),
            "/env/0",
            Some(json!({"name": "A"})),
        ),
        (
            "struct",
            json!({"securityContext": {"runAsUser": 1}}),
            json!({}),
            "/securityContext",
            None,
        ),
        (
            "last part of a struct still named",
            json!({"securityContext": {"runAsUser": 1}}),
            json!({"securityContext": {}}),
            "/securityContext",
            Some(json!({})),
        ),
        (
            "map entry",
            json!({"resources": {"limits": {"cpu": "1", "memory": "1"}}}),
            json!({"resources": {"limits": {"cpu": "1"}}}),
            "/resources/limits",
            Some(json!({"cpu": "1"})),
        ),
        ("atomic list", json!({"args": ["a"]}), json!({}), "/args", None),
        (
            "one of two ports of a number",
            json!({"ports": [{"containerPort": 53, "protocol": "UDP"}, {"containerPort": 53, "protocol": "TCP"}]}),
            json!({"ports": [{"containerPort": 53, "protocol": "TCP"}]}),
            "/ports",
            Some(json!([{"containerPort": 53, "protocol": "TCP"}])),
        ),
    ] {
        let live = all_applied(&[("one", container(before)), ("one", container(after))]);
        assert_eq!(live["spec"]["containers"][0].pointer(path), wanted.as_ref(), "{name}");
    }
}

#[test]
fn others_parts_survive_pruning() {
    let mut live = all_applied(&[(
        "one",
        containers(json!([{"name": "c", "image": "i"}, {"name": "d", "image": "i"}])),
    )]);
    live["metadata"]["labels"] = json!({"stray": "1"});
    let live = updated(
        &live,
        |new| {
            new["metadata"]["annotations"] = json!({"by": "other"});
            new["spec"]["containers"][0]["imagePullPolicy"] = json!("Always");
            new["spec"]["containers"][1]["imagePullPolicy"] = json!("Always");
        },
        "other",
    );
    let live = applied(
        Some(&live),
        &containers(json!([{"name": "c", "image": "i"}])),
        false,
        by("one", LATER),
    )
    .unwrap();
    assert_eq!(
        live["metadata"]["labels"],
        json!({"stray": "1"}),
        "what nobody owns stays"
    );
    assert_eq!(live["metadata"]["annotations"], json!({"by": "other"}));
    // The item was this manager's, so it goes with what the other put into it.
    assert_eq!(
        live["spec"]["containers"],
        json!([{"name": "c", "image": "i", "imagePullPolicy": "Always"}])
    );
    assert_eq!(
        owned(&live, "other")["f:spec"],
        json!({"f:containers": {"k:{\"name\":\"c\"}": {"f:imagePullPolicy": {}}}})
    );
}

#[test]
fn lists_keep_the_applied_order() {
    let named = |names: &[&str]| containers(names.iter().map(|name| json!({"name": name})).collect());
    let live = |names: &[&str]| created(named(names), "creator");
    for (name, before, applied_names, wanted) in [
        ("new ones behind", &["a", "b"][..], &["c"][..], &["a", "b", "c"][..]),
        (
            "new one in front of a shared one",
            &["a", "b"],
            &["c", "b"],
            &["a", "c", "b"],
        ),
        ("shared ones swap", &["a", "b"], &["b", "a"], &["b", "a"]),
        (
            "others keep their places",
            &["a", "x", "b", "y"],
            &["b", "a"],
            &["x", "b", "y", "a"],
        ),
        ("same", &["a", "b"], &["a", "b"], &["a", "b"]),
    ] {
        let object = applied(Some(&live(before)), &named(applied_names), false, by("one", NOW)).unwrap();
        let items = object["spec"]["containers"].as_array().unwrap();
        let names: Vec<&str> = items.iter().map(|item| item["name"].as_str().unwrap()).collect();
        assert_eq!(names, wanted, "{name}");
    }
}

#[test]
fn what_is_malformed_is_refused() {
    let with = |path: &str, value: Value| {
        let mut config = containers(json!([{"name": "c", "image": "i"}]));
        let (parent, key) = path.rsplit_once('/').unwrap();
        config.pointer_mut(parent).unwrap()[key] = value;
        config
    };
    for (name, config, wanted) in [
        (
            "unknown field",
            with("/spec/nope", json!(1)),
            "(default/p; v1, Kind=Pod): .spec.nope: field not declared in schema",
        ),
        (
            "unknown field in an item",
            with("/spec/containers/0/imge", json!(1)),
            ".spec.containers[name=\"c\"].imge: field not declared",
        ),
        (
            "repeated key",
            with("/spec/containers/0/env", json!([{"name": "A"}, {"name": "A"}])),
            ".spec.containers[name=\"c\"].env: duplicate entries for key [name=\"A\"]",
        ),
        (
            "repeated item of a set",
            with("/metadata/finalizers", json!(["a", "a"])),
            ".metadata.finalizers: duplicate entries for key [=\"a\"]",
        ),
        (
            "item without its key",
            with("/spec/containers/0/env", json!([{"value": "1"}])),
            "without its keys",
        ),
        (
            "string for list",
            with("/spec/containers", json!("x")),
            ".spec.containers: expected list, got string",
        ),
        (
            "list for map",
            with("/metadata/labels", json!([])),
            ".metadata.labels: expected map, got list",
        ),
        (
            "number for string",
            with("/spec/nodeName", json!(1)),
            ".spec.nodeName: expected string, got number",
        ),
        (
            "managedFields",
            with("/metadata/managedFields", json!([{"manager": "x"}])),
            "metadata.managedFields must be nil",
        ),
        (
            "other version",
            with("/apiVersion", json!("v2")),
            "Specified patch version: v2, expected: v1",
        ),
        ("no object", json!([1]), "must be a map"),
    ] {
        match applied(None, &config, false, by("one", NOW)) {
            Err(ApplyError::Malformed(text)) => assert!(text.contains(wanted), "{name}: {text}"),
            other => panic!("{name}: {other:?}"),
        }
    }
}

#[test]
fn objects_without_owners_get_one_before_their_first_apply() {
    let live = containers(json!([{"name": "c", "image": "i", "stdin": true}]));
    let config = containers(json!([{"name": "c", "image": "j"}]));
    assert_eq!(
        conflicts(applied(Some(&live), &config, false, by("one", NOW))),
        [(
            "\"before-first-apply\" using v1".to_owned(),
            ".spec.containers[name=\"c\"].image".to_owned()
        )]
    );
    let forced = applied(Some(&live), &config, true, by("one", NOW)).unwrap();
    assert!(owned(&forced, "before-first-apply").to_string().contains("f:stdin"));
    assert!(!owned(&forced, "before-first-apply").to_string().contains("f:image"));
}

#[test]
fn kubectl_takes_over_from_its_client_side_apply() {
    let old = containers(json!([{"name": "c", "image": "i"}]));
    let mut live = old.clone();
    live["metadata"]["annotations"] = json!({"kubectl.kubernetes.io/last-applied-configuration": old.to_string()});
    live["spec"]["containers"][0]["stdin"] = json!(true);
    let live = created(live, "kubectl-client-side-apply");
    let new = containers(json!([{"name": "c", "image": "j"}]));
    assert_eq!(
        conflicts(applied(Some(&live), &new, false, by("flux", NOW))).len(),
        1,
        "others do not"
    );
    let taken = applied(Some(&live), &new, false, by("kubectl", NOW)).unwrap();
    assert_eq!(taken["spec"]["containers"][0]["image"], "j");
    let annotation = &taken["metadata"]["annotations"]["kubectl.kubernetes.io/last-applied-configuration"];
    assert_eq!(
        annotation.as_str(),
        Some(format!("{new}\n").as_str()),
        "the annotation stays true"
    );
    // What client-side apply had not set is a conflict still.
    let new = containers(json!([{"name": "c", "image": "j", "stdin": false}]));
    assert_eq!(
        conflicts(applied(Some(&live), &new, false, by("kubectl", NOW))),
        [(
            "\"kubectl-client-side-apply\" using v1".to_owned(),
            ".spec.containers[name=\"c\"].stdin".to_owned()
        )]
    );
}

#[test]
fn quantities_and_nulls_are_seen_for_what_they_are() {
    let live = created(
        containers(json!([{"name": "c", "resources": {"limits": {"cpu": "1"}}}])),
        "creator",
    );
    let config =
        containers(json!([{"name": "c", "stdin": null, "resources": {"limits": {"cpu": "1"}, "requests": null}}]));
    let object = applied(Some(&live), &config, false, by("one", NOW)).unwrap();
    assert_eq!(object["spec"]["containers"], live["spec"]["containers"]);
    assert_eq!(
        applied(Some(&object), &config, false, by("one", LATER)).unwrap(),
        object
    );
    let live = all_applied(&[("one", containers(json!([{"name": "c", "stdin": true}])))]);
    let object = applied(
        Some(&live),
        &containers(json!([{"name": "c", "stdin": null}])),
        false,
        by("one", NOW),
    )
    .unwrap();
    assert_eq!(object["spec"]["containers"], json!([{"name": "c"}]));
}
