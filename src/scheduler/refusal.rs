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
    /// A claim of the pod cannot be used, on whatever node.
    Claim {
        /// Its name.
        claim: String,
        /// Why not.
        fault: ClaimFault,
    },
    /// A claim of the pod has no volume yet, and does not wait for a pod to get one.
    UnboundClaims,
    /// A volume of the pod cannot be used from the node.
    VolumeElsewhere,
    /// No volume is free for a claim that waits for this pod.
    NoVolume,
    /// A volume that a claim has does not exist any more.
    VolumeGone,
    /// Another pod has a claim that one pod alone may use.
    ClaimTaken,
    /// Nobody of lower priority is there to be driven out.
    NoVictims,
    /// Driving pods out would not lift what the node was refused for.
    PreemptionNoHelp,
}

/// Why a pod may not use a claim.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ClaimFault {
    /// There is none of that name.
    NotFound,
    /// It is to be made for the pod, and was not yet.
    NotMade,
    /// Its volume was deleted.
    Lost {
        /// The volume's name.
        volume: String,
    },
    /// It is on its way out.
    Deleted,
    /// It has the name of one that is to be made for the pod, and is not that.
    Anothers {
        /// Whose it is not, in words.
        told: String,
    },
}

impl Refusal {
    /// Whether it is said of the pod as a whole, and so not counted by node.
    pub fn is_of_the_pod(&self) -> bool {
        matches!(self, Self::Claim { .. } | Self::UnboundClaims)
    }

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
            Self::Claim { .. } | Self::UnboundClaims | Self::VolumeElsewhere | Self::NoVolume | Self::VolumeGone => {
                "VolumeBinding"
            }
            Self::ClaimTaken => "VolumeRestrictions",
            Self::NoVictims | Self::PreemptionNoHelp => return None,
        })
    }

    /// Whether the node might do if there were fewer pods.
    pub fn is_lifted_by_room(&self) -> bool {
        match self {
            Self::HostPorts
            | Self::TooManyPods
            | Self::ClaimTaken
            | Self::Spread
            | Self::PodAntiAffinity
            | Self::ExistingAntiAffinity => true,
            Self::Insufficient { needed, capacity, .. } => needed <= capacity,
            Self::NodeName
            | Self::Unschedulable
            | Self::Taint { .. }
            | Self::NodeAffinity
            | Self::AddedAffinity
            | Self::SpreadLabel
            | Self::PodAffinity
            | Self::Claim { .. }
            | Self::UnboundClaims
            | Self::VolumeElsewhere
            | Self::NoVolume
            | Self::VolumeGone
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
            Self::Claim { claim, fault } => return fault.tell(claim, formatter),
            Self::UnboundClaims => "pod has unbound immediate PersistentVolumeClaims",
            Self::VolumeElsewhere => "node(s) didn't match PersistentVolume's node affinity",
            Self::NoVolume => "node(s) didn't find available persistent volumes to bind",
            Self::VolumeGone => "node(s) unavailable due to one or more pvc(s) bound to non-existent pv(s)",
            Self::ClaimTaken => {
                "node has pod using PersistentVolumeClaim with the same name and ReadWriteOncePod access mode"
            }
            Self::NoVictims => "No preemption victims found for incoming pod",
            Self::PreemptionNoHelp => "Preemption is not helpful for scheduling",
        })
    }
}

impl ClaimFault {
    fn tell(&self, claim: &str, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotFound => write!(formatter, "persistentvolumeclaim \"{claim}\" not found"),
            Self::NotMade => write!(
                formatter,
                "waiting for ephemeral volume controller to create the persistentvolumeclaim \"{claim}\""
            ),
            Self::Lost { volume } => write!(
                formatter,
                "persistentvolumeclaim \"{claim}\" bound to non-existent persistentvolume \"{volume}\""
            ),
            Self::Deleted => write!(formatter, "persistentvolumeclaim \"{claim}\" is being deleted"),
            Self::Anothers { told } => formatter.write_str(told),
        }
    }
}
