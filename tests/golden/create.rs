//! Creates: the code, the whole object or every cause. What belongs to the server is stood in for here, thinly.

use reconcile::object::{Kind, node, pod};
use serde_json::{Value, json};

use super::{difference, report, rows};

/// The secret with the default account's token in the cluster that was recorded.
const TOKEN_SECRET: &str = "default-token-fqkc6";

/// What the server says: a code and the object, or a code, the refusal's reason and its causes (reason, field).
type Answer = (u64, Value);

fn refusal(code: u64, reason: &str, causes: &[(String, String)]) -> Answer {
    (code, json!({"reason": reason, "causes": causes}))
}

/// The kind and namespace that a collection's path names.
fn resource(path: &str) -> Option<(&'static Kind, Option<String>)> {
    let parts: Vec<&str> = path.split('/').filter(|part| !part.is_empty()).collect();
    let (group, version, rest) = match parts.as_slice() {
        ["api", version, rest @ ..] => ("", *version, rest),
        ["apis", group, version, rest @ ..] => (*group, *version, rest),
        _ => panic!("{path} is no path of the API"),
    };
    let (namespace, plural) = match rest {
        ["namespaces", namespace, plural] => (Some((*namespace).to_owned()), *plural),
        [plural] => (None, *plural),
        _ => panic!("{path} is no collection"),
    };
    Kind::find(group, version, plural).map(|kind| (kind, namespace))
}

/// The priority classes that every cluster has.
fn priority_class(name: &str) -> Option<Value> {
    let value = match name {
        "system-node-critical" => 2_000_001_000,
        "system-cluster-critical" => 2_000_000_000,
        _ => return None,
    };
    Some(json!({"metadata": {"name": name}, "value": value}))
}

pub(super) fn admit(kind: &Kind, object: &mut Value) -> Result<(), pod::Forbidden> {
    match kind.kind {
        "Pod" => {
            let class = pod::priority_class_name(object).and_then(priority_class);
            pod::admit_priority(object, class.as_ref())?;
            pod::admit_tolerations(object)?;
            let account = json!({"metadata": {"name": "default"}, "secrets": [{"name": TOKEN_SECRET}]});
            let account = (pod::service_account_name(object) == "default").then_some(account);
            pod::admit_service_account(object, account.as_ref(), Some(TOKEN_SECRET))
        }
        "Node" => {
            node::admit_not_ready(object);
            Ok(())
        }
        _ => Ok(()),
    }
}

fn create(kind: &Kind, namespace: Option<&str>, body: Value) -> Answer {
    let Ok(decoded) = kind.decode(body) else {
        return refusal(400, "BadRequest", &[]);
    };
    let mut object = decoded.object;
    if let Some(namespace) = namespace {
        if object["metadata"]
            .get("namespace")
            .is_some_and(|stated| stated != namespace)
        {
            return refusal(400, "BadRequest", &[]);
        }
        object["metadata"]["namespace"] = json!(namespace);
    }
    kind.default(&mut object);
    if let (None, Some(prefix)) = (object["metadata"].get("name"), object["metadata"].get("generateName")) {
        object["metadata"]["name"] = json!(format!("{}00000", prefix.as_str().unwrap_or_default()));
    }
    if admit(kind, &mut object).is_err() {
        return refusal(403, "Forbidden", &[]);
    }
    kind.prepare_create(&mut object);
    let errors = kind.validate_create(&object);
    if !errors.is_empty() {
        let causes: Vec<_> = errors
            .into_iter()
            .map(|error| (error.kind.reason().to_owned(), error.field))
            .collect();
        return refusal(422, "Invalid", &causes);
    }
    object["metadata"]["uid"] = json!("<uid>");
    object["metadata"]["creationTimestamp"] = json!("<creationTimestamp>");
    (201, object)
}

/// The recorded answer in the same form.
fn recorded(row: &Value) -> Answer {
    let code = row["code"].as_u64().expect("a row has a code");
    let mut answer = row["answer"].clone();
    if code != 201 {
        let causes: Vec<(String, String)> = answer["details"]["causes"]
            .as_array()
            .into_iter()
            .flatten()
            .map(|cause| {
                let text = |key: &str| cause[key].as_str().unwrap_or_default().to_owned();
                (text("reason"), text("field"))
            })
            .collect();
        return refusal(code, answer["reason"].as_str().unwrap_or_default(), &causes);
    }
    answer["metadata"]
        .as_object_mut()
        .expect("metadata")
        .remove("managedFields");
    // Later versions end a pod with a negative grace period as fast as they can: documented beside the records.
    if let Some(grace) = answer.pointer_mut("/spec/terminationGracePeriodSeconds")
        && grace.as_i64().is_some_and(|seconds| seconds < 0)
    {
        *grace = json!(1);
    }
    (code, answer)
}

#[test]
fn every_create_is_answered_as_recorded() {
    let (mut served, mut failures) = (0, Vec::new());
    for row in rows("create.jsonl") {
        let Some((kind, namespace)) = resource(row["path"].as_str().expect("a row has a path")) else {
            continue;
        };
        served += 1;
        let (wanted_code, mut wanted) = recorded(&row);
        let (code, mut got) = create(kind, namespace.as_deref(), row["body"].clone());
        for object in [&mut wanted, &mut got] {
            // What follows the prefix of a generated name is the server's.
            if object["metadata"].get("generateName").is_some() {
                object["metadata"]["name"] = object["metadata"]["generateName"].clone();
            }
        }
        let mut lines = difference(&wanted, &got);
        if code != wanted_code {
            lines = format!("wanted {wanted_code}, got {code}\n{lines}");
        }
        if !lines.is_empty() {
            failures.push((row["name"].as_str().unwrap_or_default().to_owned(), lines));
        }
    }
    assert!(served > 150, "only {served} rows are of a kind served");
    report(served, &failures);
}
