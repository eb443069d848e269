//! Decides what is next: where a pod goes, or why it goes nowhere and who has to leave for it.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Instant;

use super::{State, Step};
use crate::scheduler::filter::Filters;
use crate::scheduler::pod::{PendingPod, PodInfo};
use crate::scheduler::preemption::{self, Budget, NoVictims, Victims};
use crate::scheduler::queue::Cause;
use crate::scheduler::refusal::Refusal;
use crate::scheduler::schedule::{Decision, Unschedulable, choose};
use crate::scheduler::snapshot::Slot;

impl State {
    /// Decides on the pod that is next, if any is ready.
    pub fn next(&mut self, now: Instant) -> Option<Step> {
        let uid = self.queue.pop(now)?;
        let pod = self.waiting.get(&uid).expect("every queued pod waits").pod.clone();
        self.refused.remove(&uid);
        self.seed = self.seed.wrapping_add(1);
        self.snapshot.prepare(&pod);
        Some(match self.decide(&pod) {
            Ok(decision) => self.assume(pod, decision, now),
            Err(refused) => self.refuse(pod, &refused, now),
        })
    }

    /// Where the pod goes.
    pub(super) fn decide(&mut self, pod: &PendingPod) -> Result<Decision, Unschedulable> {
        let held = self.held(pod);
        let filters = Filters::new(pod, &self.snapshot).but_for(held);
        choose(pod, &self.snapshot, &filters, self.turn, self.seed)
    }

    /// Why nodes refuse the pod that are being made free for others, which come before it and count there, and only
    /// there, as if they had come already. Nothing may be built on them: without them a node has to take the pod, too.
    fn held(&mut self, pod: &PendingPod) -> HashMap<Slot, Vec<Refusal>> {
        let mut by_node = HashMap::<Arc<str>, Vec<Arc<PodInfo>>>::new();
        for (other, node) in self.reserved(pod) {
            by_node.entry(node).or_default().push(other);
        }
        let mut held = HashMap::new();
        for (name, others) in by_node {
            for other in &others {
                self.snapshot.set_pod(other.clone(), &name);
            }
            let filters = Filters::new(pod, &self.snapshot);
            let refused = self.snapshot.node(&name);
            held.extend(refused.and_then(|node| Some((node.slot, filters.check(node).err()?))));
            drop(filters);
            for other in &others {
                self.snapshot.remove_pod(&other.uid);
            }
        }
        held
    }

    /// The other pods that a node is being made free for, if they are as important as this one, with their nodes.
    fn reserved(&self, pod: &PendingPod) -> Vec<(Arc<PodInfo>, Arc<str>)> {
        let others = self.nominated.iter().filter_map(|uid| self.waiting.get(uid));
        let before = others.filter(|other| {
            !other.assumed && other.pod.info.uid != pod.info.uid && other.pod.info.priority >= pod.info.priority
        });
        before
            .filter_map(|other| Some((other.pod.info.clone(), other.pod.nominated.clone()?)))
            .collect()
    }

    fn assume(&mut self, pod: Arc<PendingPod>, decision: Decision, now: Instant) -> Step {
        self.turn = self.turn.wrapping_add(decision.turns);
        if let Some(waiting) = self.waiting.get_mut(&pod.info.uid) {
            waiting.assumed = true;
        }
        self.snapshot.set_pod(pod.info.clone(), &decision.node);
        self.give_up(pod.nominated.clone().filter(|kept| *kept != decision.node), now);
        if !self.snapshot.wishes().is_empty() || pod.looks_beyond() {
            self.wake_related(Cause::AssignedPodAdd, now);
        }
        Step::Bind {
            pod,
            node: decision.node,
        }
    }

    fn refuse(&mut self, pod: Arc<PendingPod>, refused: &Unschedulable, now: Instant) -> Step {
        let budgets: Vec<&Budget> = self.budgets.values().collect();
        let mut message = refused.to_string();
        let (nominated, victims) = match preemption::preempt(&pod, refused, &mut self.snapshot, &budgets, self.seed) {
            Ok(Victims { node, pods, .. }) => (Some(node), pods),
            Err(why) => {
                if !refused.refusals.is_empty() && why != NoVictims::NotConfigured {
                    message = format!("{message} preemption: {why}");
                }
                let waits = matches!(why, NoVictims::Ending);
                (pod.nominated.clone().filter(|_| waits), Vec::new())
            }
        };
        // From now on they are on their way out, so that nobody else need be.
        for victim in &victims {
            self.driven_out.insert(victim.uid.clone());
            self.set_ending(&victim.uid, true);
        }
        let pod = self.nominate(&pod, nominated.clone(), now);
        self.queue.park(&pod.info.uid, now);
        self.refused.add(&pod.info.uid, &pod.profile.name, refused);
        let told = Some((message.clone(), nominated));
        let resource_version = self.waiting.get_mut(&pod.info.uid).and_then(|waiting| {
            let news = waiting.told != told;
            waiting.told = told;
            news.then(|| waiting.resource_version.clone())
        });
        Step::Refuse {
            pod,
            message,
            resource_version,
            victims,
        }
    }

    /// Notes the node that is made free for a pod. Less important pods that were to have it decide again.
    fn nominate(&mut self, pod: &Arc<PendingPod>, node: Option<Arc<str>>, now: Instant) -> Arc<PendingPod> {
        if pod.nominated == node {
            return pod.clone();
        }
        if let Some(node) = &node {
            for uid in self.nominated.clone() {
                let Some(other) = self.waiting.get(&uid) else { continue };
                let other = &other.pod;
                if other.nominated.as_ref() == Some(node) && other.info.priority < pod.info.priority {
                    let other = other.clone();
                    self.note(&other, None);
                    self.queue.wake(&uid, Cause::Preemption, now);
                }
            }
        }
        let noted = self.note(pod, node);
        self.give_up(pod.nominated.clone(), now);
        noted
    }

    fn note(&mut self, pod: &Arc<PendingPod>, node: Option<Arc<str>>) -> Arc<PendingPod> {
        let uid = &pod.info.uid;
        if node.is_some() {
            self.nominated.insert(uid.clone());
        } else {
            self.nominated.remove(uid);
        }
        let noted = Arc::new(PendingPod {
            nominated: node,
            ..PendingPod::clone(pod)
        });
        if let Some(waiting) = self.waiting.get_mut(uid) {
            waiting.pod = noted.clone();
        }
        noted
    }
}
