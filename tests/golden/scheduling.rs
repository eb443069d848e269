//! Chosen nodes and refusals: what a real kube-scheduler 1.20 decided on random clusters, each a case by name.
//!
//! Where later versions word a reason otherwise, the later words are ours. What maps to what:
//!
//! | kube-scheduler 1.20 | since | ours |
//! |---|---|---|
//! | `node(s) had taint {k: v}, that the pod didn't tolerate` | 1.25 | `node(s) had untolerated taint {k: v}` |
//! | `node(s) didn't match Pod's node affinity` | 1.21 | `node(s) didn't match Pod's node affinity/selector` |
//! | `node(s) didn't match pod affinity/anti-affinity` beside a second, finer reason of the same node | 1.21 | the finer reason alone |
//! | score NodeResourcesLeastAllocated | 1.22 | NodeResourcesFit |
//! | weights: TaintToleration 1, NodeAffinity 1, InterPodAffinity 1 | 1.23 | 3, 2, 2 (the test multiplies by the recorded ones) |
//! | NodeResourcesBalancedAllocation from the difference of shares, guesses included | 1.22 | from the standard deviation of what is asked for |

use std::collections::{BTreeMap, BTreeSet};

use k8s_openapi::api::core::v1::{Node, Pod};
use reconcile::scheduler::pod::{PendingPod, Role, pending, role};
use reconcile::scheduler::profile::Profiles;
use reconcile::scheduler::score::PLUGINS;
use reconcile::scheduler::snapshot::NodeInfo;
use reconcile::scheduler::{Snapshot, feasible, schedule};
use serde_json::Value;

use super::{report, rows};

/// The weights that 1.20 multiplied the recorded scores by.
const RECORDED_WEIGHTS: [(&str, i64); 7] = [
    ("TaintToleration", 1),
    ("NodeAffinity", 1),
    ("PodTopologySpread", 2),
    ("InterPodAffinity", 1),
    ("NodeResourcesFit", 1),
    ("NodeResourcesBalancedAllocation", 1),
    ("ImageLocality", 1),
];
const BALANCED: &str = "NodeResourcesBalancedAllocation";

/// What 1.20 called the score of NodeResourcesFit.
fn recorded_name(plugin: &str) -> &str {
    match plugin {
        "NodeResourcesFit" => "NodeResourcesLeastAllocated",
        other => other,
    }
}

type Scores = BTreeMap<String, BTreeMap<String, i64>>;

struct Row {
    name: String,
    nodes: Vec<Node>,
    existing: Vec<Pod>,
    pod: Pod,
    chosen: Option<String>,
    refusal: Option<String>,
    scores: Option<Scores>,
}

impl Row {
    fn read(value: &Value) -> Self {
        let field = |name: &str| value[name].clone();
        Self {
            name: format!("case {}", value["case"]),
            nodes: serde_json::from_value(field("nodes")).expect("nodes"),
            existing: serde_json::from_value(field("existing")).expect("existing pods"),
            pod: serde_json::from_value(field("pod")).expect("the pod"),
            chosen: serde_json::from_value(field("node")).expect("the chosen node"),
            refusal: serde_json::from_value(field("unschedulable")).expect("the refusal"),
            scores: serde_json::from_value(field("scores")).expect("the scores"),
        }
    }

    fn snapshot(&self) -> Snapshot {
        let mut snapshot = Snapshot::default();
        for node in &self.nodes {
            snapshot.set_node(node);
        }
        for pod in &self.existing {
            let Role::Placed(info, node) = role(pod, &Profiles::default()) else {
                panic!("an existing pod has a node")
            };
            snapshot.set_pod(info.into(), &node);
        }
        snapshot
    }

    /// Neither the pod nor those already there name other pods.
    fn is_simple(&self) -> bool {
        self.existing.iter().chain([&self.pod]).all(|pod| {
            let spec = pod.spec.as_ref().expect("a spec");
            let affinity = spec.affinity.as_ref();
            spec.topology_spread_constraints.is_none()
                && affinity.is_none_or(|each| each.pod_affinity.is_none() && each.pod_anti_affinity.is_none())
        })
    }

    fn check(&self) -> Result<(), String> {
        let snapshot = self.snapshot();
        let pod = pending(&self.pod);
        match (&self.chosen, &self.refusal) {
            (Some(chosen), None) => self.check_chosen(chosen, &pod, &snapshot),
            (None, Some(refusal)) => check_refusal(refusal, &pod, &snapshot),
            other => Err(format!("neither chosen nor refused: {other:?}")),
        }
    }

    fn check_chosen(&self, chosen: &str, pod: &PendingPod, snapshot: &Snapshot) -> Result<(), String> {
        let fits = feasible(pod, snapshot);
        let names: BTreeSet<&str> = fits.iter().map(|node| &*node.name).collect();
        let Some(recorded) = &self.scores else {
            // The only node that fits is not scored.
            return same("feasible nodes", &BTreeSet::from([chosen]), &names);
        };
        let wanted: BTreeSet<&str> = recorded["ImageLocality"].keys().map(String::as_str).collect();
        same("feasible nodes", &wanted, &names)?;
        let ours = scores(pod, snapshot, &fits);
        for (plugin, _) in RECORDED_WEIGHTS {
            let wanted = if plugin == BALANCED {
                balanced(&self.pod, &self.existing, &fits)
            } else {
                recorded[recorded_name(plugin)].clone()
            };
            same(plugin, &wanted, &ours[plugin])?;
        }
        check_best(chosen, recorded, &ours)?;
        let decision = schedule(pod, snapshot, 0, 7).map_err(|refusal| refusal.to_string())?;
        same("number of feasible nodes", &names.len(), &decision.feasible)?;
        let total = |node: &str| {
            PLUGINS
                .iter()
                .map(|each| each.weight * raw(&ours, each.name, node))
                .sum::<i64>()
        };
        let best = names.iter().map(|node| total(node)).max().unwrap_or_default();
        same("the decision's score is the best", &best, &decision.score)?;
        same("the decision's node has it", &best, &total(&decision.node))
    }
}

/// Our scores, weighted as recorded.
fn scores(pod: &PendingPod, snapshot: &Snapshot, nodes: &[&NodeInfo]) -> Scores {
    let weight = |name: &str| {
        RECORDED_WEIGHTS
            .iter()
            .find(|(known, _)| *known == name)
            .expect("a weight")
            .1
    };
    let weighted = |name: &str, scores: Vec<i64>| {
        nodes
            .iter()
            .zip(scores)
            .map(|(node, score)| (node.name.to_string(), weight(name) * score))
            .collect()
    };
    let each = PLUGINS.iter();
    each.map(|plugin| {
        (
            plugin.name.to_owned(),
            weighted(plugin.name, plugin.scores(pod, snapshot, nodes)),
        )
    })
    .collect()
}

/// A score as the plugin gave it.
fn raw(weighted: &Scores, plugin: &str, node: &str) -> i64 {
    let weight = RECORDED_WEIGHTS
        .iter()
        .find(|(known, _)| *known == plugin)
        .expect("a weight")
        .1;
    weighted[plugin][node] / weight
}

/// By our scores, with the recorded one where the formula has changed since, the chosen node is among the best.
fn check_best(chosen: &str, recorded: &Scores, ours: &Scores) -> Result<(), String> {
    let total = |node: &str| {
        let score = |plugin: &str| {
            if plugin == BALANCED {
                recorded[plugin][node]
            } else {
                ours[plugin][node]
            }
        };
        RECORDED_WEIGHTS.iter().map(|(plugin, _)| score(plugin)).sum::<i64>()
    };
    let best = ours[BALANCED].keys().map(|node| total(node)).max().unwrap_or_default();
    same("the chosen node's total is the best", &best, &total(chosen))
}

fn check_refusal(recorded: &str, pod: &PendingPod, snapshot: &Snapshot) -> Result<(), String> {
    match schedule(pod, snapshot, 0, 7) {
        Ok(decision) => Err(format!("wanted {recorded:?}, got node {}", decision.node)),
        Err(refusal) => same("the refusal", &reworded(recorded), &refusal.to_string()),
    }
}

/// A recorded message in today's words: its counted reasons, reworded and put in order again.
fn reworded(recorded: &str) -> String {
    let (head, reasons) = recorded
        .trim_end_matches('.')
        .split_once(": ")
        .expect("a head and reasons");
    let reasons = reasons.replace("}, that the pod didn't tolerate", "}");
    let mut reasons: Vec<String> = reasons
        .split(", ")
        .filter(|reason| !reason.ends_with("pod affinity/anti-affinity"))
        .map(|reason| {
            reason
                .replace("node(s) had taint {", "node(s) had untolerated taint {")
                .replace(
                    "didn't match Pod's node affinity",
                    "didn't match Pod's node affinity/selector",
                )
        })
        .collect();
    reasons.sort();
    format!("{head}: {}.", reasons.join(", "))
}

/// The balance of CPU and memory, worked out from the manifests alone: one less half the distance of the two
/// shares asked for, in hundredths; 0 where the pod asks for neither.
fn balanced(pod: &Pod, existing: &[Pod], nodes: &[&NodeInfo]) -> BTreeMap<String, i64> {
    let own = [asked(pod, "cpu"), asked(pod, "memory")];
    let score = |node: &NodeInfo| {
        if own == [0.0, 0.0] {
            return 0;
        }
        let there = existing
            .iter()
            .filter(|pod| pod.spec.as_ref().and_then(|spec| spec.node_name.as_deref()) == Some(&*node.name));
        let taken = there.fold(own, |sum, pod| {
            [sum[0] + asked(pod, "cpu"), sum[1] + asked(pod, "memory")]
        });
        let has = [node.allocatable.cpu_millis as f64, node.allocatable.memory as f64];
        let share = |index: usize| (taken[index] / has[index]).min(1.0);
        ((1.0 - (share(0) - share(1)).abs() / 2.0) * 100.0) as i64
    };
    nodes.iter().map(|node| (node.name.to_string(), score(node))).collect()
}

/// What a recorded pod asks for: the larger of its containers' sum and its largest init container.
fn asked(pod: &Pod, resource: &str) -> f64 {
    let spec = pod.spec.as_ref().expect("a spec");
    let one = |container: &k8s_openapi::api::core::v1::Container| {
        let requests = container
            .resources
            .as_ref()
            .and_then(|resources| resources.requests.as_ref());
        requests
            .and_then(|list| list.get(resource))
            .map_or(0.0, |quantity| number(&quantity.0))
    };
    let together: f64 = spec.containers.iter().map(one).sum();
    spec.init_containers.iter().flatten().map(one).fold(together, f64::max)
}

/// The notations that the recording uses: `500m` in thousandths, `64Mi` in bytes, whole cores.
fn number(text: &str) -> f64 {
    let parse = |digits: &str| digits.parse::<f64>().unwrap_or_else(|error| panic!("{text}: {error}"));
    match (text.strip_suffix("Mi"), text.strip_suffix('m')) {
        (Some(mebibytes), _) => parse(mebibytes) * 1048576.0,
        (None, Some(millis)) => parse(millis),
        (None, None) => parse(text) * 1000.0,
    }
}

fn same<T: PartialEq + std::fmt::Debug>(what: &str, wanted: &T, got: &T) -> Result<(), String> {
    if wanted == got {
        Ok(())
    } else {
        Err(format!("{what}: wanted {wanted:?}, got {got:?}"))
    }
}

fn failures(rows: &[Row]) -> Vec<(String, String)> {
    rows.iter()
        .filter_map(|row| Some((row.name.clone(), row.check().err()?)))
        .collect()
}

#[test]
fn every_recorded_decision_holds() {
    let all: Vec<Row> = rows("scheduling.jsonl").iter().map(Row::read).collect();
    let simple = all.iter().filter(|row| row.is_simple()).count();
    let failures = failures(&all);
    println!(
        "{} of {} recorded decisions hold ({simple} of them name no other pods)",
        all.len() - failures.len(),
        all.len()
    );
    report(all.len(), &failures);
}
