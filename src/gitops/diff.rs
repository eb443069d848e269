//! Live against intended as text: only what is or was intended, Secret values masked. Pure; colours are the renderer's.

use serde_json::{Map, Value, json};
use similar::{ChangeTag, TextDiff};

use super::applyset::PART_OF;
use super::fieldset;
use super::report::DiffLine;
use crate::object::prepull;

/// Lines shown around a change.
const CONTEXT: usize = 3;

/// The diff of one object; either side may be missing.
pub fn diff(live: Option<&Value>, predicted: Option<&Value>, manifest: Option<&Value>) -> Vec<DiffLine> {
    let (mut before, mut after) = sides(live, predicted, manifest);
    mask(&mut before, &mut after);
    lines(&text(before.as_ref()), &text(after.as_ref()))
}

/// Both sides, cut down to what the manifest says or said.
fn sides(live: Option<&Value>, predicted: Option<&Value>, manifest: Option<&Value>) -> (Option<Value>, Option<Value>) {
    let owned_before = live.and_then(|live| fieldset::applied_by(live, fieldset::MANAGER));
    let owned_after = predicted.and_then(|predicted| fieldset::applied_by(predicted, fieldset::MANAGER));
    match (live, predicted, owned_after) {
        // An apply was predicted: both ownerships together say what we care about.
        (Some(live), Some(predicted), Some(after)) => {
            let set = owned_before.map_or_else(|| after.clone(), |before| fieldset::union(&before, &after));
            (Some(cut(live, &set)), Some(cut(predicted, &set)))
        }
        _ => {
            let before = live.map(|live| match (&owned_before, manifest) {
                (Some(set), _) => cut(live, set),
                (None, Some(manifest)) => clean(fieldset::shaped_like(live, manifest), live),
                (None, None) => clean(without_noise(live), live),
            });
            let after = match (predicted, manifest) {
                (Some(predicted), Some(manifest)) => Some(clean(fieldset::shaped_like(predicted, manifest), predicted)),
                (None, Some(manifest)) => Some(clean(manifest.clone(), manifest)),
                (predicted, None) => predicted.map(|predicted| clean(without_noise(predicted), predicted)),
            };
            (before, after)
        }
    }
}

fn cut(object: &Value, set: &Value) -> Value {
    clean(fieldset::restrict(object, set), object)
}

/// Puts the identity in and takes our own mark out.
fn clean(mut part: Value, whole: &Value) -> Value {
    if !part.is_object() {
        part = json!({});
    }
    for key in ["apiVersion", "kind"] {
        part[key] = whole[key].clone();
    }
    if !part["metadata"].is_object() {
        part["metadata"] = json!({});
    }
    for key in ["name", "namespace"] {
        if let Some(value) = whole["metadata"].get(key) {
            part["metadata"][key] = value.clone();
        }
    }
    if let Some(labels) = part["metadata"]["labels"].as_object_mut() {
        labels.remove(PART_OF);
        if labels.is_empty()
            && let Some(metadata) = part["metadata"].as_object_mut()
        {
            metadata.remove("labels");
        }
    }
    if let Some(metadata) = part["metadata"].as_object_mut() {
        metadata.retain(|key, value| !(key == "labels" && value.is_null()));
    }
    part
}

/// The object without what the API server keeps for itself, and what we ask a kubelet for.
pub fn without_noise(object: &Value) -> Value {
    let mut object = object.clone();
    if let Some(fields) = object.as_object_mut() {
        fields.remove("status");
    }
    if let Some(metadata) = object.get_mut("metadata").and_then(Value::as_object_mut) {
        for key in [
            "managedFields",
            "resourceVersion",
            "generation",
            "uid",
            "creationTimestamp",
            "selfLink",
        ] {
            metadata.remove(key);
        }
        if let Some(annotations) = metadata.get_mut("annotations").and_then(Value::as_object_mut)
            && annotations.remove(prepull::ANNOTATION).is_some()
            && annotations.is_empty()
        {
            metadata.remove("annotations");
        }
    }
    object
}

/// Hides a Secret's values and still shows which of them change.
fn mask(before: &mut Option<Value>, after: &mut Option<Value>) {
    let is_secret = |side: &Option<Value>| {
        side.as_ref()
            .is_some_and(|side| side["kind"] == "Secret" && side["apiVersion"] == "v1")
    };
    if !is_secret(before) && !is_secret(after) {
        return;
    }
    for field in ["data", "stringData"] {
        let values =
            |side: &Option<Value>| -> Option<Map<String, Value>> { side.as_ref()?.get(field)?.as_object().cloned() };
        let (old, new) = (values(before), values(after));
        let cover = |side: &mut Option<Value>, other: &Option<Map<String, Value>>, mark: &str| {
            let Some(own) = side.as_mut().and_then(|side| side.get_mut(field)) else {
                return;
            };
            let Some(own) = own.as_object_mut() else {
                *own = json!("***");
                return;
            };
            for (name, value) in own.iter_mut() {
                let changed = other
                    .as_ref()
                    .and_then(|other| other.get(name))
                    .is_some_and(|other| other != value);
                *value = if changed {
                    json!(format!("*** ({mark})"))
                } else {
                    json!("***")
                };
            }
        };
        cover(before, &new, "before");
        cover(after, &old, "after");
    }
}

/// YAML with apiVersion, kind and metadata first, as people write it.
fn text(object: Option<&Value>) -> String {
    let Some(object) = object else {
        return String::new();
    };
    // A value that came as JSON can always be written as YAML; should it not, JSON is YAML too.
    let mut text = serde_yaml::to_string(object).unwrap_or_else(|_| object.to_string());
    if !text.ends_with('\n') {
        text.push('\n');
    }
    text
}

fn lines(before: &str, after: &str) -> Vec<DiffLine> {
    let diff = TextDiff::from_lines(before, after);
    let mut lines = Vec::new();
    for hunk in diff.unified_diff().context_radius(CONTEXT).iter_hunks() {
        lines.push(DiffLine::Hunk(hunk.header().to_string().trim_end().to_owned()));
        for change in hunk.iter_changes() {
            let line = change.value().trim_end_matches('\n').to_owned();
            lines.push(match change.tag() {
                ChangeTag::Equal => DiffLine::Context(line),
                ChangeTag::Delete => DiffLine::Removed(line),
                ChangeTag::Insert => DiffLine::Added(line),
            });
        }
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    fn show(lines: &[DiffLine]) -> String {
        lines
            .iter()
            .map(|line| match line {
                DiffLine::Hunk(text) => format!("{text}\n"),
                DiffLine::Context(text) => format!(" {text}\n"),
                DiffLine::Removed(text) => format!("-{text}\n"),
                DiffLine::Added(text) => format!("+{text}\n"),
            })
            .collect()
    }

    fn applied(mut object: Value, set: Value) -> Value {
        object["metadata"]["managedFields"] = json!([{"manager": "reconcile", "operation": "Apply", "fieldsV1": set}]);
        object
    }

    #[test]
    fn defaulted_fields_are_left_out_and_dropped_ones_shown() {
        let live = applied(
            json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "a", "uid": "u", "labels": {"x": "1", "y": "2"}}, "spec": {"dnsPolicy": "ClusterFirst", "containers": [{"name": "c", "image": "i:1"}]}, "status": {"phase": "Running"}}),
            json!({"f:metadata": {"f:labels": {"f:x": {}, "f:y": {}}}, "f:spec": {"f:containers": {"k:{\"name\":\"c\"}": {".": {}, "f:image": {}, "f:name": {}}}}}),
        );
        let predicted = applied(
            json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "a", "labels": {"x": "1"}}, "spec": {"dnsPolicy": "ClusterFirst", "containers": [{"name": "c", "image": "i:2"}]}}),
            json!({"f:metadata": {"f:labels": {"f:x": {}}}, "f:spec": {"f:containers": {"k:{\"name\":\"c\"}": {".": {}, "f:image": {}, "f:name": {}}}}}),
        );
        insta::assert_snapshot!(show(&diff(Some(&live), Some(&predicted), None)), @r"
        @@ -3,9 +3,8 @@
         metadata:
           labels:
             x: '1'
        -    y: '2'
           name: a
         spec:
           containers:
        -  - image: i:1
        +  - image: i:2
             name: c
        ");
    }

    #[test]
    fn secrets_are_masked_and_their_changes_seen() {
        let secret =
            |data: Value| json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "s"}, "data": data});
        let set = json!({"f:data": {"f:a": {}, "f:b": {}, "f:c": {}}});
        let live = applied(secret(json!({"a": "MQ==", "b": "Mg=="})), set.clone());
        let predicted = applied(secret(json!({"a": "MQ==", "b": "NEW=", "c": "Mw=="})), set);
        insta::assert_snapshot!(show(&diff(Some(&live), Some(&predicted), None)), @r"
        @@ -1,7 +1,8 @@
         apiVersion: v1
         data:
           a: '***'
        -  b: '*** (before)'
        +  b: '*** (after)'
        +  c: '***'
         kind: Secret
         metadata:
           name: s
        ");
    }

    #[test]
    fn new_and_leaving_objects_are_shown_whole() {
        let manifest = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a", "labels": {PART_OF: "x"}}, "data": {"k": "v"}});
        insta::assert_snapshot!(show(&diff(None, None, Some(&manifest))), @r"
        @@ -0,0 +1,6 @@
        +apiVersion: v1
        +data:
        +  k: v
        +kind: ConfigMap
        +metadata:
        +  name: a
        ");
        let live = applied(manifest, json!({"f:data": {"f:k": {}}}));
        assert_eq!(diff(Some(&live), None, None).len(), 7);
    }
}
