//! The columns and cells that `kubectl get` prints. Reads objects as JSON: a list makes a row of each.

mod event;
mod node;
mod pod;
mod small;
mod storage;
mod time;

use jiff::Timestamp;
use serde_json::Value;

use super::Kind;

pub(super) use event::EVENTS;
pub(super) use node::NODES;
pub(super) use pod::PODS;
pub(super) use small::{
    CONFIG_MAPS, LEASES, NAMESPACES, POD_DISRUPTION_BUDGETS, PRIORITY_CLASSES, SECRETS, SERVICE_ACCOUNTS, SOURCES,
};
pub(super) use storage::{PERSISTENT_VOLUME_CLAIMS, PERSISTENT_VOLUMES, STORAGE_CLASSES};
use time::age;

/// A column of a kind's table.
#[derive(Clone, Copy, Debug)]
pub struct Column {
    /// Its heading, e.g. `Ready`.
    pub name: &'static str,
    /// `string`, `integer`, `date`.
    pub kind: &'static str,
    /// `name` for the name column, else empty.
    pub format: &'static str,
    /// What it tells.
    pub description: &'static str,
    /// 0 is always shown, 1 with `-o wide`.
    pub priority: i32,
}

/// A kind's table: its columns and how an object fills them.
#[derive(Clone, Copy)]
pub(super) struct Table {
    pub(super) columns: &'static [Column],
    pub(super) row: fn(&Value, Timestamp) -> Vec<Value>,
}

/// The kind's columns.
pub fn columns(kind: &Kind) -> &'static [Column] {
    kind.rules.table().columns
}

/// An object's cells, one a column.
pub fn row(kind: &Kind, object: &Value, now: Timestamp) -> Vec<Value> {
    (kind.rules.table().row)(object, now)
}

/// What stands for nothing.
const NONE: &str = "<none>";

const NAME: Column = Column {
    name: "Name",
    kind: "string",
    format: "name",
    description: "Name must be unique within a namespace. Is required when creating resources, although some resources \
        may allow a client to request the generation of an appropriate name automatically. Name is primarily intended \
        for creation idempotence and configuration definition. Cannot be updated. More info: \
        http://kubernetes.io/docs/user-guide/identifiers#names",
    priority: 0,
};

const AGE: Column = Column {
    name: "Age",
    kind: "string",
    format: "",
    description: "CreationTimestamp is a timestamp representing the server time when this object was created. It is not \
        guaranteed to be set in happens-before order across separate operations. Clients may not set this value. It is \
        represented in RFC3339 form and is in UTC.\n\nPopulated by the system. Read-only. Null for lists. More info: \
        https://git.k8s.io/community/contributors/devel/sig-architecture/api-conventions.md#metadata",
    priority: 0,
};

/// A column that is always shown.
const fn column(name: &'static str, kind: &'static str, description: &'static str) -> Column {
    Column {
        name,
        kind,
        format: "",
        description,
        priority: 0,
    }
}

/// A column of `-o wide`.
const fn wide(name: &'static str, description: &'static str) -> Column {
    Column {
        name,
        kind: "string",
        format: "",
        description,
        priority: 1,
    }
}

/// The text there, if it is there and not empty.
fn text<'a>(object: &'a Value, pointer: &str) -> Option<&'a str> {
    object
        .pointer(pointer)
        .and_then(Value::as_str)
        .filter(|text| !text.is_empty())
}

/// The text there, or nothing's stand-in.
fn text_or_none(object: &Value, pointer: &str) -> Value {
    Value::from(text(object, pointer).unwrap_or(NONE))
}

/// The items there.
fn items<'a>(object: &'a Value, pointer: &str) -> &'a [Value] {
    object
        .pointer(pointer)
        .and_then(Value::as_array)
        .map_or(&[], Vec::as_slice)
}

/// How many entries or items are there.
fn count(object: &Value, pointer: &str) -> usize {
    match object.pointer(pointer) {
        Some(Value::Object(map)) => map.len(),
        Some(Value::Array(items)) => items.len(),
        _ => 0,
    }
}

fn name(object: &Value) -> Value {
    Value::from(text(object, "/metadata/name").unwrap_or(""))
}

/// How long ago the object was created.
fn created(object: &Value, now: Timestamp) -> Value {
    Value::from(age(text(object, "/metadata/creationTimestamp"), now))
}
