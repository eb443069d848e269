//! What would have to change for a node to take a pod, as data and in words.

use std::fmt;

use serde::{Serialize, Serializer};

use crate::object::quantity::{Format, Quantity};

/// Taints of this kind are Kubernetes' own and tell of a node that is not well.
const OWN_TAINTS: &str = "node.kubernetes.io/";
/// How many pods are named before the rest is only counted.
const NAMED: usize = 3;

/// One thing that would have to change. Written out as data it has its words as `text`.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(tag = "kind", rename_all = "camelCase", rename_all_fields = "camelCase")]
pub enum Change {
    /// The pod asks for another node by name.
    NodeName {
        /// The node that the pod asks for.
        asked: String,
    },
    /// The node is cordoned.
    Uncordon,
    /// The pod does not tolerate a taint.
    Toleration {
        /// The taint's key.
        key: String,
        /// Its value, empty where it has none.
        value: String,
        /// `NoSchedule` or `NoExecute`.
        effect: String,
    },
    /// The node lacks a label that the pod's node selector asks for.
    Label {
        /// The label's key.
        key: String,
        /// The value asked for.
        value: String,
        /// The value that the node has; `None` for none.
        actual: Option<String>,
    },
    /// The node satisfies none of the terms of the pod's required node affinity.
    NodeAffinity {
        /// What it lacks, term by term; any one term would do.
        any_of: Vec<Vec<String>>,
    },
    /// The node satisfies none of the terms that the pod's profile adds.
    AddedAffinity {
        /// What it lacks, term by term; any one term would do.
        any_of: Vec<Vec<String>>,
    },
    /// A host port is taken.
    Port {
        /// `80/TCP`, or `10.0.0.1:80/TCP`.
        port: String,
        /// The pods that have it, as namespace/name.
        taken_by: Vec<String>,
    },
    /// The node runs as many pods as it may.
    Pods {
        /// How many it runs.
        running: i64,
        /// How many it may run.
        allowed: i64,
    },
    /// The node has less left than the pod asks for.
    Resource {
        /// The resource's name.
        resource: String,
        /// How much more would do.
        short: Amount,
        /// What the pod asks for.
        asked: Amount,
        /// What the node has left.
        free: Amount,
        /// What the node has for all its pods.
        capacity: Amount,
    },
    /// The node lacks the label that pods are spread by, or that they must be near each other by.
    TopologyLabel {
        /// The label's key.
        key: String,
    },
    /// The pods would be spread too unevenly.
    Spread {
        /// Where: `zone=a`.
        domain: String,
        /// How many of the pods counted are there.
        pods: i64,
        /// How many the emptiest domain holds.
        emptiest: i64,
        /// What the pod's constraint allows.
        max_skew: i64,
        /// What it would have to allow.
        needed_skew: i64,
    },
    /// A claim of the pod cannot be used.
    Claim {
        /// Its name.
        claim: String,
        /// What would have to be done.
        to_do: String,
    },
    /// A volume of the pod cannot be used from the node.
    Volume {
        /// Its name.
        volume: String,
        /// What the node lacks, term by term; any one term would do.
        any_of: Vec<Vec<String>>,
    },
    /// Pods that the pod must be near are not there.
    Affinity {
        /// Which ones: `app=db in default`.
        pods: String,
        /// Where they would have to run: `zone=a`.
        domain: String,
    },
    /// Pods are there that this one or that one must be away from.
    AntiAffinity {
        /// Whose wish it is.
        wished_by: Wisher,
        /// Whom it means: `app=db in default`.
        pods: String,
        /// Where: `zone=a`.
        domain: String,
        /// The pods that are in the way, as namespace/name.
        in_the_way: Vec<String>,
    },
}

/// Whose wish it is that pods keep away from each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum Wisher {
    /// The pod that is to be placed.
    ThisPod,
    /// Those that are there already.
    PodsThere,
}

/// An amount of a resource, written as Kubernetes writes it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Amount(pub Quantity);

impl Amount {
    /// So much of that resource, as scheduling counts it: CPU in thousandths, all else in whole units.
    pub fn of(resource: &str, amount: i64) -> Self {
        let is_bytes = matches!(resource, "memory" | "ephemeral-storage") || resource.starts_with("hugepages-");
        Self(match resource {
            "cpu" => Quantity::from_millis(amount),
            _ if is_bytes => Quantity::from_units(amount).with_format(Format::BinarySi),
            _ => Quantity::from_units(amount),
        })
    }
}

impl fmt::Display for Amount {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(formatter)
    }
}

impl Serialize for Amount {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl Change {
    /// How much it takes, from 1; for comparing what would have to change on one node with another.
    pub(super) fn effort(&self) -> u32 {
        match self {
            Self::Uncordon => 1,
            Self::Toleration { key, .. } if !key.starts_with(OWN_TAINTS) => 1,
            Self::Label { .. }
            | Self::TopologyLabel { .. }
            | Self::NodeAffinity { .. }
            | Self::AddedAffinity { .. } => 2,
            Self::Pods { .. } | Self::Port { .. } | Self::Spread { .. } => 3,
            Self::Resource { asked, capacity, .. } if asked.0 <= capacity.0 => 3,
            Self::Affinity { .. } | Self::AntiAffinity { .. } | Self::Claim { .. } => 4,
            // A node of that kind may never do, or not soon.
            Self::Toleration { .. } | Self::Resource { .. } | Self::NodeName { .. } | Self::Volume { .. } => 6,
        }
    }

    /// What is short of a resource, in millionths of what the node has of it.
    pub(super) fn shortage(&self) -> i64 {
        match self {
            Self::Resource { short, capacity, .. } => {
                let capacity = i128::from(capacity.0.millis()).max(1);
                let share = i128::from(short.0.millis()) * 1_000_000 / capacity;
                i64::try_from(share).unwrap_or(i64::MAX)
            }
            _ => 0,
        }
    }

    /// With the words for people beside the data.
    pub(super) fn serialize_all<S: Serializer>(changes: &[Self], serializer: S) -> Result<S::Ok, S::Error> {
        #[derive(Serialize)]
        struct WithText<'a> {
            #[serde(flatten)]
            change: &'a Change,
            text: String,
        }
        serializer.collect_seq(changes.iter().map(|change| WithText {
            change,
            text: change.to_string(),
        }))
    }
}

impl fmt::Display for Change {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NodeName { asked } => write!(formatter, "ask for this node or none: spec.nodeName is {asked}"),
            Self::Uncordon => formatter.write_str("uncordon the node"),
            Self::Toleration { key, value, effect } => {
                let equals = if value.is_empty() { "" } else { "=" };
                if key.starts_with(OWN_TAINTS) {
                    formatter.write_str("wait until the node is well again, or ")?;
                }
                write!(formatter, "tolerate taint {key}{equals}{value}:{effect}")
            }
            Self::Label { key, value, actual } => {
                write!(formatter, "add label {key}={value} to the node")?;
                if let Some(actual) = actual {
                    write!(formatter, " (it has {key}={actual})")?;
                }
                formatter.write_str(" or drop the selector")
            }
            Self::NodeAffinity { any_of } => node_affinity(any_of, "the node affinity", formatter),
            Self::AddedAffinity { any_of } => node_affinity(any_of, "the addedAffinity of its profile", formatter),
            Self::Port { port, taken_by } => write!(formatter, "port {port} is taken by {}", named(taken_by)),
            Self::Pods { running, allowed } => write!(
                formatter,
                "needs room for {} more: runs {running} pods of {allowed}",
                running - allowed + 1
            ),
            Self::Resource {
                resource,
                short,
                asked,
                free,
                capacity,
            } => {
                write!(
                    formatter,
                    "needs {short} more {resource}: free {free} of {capacity}, asked {asked}"
                )?;
                match asked.0 > capacity.0 {
                    true => formatter.write_str(" (more than the whole node has)"),
                    false => Ok(()),
                }
            }
            Self::TopologyLabel { key } => {
                write!(formatter, "add label {key} to the node or drop the constraint by it")
            }
            Self::Spread {
                domain,
                pods,
                emptiest,
                max_skew,
                needed_skew,
            } => write!(
                formatter,
                "move {} of the {pods} pods like it out of {domain} (the emptiest has {emptiest}) or raise maxSkew from \
                 {max_skew} to {needed_skew}",
                needed_skew - max_skew
            ),
            Self::Claim { to_do, .. } => formatter.write_str(to_do),
            Self::Volume { volume, any_of } => {
                write!(formatter, "use another volume than {volume}, ")?;
                match any_of.is_empty() {
                    true => formatter.write_str("which no node can use"),
                    false => {
                        let terms: Vec<String> = any_of.iter().map(|lacking| lacking.join(" and ")).collect();
                        write!(formatter, "which needs {}", terms.join(", or "))
                    }
                }
            }
            Self::Affinity { pods, domain } => {
                write!(formatter, "run {pods} in {domain} or drop the pod affinity to it")
            }
            Self::AntiAffinity {
                wished_by,
                pods,
                domain,
                in_the_way,
            } => {
                write!(formatter, "move {} out of {domain} or drop ", named(in_the_way))?;
                match wished_by {
                    Wisher::ThisPod => write!(formatter, "the anti-affinity to {pods}"),
                    Wisher::PodsThere => write!(formatter, "its anti-affinity to {pods}"),
                }
            }
        }
    }
}

fn node_affinity(any_of: &[Vec<String>], rule: &str, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
    let terms: Vec<String> = any_of.iter().map(|lacking| lacking.join(" and ")).collect();
    match terms.is_empty() {
        true => write!(formatter, "drop {rule}, which no node can satisfy"),
        false => write!(
            formatter,
            "label the node so that {} or drop {rule}",
            terms.join(", or ")
        ),
    }
}

/// The first few, and how many more.
fn named(pods: &[String]) -> String {
    let shown = pods
        .iter()
        .take(NAMED)
        .map(String::as_str)
        .collect::<Vec<_>>()
        .join(", ");
    match pods.len().saturating_sub(NAMED) {
        0 => shown,
        more => format!("{shown} and {more} more"),
    }
}
