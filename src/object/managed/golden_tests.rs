//! The recorded apply rows, as far as they are pure: they are of deployments, whose defaults are not built yet, so
//! each step starts from the recorded answer to the one before.

use serde_json::{Value, json};

use super::*;

fn deployments() -> Ownership {
    Ownership::new(
        TypeRef::named("io.k8s.api.apps.v1.Deployment").unwrap(),
        "apps/v1".into(),
        true,
    )
}

fn rows() -> Vec<Value> {
    let text = include_str!("../../../tests/golden/patch.jsonl");
    let rows = text.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    rows.filter(|row| row["name"].as_str().unwrap().starts_with("apply"))
        .collect()
}

fn without_times(object: &Value) -> Value {
    let mut entries = object.pointer("/metadata/managedFields").cloned().unwrap_or_default();
    for entry in entries.as_array_mut().into_iter().flatten() {
        entry.as_object_mut().unwrap().remove("time");
        // The deployment controller's own write, which the recording leaves out of its answers.
    }
    entries
}

/// The object that the recorded server had before an apply over it: as in the answer but for what the apply changed.
fn before_apply_over_create(row: &Value) -> Value {
    let all = rows();
    let forced = all
        .iter()
        .find(|row| row["name"] == "apply over create forced")
        .unwrap();
    let mut live = forced["steps"][0]["answer"].clone();
    let image = &row["start"]["spec"]["template"]["spec"]["containers"][0]["image"];
    live["spec"]["template"]["spec"]["containers"][0]["image"] = image.clone();
    take_managed_fields(&mut live);
    deployments().track(
        None,
        &mut live,
        Writer {
            manager: "creator",
            subresource: "",
            now: "<time>",
        },
    );
    live
}

fn run(row: &Value) -> Vec<String> {
    let mut live = (!row["start"].is_null()).then(|| before_apply_over_create(row));
    let mut wrong = Vec::new();
    for (index, step) in row["steps"].as_array().unwrap().iter().enumerate() {
        let (code, answer) = (step["code"].as_u64().unwrap(), &step["answer"]);
        let query = step["query"].as_str().unwrap();
        let manager = query.split('&').find_map(|part| part.strip_prefix("fieldManager="));
        let Some(manager) = manager else { continue };
        let writer = Writer {
            manager,
            subresource: "",
            now: "<time>",
        };
        let got = if step["contentType"].as_str().unwrap().contains("apply") {
            deployments().apply(live.as_ref(), &step["body"], query.contains("force=true"), writer)
        } else {
            let old = live.clone().unwrap();
            let of = TypeRef::named("io.k8s.api.apps.v1.Deployment");
            let mut new = crate::object::patch::strategic_of(of, &old, &step["body"]).unwrap();
            deployments().track(Some(&old), &mut new, writer);
            Ok(new)
        };
        match (code, got) {
            (200 | 201, Ok(got)) => {
                let (wanted, mine) = (without_times(answer), without_times(&got));
                if wanted != mine {
                    wrong.push(format!("step {index}: managedFields\n wanted {wanted}\n got    {mine}"));
                }
                if live.is_some() && got["spec"] != answer["spec"] {
                    wrong.push(format!(
                        "step {index}: spec\n wanted {}\n got    {}",
                        answer["spec"], got["spec"]
                    ));
                }
                live = Some(answer.clone());
            }
            (409, Err(error @ ApplyError::Conflicts(_))) => {
                let ApplyError::Conflicts(conflicts) = &error else {
                    unreachable!()
                };
                let causes: Vec<Value> = conflicts
                    .iter()
                    .map(|conflict| {
                        json!({"field": conflict.field, "message": format!("conflict with {}", conflict.message),
                               "reason": "FieldManagerConflict"})
                    })
                    .collect();
                if answer["message"] != error.to_string() || answer["details"]["causes"] != Value::Array(causes) {
                    wrong.push(format!("step {index}: wanted {answer}, got {error}"));
                }
            }
            // A malformed configuration is 500 in 1.20 and 400 later.
            (400 | 500, Err(ApplyError::Malformed(text))) => {
                let wanted = answer["message"].as_str().unwrap();
                if !text.ends_with(wanted.rsplit("object: ").next().unwrap()) {
                    wrong.push(format!("step {index}: wanted {wanted}, got {text}"));
                }
            }
            (code, got) => wrong.push(format!("step {index}: wanted {code}, got {got:?}")),
        }
    }
    wrong
}

#[test]
fn recorded_applies_hold() {
    let rows = rows();
    assert_eq!(rows.len(), 17);
    let failures: Vec<String> = rows
        .iter()
        .filter_map(|row| {
            let wrong = run(row);
            (!wrong.is_empty()).then(|| format!("--- {}\n{}", row["name"], wrong.join("\n")))
        })
        .collect();
    assert!(
        failures.is_empty(),
        "{} of {} rows differ:\n{}",
        failures.len(),
        rows.len(),
        failures.join("\n")
    );
}
