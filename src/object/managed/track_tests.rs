//! Who owns what after creates, updates and applies, a named row each behaviour.

use serde_json::{Value, json};

use super::Writer;
use super::test_support::*;

#[test]
fn an_apply_owns_what_it_names() {
    let object = all_applied(&[(
        "one",
        containers(json!([
        {"name": "c", "image": "i", "args": ["x"], "env": [{"name": "A", "value": "1"}],
         "ports": [{"containerPort": 53, "protocol": "UDP"}, {"containerPort": 53}],
         "resources": {"limits": {"cpu": "1"}, "requests": {}},
         "env": [{"name": "K", "valueFrom": {"secretKeyRef": {"name": "s", "key": "k"}}}]}])),
    )]);
    assert_eq!(
        owned(&object, "one"),
        json!({"f:spec": {"f:containers": {"k:{\"name\":\"c\"}": {
            ".": {}, "f:name": {}, "f:image": {}, "f:args": {},
            "f:env": {"k:{\"name\":\"K\"}": {".": {}, "f:name": {}, "f:valueFrom": {"f:secretKeyRef": {}}}},
            "f:ports": {
                "k:{\"containerPort\":53,\"protocol\":\"UDP\"}": {".": {}, "f:containerPort": {}, "f:protocol": {}},
                "k:{\"containerPort\":53,\"protocol\":\"TCP\"}": {".": {}, "f:containerPort": {}},
            },
            "f:resources": {"f:limits": {"f:cpu": {}}, "f:requests": {}},
        }}}})
    );
}

#[test]
fn labels_sets_and_atomic_values_are_owned_each_in_its_way() {
    let mut config = config(json!({"nodeSelector": {"a": "b"}, "tolerations": [{"key": "k"}]}));
    config["metadata"]["labels"] = json!({"a": "1"});
    config["metadata"]["finalizers"] = json!(["x/a"]);
    config["metadata"]["ownerReferences"] = json!([{"uid": "u", "name": "n"}]);
    assert_eq!(
        owned(&all_applied(&[("one", config)]), "one"),
        json!({
            "f:metadata": {"f:labels": {"f:a": {}}, "f:finalizers": {"v:\"x/a\"": {}},
                           "f:ownerReferences": {"k:{\"uid\":\"u\"}": {}}},
            "f:spec": {"f:nodeSelector": {}, "f:tolerations": {}},
        })
    );
}

#[test]
fn an_update_owns_what_it_changes() {
    let object = created(
        json!({"apiVersion": "v1", "kind": "Pod",
               "metadata": {"name": "p", "uid": "u", "creationTimestamp": NOW, "labels": {"a": "1"}},
               "spec": {"containers": [{"name": "c", "image": "i", "resources": {}, "env": [{"name": "A", "value": "1"}]}],
                        "securityContext": {}},
               "status": {"phase": "Pending"}}),
        "creator",
    );
    assert_eq!(
        owned(&object, "creator"),
        json!({
            "f:metadata": {"f:labels": {".": {}, "f:a": {}}},
            "f:spec": {
                "f:containers": {"k:{\"name\":\"c\"}": {
                    ".": {}, "f:name": {}, "f:image": {}, "f:resources": {},
                    "f:env": {".": {}, "k:{\"name\":\"A\"}": {".": {}, "f:name": {}, "f:value": {}}},
                }},
                "f:securityContext": {},
            },
        })
    );
    let object = updated(
        &object,
        |new| new["spec"]["containers"][0]["image"] = json!("j"),
        "setter",
    );
    assert_eq!(
        owned(&object, "setter"),
        json!({"f:spec": {"f:containers": {"k:{\"name\":\"c\"}": {"f:image": {}}}}})
    );
    assert!(!owned(&object, "creator").to_string().contains("f:image"));
    let object = updated(
        &object,
        |new| {
            new["metadata"].as_object_mut().unwrap().remove("labels");
        },
        "setter",
    );
    assert_eq!(owned(&object, "creator").get("f:metadata"), None);
}

#[test]
fn what_nobody_changes_keeps_its_entries_and_times() {
    let live = created(containers(json!([{"name": "c", "image": "i"}])), "creator");
    assert_eq!(updated(&live, |_| {}, "other"), live);
    let once = all_applied(&[("one", containers(json!([{"name": "c", "image": "i"}])))]);
    let again = applied(
        Some(&once),
        &containers(json!([{"name": "c", "image": "i"}])),
        false,
        by("one", LATER),
    )
    .unwrap();
    assert_eq!(again, once);
}

#[test]
fn a_client_may_rewrite_entries() {
    // What kubectl 1.26 and later send before their first server-side apply: the update's entry made an apply's.
    let live = created(
        containers(json!([{"name": "c", "image": "i", "stdin": true}])),
        "kubectl-client-side-apply",
    );
    let migrated = updated(
        &live,
        |new| {
            let entry = &mut new["metadata"]["managedFields"][0];
            entry["manager"] = json!("kubectl");
            entry["operation"] = json!("Apply");
        },
        "kubectl",
    );
    let object = applied(
        Some(&migrated),
        &containers(json!([{"name": "c", "image": "i"}])),
        false,
        by("kubectl", NOW),
    )
    .unwrap();
    assert_eq!(object["spec"]["containers"], json!([{"name": "c", "image": "i"}]));
    assert_eq!(object["metadata"]["managedFields"].as_array().unwrap().len(), 1);
    let kept = updated(&live, |new| new["metadata"]["managedFields"] = json!([]), "other");
    assert_eq!(kept, live, "an empty list is no request to forget");
    let kept = updated(
        &live,
        |new| new["metadata"]["managedFields"] = json!([{"manager": "x"}]),
        "other",
    );
    assert_eq!(kept, live, "a malformed one neither");
    let reset = updated(&live, |new| new["metadata"]["managedFields"] = json!([{}]), "other");
    assert_eq!(reset["metadata"].get("managedFields"), None);
}

#[test]
fn parts_of_the_api_own_their_part() {
    let live = created(containers(json!([{"name": "c", "image": "i"}])), "creator");
    let mut new = live.clone();
    new["status"] = json!({"phase": "Running", "conditions": [{"type": "Ready", "status": "True"}]});
    new["metadata"]["managedFields"] = json!([{}]);
    pods().track(
        Some(&live),
        &mut new,
        Writer {
            manager: "kubelet",
            subresource: "status",
            now: NOW,
        },
    );
    assert_eq!(
        owned(&new, "kubelet"),
        json!({"f:status": {"f:phase": {}, "f:conditions": {
            ".": {}, "k:{\"type\":\"Ready\"}": {".": {}, "f:type": {}, "f:status": {}}}}})
    );
    assert_ne!(
        owned(&new, "creator"),
        Value::Null,
        "a status write cannot rewrite entries"
    );
    let mut config = containers(json!([{"name": "c", "image": "i"}]));
    config["status"] = json!({"phase": "Failed"});
    let object = applied(Some(&new), &config, false, by("one", NOW)).unwrap();
    assert_eq!(object["status"]["phase"], "Running");
    assert_eq!(owned(&object, "one").get("f:status"), None);
}

#[test]
fn the_oldest_updates_are_folded_together() {
    let mut object = created(json!({"metadata": {"name": "p", "labels": {"l": "0"}}}), "creator");
    for index in 0..30 {
        let mut new = object.clone();
        new["metadata"]["labels"][format!("l{index}")] = json!("1");
        let (manager, now) = (format!("m{index}"), format!("2026-01-01T00:00:{index:02}Z"));
        pods().track(Some(&object), &mut new, by(&manager, &now));
        object = new;
    }
    let entries = object["metadata"]["managedFields"].as_array().unwrap();
    assert_eq!(entries.len(), 10);
    let ancient: Vec<_> = entries
        .iter()
        .filter(|entry| entry["manager"] == "ancient-changes")
        .collect();
    assert_eq!(ancient.len(), 1);
    assert_eq!(
        ancient[0]["fieldsV1"]["f:metadata"]["f:labels"]
            .as_object()
            .unwrap()
            .len(),
        23
    );
    assert_eq!(entries.last().unwrap()["manager"], "m29");
}
