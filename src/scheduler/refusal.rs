//! Why a node does not take a pod, in kube-scheduler's words.

use std::fmt;

/// One reason of one node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// The pod asks for another node by name.
    NodeName,
    /// The node is cordoned.
    Unschedulable,
    /// The first taint that the pod does not tolerate.
    Taint {
        /// The taint's key.
        key: String,
        /// Its value, empty where it has none.
        value: String,
    },
    /// The node selector or the required node affinity.
    NodeAffinity,
    /// What the profile asks of every node.
    AddedAffinity,
    /// A host port is taken.
    HostPorts,
    /// The node runs as many pods as it may.
    TooManyPods,
    /// There is less left than the pod asks for.
    Insufficient {
        /// The resource's name.
        resource: String,
        /// What the pod asks for (CPU in thousandths).
        needed: i64,
        /// What the node has left.
        free: i64,
        /// What the node has for all its pods.
        capacity: i64,
    },
    /// The node lacks the label that pods are to be spread by.
    SpreadLabel,
    /// The pods would be spread too unevenly.
    Spread,
    /// No pod that this one wants near is there.
    PodAffinity,
    /// A pod that this one wants away from is there.
    PodAntiAffinity,
    /// A pod there wants away from this one.
    ExistingAntiAffinity,
    /// Nobody of lower priority is there to be driven out.
    NoVictims,
    /// Driving pods out would not lift what the node was refused for.
    PreemptionNoHelp,
}

impl Refusal {
    /// kube-scheduler's name of the plugin that refuses so; `None` for what is said of preemption.
    pub fn plugin(&self) -> Option<&'static str> {
        Some(match self {
            Self::NodeName => "NodeName",
            Self::Unschedulable => "NodeUnschedulable",
            Self::Taint { .. } => "TaintToleration",
            Self::NodeAffinity | Self::AddedAffinity => "NodeAffinity",
            Self::HostPorts => "NodePorts",
            Self::TooManyPods | Self::Insufficient { .. } => "NodeResourcesFit",
            Self::SpreadLabel | Self::Spread => "PodTopologySpread",
            Self::PodAffinity | Self::PodAntiAffinity | Self::ExistingAntiAffinity => "InterPodAffinity",
            Self::NoVictims | Self::PreemptionNoHelp => return None,
        })
    }

    /// Whether the node might do if there were fewer pods.
    pub fn is_lifted_by_room(&self) -> bool {
        match self {
            Self::HostPorts | Self::TooManyPods | Self::Spread | Self::PodAntiAffinity | Self::ExistingAntiAffinity => {
                true
            }
            Self::Insufficient { needed, capacity, .. } => needed <= capacity,
            Self::NodeName
            | Self::Unschedulable
            | Self::Taint { .. }
            | Self::NodeAffinity
            | Self::AddedAffinity
            | Self::SpreadLabel
            | Self::PodAffinity
            | Self::NoVictims
            | Self::PreemptionNoHelp => false,
        }
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::NodeName => "node(s) didn't match the requested node name",
            Self::Unschedulable => "node(s) were unschedulable",
            Self::Taint { key, value } => {
                return write!(formatter, "node(s) had untolerated taint {{{key}: {value}}}");
            }
            Self::NodeAffinity => "node(s) didn't match Pod's node affinity/selector",
            Self::AddedAffinity => "node(s) didn't match scheduler-enforced node affinity",
            Self::HostPorts => "node(s) didn't have free ports for the requested pod ports",
            Self::TooManyPods => "Too many pods",
            Self::Insufficient { resource, .. } => return write!(formatter, "Insufficient {resource}"),
            Self::SpreadLabel => "node(s) didn't match pod topology spread constraints (missing required label)",
            Self::Spread => "node(s) didn't match pod topology spread constraints",
            Self::PodAffinity => "node(s) didn't match pod affinity rules",
            Self::PodAntiAffinity => "node(s) didn't match pod anti-affinity rules",
            Self::ExistingAntiAffinity => "node(s) didn't satisfy existing pods anti-affinity rules",
            Self::NoVictims => "No preemption victims found for incoming pod",
            Self::PreemptionNoHelp => "Preemption is not helpful for scheduling",
        })
    }
}
