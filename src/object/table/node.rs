//! What `kubectl get nodes` shows.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::{AGE, NAME, NONE, Table, column, created, items, name, text, wide};

pub(in crate::object) const NODES: Table = Table {
    columns: &[
        NAME,
        column(
            "Status",
            "string",
            "Whether the node is ready for pods, and whether new ones may come.",
        ),
        column("Roles", "string", "The roles that its labels give it."),
        AGE,
        column("Version", "string", "The version of its kubelet."),
        wide("Internal-IP", "Its address within the cluster."),
        wide("External-IP", "Its address from outside."),
        wide("OS-Image", "Its operating system."),
        wide("Kernel-Version", "The version of its kernel."),
        wide("Container-Runtime", "What runs its containers, and the version of it."),
    ],
    row: |object, now| {
        let info =
            |field: &str, missing: &str| json!(text(object, &format!("/status/nodeInfo/{field}")).unwrap_or(missing));
        vec![
            name(object),
            json!(status(object)),
            json!(roles(object)),
            created(object, now),
            info("kubeletVersion", ""),
            json!(address(object, "InternalIP")),
            json!(address(object, "ExternalIP")),
            info("osImage", "<unknown>"),
            info("kernelVersion", "<unknown>"),
            info("containerRuntimeVersion", "<unknown>"),
        ]
    },
};

fn status(node: &Value) -> String {
    let ready = items(node, "/status/conditions")
        .iter()
        .find(|condition| condition["type"] == "Ready");
    let ready = match ready {
        Some(condition) if condition["status"] == "True" => "Ready",
        Some(_) => "NotReady",
        None => "Unknown",
    };
    match node.pointer("/spec/unschedulable") {
        Some(Value::Bool(true)) => format!("{ready},SchedulingDisabled"),
        _ => ready.to_owned(),
    }
}

fn roles(node: &Value) -> String {
    let labels = node.pointer("/metadata/labels").and_then(Value::as_object);
    let roles: BTreeSet<&str> = labels
        .into_iter()
        .flatten()
        .filter_map(|(key, value)| match key.strip_prefix("node-role.kubernetes.io/") {
            Some(role) => Some(role),
            None if key == "kubernetes.io/role" => value.as_str(),
            None => None,
        })
        .filter(|role| !role.is_empty())
        .collect();
    if roles.is_empty() {
        NONE.to_owned()
    } else {
        roles.into_iter().collect::<Vec<_>>().join(",")
    }
}

fn address<'a>(node: &'a Value, kind: &str) -> &'a str {
    let addresses = items(node, "/status/addresses");
    addresses
        .iter()
        .find(|address| address["type"] == kind)
        .and_then(|address| text(address, "/address"))
        .unwrap_or(NONE)
}
