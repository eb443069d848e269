//! Sets of fields, as `FieldsV1` writes them: `f:name`, `k:{"key":1}`, `v:"item"`. Never looks at objects.

use std::collections::BTreeMap;
use std::fmt::Write;

use serde_json::{Map, Value};

/// A set of paths into an object. A node is a path; it may be in the set itself, and have further paths below it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct FieldSet {
    /// Whether the path that leads here is itself in the set.
    pub owned: bool,
    children: BTreeMap<String, FieldSet>,
}

/// How deep a set may nest; as deep as a request body may.
const MAX_DEPTH: usize = 128;

impl FieldSet {
    /// The set of just the path that leads here.
    pub(crate) fn leaf() -> Self {
        Self {
            owned: true,
            children: BTreeMap::new(),
        }
    }

    /// Whether no path is in it.
    pub(crate) fn is_empty(&self) -> bool {
        !self.owned && self.children.is_empty()
    }

    /// Whether paths below this one are in it.
    pub(crate) fn has_children(&self) -> bool {
        !self.children.is_empty()
    }

    /// The steps below this path, each with its set.
    pub(crate) fn children(&self) -> impl Iterator<Item = (&str, &Self)> {
        self.children.iter().map(|(step, below)| (step.as_str(), below))
    }

    /// What is in it below that step.
    pub(crate) fn child(&self, step: &str) -> Option<&Self> {
        self.children.get(step)
    }

    /// Puts a set below that step; an empty one leaves no trace.
    pub(crate) fn attach(&mut self, step: impl FnOnce() -> String, below: Self) {
        if !below.is_empty() {
            self.children.insert(step(), below);
        }
    }

    /// Takes out everything below that step, and the step.
    pub(crate) fn remove_tree(&mut self, step: &str) {
        self.children.remove(step);
    }

    /// Adds the paths of the other.
    pub(crate) fn unite(&mut self, other: &Self) {
        self.owned |= other.owned;
        for (step, theirs) in &other.children {
            match self.children.get_mut(step) {
                Some(ours) => ours.unite(theirs),
                None => {
                    self.children.insert(step.clone(), theirs.clone());
                }
            }
        }
    }

    /// Takes out the paths of the other, but not what lies below them.
    pub(crate) fn subtract(&mut self, other: &Self) {
        self.owned &= !other.owned;
        for (step, theirs) in &other.children {
            if let Some(ours) = self.children.get_mut(step) {
                ours.subtract(theirs);
                if ours.is_empty() {
                    self.children.remove(step);
                }
            }
        }
    }

    /// The paths in both.
    pub(crate) fn intersection(&self, other: &Self) -> Self {
        let mut both = Self {
            owned: self.owned && other.owned,
            children: BTreeMap::new(),
        };
        for (step, ours) in &self.children {
            if let Some(theirs) = other.children.get(step) {
                both.attach(|| step.clone(), ours.intersection(theirs));
            }
        }
        both
    }

    /// Every path of it, as Kubernetes shows paths to people: `.spec.containers[name="c"].image`.
    pub(crate) fn paths(&self) -> Vec<String> {
        let mut paths = Vec::new();
        self.collect(&mut String::new(), &mut paths);
        paths
    }

    fn collect(&self, path: &mut String, paths: &mut Vec<String>) {
        if self.owned {
            paths.push(path.clone());
        }
        for (step, below) in &self.children {
            let length = path.len();
            path.push_str(&shown(step));
            below.collect(path, paths);
            path.truncate(length);
        }
    }

    /// As `fieldsV1` has it.
    pub(crate) fn to_json(&self) -> Value {
        let below = self.children.iter().map(|(step, below)| {
            let inner = if below.has_children() {
                below.to_json()
            } else {
                Value::Object(Map::new())
            };
            (step.clone(), inner)
        });
        let mut fields: Map<String, Value> = below.collect();
        if self.owned {
            fields.insert(".".into(), Value::Object(Map::new()));
        }
        Value::Object(fields)
    }

    /// Reads `fieldsV1`; `None` where it is malformed.
    pub(crate) fn from_json(json: &Value) -> Option<Self> {
        let mut set = Self::read(json, MAX_DEPTH)?;
        // At the top an empty set is just empty, further down it is a path of its own.
        set.owned &= set.has_children();
        Some(set)
    }

    fn read(json: &Value, levels: usize) -> Option<Self> {
        let fields = json.as_object().filter(|_| levels > 0)?;
        let mut set = Self {
            owned: fields.is_empty(),
            children: BTreeMap::new(),
        };
        for (step, below) in fields {
            if step == "." {
                set.owned = true;
            } else {
                set.children.insert(canonical(step)?, Self::read(below, levels - 1)?);
            }
        }
        Some(set)
    }
}

/// The step to a struct's field or a map's entry.
pub(crate) fn field_step(name: &str) -> String {
    let mut step = String::with_capacity(name.len() + 2);
    step.push_str("f:");
    step.push_str(name);
    step
}

/// The step to an item of a set.
pub(crate) fn value_step(item: &Value) -> String {
    format!("v:{item}")
}

/// The step to an item of a list, from its keys in alphabetical order.
pub(crate) fn key_step<'a>(keys: impl Iterator<Item = (&'a str, &'a Value)>) -> String {
    let mut step = String::with_capacity(32);
    step.push_str("k:{");
    for (key, value) in keys {
        if !step.ends_with('{') {
            step.push(',');
        }
        write_key(&mut step, key, value);
    }
    step.push('}');
    step
}

fn write_key(step: &mut String, key: &str, value: &Value) {
    // Keys are names of fields, which need no escapes.
    write!(step, "\"{key}\":{value}").expect("a String takes everything");
}

/// The step in the one spelling that compares equal to ours; `None` where it is none.
fn canonical(step: &str) -> Option<String> {
    let (kind, rest) = step.split_once(':')?;
    match kind {
        "f" => Some(step.to_owned()),
        "i" => rest.parse::<u64>().ok().map(|index| format!("i:{index}")),
        "v" => serde_json::from_str::<Value>(rest).ok().map(|item| value_step(&item)),
        "k" => {
            let keys: Map<String, Value> = serde_json::from_str(rest).ok()?;
            Some(key_step(keys.iter().map(|(key, value)| (key.as_str(), value))))
        }
        _ => None,
    }
}

/// A step as Kubernetes shows it to people.
pub(super) fn shown(step: &str) -> String {
    match step.split_once(':') {
        Some(("f", name)) => format!(".{name}"),
        Some(("v", item)) => format!("[={item}]"),
        Some(("k", keys)) => match serde_json::from_str::<Map<String, Value>>(keys) {
            Ok(keys) => {
                let keys: Vec<String> = keys.iter().map(|(key, value)| format!("{key}={value}")).collect();
                format!("[{}]", keys.join(","))
            }
            Err(_) => format!("[{keys}]"),
        },
        Some((_, other)) => format!("[{other}]"),
        None => step.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn set(json: Value) -> FieldSet {
        FieldSet::from_json(&json).expect("well formed")
    }

    #[test]
    fn fields_v1_is_read_and_written_alike() {
        for json in [
            json!({}),
            json!({"f:a": {}}),
            json!({"f:a": {".": {}, "f:b": {}}, "f:c": {"f:d": {}}}),
            json!({"f:l": {"k:{\"containerPort\":53,\"protocol\":\"TCP\"}": {".": {}, "f:name": {}}}}),
            json!({"f:finalizers": {"v:\"a/b\"": {}}, "f:odd": {"i:3": {}}}),
        ] {
            assert_eq!(set(json.clone()).to_json(), json);
        }
        let spaced = json!({"f:l": {"k:{\"protocol\": \"TCP\", \"containerPort\": 53}": {}}});
        assert_eq!(
            set(spaced).to_json(),
            json!({"f:l": {"k:{\"containerPort\":53,\"protocol\":\"TCP\"}": {}}})
        );
    }

    #[test]
    fn what_is_no_set_is_refused() {
        let mut deep = json!({});
        for _ in 0..200 {
            deep = json!({"f:a": deep});
        }
        for json in [
            json!([]),
            json!({"f:a": 1}),
            json!({"a": {}}),
            json!({"x:a": {}}),
            json!({"k:[": {}}),
            deep,
        ] {
            assert_eq!(FieldSet::from_json(&json), None, "{json:.60}");
        }
    }

    #[test]
    fn sets_unite_subtract_and_intersect() {
        let left = json!({"f:a": {".": {}, "f:b": {}}, "f:c": {}});
        let right = json!({"f:a": {"f:b": {}, "f:d": {}}, "f:e": {}});
        let mut united = set(left.clone());
        united.unite(&set(right.clone()));
        assert_eq!(
            united.to_json(),
            json!({"f:a": {".": {}, "f:b": {}, "f:d": {}}, "f:c": {}, "f:e": {}})
        );
        let mut rest = set(left.clone());
        rest.subtract(&set(right.clone()));
        assert_eq!(rest.to_json(), json!({"f:a": {}, "f:c": {}}));
        assert_eq!(
            set(left).intersection(&set(right)).to_json(),
            json!({"f:a": {"f:b": {}}})
        );
    }

    #[test]
    fn paths_read_as_kubernetes_shows_them() {
        let fields = json!({"f:spec": {
            "f:containers": {"k:{\"name\":\"c\"}": {".": {}, "f:ports": {"k:{\"containerPort\":1,\"protocol\":\"TCP\"}": {}}}},
            "f:finalizers": {"v:\"x\"": {}},
        }});
        assert_eq!(
            set(fields).paths(),
            [
                ".spec.containers[name=\"c\"]",
                ".spec.containers[name=\"c\"].ports[containerPort=1,protocol=\"TCP\"]",
                ".spec.finalizers[=\"x\"]",
            ]
        );
    }
}
