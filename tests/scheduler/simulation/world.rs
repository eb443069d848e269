//! What the API server has, what is on its way to the scheduler, and what the scheduler makes of it.

use std::collections::{BTreeMap, HashSet, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant};

use k8s_openapi::api::core::v1::Pod;
use reconcile::scheduler::pod::{PendingPod, Role, pending, role};
use reconcile::scheduler::preemption::{Concerned, preempt};
use reconcile::scheduler::profile::Profiles;
use reconcile::scheduler::queue::Backoff;
use reconcile::scheduler::state::{Bound, State, Step};
use reconcile::scheduler::{Snapshot, feasible, schedule};

use super::objects::{Shape, Wish, name, node, pod};
use crate::scheduler::harness::node_of;

/// Within this time of quiet, every pod that fits is bound: a few of the longest rests, and far less than the net under
/// missed events would take.
const QUIET_SECONDS: u32 = 60;
const GI: i64 = 1 << 30;

#[derive(Clone, Debug)]
pub enum Op {
    /// A node that is new or changes.
    SetNode(usize, Shape),
    RemoveNode(usize),
    AddPod(Wish),
    DeletePod(usize),
    DeliverPods(usize),
    DeliverNodes(usize),
    /// The next event, of a pod or else of a node, never arrives; what is missed is found by listing.
    Lose(bool),
    Relist,
    Decide(usize),
    Resolve(usize, Fate),
    Pass(u64),
}

/// What becomes of a binding.
#[derive(Clone, Copy, Debug)]
pub enum Fate {
    Done,
    Lost,
    Unanswered,
}

enum PodEvent {
    Changed(Box<Pod>),
    Gone(Box<Pod>),
}

enum NodeEvent {
    Changed(String, Shape),
    Gone(String),
}

pub struct World {
    state: State,
    now: Instant,
    /// What the API server has.
    nodes: BTreeMap<String, Shape>,
    pods: BTreeMap<String, Pod>,
    /// The nodes as the scheduler has heard of them.
    told: BTreeMap<String, Shape>,
    made: usize,
    driven_out: usize,
    has_missed: bool,
    pod_events: VecDeque<PodEvent>,
    node_events: VecDeque<NodeEvent>,
    bindings: Vec<(Arc<PendingPod>, Arc<str>)>,
}

impl World {
    pub fn new() -> Self {
        Self {
            state: State::new(Profiles::default(), Backoff::default(), 1),
            now: Instant::now(),
            nodes: BTreeMap::new(),
            pods: BTreeMap::new(),
            told: BTreeMap::new(),
            made: 0,
            driven_out: 0,
            has_missed: false,
            pod_events: VecDeque::new(),
            node_events: VecDeque::new(),
            bindings: Vec::new(),
        }
    }

    pub fn carry_out(&mut self, op: &Op) {
        match op {
            Op::SetNode(index, shape) => {
                self.nodes.insert(name(*index), *shape);
                self.node_events.push_back(NodeEvent::Changed(name(*index), *shape));
            }
            Op::RemoveNode(index) => {
                if self.nodes.remove(&name(*index)).is_some() {
                    self.node_events.push_back(NodeEvent::Gone(name(*index)));
                }
            }
            Op::AddPod(wish) => {
                self.made += 1;
                let uid = format!("pod-{:04}", self.made);
                let pod = pod(&uid, wish);
                self.pods.insert(uid, pod.clone());
                self.pod_events.push_back(PodEvent::Changed(pod.into()));
            }
            Op::DeletePod(index) => self.delete_pod(*index),
            Op::DeliverPods(count) => (0..*count).for_each(|_| self.deliver_pod()),
            Op::DeliverNodes(count) => (0..*count).for_each(|_| self.deliver_node()),
            Op::Lose(true) => self.has_missed |= self.pod_events.pop_front().is_some(),
            Op::Lose(false) => self.has_missed |= self.node_events.pop_front().is_some(),
            Op::Relist => self.relist(),
            Op::Decide(count) => {
                (0..*count).for_each(|_| {
                    self.decide();
                });
            }
            Op::Resolve(index, fate) if !self.bindings.is_empty() => self.resolve(index % self.bindings.len(), *fate),
            Op::Resolve(..) => {}
            Op::Pass(millis) => self.now += Duration::from_millis(*millis),
        }
    }

    fn delete_pod(&mut self, index: usize) {
        let Some(uid) = self.pods.keys().nth(index % self.pods.len().max(1)).cloned() else {
            return;
        };
        let pod = self.pods.remove(&uid).expect("it is there");
        self.pod_events.push_back(PodEvent::Gone(pod.into()));
    }

    fn deliver_pod(&mut self) {
        match self.pod_events.pop_front() {
            Some(PodEvent::Changed(pod)) => self.state.pod_changed(&pod, self.now),
            Some(PodEvent::Gone(pod)) => {
                let uid = pod.metadata.uid.as_deref().expect("a uid");
                self.state.pod_gone(uid, self.now);
            }
            None => {}
        }
    }

    fn deliver_node(&mut self) {
        match self.node_events.pop_front() {
            Some(NodeEvent::Changed(name, shape)) => {
                self.state.node_changed(&node(&name, &shape), self.now);
                self.told.insert(name, shape);
            }
            Some(NodeEvent::Gone(name)) => {
                self.state.node_gone(&name, self.now);
                self.told.remove(&name);
            }
            None => {}
        }
    }

    /// Both watches start over: what was on its way is lost, and the lists say what is.
    fn relist(&mut self) {
        self.has_missed = false;
        self.pod_events.clear();
        self.node_events.clear();
        for pod in self.pods.values() {
            self.state.pod_changed(pod, self.now);
        }
        let pods: HashSet<Arc<str>> = self.pods.keys().map(|uid| uid.as_str().into()).collect();
        self.state.keep_pods(&pods, self.now);
        for (name, shape) in &self.nodes {
            self.state.node_changed(&node(name, shape), self.now);
        }
        let nodes: HashSet<Arc<str>> = self.nodes.keys().map(|name| name.as_str().into()).collect();
        self.state.keep_nodes(&nodes, self.now);
        self.told.clone_from(&self.nodes);
    }

    /// Tells whether there was anything to decide.
    fn decide(&mut self) -> bool {
        match self.state.next(self.now) {
            Some(Step::Bind { pod, node }) => {
                self.check_decision(&pod, &node);
                self.bindings.push((pod, node));
            }
            Some(Step::Refuse { pod, victims, .. }) => {
                for victim in victims {
                    assert!(
                        victim.priority < pod.info.priority,
                        "{} for {}",
                        victim.name,
                        pod.info.name
                    );
                    self.drive_out(&victim.uid);
                }
            }
            Some(step @ (Step::Prepare { .. } | Step::Fail { .. })) => panic!("no pod here has volumes: {step:?}"),
            None => return false,
        }
        true
    }

    /// The pod is deleted, or every third time cannot be told to go.
    fn drive_out(&mut self, uid: &str) {
        self.driven_out += 1;
        if self.driven_out.is_multiple_of(3) {
            self.state.victim_stays(uid, self.now);
        } else if let Some(pod) = self.pods.remove(uid) {
            self.pod_events.push_back(PodEvent::Gone(pod.into()));
        }
    }

    fn resolve(&mut self, index: usize, fate: Fate) {
        let (pod, node) = self.bindings.remove(index);
        let uid = pod.info.uid.clone();
        if matches!(fate, Fate::Done | Fate::Unanswered)
            && let Some(bound) = self.pods.get_mut(&*uid)
            && node_of(bound).is_empty()
        {
            bound.spec.as_mut().expect("a spec").node_name = Some(node.to_string());
            self.pod_events.push_back(PodEvent::Changed(bound.clone().into()));
        }
        // Whatever happened on the way, the pod is read again.
        let outcome = match self.pods.get(&*uid).map(node_of) {
            None => Bound::Gone,
            Some(node) if node.is_empty() => Bound::Not,
            Some(node) => Bound::On(node.into()),
        };
        self.state.bound(&uid, &outcome, self.now);
    }

    /// Everything on its way arrives, nothing fails any more, and a little time passes.
    pub fn settle(&mut self) {
        if self.has_missed {
            self.relist();
        }
        for _ in 0..QUIET_SECONDS {
            let mut busy = true;
            while busy {
                busy = self.decide();
                while !self.pod_events.is_empty() || !self.node_events.is_empty() || !self.bindings.is_empty() {
                    busy = true;
                    self.deliver_pod();
                    self.deliver_node();
                    if !self.bindings.is_empty() {
                        self.resolve(0, Fate::Done);
                    }
                }
            }
            self.now += Duration::from_secs(1);
        }
    }

    /// Who is on a node, or about to be, but for this pod.
    fn others_on(&self, node: &str, uid: &str) -> Vec<PendingPod> {
        let bound = self.pods.values().filter(|pod| node_of(pod) == node).map(pending);
        // What is bound to a pod that is gone comes to nothing.
        let on_the_way = self.bindings.iter().filter(|(pod, target)| {
            let there = self.pods.get(&*pod.info.uid);
            **target == *node && there.is_some_and(|pod| node_of(pod).is_empty())
        });
        let mut others: Vec<PendingPod> = bound.chain(on_the_way.map(|(pod, _)| PendingPod::clone(pod))).collect();
        others.retain(|other| *other.info.uid != *uid);
        others
    }

    /// The node has, as far as was told, what the pod asks for beside all the others, and takes it.
    fn check_decision(&self, pod: &PendingPod, node: &str) {
        let shape = self.told.get(node).expect("the node was heard of");
        let who = format!("{} to {node}", pod.info.name);
        let others = self.others_on(node, &pod.info.uid);
        let amounts = |pod: &PendingPod| {
            let requests = &pod.info.requests;
            let gpus = requests.others.get("example.com/gpu").copied().unwrap_or_default();
            [requests.cpu_millis, requests.memory, requests.ephemeral_storage, gpus]
        };
        let has = [
            shape.cpu_millis,
            shape.memory_gi * GI,
            shape.storage_gi * GI,
            shape.gpus,
        ];
        for (index, (wanted, has)) in amounts(pod).into_iter().zip(has).enumerate() {
            let taken: i64 = others.iter().map(|other| amounts(other)[index]).sum();
            // A node that shrank under its pods still takes those that ask for nothing of what it lacks.
            assert!(
                wanted == 0 || taken + wanted <= has,
                "{who}: too much of resource {index}"
            );
        }
        assert!(others.len() < shape.pods, "{who}: too many pods");
        let mut ports = others.iter().flat_map(|other| &other.info.host_ports);
        let mine = &pod.info.host_ports;
        assert!(
            !ports.any(|port| mine.iter().any(|own| own.conflicts(port))),
            "{who}: a port twice"
        );
        assert!(!shape.cordoned, "{who}: it is cordoned");
        assert!(!shape.tainted || !pod.tolerations.is_empty(), "{who}: it is tainted");
    }

    /// What is kept up to date is what building it anew from its parts gives.
    pub fn check_kept_right(&self) {
        let kept = self.state.snapshot();
        assert!(
            kept.is_counted_right(),
            "counts that are kept are what counting anew gives"
        );
        let mut rebuilt = Snapshot::default();
        for uid in kept.placed_uids() {
            let (pod, node) = (
                kept.pod(&uid).expect("it is placed"),
                kept.node_of(&uid).expect("somewhere"),
            );
            rebuilt.set_pod(pod.clone(), node);
        }
        for (name, shape) in &self.told {
            rebuilt.set_node(&node(name, shape));
        }
        assert_eq!(
            *kept, rebuilt,
            "what was kept up to date is what building it anew gives"
        );
    }

    /// The cluster as somebody sees it who has just come.
    fn rebuilt(&self) -> Snapshot {
        let mut snapshot = Snapshot::default();
        for (name, shape) in &self.nodes {
            snapshot.set_node(&node(name, shape));
        }
        for pod in self.pods.values() {
            if let Role::Placed(info, node) = role(pod, &Profiles::default()) {
                snapshot.set_pod(info.into(), &node);
            }
        }
        snapshot
    }

    pub fn check_settled(&self) {
        let rebuilt = self.rebuilt();
        assert_eq!(*self.state.snapshot(), rebuilt, "what was kept up to date is what is");
        for pod in self.pods.values().filter(|pod| node_of(pod).is_empty()) {
            let fits: Vec<_> = feasible(&pending(pod), &rebuilt)
                .iter()
                .map(|node| node.name.clone())
                .collect();
            assert!(fits.is_empty(), "{:?} waits and fits on {fits:?}", pod.metadata.name);
            let refused = schedule(&pending(pod), &rebuilt, 0, 1).expect_err("it fits nowhere");
            let driven_out = preempt(&pending(pod), &refused, &mut rebuilt.clone(), Concerned::default(), 1);
            assert!(driven_out.is_err(), "{:?} waits for {driven_out:?}", pod.metadata.name);
        }
    }
}
