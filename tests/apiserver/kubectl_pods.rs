//! Stock kubectl over what moves pods: disruption budgets and drains, gates, nominated nodes.

use std::time::Duration;

use serde_json::{Value, json};

use super::eviction::{count, running};
use super::kubectl::{assert_contains, under_each};
use super::on_both_stores;
use super::world::{PODS, World, pod, pod_path};
use crate::support::eventually;
use crate::support::process::Process;

const BUDGET: &str = "apiVersion: policy/v1
kind: PodDisruptionBudget
metadata:
  name: web
spec:
  minAvailable: 1
  selector:
    matchLabels:
      app: web
";

/// The words of the table's lines.
fn words(table: &str) -> Vec<Vec<&str>> {
    table.lines().map(|line| line.split_whitespace().collect()).collect()
}

fn a_drain_waits_for_the_budget(world: &World) {
    let node = json!({"apiVersion": "v1", "kind": "Node", "metadata": {"name": "n"}});
    world.post("/api/v1/nodes", &node).of(201);
    let file = world.directory.path().join("budget.yaml");
    std::fs::write(&file, BUDGET).expect("a manifest");
    let file = file.to_str().expect("a path");
    under_each(world, |kubectl, _| {
        assert_contains(
            &kubectl.ok(&["apply", "-f", file]),
            &["poddisruptionbudget.policy/web created"],
        );
        // Later versions send the selector as a whole each time, since that is how it is patched.
        kubectl.ok(&["apply", "-f", file]);
        let applied = kubectl.json(&["pdb", "web"]).expect("a budget");
        assert_eq!(applied["metadata"]["generation"], 1, "nothing changed");
        let counted =
            json!({"observedGeneration": 1, "disruptionsAllowed": 0, "currentHealthy": 1, "desiredHealthy": 1});
        count(world, "web", &counted);
        let table = kubectl.ok(&["get", "pdb"]);
        let lines = words(&table);
        assert_eq!(
            lines[0].join(" "),
            "NAME MIN AVAILABLE MAX UNAVAILABLE ALLOWED DISRUPTIONS AGE"
        );
        assert_eq!(lines[1][..4], ["web", "1", "N/A", "0"]);
        let made = running(world, "web", "web", true);
        let mut drain = Process::start(&mut kubectl.command(&["drain", "n", "--force", "--timeout=60s"]));
        drain.line_with(
            "Cannot evict pod as it would violate the pod's disruption budget.",
            Duration::from_secs(20),
        );
        let pod = world.get(&pod_path("web")).of(200);
        assert!(pod["metadata"].get("deletionTimestamp").is_none(), "{pod}");
        count(world, "web", &json!({"disruptionsAllowed": 1}));
        eventually("the pod is being deleted", Duration::from_secs(30), || {
            let pod = world.get(&pod_path("web")).of(200);
            match pod["metadata"]["deletionTimestamp"].is_string() {
                true => Ok(()),
                false => Err(pod.to_string()),
            }
        });
        // As its kubelet does, once its containers have stopped.
        let last = json!({"gracePeriodSeconds": 0, "preconditions": {"uid": made["metadata"]["uid"]}});
        world.delete_with(&pod_path("web"), &last).of(200);
        assert_eq!(drain.finish(Duration::from_secs(30)).code, Some(0));
        kubectl.ok(&["uncordon", "n"]);
        kubectl.ok(&["delete", "pdb", "web"]);
        // 1.20 makes budgets of a version that Kubernetes does not serve any more either.
        if !kubectl.name().ends_with("1.20") {
            kubectl.ok(&["create", "pdb", "half", "--selector=app=web", "--max-unavailable=50%"]);
            let made = kubectl.json(&["pdb", "half"]).expect("a budget");
            let spec = json!({"maxUnavailable": "50%", "selector": {"matchLabels": {"app": "web"}}});
            assert_eq!(made["spec"], spec);
            assert_contains(&kubectl.ok(&["describe", "pdb", "half"]), &["Max unavailable:", "50%"]);
            kubectl.ok(&["delete", "pdb", "half"]);
        }
    });
}

fn held_back_and_nominated_pods_show(world: &World) {
    under_each(world, |kubectl, _| {
        let mut gated = pod("gated");
        gated["spec"]["schedulingGates"] = json!([{"name": "example.com/wait"}]);
        world.post(PODS, &gated).of(201);
        world.post(PODS, &pod("nominated")).of(201);
        let status = json!({"status": {"nominatedNodeName": "soon"}});
        let path = format!("{}/status", pod_path("nominated"));
        let written: Value = world.patch(&path, "merge", &status).of(200);
        assert_eq!(written["status"]["nominatedNodeName"], "soon");
        let table = kubectl.ok(&["get", "pods", "-o", "wide"]);
        let lines = words(&table);
        assert_eq!(
            lines[0].join(" "),
            "NAME READY STATUS RESTARTS AGE IP NODE NOMINATED NODE READINESS GATES"
        );
        assert_eq!((lines[1][0], lines[1][2]), ("gated", "SchedulingGated"));
        assert_eq!(
            (lines[2][0], lines[2][2], lines[2][7]),
            ("nominated", "Pending", "soon")
        );
    });
}

on_both_stores!(a_drain_waits_for_the_budget, held_back_and_nominated_pods_show);
