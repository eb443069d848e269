//! The scheduler's memory in a made-up world: events come late, bindings get lost, nodes come and go.
//!
//! Whatever happens, no node is given more than it has, and once the world is quiet every pod that fits is bound.

use std::collections::{BTreeMap, HashSet, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant};

use k8s_openapi::api::core::v1::{Node, Pod};
use proptest::prelude::*;
use reconcile::scheduler::pod::{PendingPod, Role, pending, role};
use reconcile::scheduler::state::{Bound, State, Step};
use reconcile::scheduler::{Snapshot, feasible};
use serde_json::json;

use super::harness::{from, node_of};

const NODES: usize = 4;
const CPU_MILLIS: i64 = 2000;
const GPUS: i64 = 2;
const PODS: usize = 5;

#[derive(Clone, Debug)]
enum Op {
    AddNode(usize),
    RemoveNode(usize),
    Cordon(usize, bool),
    AddPod(Wish),
    DeletePod(usize),
    DeliverPods(usize),
    DeliverNodes(usize),
    Relist,
    Decide(usize),
    Resolve(usize, Fate),
    Pass(u64),
}

#[derive(Clone, Debug)]
struct Wish {
    cpu_millis: i64,
    gpus: i64,
    port: Option<i32>,
    priority: i32,
    /// Keeps away from pods of its own kind.
    lonely: bool,
}

#[derive(Clone, Copy, Debug)]
enum Fate {
    Done,
    Lost,
    Unanswered,
}

enum PodEvent {
    Changed(Pod),
    Gone(Pod),
}

enum NodeEvent {
    Changed(Box<Node>),
    Gone(String),
}

struct World {
    state: State,
    now: Instant,
    /// What the API server has.
    nodes: BTreeMap<String, Node>,
    pods: BTreeMap<String, Pod>,
    made: usize,
    driven_out: usize,
    pod_events: VecDeque<PodEvent>,
    node_events: VecDeque<NodeEvent>,
    bindings: Vec<(Arc<PendingPod>, Arc<str>)>,
}

impl World {
    fn new() -> Self {
        Self {
            state: State::new("default-scheduler", 1),
            now: Instant::now(),
            nodes: BTreeMap::new(),
            pods: BTreeMap::new(),
            made: 0,
            driven_out: 0,
            pod_events: VecDeque::new(),
            node_events: VecDeque::new(),
            bindings: Vec::new(),
        }
    }

    fn carry_out(&mut self, op: &Op) {
        match op {
            Op::AddNode(index) => self.set_node(*index, false),
            Op::Cordon(index, cordoned) if self.nodes.contains_key(&name(*index)) => self.set_node(*index, *cordoned),
            Op::Cordon(..) => {}
            Op::RemoveNode(index) => {
                if self.nodes.remove(&name(*index)).is_some() {
                    self.node_events.push_back(NodeEvent::Gone(name(*index)));
                }
            }
            Op::AddPod(wish) => self.add_pod(wish),
            Op::DeletePod(index) => self.delete_pod(*index),
            Op::DeliverPods(count) => (0..*count).for_each(|_| self.deliver_pod()),
            Op::DeliverNodes(count) => (0..*count).for_each(|_| self.deliver_node()),
            Op::Relist => self.relist(),
            Op::Decide(count) => (0..*count).for_each(|_| self.decide()),
            Op::Resolve(index, fate) if !self.bindings.is_empty() => self.resolve(index % self.bindings.len(), *fate),
            Op::Resolve(..) => {}
            Op::Pass(millis) => self.now += Duration::from_millis(*millis),
        }
    }

    fn set_node(&mut self, index: usize, cordoned: bool) {
        let resources = json!({
            "cpu": format!("{CPU_MILLIS}m"), "memory": "64Gi", "example.com/gpu": GPUS.to_string(), "pods": PODS.to_string(),
        });
        let node: Node = from(json!({
            "metadata": {"name": name(index), "labels": {"kubernetes.io/hostname": name(index), "zone": (index % 2).to_string()}},
            "spec": {"unschedulable": cordoned},
            "status": {"allocatable": resources},
        }));
        self.nodes.insert(name(index), node.clone());
        self.node_events.push_back(NodeEvent::Changed(node.into()));
    }

    fn add_pod(&mut self, wish: &Wish) {
        self.made += 1;
        let uid = format!("pod-{:04}", self.made);
        let ports = wish.port.map(|port| json!([{"containerPort": 80, "hostPort": port}]));
        let requests = json!({"cpu": format!("{}m", wish.cpu_millis), "example.com/gpu": wish.gpus.to_string()});
        let mut spec = json!({
            "priority": wish.priority,
            "containers": [{"name": "c", "image": "i", "ports": ports, "resources": {"requests": requests}}],
        });
        if wish.lonely {
            let term = json!({"labelSelector": {"matchLabels": {"lonely": "yes"}}, "topologyKey": "zone"});
            spec["affinity"]["podAntiAffinity"]["requiredDuringSchedulingIgnoredDuringExecution"] = json!([term]);
        }
        let labels = json!({"lonely": if wish.lonely { "yes" } else { "no" }});
        let metadata = json!({"name": uid, "namespace": "default", "uid": uid, "labels": labels});
        let pod: Pod = from(json!({"metadata": metadata, "spec": spec}));
        self.pods.insert(uid, pod.clone());
        self.pod_events.push_back(PodEvent::Changed(pod));
    }

    fn delete_pod(&mut self, index: usize) {
        if self.pods.is_empty() {
            return;
        }
        let uid = self
            .pods
            .keys()
            .nth(index % self.pods.len())
            .expect("within the count")
            .clone();
        let pod = self.pods.remove(&uid).expect("it is there");
        self.pod_events.push_back(PodEvent::Gone(pod));
    }

    fn deliver_pod(&mut self) {
        match self.pod_events.pop_front() {
            Some(PodEvent::Changed(pod)) => self.state.pod_changed(&pod, self.now),
            Some(PodEvent::Gone(pod)) => {
                self.state
                    .pod_gone(pod.metadata.uid.as_deref().expect("a uid"), self.now);
            }
            None => {}
        }
    }

    fn deliver_node(&mut self) {
        match self.node_events.pop_front() {
            Some(NodeEvent::Changed(node)) => self.state.node_changed(&node, self.now),
            Some(NodeEvent::Gone(name)) => self.state.node_gone(&name, self.now),
            None => {}
        }
    }

    /// Both watches start over: what was on its way is lost, and the lists say what is.
    fn relist(&mut self) {
        self.pod_events.clear();
        self.node_events.clear();
        for pod in self.pods.values() {
            self.state.pod_changed(pod, self.now);
        }
        let pods: HashSet<Arc<str>> = self.pods.keys().map(|uid| uid.as_str().into()).collect();
        self.state.keep_pods(&pods, self.now);
        for node in self.nodes.values() {
            self.state.node_changed(node, self.now);
        }
        let nodes: HashSet<Arc<str>> = self.nodes.keys().map(|name| name.as_str().into()).collect();
        self.state.keep_nodes(&nodes, self.now);
    }

    fn decide(&mut self) {
        match self.state.next(self.now) {
            Some(Step::Bind { pod, node }) => self.bindings.push((pod, node)),
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
            None => {}
        }
    }

    /// The pod is deleted, or every third time cannot be told to go.
    fn drive_out(&mut self, uid: &str) {
        self.driven_out += 1;
        if self.driven_out.is_multiple_of(3) {
            self.state.victim_stays(uid, self.now);
        } else if let Some(pod) = self.pods.remove(uid) {
            self.pod_events.push_back(PodEvent::Gone(pod));
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
            self.pod_events.push_back(PodEvent::Changed(bound.clone()));
        }
        // Whatever happened on the way, the pod is read again.
        let outcome = match self.pods.get(&*uid).map(node_of) {
            None => Bound::Gone,
            Some(node) if node.is_empty() => Bound::Not,
            Some(node) => Bound::On(node.into()),
        };
        self.state.bound(&uid, &outcome, self.now);
    }

    /// Everything on its way arrives, nothing fails any more, and time passes.
    fn settle(&mut self) {
        // Longer than the longest time a pod may be parked, in steps of the longest back-off.
        for _ in 0..40 {
            while !self.pod_events.is_empty() || !self.node_events.is_empty() || !self.bindings.is_empty() {
                self.deliver_pod();
                self.deliver_node();
                if !self.bindings.is_empty() {
                    self.resolve(0, Fate::Done);
                }
            }
            (0..200).for_each(|_| self.decide());
            self.now += Duration::from_secs(10);
        }
    }

    fn on<'a>(&'a self, node: &'a str) -> impl Iterator<Item = PendingPod> + 'a {
        self.pods.values().filter(move |pod| node_of(pod) == node).map(pending)
    }

    fn check_not_over_committed(&self) {
        assert!(
            self.state.snapshot().is_counted_right(),
            "counts that are kept are what counting anew gives"
        );
        for index in 0..NODES {
            let node = name(index);
            let cpu: i64 = self.on(&node).map(|pod| pod.info.requests.cpu_millis).sum();
            let gpus: i64 = self
                .on(&node)
                .flat_map(|pod| pod.info.requests.others.clone().into_values().collect::<Vec<_>>())
                .sum();
            let ports: Vec<i32> = self
                .on(&node)
                .flat_map(|pod| pod.info.host_ports.iter().map(|port| port.port).collect::<Vec<_>>())
                .collect();
            let distinct: HashSet<i32> = ports.iter().copied().collect();
            assert!(cpu <= CPU_MILLIS, "{node} has {cpu}m of CPU given away");
            assert!(gpus <= GPUS, "{node} has {gpus} devices given away");
            assert_eq!(ports.len(), distinct.len(), "{node} has a port given twice");
            assert!(self.on(&node).count() <= PODS, "{node} has too many pods");
        }
    }

    /// The cluster as somebody sees it who has just come.
    fn rebuilt(&self) -> Snapshot {
        let mut snapshot = Snapshot::default();
        for node in self.nodes.values() {
            snapshot.set_node(node);
        }
        for pod in self.pods.values() {
            if let Role::Placed(info, node) = role(pod, "default-scheduler") {
                snapshot.set_pod(info.into(), &node);
            }
        }
        snapshot
    }

    fn check_settled(&self) {
        let rebuilt = self.rebuilt();
        assert_eq!(*self.state.snapshot(), rebuilt, "what was kept up to date is what is");
        for pod in self.pods.values().filter(|pod| node_of(pod).is_empty()) {
            let fits: Vec<_> = feasible(&pending(pod), &rebuilt)
                .iter()
                .map(|node| node.name.clone())
                .collect();
            assert!(fits.is_empty(), "{:?} waits and fits on {fits:?}", pod.metadata.name);
        }
    }
}

fn name(index: usize) -> String {
    format!("node-{index}")
}

fn ops() -> impl Strategy<Value = Vec<Op>> {
    let wish = (
        0..5_i64,
        0..2_i64,
        prop::option::weighted(0.3, 8080..8082),
        0..3,
        prop::bool::weighted(0.2),
    )
        .prop_map(|(halves, gpus, port, priority, lonely)| Wish {
            cpu_millis: halves * 500,
            gpus,
            port,
            priority,
            lonely,
        });
    let fate = prop_oneof![4 => Just(Fate::Done), 1 => Just(Fate::Lost), 1 => Just(Fate::Unanswered)];
    let op = prop_oneof![
        2 => (0..NODES).prop_map(Op::AddNode),
        1 => (0..NODES).prop_map(Op::RemoveNode),
        1 => (0..NODES, any::<bool>()).prop_map(|(index, cordoned)| Op::Cordon(index, cordoned)),
        6 => wish.prop_map(Op::AddPod),
        2 => (0..100_usize).prop_map(Op::DeletePod),
        5 => (1..5_usize).prop_map(Op::DeliverPods),
        3 => (1..3_usize).prop_map(Op::DeliverNodes),
        1 => Just(Op::Relist),
        6 => (1..4_usize).prop_map(Op::Decide),
        5 => (0..10_usize, fate).prop_map(|(index, fate)| Op::Resolve(index, fate)),
        3 => (0..15_000_u64).prop_map(Op::Pass),
    ];
    prop::collection::vec(op, 1..80)
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(300) })]

    #[test]
    fn nothing_is_over_committed_and_nothing_is_lost(ops in ops()) {
        let mut world = World::new();
        for op in &ops {
            world.carry_out(op);
            world.check_not_over_committed();
        }
        world.settle();
        world.check_not_over_committed();
        world.check_settled();
    }
}
