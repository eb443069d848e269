//! Decides what is next: where a pod goes, or why it goes nowhere and who has to leave for it.

use std::sync::Arc;
use std::time::Instant;

use super::{State, Step};
use crate::scheduler::filter::Filters;
use crate::scheduler::pod::{PendingPod, PodInfo};
use crate::scheduler::preemption::{self, Budget, Concerned, NoVictims, Victims};
use crate::scheduler::queue::Cause;
use crate::scheduler::reserved::{self, comes_before};
use crate::scheduler::schedule::{Decision, Unschedulable, choose};

impl State {
    /// Decides on the pod that is next, if any is ready.
    pub fn next(&mut self, now: Instant) -> Option<Step> {
        if let Some(step) = self.next_awaiting(now) {
            return Some(step);
        }
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

    /// Where the pod goes. Nothing may be built on pods that are still to come: without them a node has to take it, too.
    pub(super) fn decide(&mut self, pod: &PendingPod) -> Result<Decision, Unschedulable> {
        let others = self.reserved(pod);
        let held = reserved::look(&mut self.snapshot, others, |snapshot, node| {
            Filters::new(pod, snapshot).check(node).err()
        });
        let filters = Filters::new(pod, &self.snapshot).but_for(held);
        choose(pod, &self.snapshot, &filters, self.turn, self.seed)
    }

    /// The other pods that a node is being made free for and that come before this one, with their nodes.
    fn reserved(&self, pod: &PendingPod) -> Vec<(Arc<PodInfo>, Arc<str>)> {
        let others = self.nominated.iter().filter_map(|uid| self.waiting.get(uid));
        let before = others.filter(|other| !other.assumed && comes_before(&other.pod.info, &pod.info));
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
        match self.promise(&pod, &decision.node, now) {
            Some(bindings) => Step::Prepare { pod, bindings },
            None => Step::Bind {
                pod,
                node: decision.node,
            },
        }
    }

    fn refuse(&mut self, pod: Arc<PendingPod>, refused: &Unschedulable, now: Instant) -> Step {
        let budgets: Vec<&Budget> = self.budgets.values().collect();
        let concerned = Concerned {
            budgets: &budgets,
            reserved: &self.reserved(&pod),
        };
        let preempted = preemption::preempt(&pod, refused, &mut self.snapshot, concerned, self.seed);
        let message = preemption::told(refused, preempted.as_ref().err());
        let (nominated, victims) = match preempted {
            Ok(Victims { node, pods, .. }) => (Some(node), pods),
            Err(why) => {
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
