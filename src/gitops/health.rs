//! Whether an object does what it is there for. Pure.

use serde_json::Value;

/// How an object is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Health {
    /// As it should be.
    Healthy,
    /// Not yet; what it lacks.
    Progressing(String),
    /// It will not become healthy by itself; why.
    Failed(String),
}

/// The health of a live object.
pub fn of(object: &Value) -> Health {
    if is_going(object) {
        return Health::Progressing("being deleted".into());
    }
    if is_unseen(object) {
        return Health::Progressing("the change was not seen yet".into());
    }
    match (object["apiVersion"].as_str(), object["kind"].as_str()) {
        (Some("v1"), Some("Pod")) => pod(object),
        (Some("v1"), Some("Namespace")) => match object["status"]["phase"].as_str() {
            Some("Terminating") => Health::Progressing("Terminating".into()),
            _ => Health::Healthy,
        },
        (Some("v1"), Some("PersistentVolume")) => volume(&object["status"]),
        (Some("v1"), Some("PersistentVolumeClaim")) => claim(object),
        _ => Health::Healthy,
    }
}

fn volume(status: &Value) -> Health {
    match status["phase"].as_str() {
        Some("Available" | "Bound") => Health::Healthy,
        Some("Failed") => Health::Failed(sentence(status["reason"].as_str(), status["message"].as_str())),
        phase => Health::Progressing(phase.unwrap_or("Pending").to_owned()),
    }
}

/// A claim may wait for the first pod that uses it, which may come only once the claim counts as healthy: it is
/// waited for only where its volume is already chosen or made.
fn claim(object: &Value) -> Health {
    let chosen = [
        "/spec/volumeName",
        "/metadata/annotations/volume.kubernetes.io~1selected-node",
    ]
    .into_iter()
    .any(|pointer| {
        object
            .pointer(pointer)
            .and_then(Value::as_str)
            .is_some_and(|text| !text.is_empty())
    });
    match object["status"]["phase"].as_str() {
        Some("Lost") => Health::Failed("its volume is gone".into()),
        Some("Bound") => Health::Healthy,
        _ if chosen => Health::Progressing("not bound".into()),
        _ => Health::Healthy,
    }
}

/// Whether the status is about an earlier content, and so says nothing of this one.
fn is_unseen(object: &Value) -> bool {
    let generation = object["metadata"]["generation"].as_i64();
    let observed = object["status"]["observedGeneration"].as_i64();
    observed.is_some_and(|observed| Some(observed) < generation)
}

/// Whether it was told to go and is still there.
pub fn is_going(object: &Value) -> bool {
    object["metadata"].get("deletionTimestamp").is_some()
}

/// Whether a pod ended for good: it is neither started nor created again.
pub fn is_finished_pod(object: &Value) -> bool {
    object["kind"] == "Pod"
        && object["apiVersion"] == "v1"
        && matches!(object["status"]["phase"].as_str(), Some("Succeeded" | "Failed"))
}

fn pod(object: &Value) -> Health {
    let status = &object["status"];
    match status["phase"].as_str() {
        Some("Succeeded") => return Health::Healthy,
        Some("Failed") => return Health::Failed(failure(status)),
        _ => {}
    }
    let condition = |name: &str| {
        status["conditions"]
            .as_array()
            .into_iter()
            .flatten()
            .find(|condition| condition["type"] == name)
    };
    if condition("Ready").is_some_and(|ready| ready["status"] == "True") {
        return Health::Healthy;
    }
    if let Some(waiting) = waiting(status) {
        return Health::Progressing(waiting);
    }
    if let Some(scheduled) = condition("PodScheduled").filter(|scheduled| scheduled["status"] == "False") {
        return Health::Progressing(sentence(scheduled["reason"].as_str(), scheduled["message"].as_str()));
    }
    match status["phase"].as_str() {
        Some("Running") => Health::Progressing("not ready".into()),
        phase => Health::Progressing(phase.unwrap_or("Pending").to_owned()),
    }
}

fn containers(status: &Value) -> impl Iterator<Item = &Value> {
    ["initContainerStatuses", "containerStatuses"]
        .into_iter()
        .flat_map(|field| status[field].as_array().into_iter().flatten())
}

/// What the first waiting container waits for.
fn waiting(status: &Value) -> Option<String> {
    containers(status).find_map(|container| {
        let waiting = &container["state"]["waiting"];
        let reason = waiting["reason"]
            .as_str()
            .filter(|reason| *reason != "PodInitializing" && *reason != "ContainerCreating")?;
        let name = container["name"].as_str().unwrap_or_default();
        Some(format!(
            "container {name}: {}",
            sentence(Some(reason), waiting["message"].as_str())
        ))
    })
}

fn failure(status: &Value) -> String {
    let ended = containers(status).find_map(|container| {
        let ended = &container["state"]["terminated"];
        let code = ended["exitCode"].as_i64().filter(|code| *code != 0)?;
        let name = container["name"].as_str().unwrap_or_default();
        Some(format!(
            "container {name} ended with exit code {code} ({})",
            ended["reason"].as_str().unwrap_or("Error")
        ))
    });
    let said = status["reason"]
        .as_str()
        .map(|reason| sentence(Some(reason), status["message"].as_str()));
    said.or(ended)
        .map_or_else(|| "Failed".to_owned(), |reason| format!("Failed: {reason}"))
}

fn sentence(reason: Option<&str>, message: Option<&str>) -> String {
    match (reason, message.filter(|message| !message.is_empty())) {
        (Some(reason), Some(message)) => format!("{reason}: {message}"),
        (Some(text), None) | (None, Some(text)) => text.to_owned(),
        (None, None) => "waiting".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn volumes_and_claims_are_judged_by_phase() {
        let progressing = |text: &str| Health::Progressing(text.into());
        for (name, kind, rest, expected) in [
            (
                "free",
                "PersistentVolume",
                json!({"status": {"phase": "Available"}}),
                Health::Healthy,
            ),
            ("new", "PersistentVolume", json!({}), progressing("Pending")),
            (
                "broken",
                "PersistentVolume",
                json!({"status": {"phase": "Failed", "message": "no disk"}}),
                Health::Failed("no disk".into()),
            ),
            (
                "bound",
                "PersistentVolumeClaim",
                json!({"status": {"phase": "Bound"}}),
                Health::Healthy,
            ),
            (
                "waits for a pod",
                "PersistentVolumeClaim",
                json!({"status": {"phase": "Pending"}}),
                Health::Healthy,
            ),
            (
                "has a pod",
                "PersistentVolumeClaim",
                json!({"metadata": {"annotations": {"volume.kubernetes.io/selected-node": "n"}}}),
                progressing("not bound"),
            ),
            (
                "lost",
                "PersistentVolumeClaim",
                json!({"status": {"phase": "Lost"}}),
                Health::Failed("its volume is gone".into()),
            ),
        ] {
            let mut object = rest;
            object["apiVersion"] = json!("v1");
            object["kind"] = json!(kind);
            assert_eq!(of(&object), expected, "{name}");
        }
    }

    #[test]
    fn pods_are_judged_by_phase_conditions_and_containers() {
        let progressing = |text: &str| Health::Progressing(text.into());
        for (name, status, expected) in [
            ("new", json!({}), progressing("Pending")),
            (
                "ready",
                json!({"phase": "Running", "conditions": [{"type": "Ready", "status": "True"}]}),
                Health::Healthy,
            ),
            ("done", json!({"phase": "Succeeded"}), Health::Healthy),
            (
                "failed",
                json!({"phase": "Failed", "containerStatuses": [{"name": "c", "state": {"terminated": {"exitCode": 3, "reason": "Error"}}}]}),
                Health::Failed("Failed: container c ended with exit code 3 (Error)".into()),
            ),
            (
                "crashing",
                json!({"phase": "Running", "containerStatuses": [{"name": "c", "state": {"waiting": {"reason": "CrashLoopBackOff", "message": "back-off 10s"}}}]}),
                progressing("container c: CrashLoopBackOff: back-off 10s"),
            ),
            (
                "fits nowhere",
                json!({"phase": "Pending", "conditions": [{"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": "0/1 nodes are available"}]}),
                progressing("Unschedulable: 0/1 nodes are available"),
            ),
            (
                "starting",
                json!({"phase": "Pending", "containerStatuses": [{"name": "c", "state": {"waiting": {"reason": "ContainerCreating"}}}]}),
                progressing("Pending"),
            ),
        ] {
            let pod = json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "a"}, "status": status});
            assert_eq!(of(&pod), expected, "{name}");
        }
        assert_eq!(of(&json!({"apiVersion": "v1", "kind": "ConfigMap"})), Health::Healthy);
        assert_eq!(
            of(&json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"deletionTimestamp": "x"}})),
            progressing("being deleted")
        );
    }

    #[test]
    fn what_was_not_looked_at_since_it_changed_is_not_healthy() {
        for (observed, healthy) in [(json!(1), false), (json!(2), true), (json!(null), true)] {
            let pod = json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "a", "generation": 2},
                "status": {"phase": "Succeeded", "observedGeneration": observed}});
            assert_eq!(of(&pod) == Health::Healthy, healthy, "{observed}");
        }
    }
}
