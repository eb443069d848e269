//! What clients read in the documents.

use std::collections::BTreeSet;

use serde_json::Value;

use super::*;

/// Every `$ref` in a document.
fn references(json: &Value, found: &mut BTreeSet<String>) {
    match json {
        Value::Object(fields) => {
            for (key, value) in fields {
                match value {
                    Value::String(target) if key == "$ref" => {
                        found.insert(target.clone());
                    }
                    other => references(other, found),
                }
            }
        }
        Value::Array(items) => items.iter().for_each(|item| references(item, found)),
        _ => {}
    }
}

fn v3_documents() -> Vec<Value> {
    let groups: BTreeSet<(&str, &str)> = Kind::all().iter().map(|kind| (kind.group, kind.version)).collect();
    groups.into_iter().map(|(group, version)| v3(group, version)).collect()
}

#[test]
fn every_reference_leads_somewhere() {
    for document in v3_documents().into_iter().chain([v2()]) {
        let mut found = BTreeSet::new();
        references(&document, &mut found);
        assert!(found.len() > 10);
        for target in found {
            assert!(document.pointer(target.trim_start_matches('#')).is_some(), "{target}");
        }
    }
}

#[test]
fn every_kind_has_its_patch_operation() {
    for document in v3_documents().iter().chain([&v2()]) {
        for (path, item) in document["paths"].as_object().unwrap() {
            let Some(patch) = item.get("patch") else { continue };
            let kind = &patch["x-kubernetes-group-version-kind"];
            assert!(kind["kind"].is_string(), "{path}");
            assert_eq!(patch["x-kubernetes-action"], "patch", "{path}");
            let parameters = patch["parameters"].as_array().unwrap();
            for wanted in ["dryRun", "fieldManager", "fieldValidation", "force"] {
                assert!(
                    parameters.iter().any(|parameter| parameter["name"] == wanted),
                    "{path} {wanted}"
                );
            }
        }
    }
    for kind in Kind::all() {
        let document = v3(kind.group, kind.version);
        let has = |path: &&String| {
            let is_item = path.ends_with(&format!("/{}/{{name}}", kind.plural));
            is_item && path.contains("{namespace}") == kind.namespaced
        };
        assert_eq!(
            document["paths"].as_object().unwrap().keys().filter(has).count(),
            1,
            "{}",
            kind.kind
        );
    }
}

#[test]
fn operations_are_told_apart() {
    let document = v2();
    let mut ids = BTreeSet::new();
    for item in document["paths"].as_object().unwrap().values() {
        for operation in item
            .as_object()
            .unwrap()
            .values()
            .filter(|operation| operation.is_object())
        {
            assert!(
                ids.insert(operation["operationId"].as_str().unwrap().to_owned()),
                "{operation:.60}"
            );
        }
    }
    assert!(
        ids.contains("patchCoreV1NamespacedPodStatus") && ids.contains("listCoreV1PodForAllNamespaces"),
        "{ids:?}"
    );
}

#[test]
fn definitions_look_as_kubernetes_publishes_them() {
    let (v2, v3) = (v2(), v3("", "v1"));
    let (old, new) = (&v2["definitions"], &v3["components"]["schemas"]);
    let kind = serde_json::json!([{"group": "", "kind": "Pod", "version": "v1"}]);
    for definitions in [old, new] {
        let pod = &definitions["io.k8s.api.core.v1.Pod"];
        assert_eq!(pod["x-kubernetes-group-version-kind"], kind);
        assert!(!pod["required"].to_string().contains("metadata"));
        let containers = &definitions["io.k8s.api.core.v1.PodSpec"]["properties"]["containers"];
        assert_eq!(containers["x-kubernetes-patch-merge-key"], "name");
        assert_eq!(containers["x-kubernetes-patch-strategy"], "merge");
        assert_eq!(containers["x-kubernetes-list-type"], "map");
        let volumes = &definitions["io.k8s.api.core.v1.PodSpec"]["properties"]["volumes"];
        assert_eq!(volumes["x-kubernetes-patch-strategy"], "merge,retainKeys");
        let selector = &definitions["io.k8s.apimachinery.pkg.apis.meta.v1.LabelSelector"];
        assert_eq!(selector["x-kubernetes-map-type"], "atomic");
        assert!(definitions["io.k8s.api.core.v1.PodList"].is_object());
    }
    let quantity = "io.k8s.apimachinery.pkg.api.resource.Quantity";
    let int_or_string = "io.k8s.apimachinery.pkg.util.intstr.IntOrString";
    assert_eq!(old[quantity]["type"], "string");
    assert_eq!(old[int_or_string]["format"], "int-or-string");
    assert!(new[quantity]["oneOf"].is_array() && new[int_or_string]["oneOf"].is_array());
    let spec = &old["io.k8s.api.core.v1.Pod"]["properties"]["spec"];
    assert!(spec["$ref"] == "#/definitions/io.k8s.api.core.v1.PodSpec" && spec["description"].is_string());
    let spec = &new["io.k8s.api.core.v1.Pod"]["properties"]["spec"];
    assert_eq!(
        spec["allOf"][0]["$ref"],
        "#/components/schemas/io.k8s.api.core.v1.PodSpec"
    );
    assert_eq!(spec["default"], serde_json::json!({}));
}

#[test]
fn what_is_not_served_has_no_document() {
    assert_eq!(v3("nope", "v1"), Value::Null);
    assert!(
        !v2().to_string().contains("io.k8s.api.apps"),
        "kinds that are not served are left out"
    );
}

#[test]
fn the_protobuf_is_the_document() {
    // The Swagger version is field 1 of the document: tag 0x0a, length 3.
    let bytes = v2_protobuf();
    assert!(bytes.starts_with(b"\x0a\x032.0"));
    // gnostic keeps extensions as the YAML of their values, field 2 of its Any behind their name, field 1.
    let extension = b"\x0a\x1cx-kubernetes-patch-merge-key\x12\x09\x12\x07\"name\"\n";
    assert!(bytes.windows(extension.len()).any(|window| window == extension));
}
