//! Namespaces that are always there, and the end of a namespace.

use serde_json::{Value, json};

use super::error::ApiError;
use super::registry::update::deletion_is_complete;
use super::registry::{Decision, Outcome, Write, create, find, swap};
use super::server::{Server, now};
use super::service_accounts;
use crate::object::Kind;

/// Namespaces that every cluster has.
const BOOTSTRAPPED: [&str; 4] = ["default", "kube-system", "kube-public", "kube-node-lease"];

/// The row of namespaces.
pub fn kind() -> Result<&'static Kind, ApiError> {
    Kind::find("", "v1", "namespaces").ok_or_else(|| ApiError::Internal("namespaces are not served".to_owned()))
}

/// Makes the namespaces that are always there, each with its service account.
///
/// # Errors
/// Where the store fails.
pub async fn bootstrap(server: &Server) -> Result<(), ApiError> {
    let kind = kind()?;
    for name in BOOTSTRAPPED {
        if find(server, kind, None, name).await?.is_none() {
            let namespace = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}});
            let now = now();
            let write = Write {
                manager: super::MANAGER,
                subresource: "",
                now: &now,
                dry_run: false,
            };
            match create::create(server, kind, None, namespace, write).await {
                Ok(_) | Err(ApiError::AlreadyExists { .. }) => {}
                Err(error) => return Err(error),
            }
        }
        // Also for those that are there: a crash may have come between the namespace and its account.
        service_accounts::ensure_default(server, name).await?;
    }
    Ok(())
}

/// `PUT namespaces/NAME/finalize`: sets only the spec's finalizers; the namespace goes with the last.
///
/// # Errors
/// 404; 409 where the body was made from another version.
pub async fn finalize(server: &Server, name: &str, body: &Value, dry_run: bool) -> Result<Outcome, ApiError> {
    let kind = kind()?;
    let finalizers = body.pointer("/spec/finalizers").cloned().unwrap_or_else(|| json!([]));
    let named = body
        .pointer("/metadata/resourceVersion")
        .and_then(Value::as_str)
        .unwrap_or_default();
    swap(server, kind, None, name, dry_run, |live| {
        if !named.is_empty() && named != live.revision.to_string() {
            return Err(ApiError::modified(kind, name));
        }
        let mut object = live.object.clone();
        object["spec"]["finalizers"] = finalizers.clone();
        if super::registry::is_empty_list(&object, "/spec/finalizers")
            && let Some(spec) = object["spec"].as_object_mut()
        {
            spec.remove("finalizers");
        }
        Ok(if deletion_is_complete(kind, &object) {
            Decision::Remove(object)
        } else if object == live.object {
            Decision::Keep(live.object)
        } else {
            Decision::Write(object)
        })
    })
    .await
}
