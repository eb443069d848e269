//! What would have to change about a pod's claims and volumes.

use k8s_openapi::api::core::v1::{PersistentVolume, PersistentVolumeClaim};

use super::change::Change;
use super::hints::{in_words, name};
use crate::object::volume;
use crate::scheduler::filter::{Needs, node_selector};
use crate::scheduler::node_rules::unmet_terms;
use crate::scheduler::pod::{Claim, PendingPod, PodInfo};
use crate::scheduler::refusal::{ClaimFault, Refusal};
use crate::scheduler::snapshot::{NodeInfo, Snapshot};

/// Everything that would have to change for that reason.
pub(super) fn changes(pod: &PendingPod, snapshot: &Snapshot, node: &NodeInfo, reason: &Refusal) -> Vec<Change> {
    let needs = || Needs::new(pod, snapshot).into_iter();
    let claim = |name: &str, to_do: String| Change::Claim {
        claim: name.to_owned(),
        to_do,
    };
    match reason {
        Refusal::Claim { claim: name, fault } => vec![claim(name, mended(name, fault))],
        Refusal::UnboundClaims => {
            let unbound = unbound(pod, snapshot).into_iter();
            let to_do = |name: &String| format!("make a volume for claim {name}, which does not wait for a pod");
            unbound.map(|name| claim(&name, to_do(&name))).collect()
        }
        Refusal::VolumeElsewhere => {
            let elsewhere = |needs: Needs| {
                needs
                    .elsewhere(node)
                    .map(|volume| lacking(volume, node))
                    .collect::<Vec<_>>()
            };
            needs().flat_map(elsewhere).collect()
        }
        Refusal::NoVolume => {
            let waiting = needs().flat_map(|needs| needs.waiting().collect::<Vec<_>>());
            let to_do = waiting.map(|asking| {
                let (size, class) = (volume::request(asking), volume::claim_class(asking));
                let name = asking.metadata.name.as_deref().unwrap_or_default();
                let to_do = format!("make a volume for claim {name} that this node can use: {size} of class {class}");
                claim(name, to_do)
            });
            to_do.collect()
        }
        Refusal::VolumeGone => {
            let claims = claims(pod, snapshot);
            let gone = claims.filter_map(|(name, known)| Some((name, volume::volume_name(known)?)));
            let gone = gone.filter(|(_, volume)| snapshot.volumes().volume(volume).is_none());
            gone.map(|(name, volume)| claim(name, format!("make claim {name} anew: its volume {volume} is gone")))
                .collect()
        }
        Refusal::ClaimTaken => {
            let shares = |other: &PodInfo| {
                let same = |known: &Claim| pod.info.claims.contains(known);
                other.namespace == pod.info.namespace && other.claims.iter().any(same)
            };
            let others = snapshot.nodes().flat_map(|node| node.pods.values());
            let others: Vec<String> = others.filter(|other| shares(other)).map(|other| name(other)).collect();
            let to_do = format!("end {}, for one pod alone may use the claim", others.join(", "));
            vec![claim("", to_do)]
        }
        _ => Vec::new(),
    }
}

fn mended(claim: &str, fault: &ClaimFault) -> String {
    match fault {
        ClaimFault::NotFound => format!("create claim {claim}"),
        ClaimFault::NotMade => format!("wait until claim {claim} is made for the pod"),
        ClaimFault::Lost { volume } => format!("make claim {claim} anew: its volume {volume} is gone"),
        ClaimFault::Deleted => format!("create claim {claim} anew once it is gone"),
        ClaimFault::Anothers { .. } => format!("delete claim {claim}, which was not made for the pod"),
    }
}

fn lacking(volume: &PersistentVolume, node: &NodeInfo) -> Change {
    let terms = node_selector(volume).map_or(&[][..], |selector| &selector.node_selector_terms);
    Change::Volume {
        volume: volume.metadata.name.clone().unwrap_or_default(),
        any_of: unmet_terms(terms, node).map_or_else(Vec::new, |unmet| in_words(&unmet)),
    }
}

/// The pod's claims that exist.
fn claims<'a>(
    pod: &'a PendingPod,
    snapshot: &'a Snapshot,
) -> impl Iterator<Item = (&'a str, &'a PersistentVolumeClaim)> {
    pod.info.claims.iter().filter_map(|used| {
        let key = (pod.info.namespace.clone(), used.name.clone());
        Some((used.name.as_str(), snapshot.volumes().claim(&key)?))
    })
}

/// The claims that have no volume though they wait for no pod.
fn unbound(pod: &PendingPod, snapshot: &Snapshot) -> Vec<String> {
    let waits = |class: &str| snapshot.volumes().class(class).is_some_and(volume::waits_for_consumer);
    let unbound = claims(pod, snapshot).filter(|(_, claim)| {
        let named = volume::volume_name(claim).is_some();
        !volume::is_fully_bound(claim) && (named || !waits(volume::claim_class(claim)))
    });
    unbound.map(|(name, _)| name.to_owned()).collect()
}
