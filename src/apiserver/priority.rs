//! The priority classes that are always there, and which class counts for a pod.

use serde_json::{Value, json};

use super::error::ApiError;
use super::record;
use super::registry::{self, Write, create};
use super::server::{Server, now};
use crate::object::{Kind, pod};
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

/// The class that counts for a new pod: the one it names, or the cluster's default. `None` where there is none.
///
/// # Errors
/// Where the store fails.
pub async fn class_of(server: &Server, pod: &Value) -> Result<Option<Value>, ApiError> {
    match pod::priority_class_name(pod) {
        Some(class) => Ok(registry::find(server, kind()?, None, class)
            .await?
            .map(|found| found.object)),
        None => global_default(server).await,
    }
}

/// Refuses a class that would be the cluster's default beside another.
///
/// # Errors
/// 403, naming the other; where the store fails.
pub async fn only_default(server: &Server, name: &str) -> Result<Option<ApiError>, ApiError> {
    let known = global_default(server).await?;
    let known = known.as_ref().map(|class| registry::text(class, "/metadata/name"));
    let refuse = |known: &str| -> Result<ApiError, ApiError> {
        let why = format!("PriorityClass {known} is already marked as default. Only one default can exist");
        Ok(ApiError::forbidden(kind()?, name, why))
    };
    known.filter(|known| *known != name).map(refuse).transpose()
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
