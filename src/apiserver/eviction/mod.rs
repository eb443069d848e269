//! `pods/eviction`: deletes a pod if its disruption budget has room for that, as `kubectl drain` and others who move
//! pods ask for it. Counts nothing itself: budgets are reckoned by their controller.

use std::collections::BTreeMap;

use axum::body::Body;
use axum::response::Response;
use http::StatusCode;
use jiff::Timestamp;
use k8s_openapi::api::policy::v1::{PodDisruptionBudget, PodDisruptionBudgetStatus};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use serde_json::{Value, json};

use super::error::ApiError;
use super::record::{self, Stored};
use super::registry::delete::{self, Options};
use super::registry::{self, Decision, is_deleting, swap, text};
use super::respond;
use super::server::Server;
use super::subresources::read_small;
use super::verbs::{Call, check_name, check_namespace};
use crate::object::Kind;
use crate::object::disruption::{self, ALWAYS_ALLOW, DISRUPTION_ALLOWED, DISRUPTION_TARGET, SYNC_FAILED};
use crate::object::kind::DecodeError;
use crate::store::ListOptions;

/// How often an eviction is decided anew when the pod or its budget changes meanwhile; Kubernetes tries as often.
const ROUNDS_MAX: usize = 20;
/// How many pods a budget may have given leave to go without its controller having noticed, as in Kubernetes.
const GOING_MAX: usize = 2000;
/// When to ask again where the budget's controller is behind, in seconds, as in Kubernetes.
const BEHIND_RETRY_SECONDS: u32 = 10;

/// What must happen before a pod may be deleted.
#[derive(Clone, Debug, PartialEq)]
enum Leave {
    /// Nothing: it disturbs no budget, whatever becomes of the pod meanwhile.
    Given,
    /// Nothing, as long as the pod stays as it was read. With the budget's name, where one allows it.
    WhileUnchanged(Option<String>),
    /// That budget must spend one of its disruptions.
    Spend(String),
}

/// Deletes the pod of the path with the body's options.
///
/// # Errors
/// As a deletion; 429 where the pod's budget has no room, 500 where it has several.
pub async fn evict(call: &Call<'_>, body: Body) -> Result<Response, ApiError> {
    let eviction = read_small(call, body, "Eviction").await?;
    check_name(&eviction, call.name()?)?;
    check_namespace(&eviction, call.target.namespace)?;
    let mut options = Options::read(&eviction["deleteOptions"])?;
    options.dry_run |= call.query.dry_run()?;
    // With the deletion in one write, so that a pod that says so does go.
    options.condition = Some(json!({
        "type": DISRUPTION_TARGET, "status": "True", "reason": "EvictionByEvictionAPI",
        "message": "Eviction API: evicting",
    }));
    for _ in 0..ROUNDS_MAX {
        if attempt(call, &options).await? {
            let status =
                json!({"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success", "code": 201});
            return Ok(respond::json_value(StatusCode::CREATED, &status));
        }
    }
    Err(ApiError::modified(call.target.kind, call.name()?))
}

/// Evicts the pod as it is now; `false` where it has changed meanwhile and everything is to be asked again.
async fn attempt(call: &Call<'_>, options: &Options) -> Result<bool, ApiError> {
    let (server, kind, namespace, name) = (call.server, call.target.kind, call.target.namespace, call.name()?);
    let live = registry::read(server, kind, namespace, name).await?;
    // A budget must not be spent on a pod that is not the one meant.
    delete::check_preconditions(kind, name, &live, options)?;
    let leave = match without_asking(&live.object) {
        Some(leave) => leave,
        None => ask(&live.object, &budgets_of(server, namespace, &live.object).await?)?,
    };
    let asked_version = options.resource_version.is_some();
    if let Leave::Spend(budget) = &leave {
        match spend(server, namespace, budget, name, options.dry_run).await {
            Ok(()) => {}
            // It went with its budget's demands, so those of others are to be asked for.
            Err(ApiError::NotFound { .. }) => return Ok(false),
            Err(error) => return Err(error),
        }
    }
    let options = held_to(&leave, options, &live);
    match delete::delete(server, kind, namespace, name, &options).await {
        Ok(_) => Ok(true),
        Err(error @ ApiError::Conflict { .. }) if !asked_version => match leave {
            Leave::WhileUnchanged(None) => Ok(false),
            // It may have become ready, which its budget does not know yet.
            Leave::WhileUnchanged(Some(budget)) => Err(behind(&budget)),
            Leave::Given | Leave::Spend(_) => Err(error),
        },
        Err(error) => Err(error),
    }
}

/// The deletion's options, which hold it to the pod as it was read where the leave does. Pure.
fn held_to(leave: &Leave, options: &Options, live: &Stored) -> Options {
    let mut options = options.clone();
    if matches!(leave, Leave::WhileUnchanged(_)) {
        options
            .resource_version
            .get_or_insert_with(|| live.revision.to_string());
    }
    options
}

/// Pods that serve nobody go without asking a budget: they have not begun, are done, or are going already. Pure.
fn without_asking(pod: &Value) -> Option<Leave> {
    match text(pod, "/status/phase") {
        _ if is_deleting(pod) => Some(Leave::Given),
        "Succeeded" | "Failed" => Some(Leave::Given),
        // It must not become ready meanwhile.
        "Pending" => Some(Leave::WhileUnchanged(None)),
        _ => None,
    }
}

fn budget_kind() -> Result<&'static Kind, ApiError> {
    Kind::find("policy", "v1", "poddisruptionbudgets")
        .ok_or_else(|| ApiError::Internal("disruption budgets are not served".to_owned()))
}

fn read_budget(object: &Value) -> Result<PodDisruptionBudget, ApiError> {
    serde_json::from_value(object.clone())
        .map_err(|error| ApiError::Internal(format!("a disruption budget cannot be read: {error}")))
}

/// The budgets that select the pod.
async fn budgets_of(
    server: &Server,
    namespace: Option<&str>,
    pod: &Value,
) -> Result<Vec<PodDisruptionBudget>, ApiError> {
    let labels = pod.pointer("/metadata/labels").and_then(Value::as_object);
    let labels: BTreeMap<String, String> = labels
        .into_iter()
        .flatten()
        .filter_map(|(key, value)| Some((key.clone(), value.as_str()?.to_owned())))
        .collect();
    let prefix = record::prefix(budget_kind()?, namespace);
    let page = server.store.list(&prefix, ListOptions::default()).await?;
    let mut found = Vec::new();
    for pair in &page.items {
        let budget = read_budget(&record::decode(pair)?.object)?;
        // A selector that is none selects nothing.
        if disruption::selects(&budget, &labels).unwrap_or(false) {
            found.push(budget);
        }
    }
    Ok(found)
}

/// What the pod's budgets ask for. Pure.
fn ask(pod: &Value, budgets: &[PodDisruptionBudget]) -> Result<Leave, ApiError> {
    let budget = match budgets {
        [] => return Ok(Leave::Given),
        [budget] => budget,
        _ => return Err(ApiError::ManyBudgets),
    };
    let name = budget.metadata.name.clone().unwrap_or_default();
    let conditions = pod.pointer("/status/conditions").and_then(Value::as_array);
    let is_ready = |condition: &Value| condition["type"] == "Ready" && condition["status"] == "True";
    if conditions.into_iter().flatten().any(is_ready) {
        return Ok(Leave::Spend(name));
    }
    let policy = budget
        .spec
        .as_ref()
        .and_then(|spec| spec.unhealthy_pod_eviction_policy.as_deref());
    let status = budget.status.clone().unwrap_or_default();
    let desired = status.desired_healthy.unwrap_or(0);
    let enough = desired > 0 && status.current_healthy.unwrap_or(0) >= desired;
    // It is not counted among the healthy, so that nothing is spent on it.
    Ok(if policy == Some(ALWAYS_ALLOW) || enough {
        Leave::WhileUnchanged(Some(name))
    } else {
        Leave::Spend(name)
    })
}

/// Spends one of the budget's disruptions on the pod.
async fn spend(
    server: &Server,
    namespace: Option<&str>,
    budget: &str,
    pod: &str,
    dry_run: bool,
) -> Result<(), ApiError> {
    let kind = budget_kind()?;
    swap(server, kind, namespace, budget, dry_run, |live| {
        spent(kind, &live, pod, Timestamp::now()).map(Decision::Write)
    })
    .await
    .map(drop)
}

/// The budget with one disruption fewer, and the pod among those that were given leave. Pure.
fn spent(kind: &Kind, live: &Stored, pod: &str, now: Timestamp) -> Result<Value, ApiError> {
    let mut budget = read_budget(&live.object)?;
    let name = budget.metadata.name.clone().unwrap_or_default();
    let generation = budget.metadata.generation.unwrap_or(0);
    let status = budget.status.get_or_insert_default();
    if status.observed_generation.unwrap_or(0) < generation {
        return Err(behind(&name));
    }
    let going = status.disrupted_pods.get_or_insert_default();
    if going.len() > GOING_MAX {
        let reason = "DisruptedPods map too big - too many evictions not confirmed by PDB controller";
        return Err(ApiError::forbidden(kind, &name, reason.to_owned()));
    }
    let left = status.disruptions_allowed.unwrap_or(0);
    if left <= 0 {
        return Err(ApiError::OverBudget {
            cause: no_room(&name, status),
            retry_after_seconds: None,
        });
    }
    going.insert(pod.to_owned(), Time(now));
    status.disruptions_allowed = Some(left - 1);
    if left == 1 {
        disruption::sum_up(status, now);
    }
    let written =
        serde_json::to_value(&budget).map_err(|error| ApiError::Internal(format!("a budget is no JSON: {error}")))?;
    kind.decode(written)
        .map(|decoded| decoded.object)
        .map_err(|DecodeError(why)| ApiError::Internal(why))
}

/// Why the budget has no room.
fn no_room(name: &str, status: &PodDisruptionBudgetStatus) -> String {
    let mut conditions = status.conditions.iter().flatten();
    match conditions.find(|condition| condition.type_ == DISRUPTION_ALLOWED) {
        Some(failed) if failed.reason == SYNC_FAILED => format!(
            "The disruption budget {name} does not allow evicting pods currently because it failed sync: {}",
            failed.message
        ),
        _ => format!(
            "The disruption budget {name} needs {} healthy pods and has {} currently",
            status.desired_healthy.unwrap_or(0),
            status.current_healthy.unwrap_or(0)
        ),
    }
}

/// The budget's controller has yet to see what the pod or the budget became.
fn behind(name: &str) -> ApiError {
    ApiError::OverBudget {
        cause: format!("The disruption budget {name} is still being processed by the server."),
        retry_after_seconds: Some(BEHIND_RETRY_SECONDS),
    }
}

#[cfg(test)]
mod tests;
