//! Strategic merge, merge and JSON patches of kinds served: the code, the whole object with its managedFields, or the
//! refusal's reason and causes. What belongs to the server is stood in for here, thinly.

use reconcile::object::kind::Part;
use reconcile::object::managed::{self, Writer};
use reconcile::object::patch::{self, PatchError};
use reconcile::object::{FieldError, Kind};
use serde_json::{Value, json};

use super::{create, difference, report, rows};

/// Any time: the recorded ones were replaced by names.
const NOW: &str = "2026-01-01T00:00:00Z";

/// What the server says: a code, and the object or the refusal's reason and its causes (reason, field).
type Answer = (u64, Value);

fn refusal(code: u64, reason: &str, errors: &[FieldError]) -> Answer {
    let mut causes: Vec<(&str, &str)> = errors
        .iter()
        .map(|error| (error.kind.reason(), error.field.as_str()))
        .collect();
    causes.dedup();
    (code, json!({"reason": reason, "causes": causes}))
}

fn writer(manager: &str) -> Writer<'_> {
    Writer {
        manager,
        subresource: "",
        now: NOW,
    }
}

/// The object as it was created before it was patched. Its fields are recorded before admission adds to it.
fn created(kind: &Kind, start: &Value) -> Value {
    let mut object = kind
        .decode(start.clone())
        .expect("the recorded object is well formed")
        .object;
    object["metadata"]["namespace"] = json!("default");
    kind.default(&mut object);
    managed::track_update(kind, None, &mut object, writer("creator"));
    create::admit(kind, &mut object).expect("the recorded object was admitted");
    kind.prepare_create(&mut object);
    object["metadata"]["uid"] = json!("<uid>");
    object["metadata"]["resourceVersion"] = json!("<resourceVersion>");
    object["metadata"]["creationTimestamp"] = json!(NOW);
    object
}

fn patched(kind: &Kind, live: &Value, step: &Value) -> Answer {
    // A body that is no JSON was recorded as its text.
    let body = match &step["body"] {
        Value::String(text) => serde_json::from_str(text),
        body => Ok(body.clone()),
    };
    let Ok(body) = body else {
        return refusal(400, "BadRequest", &[]);
    };
    let outcome = match step["contentType"].as_str() {
        Some("application/json-patch+json") => patch::json(live, &body),
        Some("application/merge-patch+json") => patch::merge(live, &body),
        Some("application/strategic-merge-patch+json") => patch::strategic(kind, live, &body),
        other => panic!("{other:?} is no patch"),
    };
    let object = match outcome {
        Ok(object) => object,
        Err(PatchError::Malformed(_)) => return refusal(400, "BadRequest", &[]),
        Err(PatchError::Unprocessable(_)) => return refusal(422, "Invalid", &[]),
    };
    let Ok(decoded) = kind.decode(object) else {
        return refusal(400, "BadRequest", &[]);
    };
    let mut object = decoded.object;
    let same = |field: &str| object["metadata"][field] == live["metadata"][field];
    if !same("name") {
        return refusal(400, "BadRequest", &[]);
    }
    if !same("resourceVersion") {
        return refusal(409, "Conflict", &[]);
    }
    kind.default(&mut object);
    kind.prepare_update(&mut object, live, Part::Main);
    managed::track_update(kind, Some(live), &mut object, writer("unknown"));
    let errors = kind.validate_update(&object, live, Part::Main);
    if errors.is_empty() {
        (200, object)
    } else {
        refusal(422, "Invalid", &errors)
    }
}

/// The recorded answer in the same form.
fn recorded(name: &str, step: &Value) -> Answer {
    let (code, mut answer) = (
        step["code"].as_u64().expect("a step has a code"),
        step["answer"].clone(),
    );
    match code {
        200 => {
            // Times, revisions and uids are the server's, the rest must be ours.
            for entry in answer["metadata"]["managedFields"].as_array_mut().into_iter().flatten() {
                entry["time"] = json!(NOW);
            }
            answer["metadata"]["creationTimestamp"] = json!(NOW);
            (code, answer)
        }
        // Later versions answer 400 where 1.20 failed.
        500 => refusal(400, "BadRequest", &[]),
        // The server's words about a patch that is no object are about its body, not about the object.
        _ if name == "merge not an object" => refusal(code, "Invalid", &[]),
        _ => {
            let mut causes: Vec<(&str, &str)> = Vec::new();
            for cause in answer["details"]["causes"].as_array().into_iter().flatten() {
                causes.push((
                    cause["reason"].as_str().unwrap_or_default(),
                    cause["field"].as_str().unwrap_or_default(),
                ));
            }
            causes.dedup();
            (code, json!({"reason": answer["reason"], "causes": causes}))
        }
    }
}

#[test]
fn every_patch_is_answered_as_recorded() {
    let (mut served, mut failures) = (0, Vec::new());
    for row in rows("patch.jsonl") {
        let path = row["path"].as_str().expect("a row has a path");
        let Some(kind) = path
            .split('/')
            .rev()
            .nth(1)
            .and_then(|plural| Kind::find("", "v1", plural))
        else {
            continue;
        };
        let name = row["name"].as_str().unwrap_or_default();
        let live = created(kind, &row["start"]);
        for step in row["steps"].as_array().into_iter().flatten() {
            served += 1;
            let ((wanted_code, wanted), (code, got)) = (recorded(name, step), patched(kind, &live, step));
            let mut lines = difference(&wanted, &got);
            if code != wanted_code {
                lines = format!("wanted {wanted_code}, got {code}\n{lines}");
            }
            if !lines.is_empty() {
                failures.push((name.to_owned(), lines));
            }
        }
    }
    assert!(served > 18, "only {served} steps are of a kind served");
    report(served, &failures);
}

/// Prints what patches and ownership cost: `cargo nextest run --release --run-ignored only what_an_apply_costs`.
#[test]
#[ignore = "prints times for a person to read; only a release build says much"]
fn what_an_apply_costs() {
    let pods = Kind::find("", "v1", "pods").expect("pods are served");
    let container = |name: &str| {
        json!({"name": name, "image": "registry.example.com/team/app:1.2.3", "imagePullPolicy": "IfNotPresent",
               "args": ["--listen", "0.0.0.0:8080", "--log", "info"],
               "env": [{"name": "A", "value": "1"}, {"name": "B", "value": "2"}, {"name": "C", "value": "3"}],
               "ports": [{"containerPort": 8080, "name": "web", "protocol": "TCP"}],
               "resources": {"limits": {"cpu": "500m", "memory": "64Mi"}, "requests": {"cpu": "100m", "memory": "32Mi"}},
               "volumeMounts": [{"mountPath": "/data", "name": "data"}, {"mountPath": "/tmp", "name": "tmp"}]})
    };
    let config = json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "p", "labels": {"app": "web"}},
                        "spec": {"containers": [container("app"), container("side")]}});
    let apply =
        |live, config, manager| managed::apply(pods, live, config, false, writer(manager)).expect("no conflict");
    let live = apply(None, &config, "one");
    let mut changed = config.clone();
    changed["spec"]["containers"][1]["image"] = json!("other");
    let mut renamed = live.clone();
    renamed["spec"]["containers"][1]["image"] = json!("other");
    let report = |name: &str, run: &dyn Fn()| {
        let (rounds, start) = (1_000, std::time::Instant::now());
        (0..rounds).for_each(|_| run());
        println!(
            "{name}: {:?} each, of {} bytes",
            start.elapsed() / rounds,
            config.to_string().len()
        );
    };
    report("first apply", &|| drop(apply(None, &config, "one")));
    report("the same again", &|| drop(apply(Some(&live), &config, "one")));
    report("one field changed", &|| drop(apply(Some(&live), &changed, "one")));
    report("shared with another manager", &|| {
        drop(apply(Some(&live), &config, "two"))
    });
    report("tracked create", &|| {
        managed::track_update(pods, None, &mut config.clone(), writer("creator"))
    });
    report("tracked update", &|| {
        managed::track_update(pods, Some(&live), &mut renamed.clone(), writer("two"))
    });
    report("strategic merge", &|| {
        drop(patch::strategic(
            pods,
            &live,
            &json!({"metadata": {"labels": {"a": "b"}}}),
        ));
    });
}
