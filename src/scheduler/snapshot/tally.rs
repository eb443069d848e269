//! How many pods of some kind there are in each domain of a label, kept up to date by node and by pod.

use std::collections::BTreeMap;
use std::sync::Arc;

use k8s_openapi::api::core::v1::Toleration;

use super::domains::{Domain, DomainId, Domains};
use super::{NodeInfo, Slot};
use crate::object::taint;
use crate::scheduler::affinity::{Namespaces, Who};
use crate::scheduler::node_rules::NodeRules;
use crate::scheduler::pod::PodInfo;

/// Which pods are counted, on which nodes, by which label.
#[derive(Clone, Debug)]
pub struct Question {
    /// Tells this question from every other.
    id: Arc<str>,
    /// A pod counts if all of these mean it.
    who: Vec<Who>,
    nodes: Where,
    /// Nodes with the same value of this label are one domain.
    topology_key: String,
}

/// Which nodes count.
#[derive(Clone, Debug, Default)]
pub struct Where {
    /// Labels that a node must have.
    pub labels: Vec<String>,
    /// What a node must be like.
    pub rules: Option<NodeRules>,
    /// With which tolerations a node's taints must be tolerated.
    pub tolerations: Option<Vec<Toleration>>,
}

/// The answer to a question.
#[derive(Clone, Debug)]
pub struct Tally {
    question: Question,
    /// By slot: filters ask about every node, so that must not cost a look at its labels.
    nodes: Vec<OnNode>,
    domains: Domains,
    /// How many domains hold how many pods.
    spread: BTreeMap<i64, usize>,
    total: i64,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct OnNode {
    pods: i64,
    /// Whether the node and its pods count in the node's domain.
    counts: bool,
    /// That of the node's label, if it has one.
    domain: Option<DomainId>,
}

impl Question {
    /// How many pods that all of `who` mean there are in each domain of `topology_key`, on the nodes of `nodes` that have
    /// that label.
    pub fn new(who: Vec<Who>, nodes: Where, topology_key: &str) -> Self {
        // Written out once a pod that asks, so that finding the answer at hand costs no more than a look at a text.
        let id = format!("{topology_key} {who:?} {nodes:?}");
        Self {
            id: id.into(),
            who,
            nodes,
            topology_key: topology_key.to_owned(),
        }
    }

    /// Tells this question from every other.
    pub fn id(&self) -> &Arc<str> {
        &self.id
    }

    /// Nodes with the same value of this label are one domain.
    pub fn topology_key(&self) -> &str {
        &self.topology_key
    }

    /// Those that a pod counts if all of them mean it.
    pub fn who(&self) -> &[Who] {
        &self.who
    }

    /// Whether this pod is one of those counted.
    pub fn means(&self, pod: &PodInfo, namespaces: &Namespaces) -> bool {
        self.who.iter().all(|who| who.means(pod, namespaces))
    }

    /// Whether the answer depends on namespaces' labels.
    pub fn asks_namespaces(&self) -> bool {
        self.who.iter().any(Who::asks_namespaces)
    }

    fn domain<'a>(&self, node: &'a NodeInfo) -> Option<&'a String> {
        node.labels.get(&self.topology_key)
    }

    fn counts(&self, node: &NodeInfo) -> bool {
        let Where {
            labels,
            rules,
            tolerations,
        } = &self.nodes;
        node.labels.contains_key(&self.topology_key)
            && labels.iter().all(|label| node.labels.contains_key(label))
            && rules.as_ref().is_none_or(|rules| rules.hold(node))
            && tolerations
                .as_ref()
                .is_none_or(|tolerations| taint::untolerated(&node.taints, tolerations).is_none())
    }
}

impl PartialEq for Question {
    fn eq(&self, other: &Self) -> bool {
        self.id == other.id
    }
}

impl Tally {
    /// Of no nodes yet.
    pub fn new(question: Question) -> Self {
        Self {
            question,
            nodes: Vec::new(),
            domains: Domains::default(),
            spread: BTreeMap::new(),
            total: 0,
        }
    }

    /// What it answers.
    pub fn question(&self) -> &Question {
        &self.question
    }

    /// Whether this node has the label of the question.
    pub fn is_labelled(&self, node: &NodeInfo) -> bool {
        self.domain(node).is_some()
    }

    /// How many pods count in this node's domain, whether the node itself counts or not; `None` where no node of that
    /// domain counts.
    pub fn at(&self, node: &NodeInfo) -> Option<i64> {
        let domain = self.domain(node).filter(|domain| domain.counting > 0)?;
        Some(domain.pods)
    }

    fn domain(&self, node: &NodeInfo) -> Option<&Domain> {
        let id = self.nodes.get(node.slot)?.domain?;
        Some(self.domains.get(id))
    }

    /// How many pods on this node are meant, whether the node counts or not.
    pub fn on(&self, node: &NodeInfo) -> i64 {
        self.nodes.get(node.slot).map_or(0, |on| on.pods)
    }

    /// How many pods the emptiest domain holds.
    pub fn fewest(&self) -> Option<i64> {
        self.spread.first_key_value().map(|(pods, _)| *pods)
    }

    /// How many domains there are.
    pub fn domains(&self) -> usize {
        self.spread.values().sum()
    }

    /// How many pods count in all.
    pub fn total(&self) -> i64 {
        self.total
    }

    /// Whether both say the same.
    pub fn same_as(&self, other: &Self) -> bool {
        let nodes = |tally: &Self| {
            let of = |on: &OnNode| (on.pods, on.counts);
            let mut nodes: Vec<_> = tally.nodes.iter().map(of).collect();
            while nodes.last().is_some_and(|on| *on == (0, false)) {
                nodes.pop();
            }
            nodes
        };
        nodes(self) == nodes(other)
            && self.domains.counting() == other.domains.counting()
            && self.spread == other.spread
            && self.total == other.total
    }

    /// Counts a node and its pods.
    pub(super) fn enter(&mut self, node: &NodeInfo, namespaces: &Namespaces) {
        let means = |pod: &&Arc<PodInfo>| self.question.means(pod, namespaces);
        let pods = i64::try_from(node.pods.values().filter(means).count()).unwrap_or(i64::MAX);
        let counts = self.question.counts(node);
        let domain = self.question.domain(node).map(|value| self.domains.enter(value));
        *self.on_mut(node.slot) = OnNode { pods, counts, domain };
        if let Some(id) = domain.filter(|_| counts) {
            self.change(id, 1, pods);
        }
    }

    /// Takes back what [`Tally::enter`] and [`Tally::pod`] counted; the node's labels are those of then.
    pub(super) fn leave(&mut self, node: &NodeInfo) {
        let OnNode { pods, counts, domain } = std::mem::take(self.on_mut(node.slot));
        if let Some(id) = domain.filter(|_| counts) {
            self.change(id, -1, -pods);
        }
        if let Some(value) = self.question.domain(node) {
            self.domains.leave(value);
        }
    }

    /// Counts a pod more (1) or less (-1) on that node.
    pub(super) fn pod(&mut self, node: &NodeInfo, pod: &PodInfo, sign: i64, namespaces: &Namespaces) {
        if !self.question.means(pod, namespaces) {
            return;
        }
        let on = self.on_mut(node.slot);
        on.pods += sign;
        if let Some(id) = on.domain.filter(|_| on.counts) {
            self.change(id, 0, sign);
        }
    }

    fn on_mut(&mut self, slot: Slot) -> &mut OnNode {
        if self.nodes.len() <= slot {
            self.nodes.resize(slot + 1, OnNode::default());
        }
        &mut self.nodes[slot]
    }

    /// Changes what a domain holds by so many nodes that count and so many pods.
    fn change(&mut self, id: DomainId, nodes: isize, pods: i64) {
        self.total += pods;
        let domain = self.domains.get_mut(id);
        let before = *domain;
        domain.counting = before.counting.saturating_add_signed(nodes);
        domain.pods += pods;
        let after = *domain;
        if before.counting > 0 {
            self.forget(before.pods);
        }
        if after.counting > 0 {
            *self.spread.entry(after.pods).or_default() += 1;
        }
    }

    /// One domain less holds that many pods.
    fn forget(&mut self, pods: i64) {
        if let Some(domains) = self.spread.get_mut(&pods) {
            *domains -= 1;
            if *domains == 0 {
                self.spread.remove(&pods);
            }
        }
    }
}
