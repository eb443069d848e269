//! Everything the scheduler knows, and what it does next. Synchronous: events and results go in, steps come out;
//! the time is an argument and nothing here waits.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Instant;

use k8s_openapi::api::core::v1::{Namespace, Node, Pod};

use super::filter::Filters;
use super::pod::{PendingPod, PodInfo, Role, role, uid};
use super::queue::Queue;
use super::schedule::schedule;
use super::snapshot::Snapshot;

/// What is to be done next.
#[derive(Clone, Debug, PartialEq)]
pub enum Step {
    /// Bind this pod to that node. It counts there already.
    Bind {
        /// The pod.
        pod: Arc<PendingPod>,
        /// The node.
        node: Arc<str>,
    },
    /// Tell that this pod fits nowhere.
    Refuse {
        /// The pod.
        pod: Arc<PendingPod>,
        /// All reasons, counted.
        message: String,
        /// The version of the pod that has no such condition yet; `None` where it says just that already.
        resource_version: Option<String>,
    },
}

/// What came of a binding.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Bound {
    /// The pod is on this node, be it by us or another.
    On(Arc<str>),
    /// It is on no node; the binding may be tried again.
    Not,
    /// It does not exist any more.
    Gone,
}

/// A pod that has no node yet, as far as the API has told.
#[derive(Debug)]
struct Waiting {
    pod: Arc<PendingPod>,
    resource_version: String,
    /// The message of its PodScheduled condition, while that says that it fits nowhere.
    told: Option<String>,
    /// It counts on a node already; the binding is under way, or done and not seen yet.
    assumed: bool,
}

/// The scheduler's memory.
pub struct State {
    scheduler: String,
    snapshot: Snapshot,
    queue: Queue,
    waiting: HashMap<Arc<str>, Waiting>,
    seed: u64,
    /// Where the next look at the nodes begins.
    turn: usize,
}

impl State {
    /// Knows nothing yet; places pods that ask for a scheduler of this name.
    pub fn new(scheduler: impl Into<String>, seed: u64) -> Self {
        Self {
            scheduler: scheduler.into(),
            snapshot: Snapshot::default(),
            queue: Queue::default(),
            waiting: HashMap::new(),
            seed,
            turn: 0,
        }
    }

    /// The cluster, assumed pods included.
    pub fn snapshot(&self) -> &Snapshot {
        &self.snapshot
    }

    /// When there may next be a step without anything having happened.
    pub fn next_due(&self) -> Option<Instant> {
        self.queue.next_due()
    }

    /// Takes in a pod that is new or changed.
    pub fn pod_changed(&mut self, pod: &Pod, now: Instant) {
        match role(pod, &self.scheduler) {
            Role::Placed(info, node) => self.placed(info, &node, now),
            Role::Pending(pending) => self.pending(pod, pending, now),
            // An assumed pod goes on counting until its binding is settled.
            Role::None if self.is_assumed(&uid(pod)) && !is_finished(pod) => {}
            Role::None => self.pod_gone(&uid(pod), now),
        }
    }

    /// Forgets a pod.
    pub fn pod_gone(&mut self, uid: &str, now: Instant) {
        self.waiting.remove(uid);
        self.queue.remove(uid);
        self.unplace(uid, now);
    }

    /// Takes in a node that is new or changed.
    pub fn node_changed(&mut self, node: &Node, now: Instant) {
        if self.snapshot.set_node(node) {
            self.wake_for(node.metadata.name.as_deref().unwrap_or_default(), now);
        }
    }

    /// Forgets a node.
    pub fn node_gone(&mut self, name: &str, now: Instant) {
        self.snapshot.remove_node(name);
        self.wake_for(name, now);
    }

    /// Takes in a namespace that is new or changed.
    pub fn namespace_changed(&mut self, namespace: &Namespace, now: Instant) {
        let name = namespace.metadata.name.as_deref().unwrap_or_default();
        let labels = namespace.metadata.labels.clone().unwrap_or_default();
        if self.snapshot.set_namespace(name, labels) {
            self.wake_related(now);
        }
    }

    /// Forgets a namespace.
    pub fn namespace_gone(&mut self, name: &str) {
        self.snapshot.remove_namespace(name);
    }

    /// Forgets every pod that a complete list did not have.
    pub fn keep_pods(&mut self, listed: &HashSet<Arc<str>>, now: Instant) {
        let known = self.waiting.keys().cloned().chain(self.snapshot.placed_uids());
        for uid in known.filter(|uid| !listed.contains(uid)).collect::<Vec<_>>() {
            self.pod_gone(&uid, now);
        }
    }

    /// Forgets every node that a complete list did not have.
    pub fn keep_nodes(&mut self, listed: &HashSet<Arc<str>>, now: Instant) {
        for name in self.snapshot.node_names() {
            if !listed.contains(&name) {
                self.node_gone(&name, now);
            }
        }
    }

    /// Decides on the pod that is next, if any is ready.
    pub fn next(&mut self, now: Instant) -> Option<Step> {
        let uid = self.queue.pop(now)?;
        let waiting = self.waiting.get_mut(&uid).expect("every queued pod waits");
        let pod = waiting.pod.clone();
        self.seed = self.seed.wrapping_add(1);
        self.snapshot.prepare(&pod);
        match schedule(&pod, &self.snapshot, self.turn, self.seed) {
            Ok(decision) => {
                self.turn = self.turn.wrapping_add(decision.turns);
                waiting.assumed = true;
                self.snapshot.set_pod(pod.info.clone(), &decision.node);
                if !self.snapshot.wishes().is_empty() || pod.looks_beyond() {
                    self.wake_related(now);
                }
                Some(Step::Bind {
                    pod,
                    node: decision.node,
                })
            }
            Err(refusal) => {
                self.queue.park(&uid, now);
                let message = refusal.to_string();
                let told = waiting.told.as_ref() == Some(&message);
                waiting.told = Some(message.clone());
                let resource_version = (!told).then(|| waiting.resource_version.clone());
                Some(Step::Refuse {
                    pod,
                    message,
                    resource_version,
                })
            }
        }
    }

    /// Takes in what came of a binding.
    pub fn bound(&mut self, uid: &Arc<str>, outcome: &Bound, now: Instant) {
        // The watch may have told before: then there is nothing left to settle.
        let Some(waiting) = self.waiting.get_mut(uid).filter(|waiting| waiting.assumed) else {
            return;
        };
        match outcome {
            Bound::On(node) => {
                let moved = self.snapshot.node_of(uid).filter(|assumed| *assumed != node).cloned();
                if let Some(assumed) = moved {
                    self.snapshot.set_pod(waiting.pod.info.clone(), node);
                    self.wake_for(&assumed, now);
                }
            }
            Bound::Not => {
                waiting.assumed = false;
                self.queue.delay(uid, now);
                self.unplace(uid, now);
            }
            Bound::Gone => self.pod_gone(uid, now),
        }
    }

    /// Telling that a pod fits nowhere failed: it is decided on and told again, later.
    pub fn not_told(&mut self, uid: &str, now: Instant) {
        if let Some(waiting) = self.waiting.get_mut(uid).filter(|waiting| !waiting.assumed) {
            waiting.told = None;
            self.queue.delay(uid, now);
        }
    }

    fn is_assumed(&self, uid: &str) -> bool {
        self.waiting.get(uid).is_some_and(|waiting| waiting.assumed)
    }

    fn placed(&mut self, info: PodInfo, node: &Arc<str>, now: Instant) {
        self.waiting.remove(&info.uid);
        self.queue.remove(&info.uid);
        let before = self.snapshot.node_of(&info.uid).cloned();
        if before.as_ref() == Some(node) && self.snapshot.pod(&info.uid).is_some_and(|known| **known == info) {
            return;
        }
        let uid = info.uid.clone();
        self.snapshot.set_pod(info.into(), node);
        match before {
            // It moved or shrank, perhaps.
            Some(before) => self.wake_for(&before, now),
            None => self.wake_related(now),
        }
        debug_assert!(self.snapshot.node_of(&uid) == Some(node));
    }

    fn pending(&mut self, pod: &Pod, pending: PendingPod, now: Instant) {
        let uid = pending.info.uid.clone();
        let resource_version = pod.metadata.resource_version.clone().unwrap_or_default();
        let told = told(pod);
        let Some(waiting) = self.waiting.get_mut(&uid) else {
            self.queue.add(&uid, pending.info.priority, pending.created_seconds);
            let pod = Arc::new(pending);
            self.waiting.insert(
                uid,
                Waiting {
                    pod,
                    resource_version,
                    told,
                    assumed: false,
                },
            );
            return;
        };
        waiting.resource_version = resource_version;
        waiting.told = told;
        if !waiting.assumed && *waiting.pod != pending {
            waiting.pod = Arc::new(pending);
            self.queue.wake(&uid, now);
        }
    }

    /// Takes a pod off its node, if it is on one, and wakes those that its going may help.
    fn unplace(&mut self, uid: &str, now: Instant) {
        let kept_away = self.snapshot.pod(uid).is_some_and(|pod| pod.terms.is_some());
        let Some(node) = self.snapshot.remove_pod(uid) else {
            return;
        };
        if kept_away {
            // It may have kept others off every node near its own.
            for uid in self.queue.parked() {
                self.queue.wake(&uid, now);
            }
        } else {
            self.wake_for(&node, now);
        }
    }

    /// Wakes the parked pods that this node may now take, and those that look beyond a node.
    fn wake_for(&mut self, node: &str, now: Instant) {
        if self.queue.none_parked() {
            return;
        }
        // Pods there that want others away keep them off nodes near it too, so that any pod may be concerned.
        let any = !self.snapshot.wishes().is_empty();
        for uid in self.queue.parked() {
            let Some(waiting) = self.waiting.get(&uid) else {
                continue;
            };
            let pod = &waiting.pod;
            let fits = || {
                let node = self.snapshot.node(node);
                node.is_some_and(|node| Filters::new(pod, &self.snapshot).check(node).is_ok())
            };
            if any || pod.looks_beyond() || fits() {
                self.queue.wake(&uid, now);
            }
        }
    }

    /// Wakes the parked pods whose chances depend on other pods.
    fn wake_related(&mut self, now: Instant) {
        for uid in self.queue.parked() {
            if self.waiting.get(&uid).is_some_and(|waiting| waiting.pod.looks_beyond()) {
                self.queue.wake(&uid, now);
            }
        }
    }
}

fn is_finished(pod: &Pod) -> bool {
    let phase = pod.status.as_ref().and_then(|status| status.phase.as_deref());
    matches!(phase, Some("Succeeded" | "Failed"))
}

/// The message of the condition that says that the pod fits nowhere.
fn told(pod: &Pod) -> Option<String> {
    let conditions = pod.status.as_ref()?.conditions.as_ref()?;
    let condition = conditions.iter().find(|condition| condition.type_ == "PodScheduled")?;
    let fits_nowhere = condition.status == "False" && condition.reason.as_deref() == Some("Unschedulable");
    condition.message.clone().filter(|_| fits_nowhere)
}
