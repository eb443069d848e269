//! What `kubectl get events` shows.

use serde_json::{Value, json};

use super::{NAME, Table, age, column, name, text, wide};
use crate::object::table::Column;

pub(in crate::object) const EVENTS: Table = Table {
    columns: &[
        column("Last Seen", "string", "How long ago it happened last."),
        column("Type", "string", "Normal or Warning."),
        column("Reason", "string", "What happened, in a word."),
        column("Object", "string", "What it happened to."),
        wide("Subobject", "The part of the object that it happened to."),
        wide("Source", "Who says so."),
        column("Message", "string", "What happened, for a person to read."),
        wide("First Seen", "How long ago it happened first."),
        wide("Count", "How often it has happened."),
        Column { priority: 1, ..NAME },
    ],
    row: |object, now| {
        let since = |pointer: &str| text(object, pointer).map(|time| age(Some(time), now));
        let first = since("/firstTimestamp")
            .or_else(|| since("/eventTime"))
            .unwrap_or_else(|| age(None, now));
        let last = since("/series/lastObservedTime")
            .or_else(|| since("/lastTimestamp"))
            .unwrap_or_else(|| first.clone());
        let number = |pointer: &str| {
            object
                .pointer(pointer)
                .and_then(Value::as_i64)
                .filter(|number| *number != 0)
        };
        // What happened once is not counted.
        let count = number("/series/count").or_else(|| number("/count")).unwrap_or(1);
        let plain = |pointer: &str| json!(text(object, pointer).unwrap_or(""));
        vec![
            json!(last),
            plain("/type"),
            plain("/reason"),
            json!(target(object)),
            plain("/involvedObject/fieldPath"),
            json!(source(object)),
            json!(text(object, "/message").unwrap_or("").trim()),
            json!(first),
            json!(count),
            name(object),
        ]
    },
};

fn target(event: &Value) -> String {
    let kind = text(event, "/involvedObject/kind").unwrap_or("").to_lowercase();
    match text(event, "/involvedObject/name") {
        Some(name) => format!("{kind}/{name}"),
        None => kind,
    }
}

fn source(event: &Value) -> String {
    let (component, host) = match text(event, "/source/component") {
        Some(component) => (Some(component), text(event, "/source/host")),
        None => (text(event, "/reportingComponent"), text(event, "/reportingInstance")),
    };
    component.into_iter().chain(host).collect::<Vec<_>>().join(", ")
}
