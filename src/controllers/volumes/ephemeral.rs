//! Claims that a pod brings along: made when the pod comes, deleted when it is gone. Pure.

use k8s_openapi::api::core::v1::{PersistentVolumeClaim, PersistentVolumeClaimTemplate};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, OwnerReference};

use super::claims::Notice;
use super::world::{Key, PodUse, World};
use crate::object::volume;

/// What is to be done about a claim of a pod's own.
#[derive(Clone, Debug, PartialEq)]
pub enum Missing {
    /// It is to be made.
    Make(Box<PersistentVolumeClaim>),
    /// There is another claim in its place.
    InTheWay(Notice),
}

/// What is to be done about the claims that the pod brings along.
pub fn missing<'a>(pod: &'a PodUse, world: &'a World) -> impl Iterator<Item = Missing> {
    let namespace = &pod.key.0;
    let wanted = pod.own.iter().filter(|_| !pod.deleting && !pod.finished);
    wanted.filter_map(move |(name, template)| {
        let Some(found) = world.claims.get(&(namespace.clone(), name.clone())) else {
            return Some(Missing::Make(Box::new(claim(pod, name, template))));
        };
        let owned = volume::claims::is_owned_by(found, &pod.uid);
        let why = || volume::claims::not_owned(namespace, &pod.key.1, name);
        (!owned).then(|| Missing::InTheWay(Notice::warning("FailedBinding", format!("ephemeral volume: {}", why()))))
    })
}

/// The pod that the claim belongs to and that is not known: its key and uid.
pub fn orphaned_from(claim: &PersistentVolumeClaim, world: &World) -> Option<(Key, String)> {
    if claim.metadata.deletion_timestamp.is_some() {
        return None;
    }
    let owner = owner(claim)?;
    let namespace = claim.metadata.namespace.clone().unwrap_or_default();
    let key = (namespace, owner.name.clone());
    let known = world.pods.get(&key).is_some_and(|pod| pod.uid == owner.uid);
    (!known).then(|| (key, owner.uid.clone()))
}

/// The pod that the claim is of.
fn owner(claim: &PersistentVolumeClaim) -> Option<&OwnerReference> {
    let mut owners = claim.metadata.owner_references.iter().flatten();
    owners.find(|owner| owner.controller == Some(true) && owner.kind == "Pod" && owner.api_version == "v1")
}

fn claim(pod: &PodUse, name: &str, template: &PersistentVolumeClaimTemplate) -> PersistentVolumeClaim {
    let given = template.metadata.clone().unwrap_or_default();
    PersistentVolumeClaim {
        metadata: ObjectMeta {
            namespace: Some(pod.key.0.clone()),
            name: Some(name.to_owned()),
            labels: given.labels,
            annotations: given.annotations,
            owner_references: Some(vec![OwnerReference {
                api_version: "v1".to_owned(),
                kind: "Pod".to_owned(),
                name: pod.key.1.clone(),
                uid: pod.uid.clone(),
                controller: Some(true),
                block_owner_deletion: Some(true),
            }]),
            ..ObjectMeta::default()
        },
        spec: Some(template.spec.clone()),
        status: None,
    }
}
