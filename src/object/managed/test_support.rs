//! Pods, managers and configurations for the tests of ownership.

use serde_json::{Value, json};

use super::{ApplyError, Ownership, Writer};
use crate::object::schema::types::TypeRef;

pub(super) const NOW: &str = "2026-01-01T00:00:00Z";
pub(super) const LATER: &str = "2026-01-02T00:00:00Z";

pub(super) fn pods() -> Ownership {
    Ownership::new(TypeRef::named("io.k8s.api.core.v1.Pod").unwrap(), "v1".into(), true)
}

pub(super) fn by<'a>(manager: &'a str, now: &'a str) -> Writer<'a> {
    Writer {
        manager,
        subresource: "",
        now,
    }
}

pub(super) fn config(spec: Value) -> Value {
    json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "p", "namespace": "default"}, "spec": spec})
}

pub(super) fn containers(containers: Value) -> Value {
    config(json!({"containers": containers}))
}

pub(super) fn applied(
    live: Option<&Value>,
    config: &Value,
    force: bool,
    writer: Writer<'_>,
) -> Result<Value, ApplyError> {
    pods().apply(live, config, force, writer)
}

/// Each in turn, by its manager, none forced; the last outcome.
pub(super) fn all_applied(steps: &[(&str, Value)]) -> Value {
    let mut live = None;
    for (manager, config) in steps {
        live = Some(applied(live.as_ref(), config, false, by(manager, NOW)).unwrap());
    }
    live.unwrap()
}

pub(super) fn owned(object: &Value, manager: &str) -> Value {
    let entries = object["metadata"]["managedFields"]
        .as_array()
        .cloned()
        .unwrap_or_default();
    let entry = entries.iter().find(|entry| entry["manager"] == manager);
    entry.map_or(Value::Null, |entry| entry["fieldsV1"].clone())
}

pub(super) fn created(object: Value, manager: &str) -> Value {
    let mut new = object;
    pods().track(None, &mut new, by(manager, NOW));
    new
}

pub(super) fn updated(live: &Value, change: impl FnOnce(&mut Value), manager: &str) -> Value {
    let mut new = live.clone();
    change(&mut new);
    pods().track(Some(live), &mut new, by(manager, LATER));
    new
}

pub(super) fn conflicts(outcome: Result<Value, ApplyError>) -> Vec<(String, String)> {
    match outcome {
        Err(ApplyError::Conflicts(conflicts)) => conflicts
            .into_iter()
            .map(|conflict| (conflict.message, conflict.field))
            .collect(),
        other => panic!("no conflict: {other:?}"),
    }
}
