//! Two kubelets with different node names share one Docker and leave each other's containers alone.

use super::manifest::pod;
use super::source::{Kind, Source};
use crate::support::cluster::{Backend, CHANGE, Cluster, PodView};
use crate::support::{docker, eventually};

#[test]
fn each_node_has_its_own_containers() {
    let mut cluster = Cluster::new("nodes", Backend::Embedded);
    let source = Source::new(Kind::Directory, &cluster.path("source"));
    let (first, second) = (cluster.node.clone(), format!("{}-b", cluster.node));
    for (name, node) in [("one", &first), ("two", &second)] {
        source.write(
            &format!("{name}.yaml"),
            &pod(name).spec(&format!("nodeName: {node}")).yaml(),
        );
    }
    cluster.start_apiserver();
    cluster.start_scheduler();
    cluster.start_kubelet(&first);
    cluster.start_kubelet(&second);
    cluster.start_reconciler(&source.arguments());
    let one = cluster.running_pod("one", |_| Ok(()));
    let two = cluster.running_pod("two", |_| Ok(()));
    for (pod, node) in [(&one, &first), (&two, &second)] {
        let running = docker::running(node);
        assert_eq!(running.len(), 1, "{running:?}");
        assert_eq!(running[0].uid, pod.uid());
    }
    for name in ["one", "two"] {
        let logs = eventually("the log", CHANGE, || {
            let logs = cluster.kubectl().run(&["logs", name]);
            if logs.stdout.is_empty() {
                Err(logs.to_string())
            } else {
                Ok(logs.stdout)
            }
        });
        assert_eq!(logs, "greeting: hello\n", "read through the kubelet of its own node");
    }

    source.remove("one.yaml");
    cluster.no_pod("one");
    let still = cluster.pod("two").expect("two is there");
    assert_eq!(container(&still), container(&two), "the other node's container goes on");
    cluster.stop();
}

fn container(pod: &PodView) -> (String, String) {
    (pod.uid(), pod.container_id())
}

#[test]
fn the_scheduler_spreads_over_the_nodes() {
    let mut cluster = Cluster::new("spread", Backend::Embedded);
    let source = Source::new(Kind::Directory, &cluster.path("source"));
    let (first, second) = (cluster.node.clone(), format!("{}-b", cluster.node));
    cluster.start_apiserver();
    cluster.start_scheduler();
    cluster.start_kubelet(&first);
    cluster.start_kubelet(&second);
    for node in [&first, &second] {
        let ready = ["wait", "--for=condition=Ready", "node", node, "--timeout=30s"];
        eventually("both nodes are ready", CHANGE, || {
            let ended = cluster.kubectl().run(&ready);
            if ended.code == Some(0) {
                Ok(())
            } else {
                Err(ended.to_string())
            }
        });
        // What is ready keeps pods off until its taint goes too.
        eventually("nothing keeps pods off", CHANGE, || {
            let taints = cluster
                .kubectl()
                .ok(&["get", "node", node, "-o", "jsonpath={.spec.taints}"]);
            taints.is_empty().then_some(()).ok_or(taints)
        });
    }
    for name in ["a", "b", "c", "d"] {
        source.write(&format!("{name}.yaml"), &pod(name).yaml());
    }
    source.write("big.yaml", &pod("big").spec("nodeSelector: {size: big}").yaml());
    cluster.start_reconciler(&source.arguments());
    for name in ["a", "b", "c", "d"] {
        cluster.running_pod(name, |_| Ok(()));
    }
    assert!(
        !docker::running(&first).is_empty() && !docker::running(&second).is_empty(),
        "both nodes are used"
    );

    eventually("the refusal is explained", CHANGE, || {
        let described = cluster.kubectl().ok(&["describe", "pod", "big"]);
        let explained = described.contains("FailedScheduling") && described.contains("0/2 nodes are available: 2 ");
        explained.then_some(()).ok_or(described)
    });
    cluster.kubectl().ok(&["label", "node", &second, "size=big"]);
    let big = cluster.running_pod("big", |_| Ok(()));
    assert_eq!(big.0["spec"]["nodeName"], second.as_str());
    cluster.stop();
}
