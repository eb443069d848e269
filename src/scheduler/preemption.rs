//! Which pods of lower priority have to go so that a pod fits, as kube-scheduler's DefaultPreemption chooses them. Pure: the
//! snapshot is changed to try things out and is as before afterwards.

mod choose;

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use k8s_openapi::api::policy::v1::PodDisruptionBudget;
use kube::core::{Selector, SelectorExt as _};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

use super::affinity;
use super::filter::Filters;
use super::pod::{PendingPod, PodInfo};
use super::refusal::Refusal;
use super::reserved;
use super::schedule::Unschedulable;
use super::snapshot::{NodeInfo, Snapshot};

/// A disruption budget: how many more pods of a kind may go.
#[derive(Clone, Debug, PartialEq)]
pub struct Budget {
    /// Where its pods are.
    pub namespace: String,
    /// Which pods; an empty one is of none here, as kube-scheduler has it.
    pub selector: Selector,
    /// How many more may go.
    pub allowed: i64,
    /// Names of pods that are on their way out and counted already.
    pub disrupted: HashSet<String>,
}

/// A node and who has to leave it, the most important one first.
#[derive(Clone, Debug, PartialEq)]
pub struct Victims {
    /// The node.
    pub node: Arc<str>,
    /// Who has to go; never empty.
    pub pods: Vec<Arc<PodInfo>>,
    /// How many of them go against a disruption budget.
    pub violations: usize,
}

/// Why a pod drives nobody out.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NoVictims {
    /// Its profile does not provide for it.
    #[error("its profile has no DefaultPreemption.")]
    NotConfigured,
    /// The pod does not want it.
    #[error("not eligible due to preemptionPolicy=Never.")]
    Never,
    /// It has done so, and waits for them to be gone.
    #[error("not eligible due to a terminating pod on the nominated node.")]
    Ending,
    /// It would not help, node by node.
    #[error("{0}")]
    NoHelp(Unschedulable),
}

/// Who else is concerned when pods are driven out.
#[derive(Clone, Copy, Debug, Default)]
pub struct Concerned<'a> {
    /// Who keeps pods from going.
    pub budgets: &'a [&'a Budget],
    /// The other pods that a node is being made free for and that come before, with their nodes: their room is not to be
    /// counted on.
    pub reserved: &'a [(Arc<PodInfo>, Arc<str>)],
}

/// Chooses whom to drive out for a pod that fits nowhere, given why not.
///
/// # Errors
/// Where nobody is to be driven out, with the reason.
pub fn preempt(
    pod: &PendingPod,
    refused: &Unschedulable,
    snapshot: &mut Snapshot,
    concerned: Concerned<'_>,
    seed: u64,
) -> Result<Victims, NoVictims> {
    let Some(tried) = pod.profile.preemption else {
        return Err(NoVictims::NotConfigured);
    };
    if !pod.preempts {
        return Err(NoVictims::Never);
    }
    if waits_for_an_end(pod, refused, snapshot) {
        return Err(NoVictims::Ending);
    }
    let (may_help, hopeless): (Vec<_>, Vec<_>) = refused.refusals.iter().partition(|(_, reasons)| room_helps(reasons));
    let no_help = |(node, _): &(Arc<str>, _)| (node.clone(), vec![Refusal::PreemptionNoHelp]);
    let mut refusals: Vec<_> = hopeless.into_iter().map(no_help).collect();
    let wanted = tried.of(may_help.len());
    let mut candidates = Vec::new();
    let begin = match may_help.len() {
        0 => 0,
        many => StdRng::seed_from_u64(seed).random_range(0..many),
    };
    for (node, _) in may_help[begin..].iter().chain(&may_help[..begin]) {
        match Trial::new(pod, node, snapshot, concerned.reserved).victims(concerned.budgets) {
            Ok(victims) => candidates.push(victims),
            Err(reasons) => refusals.push((node.clone(), reasons)),
        }
        let harmless = candidates.iter().any(|victims| victims.violations == 0);
        if harmless && candidates.len() >= wanted {
            break;
        }
    }
    let best = candidates.into_iter().reduce(choose::better);
    best.ok_or(NoVictims::NoHelp(Unschedulable { refusals }))
}

/// Whether pods are leaving the node that was nominated, so that nobody else need go.
fn waits_for_an_end(pod: &PendingPod, refused: &Unschedulable, snapshot: &Snapshot) -> bool {
    let Some(node) = pod.nominated.as_deref().and_then(|name| snapshot.node(name)) else {
        return false;
    };
    let hopeless = refused
        .refusals
        .iter()
        .any(|(name, reasons)| *name == node.name && !room_helps(reasons));
    let mut pods = node.pods.values();
    !hopeless && pods.any(|other| other.is_ending && other.priority < pod.info.priority)
}

/// Why a pod fits nowhere, and why nobody is driven out for it, where that is so, in kube-scheduler's words.
pub(super) fn told(refused: &Unschedulable, why: Option<&NoVictims>) -> String {
    let why = why.filter(|why| !refused.refusals.is_empty() && **why != NoVictims::NotConfigured);
    match why {
        Some(why) => format!("{refused} preemption: {why}"),
        None => refused.to_string(),
    }
}

/// Whether a node that refused the pod for these reasons might do if less important ones left it.
pub(super) fn may_help(pod: &PendingPod, node: &NodeInfo, reasons: &[Refusal]) -> bool {
    let mut others = node.pods.values();
    pod.preempts && room_helps(reasons) && others.any(|other| other.priority < pod.info.priority)
}

/// Whether a node refused for these reasons might do if there were fewer pods.
fn room_helps(reasons: &[Refusal]) -> bool {
    reasons.iter().all(Refusal::is_lifted_by_room)
}

/// Tries out who has to leave a node. Whoever was taken off it is put back in the end.
struct Trial<'a> {
    pod: &'a PendingPod,
    node: &'a Arc<str>,
    snapshot: &'a mut Snapshot,
    /// Those that the node is being made free for.
    reserved: Vec<(Arc<PodInfo>, Arc<str>)>,
    removed: HashMap<Arc<str>, Arc<PodInfo>>,
}

impl<'a> Trial<'a> {
    fn new(
        pod: &'a PendingPod,
        node: &'a Arc<str>,
        snapshot: &'a mut Snapshot,
        reserved: &[(Arc<PodInfo>, Arc<str>)],
    ) -> Self {
        let here = reserved.iter().filter(|(_, of)| of == node);
        Self {
            pod,
            node,
            snapshot,
            reserved: here.cloned().collect(),
            removed: HashMap::new(),
        }
    }

    /// Who has to leave: everybody of lower priority, less those who can stay, tried from the most important one on and
    /// those first whose budget does not let them go.
    fn victims(mut self, budgets: &[&Budget]) -> Result<Victims, Vec<Refusal>> {
        let Some(node) = self.snapshot.node(self.node) else {
            return Err(vec![Refusal::NoVictims]);
        };
        let lower = |other: &&Arc<PodInfo>| other.priority < self.pod.info.priority;
        let mut lower: Vec<Arc<PodInfo>> = node.pods.values().filter(lower).cloned().collect();
        if lower.is_empty() {
            return Err(vec![Refusal::NoVictims]);
        }
        lower.iter().for_each(|other| self.take_off(other));
        self.check()?;
        lower.sort_by(choose::by_importance);
        let (protected, others) = split(lower, budgets);
        let mut violations = 0;
        let mut pods = Vec::new();
        for (is_protected, other) in protected
            .into_iter()
            .map(|other| (true, other))
            .chain(others.into_iter().map(|other| (false, other)))
        {
            if !self.can_stay(&other) {
                violations += usize::from(is_protected);
                pods.push(other);
            }
        }
        pods.sort_by(choose::by_importance);
        if pods.is_empty() {
            // It fits as it is: somebody has left since it was refused.
            return Err(vec![Refusal::NoVictims]);
        }
        Ok(Victims {
            node: self.node.clone(),
            pods,
            violations,
        })
    }

    fn take_off(&mut self, other: &Arc<PodInfo>) {
        self.snapshot.remove_pod(&other.uid);
        self.removed.insert(other.uid.clone(), other.clone());
    }

    fn put_back(&mut self, other: &Arc<PodInfo>) {
        self.removed.remove(&other.uid);
        self.snapshot.set_pod(other.clone(), self.node);
    }

    fn can_stay(&mut self, other: &Arc<PodInfo>) -> bool {
        self.put_back(other);
        let fits = self.check().is_ok();
        if !fits {
            self.take_off(other);
        }
        fits
    }

    /// Whether the pod fits, with those to come and without.
    fn check(&mut self) -> Result<(), Vec<Refusal>> {
        let check = |snapshot: &Snapshot, node: &NodeInfo| Filters::new(self.pod, snapshot).check(node).err();
        let held = reserved::look(self.snapshot, self.reserved.iter().cloned(), check);
        let node = self.snapshot.node(self.node).ok_or_else(|| vec![Refusal::NoVictims])?;
        let refused = held.into_values().next().or_else(|| check(self.snapshot, node));
        refused.map_or(Ok(()), Err)
    }
}

impl Drop for Trial<'_> {
    fn drop(&mut self) {
        for other in std::mem::take(&mut self.removed).into_values() {
            self.snapshot.set_pod(other, self.node);
        }
    }
}

/// Those whose going would go against a budget, and those who may go; budgets are used up in that order.
fn split(pods: Vec<Arc<PodInfo>>, budgets: &[&Budget]) -> (Vec<Arc<PodInfo>>, Vec<Arc<PodInfo>>) {
    let mut allowed: Vec<i64> = budgets.iter().map(|budget| budget.allowed).collect();
    pods.into_iter().partition(|pod| {
        let mut violates = false;
        for (budget, allowed) in budgets.iter().zip(&mut allowed) {
            if budget.concerns(pod) {
                *allowed -= 1;
                violates |= *allowed < 0;
            }
        }
        violates
    })
}

impl Budget {
    /// Reads a budget; `None` where it is of no pods.
    pub fn read(budget: &PodDisruptionBudget) -> Option<Self> {
        let selector = budget.spec.as_ref()?.selector.as_ref()?;
        let status = budget.status.as_ref();
        Some(Self {
            namespace: budget.metadata.namespace.clone().unwrap_or_default(),
            selector: affinity::selector(selector)?,
            allowed: status.map_or(0, |status| i64::from(status.disruptions_allowed.unwrap_or_default())),
            disrupted: status
                .and_then(|status| status.disrupted_pods.as_ref())
                .map(|pods| pods.keys().cloned().collect())
                .unwrap_or_default(),
        })
    }

    fn concerns(&self, pod: &PodInfo) -> bool {
        self.namespace == pod.namespace
            && !pod.labels.is_empty()
            && !self.selector.selects_all()
            && self.selector.matches(&pod.labels)
            && !self.disrupted.contains(&pod.name)
    }
}

#[cfg(test)]
mod brute_force_tests;
#[cfg(test)]
mod tests;
