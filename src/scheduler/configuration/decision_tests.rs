use serde_json::json;

use super::tests::profile;
use super::*;
use crate::scheduler::pod::{PendingPod, pending_by};
use crate::scheduler::{Snapshot, feasible, schedule, score};

/// Nodes of ten cores and 10 GiB: a with four cores taken, b with none, c with a label.
fn cluster() -> Snapshot {
    let mut snapshot = Snapshot::default();
    for (name, labels) in [("a", json!({})), ("b", json!({})), ("c", json!({"special": "yes"}))] {
        let node = json!({
            "metadata": {"name": name, "labels": labels},
            "status": {"allocatable": {"cpu": "10", "memory": "10Gi", "pods": "10"}},
        });
        snapshot.set_node(&serde_json::from_value(node).expect("a node"));
    }
    let there = pod(&Arc::new(Profile::named("x")), "there", "4");
    snapshot.set_pod(there.info, &"a".into());
    snapshot
}

fn pod(profile: &Arc<Profile>, name: &str, cpu: &str) -> PendingPod {
    let requests = json!({"cpu": cpu, "memory": "0", "example.com/gpu": "0"});
    let pod = json!({
        "metadata": {"name": name, "uid": name, "namespace": "default"},
        "spec": {"containers": [{"name": "c", "resources": {"requests": requests}}]},
    });
    pending_by(&serde_json::from_value(pod).expect("a pod"), profile.clone())
}

#[test]
fn pods_are_decided_on_by_their_profile() {
    let only_fit = "plugins:\n  score: {disabled: [{name: '*'}], enabled: [{name: NodeResourcesFit}]}\n";
    let with = |args: &str| {
        format!("{only_fit}pluginConfig:\n- name: NodeResourcesFit\n  args: {{scoringStrategy: {args}}}\n")
    };
    let shape = "[{utilization: 0, score: 0}, {utilization: 60, score: 10}, {utilization: 100, score: 0}]";
    for (name, text, cpu, wanted) in [
        // 10 of 10 GiB and 4 of 10 cores are left: (40 + 100) / 2.
        (
            "least",
            with("{type: LeastAllocated}"),
            "2",
            vec![("a", 70), ("b", 90), ("c", 90)],
        ),
        (
            "most",
            with("{type: MostAllocated}"),
            "2",
            vec![("a", 30), ("b", 10), ("c", 10)],
        ),
        (
            "most, weighted",
            with("{type: MostAllocated, resources: [{name: cpu, weight: 9}, {name: memory, weight: 1}]}"),
            "2",
            vec![("a", 54), ("b", 18), ("c", 18)],
        ),
        (
            // Memory is worth nothing and does not count.
            "by a shape",
            with(&format!(
                "{{type: RequestedToCapacityRatio, requestedToCapacityRatio: {{shape: {shape}}}}}"
            )),
            "2",
            vec![("a", 100), ("b", 33), ("c", 33)],
        ),
    ] {
        let profile = profile(&text);
        let snapshot = cluster();
        let pod = pod(&profile, "new", cpu);
        let mut nodes = feasible(&pod, &snapshot);
        nodes.sort_by(|a, b| a.name.cmp(&b.name));
        let totals = score::totals(&pod, &snapshot, &nodes);
        let got: Vec<(&str, i64)> = nodes.iter().map(|node| &*node.name).zip(totals).collect();
        assert_eq!(got, wanted, "{name}");
        let best = wanted.iter().map(|(_, score)| *score).max();
        assert_eq!(
            schedule(&pod, &snapshot, 0, 1).ok().map(|decision| decision.score),
            best,
            "{name}"
        );
    }
}

#[test]
fn what_a_profile_adds_and_leaves_out_decides_where_pods_fit() {
    let fits = |text: &str, cpu: &str| -> String {
        let profile = profile(text);
        let snapshot = cluster();
        match schedule(&pod(&profile, "new", cpu), &snapshot, 0, 1) {
            Ok(_) => {
                let mut names: Vec<_> = feasible(&pod(&profile, "new", cpu), &snapshot)
                    .iter()
                    .map(|node| node.name.to_string())
                    .collect();
                names.sort();
                names.join(" ")
            }
            Err(refused) => refused.to_string(),
        }
    };
    let added = |value: &str| {
        format!(
            "pluginConfig:\n- name: NodeAffinity\n  args:\n    addedAffinity:\n      requiredDuringSchedulingIgnoredDuringExecution:\n        \
             nodeSelectorTerms: [{{matchExpressions: [{{key: special, operator: In, values: [\"{value}\"]}}]}}]\n"
        )
    };
    for (name, text, cpu, wanted) in [
        ("the standard one", String::new(), "7", "b c"),
        (
            "without the check of resources",
            "plugins:\n  multiPoint: {disabled: [{name: NodeResourcesFit}]}\n".to_owned(),
            "70",
            "a b c",
        ),
        ("with an added affinity", added("yes"), "1", "c"),
        (
            "with one that no node has",
            added("no"),
            "1",
            "0/3 nodes are available: 3 node(s) didn't match scheduler-enforced node affinity.",
        ),
    ] {
        assert_eq!(fits(&text, cpu), wanted, "{name}");
    }
}
