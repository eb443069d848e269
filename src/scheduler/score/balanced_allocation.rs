//! Better the closer together the shares of resources that would be taken (CPU and memory unless the profile says
//! otherwise), so that none is left over.
//!
//! The score is one less the standard deviation of the shares, as kube-scheduler has computed it since 1.22,
//! from what pods really ask for. A pod that asks for nothing changes no share and is not scored.

use super::MAX;
use crate::scheduler::pod::PendingPod;
use crate::scheduler::resources::Resource;
use crate::scheduler::snapshot::{NodeInfo, Snapshot};

pub(super) fn score(pod: &PendingPod, _: &Snapshot, nodes: &[&NodeInfo]) -> Option<Vec<i64>> {
    let resources = &pod.profile.balanced;
    let asked = &pod.info.requests;
    if resources.iter().all(|resource| asked.amount(resource) == 0) {
        return None;
    }
    let balance = |node: &&NodeInfo| {
        let shares = resources.iter().filter_map(|resource| share(pod, node, resource));
        // Between 0 and 100, and cut off as kube-scheduler does.
        ((1.0 - deviation(shares)) * MAX as f64) as i64
    };
    Some(nodes.iter().map(balance).collect())
}

/// The standard deviation; that of two is half their distance.
fn deviation(shares: impl Iterator<Item = f64> + Clone) -> f64 {
    let mut few = shares.clone();
    match (few.next(), few.next(), few.next()) {
        (None, ..) | (Some(_), None, _) => 0.0,
        (Some(a), Some(b), None) => ((a - b) / 2.0).abs(),
        (Some(_), Some(_), Some(_)) => {
            let count = shares.clone().count() as f64;
            let mean = shares.clone().sum::<f64>() / count;
            let squares: f64 = shares.map(|share| (share - mean) * (share - mean)).sum();
            (squares / count).sqrt()
        }
    }
}

/// `None` where the node has nothing of it, or the pod asks for none of an extended resource.
fn share(pod: &PendingPod, node: &NodeInfo, resource: &Resource) -> Option<f64> {
    let (asked, has) = (pod.info.requests.amount(resource), node.allocatable.amount(resource));
    if has == 0 || (asked == 0 && matches!(resource, Resource::Other(_))) {
        return None;
    }
    let taken = node.requested.amount(resource) + asked;
    Some((taken as f64 / has as f64).min(1.0))
}
