//! Between stored bytes and objects: keys, and the resourceVersion that is filled in on reading. Never talks to the store.

use bytes::{BufMut, Bytes, BytesMut};
use serde_json::Value;

use super::error::ApiError;
use crate::object::Kind;
use crate::store::{KeyValue, Revision};

/// An object as it was read.
#[derive(Clone, Debug)]
pub struct Stored {
    /// With its resourceVersion.
    pub object: Value,
    /// What a write must expect.
    pub revision: Revision,
}

/// The directory of a kind's keys, as Kubernetes lays them out.
fn directory(kind: &Kind) -> &'static str {
    match (kind.group, kind.plural) {
        ("", "nodes") => "minions",
        _ => kind.plural,
    }
}

/// The prefix of a kind's keys, of one namespace or of all.
pub fn prefix(kind: &Kind, namespace: Option<&str>) -> String {
    match namespace {
        Some(namespace) => format!("/registry/{}/{namespace}/", directory(kind)),
        None => format!("/registry/{}/", directory(kind)),
    }
}

/// An object's key.
pub fn key(kind: &Kind, namespace: Option<&str>, name: &str) -> String {
    format!("{}{name}", prefix(kind, namespace))
}

/// The stored form: JSON without resourceVersion, which the store's own revision is.
pub fn encode(object: &Value) -> Result<Bytes, ApiError> {
    let mut object = object.clone();
    if let Some(metadata) = object.get_mut("metadata").and_then(Value::as_object_mut) {
        metadata.remove("resourceVersion");
    }
    serde_json::to_vec(&object)
        .map(Bytes::from)
        .map_err(|error| ApiError::Internal(format!("an object cannot be written: {error}")))
}

/// Reads a stored value.
pub fn decode(pair: &KeyValue) -> Result<Stored, ApiError> {
    decode_at(pair, pair.mod_revision)
}

/// Reads a stored value and gives it the resourceVersion of another revision (a deletion's).
pub fn decode_at(pair: &KeyValue, revision: Revision) -> Result<Stored, ApiError> {
    let mut object: Value = serde_json::from_slice(&pair.value)
        .map_err(|error| ApiError::Internal(format!("what is stored at {} cannot be read: {error}", pair.key)))?;
    set_revision(&mut object, revision);
    Ok(Stored {
        object,
        revision: pair.mod_revision,
    })
}

/// Sets `metadata.resourceVersion`.
pub fn set_revision(object: &mut Value, revision: Revision) {
    if let Some(metadata) = object.get_mut("metadata").and_then(Value::as_object_mut) {
        metadata.insert("resourceVersion".to_owned(), Value::String(revision.to_string()));
    }
}

/// The stored bytes with the resourceVersion put in, without parsing the object.
pub fn splice_revision(pair: &KeyValue, revision: Revision) -> Result<Bytes, ApiError> {
    let mut bytes = BytesMut::with_capacity(pair.value.len() + 48);
    put_spliced(&mut bytes, pair, revision)?;
    Ok(bytes.freeze())
}

/// As [`splice_revision`], appended to a buffer.
pub fn put_spliced(bytes: &mut BytesMut, pair: &KeyValue, revision: Revision) -> Result<(), ApiError> {
    let value = &pair.value;
    let start = metadata_start(value)
        .ok_or_else(|| ApiError::Internal(format!("what is stored at {} is no object with metadata", pair.key)))?;
    let empty = value[start..].iter().find(|byte| !byte.is_ascii_whitespace()) == Some(&b'}');
    bytes.put_slice(&value[..start]);
    bytes.put_slice(b"\"resourceVersion\":\"");
    bytes.put_slice(revision.to_string().as_bytes());
    bytes.put_slice(if empty { b"\"" } else { b"\"," });
    bytes.put_slice(&value[start..]);
    Ok(())
}

/// Where the top-level `metadata` object's content begins: just behind its `{`.
fn metadata_start(json: &[u8]) -> Option<usize> {
    let mut depth = 0_usize;
    let mut position = 0;
    while position < json.len() {
        match json[position] {
            b'{' | b'[' => depth += 1,
            b'}' | b']' => depth = depth.checked_sub(1)?,
            b'"' => {
                let end = string_end(json, position)?;
                if depth == 1 && &json[position..=end] == b"\"metadata\"" {
                    let mut rest = (end + 1..json.len()).filter(|&index| !json[index].is_ascii_whitespace());
                    if rest.next().map(|index| json[index]) == Some(b':') {
                        return rest.next().filter(|&index| json[index] == b'{').map(|index| index + 1);
                    }
                }
                position = end;
            }
            _ => {}
        }
        position += 1;
    }
    None
}

/// The index of the quote that closes the string that opens at `start`.
fn string_end(json: &[u8], start: usize) -> Option<usize> {
    let mut position = start + 1;
    while position < json.len() {
        match json[position] {
            b'\\' => position += 2,
            b'"' => return Some(position),
            _ => position += 1,
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pair(value: &str) -> KeyValue {
        KeyValue {
            key: "/registry/x".into(),
            value: Bytes::from(value.to_owned()),
            create_revision: 1,
            mod_revision: 7,
        }
    }

    #[test]
    fn the_revision_is_put_into_the_top_level_metadata_only() {
        let cases = [
            ("plain", r#"{"kind":"Pod","metadata":{"name":"a"}}"#),
            ("empty", r#"{"metadata":{},"kind":"Pod"}"#),
            ("spaces", "{ \"metadata\" : { \"name\" : \"a\" } }"),
            (
                "nested before",
                r#"{"data":{"metadata":{"x":"y"}},"metadata":{"name":"a"}}"#,
            ),
            (
                "text that looks like it",
                r#"{"data":{"a":"\"metadata\":{","b":"\\"},"metadata":{"name":"a"}}"#,
            ),
            ("a value of that text", r#"{"kind":"metadata","metadata":{"name":"a"}}"#),
        ];
        for (name, json) in cases {
            let spliced = splice_revision(&pair(json), 42).expect(name);
            let mut expected: Value = serde_json::from_str(json).expect(name);
            set_revision(&mut expected, 42);
            assert_eq!(
                serde_json::from_slice::<Value>(&spliced).expect(name),
                expected,
                "{name}"
            );
        }
    }

    #[test]
    fn values_that_are_no_objects_are_refused() {
        for json in [
            "",
            "[]",
            "\"metadata\"",
            r#"{"metadata":5}"#,
            "}}",
            "{\"metadata",
            r#"{"a":"\"#,
        ] {
            assert!(splice_revision(&pair(json), 1).is_err(), "{json}");
        }
    }

    #[test]
    fn the_stored_form_has_no_resource_version() {
        let object = serde_json::json!({"metadata": {"name": "a", "resourceVersion": "5"}});
        let bytes = encode(&object).expect("encodes");
        assert_eq!(&bytes[..], br#"{"metadata":{"name":"a"}}"#);
        let read = decode(&KeyValue {
            value: bytes,
            ..pair("")
        })
        .expect("decodes");
        assert_eq!(read.object["metadata"]["resourceVersion"], "7");
    }
}
