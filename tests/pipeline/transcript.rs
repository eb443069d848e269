//! What a person types at a cluster with stock kubectl, and what they must see.

use super::manifest::{RUN, pod};
use crate::support::cluster::{Backend, CHANGE, Cluster, text};
use crate::support::kubectl::Kubectl;
use crate::support::{docker, eventually};

#[test]
fn on_the_embedded_store() {
    transcript(Backend::Embedded);
}

#[test]
fn on_etcd() {
    transcript(Backend::Etcd);
    // The keys are checked in a cluster that has seen every kind of command.
}

#[test]
fn etcd_keys_are_laid_out_as_kubernetes_does() {
    let cluster = started(Backend::Etcd);
    let keys = cluster.etcd.as_ref().expect("started on etcd").keys();
    assert!(keys.iter().all(|key| key.starts_with("/registry/")), "{keys:#?}");
    for wanted in ["/registry/namespaces/default", "/registry/namespaces/kube-system"] {
        assert!(keys.iter().any(|key| key == wanted), "{wanted} in {keys:#?}");
    }
    let (node, lease) = (&cluster.node, "/registry/leases/kube-node-lease/");
    assert!(keys.contains(&format!("/registry/minions/{node}")), "{keys:#?}");
    assert!(keys.contains(&format!("{lease}{node}")), "{keys:#?}");
}

/// A cluster whose source has a ConfigMap only, with a node that is ready.
fn started(backend: Backend) -> Cluster {
    let mut cluster = Cluster::new("transcript", backend);
    let source = cluster.path("source");
    std::fs::create_dir(&source).expect("a directory");
    std::fs::write(
        source.join("settings.yaml"),
        super::manifest::config_map("settings", "1"),
    )
    .expect("a file");
    cluster.start(&[text(&source)]);
    let kubectl = cluster.kubectl();
    kubectl.ok(&["wait", "--for=condition=Ready", "node", &cluster.node, "--timeout=30s"]);
    cluster
}

fn transcript(backend: Backend) {
    let mut cluster = started(backend);
    let manifest = cluster.path("simple-sample-pod.yaml");
    let sample = pod("simple-sample-pod")
        .label("purpose", "pod-test")
        .greeting("Hello from the environment");
    let sample = sample
        .restart_policy("Never")
        .script(&RUN.replace("GREETING", "DEMO_GREETING"))
        .yaml();
    std::fs::write(&manifest, sample.replace("name: GREETING", "name: DEMO_GREETING")).expect("a manifest");
    for kubectl in cluster.kubectls() {
        eprintln!("with {}", kubectl.name());
        session(&cluster, &kubectl, text(&manifest));
    }
    cluster.stop();
}

fn session(cluster: &Cluster, kubectl: &Kubectl, manifest: &str) {
    let created = kubectl.ok(&["create", "-f", manifest]);
    assert_eq!(created, "pod/simple-sample-pod created\n");
    kubectl.ok(&[
        "wait",
        "--for=condition=Ready",
        "pod/simple-sample-pod",
        "--timeout=60s",
    ]);

    let pods = kubectl.ok(&["get", "pods"]);
    let rows: Vec<Vec<&str>> = pods.lines().map(|line| line.split_whitespace().collect()).collect();
    assert_eq!(rows[0], ["NAME", "READY", "STATUS", "RESTARTS", "AGE"], "{pods}");
    assert_eq!(rows[1][..4], ["simple-sample-pod", "1/1", "Running", "0"], "{pods}");

    let logs = eventually("the pod's output", CHANGE, || {
        let logs = kubectl.run(&["logs", "simple-sample-pod"]);
        if logs.stdout.is_empty() {
            Err(logs.to_string())
        } else {
            Ok(logs.stdout)
        }
    });
    assert_eq!(logs, "greeting: Hello from the environment\n");

    describes(cluster, kubectl);

    let deleted = kubectl.ok(&["delete", "-f", manifest]);
    // Newer ones name the namespace behind it.
    assert!(deleted.starts_with("pod \"simple-sample-pod\" deleted"), "{deleted}");
    assert!(
        cluster.pod("simple-sample-pod").is_err(),
        "delete waits until the pod is gone"
    );
    let left = docker::containers(&cluster.node);
    assert!(
        left.iter().all(|container| !container.running),
        "the container is gone: {left:?}"
    );
}

fn describes(cluster: &Cluster, kubectl: &Kubectl) {
    let events = ["Scheduled", "Pulled", "Created", "Started"];
    let described = eventually("describe shows the events", CHANGE, || {
        let described = kubectl.ok(&["describe", "pod", "simple-sample-pod"]);
        let missing = events.iter().find(|event| !described.contains(**event));
        missing.is_none().then_some(described.clone()).ok_or(described)
    });
    for (field, value) in [
        ("Name:", "simple-sample-pod"),
        ("Namespace:", "default"),
        ("Node:", cluster.node.as_str()),
        ("Start Time:", ""),
        ("Labels:", "purpose=pod-test"),
        ("Status:", "Running"),
        ("IP:", "."),
        ("Container ID:", "docker://"),
        ("Image:", crate::support::images::BUSYBOX),
        ("State:", "Running"),
        ("Started:", ""),
        ("Ready:", "True"),
        ("Restart Count:", "0"),
        ("DEMO_GREETING:", "Hello from the environment"),
        ("QoS Class:", "BestEffort"),
        ("Tolerations:", "node.kubernetes.io/not-ready:NoExecute"),
    ] {
        let line = described.lines().map(str::trim).find(|line| line.starts_with(field));
        assert!(
            line.is_some_and(|line| line.contains(value)),
            "{field} {value} in\n{described}"
        );
    }
    let conditions = described.split("Conditions:").nth(1).expect("there are conditions");
    for condition in ["Initialized", "Ready", "ContainersReady", "PodScheduled"] {
        let row = |line: &str| line.split_whitespace().eq([condition, "True"]);
        assert!(conditions.lines().any(row), "{condition} True in\n{described}");
    }
    let events = described.split("Events:").nth(1).expect("there are events");
    for (reason, source) in [
        ("Scheduled", "default-scheduler"),
        ("Pulled", "kubelet"),
        ("Created", "kubelet"),
        ("Started", "kubelet"),
    ] {
        let row = |line: &str| {
            let words: Vec<&str> = line.split_whitespace().collect();
            words.get(1) == Some(&reason) && words.iter().any(|word| word.trim_end_matches(',') == source)
        };
        assert!(events.lines().any(row), "{reason} from {source} in\n{described}");
    }
}
