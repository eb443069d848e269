//! Tells pods to go that a more important one takes the place of: marked first, so that whoever looks knows why.

use k8s_openapi::api::core::v1::Pod;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use k8s_openapi::jiff::Timestamp;
use kube::api::{DeleteParams, Patch, PatchParams, Preconditions};
use kube::{Api, Client};
use serde_json::json;

use super::pod::PodInfo;
use crate::object::disruption::DISRUPTION_TARGET;

/// Deletes the pod, with the time it has to end; one that is gone already is as good.
///
/// # Errors
/// Where the API refuses.
pub(super) async fn drive_out(client: &Client, scheduler: &str, victim: &PodInfo) -> Result<(), kube::Error> {
    let pods: Api<Pod> = Api::namespaced(client.clone(), &victim.namespace);
    let mark = json!({
        "metadata": {"uid": &*victim.uid},
        "status": {"conditions": [{
            "type": DISRUPTION_TARGET,
            "status": "True",
            "reason": "PreemptionByScheduler",
            "message": format!("{scheduler}: preempting to accommodate a higher priority pod"),
            "lastProbeTime": null,
            "lastTransitionTime": Time(Timestamp::now()),
        }]},
    });
    let marked = pods
        .patch_status(&victim.name, &PatchParams::default(), &Patch::Strategic(mark))
        .await;
    if gone(marked.map(drop))? {
        return Ok(());
    }
    let only_this = DeleteParams {
        preconditions: Some(Preconditions {
            uid: Some(victim.uid.to_string()),
            resource_version: None,
        }),
        ..DeleteParams::default()
    };
    gone(pods.delete(&victim.name, &only_this).await.map(drop)).map(drop)
}

/// Whether the answer says that the pod is gone, or that another has its name.
fn gone(answer: Result<(), kube::Error>) -> Result<bool, kube::Error> {
    match answer {
        Ok(()) => Ok(false),
        Err(kube::Error::Api(status)) if status.is_not_found() || status.is_conflict() => Ok(true),
        Err(error) => Err(error),
    }
}
