//! What a new object needs from the rest of the cluster: its namespace, its priority class, its service account, its
//! storage class.
//! Reads the store and hands what it finds to the pure rules of `object`.

use serde_json::Value;

use super::error::ApiError;
use super::registry;
use super::server::Server;
use super::{namespaces, priority, service_accounts, storage};
use crate::object::{Kind, node, pod, volume};

/// Refuses to put something into a namespace that is missing or on its way out.
///
/// # Errors
/// 404 or 403.
pub async fn namespace_takes_objects(
    server: &Server,
    kind: &Kind,
    namespace: Option<&str>,
    object: &Value,
) -> Result<(), ApiError> {
    let Some(namespace) = namespace.filter(|_| kind.namespaced) else {
        return Ok(());
    };
    let holder = registry::read(server, namespaces::kind()?, None, namespace).await?;
    if !registry::is_deleting(&holder.object) {
        return Ok(());
    }
    Err(ApiError::Forbidden {
        resource: kind.into(),
        name: registry::text(object, "/metadata/name").to_owned(),
        reason: format!("unable to create new content in namespace {namespace} because it is being terminated"),
        cause: Some(Box::new([
            "NamespaceTerminating".to_owned(),
            format!("namespace {namespace} is being terminated"),
            "metadata.namespace".to_owned(),
        ])),
    })
}

/// Adds to a new object what its surroundings decide.
///
/// # Errors
/// 403 where they refuse it.
pub async fn admit_create(
    server: &Server,
    kind: &Kind,
    namespace: Option<&str>,
    object: &mut Value,
    dry_run: bool,
) -> Result<(), ApiError> {
    match (kind.group, kind.kind, namespace) {
        ("", "Pod", Some(namespace)) => {
            let name = registry::text(object, "/metadata/name").to_owned();
            let refuse = |error: pod::Forbidden| ApiError::forbidden(kind, &name, error.0);
            let account = pod::service_account_name(object);
            let (class, found) = tokio::try_join!(
                priority::class_of(server, object),
                service_accounts::for_pod(server, namespace, account, dry_run),
            )?;
            let (account, secret) = found.map_or((None, None), |(account, secret)| (Some(account), Some(secret)));
            pod::admit_priority(object, class.as_ref()).map_err(refuse)?;
            pod::admit_tolerations(object).map_err(refuse)?;
            pod::admit_service_account(object, account.as_ref(), secret.as_deref()).map_err(refuse)
        }
        ("", "PersistentVolume", _) => {
            volume::admit::protect(object, volume::VOLUME_PROTECTION);
            Ok(())
        }
        ("", "PersistentVolumeClaim", _) => {
            volume::admit::protect(object, volume::CLAIM_PROTECTION);
            if volume::admit::names_no_class(object) {
                volume::admit::give_class(object, storage::default_class(server).await?.as_deref());
            }
            Ok(())
        }
        ("", "Node", _) => {
            node::admit_not_ready(object);
            Ok(())
        }
        ("scheduling.k8s.io", "PriorityClass", _) if is_default_class(object) => {
            let name = registry::text(object, "/metadata/name");
            priority::only_default(server, name).await?.map_or(Ok(()), Err)
        }
        _ => Ok(()),
    }
}

/// What to answer a change that makes a priority class the cluster's default; `None` where it may.
///
/// # Errors
/// Where the store fails.
pub async fn default_refusal(server: &Server, kind: &Kind, name: &str) -> Result<Option<ApiError>, ApiError> {
    match (kind.group, kind.kind) {
        ("scheduling.k8s.io", "PriorityClass") => priority::only_default(server, name).await,
        _ => Ok(None),
    }
}

/// Whether this is, or would be, the class of pods that name none.
pub fn is_default_class(class: &Value) -> bool {
    class["globalDefault"] == true
}

/// What follows the creation of an object.
///
/// # Errors
/// Where what belongs to it could not be made; the next start makes up for it.
pub async fn after_create(server: &Server, kind: &Kind, object: &Value) -> Result<(), ApiError> {
    if (kind.group, kind.kind) == ("", "Namespace") {
        let name = registry::text(object, "/metadata/name");
        service_accounts::ensure_default(server, name).await?;
    }
    Ok(())
}
