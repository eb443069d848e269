//! Every directive and merge key of strategic merge patches, a named row each.

use serde_json::{Value, json};

use super::{PatchError, strategic_of};
use crate::object::schema::types::TypeRef;

fn patched(object: &Value, patch: &Value) -> Result<Value, PatchError> {
    strategic_of(TypeRef::named("io.k8s.api.core.v1.Pod"), object, patch)
}

fn pod() -> Value {
    json!({
        "metadata": {"name": "p", "labels": {"a": "1", "b": "2"}, "finalizers": ["x/a", "x/b"],
                     "ownerReferences": [{"uid": "1", "name": "one"}, {"uid": "2", "name": "two"}]},
        "spec": {
            "containers": [
                {"name": "c", "image": "i:1", "args": ["x", "y"],
                 "env": [{"name": "A", "value": "1"}, {"name": "B", "value": "2"}],
                 "ports": [{"containerPort": 80, "name": "web"}, {"containerPort": 443}],
                 "volumeMounts": [{"mountPath": "/a", "name": "v"}, {"mountPath": "/b", "name": "v"}]},
                {"name": "d", "image": "i:2"},
            ],
            "tolerations": [{"key": "k", "operator": "Exists"}],
            "volumes": [{"name": "v", "emptyDir": {}}],
            "nodeSelector": {"disk": "ssd"},
        },
        "status": {"conditions": [{"type": "Ready", "status": "False"}], "podIPs": [{"ip": "10.0.0.1"}]},
    })
}

/// The pod's first container after it was patched with these fields.
fn container(fields: Value) -> Result<Value, PatchError> {
    let mut item = json!({"name": "c"});
    item.as_object_mut()
        .unwrap()
        .extend(fields.as_object().unwrap().clone());
    Ok(patched(&pod(), &json!({"spec": {"containers": [item]}}))?["spec"]["containers"][0].clone())
}

#[test]
fn structs_and_maps_merge() {
    for (name, patch, path, wanted) in [
        (
            "label set",
            json!({"metadata": {"labels": {"c": "3"}}}),
            "/metadata/labels",
            json!({"a": "1", "b": "2", "c": "3"}),
        ),
        (
            "label gone",
            json!({"metadata": {"labels": {"a": null}}}),
            "/metadata/labels",
            json!({"b": "2"}),
        ),
        ("map gone", json!({"metadata": {"labels": null}}), "/metadata", {
            let mut metadata = pod()["metadata"].clone();
            metadata.as_object_mut().unwrap().remove("labels");
            metadata
        }),
        (
            "scalar set",
            json!({"spec": {"activeDeadlineSeconds": 5}}),
            "/spec/activeDeadlineSeconds",
            json!(5),
        ),
        (
            "struct made, nulls left out",
            json!({"spec": {"securityContext": {"runAsUser": 1, "runAsGroup": null}}}),
            "/spec/securityContext",
            json!({"runAsUser": 1}),
        ),
        (
            "replace",
            json!({"metadata": {"labels": {"$patch": "replace", "z": "9"}}}),
            "/metadata/labels",
            json!({"z": "9"}),
        ),
        (
            "delete",
            json!({"metadata": {"labels": {"$patch": "delete", "z": "9"}}}),
            "/metadata/labels",
            json!({}),
        ),
        (
            "merge",
            json!({"metadata": {"labels": {"$patch": "merge", "z": "9"}}}),
            "/metadata/labels",
            json!({"a": "1", "b": "2", "z": "9"}),
        ),
        (
            "retain keys",
            json!({"spec": {"volumes": [{"name": "v", "$retainKeys": ["name", "hostPath"], "hostPath": {"path": "/"}}]}}),
            "/spec/volumes",
            json!([{"name": "v", "hostPath": {"path": "/"}}]),
        ),
        (
            "retain only",
            json!({"metadata": {"labels": {"$retainKeys": ["a"]}}}),
            "/metadata/labels",
            json!({"a": "1"}),
        ),
        (
            "type changes",
            json!({"spec": {"nodeSelector": ["odd"]}}),
            "/spec/nodeSelector",
            json!(["odd"]),
        ),
    ] {
        let got = patched(&pod(), &patch).unwrap_or_else(|error| panic!("{name}: {error}"));
        assert_eq!(got.pointer(path), Some(&wanted), "{name}");
    }
}

#[test]
fn lists_merge_by_their_own_key() {
    for (name, patch, path, wanted) in [
        (
            "env by name",
            json!({"env": [{"name": "B", "value": "9"}]}),
            "/env",
            json!([{"name": "A", "value": "1"}, {"name": "B", "value": "9"}]),
        ),
        (
            "new env comes first",
            json!({"env": [{"name": "C", "value": "3"}]}),
            "/env",
            json!([{"name": "C", "value": "3"}, {"name": "A", "value": "1"}, {"name": "B", "value": "2"}]),
        ),
        (
            "ports by number",
            json!({"ports": [{"containerPort": 443, "name": "tls"}]}),
            "/ports",
            json!([{"containerPort": 80, "name": "web"}, {"containerPort": 443, "name": "tls"}]),
        ),
        (
            "mounts by path",
            json!({"volumeMounts": [{"mountPath": "/b", "readOnly": true}]}),
            "/volumeMounts",
            json!([{"mountPath": "/a", "name": "v"}, {"mountPath": "/b", "name": "v", "readOnly": true}]),
        ),
        ("args are one value", json!({"args": ["z"]}), "/args", json!(["z"])),
        (
            "item deleted",
            json!({"env": [{"name": "A", "$patch": "delete"}]}),
            "/env",
            json!([{"name": "B", "value": "2"}]),
        ),
        (
            "missing item deleted",
            json!({"env": [{"name": "Q", "$patch": "delete"}]}),
            "/env",
            json!([{"name": "A", "value": "1"}, {"name": "B", "value": "2"}]),
        ),
        (
            "list replaced",
            json!({"env": [{"$patch": "replace"}, {"name": "Z"}]}),
            "/env",
            json!([{"name": "Z"}]),
        ),
        (
            "list emptied",
            json!({"env": [{"$patch": "replace"}]}),
            "/env",
            json!([]),
        ),
        (
            "value gone",
            json!({"env": [{"name": "A", "value": null}]}),
            "/env",
            json!([{"name": "A"}, {"name": "B", "value": "2"}]),
        ),
        (
            "order set",
            json!({"$setElementOrder/env": [{"name": "B"}, {"name": "A"}]}),
            "/env",
            json!([{"name": "B", "value": "2"}, {"name": "A", "value": "1"}]),
        ),
        (
            "order and new item",
            json!({"$setElementOrder/env": [{"name": "A"}, {"name": "C"}], "env": [{"name": "C", "value": "3"}]}),
            "/env",
            json!([{"name": "A", "value": "1"}, {"name": "C", "value": "3"}, {"name": "B", "value": "2"}]),
        ),
        (
            "order and deleted item",
            json!({"$setElementOrder/env": [{"name": "B"}], "env": [{"name": "A", "$patch": "delete"}]}),
            "/env",
            json!([{"name": "B", "value": "2"}]),
        ),
        (
            "new list",
            json!({"volumeDevices": [{"devicePath": "/d", "name": "v"}]}),
            "/volumeDevices",
            json!([{"devicePath": "/d", "name": "v"}]),
        ),
        (
            "directives of a new list are left out",
            json!({"envFrom": [{"$patch": "replace"}, {"prefix": "P"}]}),
            "/envFrom",
            json!([{"prefix": "P"}]),
        ),
    ] {
        let got = container(patch).unwrap_or_else(|error| panic!("{name}: {error}"));
        assert_eq!(got.pointer(path), Some(&wanted), "{name}");
    }
}

#[test]
fn lists_outside_of_containers_merge_by_their_own_key() {
    for (name, patch, path, wanted) in [
        (
            "container deleted",
            json!({"spec": {"containers": [{"name": "d", "$patch": "delete"}]}}),
            "/spec/containers/1",
            None,
        ),
        (
            "container added in front",
            json!({"spec": {"containers": [{"name": "e", "image": "i:3"}]}}),
            "/spec/containers/0",
            Some(json!({"name": "e", "image": "i:3"})),
        ),
        (
            "conditions by type",
            json!({"status": {"conditions": [{"type": "Ready", "status": "True"}]}}),
            "/status/conditions",
            Some(json!([{"type": "Ready", "status": "True"}])),
        ),
        (
            "pod addresses by ip",
            json!({"status": {"podIPs": [{"ip": "10.0.0.2"}]}}),
            "/status/podIPs",
            Some(json!([{"ip": "10.0.0.2"}, {"ip": "10.0.0.1"}])),
        ),
        (
            "owners by uid",
            json!({"metadata": {"ownerReferences": [{"uid": "2", "$patch": "delete"}]}}),
            "/metadata/ownerReferences",
            Some(json!([{"uid": "1", "name": "one"}])),
        ),
        (
            "tolerations are one value",
            json!({"spec": {"tolerations": [{"key": "n"}]}}),
            "/spec/tolerations",
            Some(json!([{"key": "n"}])),
        ),
        (
            "finalizer added",
            json!({"metadata": {"finalizers": ["x/c"]}}),
            "/metadata/finalizers",
            Some(json!(["x/c", "x/a", "x/b"])),
        ),
        (
            "finalizer there already",
            json!({"metadata": {"finalizers": ["x/b"]}}),
            "/metadata/finalizers",
            Some(json!(["x/a", "x/b"])),
        ),
        (
            "finalizer deleted",
            json!({"metadata": {"$deleteFromPrimitiveList/finalizers": ["x/a", "x/q"]}}),
            "/metadata/finalizers",
            Some(json!(["x/b"])),
        ),
        (
            "finalizer swapped",
            json!({"metadata": {"$deleteFromPrimitiveList/finalizers": ["x/a"],
            "$setElementOrder/finalizers": ["x/b", "x/c"], "finalizers": ["x/c"]}}),
            "/metadata/finalizers",
            Some(json!(["x/b", "x/c"])),
        ),
        (
            "finalizers ordered",
            json!({"metadata": {"$setElementOrder/finalizers": ["x/b", "x/a"]}}),
            "/metadata/finalizers",
            Some(json!(["x/b", "x/a"])),
        ),
        (
            "deleting from nothing",
            json!({"spec": {"$deleteFromPrimitiveList/hostAliases": ["x"]}}),
            "/spec/hostAliases",
            None,
        ),
    ] {
        let got = patched(&pod(), &patch).unwrap_or_else(|error| panic!("{name}: {error}"));
        assert_eq!(got.pointer(path), wanted.as_ref(), "{name}");
    }
}

#[test]
fn what_is_wrong_is_refused() {
    for (name, patch, wanted) in [
        (
            "unknown directive in a struct",
            json!({"spec": {"$patch": "frob"}}),
            "unknown patch directive",
        ),
        (
            "unknown directive in an item",
            json!({"spec": {"containers": [{"name": "c", "$patch": "frob"}]}}),
            "unknown patch directive",
        ),
        (
            "directive of a wrong type",
            json!({"spec": {"$patch": 1}}),
            "unknown patch directive",
        ),
        (
            "unknown dollar key",
            json!({"spec": {"$frob/containers": []}}),
            "unknown patch directive $frob/containers",
        ),
        (
            "unknown directive in new parts",
            json!({"spec": {"affinity": {"$patch": "frob"}}}),
            "unknown patch directive",
        ),
        (
            "merge key missing",
            json!({"spec": {"containers": [{"image": "x"}]}}),
            "does not have its merge key name",
        ),
        (
            "merge key missing in a deletion",
            json!({"spec": {"containers": [{"$patch": "delete"}]}}),
            "does not have its merge key",
        ),
        (
            "scalar in a list of structs",
            json!({"spec": {"containers": ["x"]}}),
            "takes objects",
        ),
        (
            "struct in a list of scalars",
            json!({"metadata": {"finalizers": [{"a": 1}]}}),
            "takes scalars",
        ),
        (
            "retain keys forget one",
            json!({"spec": {"$retainKeys": ["volumes"], "nodeName": "n"}}),
            "does not list",
        ),
        (
            "retain keys of a wrong type",
            json!({"spec": {"$retainKeys": "volumes"}}),
            "needs a list",
        ),
        (
            "order of a wrong type",
            json!({"metadata": {"$setElementOrder/finalizers": "x"}}),
            "needs a list",
        ),
        (
            "order that contradicts",
            json!({"metadata": {"$setElementOrder/finalizers": ["x/d", "x/c"], "finalizers": ["x/c", "x/d"]}}),
            "not in the order",
        ),
        (
            "order that forgets",
            json!({"metadata": {"$setElementOrder/finalizers": ["x/a"], "finalizers": ["x/c"]}}),
            "not in the order",
        ),
        (
            "deletion of a wrong type",
            json!({"metadata": {"$deleteFromPrimitiveList/finalizers": "x"}}),
            "needs a list",
        ),
        (
            "deletion from a scalar",
            json!({"metadata": {"$deleteFromPrimitiveList/name": ["x"]}}),
            "is no list",
        ),
        ("no object", json!([1]), "must be a JSON object"),
    ] {
        match patched(&pod(), &patch) {
            Err(PatchError::Malformed(text)) => assert!(text.contains(wanted), "{name}: {text}"),
            other => panic!("{name}: {other:?}"),
        }
    }
}

#[test]
fn without_a_type_lists_are_replaced() {
    let got = strategic_of(
        None,
        &json!({"a": [1, 2], "b": {"c": 1}}),
        &json!({"a": [3], "b": {"d": 2}}),
    );
    assert_eq!(got, Ok(json!({"a": [3], "b": {"c": 1, "d": 2}})));
}
