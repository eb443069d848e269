//! Everything the scheduler knows, and what it does next. Synchronous: events and results go in, steps come out;
//! the time is an argument and nothing here waits. What is next is decided in [`deciding`].

mod budgets;
mod counted;
mod deciding;
mod refused;
mod storage;

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Instant;

use k8s_openapi::api::core::v1::{Namespace, Node, Pod};

use super::filter::Filters;
use super::pod::{PendingPod, PodInfo, Role, role, uid};
use super::preemption::{self, Budget};
use super::profile::Profiles;
use super::queue::{Backoff, Cause, Queue};
use super::snapshot::{Bindings, Snapshot};
pub use budgets::{BudgetKey, budget_key};
pub use counted::{Counted, History};
use refused::Refused;
use storage::Awaiting;
pub use storage::Storage;

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
    /// Write what makes volumes the pod's own. They count as written, and the pod on that node, already.
    Prepare {
        /// The pod.
        pod: Arc<PendingPod>,
        /// What is to be written.
        bindings: Bindings,
    },
    /// Its volumes will not be the pod's: it is to be tried again.
    Fail {
        /// The pod.
        pod: Arc<PendingPod>,
        /// Why not.
        reason: String,
    },
    /// Tell that this pod fits nowhere.
    Refuse {
        /// The pod; its `nominated` is the node that is made free for it, as its status shall say.
        pod: Arc<PendingPod>,
        /// All reasons, counted.
        message: String,
        /// The version of the pod that does not say so yet; `None` where it says just that already.
        resource_version: Option<String>,
        /// Who is to be driven out for it, of the node nominated.
        victims: Vec<Arc<PodInfo>>,
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
    /// What its status says, while that is that it fits nowhere.
    told: Option<Told>,
    /// When it was first heard of as one that could be placed.
    since: Instant,
    /// It counts on a node already; the binding is under way, or done and not seen yet.
    assumed: bool,
}

/// What a status says of a pod that fits nowhere: the message, and the node nominated.
type Told = (String, Option<Arc<str>>);

/// The scheduler's memory.
pub struct State {
    profiles: Profiles,
    snapshot: Snapshot,
    queue: Queue,
    waiting: HashMap<Arc<str>, Waiting>,
    /// Those waiting for which a node is being made free.
    nominated: HashSet<Arc<str>>,
    /// Pods that were told to go for another, until they are seen to be going.
    driven_out: HashSet<Arc<str>>,
    /// Disruption budgets by namespace and name.
    budgets: HashMap<BudgetKey, Budget>,
    /// Pods that wait for their gates to go.
    gated: HashSet<Arc<str>>,
    /// Pods with a node whose volumes are not theirs yet.
    awaiting: HashMap<Arc<str>, Awaiting>,
    refused: Refused,
    seed: u64,
    /// Where the next look at the nodes begins.
    turn: usize,
}

impl State {
    /// Knows nothing yet; places pods that one of the profiles is for.
    pub fn new(profiles: Profiles, backoff: Backoff, seed: u64) -> Self {
        Self {
            profiles,
            snapshot: Snapshot::default(),
            queue: Queue::new(backoff),
            waiting: HashMap::new(),
            nominated: HashSet::new(),
            driven_out: HashSet::new(),
            budgets: HashMap::new(),
            gated: HashSet::new(),
            awaiting: HashMap::new(),
            refused: Refused::default(),
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
        self.queue.next_due().into_iter().chain(self.awaiting_due()).min()
    }

    /// Takes in a pod that is new or changed.
    pub fn pod_changed(&mut self, pod: &Pod, now: Instant) {
        let role = role(pod, &self.profiles);
        if matches!(role, Role::Gated) {
            self.gated.insert(uid(pod));
        } else if !self.gated.is_empty() {
            self.gated.remove(&uid(pod));
        }
        match role {
            Role::Placed(info, node) => self.placed(info, &node, now),
            Role::Pending(pending) => self.pending(pod, pending, now),
            // An assumed pod goes on counting until its binding is settled.
            Role::None | Role::Gated if self.is_assumed(&uid(pod)) && !is_finished(pod) => {}
            Role::Gated => self.forget(&uid(pod), now),
            Role::None => self.pod_gone(&uid(pod), now),
        }
    }

    /// Forgets a pod.
    pub fn pod_gone(&mut self, uid: &str, now: Instant) {
        self.gated.remove(uid);
        self.forget(uid, now);
    }

    /// Forgets all that is known of a pod but its gates.
    fn forget(&mut self, uid: &str, now: Instant) {
        let kept = self.forget_waiting(uid);
        self.driven_out.remove(uid);
        self.queue.remove(uid);
        self.release(uid);
        self.unplace(uid, now);
        self.give_up(kept, now);
    }

    /// Takes in a node that is new or changed.
    pub fn node_changed(&mut self, node: &Node, now: Instant) {
        if self.snapshot.set_node(node) {
            let name = node.metadata.name.as_deref().unwrap_or_default();
            self.wake_for(name, Cause::NodeUpdate, now);
        }
    }

    /// Forgets a node.
    pub fn node_gone(&mut self, name: &str, now: Instant) {
        self.snapshot.remove_node(name);
        self.wake_for(name, Cause::NodeDelete, now);
    }

    /// Takes in a namespace that is new or changed.
    pub fn namespace_changed(&mut self, namespace: &Namespace, now: Instant) {
        let name = namespace.metadata.name.as_deref().unwrap_or_default();
        let labels = namespace.metadata.labels.clone().unwrap_or_default();
        if self.snapshot.set_namespace(name, labels) {
            self.wake_related(Cause::NamespaceUpdate, now);
        }
    }

    /// Forgets a namespace.
    pub fn namespace_gone(&mut self, name: &str) {
        self.snapshot.remove_namespace(name);
    }

    /// A pod that was to be driven out could not be told to go: whoever waits for its room decides again.
    pub fn victim_stays(&mut self, uid: &str, now: Instant) {
        self.driven_out.remove(uid);
        if !self.set_ending(uid, false) {
            return;
        }
        for uid in self.nominated.clone() {
            self.queue.wake(&uid, Cause::Preemption, now);
        }
    }

    /// Forgets every pod that a complete list did not have.
    pub fn keep_pods(&mut self, listed: &HashSet<Arc<str>>, now: Instant) {
        let known = self.waiting.keys().chain(&self.gated).cloned();
        let known = known.chain(self.snapshot.placed_uids());
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
                    self.wake_for(&assumed, Cause::AssignedPodDelete, now);
                }
            }
            Bound::Not => {
                waiting.assumed = false;
                self.queue.delay(uid, now);
                self.release(uid);
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

    /// Notes whether a placed pod is on its way out; tells whether that is news.
    fn set_ending(&mut self, uid: &str, is_ending: bool) -> bool {
        let placed = self.snapshot.pod(uid).filter(|pod| pod.is_ending != is_ending);
        let (Some(pod), Some(node)) = (placed, self.snapshot.node_of(uid).cloned()) else {
            return false;
        };
        let noted = PodInfo {
            is_ending,
            ..PodInfo::clone(pod)
        };
        self.snapshot.set_pod(noted.into(), &node);
        true
    }

    /// Returns the node that was kept for the pod, if it does not count there.
    fn forget_waiting(&mut self, uid: &str) -> Option<Arc<str>> {
        self.refused.remove(uid);
        self.nominated.remove(uid);
        let waiting = self.waiting.remove(uid).filter(|waiting| !waiting.assumed)?;
        waiting.pod.nominated.clone()
    }

    /// A node is not kept for a pod any more: others may have it.
    fn give_up(&mut self, kept: Option<Arc<str>>, now: Instant) {
        if let Some(node) = kept {
            self.wake_for(&node, Cause::AssignedPodDelete, now);
        }
    }

    fn is_assumed(&self, uid: &str) -> bool {
        self.waiting.get(uid).is_some_and(|waiting| waiting.assumed)
    }

    fn placed(&mut self, mut info: PodInfo, node: &Arc<str>, now: Instant) {
        if info.is_ending {
            self.driven_out.remove(&info.uid);
        }
        // What is heard of it may be older than its deletion, and nobody else should go in its place.
        info.is_ending |= self.driven_out.contains(&info.uid);
        let kept = self.forget_waiting(&info.uid);
        self.queue.remove(&info.uid);
        self.awaiting.remove(&info.uid);
        let before = self.snapshot.node_of(&info.uid).cloned();
        if before.as_ref() == Some(node) && self.snapshot.pod(&info.uid).is_some_and(|known| **known == info) {
            return;
        }
        let uid = info.uid.clone();
        self.snapshot.set_pod(info.into(), node);
        match before {
            // It moved or shrank, perhaps.
            Some(before) => self.wake_for(&before, Cause::AssignedPodUpdate, now),
            None => self.wake_related(Cause::AssignedPodAdd, now),
        }
        self.give_up(kept.filter(|kept| kept != node), now);
        debug_assert!(self.snapshot.node_of(&uid) == Some(node));
    }

    fn pending(&mut self, pod: &Pod, mut pending: PendingPod, now: Instant) {
        let uid = pending.info.uid.clone();
        let resource_version = pod.metadata.resource_version.clone().unwrap_or_default();
        let told = told(pod, &pending);
        let Some(waiting) = self.waiting.get_mut(&uid) else {
            self.queue.add(&uid, pending.info.priority, pending.created_seconds);
            if pending.nominated.is_some() {
                self.nominated.insert(uid.clone());
            }
            let waiting = Waiting {
                pod: Arc::new(pending),
                resource_version,
                told,
                since: now,
                assumed: false,
            };
            self.waiting.insert(uid, waiting);
            return;
        };
        waiting.resource_version = resource_version;
        waiting.told = told;
        // Which node is nominated is ours to say, and the status may lag behind.
        pending.nominated.clone_from(&waiting.pod.nominated);
        if !waiting.assumed && *waiting.pod != pending {
            waiting.pod = Arc::new(pending);
            self.queue.wake(&uid, Cause::PodUpdate, now);
        }
    }

    /// Takes a pod off its node, if it is on one, and wakes those that its going may help.
    fn unplace(&mut self, uid: &str, now: Instant) {
        let placed = self.snapshot.pod(uid);
        let kept_away = placed.is_some_and(|pod| pod.terms.is_some() || !pod.claims.is_empty());
        let Some(node) = self.snapshot.remove_pod(uid) else {
            return;
        };
        if kept_away {
            // It may have kept others off every node near its own, or from its claim.
            for uid in self.queue.parked() {
                self.queue.wake(&uid, Cause::AssignedPodDelete, now);
            }
        } else {
            self.wake_for(&node, Cause::AssignedPodDelete, now);
        }
    }

    /// Wakes the parked pods that this node may now take, as it is or once others have left, and those that look beyond a
    /// node.
    fn wake_for(&mut self, node: &str, cause: Cause, now: Instant) {
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
            let may_take = || {
                let node = self.snapshot.node(node);
                node.is_some_and(|node| match Filters::new(pod, &self.snapshot).check(node) {
                    Ok(()) => true,
                    // Whoever waits for an end has driven out enough.
                    Err(reasons) => pod.nominated.is_none() && preemption::may_help(pod, node, &reasons),
                })
            };
            // Whatever becomes of the node that is made free for it, it is for the pod to know.
            let awaits = pod.nominated.as_deref() == Some(node);
            if any || awaits || pod.looks_beyond() || may_take() {
                self.queue.wake(&uid, cause, now);
            }
        }
    }

    /// Wakes the parked pods whose chances depend on other pods.
    fn wake_related(&mut self, cause: Cause, now: Instant) {
        for uid in self.queue.parked() {
            if self.waiting.get(&uid).is_some_and(|waiting| waiting.pod.looks_beyond()) {
                self.queue.wake(&uid, cause, now);
            }
        }
    }
}

fn is_finished(pod: &Pod) -> bool {
    let phase = pod.status.as_ref().and_then(|status| status.phase.as_deref());
    matches!(phase, Some("Succeeded" | "Failed"))
}

/// What the pod's status says, if that is that it fits nowhere.
fn told(pod: &Pod, pending: &PendingPod) -> Option<Told> {
    let conditions = pod.status.as_ref()?.conditions.as_ref()?;
    let condition = conditions.iter().find(|condition| condition.type_ == "PodScheduled")?;
    let fits_nowhere = condition.status == "False" && condition.reason.as_deref() == Some("Unschedulable");
    let message = condition.message.clone().filter(|_| fits_nowhere)?;
    Some((message, pending.nominated.clone()))
}

#[cfg(test)]
mod tests;
