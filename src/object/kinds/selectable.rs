//! The fields a field selector may name, read straight from JSON: a watch does it for every event.

use serde_json::Value;

/// A field by its selector name.
pub(in crate::object) struct Selectable {
    /// As a selector writes it.
    pub name: &'static str,
    /// Where its value is; the first that is set counts.
    pub pointers: &'static [&'static str],
    /// Its value where none is set.
    pub missing: &'static str,
}

/// A field that is empty where it is not set.
pub(super) const fn field(name: &'static str, pointers: &'static [&'static str]) -> Selectable {
    Selectable {
        name,
        pointers,
        missing: "",
    }
}

/// A field that is `false` where it is not set.
pub(super) const fn flag(name: &'static str, pointers: &'static [&'static str]) -> Selectable {
    Selectable {
        name,
        pointers,
        missing: "false",
    }
}

const NAME: Selectable = field("metadata.name", &["/metadata/name"]);
const NAMESPACE: Selectable = field("metadata.namespace", &["/metadata/namespace"]);

/// Names and values in this object, those of metadata first.
pub(in crate::object) fn fields(
    own: &'static [Selectable],
    namespaced: bool,
    object: &Value,
) -> Vec<(&'static str, String)> {
    let metadata: &[Selectable] = if namespaced { &[NAME, NAMESPACE] } else { &[NAME] };
    metadata
        .iter()
        .chain(own)
        .map(|field| (field.name, field.value(object)))
        .collect()
}

impl Selectable {
    fn value(&self, object: &Value) -> String {
        let set = self.pointers.iter().find_map(|pointer| match object.pointer(pointer)? {
            Value::String(text) if text.is_empty() => None,
            Value::String(text) => Some(text.clone()),
            Value::Null => None,
            other => Some(other.to_string()),
        });
        set.unwrap_or_else(|| self.missing.to_owned())
    }
}
