//! The part of an object that a field manager owns, by `metadata.managedFields`. Pure.

use serde_json::{Map, Value, json};

/// The name under which we write.
pub const MANAGER: &str = "reconcile";

/// What this manager owns of the object by applying, as FieldsV1; None where it owns nothing.
pub fn applied_by(object: &Value, manager: &str) -> Option<Value> {
    entries(object)
        .filter(|entry| entry["manager"] == manager && entry["operation"] == "Apply" && is_main(entry))
        .map(|entry| entry["fieldsV1"].clone())
        .reduce(|a, b| union(&a, &b))
}

/// The managers other than us that wrote the object itself (not only its status) since we last changed it, the latest
/// first. Times are whole seconds.
pub fn other_managers(object: &Value) -> Vec<String> {
    let ours = entries(object).filter(|entry| entry["manager"] == MANAGER && is_main(entry));
    let ours = ours
        .filter_map(|entry| entry["time"].as_str())
        .max()
        .unwrap_or_default();
    let mut found: Vec<(&str, &str)> = entries(object)
        .filter(|entry| entry["manager"] != MANAGER && is_main(entry))
        .filter_map(|entry| Some((entry["time"].as_str().unwrap_or_default(), entry["manager"].as_str()?)))
        .filter(|(time, _)| *time >= ours)
        .collect();
    found.sort_unstable();
    found.reverse();
    let mut names: Vec<String> = Vec::new();
    for (_, name) in found {
        if !names.iter().any(|known| known == name) {
            names.push(name.to_owned());
        }
    }
    names
}

/// The managers that own less of `after` than of `before`: fields were taken over from them.
pub fn overridden(before: &Value, after: &Value) -> Vec<String> {
    let mut names: Vec<String> = entries(before)
        .filter(|entry| entry["manager"] != MANAGER && is_main(entry))
        .filter(|entry| {
            !entries(after).any(|other| {
                ["manager", "operation", "subresource", "fieldsV1"]
                    .iter()
                    .all(|key| other[key] == entry[key])
            })
        })
        .filter_map(|entry| entry["manager"].as_str().map(str::to_owned))
        .collect();
    names.sort();
    names.dedup();
    names
}

fn entries(object: &Value) -> impl Iterator<Item = &Value> {
    object["metadata"]["managedFields"].as_array().into_iter().flatten()
}

fn is_main(entry: &Value) -> bool {
    entry["subresource"].as_str().unwrap_or_default().is_empty()
}

/// What either set has.
pub fn union(a: &Value, b: &Value) -> Value {
    match (a.as_object(), b.as_object()) {
        (Some(a), Some(b)) if !a.is_empty() && !b.is_empty() => {
            let mut both = a.clone();
            for (key, set) in b {
                let merged = both.get(key).map_or_else(|| set.clone(), |own| union(own, set));
                both.insert(key.clone(), merged);
            }
            Value::Object(both)
        }
        // A leaf means everything below.
        _ => json!({}),
    }
}

/// The fields of `value` that the set names.
pub fn restrict(value: &Value, set: &Value) -> Value {
    let Some(members) = set.as_object().filter(|members| !members.is_empty()) else {
        return value.clone();
    };
    match value {
        Value::Object(fields) => {
            let mut kept = Map::new();
            for (member, below) in members {
                if let Some(name) = member.strip_prefix("f:")
                    && let Some(field) = fields.get(name)
                {
                    kept.insert(name.to_owned(), restrict(field, below));
                }
            }
            Value::Object(kept)
        }
        Value::Array(items) => Value::Array(
            items
                .iter()
                .enumerate()
                .filter_map(|(index, item)| restrict_item(index, item, members))
                .collect(),
        ),
        scalar => scalar.clone(),
    }
}

fn restrict_item(index: usize, item: &Value, members: &Map<String, Value>) -> Option<Value> {
    members.iter().find_map(|(member, below)| {
        let (kind, text) = member.split_once(':')?;
        match kind {
            "k" => {
                let keys: Map<String, Value> = serde_json::from_str(text).ok()?;
                if !keys.iter().all(|(key, value)| item.get(key) == Some(value)) {
                    return None;
                }
                let mut kept = restrict(item, below);
                if let Some(kept) = kept.as_object_mut() {
                    kept.extend(
                        keys.into_iter()
                            .filter(|(key, _)| below.get(format!("f:{key}")).is_some()),
                    );
                }
                Some(kept)
            }
            "v" => (serde_json::from_str::<Value>(text).ok()? == *item).then(|| item.clone()),
            "i" => (text.parse::<usize>().ok()? == index).then(|| restrict(item, below)),
            _ => None,
        }
    })
}

/// The fields of `value` that `shape` has as well, list items paired by position: what a manifest says of a new object.
pub fn shaped_like(value: &Value, shape: &Value) -> Value {
    match (value, shape) {
        (Value::Object(fields), Value::Object(wanted)) => Value::Object(
            fields
                .iter()
                .filter_map(|(name, field)| Some((name.clone(), shaped_like(field, wanted.get(name)?))))
                .collect(),
        ),
        (Value::Array(items), Value::Array(wanted)) => Value::Array(
            items
                .iter()
                .zip(wanted)
                .map(|(item, wanted)| shaped_like(item, wanted))
                .collect(),
        ),
        _ => value.clone(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pod() -> Value {
        json!({
            "metadata": {"name": "web", "labels": {"app": "web", "other": "x"}, "managedFields": [
                {"manager": MANAGER, "operation": "Apply", "time": "2024-01-01T00:00:00Z", "fieldsV1": {
                    "f:metadata": {"f:labels": {"f:app": {}}},
                    "f:spec": {"f:containers": {"k:{\"name\":\"c\"}": {".": {}, "f:name": {}, "f:image": {}, "f:args": {},
                        "f:ports": {"k:{\"containerPort\":80,\"protocol\":\"TCP\"}": {".": {}, "f:containerPort": {}}}}}}}},
                {"manager": "kubectl-edit", "operation": "Update", "time": "2024-01-02T00:00:00Z", "fieldsV1": {"f:metadata": {"f:labels": {"f:other": {}}}}},
                {"manager": "kubelet", "operation": "Update", "subresource": "status", "time": "2024-01-03T00:00:00Z", "fieldsV1": {}},
            ]},
            "spec": {"nodeName": "n", "containers": [
                {"name": "c", "image": "i", "args": ["a"], "imagePullPolicy": "Always", "ports": [{"containerPort": 80, "protocol": "TCP"}]},
                {"name": "injected", "image": "j"},
            ]},
        })
    }

    #[test]
    fn what_is_owned_is_cut_out() {
        let owned = applied_by(&pod(), MANAGER).expect("owned");
        assert_eq!(
            restrict(&pod(), &owned),
            json!({"metadata": {"labels": {"app": "web"}}, "spec": {"containers": [
                {"name": "c", "image": "i", "args": ["a"], "ports": [{"containerPort": 80}]}]}})
        );
    }

    #[test]
    fn others_are_named_by_what_they_wrote() {
        assert_eq!(other_managers(&pod()), ["kubectl-edit"]);
        let mut after = pod();
        assert_eq!(overridden(&pod(), &after), [""; 0]);
        after["metadata"]["managedFields"]
            .as_array_mut()
            .expect("a list")
            .remove(1);
        assert_eq!(overridden(&pod(), &after), ["kubectl-edit"]);
    }

    #[test]
    fn sets_unite() {
        let a = json!({"f:a": {"f:x": {}}, "f:b": {}});
        let b = json!({"f:a": {"f:y": {}}, "f:b": {"f:z": {}}, "f:c": {}});
        assert_eq!(
            union(&a, &b),
            json!({"f:a": {"f:x": {}, "f:y": {}}, "f:b": {}, "f:c": {}})
        );
    }

    #[test]
    fn values_are_in_sets_by_value() {
        let set = json!({"v:\"a\"": {}});
        assert_eq!(restrict(&json!(["a", "b"]), &set), json!(["a"]));
    }

    #[test]
    fn a_new_object_shows_what_its_manifest_says() {
        let created = json!({"a": {"b": 1, "defaulted": 2}, "l": [{"n": 1, "p": "TCP"}, {"added": true}]});
        let manifest = json!({"a": {"b": "1"}, "l": [{"n": 1}]});
        assert_eq!(
            shaped_like(&created, &manifest),
            json!({"a": {"b": 1}, "l": [{"n": 1}]})
        );
    }
}
