//! The fields a field selector may name, read straight from JSON: a watch does it for every event.

use std::borrow::Cow;
use std::fmt;

use serde::Deserialize;
use serde::de::{DeserializeSeed, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Value};

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
    all(own, namespaced)
        .map(|field| (field.name, field.value(object)))
        .collect()
}

/// Reads of an object what [`fields`] looks at and passes over the rest, which is most of it.
///
/// # Errors
/// Where it is no JSON.
pub(in crate::object) fn read(own: &'static [Selectable], namespaced: bool, json: &[u8]) -> serde_json::Result<Value> {
    let paths = all(own, namespaced).flat_map(|field| field.pointers.iter().copied());
    let mut reader = serde_json::Deserializer::from_slice(json);
    let object = Part(paths.collect()).deserialize(&mut reader)?;
    reader.end()?;
    Ok(object)
}

fn all(own: &'static [Selectable], namespaced: bool) -> impl Iterator<Item = &'static Selectable> {
    let metadata: &'static [Selectable] = if namespaced { &[NAME, NAMESPACE] } else { &[NAME] };
    metadata.iter().chain(own)
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

/// The part of a value that these JSON pointers lead to; an empty one stands for all of it.
struct Part<'p>(Vec<&'p str>);

impl<'de> DeserializeSeed<'de> for Part<'_> {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        // Of a list whose items are counted all is kept: there are few such fields.
        let is_whole = |pointer: &&str| {
            pointer
                .trim_start_matches('/')
                .bytes()
                .next()
                .is_none_or(|byte| byte.is_ascii_digit())
        };
        if self.0.iter().any(is_whole) {
            return Value::deserialize(deserializer);
        }
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Part<'_> {
    type Value = Value;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a value")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Value, A::Error> {
        let mut kept = Map::new();
        while let Some(Key(key)) = map.next_key()? {
            let paths: Vec<&str> = self.0.iter().filter_map(|pointer| below(pointer, &key)).collect();
            if paths.is_empty() {
                map.next_value::<IgnoredAny>()?;
            } else {
                let value = map.next_value_seed(Part(paths))?;
                kept.insert(key.into_owned(), value);
            }
        }
        Ok(Value::Object(kept))
    }

    // What has no fields has none that lie further in.
    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Value, A::Error> {
        while seq.next_element::<IgnoredAny>()?.is_some() {}
        Ok(Value::Null)
    }

    fn visit_bool<E>(self, _: bool) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_i64<E>(self, _: i64) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_u64<E>(self, _: u64) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_f64<E>(self, _: f64) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_str<E>(self, _: &str) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }
}

/// What is left of a pointer behind a key, where it leads there.
fn below<'p>(pointer: &'p str, key: &str) -> Option<&'p str> {
    let rest = pointer.strip_prefix('/')?.strip_prefix(key)?;
    (rest.is_empty() || rest.starts_with('/')).then_some(rest)
}

/// A key, not copied where that can be helped.
#[derive(Deserialize)]
#[serde(transparent)]
struct Key<'k>(#[serde(borrow)] Cow<'k, str>);

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const OWN: &[Selectable] = &[
        field("spec.nodeName", &["/spec/nodeName"]),
        field("status.podIP", &["/status/podIP", "/status/podIPs/0/ip"]),
        flag("on", &["/on"]),
    ];

    #[test]
    fn what_is_read_selects_as_the_whole_does() {
        let cases = [
            json!({"metadata": {"name": "a", "namespace": "b", "labels": {"name": "c"}},
                "spec": {"nodeName": "n", "nodeNames": 1, "x": [{"nodeName": 1}]}, "on": true}),
            json!({"status": {"podIPs": [{"ip": "1.2.3.4"}, {"ip": "::1"}]}}),
            json!({"status": {"podIP": "", "podIPs": [{"ip": "1.2.3.4"}]}}),
            json!({"metadata": "text", "spec": [{"nodeName": "n"}], "status": 4, "on": {"a": 1}}),
            json!({"metadata": null, "spec": true, "status": -4, "on": 1.5}),
            json!({"me\"ta\\": 1, "spec": {"node\u{e4}": 2, "nodeName": "\u{e4}\n"}}),
            json!([1]),
        ];
        for object in cases {
            for namespaced in [true, false] {
                let part = read(OWN, namespaced, object.to_string().as_bytes()).expect("it is JSON");
                assert_eq!(
                    fields(OWN, namespaced, &part),
                    fields(OWN, namespaced, &object),
                    "{object}"
                );
            }
        }
    }

    #[test]
    fn no_more_is_read_than_that() {
        let object = br#"{"metadata": {"name": "a", "uid": "u"}, "spec": {"nodeName": "n", "containers": []}, "x": 1}"#;
        let part = read(OWN, true, object).expect("it is JSON");
        assert_eq!(part, json!({"metadata": {"name": "a"}, "spec": {"nodeName": "n"}}));
    }

    #[test]
    fn what_is_no_json_is_an_error() {
        for text in ["", "{", r#"{"spec": {"nodeName": }}"#, "{} {}"] {
            assert!(read(OWN, true, text.as_bytes()).is_err(), "{text}");
        }
    }
}
