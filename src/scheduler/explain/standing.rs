//! Where a pod stands on its way to a node.

use std::fmt;

use k8s_openapi::api::core::v1::{Pod, PodCondition};
use serde::Serialize;

use crate::scheduler::pod::scheduler_name;
use crate::scheduler::profile::Profiles;

/// Where a pod stands on its way to a node.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "state", rename_all = "camelCase", rename_all_fields = "camelCase")]
pub enum Standing {
    /// It waits, and nothing was decided yet.
    Undecided,
    /// It waits, for it fitted nowhere when it was looked at.
    Refused {
        /// What its status says.
        message: String,
    },
    /// It is on a node.
    Placed {
        /// The node.
        node: String,
        /// Whether it is being deleted.
        ending: bool,
    },
    /// It waits for its scheduling gates to go.
    Gated {
        /// Their names.
        gates: Vec<String>,
    },
    /// It is for another scheduler to place.
    Theirs {
        /// That scheduler's name.
        scheduler: String,
    },
    /// It is being deleted and has no node.
    Ending,
    /// It is done, and takes nothing any more.
    Finished {
        /// `Succeeded` or `Failed`.
        phase: String,
    },
}

impl Standing {
    /// What the pod itself says, seen by a scheduler with these profiles.
    pub(super) fn read(pod: &Pod, profiles: &Profiles) -> Self {
        let spec = pod.spec.as_ref();
        let status = pod.status.as_ref();
        let ending = pod.metadata.deletion_timestamp.is_some();
        let phase = status.and_then(|status| status.phase.as_deref());
        if let Some(phase @ ("Succeeded" | "Failed")) = phase {
            let phase = phase.to_owned();
            return Self::Finished { phase };
        }
        let node = spec.and_then(|spec| spec.node_name.clone()).unwrap_or_default();
        if !node.is_empty() {
            return Self::Placed { node, ending };
        }
        if ending {
            return Self::Ending;
        }
        let named = scheduler_name(pod);
        if profiles.of(named).is_none() {
            let scheduler = named.to_owned();
            return Self::Theirs { scheduler };
        }
        let gates = spec.into_iter().flat_map(|spec| spec.scheduling_gates.iter().flatten());
        let gates: Vec<String> = gates.map(|gate| gate.name.clone()).collect();
        if !gates.is_empty() {
            return Self::Gated { gates };
        }
        let refused = |condition: &&PodCondition| condition.type_ == "PodScheduled" && condition.status == "False";
        let mut conditions = status.into_iter().flat_map(|status| status.conditions.iter().flatten());
        match conditions.find(refused) {
            Some(condition) => Self::Refused {
                message: condition.message.clone().unwrap_or_default(),
            },
            None => Self::Undecided,
        }
    }

    /// Whether there is a place to look for, or one to explain.
    pub(super) fn wants_a_node(&self) -> bool {
        !matches!(self, Self::Ending | Self::Finished { .. })
    }
}

impl fmt::Display for Standing {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Undecided => {
                formatter.write_str("waits, and nothing was decided on it yet (is the scheduler running?)")
            }
            Self::Refused { .. } => formatter.write_str("waits: it fitted nowhere when it was looked at"),
            Self::Placed { node, ending: false } => write!(formatter, "is on node {node}"),
            Self::Placed { node, ending: true } => write!(formatter, "is on node {node} and being deleted"),
            Self::Gated { gates } => write!(formatter, "waits for its scheduling gates to go: {}", gates.join(", ")),
            Self::Theirs { scheduler } => write!(
                formatter,
                "is for the scheduler {scheduler} to place; what follows is what ours would do"
            ),
            Self::Ending => formatter.write_str("is being deleted and goes to no node"),
            Self::Finished { phase } => write!(formatter, "has finished ({phase}) and takes nothing of its node"),
        }
    }
}
