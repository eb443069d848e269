//! Small random clusters, as the brute force and the scheduler see them.

use std::collections::BTreeSet;

use rand::rngs::StdRng;
use rand::seq::IndexedRandom as _;
use rand::{Rng as _, SeedableRng as _};
use serde_json::{Value, json};

use crate::scheduler::pod::{Role, role};
use crate::scheduler::preemption::Budget;
use crate::scheduler::profile::Profiles;
use crate::scheduler::snapshot::Snapshot;

const APPS: [&str; 3] = ["x", "y", "z"];

#[derive(Clone, Debug)]
pub(super) struct Node {
    pub(super) cpu: i64,
    pub(super) pods: usize,
    pub(super) zone: usize,
}

#[derive(Clone, Debug)]
pub(super) struct Item {
    pub(super) name: String,
    pub(super) node: usize,
    pub(super) priority: i32,
    pub(super) cpu: i64,
    pub(super) port: Option<i32>,
    pub(super) app: &'static str,
    /// The app that it keeps away from, and whether from its whole zone.
    pub(super) avoids: Option<(&'static str, bool)>,
    pub(super) started: i64,
}

#[derive(Debug)]
pub(super) struct Guard {
    pub(super) apps: Vec<&'static str>,
    pub(super) allowed: i64,
}

#[derive(Debug)]
pub(super) struct World {
    pub(super) nodes: Vec<Node>,
    pub(super) pods: Vec<Item>,
    /// The pod that wants a node.
    pub(super) new: Item,
    pub(super) guards: Vec<Guard>,
}

impl World {
    pub(super) fn random(seed: u64) -> Self {
        let random = &mut StdRng::seed_from_u64(seed);
        let nodes: Vec<Node> = (0..random.random_range(1..4))
            .map(|_| Node {
                cpu: random.random_range(1..5),
                pods: random.random_range(2..7),
                zone: random.random_range(0..2),
            })
            .collect();
        let new = Item {
            priority: random.random_range(1..5),
            ..item("new", 0, random)
        };
        let mut world = Self {
            nodes,
            pods: Vec::new(),
            new,
            guards: Vec::new(),
        };
        // Where many are alike, the last rules have to decide.
        let alike = random.random_bool(0.5);
        for index in 0..random.random_range(1..16) {
            let node = random.random_range(0..world.nodes.len());
            let mut pod = item(&format!("pod-{index:02}"), node, random);
            if alike {
                (pod.priority, pod.cpu, pod.port, pod.avoids) = (pod.priority % 2, 1, None, None);
            }
            if world.fits(&pod, node, &BTreeSet::new()) {
                world.pods.push(pod);
            }
        }
        for _ in 0..random.random_range(0..3) {
            let apps = APPS.into_iter().filter(|_| random.random_bool(0.5)).collect();
            let allowed = random.random_range(0..3);
            world.guards.push(Guard { apps, allowed });
        }
        // One of no apps would be one of all: it has no selector to speak of.
        world.guards.retain(|guard| !guard.apps.is_empty());
        world
    }

    pub(super) fn snapshot(&self) -> Snapshot {
        let mut snapshot = Snapshot::default();
        for (index, node) in self.nodes.iter().enumerate() {
            let labels = json!({"kubernetes.io/hostname": node_name(index), "zone": node.zone.to_string()});
            let allocatable = json!({"cpu": node.cpu.to_string(), "pods": node.pods.to_string()});
            let node = json!({
                "metadata": {"name": node_name(index), "labels": labels}, "status": {"allocatable": allocatable},
            });
            snapshot.set_node(&serde_json::from_value(node).expect("a node"));
        }
        for pod in &self.pods {
            let mut object = pod.object();
            object["spec"]["nodeName"] = json!(node_name(pod.node));
            let started = k8s_openapi::jiff::Timestamp::from_second(pod.started).expect("a time");
            object["status"] = json!({"startTime": started.to_string()});
            let Role::Placed(info, node) = role(&serde_json::from_value(object).expect("a pod"), &Profiles::default())
            else {
                panic!("a pod with a node is placed")
            };
            snapshot.set_pod(info.into(), &node);
        }
        snapshot
    }

    pub(super) fn budgets(&self) -> Vec<Budget> {
        let read = |guard: &Guard| {
            let selector = json!({"matchExpressions": [{"key": "app", "operator": "In", "values": guard.apps}]});
            let budget = json!({
                "metadata": {"name": "guard", "namespace": "default"},
                "spec": {"selector": selector},
                "status": {"disruptionsAllowed": guard.allowed},
            });
            Budget::read(&serde_json::from_value(budget).expect("a budget")).expect("it is of some pods")
        };
        self.guards.iter().map(read).collect()
    }
}

impl Item {
    pub(super) fn object(&self) -> Value {
        let ports = self.port.map(|port| json!([{"containerPort": 80, "hostPort": port}]));
        let requests = json!({"cpu": self.cpu.to_string()});
        let mut object = json!({
            "metadata": {"name": self.name, "namespace": "default", "uid": self.name, "labels": {"app": self.app}},
            "spec": {
                "priority": self.priority,
                "containers": [{"name": "c", "ports": ports, "resources": {"requests": requests}}],
            },
        });
        if let Some((app, zonal)) = self.avoids {
            let key = if zonal { "zone" } else { "kubernetes.io/hostname" };
            let term = json!({"labelSelector": {"matchLabels": {"app": app}}, "topologyKey": key});
            object["spec"]["affinity"] =
                json!({"podAntiAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": [term]}});
        }
        object
    }
}

fn item(name: &str, node: usize, random: &mut StdRng) -> Item {
    let app = |random: &mut StdRng| *APPS.choose(random).expect("not empty");
    Item {
        name: name.to_owned(),
        node,
        priority: random.random_range(0..5),
        cpu: random.random_range(0..4),
        port: random.random_bool(0.2).then(|| random.random_range(80..82)),
        app: app(random),
        avoids: random.random_bool(0.15).then(|| (app(random), random.random_bool(0.5))),
        started: random.random_range(0..4),
    }
}

pub(super) fn node_name(index: usize) -> String {
    format!("node-{index}")
}
