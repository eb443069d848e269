//! Why a pod is where it is, or what keeps it from each node and what would have to change. Pure: asks the very rules that
//! decide, over lists of one moment.

mod change;
mod hints;
mod standing;
mod storage;
mod verdict;
mod world;

use std::fmt;
use std::sync::Arc;

use k8s_openapi::api::core::v1::Pod;
use serde::{Serialize, Serializer};

pub use change::{Amount, Change, Wisher};
use hints::Hints;
pub use standing::Standing;
pub use world::World;

use super::filter::Filters;
use super::pod::{PendingPod, pending, pending_by, scheduler_name};
use super::preemption::Victims;
use super::refusal::Refusal;
use super::reserved;
use super::snapshot::{NodeInfo, Snapshot};

/// A pod and every node.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Explanation {
    /// The pod's namespace.
    pub namespace: String,
    /// The pod's name.
    pub name: String,
    /// Where it stands on its way to a node.
    #[serde(flatten)]
    pub standing: Standing,
    /// The node that its status says is being made free for it.
    pub nominated_node: Option<String>,
    /// What would be decided now: where it would go, or the words of a FailedScheduling event. Empty where it goes nowhere
    /// any more.
    pub summary: String,
    /// The nodes that are best, one of which is chosen; empty where none fits.
    pub chosen: Vec<String>,
    /// How many nodes of those that fit a decision looks at, where the cluster is so large that these are not all.
    pub sample: Option<usize>,
    /// Who would be driven out for it now, where it fits nowhere.
    pub preemption: Option<Preemption>,
    /// The node that the least would have to change on, where it fits nowhere.
    pub easiest: Option<String>,
    /// Those that fit first, the best before the others; then the rest, those that lack least first.
    pub nodes: Vec<NodeExplanation>,
}

/// One node.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct NodeExplanation {
    /// Its name.
    pub name: String,
    /// Whether the pod is on it; it is explained as if it were not there yet.
    pub current: bool,
    /// Whether the pod fits, and how good the node is, or why not.
    #[serde(flatten)]
    pub outcome: Outcome,
}

/// What a node is to the pod.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(tag = "outcome", rename_all = "camelCase", rename_all_fields = "camelCase")]
pub enum Outcome {
    /// The pod fits.
    Fits {
        /// The weighted sum of all scores.
        total: i64,
        /// Each rule's part of it.
        scores: Vec<Score>,
    },
    /// The pod does not fit.
    Refused(Refused),
}

/// A rule's score of a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Score {
    /// kube-scheduler's name of the rule.
    pub plugin: &'static str,
    /// 0 to 100.
    pub score: i64,
    /// What it counts.
    pub weight: i64,
    /// Both multiplied.
    pub product: i64,
}

/// Why a pod does not fit, and what would have to change.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Refused {
    /// kube-scheduler's name of the first rule that refuses the node.
    pub filter: &'static str,
    /// That rule's reasons, in kube-scheduler's words.
    #[serde(serialize_with = "words")]
    pub reasons: Vec<Refusal>,
    /// Everything that would have to change, also for the rules that come after the first.
    #[serde(serialize_with = "changes")]
    pub changes: Vec<Change>,
    /// Who could be driven out instead, where the pod fits nowhere.
    pub preemption: Option<Preemption>,
}

/// Pods of lower priority in the way.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Preemption {
    /// Their node.
    pub node: String,
    /// Who would have to go, the most important one first.
    pub pods: Vec<Victim>,
    /// How many of them would go against a disruption budget.
    pub violations: usize,
}

/// A pod in the way.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Victim {
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// Its priority.
    pub priority: i32,
}

/// Explains a pod. The seed is for what the scheduler picks at random: among equally good victims.
pub fn explain(pod: &Pod, world: &World, seed: u64) -> Explanation {
    let standing = Standing::read(pod, &world.profiles);
    let mut asked = match world.profiles.of(scheduler_name(pod)) {
        Some(profile) => pending_by(pod, profile.clone()),
        None => pending(pod),
    };
    let nominated = asked.nominated.as_deref().map(str::to_owned);
    let mut explanation = Explanation {
        namespace: asked.info.namespace.clone(),
        name: asked.info.name.clone(),
        nominated_node: nominated,
        summary: String::new(),
        chosen: Vec::new(),
        sample: None,
        preemption: None,
        easiest: None,
        nodes: Vec::new(),
        standing,
    };
    if !explanation.standing.wants_a_node() {
        return explanation;
    }
    let current = match &explanation.standing {
        Standing::Placed { node, .. } => Some(node.clone()),
        _ => None,
    };
    if current.is_some() {
        // As it was before it got its node; a manifest that names it looks the same afterwards.
        asked.node_name.clear();
        asked.nominated = None;
    }
    look(&mut explanation, &asked, world, seed);
    for node in &mut explanation.nodes {
        node.current = current.as_ref() == Some(&node.name);
    }
    explanation
}

fn look(explanation: &mut Explanation, pod: &PendingPod, world: &World, seed: u64) {
    let mut snapshot = world.without(pod);
    explanation.nodes = look_at_nodes(pod, &mut snapshot, world);
    verdict::decide(explanation, pod, &mut snapshot, world, seed);
    explanation.nodes.sort_by_cached_key(|node| {
        let (rank, ease) = node.rank();
        (rank, ease, node.name.clone())
    });
}

/// Every node, in the order that the scheduler tells of them.
fn look_at_nodes(pod: &PendingPod, snapshot: &mut Snapshot, world: &World) -> Vec<NodeExplanation> {
    // Room that is kept for others is taken, but nothing may be built on those who do not have it yet.
    let mut held = reserved::look(snapshot, world.reserved(pod), |snapshot, node| {
        Look::new(pod, snapshot).refused(node)
    });
    let look = Look::new(pod, snapshot);
    let mut refused = |node: &NodeInfo| held.remove(&node.slot).or_else(|| look.refused(node));
    let nodes: Vec<_> = snapshot.nodes().map(|node| (node, refused(node))).collect();
    let fitting = nodes.iter().filter(|(_, refused)| refused.is_none());
    let fitting: Vec<&NodeInfo> = fitting.map(|(node, _)| *node).collect();
    let mut scores = scores(pod, snapshot, &fitting).into_iter();
    let explained = nodes.into_iter().map(|(node, refused)| NodeExplanation {
        name: node.name.to_string(),
        current: false,
        outcome: match refused {
            Some(refused) => Outcome::Refused(refused),
            None => {
                let scores = scores.next().expect("every node that fits is scored");
                let total = scores.iter().map(|score| score.product).sum();
                Outcome::Fits { total, scores }
            }
        },
    });
    explained.collect()
}

/// The rules and the hints, made ready for one pod.
struct Look<'a> {
    filters: Filters<'a>,
    hints: Hints<'a>,
}

impl<'a> Look<'a> {
    fn new(pod: &'a PendingPod, snapshot: &'a Snapshot) -> Self {
        Self {
            filters: Filters::new(pod, snapshot),
            hints: Hints::new(pod, snapshot),
        }
    }

    fn refused(&self, node: &NodeInfo) -> Option<Refused> {
        let reasons = self.filters.check(node).err()?;
        Some(Refused {
            filter: reasons.first().and_then(Refusal::plugin).unwrap_or_default(),
            changes: self.hints.changes(node, &self.filters.every_reason(node)),
            reasons,
            preemption: None,
        })
    }
}

/// Each node's scores by rule, in the order of the nodes.
fn scores(pod: &PendingPod, snapshot: &Snapshot, nodes: &[&NodeInfo]) -> Vec<Vec<Score>> {
    let mut all = vec![Vec::with_capacity(pod.profile.scores.len()); nodes.len()];
    for (plugin, weight) in &pod.profile.scores {
        for (scores, score) in all.iter_mut().zip(plugin.scores(pod, snapshot, nodes)) {
            scores.push(Score {
                plugin: plugin.name,
                score,
                weight: *weight,
                product: weight * score,
            });
        }
    }
    all
}

impl NodeExplanation {
    /// Lower is better: whether it fits and its total; or how much would have to change.
    fn rank(&self) -> (i64, (usize, u32, i64)) {
        match &self.outcome {
            Outcome::Fits { total, .. } => (-1, (0, 0, -total)),
            Outcome::Refused(refused) => (0, refused.ease()),
        }
    }
}

impl Refused {
    /// How much would have to change, for comparing: how many things, how hard they are, and how much is short.
    fn ease(&self) -> (usize, u32, i64) {
        let effort = self.changes.iter().map(Change::effort).sum();
        let short = self.changes.iter().map(Change::shortage).sum();
        (self.changes.len(), effort, short)
    }
}

impl Preemption {
    fn of(victims: Victims) -> Self {
        let Victims { node, pods, violations } = victims;
        let victim = |pod: &Arc<super::pod::PodInfo>| Victim {
            namespace: pod.namespace.clone(),
            name: pod.name.clone(),
            priority: pod.priority,
        };
        Self {
            node: node.to_string(),
            pods: pods.iter().map(victim).collect(),
            violations,
        }
    }
}

impl fmt::Display for Preemption {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let pods = self.pods.iter();
        let pods: Vec<String> = pods
            .map(
                |Victim {
                     namespace,
                     name,
                     priority,
                 }| format!("{namespace}/{name} (priority {priority})"),
            )
            .collect();
        write!(formatter, "preempting {} would make room", pods.join(", "))?;
        match self.violations {
            0 => Ok(()),
            1 => formatter.write_str(" (one of them against a disruption budget)"),
            more => write!(formatter, " ({more} of them against a disruption budget)"),
        }
    }
}

fn words<S: Serializer>(reasons: &[Refusal], serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_seq(reasons.iter().map(ToString::to_string))
}

fn changes<S: Serializer>(changes: &[Change], serializer: S) -> Result<S::Ok, S::Error> {
    Change::serialize_all(changes, serializer)
}

#[cfg(test)]
mod property_tests;
#[cfg(test)]
mod tests;
