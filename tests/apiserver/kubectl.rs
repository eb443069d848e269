//! Stock kubectl, every version at hand, with its default validation.

use std::time::Duration;

use serde_json::json;

use super::on_both_stores;
use super::world::{PODS, World, pod, pod_path};
use crate::support::eventually;
use crate::support::kubectl::Kubectl;
use crate::support::process::Process;

const MANIFEST: &str = r#"apiVersion: v1
kind: Pod
metadata:
  name: web
  labels:
    app: web
spec:
  containers:
  - name: c
    image: busybox:1.36
    env:
    - name: GREETING
      value: hello
---
apiVersion: v1
kind: ConfigMap
metadata:
  name: settings
data:
  key: value
"#;

/// Runs a check under every kubectl, with a manifest file, and clears up after each.
pub fn under_each(world: &World, check: impl Fn(&Kubectl, &str)) {
    let path = world.directory.path().join("manifest.yaml");
    std::fs::write(&path, MANIFEST).expect("a manifest");
    for kubectl in world.kubectls() {
        eprintln!("under {}", kubectl.name());
        check(&kubectl, path.to_str().expect("a path"));
        kubectl.ok(&["delete", "pods,configmaps", "--all", "--now"]);
    }
}

#[track_caller]
pub fn assert_contains(text: &str, wanted: &[&str]) {
    for part in wanted {
        assert!(text.contains(part), "no {part:?} in:\n{text}");
    }
}

fn objects_are_created_shown_and_deleted(world: &World) {
    under_each(world, |kubectl, file| {
        assert_eq!(
            kubectl.ok(&["create", "-f", file]),
            "pod/web created\nconfigmap/settings created\n"
        );
        let again = kubectl.run(&["create", "-f", file]);
        assert_contains(
            &again.stderr,
            &["Error from server (AlreadyExists)", "pods \"web\" already exists"],
        );
        let shown = kubectl.ok(&["get", "pods"]);
        let heading: Vec<&str> = shown.lines().next().expect("a line").split_whitespace().collect();
        assert_eq!(heading, ["NAME", "READY", "STATUS", "RESTARTS", "AGE"]);
        assert_contains(&shown, &["web", "0/1", "Pending"]);
        assert_contains(
            &kubectl.ok(&["get", "po", "-o", "wide"]),
            &["NOMINATED NODE", "READINESS GATES"],
        );
        assert_contains(
            &kubectl.ok(&["get", "pod", "web", "-o", "yaml"]),
            &["kind: Pod", "name: GREETING", "uid: "],
        );
        assert_contains(&kubectl.ok(&["get", "all"]), &["web", "Pending"]);
        assert_contains(
            &kubectl.ok(&["get", "pods", "-A", "--sort-by=.metadata.name"]),
            &["default", "web"],
        );
        assert_contains(
            &kubectl.ok(&["get", "pods", "-l", "app=web", "-o", "name"]),
            &["pod/web"],
        );
        assert_contains(
            &kubectl.ok(&["describe", "pod", "web"]),
            &[
                "Name:",
                "GREETING:",
                "hello",
                "QoS Class:",
                "BestEffort",
                "Tolerations:",
            ],
        );
        assert_contains(&kubectl.ok(&["describe", "configmap", "settings"]), &["key:", "value"]);
        let missing = kubectl.run(&["get", "pod", "none"]);
        assert_eq!(
            missing.stderr,
            "Error from server (NotFound): pods \"none\" not found\n"
        );
        assert_contains(
            &kubectl.ok(&["delete", "-f", file]),
            &["pod \"web\" deleted", "configmap \"settings\" deleted"],
        );
        assert_contains(
            &kubectl.run(&["get", "pods"]).all(),
            &["No resources found in default namespace."],
        );
    });
}

fn objects_are_changed_in_every_way(world: &World) {
    under_each(world, |kubectl, file| {
        kubectl.ok(&["apply", "-f", file]);
        assert_contains(
            &kubectl.ok(&["apply", "-f", file]),
            &["pod/web unchanged", "configmap/settings unchanged"],
        );
        assert_contains(
            &kubectl.ok(&["label", "pod", "web", "tier=front"]),
            &["pod/web labeled"],
        );
        assert_contains(
            &kubectl.ok(&["annotate", "pod", "web", "note=x"]),
            &["pod/web annotated"],
        );
        assert_contains(
            &kubectl.ok(&["set", "image", "pod/web", "c=busybox:2"]),
            &["pod/web image updated"],
        );
        for (kind, patch) in [
            ("strategic", r#"{"metadata":{"labels":{"a":"1"}}}"#),
            ("merge", r#"{"metadata":{"labels":{"b":"2"}}}"#),
            ("json", r#"[{"op":"add","path":"/metadata/labels/c","value":"3"}]"#),
        ] {
            kubectl.ok(&["patch", "pod", "web", "--type", kind, "-p", patch]);
        }
        let pod = kubectl.json(&["pod", "web"]).expect("a pod");
        assert_eq!(
            pod["metadata"]["labels"],
            json!({"app": "web", "tier": "front", "a": "1", "b": "2", "c": "3"})
        );
        assert_eq!(pod["spec"]["containers"][0]["image"], "busybox:2");
        let changed = MANIFEST
            .replace("key: value", "key: other")
            .replace("app: web", "app: web2");
        let second = world.directory.path().join("second.yaml");
        std::fs::write(&second, changed).expect("a manifest");
        let second = second.to_str().expect("a path");
        let difference = kubectl.run(&["diff", "-f", second]);
        assert_eq!(difference.code, Some(1), "{difference}");
        assert_contains(&difference.stdout, &["-  key: value", "+  key: other"]);
        assert_contains(
            &kubectl.ok(&["apply", "-f", second]),
            &["configmap/settings configured", "pod/web configured"],
        );
        assert_eq!(kubectl.run(&["diff", "-f", second]).code, Some(0));
        let live = world.directory.path().join("live.json");
        let mut pod = kubectl.json(&["pod", "web"]).expect("a pod");
        pod["metadata"]["labels"]["replaced"] = json!("true");
        std::fs::write(&live, pod.to_string()).expect("a manifest");
        kubectl.ok(&["replace", "-f", live.to_str().expect("a path")]);
        assert_eq!(
            kubectl.json(&["pod", "web"]).expect("a pod")["metadata"]["labels"]["replaced"],
            "true"
        );
        assert_eq!(
            kubectl.json(&["configmap", "settings"]).expect("a configmap")["data"]["key"],
            "other"
        );
    });
}

fn objects_are_applied_by_the_server(world: &World) {
    under_each(world, |kubectl, file| {
        assert_contains(
            &kubectl.ok(&["apply", "--server-side", "-f", file]),
            &["pod/web serverside-applied"],
        );
        kubectl.ok(&["apply", "--server-side", "-f", file]);
        let other = kubectl.run(&["apply", "--server-side", "--field-manager=other", "-f", file]);
        assert_eq!(other.code, Some(0), "the same values are shared: {other}");
        let changed = MANIFEST.replace("key: value", "key: theirs");
        let second = world.directory.path().join("second.yaml");
        std::fs::write(&second, changed).expect("a manifest");
        let second = second.to_str().expect("a path");
        let conflict = kubectl.run(&["apply", "--server-side", "--field-manager=other", "-f", second]);
        assert_ne!(conflict.code, Some(0));
        assert_contains(&conflict.stderr, &["conflict", ".data.key"]);
        kubectl.ok(&[
            "apply",
            "--server-side",
            "--force-conflicts",
            "--field-manager=other",
            "-f",
            second,
        ]);
        assert_eq!(
            kubectl.json(&["configmap", "settings"]).expect("a configmap")["data"]["key"],
            "theirs"
        );
        kubectl.ok(&[
            "apply",
            "--server-side",
            "--dry-run=server",
            "-f",
            file,
            "--force-conflicts",
        ]);
    });
}

fn mistakes_are_told_before_anything_is_made(world: &World) {
    under_each(world, |kubectl, _| {
        let path = world.directory.path().join("typo.yaml");
        std::fs::write(&path, MANIFEST.replace("image:", "imge:")).expect("a manifest");
        let typo = kubectl.run(&["create", "-f", path.to_str().expect("a path")]);
        assert_ne!(typo.code, Some(0));
        assert_contains(&typo.stderr, &["unknown field", "imge"]);
        assert_eq!(world.get(&pod_path("web")).code, 404);
        std::fs::write(&path, MANIFEST.replace("image: busybox:1.36", "image: \"\"")).expect("a manifest");
        let invalid = kubectl.run(&["create", "-f", path.to_str().expect("a path")]);
        assert_contains(
            &invalid.stderr,
            &["\"web\" is invalid", "spec.containers[0].image: Required value"],
        );
        std::fs::write(&path, "apiVersion: nope/v1\nkind: Nope\nmetadata:\n  name: x\n").expect("a manifest");
        let unknown = kubectl.run(&["create", "-f", path.to_str().expect("a path")]);
        assert_contains(
            &unknown.stderr,
            &["no matches for kind \"Nope\" in version \"nope/v1\""],
        );
    });
}

fn waiting_and_watching_end_when_they_should(world: &World) {
    under_each(world, |kubectl, file| {
        kubectl.ok(&["create", "-f", file]);
        let mut watch = Process::start(&mut kubectl.command(&["get", "pods", "-w"]));
        watch.line_with("Pending", Duration::from_secs(20));
        let mut wait =
            Process::start(&mut kubectl.command(&["wait", "--for=condition=Ready", "pod/web", "--timeout=30s"]));
        let ready = json!({"status": {"phase": "Running", "conditions": [{"type": "Ready", "status": "True"}],
            "containerStatuses": [{"name": "c", "ready": true, "restartCount": 0, "image": "busybox:1.36", "imageID": "", "state": {"running": {}}}]}});
        world
            .patch(&format!("{}/status", pod_path("web")), "strategic-merge", &ready)
            .of(200);
        wait.line_with("pod/web condition met", Duration::from_secs(20));
        watch.line_with("Running", Duration::from_secs(20));
        assert_eq!(wait.finish(Duration::from_secs(20)).code, Some(0));
        let mut deleted =
            Process::start(&mut kubectl.command(&["wait", "-v=6", "--for=delete", "pod/web", "--timeout=30s"]));
        deleted.line_with("watch=true", Duration::from_secs(20));
        kubectl.ok(&["delete", "pod", "web"]);
        assert_eq!(deleted.finish(Duration::from_secs(20)).code, Some(0));
        watch.kill();
    });
}

fn a_running_pods_deletion_is_waited_for(world: &World) {
    under_each(world, |kubectl, _| {
        let made = world.post(PODS, &pod("bound")).of(201);
        let binding = json!({"metadata": {"name": "bound"}, "target": {"kind": "Node", "name": "n"}});
        world.post(&format!("{}/binding", pod_path("bound")), &binding).of(201);
        let mut delete = Process::start(&mut kubectl.command(&["delete", "pod", "bound"]));
        delete.line_with("pod \"bound\" deleted", Duration::from_secs(20));
        assert!(delete.is_running(), "it waits for the object to go");
        let last = json!({"gracePeriodSeconds": 0, "preconditions": {"uid": made["metadata"]["uid"]}});
        world.delete_with(&pod_path("bound"), &last).of(200);
        assert_eq!(delete.finish(Duration::from_secs(20)).code, Some(0));
    });
}

fn the_api_explains_itself(world: &World) {
    under_each(world, |kubectl, _| {
        assert_contains(
            &kubectl.ok(&["api-resources"]),
            &["pods", "po", "leases", "coordination.k8s.io", "priorityclasses", "pdb"],
        );
        assert_contains(
            &kubectl.ok(&["api-versions"]),
            &["v1", "coordination.k8s.io/v1", "scheduling.k8s.io/v1", "policy/v1"],
        );
        assert_contains(
            &kubectl.ok(&["explain", "pod.spec.containers"]),
            &["image", "List of containers"],
        );
        assert_contains(&kubectl.ok(&["version"]), &["v1."]);
        assert_eq!(kubectl.ok(&["auth", "can-i", "create", "pods"]).trim(), "yes");
        assert_contains(&kubectl.ok(&["get", "--raw", "/readyz?verbose"]), &["[+]store ok"]);
        assert_contains(
            &kubectl.ok(&["get", "ns"]),
            &["default", "kube-system", "kube-node-lease", "kube-public", "Active"],
        );
    });
}

fn commands_that_make_objects(world: &World) {
    under_each(world, |kubectl, _| {
        kubectl.ok(&["create", "namespace", "team"]);
        kubectl.ok(&["-n", "team", "create", "configmap", "c", "--from-literal=a=b"]);
        kubectl.ok(&["-n", "team", "create", "secret", "generic", "s", "--from-literal=a=b"]);
        kubectl.ok(&["-n", "team", "create", "serviceaccount", "sa"]);
        assert_contains(
            &kubectl.ok(&[
                "-n",
                "team",
                "run",
                "p",
                "--image=busybox",
                "--restart=Never",
                "--",
                "true",
            ]),
            &["pod/p created"],
        );
        assert_contains(
            &kubectl.ok(&["-n", "team", "get", "configmaps,secrets,sa,pods"]),
            &["configmap/c", "secret/s", "serviceaccount/sa", "pod/p"],
        );
        kubectl.ok(&["create", "priorityclass", "high", "--value=10"]);
        kubectl.ok(&["delete", "priorityclass", "high"]);
        kubectl.ok(&["delete", "namespace", "team", "--wait=false"]);
        let mut ending = world.get("/api/v1/namespaces/team").of(200);
        ending["spec"]["finalizers"] = json!([]);
        world.put("/api/v1/namespaces/team/finalize", &ending).of(200);
        for (path, name) in [
            ("configmaps", "c"),
            ("secrets", "s"),
            ("serviceaccounts", "sa"),
            ("pods", "p"),
        ] {
            world.delete(&format!("/api/v1/namespaces/team/{path}/{name}")).of(200);
        }
    });
}

fn nodes_are_cordoned_tainted_and_drained(world: &World) {
    let node = json!({"apiVersion": "v1", "kind": "Node", "metadata": {"name": "n"}});
    world.post("/api/v1/nodes", &node).of(201);
    under_each(world, |kubectl, _| {
        let made = world.post(PODS, &pod("bound")).of(201);
        let binding = json!({"metadata": {"name": "bound"}, "target": {"kind": "Node", "name": "n"}});
        world.post(&format!("{}/binding", pod_path("bound")), &binding).of(201);
        assert_contains(&kubectl.ok(&["taint", "node", "n", "a=b:NoSchedule"]), &["tainted"]);
        assert_contains(&kubectl.ok(&["get", "nodes"]), &["STATUS", "n "]);
        assert_contains(&kubectl.ok(&["describe", "node", "n"]), &["a=b:NoSchedule", "bound"]);
        let drain = Process::start(&mut kubectl.command(&["drain", "n", "--force", "--timeout=60s"]));
        eventually("the pod is being deleted", Duration::from_secs(20), || {
            let pod = world.get(&pod_path("bound")).of(200);
            if pod["metadata"]["deletionTimestamp"].is_string() {
                Ok(())
            } else {
                Err(pod.to_string())
            }
        });
        let last = json!({"gracePeriodSeconds": 0, "preconditions": {"uid": made["metadata"]["uid"]}});
        world.delete_with(&pod_path("bound"), &last).of(200);
        assert_eq!(drain.finish(Duration::from_secs(30)).code, Some(0));
        assert_eq!(world.get("/api/v1/nodes/n").of(200)["spec"]["unschedulable"], true);
        kubectl.ok(&["uncordon", "n"]);
        kubectl.ok(&["taint", "node", "n", "a-"]);
    });
}

on_both_stores!(
    nodes_are_cordoned_tainted_and_drained,
    objects_are_created_shown_and_deleted,
    objects_are_changed_in_every_way,
    objects_are_applied_by_the_server,
    mistakes_are_told_before_anything_is_made,
    waiting_and_watching_end_when_they_should,
    a_running_pods_deletion_is_waited_for,
    the_api_explains_itself,
    commands_that_make_objects,
);
