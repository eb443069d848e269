//! Empties the namespaces that are being deleted, then lets them go.
//!
//! Pods go first, with their grace, and everything else after the last of them, so that no running pod loses what
//! it uses. A kind that cannot be listed stops the whole: a namespace must not go while something may be left in it.

use std::collections::HashSet;
use std::pin::pin;
use std::time::Duration;

use futures::StreamExt;
use k8s_openapi::api::core::v1::Namespace;
use kube::api::{ApiResource, DeleteParams, DynamicObject, ListParams};
use kube::discovery::{Discovery, Scope, verbs};
use kube::runtime::watcher::{self, Event};
use kube::{Api, Client};
use serde_json::{Value, json};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::run::Error;
use crate::client::{Told, lasting};

/// The finalizer that stands for the content.
const FINALIZER: &str = "kubernetes";
/// How many namespaces are emptied at once; more wait their turn.
const MOST_AT_ONCE: usize = 4;
/// The first pause before looking whether what was deleted is gone; doubles up to the longest.
const FIRST_PAUSE: Duration = Duration::from_millis(50);
/// The longest such pause; pods may take their grace period.
const LONGEST_PAUSE: Duration = Duration::from_secs(2);
/// How many objects are listed at a time; what is left counts again in the next pass.
const PAGE: u32 = 500;

/// Why a pass over a namespace was not finished.
#[derive(Debug, thiserror::Error)]
enum PassError {
    #[error("finding out which kinds there are")]
    Discover(#[source] kube::Error),
    #[error("listing {0}")]
    List(String, #[source] kube::Error),
    #[error("deleting {0}")]
    Delete(String, #[source] kube::Error),
    #[error("finalizing")]
    Finalize(#[source] kube::Error),
}

/// Empties namespaces until told to stop.
pub(super) async fn run(client: Client, shutdown: CancellationToken) -> Result<(), Error> {
    let namespaces = Api::<Namespace>::all(client.clone());
    let mut events = pin!(lasting(
        kube::runtime::watcher(namespaces, watcher::Config::default()),
        "namespaces"
    ));
    let mut wanted = HashSet::new();
    let mut busy = HashSet::new();
    let mut tasks = JoinSet::new();
    loop {
        tokio::select! {
            () = shutdown.cancelled() => return Ok(()),
            event = events.next() => match event.ok_or(Error::WatchEnded("namespaces"))? {
                Event::Apply(namespace) | Event::InitApply(namespace) => wanted.extend(to_empty(&namespace)),
                Event::Delete(namespace) => {
                    wanted.remove(namespace.metadata.name.as_deref().unwrap_or_default());
                }
                Event::Init | Event::InitDone => {}
            },
            Some(done) = tasks.join_next() => {
                let name: String = done.map_err(Error::Task)?;
                busy.remove(&name);
            }
        }
        while busy.len() < MOST_AT_ONCE
            && let Some(name) = wanted.iter().find(|name| !busy.contains(*name)).cloned()
        {
            wanted.remove(&name);
            busy.insert(name.clone());
            tasks.spawn(empty(client.clone(), name, shutdown.clone()));
        }
    }
}

/// The namespace's name, where it waits to be emptied.
fn to_empty(namespace: &Namespace) -> Option<String> {
    let finalizers = namespace.spec.as_ref().and_then(|spec| spec.finalizers.as_ref())?;
    let deleting = namespace.metadata.deletion_timestamp.is_some();
    let waits = deleting && finalizers.iter().any(|finalizer| finalizer == FINALIZER);
    namespace.metadata.name.clone().filter(|_| waits)
}

/// Passes over the namespace until nothing is left; returns its name.
async fn empty(client: Client, name: String, shutdown: CancellationToken) -> String {
    let mut pause = FIRST_PAUSE;
    loop {
        match pass(&client, &name).await {
            Ok(0) => return name,
            Ok(left) => tracing::debug!(namespace = %name, left, "emptying a namespace"),
            Err(error) => {
                tracing::warn!(namespace = %name, error = %Told(&error), "emptying a namespace failed and is tried again");
            }
        }
        tokio::select! {
            () = shutdown.cancelled() => return name,
            () = tokio::time::sleep(pause) => pause = (pause * 2).min(LONGEST_PAUSE),
        }
    }
}

/// Deletes what is there, and finalizes where nothing was; tells how many objects were there.
async fn pass(client: &Client, name: &str) -> Result<usize, PassError> {
    let mut kinds = kinds(client).await?;
    // Pods in front: they sort by whether they are not pods.
    kinds.sort_by_key(|(kind, _)| !(kind.group.is_empty() && kind.plural == "pods"));
    let mut left = 0;
    for (index, (kind, in_one)) in kinds.iter().enumerate() {
        left += clear(client, name, kind, *in_one).await?;
        if index == 0 && left > 0 {
            return Ok(left);
        }
    }
    if left == 0 {
        finalize(client, name).await.map_err(PassError::Finalize)?;
    }
    Ok(left)
}

/// Every kind whose objects lie in namespaces, and whether many may be deleted by one request.
async fn kinds(client: &Client) -> Result<Vec<(ApiResource, bool)>, PassError> {
    let discovery = Discovery::new(client.clone())
        .run()
        .await
        .map_err(PassError::Discover)?;
    let all = discovery
        .groups()
        .flat_map(kube::discovery::ApiGroup::recommended_resources);
    let emptied = all.filter(|(_, capabilities)| {
        capabilities.scope == Scope::Namespaced
            && capabilities.supports_operation(verbs::LIST)
            && capabilities.supports_operation(verbs::DELETE)
    });
    Ok(emptied
        .map(|(kind, capabilities)| (kind, capabilities.supports_operation(verbs::DELETE_COLLECTION)))
        .collect())
}

/// Deletes the kind's objects that are not going already; tells how many there were.
async fn clear(client: &Client, name: &str, kind: &ApiResource, in_one: bool) -> Result<usize, PassError> {
    let objects: Api<DynamicObject> = Api::namespaced_with(client.clone(), name, kind);
    let page = ListParams::default().limit(PAGE);
    let listed = objects
        .list(&page)
        .await
        .map_err(|error| PassError::List(kind.plural.clone(), error))?;
    let fresh = listed
        .items
        .iter()
        .filter(|object| object.metadata.deletion_timestamp.is_none());
    let fresh: Vec<String> = fresh.filter_map(|object| object.metadata.name.clone()).collect();
    let failed = |error| PassError::Delete(kind.plural.clone(), error);
    let parameters = DeleteParams::background();
    if in_one && !fresh.is_empty() {
        objects
            .delete_collection(&parameters, &ListParams::default())
            .await
            .map_err(failed)?;
    } else {
        for object in fresh {
            match objects.delete(&object, &parameters).await {
                Err(kube::Error::Api(status)) if status.is_not_found() => {}
                other => drop(other.map_err(failed)?),
            }
        }
    }
    Ok(listed.items.len())
}

/// Takes our finalizer off the namespace, unless it has changed since it was read.
async fn finalize(client: &Client, name: &str) -> Result<(), kube::Error> {
    let namespaces: Api<Namespace> = Api::all(client.clone());
    let Some(namespace) = namespaces.get_opt(name).await? else {
        return Ok(());
    };
    if to_empty(&namespace).is_none() {
        return Ok(());
    }
    let finalizers = namespace.spec.iter().flat_map(|spec| spec.finalizers.iter().flatten());
    let kept: Vec<&String> = finalizers.filter(|finalizer| *finalizer != FINALIZER).collect();
    let body = json!({
        "apiVersion": "v1",
        "kind": "Namespace",
        "metadata": {"name": name, "resourceVersion": namespace.metadata.resource_version},
        "spec": {"finalizers": kept},
    });
    let request = http::Request::put(format!("/api/v1/namespaces/{name}/finalize"))
        .header(http::header::CONTENT_TYPE, "application/json")
        .body(serde_json::to_vec(&body).map_err(kube::Error::SerdeError)?)
        .map_err(kube::Error::HttpError)?;
    match client.request::<Value>(request).await {
        Err(kube::Error::Api(status)) if status.is_not_found() => Ok(()),
        other => other.map(drop),
    }
}
