use serde_json::{Value, json};

use super::*;
use crate::scheduler::pod::{Role, pending, role};
use crate::scheduler::profile::Profiles;
use crate::scheduler::schedule;

/// Nodes of one core and the pods on them: `(name, node, priority, millis of CPU, started)`.
fn cluster(nodes: &[&str], pods: &[(&str, &str, i32, i64, i64)]) -> Snapshot {
    let mut snapshot = Snapshot::default();
    for name in nodes {
        let node = json!({"metadata": {"name": name}, "status": {"allocatable": {"cpu": "1", "pods": "10"}}});
        snapshot.set_node(&serde_json::from_value(node).expect("a node"));
    }
    for (name, node, priority, millis, started) in pods {
        let mut pod = pod_json(name, *priority, *millis);
        pod["spec"]["nodeName"] = json!(node);
        let started = k8s_openapi::jiff::Timestamp::from_second(*started).expect("a time");
        pod["status"] = json!({"startTime": started.to_string()});
        let pod = serde_json::from_value(pod).expect("a pod");
        let Role::Placed(info, node) = role(&pod, &Profiles::default()) else {
            panic!("a pod with a node is placed")
        };
        snapshot.set_pod(info.into(), &node);
    }
    snapshot
}

fn pod_json(name: &str, priority: i32, millis: i64) -> Value {
    json!({
        "metadata": {"name": name, "namespace": "default", "uid": name, "labels": {"app": name}},
        "spec": {
            "priority": priority,
            "containers": [{"name": "c", "resources": {"requests": {"cpu": format!("{millis}m")}}}],
        },
    })
}

fn wanting(priority: i32, millis: i64, more: &Value) -> PendingPod {
    let mut pod = pod_json("new", priority, millis);
    for (key, value) in more.as_object().expect("fields") {
        pod["spec"][key] = value.clone();
    }
    pending(&serde_json::from_value(pod).expect("a pod"))
}

fn budget(of: &[&str], allowed: i64) -> Budget {
    let selector = json!({"matchExpressions": [{"key": "app", "operator": "In", "values": of}]});
    let selector = serde_json::from_value(selector).expect("a selector");
    Budget {
        namespace: "default".to_owned(),
        selector: affinity::selector(&selector).expect("it can be read"),
        allowed,
        disrupted: HashSet::new(),
    }
}

/// The node and its victims, or why there are none. The cluster must be as before.
fn preempted(pod: &PendingPod, snapshot: &mut Snapshot, budgets: &[Budget]) -> Result<(String, Vec<String>), String> {
    let refused = schedule(pod, snapshot, 0, 1).expect_err("it fits nowhere");
    let before = snapshot.clone();
    let budgets: Vec<&Budget> = budgets.iter().collect();
    let chosen = preempt(
        pod,
        &refused,
        snapshot,
        Concerned {
            budgets: &budgets,
            reserved: &[],
        },
        1,
    );
    assert_eq!(*snapshot, before, "trying changes nothing");
    let names = |victims: Victims| {
        let names = victims.pods.iter().map(|pod| pod.name.clone());
        (victims.node.to_string(), names.collect())
    };
    chosen.map(names).map_err(|why| why.to_string())
}

#[test]
fn the_fewest_and_least_important_have_to_go() {
    let two = ["a", "b"];
    for (name, pods, priority, millis, wanted) in [
        (
            "the lesser priority",
            vec![("high", "a", 5, 1000, 0), ("low", "b", 1, 1000, 0)],
            10,
            500,
            ("b", vec!["low"]),
        ),
        (
            "the smaller sum of priorities",
            vec![("x", "a", 1, 500, 0), ("y", "a", 1, 500, 0), ("z", "b", 1, 1000, 0)],
            10,
            1000,
            ("b", vec!["z"]),
        ),
        (
            "whoever has run the shortest",
            vec![("old", "a", 1, 1000, 100), ("young", "b", 1, 1000, 200)],
            10,
            500,
            ("b", vec!["young"]),
        ),
        (
            "of one node, the more important one stays",
            vec![
                ("keep", "a", 2, 500, 0),
                ("go", "a", 1, 500, 0),
                ("full", "b", 20, 1000, 0),
            ],
            10,
            500,
            ("a", vec!["go"]),
        ),
        (
            "of equal ones the one that has run longer stays",
            vec![
                ("old", "a", 1, 500, 100),
                ("young", "a", 1, 500, 200),
                ("full", "b", 20, 1000, 0),
            ],
            10,
            500,
            ("a", vec!["young"]),
        ),
    ] {
        let mut snapshot = cluster(&two, &pods);
        let got = preempted(&wanting(priority, millis, &json!({})), &mut snapshot, &[]);
        let wanted = (
            wanted.0.to_owned(),
            wanted.1.into_iter().map(str::to_owned).collect::<Vec<_>>(),
        );
        assert_eq!(got, Ok(wanted), "{name}");
    }
}

#[test]
fn nobody_goes_in_vain() {
    let none = "0/1 nodes are available: 1 No preemption victims found for incoming pod.";
    let no_help = "0/1 nodes are available: 1 Preemption is not helpful for scheduling.";
    for (name, pod, wanted) in [
        ("equal priority", wanting(5, 500, &json!({})), none),
        ("more than the node has", wanting(9, 2000, &json!({})), no_help),
        (
            "another label",
            wanting(9, 100, &json!({"nodeSelector": {"disk": "ssd"}})),
            no_help,
        ),
        (
            "it does not want to",
            wanting(9, 500, &json!({"preemptionPolicy": "Never"})),
            "not eligible due to preemptionPolicy=Never.",
        ),
        (
            "even then there is too little",
            wanting(9, 900, &json!({})),
            "0/1 nodes are available: 1 Insufficient cpu.",
        ),
    ] {
        let mut snapshot = cluster(&["a"], &[("there", "a", 5, 700, 0), ("higher", "a", 10, 200, 0)]);
        let got = preempted(&pod, &mut snapshot, &[]);
        assert_eq!(got, Err(wanted.to_owned()), "{name}");
    }
}

#[test]
fn budgets_are_broken_only_where_nothing_else_helps() {
    let pods = [("guarded", "a", 1, 1000, 0), ("free", "b", 5, 1000, 0)];
    let pod = wanting(10, 500, &json!({}));
    let on = |node: &str, who: &str| Ok((node.to_owned(), vec![who.to_owned()]));
    for (name, budgets, wanted) in [
        ("no budget", vec![], on("a", "guarded")),
        (
            "one that allows nothing",
            vec![budget(&["guarded"], 0)],
            on("b", "free"),
        ),
        ("one that allows it", vec![budget(&["guarded"], 1)], on("a", "guarded")),
        (
            "both guarded: the less important one",
            vec![budget(&["guarded", "free"], 0)],
            on("a", "guarded"),
        ),
    ] {
        let mut snapshot = cluster(&["a", "b"], &pods);
        assert_eq!(preempted(&pod, &mut snapshot, &budgets), wanted, "{name}");
    }
    let mut going = budget(&["guarded"], 0);
    going.disrupted.insert("guarded".to_owned());
    let mut snapshot = cluster(&["a", "b"], &pods);
    assert_eq!(
        preempted(&pod, &mut snapshot, &[going]),
        on("a", "guarded"),
        "it goes already"
    );
}

#[test]
fn whoever_waits_for_an_end_drives_nobody_else_out() {
    let mut snapshot = cluster(&["a"], &[("going", "a", 1, 500, 0), ("other", "a", 1, 500, 0)]);
    let pod = PendingPod {
        nominated: Some("a".into()),
        ..wanting(10, 500, &json!({}))
    };
    let ending = PodInfo {
        is_ending: true,
        ..PodInfo::clone(snapshot.pod("going").expect("it is there"))
    };
    snapshot.set_pod(ending.into(), &"a".into());
    let why = "not eligible due to a terminating pod on the nominated node.";
    assert_eq!(preempted(&pod, &mut snapshot, &[]), Err(why.to_owned()));
}

#[test]
fn those_who_keep_others_away_go_too() {
    let mut snapshot = Snapshot::default();
    let node = json!({
        "metadata": {"name": "a", "labels": {"zone": "z"}}, "status": {"allocatable": {"cpu": "4", "pods": "10"}},
    });
    snapshot.set_node(&serde_json::from_value(node).expect("a node"));
    let mut lonely = pod_json("lonely", 1, 100);
    lonely["spec"]["nodeName"] = json!("a");
    lonely["spec"]["affinity"] = json!({"podAntiAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": [
        {"labelSelector": {"matchLabels": {"app": "new"}}, "topologyKey": "zone"},
    ]}});
    let Role::Placed(info, name) = role(&serde_json::from_value(lonely).expect("a pod"), &Profiles::default()) else {
        panic!("a pod with a node is placed")
    };
    snapshot.set_pod(info.into(), &name);
    let pod = wanting(10, 100, &json!({}));
    assert_eq!(
        preempted(&pod, &mut snapshot, &[]),
        Ok(("a".to_owned(), vec!["lonely".to_owned()]))
    );
    assert!(snapshot.is_counted_right());
}
