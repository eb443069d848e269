//! Which of the nodes that fit is best, one file a rule, 0 to 100 each. Pure.

mod balanced_allocation;
mod image_locality;
mod node_affinity;
mod pod_affinity;
mod resources;
mod spread;
mod taint_toleration;

use super::pod::PendingPod;
use super::snapshot::{NodeInfo, Snapshot};

/// The best score of a rule.
pub const MAX: i64 = 100;

/// A rule: a score for each node, in their order; `None` where it has nothing to say about this pod.
type Rule = fn(&PendingPod, &Snapshot, &[&NodeInfo]) -> Option<Vec<i64>>;

/// A rule with its name and how much it counts.
#[derive(Debug)]
pub struct Plugin {
    /// kube-scheduler's name of it.
    pub name: &'static str,
    /// kube-scheduler's default weight.
    pub weight: i64,
    rule: Rule,
}

impl Plugin {
    /// Each node's score, not yet weighted.
    pub fn scores(&self, pod: &PendingPod, snapshot: &Snapshot, nodes: &[&NodeInfo]) -> Vec<i64> {
        (self.rule)(pod, snapshot, nodes).unwrap_or_else(|| vec![0; nodes.len()])
    }
}

/// Every rule, in kube-scheduler's order.
pub const PLUGINS: &[Plugin] = &[
    Plugin {
        name: "TaintToleration",
        weight: 3,
        rule: taint_toleration::score,
    },
    Plugin {
        name: "NodeAffinity",
        weight: 2,
        rule: node_affinity::score,
    },
    Plugin {
        name: "NodeResourcesFit",
        weight: 1,
        rule: resources::score,
    },
    Plugin {
        name: "PodTopologySpread",
        weight: 2,
        rule: spread::score,
    },
    Plugin {
        name: "InterPodAffinity",
        weight: 2,
        rule: pod_affinity::score,
    },
    Plugin {
        name: "NodeResourcesBalancedAllocation",
        weight: 1,
        rule: balanced_allocation::score,
    },
    Plugin {
        name: "ImageLocality",
        weight: 1,
        rule: image_locality::score,
    },
];

/// Each node's weighted sum over all rules of the pod's profile, in the nodes' order.
pub fn totals(pod: &PendingPod, snapshot: &Snapshot, nodes: &[&NodeInfo]) -> Vec<i64> {
    let mut totals = vec![0; nodes.len()];
    for (plugin, weight) in &pod.profile.scores {
        let Some(scores) = (plugin.rule)(pod, snapshot, nodes) else {
            continue;
        };
        for (total, score) in totals.iter_mut().zip(scores) {
            *total += weight * score;
        }
    }
    totals
}

/// Stretches scores so that the highest becomes [`MAX`]; leaves all at 0 where none is higher.
fn stretch(mut scores: Vec<i64>) -> Vec<i64> {
    let highest = scores.iter().copied().max().unwrap_or_default();
    if highest > 0 {
        for score in &mut scores {
            *score = MAX * *score / highest;
        }
    }
    scores
}
