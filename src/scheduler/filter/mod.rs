//! Which nodes a pod fits on, one file a rule. Pure.
//!
//! A rule looks once at the pod and the cluster and says whether it applies to this pod at all; if it does, it
//! hands back the check to run on each node, with whatever it counted up beforehand.

mod host_ports;
mod node_affinity;
mod node_name;
mod pod_affinity;
mod resources;
mod spread;
mod taints;
mod unschedulable;
mod volume_binding;
mod volume_restrictions;

use std::collections::HashMap;

use super::pod::PendingPod;
use super::refusal::Refusal;
use super::snapshot::{NodeInfo, Slot, Snapshot};
pub(super) use pod_affinity::Neighbours;
pub(super) use spread::Counted;
pub(super) use volume_binding::{Needs, node_selector};

/// Whether a node takes the pod, or every reason of this rule why not.
pub type Verdict = Result<(), Vec<Refusal>>;
/// A rule made ready for one pod.
pub type Check<'a> = Box<dyn Fn(&NodeInfo) -> Verdict + 'a>;
/// How a rule is made ready: `None` where it has nothing to say about this pod.
type Ready = for<'a> fn(&'a PendingPod, &'a Snapshot) -> Option<Check<'a>>;
/// The same of a rule that may find what of the pod keeps it from every node, whatever that is like.
type TryReady = for<'a> fn(&'a PendingPod, &'a Snapshot) -> Result<Option<Check<'a>>, Refusal>;

#[derive(Debug)]
enum Rule {
    OfNodes(Ready),
    OfPods(TryReady),
}

/// A rule with its name.
#[derive(Debug)]
pub struct Plugin {
    /// kube-scheduler's name of it.
    pub name: &'static str,
    rule: Rule,
}

impl Plugin {
    fn ready<'a>(&self, pod: &'a PendingPod, snapshot: &'a Snapshot) -> Result<Option<Check<'a>>, Refusal> {
        match self.rule {
            Rule::OfNodes(ready) => Ok(ready(pod, snapshot)),
            Rule::OfPods(ready) => ready(pod, snapshot),
        }
    }
}

const fn plugin(name: &'static str, ready: Ready) -> Plugin {
    Plugin {
        name,
        rule: Rule::OfNodes(ready),
    }
}

/// kube-scheduler's name of the rule by which claims get volumes.
pub(super) const VOLUMES: &str = "VolumeBinding";

/// Every rule, in kube-scheduler's order: the first that refuses a node gives that node's reasons.
pub const PLUGINS: &[Plugin] = &[
    plugin("NodeUnschedulable", unschedulable::check),
    plugin("NodeName", node_name::check),
    plugin("TaintToleration", taints::check),
    plugin("NodeAffinity", node_affinity::check),
    plugin("NodePorts", host_ports::check),
    plugin("NodeResourcesFit", resources::check),
    plugin("VolumeRestrictions", volume_restrictions::check),
    Plugin {
        name: VOLUMES,
        rule: Rule::OfPods(volume_binding::check),
    },
    plugin("PodTopologySpread", spread::check),
    plugin("InterPodAffinity", pod_affinity::check),
];

/// The rules that apply to one pod, made ready.
pub struct Filters<'a> {
    checks: Vec<Check<'a>>,
    /// What keeps the pod from every node.
    fault: Option<Refusal>,
    /// Nodes that were asked already, and refuse.
    refused: HashMap<Slot, Vec<Refusal>>,
}

impl<'a> Filters<'a> {
    /// Makes the rules of the pod's profile ready for it in this cluster.
    pub fn new(pod: &'a PendingPod, snapshot: &'a Snapshot) -> Self {
        let (mut checks, mut fault) = (Vec::new(), None);
        for plugin in &pod.profile.filters {
            match plugin.ready(pod, snapshot) {
                Ok(check) => checks.extend(check),
                Err(found) => fault = fault.or(Some(found)),
            }
        }
        Self {
            checks,
            fault,
            refused: HashMap::new(),
        }
    }

    /// The same but for these nodes, which refuse for these reasons.
    pub(super) fn but_for(self, refused: HashMap<Slot, Vec<Refusal>>) -> Self {
        Self { refused, ..self }
    }

    /// Asks every rule about this node, up to the first that refuses.
    ///
    /// # Errors
    /// The reasons of that rule.
    pub fn check(&self, node: &NodeInfo) -> Verdict {
        if let Some(fault) = &self.fault {
            return Err(vec![fault.clone()]);
        }
        match self.refused.get(&node.slot) {
            Some(refusals) => Err(refusals.clone()),
            None => self.checks.iter().try_for_each(|check| check(node)),
        }
    }

    /// The reasons of every rule that refuses this node, not only of the first.
    pub fn every_reason(&self, node: &NodeInfo) -> Vec<Refusal> {
        let refused = self.refused.get(&node.slot).cloned();
        let refusals = self.checks.iter().filter_map(|check| check(node).err());
        let fault = self.fault.iter().cloned();
        fault.chain(refused.into_iter().chain(refusals).flatten()).collect()
    }
}

fn refuse_unless(fits: bool, refusal: Refusal) -> Verdict {
    if fits { Ok(()) } else { Err(vec![refusal]) }
}
