//! Each filter's hint.

use serde_json::{Value, json};

use super::*;

fn port(port: i32, address: &str) -> Value {
    json!({"containers": [{"name": "c", "ports": [{"containerPort": 1, "hostPort": port, "hostIP": address}]}]})
}

fn affinity(kind: &str, app: &str) -> Value {
    let term = json!({"labelSelector": {"matchLabels": {"app": app}}, "topologyKey": "zone"});
    json!({"affinity": {kind: {"requiredDuringSchedulingIgnoredDuringExecution": [term]}}})
}

/// A case by name: the pod, the node's fields, who is there, and the filter and hints that are wanted.
type Case = (&'static str, Value, Value, Vec<Pod>, &'static str, Vec<&'static str>);

fn there(name: &str, spec: &Value) -> Pod {
    made(name, Some("n"), spec, &json!({}))
}

fn node_cases() -> Vec<Case> {
    let none = || json!({});
    let required = |terms: Value| json!({"affinity": {"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": terms}}}});
    let expression = |key: &str, operator: &str, values: &[&str]| json!({"matchExpressions": [{"key": key, "operator": operator, "values": values}]});
    vec![
        (
            "another node by name",
            json!({"nodeName": "m"}),
            none(),
            vec![],
            "NodeName",
            vec!["ask for this node or none: spec.nodeName is m"],
        ),
        (
            "cordoned, with the taint of it",
            none(),
            json!({"spec.unschedulable": true, "spec.taints": [{"key": "node.kubernetes.io/unschedulable", "effect": "NoSchedule"}]}),
            vec![],
            "NodeUnschedulable",
            vec!["uncordon the node"],
        ),
        (
            "all taints, not only the first",
            none(),
            json!({"spec.taints": [
                {"key": "dedicated", "value": "gpu", "effect": "NoSchedule"},
                {"key": "soft", "effect": "PreferNoSchedule"},
                {"key": "node.kubernetes.io/not-ready", "effect": "NoExecute"},
            ]}),
            vec![],
            "TaintToleration",
            vec![
                "tolerate taint dedicated=gpu:NoSchedule",
                "wait until the node is well again, or tolerate taint node.kubernetes.io/not-ready:NoExecute",
            ],
        ),
        (
            "a selector",
            json!({"nodeSelector": {"disk": "ssd", "zone": "b"}}),
            none(),
            vec![],
            "NodeAffinity",
            vec![
                "add label disk=ssd to the node or drop the selector",
                "add label zone=b to the node (it has zone=a) or drop the selector",
            ],
        ),
        (
            "any of two terms",
            required(json!([
                expression("zone", "In", &["b", "c"]),
                expression("gpu", "Gt", &["2"])
            ])),
            none(),
            vec![],
            "NodeAffinity",
            vec!["label the node so that zone in (b,c) (it has zone=a), or gpu>2 or drop the node affinity"],
        ),
        (
            "a term that nothing satisfies",
            required(json!([{}])),
            none(),
            vec![],
            "NodeAffinity",
            vec!["drop the node affinity, which no node can satisfy"],
        ),
        (
            "every rule, not only the first",
            json!({"nodeSelector": {"disk": "ssd"}}),
            json!({"spec.unschedulable": true, "status.allocatable.cpu": "0"}),
            vec![],
            "NodeUnschedulable",
            vec![
                "uncordon the node",
                "add label disk=ssd to the node or drop the selector",
                "needs 500m more cpu: free 0 of 0, asked 500m (more than the whole node has)",
            ],
        ),
    ]
}

fn pod_cases() -> Vec<Case> {
    let none = || json!({});
    let spread = json!({"topologySpreadConstraints": [{
        "maxSkew": 1, "minDomains": 2, "topologyKey": "zone", "whenUnsatisfiable": "DoNotSchedule",
        "labelSelector": {"matchExpressions": [{"key": "app", "operator": "Exists"}]},
    }]});
    vec![
        (
            "too little cpu",
            none(),
            none(),
            vec![there("other", &cpu("1800m"))],
            "NodeResourcesFit",
            vec!["needs 300m more cpu: free 200m of 2, asked 500m"],
        ),
        (
            "over-committed already",
            none(),
            json!({"status.allocatable.memory": "1Mi"}),
            vec![there(
                "other",
                &json!({"containers": [{"name": "c", "resources": {"requests": {"memory": "3Mi"}}}]}),
            )],
            "NodeResourcesFit",
            vec!["needs 2Mi more memory: free -2Mi of 1Mi, asked 0"],
        ),
        (
            "as many pods as it may",
            none(),
            json!({"status.allocatable.pods": "1"}),
            vec![there("other", &cpu("0"))],
            "NodeResourcesFit",
            vec!["needs room for 1 more: runs 1 pods of 1"],
        ),
        (
            "a port",
            port(80, ""),
            none(),
            vec![there("web", &port(80, "10.0.0.1"))],
            "NodePorts",
            vec!["port 80/TCP is taken by default/web"],
        ),
        (
            "too many in the zone",
            spread.clone(),
            none(),
            vec![there("one", &none()), there("two", &none())],
            "PodTopologySpread",
            vec!["move 2 of the 2 pods like it out of zone=a (the emptiest has 0) or raise maxSkew from 1 to 3"],
        ),
        (
            "no zone",
            spread,
            json!({"metadata.labels": {}}),
            vec![],
            "PodTopologySpread",
            vec!["add label zone to the node or drop the constraint by it"],
        ),
        (
            "nobody near",
            affinity("podAffinity", "db"),
            none(),
            vec![],
            "InterPodAffinity",
            vec!["run app=db in default in zone=a or drop the pod affinity to it"],
        ),
        (
            "near nobody, for want of the label",
            affinity("podAffinity", "db"),
            json!({"metadata.labels": {}}),
            vec![],
            "InterPodAffinity",
            vec!["add label zone to the node or drop the constraint by it"],
        ),
        (
            "both want to be away",
            affinity("podAntiAffinity", "db"),
            none(),
            vec![there("db", &affinity("podAntiAffinity", "new"))],
            "InterPodAffinity",
            vec![
                "move default/db out of zone=a or drop the anti-affinity to app=db in default",
                "move default/db out of zone=a or drop its anti-affinity to app=new in default",
            ],
        ),
    ]
}

#[test]
fn every_filter_has_a_hint() {
    for (name, spec, fields, pods, filter, wanted) in node_cases().into_iter().chain(pod_cases()) {
        let mut asked = pod(&spec);
        // A pod that names its node is taken for placed; what the rule says is asked of the rule.
        let named = asked.spec.as_mut().and_then(|spec| spec.node_name.take());
        let world = world(&[node("n", &fields)], &pods);
        let explanation = match named {
            None => explain(&asked, &world, 1),
            Some(named) => {
                let mut explanation = explain(&asked, &world, 1);
                let mut pending = pending(&asked);
                pending.node_name = named;
                explanation.nodes = look_at_nodes(&pending, &mut world.snapshot.clone(), &world);
                explanation
            }
        };
        let refused = refused(&explanation, "n");
        let hints: Vec<String> = refused.changes.iter().map(ToString::to_string).collect();
        assert_eq!(hints, wanted, "{name}");
        assert_eq!(refused.filter, filter, "{name}");
    }
}
