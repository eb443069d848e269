//! The recorded creates, sent over HTTP: code, reason and causes. The objects themselves are compared in `tests/golden`.

use std::collections::BTreeSet;

use serde_json::Value;

use super::world::{Backend, World};

/// What is compared of an answer.
fn essence(code: u64, answer: &Value) -> (u64, String, BTreeSet<String>) {
    if code < 400 {
        return (code, String::new(), BTreeSet::new());
    }
    let causes = answer["details"]["causes"].as_array();
    let fields = causes
        .into_iter()
        .flatten()
        .filter_map(|cause| cause["field"].as_str())
        .map(str::to_owned)
        .collect();
    (code, answer["reason"].as_str().unwrap_or_default().to_owned(), fields)
}

#[test]
fn recorded_creates() {
    let world = World::start(Backend::Embedded);
    let text = include_str!("../golden/create.jsonl");
    let mut wrong = Vec::new();
    let mut compared = 0;
    for line in text.lines() {
        let row: Value = serde_json::from_str(line).expect("a row");
        let path = row["path"].as_str().expect("a path");
        if ["apps", "batch"]
            .iter()
            .any(|group| path.contains(&format!("/apis/{group}/")))
            || path.ends_with("/services")
        {
            continue;
        }
        let answer = world.post(&format!("{path}?dryRun=All&fieldValidation=Ignore"), &row["body"]);
        if answer.code == 404 && row["code"] != 404 {
            continue; // A kind that is not served yet.
        }
        compared += 1;
        let (expected, actual) = (
            essence(row["code"].as_u64().expect("a code"), &row["answer"]),
            essence(answer.code.into(), &answer.body),
        );
        if expected != actual {
            wrong.push(format!(
                "{}: expected {expected:?}, got {actual:?}: {}",
                row["name"], answer.body["message"]
            ));
        }
    }
    assert!(compared > 100, "only {compared} rows are of kinds served");
    assert!(
        wrong.is_empty(),
        "{} of {compared} rows differ:\n{}",
        wrong.len(),
        wrong.join("\n")
    );
}
