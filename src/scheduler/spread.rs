//! Topology spread constraints of a pod, made ready. Pure.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{Toleration, TopologySpreadConstraint};
use kube::core::Expression;

use super::affinity::{self, Who, alike};
use super::node_rules::NodeRules;
use super::snapshot::{Question, Where};

/// A constraint of a pod, made ready.
#[derive(Clone, Debug, PartialEq)]
pub struct Constraint {
    /// How far a domain may be ahead of the emptiest.
    pub max_skew: i64,
    /// With fewer domains than this, the missing ones count as empty ones.
    pub min_domains: usize,
    /// Which pods are counted, where and by which label.
    pub question: Question,
}

/// A pod's constraints by what becomes of it where they cannot be kept.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Constraints {
    /// It waits (`DoNotSchedule`).
    pub hard: Vec<Constraint>,
    /// It goes elsewhere (`ScheduleAnyway`).
    pub soft: Vec<Constraint>,
}

/// What of a pod its constraints refer to.
pub struct Asker<'a> {
    /// Its namespace.
    pub namespace: &'a str,
    /// Its labels.
    pub labels: &'a BTreeMap<String, String>,
    /// What it asks of nodes.
    pub rules: &'a NodeRules,
    /// Which taints it stands.
    pub tolerations: &'a [Toleration],
}

impl Constraints {
    /// The constraints of that pod.
    pub fn read(constraints: &[TopologySpreadConstraint], asker: &Asker) -> Self {
        let of = |when: &str| {
            let wanted: Vec<_> = constraints
                .iter()
                .filter(|constraint| constraint.when_unsatisfiable == when)
                .collect();
            // Only a node with every label that is spread by takes part.
            let labels: Vec<String> = wanted.iter().map(|each| each.topology_key.clone()).collect();
            let read = wanted.iter().map(|constraint| read(constraint, &labels, asker));
            read.collect()
        };
        Self {
            hard: of("DoNotSchedule"),
            soft: of("ScheduleAnyway"),
        }
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.hard.is_empty() && self.soft.is_empty()
    }

    /// All of them.
    pub fn iter(&self) -> impl Iterator<Item = &Constraint> {
        self.hard.iter().chain(&self.soft)
    }
}

fn read(constraint: &TopologySpreadConstraint, labels: &[String], asker: &Asker) -> Constraint {
    let mut selector = constraint.label_selector.as_ref().and_then(affinity::selector);
    if let Some(selector) = &mut selector {
        selector.extend(alike(
            constraint.match_label_keys.as_ref(),
            asker.labels,
            Expression::Equal,
        ));
    }
    let honours_affinity = constraint.node_affinity_policy.as_deref() != Some("Ignore") && !asker.rules.is_empty();
    let honours_taints = constraint.node_taints_policy.as_deref() == Some("Honor");
    let nodes = Where {
        labels: labels.to_vec(),
        rules: honours_affinity.then(|| asker.rules.clone()),
        tolerations: honours_taints.then(|| asker.tolerations.to_vec()),
    };
    let who = vec![Who::in_namespace(asker.namespace, selector)];
    Constraint {
        max_skew: i64::from(constraint.max_skew),
        min_domains: constraint
            .min_domains
            .and_then(|count| usize::try_from(count).ok())
            .unwrap_or(1),
        question: Question::new(who, nodes, &constraint.topology_key),
    }
}
