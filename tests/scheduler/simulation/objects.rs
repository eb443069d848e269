//! The nodes and pods of the made-up world.

use k8s_openapi::api::core::v1::{Node, Pod};
use serde_json::json;

use crate::scheduler::harness::from;

/// What a node is like.
#[derive(Clone, Copy, Debug)]
pub struct Shape {
    pub cpu_millis: i64,
    pub memory_gi: i64,
    pub storage_gi: i64,
    pub gpus: i64,
    pub pods: usize,
    pub cordoned: bool,
    /// Only those that tolerate it may come.
    pub tainted: bool,
    /// Has a label that some pods ask for, and the image.
    pub fast: bool,
}

/// What a pod is like.
#[derive(Clone, Copy, Debug)]
pub struct Wish {
    pub cpu_millis: i64,
    pub memory_gi: i64,
    pub storage_gi: i64,
    pub gpus: i64,
    /// A host port, whether of UDP, and whether of one address only.
    pub port: Option<(i32, bool, bool)>,
    pub priority: i32,
    /// Keeps away from pods of its own kind.
    pub lonely: bool,
    /// Wants a fast node.
    pub choosy: bool,
    /// Stands the taint.
    pub tolerant: bool,
}

pub fn name(index: usize) -> String {
    format!("node-{index}")
}

pub fn node(name: &str, shape: &Shape) -> Node {
    let zone = if name.ends_with(['0', '2']) { "even" } else { "odd" };
    let labels = json!({
        "kubernetes.io/hostname": name, "zone": zone, "disk": if shape.fast { "fast" } else { "slow" },
    });
    let taints = shape
        .tainted
        .then(|| json!([{"key": "dedicated", "value": "db", "effect": "NoSchedule"}]));
    let images = shape
        .fast
        .then(|| json!([{"names": ["i:latest"], "sizeBytes": 300_000_000}]));
    from(json!({
        "metadata": {"name": name, "labels": labels},
        "spec": {"unschedulable": shape.cordoned, "taints": taints},
        "status": {
            "allocatable": {
                "cpu": format!("{}m", shape.cpu_millis),
                "memory": format!("{}Gi", shape.memory_gi),
                "ephemeral-storage": format!("{}Gi", shape.storage_gi),
                "example.com/gpu": shape.gpus.to_string(),
                "pods": shape.pods.to_string(),
            },
            "images": images,
        },
    }))
}

pub fn pod(uid: &str, wish: &Wish) -> Pod {
    let port = wish.port.map(|(port, udp, local)| {
        let protocol = if udp { "UDP" } else { "TCP" };
        let address = local.then_some("127.0.0.1");
        json!([{"containerPort": 80, "hostPort": port, "protocol": protocol, "hostIP": address}])
    });
    let requests = json!({
        "cpu": format!("{}m", wish.cpu_millis),
        "memory": format!("{}Gi", wish.memory_gi),
        "ephemeral-storage": format!("{}Gi", wish.storage_gi),
        "example.com/gpu": wish.gpus.to_string(),
    });
    let mut spec = json!({
        "priority": wish.priority,
        "containers": [{"name": "c", "image": "i", "ports": port, "resources": {"requests": requests}}],
    });
    if wish.lonely {
        let term = json!({"labelSelector": {"matchLabels": {"lonely": "yes"}}, "topologyKey": "zone"});
        spec["affinity"]["podAntiAffinity"]["requiredDuringSchedulingIgnoredDuringExecution"] = json!([term]);
    }
    if wish.choosy {
        spec["nodeSelector"] = json!({"disk": "fast"});
    }
    if wish.tolerant {
        spec["tolerations"] = json!([{"key": "dedicated", "operator": "Exists"}]);
    }
    let labels = json!({"lonely": if wish.lonely { "yes" } else { "no" }});
    let metadata = json!({"name": uid, "namespace": "default", "uid": uid, "labels": labels});
    from(json!({"metadata": metadata, "spec": spec}))
}
