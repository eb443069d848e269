//! Which claims a pod uses. A volume of its own (`ephemeral`) is a claim that is made for the pod and named after it.

use k8s_openapi::api::core::v1::{PersistentVolumeClaim, PersistentVolumeClaimTemplate, Pod, Volume};

/// A claim that a pod uses.
#[derive(Clone, Copy, Debug)]
pub struct Used<'a> {
    /// The pod's volume.
    pub volume: &'a Volume,
    /// What the claim is made from, where it is the pod's own.
    pub template: Option<&'a PersistentVolumeClaimTemplate>,
    claim: &'a str,
    pod: &'a str,
}

impl Used<'_> {
    /// The claim's name.
    pub fn name(&self) -> String {
        match self.template {
            Some(_) => format!("{}-{}", self.pod, self.volume.name),
            None => self.claim.to_owned(),
        }
    }
}

/// The claims that the pod uses, in the order of its volumes.
pub fn used(pod: &Pod) -> impl Iterator<Item = Used<'_>> {
    let name = pod.metadata.name.as_deref().unwrap_or_default();
    let volumes = pod.spec.iter().flat_map(|spec| spec.volumes.iter().flatten());
    volumes.filter_map(move |volume| of_volume(volume, name))
}

/// The claim behind this volume of a pod of that name.
pub fn of_volume<'a>(volume: &'a Volume, pod: &'a str) -> Option<Used<'a>> {
    let used = |claim, template| Used {
        volume,
        template,
        claim,
        pod,
    };
    if let Some(source) = &volume.persistent_volume_claim {
        return Some(used(source.claim_name.as_str(), None));
    }
    let template = volume.ephemeral.as_ref()?.volume_claim_template.as_ref();
    template.map(|template| used("", Some(template)))
}

/// Whether the claim was made for the pod of that uid.
pub fn is_owned_by(claim: &PersistentVolumeClaim, pod_uid: &str) -> bool {
    let owners = claim.metadata.owner_references.iter().flatten();
    owners
        .filter(|owner| owner.controller == Some(true))
        .any(|owner| owner.uid == pod_uid)
}

/// What is said of a claim that has the name of a pod's own but is another's.
pub fn not_owned(namespace: &str, pod: &str, claim: &str) -> String {
    format!("PVC {namespace}/{claim} was not created for pod {namespace}/{pod} (pod is not owner)")
}
