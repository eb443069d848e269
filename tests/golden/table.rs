//! What `kubectl get pods` shows: every cell but the age.

use reconcile::object::{Kind, table};
use serde_json::{Map, Value, json};

use super::{difference, report, rows};

fn pods() -> &'static Kind {
    Kind::find("", "v1", "pods").expect("pods are served")
}

/// The pod of a row. The recorder bound it to the node that the row shows, which is not in its spec.
fn pod(row: &Value) -> Value {
    let mut spec = row["spec"].clone();
    if spec["containers"].is_null() {
        spec["containers"] = json!([{"name": "c", "image": "x"}]);
    }
    if row["row"]["Node"] != "<none>" {
        spec["nodeName"] = row["row"]["Node"].clone();
    }
    let mut status = row["status"].clone();
    if status["phase"].is_null() {
        status["phase"] = json!("Pending");
    }
    let body = json!({"metadata": {"name": "t", "namespace": "default"}, "spec": spec, "status": status});
    let mut pod = pods().decode(body).expect("a recorded pod is well formed").object;
    pods().default(&mut pod);
    pod
}

#[test]
fn every_row_is_shown_as_recorded() {
    let rows = rows("table.jsonl");
    assert!(!rows.is_empty());
    let now = "2020-01-01T00:00:00Z".parse().expect("a time");
    let mut failures = Vec::new();
    for row in &rows {
        let names = table::columns(pods()).iter().map(|column| column.name.to_owned());
        let mut got: Map<String, Value> = names.zip(table::row(pods(), &pod(row), now)).collect();
        got.insert("Age".to_owned(), row["row"]["Age"].clone());
        let lines = difference(&row["row"], &Value::Object(got));
        if !lines.is_empty() {
            failures.push((row["name"].as_str().unwrap_or_default().to_owned(), lines));
        }
    }
    report(rows.len(), &failures);
}

#[test]
fn the_columns_are_those_recorded() {
    let recorded = rows("table.jsonl")
        .into_iter()
        .find_map(|row| row["columns"].as_array().cloned());
    let columns: Vec<Value> = table::columns(pods())
        .iter()
        .map(|column| {
            json!({
                "name": column.name, "type": column.kind, "format": column.format,
                "description": column.description, "priority": column.priority,
            })
        })
        .collect();
    let lines = difference(
        &Value::Array(recorded.expect("a row with columns")),
        &Value::Array(columns),
    );
    assert!(lines.is_empty(), "{lines}");
}
