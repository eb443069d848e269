//! Where a pod's volumes are, or could be: claims that have their volume bind the pod to its nodes, and claims that wait
//! for a pod need a volume, or somebody who makes one, for the node.

use std::collections::BTreeSet;
use std::sync::Arc;

use k8s_openapi::api::core::v1::{NodeSelector, ObjectReference, PersistentVolume, PersistentVolumeClaim};
use k8s_openapi::api::storage::v1::StorageClass;

use super::{Check, Verdict};
use crate::object::volume::{self, matching};
use crate::scheduler::node_rules::term_matches;
use crate::scheduler::pod::{Claim, PendingPod};
use crate::scheduler::refusal::{ClaimFault, Refusal};
use crate::scheduler::snapshot::{Bindings, NodeInfo, Snapshot};

pub(super) fn check<'a>(pod: &'a PendingPod, snapshot: &'a Snapshot) -> Result<Option<Check<'a>>, Refusal> {
    if pod.info.claims.is_empty() {
        return Ok(None);
    }
    let needs = Needs::new(pod, snapshot)?;
    Ok(Some(Box::new(move |node| needs.check(node))))
}

/// What a pod's claims need of a node.
pub(in crate::scheduler) struct Needs<'a> {
    /// Volumes that claims have; `None` for one that does not exist.
    bound: Vec<Option<&'a PersistentVolume>>,
    /// Claims without one, those that ask for least first.
    waiting: Vec<Waiting<'a>>,
}

/// A claim that waits for its first pod.
struct Waiting<'a> {
    claim: &'a PersistentVolumeClaim,
    class: &'a StorageClass,
    /// The node that was chosen before.
    node: Option<&'a str>,
    /// The volumes that would do, the best first.
    candidates: Vec<&'a PersistentVolume>,
}

impl<'a> Needs<'a> {
    /// What the pod's claims need.
    ///
    /// # Errors
    /// Where no node would do, whatever it is like.
    pub fn new(pod: &PendingPod, snapshot: &'a Snapshot) -> Result<Self, Refusal> {
        let storage = snapshot.volumes();
        let mut needs = Self {
            bound: Vec::new(),
            waiting: Vec::new(),
        };
        let claims = pod.info.claims.iter().map(|used| usable(pod, used, snapshot));
        // A fault of one is told before another's lack of a volume.
        for claim in claims.collect::<Result<Vec<_>, _>>()? {
            if volume::is_fully_bound(claim) {
                let name = volume::volume_name(claim).unwrap_or_default();
                needs.bound.push(storage.volume(name));
                continue;
            }
            let class = storage.class(volume::claim_class(claim));
            let class = class.filter(|class| volume::waits_for_consumer(class));
            // One that names its volume is for the controller to bind, whenever its class would.
            let (Some(class), None) = (class, volume::volume_name(claim)) else {
                return Err(Refusal::UnboundClaims);
            };
            let annotations = claim.metadata.annotations.as_ref();
            let node = annotations.and_then(|all| all.get(volume::SELECTED_NODE));
            needs.waiting.push(Waiting {
                claim,
                class,
                node: node.map(String::as_str),
                candidates: match node {
                    Some(_) => Vec::new(),
                    None => matching::candidates(claim, storage.volumes()),
                },
            });
        }
        needs.waiting.sort_by_key(|waiting| volume::request(waiting.claim));
        Ok(needs)
    }

    /// Whether the node has, or may have, all of them.
    ///
    /// # Errors
    /// Every reason why not.
    pub fn check(&self, node: &NodeInfo) -> Verdict {
        let bound = || self.bound.iter();
        let mut refusals = Vec::new();
        if bound().flatten().any(|volume| !is_reachable(volume, node)) {
            refusals.push(Refusal::VolumeElsewhere);
        }
        if self.bindings(node).is_none() {
            refusals.push(Refusal::NoVolume);
        }
        if bound().any(Option::is_none) {
            refusals.push(Refusal::VolumeGone);
        }
        if refusals.is_empty() { Ok(()) } else { Err(refusals) }
    }

    /// What has to be written so that the claims get volumes for this node; `None` where they cannot.
    pub fn bindings(&self, node: &NodeInfo) -> Option<Bindings> {
        let mut taken = BTreeSet::new();
        let mut bindings = Bindings {
            waits: !self.waiting.is_empty(),
            ..Bindings::default()
        };
        for waiting in &self.waiting {
            if waiting.node.is_some_and(|chosen| chosen != &*node.name) {
                return None;
            }
            let free =
                |volume: &&&PersistentVolume| !taken.contains(&volume.metadata.name) && is_reachable(volume, node);
            if let Some(volume) = waiting.candidates.iter().find(free) {
                taken.insert(&volume.metadata.name);
                bindings.volumes.extend(claimed(volume, waiting.claim).map(Arc::new));
            } else if is_made_for(waiting.class, node) {
                bindings.claims.extend(chosen(waiting, node).map(Arc::new));
            } else {
                return None;
            }
        }
        Some(bindings)
    }

    /// The volumes that bind the pod to other nodes than this one.
    pub fn elsewhere<'b>(&'b self, node: &'b NodeInfo) -> impl Iterator<Item = &'a PersistentVolume> + 'b {
        let bound = self.bound.iter().copied().flatten();
        bound.filter(|volume| !is_reachable(volume, node))
    }

    /// Whether a claim has no volume yet.
    pub fn is_waiting(&self) -> bool {
        !self.waiting.is_empty()
    }

    /// The claims that wait for a volume.
    pub fn waiting(&self) -> impl Iterator<Item = &'a PersistentVolumeClaim> {
        self.waiting.iter().map(|waiting| waiting.claim)
    }
}

/// The claim, as far as a pod may use it.
fn usable<'a>(pod: &PendingPod, used: &Claim, snapshot: &'a Snapshot) -> Result<&'a PersistentVolumeClaim, Refusal> {
    let name = used.name.clone();
    let refuse = |fault| Refusal::Claim { claim: name, fault };
    let key = (pod.info.namespace.clone(), used.name.clone());
    let Some(claim) = snapshot.volumes().claim(&key) else {
        let fault = if used.is_own {
            ClaimFault::NotMade
        } else {
            ClaimFault::NotFound
        };
        return Err(refuse(fault));
    };
    let phase = claim.status.as_ref().and_then(|status| status.phase.as_deref());
    if phase == Some("Lost") {
        let volume = volume::volume_name(claim).unwrap_or_default().to_owned();
        return Err(refuse(ClaimFault::Lost { volume }));
    }
    if claim.metadata.deletion_timestamp.is_some() {
        return Err(refuse(ClaimFault::Deleted));
    }
    if used.is_own && !volume::claims::is_owned_by(claim, &pod.info.uid) {
        let told = volume::claims::not_owned(&pod.info.namespace, &pod.info.name, &used.name);
        return Err(refuse(ClaimFault::Anothers { told }));
    }
    Ok(claim)
}

/// Whether the volume can be used from the node.
fn is_reachable(volume: &PersistentVolume, node: &NodeInfo) -> bool {
    node_selector(volume).is_none_or(|selector| {
        let mut terms = selector.node_selector_terms.iter();
        terms.any(|term| term_matches(term, node))
    })
}

/// What a node must be like to use the volume.
pub(in crate::scheduler) fn node_selector(volume: &PersistentVolume) -> Option<&NodeSelector> {
    volume.spec.as_ref()?.node_affinity.as_ref()?.required.as_ref()
}

/// Whether somebody makes volumes of this class for this node.
fn is_made_for(class: &StorageClass, node: &NodeInfo) -> bool {
    let allowed = class.allowed_topologies.as_deref().unwrap_or_default();
    let allows = allowed.iter().any(|term| {
        let mut expressions = term.match_label_expressions.iter().flatten();
        expressions.all(|wanted| {
            node.labels
                .get(&wanted.key)
                .is_some_and(|label| wanted.values.contains(label))
        })
    });
    volume::is_provisioned(class) && (allowed.is_empty() || allows)
}

/// The volume as it is once it is for the claim; `None` where it is.
fn claimed(volume: &PersistentVolume, claim: &PersistentVolumeClaim) -> Option<PersistentVolume> {
    if volume::claim_ref(volume).is_some_and(|known| known.uid == claim.metadata.uid) {
        return None;
    }
    let mut volume = volume.clone();
    let metadata = &claim.metadata;
    // One that was made for the claim stays so when the claim goes.
    if volume::claim_ref(&volume).is_none() {
        let annotations = volume.metadata.annotations.get_or_insert_default();
        annotations.insert(volume::BOUND_BY_CONTROLLER.to_owned(), "yes".to_owned());
    }
    volume.spec.get_or_insert_default().claim_ref = Some(ObjectReference {
        api_version: Some("v1".to_owned()),
        kind: Some("PersistentVolumeClaim".to_owned()),
        namespace: metadata.namespace.clone(),
        name: metadata.name.clone(),
        uid: metadata.uid.clone(),
        resource_version: metadata.resource_version.clone(),
        ..ObjectReference::default()
    });
    Some(volume)
}

/// The claim as it is once its node is chosen; `None` where it was before.
fn chosen(waiting: &Waiting, node: &NodeInfo) -> Option<PersistentVolumeClaim> {
    if waiting.node.is_some() {
        return None;
    }
    let mut claim = waiting.claim.clone();
    let annotations = claim.metadata.annotations.get_or_insert_default();
    annotations.insert(volume::SELECTED_NODE.to_owned(), node.name.to_string());
    Some(claim)
}

#[cfg(test)]
#[path = "volume_binding_tests.rs"]
mod tests;
