//! How many pods of some kind there are in each domain of a label, kept up to date by node and by pod.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use k8s_openapi::api::core::v1::Toleration;

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
    nodes: Vec<OnNode>,
    domains: HashMap<String, Domain>,
    /// How many domains hold how many pods.
    spread: BTreeMap<i64, usize>,
    total: i64,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct OnNode {
    pods: i64,
    /// Whether the node and its pods count in the node's domain.
    counts: bool,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Domain {
    nodes: usize,
    pods: i64,
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
            domains: HashMap::new(),
            spread: BTreeMap::new(),
            total: 0,
        }
    }

    /// What it answers.
    pub fn question(&self) -> &Question {
        &self.question
    }

    /// How many pods count in this node's domain, whether the node itself counts or not; `None` where no node of that
    /// domain counts.
    pub fn at(&self, node: &NodeInfo) -> Option<i64> {
        let domain = self.domains.get(self.question.domain(node)?)?;
        Some(domain.pods)
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
        self.domains.len()
    }

    /// How many pods count in all.
    pub fn total(&self) -> i64 {
        self.total
    }

    /// Whether both say the same.
    pub fn same_as(&self, other: &Self) -> bool {
        let nodes = |tally: &Self| {
            let mut nodes = tally.nodes.clone();
            while nodes.last().is_some_and(|on| *on == OnNode::default()) {
                nodes.pop();
            }
            nodes
        };
        nodes(self) == nodes(other)
            && self.domains == other.domains
            && self.spread == other.spread
            && self.total == other.total
    }

    /// Counts a node and its pods.
    pub(super) fn enter(&mut self, node: &NodeInfo, namespaces: &Namespaces) {
        let means = |pod: &&Arc<PodInfo>| self.question.means(pod, namespaces);
        let pods = i64::try_from(node.pods.values().filter(means).count()).unwrap_or(i64::MAX);
        let counts = self.question.counts(node);
        *self.on_mut(node.slot) = OnNode { pods, counts };
        if counts {
            self.change(node, 1, pods);
        }
    }

    /// Takes back what [`Tally::enter`] and [`Tally::pod`] counted; the node's labels are those of then.
    pub(super) fn leave(&mut self, node: &NodeInfo) {
        let OnNode { pods, counts } = std::mem::take(self.on_mut(node.slot));
        if counts {
            self.change(node, -1, -pods);
        }
    }

    /// Counts a pod more (1) or less (-1) on that node.
    pub(super) fn pod(&mut self, node: &NodeInfo, pod: &PodInfo, sign: i64, namespaces: &Namespaces) {
        if !self.question.means(pod, namespaces) {
            return;
        }
        let on = self.on_mut(node.slot);
        on.pods += sign;
        if on.counts {
            self.change(node, 0, sign);
        }
    }

    fn on_mut(&mut self, slot: Slot) -> &mut OnNode {
        if self.nodes.len() <= slot {
            self.nodes.resize(slot + 1, OnNode::default());
        }
        &mut self.nodes[slot]
    }

    /// Changes what the node's domain holds by so many nodes and pods.
    fn change(&mut self, node: &NodeInfo, nodes: isize, pods: i64) {
        let Some(value) = self.question.domain(node) else {
            return;
        };
        self.total += pods;
        let before = self.domains.get(value).copied();
        if let Some(before) = before {
            self.forget(before.pods);
        }
        let before = before.unwrap_or_default();
        let after = Domain {
            nodes: before.nodes.saturating_add_signed(nodes),
            pods: before.pods + pods,
        };
        if after.nodes == 0 {
            self.domains.remove(value);
            return;
        }
        *self.spread.entry(after.pods).or_default() += 1;
        match self.domains.get_mut(value) {
            Some(domain) => *domain = after,
            None => {
                self.domains.insert(value.clone(), after);
            }
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
