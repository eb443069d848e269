//! JSON patch (RFC 6902). Bounds what a patch may cost; never panics on one.

use serde_json::{Map, Value};

use super::PatchError;

/// More operations than anyone writes, few enough to be quick; Kubernetes has the same bound.
pub(super) const MAX_OPERATIONS: usize = 10_000;

/// Bytes that all copies and moves of one patch may carry: the size of the largest request body, as Kubernetes bounds
/// it. Without it a few hundred bytes of patch could double an object many times.
const MAX_COPIED_BYTES: usize = 3 << 20;

/// How deep a patched object may nest. As deep as a request body may; deeper values would exhaust the stack.
pub(super) const MAX_DEPTH: usize = 128;

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
pub(super) fn weight(value: &Value) -> (usize, usize) {
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
