//! `pods/binding`: gives a pod its node, once.

use axum::body::Body;
use axum::response::Response;
use http::StatusCode;
use serde_json::{Value, json};

use super::error::{ApiError, Resource};
use super::registry::{Decision, is_deleting, is_empty_list, set_condition, swap, text};
use super::respond;
use super::server::now;
use super::subresources::read_small;
use super::verbs::{Call, check_name, check_namespace};
use crate::object::Kind;

/// Binds the pod of the path to the node of the body.
///
/// # Errors
/// 404 for a missing pod, 409 for one that is bound, gated, being deleted or another than the body's uid.
pub async fn bind(call: &Call<'_>, body: Body) -> Result<Response, ApiError> {
    let binding = read_small(call, body, "Binding").await?;
    let (kind, name) = (call.target.kind, call.name()?);
    if !text(&binding, "/metadata/name").is_empty() {
        check_name(&binding, name)?;
    }
    check_namespace(&binding, call.target.namespace)?;
    let target_kind = text(&binding, "/target/kind");
    let node = text(&binding, "/target/name");
    if node.is_empty() || !matches!(target_kind, "" | "Node") {
        return Err(ApiError::BadRequest(
            "target: Invalid value: it must name a Node".to_owned(),
        ));
    }
    let now = now();
    swap(
        call.server,
        kind,
        call.target.namespace,
        name,
        call.query.dry_run()?,
        |live| bound(kind, name, live.object, &binding, node, &now).map(Decision::Write),
    )
    .await?;
    let status = json!({"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success", "code": 201});
    Ok(respond::json_value(StatusCode::CREATED, &status))
}

/// The pod with its node. Pure.
fn bound(kind: &Kind, name: &str, mut pod: Value, binding: &Value, node: &str, now: &str) -> Result<Value, ApiError> {
    let (wanted, uid) = (text(binding, "/metadata/uid"), text(&pod, "/metadata/uid"));
    if !wanted.is_empty() && wanted != uid {
        let reason = format!("Precondition failed: UID in precondition: {wanted}, UID in object meta: {uid}");
        return Err(ApiError::conflict(kind, name, reason));
    }
    let refuse = |reason: String| {
        Err(ApiError::Conflict {
            resource: Resource {
                group: String::new(),
                plural: "pods/binding".to_owned(),
            },
            name: name.to_owned(),
            reason,
        })
    };
    if is_deleting(&pod) {
        return refuse(format!("pod {name} is being deleted, cannot be assigned to a host"));
    }
    let current = text(&pod, "/spec/nodeName");
    if !current.is_empty() {
        return refuse(format!("pod {name} is already assigned to node {current:?}"));
    }
    if !is_empty_list(&pod, "/spec/schedulingGates") {
        return refuse(format!("pod {name} has non-empty .spec.schedulingGates"));
    }
    pod["spec"]["nodeName"] = json!(node);
    if let Some(annotations) = binding.pointer("/metadata/annotations").and_then(Value::as_object) {
        for (key, value) in annotations.iter().filter(|(_, value)| value.is_string()) {
            pod["metadata"]["annotations"][key] = value.clone();
        }
    }
    // Where it was to go, once there is room, is of no interest any more (KEP-5278).
    if let Some(status) = pod["status"].as_object_mut() {
        status.remove("nominatedNodeName");
    }
    set_condition(&mut pod, json!({"type": "PodScheduled", "status": "True"}), now);
    Ok(pod)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn decide(live: &Value, binding: &Value) -> Result<Value, ApiError> {
        let kind = Kind::find("", "v1", "pods").expect("pods");
        bound(kind, "p", live.clone(), binding, "n", "now")
    }

    #[test]
    fn a_pod_is_bound_once_with_its_condition() {
        let live = json!({"metadata": {"name": "p", "uid": "u"}, "spec": {}, "status": {"conditions": [
            {"type": "PodScheduled", "status": "False", "reason": "Unschedulable"},
        ], "nominatedNodeName": "m"}});
        let pod = decide(&live, &json!({"metadata": {"annotations": {"a": "b"}}})).expect("bound");
        assert_eq!(pod["spec"]["nodeName"], "n");
        assert_eq!(pod["metadata"]["annotations"]["a"], "b");
        assert_eq!(pod["status"]["conditions"].as_array().map(Vec::len), Some(1));
        assert_eq!(pod["status"]["conditions"][0]["status"], "True");
        assert!(pod["status"]["conditions"][0].get("reason").is_none());
        assert_eq!(pod["status"]["conditions"][0]["lastTransitionTime"], "now");
        assert!(pod["status"].get("nominatedNodeName").is_none(), "it is there now");
        assert!(
            matches!(decide(&pod, &json!({})), Err(ApiError::Conflict { .. })),
            "again"
        );
    }

    #[test]
    fn another_pod_a_deleted_or_a_gated_one_is_not_bound() {
        let live = json!({"metadata": {"name": "p", "uid": "u"}, "spec": {}});
        assert!(matches!(
            decide(&live, &json!({"metadata": {"uid": "other"}})),
            Err(ApiError::Conflict { .. })
        ));
        let deleted = json!({"metadata": {"name": "p", "deletionTimestamp": "t"}, "spec": {}});
        assert!(matches!(decide(&deleted, &json!({})), Err(ApiError::Conflict { .. })));
        let gated = json!({"metadata": {"name": "p"}, "spec": {"schedulingGates": [{"name": "g"}]}});
        let refusal = decide(&gated, &json!({})).expect_err("it is gated").to_string();
        let wanted = "Operation cannot be fulfilled on pods/binding \"p\": pod p has non-empty .spec.schedulingGates";
        assert_eq!(refusal, wanted);
    }
}
