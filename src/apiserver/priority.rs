//! Which number a pod's priority class stands for.

use serde_json::{Value, json};

use super::error::ApiError;
use super::record;
use super::registry::{self, Write, create};
use super::server::{Server, now};
use crate::object::Kind;
use crate::store::ListOptions;

/// Classes that are always there, with their numbers and what they are for.
const SYSTEM_CLASSES: [(&str, i64, &str); 2] = [
    (
        "system-node-critical",
        2_000_001_000,
        "Used for system critical pods that must not be moved from their current node.",
    ),
    (
        "system-cluster-critical",
        2_000_000_000,
        "Used for system critical pods that must run in the cluster, but can be moved to another node if necessary.",
    ),
];

fn kind() -> Result<&'static Kind, ApiError> {
    Kind::find("scheduling.k8s.io", "v1", "priorityclasses")
        .ok_or_else(|| ApiError::Internal("priority classes are not served".to_owned()))
}

/// Sets a new pod's priority.
///
/// # Errors
/// 403 where its class does not exist, or the pod claims another number.
pub async fn admit(server: &Server, pods: &Kind, pod: &mut Value) -> Result<(), ApiError> {
    let name = registry::text(pod, "/metadata/name").to_owned();
    let class = match registry::text(pod, "/spec/priorityClassName") {
        "" => global_default(server).await?,
        class => {
            let found = registry::find(server, kind()?, None, class).await?;
            let missing = || ApiError::forbidden(pods, &name, format!("no PriorityClass with name {class} was found"));
            Some(found.ok_or_else(missing)?.object)
        }
    };
    let (value, policy) = match &class {
        Some(class) => {
            pod["spec"]["priorityClassName"] = class["metadata"]["name"].clone();
            (
                class["value"].as_i64().unwrap_or(0),
                class["preemptionPolicy"].as_str().unwrap_or("PreemptLowerPriority"),
            )
        }
        None => (0, "PreemptLowerPriority"),
    };
    if pod["spec"]["priority"].as_i64().is_some_and(|claimed| claimed != value) {
        return Err(ApiError::forbidden(
            pods,
            &name,
            format!(
                "the integer value of priority ({}) must not be provided in pod spec; priority admission controller computed {value} from the given PriorityClass name",
                pod["spec"]["priority"]
            ),
        ));
    }
    pod["spec"]["priority"] = json!(value);
    if pod["spec"]["preemptionPolicy"].is_null() {
        pod["spec"]["preemptionPolicy"] = json!(policy);
    }
    Ok(())
}

/// The class for pods that name none: of those marked, the lowest.
async fn global_default(server: &Server) -> Result<Option<Value>, ApiError> {
    let page = server
        .store
        .list(&record::prefix(kind()?, None), ListOptions::default())
        .await?;
    let mut best: Option<Value> = None;
    for pair in &page.items {
        let class = record::decode(pair)?.object;
        let lower = best
            .as_ref()
            .is_none_or(|best| class["value"].as_i64() < best["value"].as_i64());
        if class["globalDefault"] == true && lower {
            best = Some(class);
        }
    }
    Ok(best)
}

/// Makes the classes that are always there.
///
/// # Errors
/// Where the store fails.
pub async fn bootstrap(server: &Server) -> Result<(), ApiError> {
    let kind = kind()?;
    for (name, value, description) in SYSTEM_CLASSES {
        if registry::find(server, kind, None, name).await?.is_some() {
            continue;
        }
        let class = json!({
            "apiVersion": kind.api_version(), "kind": kind.kind, "metadata": {"name": name},
            "value": value, "description": description, "preemptionPolicy": "PreemptLowerPriority",
        });
        let now = now();
        let write = Write {
            manager: super::MANAGER,
            subresource: "",
            now: &now,
            dry_run: false,
        };
        match create::create(server, kind, None, class, write).await {
            Ok(_) | Err(ApiError::AlreadyExists { .. }) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}
