//! Topology spread: no domain may run more of the counted pods than the emptiest plus `maxSkew`.

use std::collections::HashMap;

use k8s_openapi::api::core::v1::TopologySpreadConstraint;
use kube::core::{Expression, Selector, SelectorExt};

use super::taints::untolerated;
use super::{Check, required_affinity_matches};
use crate::scheduler::affinity;
use crate::scheduler::pod::PendingPod;
use crate::scheduler::refusal::Refusal;
use crate::scheduler::snapshot::{NodeInfo, Snapshot};

/// A constraint of a pod, made ready.
pub struct Constraint<'a> {
    /// Nodes with the same value of this label are one domain.
    pub topology_key: &'a str,
    /// How far a domain may be ahead of the emptiest.
    pub max_skew: i64,
    min_domains: usize,
    /// Which pods count; `None` counts none.
    selector: Option<Selector>,
    honours_affinity: bool,
    honours_taints: bool,
}

impl Constraint<'_> {
    /// How many pods on that node count.
    pub fn count(&self, pod: &PendingPod, node: &NodeInfo) -> i64 {
        let counts = |other: &&std::sync::Arc<crate::scheduler::pod::PodInfo>| {
            other.namespace == pod.info.namespace && self.selects(&other.labels)
        };
        i64::try_from(node.pods.values().filter(counts).count()).unwrap_or(i64::MAX)
    }

    fn selects(&self, labels: &std::collections::BTreeMap<String, String>) -> bool {
        self.selector.as_ref().is_some_and(|selector| selector.matches(labels))
    }

    /// Whether that node's domain and its pods count at all.
    pub fn includes(&self, pod: &PendingPod, node: &NodeInfo) -> bool {
        (!self.honours_affinity || required_affinity_matches(pod, node))
            && (!self.honours_taints || untolerated(&node.taints, &pod.tolerations).is_none())
    }
}

/// The pod's constraints of that kind: `DoNotSchedule` or `ScheduleAnyway`.
pub fn constraints<'a>(pod: &'a PendingPod, when_unsatisfiable: &str) -> Vec<Constraint<'a>> {
    let wanted = |constraint: &&TopologySpreadConstraint| constraint.when_unsatisfiable == when_unsatisfiable;
    pod.spread
        .iter()
        .filter(wanted)
        .map(|constraint| read(constraint, pod))
        .collect()
}

fn read<'a>(constraint: &'a TopologySpreadConstraint, pod: &PendingPod) -> Constraint<'a> {
    let mut selector = constraint.label_selector.as_ref().and_then(affinity::selector);
    if let Some(selector) = &mut selector {
        let keys = constraint.match_label_keys.iter().flatten();
        let values = keys.filter_map(|key| Some(Expression::Equal(key.clone(), pod.info.labels.get(key)?.clone())));
        selector.extend(values);
    }
    Constraint {
        topology_key: &constraint.topology_key,
        max_skew: i64::from(constraint.max_skew),
        min_domains: constraint
            .min_domains
            .and_then(|count| usize::try_from(count).ok())
            .unwrap_or(1),
        selector,
        honours_affinity: constraint.node_affinity_policy.as_deref() != Some("Ignore"),
        honours_taints: constraint.node_taints_policy.as_deref() == Some("Honor"),
    }
}

pub(super) fn check<'a>(pod: &'a PendingPod, snapshot: &'a Snapshot) -> Option<Check<'a>> {
    let constraints = constraints(pod, "DoNotSchedule");
    if constraints.is_empty() {
        return None;
    }
    let counted: Vec<Counted> = count(pod, snapshot, &constraints);
    Some(Box::new(move |node| {
        for (constraint, counted) in constraints.iter().zip(&counted) {
            let Some(value) = node.labels.get(constraint.topology_key) else {
                return Err(vec![Refusal::SpreadLabel]);
            };
            let there = counted.domains.get(value.as_str()).copied().unwrap_or_default();
            if there + counted.this - counted.emptiest > constraint.max_skew {
                return Err(vec![Refusal::Spread]);
            }
        }
        Ok(())
    }))
}

/// The pods that count, by domain.
struct Counted<'a> {
    domains: HashMap<&'a str, i64>,
    emptiest: i64,
    /// 1 where the pod itself will count.
    this: i64,
}

fn count<'a>(pod: &PendingPod, snapshot: &'a Snapshot, constraints: &[Constraint]) -> Vec<Counted<'a>> {
    // Only a node with every label that is spread by takes part.
    let takes_part = |node: &&NodeInfo| {
        constraints
            .iter()
            .all(|constraint| node.labels.contains_key(constraint.topology_key))
    };
    let nodes: Vec<&NodeInfo> = snapshot.nodes().filter(takes_part).collect();
    constraints
        .iter()
        .map(|constraint| {
            let mut domains = HashMap::new();
            for node in nodes.iter().filter(|node| constraint.includes(pod, node)) {
                *domains
                    .entry(node.labels[constraint.topology_key].as_str())
                    .or_default() += constraint.count(pod, node);
            }
            // With fewer domains than there should be, the missing ones are empty ones.
            let enough = domains.len() >= constraint.min_domains;
            let fewest = domains.values().copied().min().unwrap_or(i64::from(i32::MAX));
            Counted {
                emptiest: if enough { fewest } else { 0 },
                this: i64::from(constraint.selects(&pod.info.labels)),
                domains,
            }
        })
        .collect()
}
