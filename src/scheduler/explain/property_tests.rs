//! On random small clusters: what is explained is what is decided, and what would have to change is enough.

use k8s_openapi::api::core::v1::{Node, Toleration};
use k8s_openapi::apimachinery::pkg::api::resource::Quantity as Text;
use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::object::quantity::Quantity;
use crate::scheduler::profile::Profiles;
use crate::scheduler::schedule::{Unschedulable, explain as refusals, schedule};

#[derive(Clone, Debug)]
struct MadeNode {
    halves: i64,
    gpus: i64,
    pods: i64,
    cordoned: bool,
    tainted: bool,
    zone: Option<bool>,
}

#[derive(Clone, Debug)]
struct MadePod {
    node: usize,
    halves: i64,
    gpus: i64,
    port: Option<i32>,
    priority: i32,
    /// Keeps away from the pods of this label in its zone.
    away: Option<bool>,
    label: bool,
    zone: Option<bool>,
    nominated: bool,
}

fn nodes() -> impl Strategy<Value = Vec<MadeNode>> {
    let node = (
        0..6_i64,
        0..2_i64,
        0..5_i64,
        prop::bool::weighted(0.2),
        prop::bool::weighted(0.2),
        prop::option::weighted(0.8, any::<bool>()),
    );
    let node = node.prop_map(|(halves, gpus, pods, cordoned, tainted, zone)| MadeNode {
        halves,
        gpus,
        pods,
        cordoned,
        tainted,
        zone,
    });
    prop::collection::vec(node, 0..5)
}

fn made_pod() -> impl Strategy<Value = MadePod> {
    let wishes = (
        prop::option::weighted(0.3, 80..82),
        prop::option::weighted(0.2, any::<bool>()),
        prop::option::weighted(0.2, any::<bool>()),
    );
    let pod = (
        0..5_usize,
        0..4_i64,
        0..2_i64,
        0..3,
        any::<bool>(),
        prop::bool::weighted(0.1),
        wishes,
    );
    pod.prop_map(
        |(node, halves, gpus, priority, label, nominated, (port, away, zone))| MadePod {
            node,
            halves,
            gpus,
            port,
            priority,
            away,
            label,
            zone,
            nominated,
        },
    )
}

fn zone(zone: bool) -> &'static str {
    if zone { "a" } else { "b" }
}

fn node(index: usize, made: &MadeNode) -> Node {
    let mut node = json!({
        "metadata": {"name": format!("node-{index}"), "labels": {}},
        "spec": {"unschedulable": made.cordoned},
        "status": {"allocatable": {
            "cpu": format!("{}m", made.halves * 500), "example.com/gpu": made.gpus.to_string(), "pods": made.pods.to_string(),
        }},
    });
    if let Some(is_first) = made.zone {
        node["metadata"]["labels"]["zone"] = json!(zone(is_first));
    }
    if made.tainted {
        node["spec"]["taints"] = json!([{"key": "dedicated", "value": "db", "effect": "NoSchedule"}]);
    }
    serde_json::from_value(node).expect("a node")
}

fn pod(name: &str, made: &MadePod, is_placed: bool) -> Pod {
    let ports = made.port.map(|port| json!([{"containerPort": 1, "hostPort": port}]));
    let requests = json!({"cpu": format!("{}m", made.halves * 500), "example.com/gpu": made.gpus.to_string()});
    let node = format!("node-{}", made.node);
    let mut spec = json!({
        "priority": made.priority,
        "containers": [{"name": "c", "ports": ports, "resources": {"requests": requests}}],
    });
    if let Some(label) = made.away {
        let term = json!({"labelSelector": {"matchLabels": {"l": label.to_string()}}, "topologyKey": "zone"});
        spec["affinity"]["podAntiAffinity"]["requiredDuringSchedulingIgnoredDuringExecution"] = json!([term]);
    }
    let mut status = Value::Null;
    match (is_placed, made.nominated) {
        (true, true) => status = json!({"nominatedNodeName": node}),
        (true, false) => spec["nodeName"] = json!(node),
        (false, _) => {
            if let Some(is_first) = made.zone {
                spec["nodeSelector"] = json!({"zone": zone(is_first)});
            }
        }
    }
    let metadata = json!({"name": name, "namespace": "default", "uid": name, "labels": {"l": made.label.to_string()}});
    serde_json::from_value(json!({"metadata": metadata, "spec": spec, "status": status})).expect("a pod")
}

/// A cluster whose parts can be changed.
#[derive(Clone, Debug)]
struct Cluster {
    nodes: Vec<Node>,
    pods: Vec<Pod>,
    asked: Pod,
}

impl Cluster {
    fn explain(&self) -> Explanation {
        explain(&self.asked, &self.world(), 1)
    }

    fn world(&self) -> World {
        World::new(Profiles::default(), &self.nodes, &self.pods, &[], &[])
    }

    fn node(&mut self, name: &str) -> &mut Node {
        let mut nodes = self.nodes.iter_mut();
        nodes
            .find(|node| node.metadata.name.as_deref() == Some(name))
            .expect("the node")
    }

    fn remove(&mut self, gone: &[String]) {
        self.pods.retain(|pod| {
            let name = pod.metadata.name.as_deref().unwrap_or_default();
            !gone.contains(&format!("default/{name}"))
        });
    }

    fn raise(&mut self, node: &str, resource: &str, by: Quantity) {
        let status = self.node(node).status.get_or_insert_default();
        let has = status
            .allocatable
            .get_or_insert_default()
            .entry(resource.to_owned())
            .or_default();
        let before: Quantity = has.0.parse().unwrap_or_default();
        *has = Text((before + by).to_string());
    }

    /// Does what would have to change.
    fn carry_out(&mut self, node: &str, change: &Change) {
        match change {
            Change::Uncordon => self.node(node).spec.get_or_insert_default().unschedulable = Some(false),
            Change::Toleration { key, value, effect } => {
                let toleration = Toleration {
                    key: Some(key.clone()),
                    value: Some(value.clone()),
                    effect: Some(effect.clone()),
                    ..Toleration::default()
                };
                let spec = self.asked.spec.as_mut().expect("a spec");
                spec.tolerations.get_or_insert_default().push(toleration);
            }
            Change::Label { key, value, .. } => {
                let labels = self.node(node).metadata.labels.get_or_insert_default();
                labels.insert(key.clone(), value.clone());
            }
            Change::Resource { resource, short, .. } => self.raise(node, resource, short.0),
            Change::Pods { running, allowed } => {
                self.raise(node, "pods", Quantity::from_units(running - allowed + 1));
            }
            Change::Port { taken_by, .. } => self.remove(taken_by),
            Change::AntiAffinity { in_the_way, .. } => self.remove(in_the_way),
            other => panic!("not of these clusters: {other:?}"),
        }
    }

    fn check_that_it_fits(&self, node: &str, what: &dyn fmt::Debug) {
        let after = self.explain();
        let node = after.nodes.iter().find(|each| each.name == node).expect("the node");
        assert!(matches!(node.outcome, Outcome::Fits { .. }), "after {what:?}: {node:?}");
    }
}

/// Whether a change also changes who is near whom, so that other changes may no longer be what is needed.
fn moves_the_node(change: &Change) -> bool {
    matches!(change, Change::Label { .. })
}

/// Everything that is explained is what the scheduler says where no room is kept for others.
fn check_against_decision(cluster: &Cluster, explanation: &Explanation) {
    let pending = pending(&cluster.asked);
    let snapshot = cluster.world().without(&pending);
    let filters = Filters::new(&pending, &snapshot);
    let Unschedulable { refusals } = refusals(&filters, &snapshot);
    let mut wanted: Vec<_> = refusals
        .iter()
        .map(|(name, reasons)| (name.to_string(), reasons.clone()))
        .collect();
    let mut told: Vec<_> = explanation
        .nodes
        .iter()
        .filter_map(|node| match &node.outcome {
            Outcome::Refused(refused) => Some((node.name.clone(), refused.reasons.clone())),
            Outcome::Fits { .. } => None,
        })
        .collect();
    wanted.sort_by(|a, b| a.0.cmp(&b.0));
    told.sort_by(|a, b| a.0.cmp(&b.0));
    assert_eq!(told, wanted);
    match schedule(&pending, &snapshot, 0, 1) {
        Ok(decision) => {
            assert!(explanation.chosen.iter().any(|node| *node == *decision.node));
            assert_eq!(decision.feasible, explanation.nodes.len() - told.len());
        }
        Err(refused) => assert!(explanation.summary.starts_with(&refused.to_string())),
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(500) })]

    #[test]
    fn what_is_explained_is_decided_and_what_would_have_to_change_is_enough(
        nodes in nodes(),
        pods in prop::collection::vec(made_pod(), 0..8),
        asked in made_pod(),
    ) {
        let there = |(index, made): (usize, &MadePod)| pod(&format!("pod-{index}"), made, true);
        let cluster = Cluster {
            nodes: nodes.iter().enumerate().map(|(index, made)| node(index, made)).collect(),
            pods: pods.iter().enumerate().map(there).collect(),
            asked: pod("asked", &asked, false),
        };
        let explanation = cluster.explain();
        // Room that is kept for others is told of as the loop decides, and whoever is driven out does not make it less.
        let is_kept = pods.iter().any(|pod| pod.nominated && pod.priority >= asked.priority);
        if !is_kept {
            check_against_decision(&cluster, &explanation);
        }
        for node in &explanation.nodes {
            let Outcome::Refused(refused) = &node.outcome else { continue };
            prop_assert!(!refused.changes.is_empty());
            if !refused.changes.iter().any(moves_the_node) {
                let mut after = cluster.clone();
                refused.changes.iter().for_each(|change| after.carry_out(&node.name, change));
                after.check_that_it_fits(&node.name, &refused.changes);
            }
            if let Some(preemption) = refused.preemption.as_ref().filter(|_| !is_kept) {
                let mut after = cluster.clone();
                let gone: Vec<String> = preemption.pods.iter().map(|pod| format!("default/{}", pod.name)).collect();
                after.remove(&gone);
                after.check_that_it_fits(&node.name, preemption);
            }
        }
    }
}
