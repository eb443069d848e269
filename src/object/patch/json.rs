//! JSON patch (RFC 6902). Bounds what a patch may cost; never panics on one.

use serde_json::{Map, Value};

use super::PatchError;

/// More operations than anyone writes, few enough to be quick; Kubernetes has the same bound.
const MAX_OPERATIONS: usize = 10_000;

/// Bytes that all copies and moves of one patch may carry: the size of the largest request body, as Kubernetes bounds
/// it. Without it a few hundred bytes of patch could double an object many times.
const MAX_COPIED_BYTES: usize = 3 << 20;

/// How deep a patched object may nest. As deep as a request body may; deeper values would exhaust the stack.
const MAX_DEPTH: usize = 128;

/// Applies every operation in turn, or none.
pub(super) fn apply(object: &Value, patch: &Value) -> Result<Value, PatchError> {
    let operations = patch
        .as_array()
        .ok_or_else(|| PatchError::Malformed("a JSON patch must be a list of operations".into()))?;
    if operations.len() > MAX_OPERATIONS {
        return Err(PatchError::Malformed(format!(
            "the patch has {} operations, at most {MAX_OPERATIONS} are allowed",
            operations.len()
        )));
    }
    let mut patched = Patched {
        root: object.clone(),
        copied: 0,
    };
    for (index, operation) in operations.iter().enumerate() {
        let operation = operation
            .as_object()
            .ok_or_else(|| PatchError::Malformed(format!("operation {index} of the patch must be a JSON object")))?;
        patched
            .step(operation)
            .map_err(|reason| PatchError::Unprocessable(format!("operation {index}: {reason}")))?;
    }
    Ok(patched.root)
}

/// The object between two operations.
struct Patched {
    root: Value,
    copied: usize,
}

impl Patched {
    fn step(&mut self, operation: &Map<String, Value>) -> Result<(), String> {
        let path = pointer(operation, "path")?;
        // Kubernetes takes a value left out as null.
        let value = || operation.get("value").cloned().unwrap_or(Value::Null);
        match operation.get("op").and_then(Value::as_str) {
            Some("add") => self.add(&path, value()),
            Some("remove") => self.take(&path).map(drop),
            Some("replace") => {
                let value = fitting(&path, value())?;
                *find_mut(&mut self.root, &path)? = value;
                Ok(())
            }
            Some("move") => {
                let from = pointer(operation, "from")?;
                if path.len() > from.len() && path.starts_with(&from) {
                    return Err(format!("{} cannot move into itself", shown(&from)));
                }
                let value = self.take(&from)?;
                self.copied = carried(self.copied, &value)?;
                self.add(&path, value)
            }
            Some("copy") => {
                let value = find(&self.root, &pointer(operation, "from")?)?;
                self.copied = carried(self.copied, value)?;
                let value = value.clone();
                self.add(&path, value)
            }
            Some("test") if equal(find(&self.root, &path)?, &value()) => Ok(()),
            Some("test") => Err(format!("the test of {} failed", shown(&path))),
            Some(other) => Err(format!("unknown op {other:?}")),
            None => Err("op is missing or no string".into()),
        }
    }

    fn add(&mut self, path: &[String], value: Value) -> Result<(), String> {
        let value = fitting(path, value)?;
        let Some((last, parent)) = path.split_last() else {
            self.root = value;
            return Ok(());
        };
        match find_mut(&mut self.root, parent)? {
            Value::Object(fields) => {
                fields.insert(last.clone(), value);
            }
            Value::Array(items) => {
                let index = if last == "-" {
                    items.len()
                } else {
                    position(last, items.len() + 1, path)?
                };
                items.insert(index, value);
            }
            _ => return Err(format!("{} has no parts", shown(parent))),
        }
        Ok(())
    }

    fn take(&mut self, path: &[String]) -> Result<Value, String> {
        let Some((last, parent)) = path.split_last() else {
            return Err("the whole object cannot be removed".into());
        };
        match find_mut(&mut self.root, parent)? {
            Value::Object(fields) => fields.remove(last).ok_or_else(|| missing(path)),
            Value::Array(items) => Ok(items.remove(position(last, items.len(), path)?)),
            _ => Err(missing(path)),
        }
    }
}

/// The steps of the JSON pointer under `key`.
fn pointer(operation: &Map<String, Value>, key: &str) -> Result<Vec<String>, String> {
    let text = operation
        .get(key)
        .and_then(Value::as_str)
        .ok_or_else(|| format!("{key} is missing or no string"))?;
    if text.is_empty() {
        return Ok(Vec::new());
    }
    let steps = text
        .strip_prefix('/')
        .ok_or_else(|| format!("{key} {text:?} must start with a slash"))?;
    let steps: Vec<String> = steps
        .split('/')
        .map(|step| step.replace("~1", "/").replace("~0", "~"))
        .collect();
    if steps.len() > MAX_DEPTH {
        return Err(format!("{key} is more than {MAX_DEPTH} levels deep"));
    }
    Ok(steps)
}

fn shown(path: &[String]) -> String {
    path.iter()
        .map(|step| format!("/{}", step.replace('~', "~0").replace('/', "~1")))
        .collect()
}

fn missing(path: &[String]) -> String {
    format!("{} does not exist", shown(path))
}

/// A list index below `end`; digits only, no leading zero, as the RFC has it.
fn position(text: &str, end: usize, path: &[String]) -> Result<usize, String> {
    let is_index = text.bytes().all(|byte| byte.is_ascii_digit()) && (text == "0" || !text.starts_with('0'));
    match text.parse::<usize>() {
        Ok(index) if is_index && index < end => Ok(index),
        Ok(_) if is_index => Err(format!("{} is behind the end of its list", shown(path))),
        _ => Err(format!("{}: {text:?} is no list index", shown(path))),
    }
}

fn find<'a>(root: &'a Value, path: &[String]) -> Result<&'a Value, String> {
    path.iter().enumerate().try_fold(root, |at, (depth, step)| match at {
        Value::Object(fields) => fields.get(step).ok_or_else(|| missing(&path[..=depth])),
        Value::Array(items) => Ok(&items[position(step, items.len(), &path[..=depth])?]),
        _ => Err(missing(&path[..=depth])),
    })
}

fn find_mut<'a>(root: &'a mut Value, path: &[String]) -> Result<&'a mut Value, String> {
    path.iter().enumerate().try_fold(root, |at, (depth, step)| match at {
        Value::Object(fields) => fields.get_mut(step).ok_or_else(|| missing(&path[..=depth])),
        Value::Array(items) => {
            let index = position(step, items.len(), &path[..=depth])?;
            Ok(&mut items[index])
        }
        _ => Err(missing(&path[..=depth])),
    })
}

/// The value, unless it would nest too deep at that path.
fn fitting(path: &[String], value: Value) -> Result<Value, String> {
    if path.len() + weight(&value).1 > MAX_DEPTH {
        return Err(format!("the object would nest more than {MAX_DEPTH} levels deep"));
    }
    Ok(value)
}

/// What has been copied so far and with this value.
fn carried(so_far: usize, value: &Value) -> Result<usize, String> {
    let sum = so_far + weight(value).0;
    if sum > MAX_COPIED_BYTES {
        return Err(format!("the patch copies or moves more than {MAX_COPIED_BYTES} bytes"));
    }
    Ok(sum)
}

/// Roughly a value's bytes, and its depth.
fn weight(value: &Value) -> (usize, usize) {
    let sum =
        |(bytes, depth): (usize, usize), (more, deeper): (usize, usize)| (bytes + more + 1, depth.max(deeper + 1));
    match value {
        Value::Object(fields) => fields.iter().fold((2, 1), |so_far, (key, value)| {
            let (bytes, depth) = weight(value);
            sum(so_far, (bytes + key.len() + 3, depth))
        }),
        Value::Array(items) => items.iter().map(weight).fold((2, 1), sum),
        Value::String(text) => (text.len() + 2, 0),
        _ => (4, 0),
    }
}

/// Equality as the RFC has it: numbers by value.
fn equal(left: &Value, right: &Value) -> bool {
    match (left, right) {
        (Value::Number(a), Value::Number(b)) => a == b || a.as_f64().is_some_and(|a| Some(a) == b.as_f64()),
        (Value::Array(a), Value::Array(b)) => a.len() == b.len() && a.iter().zip(b).all(|(a, b)| equal(a, b)),
        (Value::Object(a), Value::Object(b)) => {
            a.len() == b.len() && a.iter().all(|(key, a)| b.get(key).is_some_and(|b| equal(a, b)))
        }
        _ => left == right,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    fn object() -> Value {
        json!({"a": {"b": [1, 2, 3], "c/d": "x", "e~f": "y", "g": null}, "h": "i"})
    }

    #[test]
    fn operations_do_what_the_rfc_says() {
        for (name, patch, path, wanted) in [
            (
                "add a field",
                json!([{"op": "add", "path": "/a/n", "value": 1}]),
                "/a/n",
                json!(1),
            ),
            (
                "add replaces",
                json!([{"op": "add", "path": "/h", "value": 1}]),
                "/h",
                json!(1),
            ),
            (
                "add inserts",
                json!([{"op": "add", "path": "/a/b/1", "value": 9}]),
                "/a/b",
                json!([1, 9, 2, 3]),
            ),
            (
                "add appends",
                json!([{"op": "add", "path": "/a/b/-", "value": 9}]),
                "/a/b",
                json!([1, 2, 3, 9]),
            ),
            (
                "add at the end",
                json!([{"op": "add", "path": "/a/b/3", "value": 9}]),
                "/a/b",
                json!([1, 2, 3, 9]),
            ),
            (
                "add without value",
                json!([{"op": "add", "path": "/h"}]),
                "/h",
                json!(null),
            ),
            (
                "add the whole",
                json!([{"op": "add", "path": "", "value": {"z": 1}}]),
                "",
                json!({"z": 1}),
            ),
            (
                "remove",
                json!([{"op": "remove", "path": "/a/b/0"}]),
                "/a/b",
                json!([2, 3]),
            ),
            (
                "replace",
                json!([{"op": "replace", "path": "/a/b/0", "value": "z"}]),
                "/a/b/0",
                json!("z"),
            ),
            (
                "move",
                json!([{"op": "move", "from": "/h", "path": "/a/b/0"}]),
                "/a/b",
                json!(["i", 1, 2, 3]),
            ),
            (
                "move onto itself",
                json!([{"op": "move", "from": "/h", "path": "/h"}]),
                "/h",
                json!("i"),
            ),
            (
                "copy",
                json!([{"op": "copy", "from": "/a/b", "path": "/k"}]),
                "/k",
                json!([1, 2, 3]),
            ),
            (
                "slash",
                json!([{"op": "replace", "path": "/a/c~1d", "value": 1}]),
                "/a/c~1d",
                json!(1),
            ),
            (
                "tilde",
                json!([{"op": "replace", "path": "/a/e~0f", "value": 1}]),
                "/a/e~0f",
                json!(1),
            ),
            (
                "test of equal numbers",
                json!([{"op": "test", "path": "/a/b/0", "value": 1.0}]),
                "/h",
                json!("i"),
            ),
            (
                "test of null",
                json!([{"op": "test", "path": "/a/g", "value": null}]),
                "/h",
                json!("i"),
            ),
        ] {
            let patched = apply(&object(), &patch).unwrap_or_else(|error| panic!("{name}: {error}"));
            assert_eq!(patched.pointer(path), Some(&wanted), "{name}");
        }
    }

    #[test]
    fn what_does_not_fit_is_refused_and_named() {
        for (name, patch, wanted) in [
            (
                "index behind the end",
                json!([{"op": "remove", "path": "/a/b/3"}]),
                "behind the end",
            ),
            (
                "add behind the end",
                json!([{"op": "add", "path": "/a/b/4", "value": 1}]),
                "behind the end",
            ),
            (
                "negative index",
                json!([{"op": "remove", "path": "/a/b/-1"}]),
                "no list index",
            ),
            (
                "leading zero",
                json!([{"op": "remove", "path": "/a/b/01"}]),
                "no list index",
            ),
            (
                "word as index",
                json!([{"op": "remove", "path": "/a/b/x"}]),
                "no list index",
            ),
            (
                "empty index",
                json!([{"op": "remove", "path": "/a/b/"}]),
                "no list index",
            ),
            (
                "huge index",
                json!([{"op": "remove", "path": "/a/b/99999999999999999999"}]),
                "no list index",
            ),
            (
                "dash removes nothing",
                json!([{"op": "remove", "path": "/a/b/-"}]),
                "no list index",
            ),
            (
                "missing field",
                json!([{"op": "remove", "path": "/z"}]),
                "/z does not exist",
            ),
            (
                "missing parent",
                json!([{"op": "add", "path": "/z/y", "value": 1}]),
                "/z does not exist",
            ),
            (
                "replace of missing",
                json!([{"op": "replace", "path": "/z", "value": 1}]),
                "does not exist",
            ),
            (
                "into a string",
                json!([{"op": "add", "path": "/h/i", "value": 1}]),
                "no parts",
            ),
            ("remove all", json!([{"op": "remove", "path": ""}]), "cannot be removed"),
            (
                "move into itself",
                json!([{"op": "move", "from": "/a", "path": "/a/b/0"}]),
                "into itself",
            ),
            (
                "test fails",
                json!([{"op": "test", "path": "/h", "value": "j"}]),
                "the test of /h failed",
            ),
            (
                "test of missing",
                json!([{"op": "test", "path": "/z", "value": 1}]),
                "does not exist",
            ),
            (
                "no slash",
                json!([{"op": "remove", "path": "h"}]),
                "must start with a slash",
            ),
            ("no path", json!([{"op": "remove"}]), "path is missing"),
            ("no from", json!([{"op": "copy", "path": "/h"}]), "from is missing"),
            (
                "unknown op",
                json!([{"op": "frob", "path": "/h"}]),
                "unknown op \"frob\"",
            ),
            ("no op", json!([{"path": "/h"}]), "op is missing"),
            (
                "number as op",
                json!([{"op": 1, "path": "/h"}]),
                "op is missing or no string",
            ),
        ] {
            match apply(&object(), &patch) {
                Err(PatchError::Unprocessable(text)) => assert!(text.contains(wanted), "{name}: {text}"),
                other => panic!("{name}: {other:?}"),
            }
        }
    }

    #[test]
    fn what_is_no_patch_is_malformed() {
        let many: Vec<Value> = (0..=MAX_OPERATIONS)
            .map(|_| json!({"op": "test", "path": "/h", "value": "i"}))
            .collect();
        for (name, patch) in [
            ("object", json!({})),
            ("list of strings", json!(["x"])),
            ("null", json!(null)),
            ("too many operations", Value::Array(many)),
        ] {
            assert!(
                matches!(apply(&object(), &patch), Err(PatchError::Malformed(_))),
                "{name}"
            );
        }
    }

    #[test]
    fn a_patch_cannot_blow_an_object_up() {
        let doubling: Vec<Value> = (0..64)
            .map(|index| json!({"op": "copy", "from": "", "path": format!("/x{index}")}))
            .collect();
        let deepening: Vec<Value> = (0..9_000)
            .map(|_| json!({"op": "copy", "from": "/a", "path": "/a/g"}))
            .collect();
        for (name, patch) in [("wider", doubling), ("deeper", deepening)] {
            assert!(
                matches!(
                    apply(&object(), &Value::Array(patch)),
                    Err(PatchError::Unprocessable(_))
                ),
                "{name}"
            );
        }
    }

    #[test]
    fn a_failing_operation_undoes_those_before_it() {
        let before = object();
        let patch = json!([{"op": "remove", "path": "/h"}, {"op": "test", "path": "/h", "value": 1}]);
        assert!(apply(&before, &patch).is_err());
        assert_eq!(before, object());
    }

    proptest! {
        #[test]
        fn no_patch_panics(op in "add|remove|replace|move|copy|test|x", path in "(/(a|b|0|-|9|~1|~)){0,4}", from in "(/[ab0-]){0,3}") {
            let patch = json!([{"op": op, "path": path, "from": from, "value": [1]}]);
            if let Ok(patched) = apply(&object(), &patch) {
                prop_assert!(weight(&patched).1 <= MAX_DEPTH);
            }
        }
    }
}
