//! Removing objects: preconditions, finalizers, a pod's grace. Never knows HTTP.

use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};

use super::update::deletion_is_complete;
use super::{Decision, Outcome, is_deleting, set_condition, swap, text};
use crate::apiserver::error::ApiError;
use crate::apiserver::record::Stored;
use crate::apiserver::server::{Server, time_text};
use crate::apiserver::service_accounts;
use crate::object::Kind;

/// A pod's grace where its spec says nothing, seconds; Kubernetes' default.
const POD_GRACE_SECONDS: i64 = 30;
/// Namespaces that are never deleted.
const NAMESPACES_KEPT: [&str; 3] = ["default", "kube-system", "kube-public"];

/// How an object is to be deleted.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// Seconds that a pod gets to stop.
    pub grace_seconds: Option<i64>,
    /// Only this very object.
    pub uid: Option<String>,
    /// Only this very version.
    pub resource_version: Option<String>,
    /// Only a rehearsal.
    pub dry_run: bool,
    /// What a pod's conditions say of why it goes, written with the deletion itself.
    pub condition: Option<Value>,
}

impl Options {
    /// Reads a `DeleteOptions` object; null is none.
    ///
    /// # Errors
    /// 400 where a field has the wrong type or an unknown value.
    pub fn read(options: &Value) -> Result<Self, ApiError> {
        if options.is_null() {
            return Ok(Self::default());
        }
        let wrong = |field: &str| ApiError::BadRequest(format!("DeleteOptions: {field} has a wrong type or value"));
        if !options.is_object() {
            return Err(wrong("the body"));
        }
        let kind = text(options, "/kind");
        if !kind.is_empty() && kind != "DeleteOptions" {
            return Err(ApiError::BadRequest(format!(
                "the body must be DeleteOptions, not {kind}"
            )));
        }
        let string = |pointer: &str| match options.pointer(pointer) {
            None | Some(Value::Null) => Ok(None),
            Some(Value::String(text)) => Ok(Some(text.clone())),
            Some(_) => Err(wrong(pointer)),
        };
        let grace_seconds = match options.get("gracePeriodSeconds") {
            None | Some(Value::Null) => None,
            Some(value) => Some(value.as_i64().ok_or_else(|| wrong("gracePeriodSeconds"))?),
        };
        if let Some(policy) = string("/propagationPolicy")? {
            check_propagation(&policy)?;
        }
        let dry_run = match options.get("dryRun") {
            None | Some(Value::Null) => false,
            Some(Value::Array(list)) if list.is_empty() => false,
            Some(Value::Array(list)) if list.iter().all(|item| item == "All") => true,
            Some(_) => return Err(wrong("dryRun")),
        };
        Ok(Self {
            grace_seconds,
            uid: string("/preconditions/uid")?,
            resource_version: string("/preconditions/resourceVersion")?,
            dry_run,
            condition: None,
        })
    }
}

/// Refuses what is no propagation policy. There are no dependents to treat one way or another yet.
pub fn check_propagation(policy: &str) -> Result<(), ApiError> {
    match policy {
        "Orphan" | "Background" | "Foreground" => Ok(()),
        other => Err(ApiError::BadRequest(format!(
            "propagationPolicy: Unsupported value: {other:?}: supported values: \"Foreground\", \"Background\", \"Orphan\""
        ))),
    }
}

/// Deletes an object, or marks it as being deleted where something must happen first.
///
/// # Errors
/// 404; 409 where a precondition does not hold; 403 for namespaces that stay.
pub async fn delete(
    server: &Server,
    kind: &'static Kind,
    namespace: Option<&str>,
    name: &str,
    options: &Options,
) -> Result<Outcome, ApiError> {
    if kind.kind == "Namespace" && NAMESPACES_KEPT.contains(&name) {
        return Err(ApiError::forbidden(
            kind,
            name,
            "this namespace may not be deleted".to_owned(),
        ));
    }
    let now = Timestamp::now();
    let outcome = swap(server, kind, namespace, name, options.dry_run, |live| {
        check_preconditions(kind, name, &live, options)?;
        Ok(decide(kind, live.object, options, now))
    })
    .await?;
    if outcome.removed && kind.kind == "ServiceAccount" {
        service_accounts::after_delete(server, &outcome.object).await?;
    }
    Ok(outcome)
}

/// Refuses another object than the options are about.
///
/// # Errors
/// 409.
pub fn check_preconditions(kind: &Kind, name: &str, live: &Stored, options: &Options) -> Result<(), ApiError> {
    let differs = |what: &str, field: &str, wanted: &str, actual: &str| {
        ApiError::conflict(
            kind,
            name,
            format!("Precondition failed: {what} in precondition: {wanted}, {what} in object meta: {actual} ({field})"),
        )
    };
    let uid = text(&live.object, "/metadata/uid");
    if let Some(wanted) = options.uid.as_deref().filter(|wanted| *wanted != uid) {
        return Err(differs("UID", "metadata.uid", wanted, uid));
    }
    let version = live.revision.to_string();
    if let Some(wanted) = options.resource_version.as_deref().filter(|wanted| *wanted != version) {
        return Err(differs("ResourceVersion", "metadata.resourceVersion", wanted, &version));
    }
    Ok(())
}

/// What becomes of the object. Pure.
fn decide(kind: &Kind, live: Value, options: &Options, now: Timestamp) -> Decision {
    let mut object = live.clone();
    if let Some(condition) = &options.condition {
        set_condition(&mut object, condition.clone(), &time_text(now));
    }
    if kind.kind == "Pod" {
        if !shorten_or_start(&mut object, options.grace_seconds, now) {
            return if object == live {
                Decision::Keep(live)
            } else {
                Decision::Write(object)
            };
        }
    } else if !is_deleting(&object) {
        object["metadata"]["deletionTimestamp"] = json!(time_text(now));
        if kind.kind == "Namespace" {
            object["status"]["phase"] = json!("Terminating");
        } else {
            object["metadata"]["deletionGracePeriodSeconds"] = json!(0);
        }
    }
    if deletion_is_complete(kind, &object) {
        Decision::Remove(object)
    } else if object == live {
        Decision::Keep(live)
    } else {
        bump_generation(&mut object);
        Decision::Write(object)
    }
}

/// Sets a pod's deadline, or brings an earlier one forward; `false` where nothing changes.
fn shorten_or_start(pod: &mut Value, grace_seconds: Option<i64>, now: Timestamp) -> bool {
    let asked = grace_seconds.map(|seconds| if seconds < 0 { 1 } else { seconds });
    let (grace, started) = if is_deleting(pod) {
        let old = pod
            .pointer("/metadata/deletionGracePeriodSeconds")
            .and_then(Value::as_i64)
            .unwrap_or(0);
        let Some(shorter) = asked.filter(|asked| *asked < old || old == 0) else {
            return old == 0;
        };
        let deadline: Timestamp = text(pod, "/metadata/deletionTimestamp").parse().unwrap_or(now);
        (shorter, deadline - SignedDuration::from_secs(old))
    } else {
        (first_grace(pod, asked), now)
    };
    pod["metadata"]["deletionTimestamp"] = json!(time_text(started + SignedDuration::from_secs(grace)));
    pod["metadata"]["deletionGracePeriodSeconds"] = json!(grace);
    true
}

/// The grace of a pod's first deletion: none where nothing runs.
fn first_grace(pod: &Value, asked: Option<i64>) -> i64 {
    let ended = matches!(text(pod, "/status/phase"), "Succeeded" | "Failed");
    if ended || text(pod, "/spec/nodeName").is_empty() {
        return 0;
    }
    let own = pod
        .pointer("/spec/terminationGracePeriodSeconds")
        .and_then(Value::as_i64)
        .unwrap_or(POD_GRACE_SECONDS);
    asked.unwrap_or(if own < 0 { 1 } else { own })
}

fn bump_generation(object: &mut Value) {
    if let Some(generation) = object.pointer("/metadata/generation").and_then(Value::as_i64) {
        object["metadata"]["generation"] = json!(generation.saturating_add(1));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pod(node: &str, phase: &str) -> Value {
        json!({
            "metadata": {"name": "p"},
            "spec": {"nodeName": node, "terminationGracePeriodSeconds": 20},
            "status": {"phase": phase},
        })
    }

    #[test]
    fn the_first_grace() {
        let cases = [
            ("running", pod("n", "Running"), None, 20),
            ("running, shorter", pod("n", "Running"), Some(5), 5),
            ("running, longer", pod("n", "Running"), Some(60), 60),
            ("running, at once", pod("n", "Running"), Some(0), 0),
            ("never bound", pod("", "Pending"), Some(60), 0),
            ("succeeded", pod("n", "Succeeded"), None, 0),
            ("failed", pod("n", "Failed"), Some(9), 0),
        ];
        for (name, pod, asked, grace) in cases {
            assert_eq!(first_grace(&pod, asked), grace, "{name}");
        }
    }

    #[test]
    fn a_second_deletion_may_only_shorten() {
        let now: Timestamp = "2026-01-01T00:00:00Z".parse().expect("a time");
        let mut pod = pod("n", "Running");
        assert!(shorten_or_start(&mut pod, None, now));
        assert_eq!(pod["metadata"]["deletionTimestamp"], "2026-01-01T00:00:20Z");
        assert!(!shorten_or_start(&mut pod, Some(30), now), "longer changes nothing");
        assert!(!shorten_or_start(&mut pod, None, now), "again changes nothing");
        assert!(shorten_or_start(&mut pod, Some(5), now));
        assert_eq!(pod["metadata"]["deletionTimestamp"], "2026-01-01T00:00:05Z");
        assert!(shorten_or_start(&mut pod, Some(0), now));
        assert_eq!(pod["metadata"]["deletionGracePeriodSeconds"], 0);
    }

    #[test]
    fn options_are_read_strictly() {
        let options = Options::read(&json!({
            "kind": "DeleteOptions", "apiVersion": "v1", "gracePeriodSeconds": 3, "propagationPolicy": "Background",
            "preconditions": {"uid": "u", "resourceVersion": "7"}, "dryRun": ["All"],
        }))
        .expect("options");
        assert_eq!(
            (options.grace_seconds, options.uid.as_deref(), options.dry_run),
            (Some(3), Some("u"), true)
        );
        for bad in [
            json!([]),
            json!({"kind": "Pod"}),
            json!({"gracePeriodSeconds": "x"}),
            json!({"propagationPolicy": "Nope"}),
            json!({"dryRun": ["Some"]}),
        ] {
            assert!(Options::read(&bad).is_err(), "{bad}");
        }
    }
}
