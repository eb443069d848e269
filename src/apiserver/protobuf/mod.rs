//! Reads Kubernetes' protobuf bodies of the few small types that current `kubectl` posts in no other form
//! (`create namespace`, `auth can-i`, `drain` …) into the JSON they stand for. Never writes protobuf.

mod messages;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Buf;
use jiff::Timestamp;
use prost::encoding::{WireType, decode_key, decode_varint};
use serde_json::{Map, Value, json};

use self::messages::{Field, Message, Shape};

/// What such a body begins with.
const MAGIC: &[u8] = b"k8s\0";
/// How deep messages lie in one another; the types here need five.
const DEPTH_MAX: usize = 16;

/// The envelope around every object: its type, and its bytes.
const ENVELOPE: Message = &[
    Field {
        number: 1,
        name: "type",
        shape: Shape::Message(messages::TYPE_META),
    },
    Field {
        number: 2,
        name: "raw",
        shape: Shape::Bytes,
    },
    Field {
        number: 3,
        name: "contentEncoding",
        shape: Shape::Text,
    },
];

/// Why a body was not read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ProtobufError {
    /// It is of a type that is taken as JSON or YAML only.
    OtherType(String),
    /// It is damaged.
    Damaged(&'static str),
}

/// The object in a body.
pub fn read(body: &[u8]) -> Result<Value, ProtobufError> {
    let envelope = body
        .strip_prefix(MAGIC)
        .ok_or(ProtobufError::Damaged("it does not begin as such bodies do"))?;
    let envelope = message(envelope, ENVELOPE, 0)?;
    let text = |pointer: &str| {
        envelope
            .pointer(pointer)
            .and_then(Value::as_str)
            .unwrap_or_default()
            .to_owned()
    };
    let (api_version, kind) = (text("/type/apiVersion"), text("/type/kind"));
    if !text("/contentEncoding").is_empty() {
        return Err(ProtobufError::Damaged("it is encoded once more"));
    }
    let fields = messages::of(&api_version, &kind)
        .ok_or_else(|| ProtobufError::OtherType(format!("{kind} of {api_version:?}")))?;
    let raw = STANDARD
        .decode(text("/raw"))
        .map_err(|_| ProtobufError::Damaged("it holds no object"))?;
    let mut object = message(&raw, fields, 0)?;
    object["apiVersion"] = json!(api_version);
    object["kind"] = json!(kind);
    Ok(object)
}

/// One message. Texts that are empty and messages in which nothing is set are what Go writes for "not set".
fn message(mut bytes: &[u8], fields: Message, depth: usize) -> Result<Value, ProtobufError> {
    if depth > DEPTH_MAX {
        return Err(ProtobufError::Damaged("its messages lie too deep in one another"));
    }
    let mut object = Map::new();
    while bytes.has_remaining() {
        let (number, wire) = decode_key(&mut bytes).map_err(|_| ProtobufError::Damaged("a field's number is cut"))?;
        let (varint, content) = payload(&mut bytes, wire)?;
        let Some(field) = fields.iter().find(|field| field.number == number) else {
            continue;
        };
        put(&mut object, field, varint, content, depth)?;
    }
    Ok(Value::Object(object))
}

/// A field's number or bytes.
fn payload<'b>(bytes: &mut &'b [u8], wire: WireType) -> Result<(u64, &'b [u8]), ProtobufError> {
    let length = match wire {
        WireType::Varint => {
            let value = decode_varint(bytes).map_err(|_| ProtobufError::Damaged("a number is cut"))?;
            return Ok((value, &[]));
        }
        WireType::LengthDelimited => decode_varint(bytes).map_err(|_| ProtobufError::Damaged("a length is cut"))?,
        WireType::SixtyFourBit => 8,
        WireType::ThirtyTwoBit => 4,
        WireType::StartGroup | WireType::EndGroup => return Err(ProtobufError::Damaged("groups are not in use")),
    };
    let length = usize::try_from(length).unwrap_or(usize::MAX);
    let (content, rest) = bytes
        .split_at_checked(length)
        .ok_or(ProtobufError::Damaged("it is cut"))?;
    *bytes = rest;
    Ok((0, content))
}

fn put(
    object: &mut Map<String, Value>,
    field: &Field,
    varint: u64,
    content: &[u8],
    depth: usize,
) -> Result<(), ProtobufError> {
    let text = || {
        std::str::from_utf8(content)
            .map(str::to_owned)
            .map_err(|_| ProtobufError::Damaged("a text is not UTF-8"))
    };
    let value = match field.shape {
        // Protobuf writes negative numbers as their two's complement.
        Shape::Integer => json!(varint.cast_signed()),
        Shape::Flag => json!(varint != 0),
        Shape::Text => json!(text()?),
        Shape::Bytes => json!(STANDARD.encode(content)),
        Shape::Time => time(content, depth)?,
        Shape::Message(fields) => message(content, fields, depth + 1)?,
        Shape::Pointer(fields) => return keep(object, field.name, message(content, fields, depth + 1)?),
        Shape::IntOrText => return keep(object, field.name, int_or_text(content, depth)?),
        Shape::Texts => return append(object, field.name, json!(text()?)),
        Shape::Messages(fields) => return append(object, field.name, message(content, fields, depth + 1)?),
        Shape::TextMap | Shape::BytesMap => return entry(object, field, content, depth),
    };
    let unset = match &value {
        Value::String(text) => text.is_empty(),
        Value::Object(map) => map.is_empty(),
        Value::Null => true,
        _ => false,
    };
    if !unset {
        object.insert(field.name.to_owned(), value);
    }
    Ok(())
}

/// Sets a field that means something whatever is in it.
fn keep(object: &mut Map<String, Value>, name: &str, value: Value) -> Result<(), ProtobufError> {
    object.insert(name.to_owned(), value);
    Ok(())
}

fn append(object: &mut Map<String, Value>, name: &str, value: Value) -> Result<(), ProtobufError> {
    let list = object.entry(name).or_insert_with(|| json!([]));
    list.as_array_mut()
        .ok_or(ProtobufError::Damaged("a list is something else"))?
        .push(value);
    Ok(())
}

fn entry(object: &mut Map<String, Value>, field: &Field, content: &[u8], depth: usize) -> Result<(), ProtobufError> {
    let fields = if matches!(field.shape, Shape::TextMap) {
        messages::TEXT_ENTRY
    } else {
        messages::BYTES_ENTRY
    };
    let pair = message(content, fields, depth + 1)?;
    let part = |name: &str| pair.get(name).and_then(Value::as_str).unwrap_or_default().to_owned();
    let map = object.entry(field.name).or_insert_with(|| json!({}));
    let map = map
        .as_object_mut()
        .ok_or(ProtobufError::Damaged("a map is something else"))?;
    map.insert(part("key"), json!(part("value")));
    Ok(())
}

/// A number, or a text even where it is empty, which is no number.
fn int_or_text(content: &[u8], depth: usize) -> Result<Value, ProtobufError> {
    let parts = message(content, messages::INT_OR_TEXT, depth + 1)?;
    let part = |name: &str, unset: Value| parts.get(name).cloned().unwrap_or(unset);
    Ok(match part("type", json!(0)).as_i64() {
        Some(1) => part("text", json!("")),
        _ => part("number", json!(0)),
    })
}

/// Seconds and nanoseconds; null where it is not set.
fn time(content: &[u8], depth: usize) -> Result<Value, ProtobufError> {
    let parts = message(content, messages::TIME, depth + 1)?;
    let Some(seconds) = parts.get("seconds").and_then(Value::as_i64) else {
        return Ok(Value::Null);
    };
    let time = Timestamp::from_second(seconds).map_err(|_| ProtobufError::Damaged("a time is out of range"))?;
    Ok(json!(crate::apiserver::server::time_text(time)))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What `kubectl create namespace team` of 1.32 posts.
    const NAMESPACE: &[u8] = b"k8s\0\n\x0f\n\x02v1\x12\tNamespace\x12\x1c\n\x14\n\x04team\x12\0\x1a\0\"\0*\x002\x008\0B\0\x12\0\x1a\x02\n\0\x1a\0\"\0";
    /// What `kubectl create configmap c --from-literal=a=b` posts.
    const CONFIG_MAP: &[u8] = b"k8s\0\n\x0f\n\x02v1\x12\tConfigMap\x12\x1b\n\x11\n\x01c\x12\0\x1a\0\"\0*\x002\x008\0B\0\x12\x06\n\x01a\x12\x01b\x1a\0\"\0";
    /// What `kubectl create secret generic s --from-literal=a=b` posts.
    const SECRET: &[u8] = b"k8s\0\n\x0c\n\x02v1\x12\x06Secret\x12\x1d\n\x11\n\x01s\x12\0\x1a\0\"\0*\x002\x008\0B\0\x12\x06\n\x01a\x12\x01b\x1a\0\x1a\0\"\0";
    /// What `kubectl create priorityclass high --value=10` posts.
    const PRIORITY_CLASS: &[u8] = b"k8s\0\n%\n\x14scheduling.k8s.io/v1\x12\rPriorityClass\x122\n\x14\n\x04high\x12\0\x1a\0\"\0*\x002\x008\0B\0\x10\n\x18\0\"\0*\x14PreemptLowerPriority\x1a\0\"\0";

    /// A budget for every pod, none of which must stay.
    const BUDGET_OF_ALL: &[u8] = b"k8s\0\n \n\tpolicy/v1\x12\x13PodDisruptionBudget\x12\x1b\n\x07\n\x01b\x12\0\x1a\0\x12\n\n\x06\x08\0\x10\0\x1a\0\x12\0\x1a\x04\x18\0 \0\x1a\0\x22\0";
    /// A budget for some pods, half of which may be down.
    const BUDGET_OF_HALF: &[u8] = b"k8s\0\n \n\tpolicy/v1\x12\x13PodDisruptionBudget\x12*\n\x07\n\x01b\x12\0\x1a\0\x12\x19\x1a\t\x08\x01\x10\0\x1a\x0350%\x12\x0c\n\n\n\x03app\x12\x03web\x1a\x04\x18\0 \0\x1a\0\x22\0";

    #[test]
    fn what_is_empty_and_means_something_is_kept() {
        for (body, spec) in [
            (BUDGET_OF_ALL, json!({"minAvailable": 0, "selector": {}})),
            (
                BUDGET_OF_HALF,
                json!({"maxUnavailable": "50%", "selector": {"matchLabels": {"app": "web"}}}),
            ),
        ] {
            let read = read(body).expect("a budget");
            assert_eq!((&read["metadata"], &read["spec"]), (&json!({"name": "b"}), &spec));
        }
    }

    #[test]
    fn what_kubectl_posts_is_read() {
        let cases = [
            (
                NAMESPACE,
                json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "team"}}),
            ),
            (
                CONFIG_MAP,
                json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "c"}, "data": {"a": "b"}}),
            ),
            (
                SECRET,
                json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "s"}, "data": {"a": "Yg=="}}),
            ),
            (
                PRIORITY_CLASS,
                json!({
                    "apiVersion": "scheduling.k8s.io/v1", "kind": "PriorityClass", "metadata": {"name": "high"},
                    "value": 10, "globalDefault": false, "preemptionPolicy": "PreemptLowerPriority",
                }),
            ),
        ];
        for (body, expected) in cases {
            assert_eq!(read(body), Ok(expected));
        }
    }

    #[test]
    fn other_types_and_damage_are_refused() {
        let deployment = b"k8s\0\n\x15\n\x07apps/v1\x12\nDeployment\x12\0";
        assert_eq!(
            read(deployment),
            Err(ProtobufError::OtherType("Deployment of \"apps/v1\"".into()))
        );
        for length in 0..NAMESPACE.len() {
            // Cut anywhere it is refused, or (between fields) read as far as it goes; it never panics.
            drop(read(&NAMESPACE[..length]));
        }
        assert!(matches!(read(b"{}"), Err(ProtobufError::Damaged(_))));
        assert!(matches!(read(&NAMESPACE[..10]), Err(ProtobufError::Damaged(_))));
    }
}
