//! Tables of the kinds that have little to tell.

use serde_json::{Value, json};

use super::{AGE, NAME, Table, column, count, created, name, text};

pub(in crate::object) const NAMESPACES: Table = Table {
    columns: &[
        NAME,
        column("Status", "string", "Whether the namespace is in use or being emptied."),
        AGE,
    ],
    row: |object, now| {
        vec![
            name(object),
            json!(text(object, "/status/phase").unwrap_or("")),
            created(object, now),
        ]
    },
};

pub(in crate::object) const CONFIG_MAPS: Table = Table {
    columns: &[
        NAME,
        column(
            "Data",
            "string",
            "How many keys it has, of data and binaryData together.",
        ),
        AGE,
    ],
    row: |object, now| {
        let keys = count(object, "/data") + count(object, "/binaryData");
        vec![name(object), json!(keys), created(object, now)]
    },
};

pub(in crate::object) const SECRETS: Table = Table {
    columns: &[
        NAME,
        column("Type", "string", "What the secret is for; says which keys it has."),
        column("Data", "string", "How many keys it has."),
        AGE,
    ],
    row: |object, now| {
        let kind = text(object, "/type").unwrap_or("");
        vec![
            name(object),
            json!(kind),
            json!(count(object, "/data")),
            created(object, now),
        ]
    },
};

pub(in crate::object) const SERVICE_ACCOUNTS: Table = Table {
    columns: &[
        NAME,
        column("Secrets", "string", "How many secrets pods of this account may use."),
        AGE,
    ],
    row: |object, now| vec![name(object), json!(count(object, "/secrets")), created(object, now)],
};

pub(in crate::object) const PRIORITY_CLASSES: Table = Table {
    columns: &[
        NAME,
        column(
            "Value",
            "integer",
            "The priority of pods of this class; higher goes first.",
        ),
        column(
            "Global-Default",
            "boolean",
            "Whether pods that name no class are of this one.",
        ),
        AGE,
        column(
            "PreemptionPolicy",
            "string",
            "Whether pods of this class push lesser ones off a node.",
        ),
    ],
    row: |object, now| {
        let value = object.get("value").and_then(Value::as_i64).unwrap_or(0);
        let default = object.get("globalDefault").and_then(Value::as_bool).unwrap_or(false);
        let policy = text(object, "/preemptionPolicy").unwrap_or("");
        vec![
            name(object),
            json!(value),
            json!(default),
            created(object, now),
            json!(policy),
        ]
    },
};

pub(in crate::object) const LEASES: Table = Table {
    columns: &[NAME, column("Holder", "string", "Who holds the lease."), AGE],
    row: |object, now| {
        let holder = text(object, "/spec/holderIdentity").unwrap_or("");
        vec![name(object), json!(holder), created(object, now)]
    },
};

pub(in crate::object) const POD_DISRUPTION_BUDGETS: Table = Table {
    columns: &[
        NAME,
        column("Min Available", "string", "How many pods must stay ready."),
        column("Max Unavailable", "string", "How many pods may be down."),
        column(
            "Allowed Disruptions",
            "integer",
            "How many pods may be evicted now, as last counted.",
        ),
        AGE,
    ],
    row: |object, now| {
        let amount = |pointer: &str| match object.pointer(pointer) {
            Some(Value::String(text)) => json!(text),
            Some(Value::Number(number)) => json!(number.to_string()),
            _ => json!("N/A"),
        };
        let allowed = object.pointer("/status/disruptionsAllowed").and_then(Value::as_i64);
        vec![
            name(object),
            amount("/spec/minAvailable"),
            amount("/spec/maxUnavailable"),
            json!(allowed.unwrap_or(0)),
            created(object, now),
        ]
    },
};

pub(in crate::object) const SOURCES: Table = Table {
    columns: &[
        NAME,
        column("Source", "string", "What is followed."),
        column("Revision", "string", "What was last applied."),
        column("Objects", "integer", "How many objects it owns."),
        column("Ready", "string", "Whether the last sync did all that the source says."),
        AGE,
    ],
    row: |object, now| {
        let source = text(object, "/spec/source").unwrap_or("");
        let revision = text(object, "/status/revision").unwrap_or("");
        let objects = object.pointer("/status/objects").and_then(Value::as_i64).unwrap_or(0);
        let conditions = object.pointer("/status/conditions").and_then(Value::as_array);
        let ready = conditions.into_iter().flatten().find(|one| one["type"] == "Ready");
        let ready = ready.and_then(|one| one["status"].as_str()).unwrap_or("Unknown");
        vec![
            name(object),
            json!(source),
            json!(revision.get(..SHORT_REVISION).unwrap_or(revision)),
            json!(objects),
            json!(ready),
            created(object, now),
        ]
    },
};

/// How much of a hash git shows by default.
const SHORT_REVISION: usize = 7;

#[cfg(test)]
mod tests {
    use super::super::{columns, row};
    use super::*;
    use crate::object::Kind;

    #[test]
    fn rows() {
        let now = "2020-01-01T00:01:00Z".parse().unwrap();
        let meta = json!({"name": "a", "creationTimestamp": "2020-01-01T00:00:00Z"});
        for (plural, object, wanted) in [
            (
                "namespaces",
                json!({"status": {"phase": "Active"}}),
                json!(["a", "Active", "60s"]),
            ),
            (
                "configmaps",
                json!({"data": {"a": "", "b": ""}, "binaryData": {"c": ""}}),
                json!(["a", 3, "60s"]),
            ),
            (
                "secrets",
                json!({"data": {"a": ""}, "type": "Opaque"}),
                json!(["a", "Opaque", 1, "60s"]),
            ),
            ("serviceaccounts", json!({"secrets": [{}]}), json!(["a", 1, "60s"])),
            (
                "priorityclasses",
                json!({"value": 7, "preemptionPolicy": "Never"}),
                json!(["a", 7, false, "60s", "Never"]),
            ),
            (
                "leases",
                json!({"spec": {"holderIdentity": "h"}}),
                json!(["a", "h", "60s"]),
            ),
            (
                "poddisruptionbudgets",
                json!({"spec": {"minAvailable": 0}, "status": {"disruptionsAllowed": 3}}),
                json!(["a", "0", "N/A", 3, "60s"]),
            ),
            (
                "poddisruptionbudgets",
                json!({"spec": {"maxUnavailable": "30%"}}),
                json!(["a", "N/A", "30%", 0, "60s"]),
            ),
            (
                "nodes",
                json!({
                    "metadata": {"labels": {"node-role.kubernetes.io/b": "", "kubernetes.io/role": "a"}},
                    "spec": {"unschedulable": true},
                    "status": {
                        "conditions": [{"type": "Ready", "status": "True"}],
                        "addresses": [{"type": "InternalIP", "address": "10.0.0.1"}],
                        "nodeInfo": {"kubeletVersion": "v1", "osImage": "o", "kernelVersion": "k"},
                    },
                }),
                json!([
                    "a",
                    "Ready,SchedulingDisabled",
                    "a,b",
                    "60s",
                    "v1",
                    "10.0.0.1",
                    "<none>",
                    "o",
                    "k",
                    "<unknown>"
                ]),
            ),
            (
                "nodes",
                json!({"status": {"conditions": [{"type": "Ready", "status": "Unknown"}]}}),
                json!([
                    "a",
                    "NotReady",
                    "<none>",
                    "60s",
                    "",
                    "<none>",
                    "<none>",
                    "<unknown>",
                    "<unknown>",
                    "<unknown>"
                ]),
            ),
            (
                "events",
                json!({
                    "involvedObject": {"kind": "Pod", "name": "p", "fieldPath": "spec.containers{c}"}, "type": "Normal",
                    "reason": "Pulled", "message": " m\n", "source": {"component": "kubelet", "host": "n"}, "count": 3,
                    "firstTimestamp": "2020-01-01T00:00:10Z", "lastTimestamp": "2020-01-01T00:00:50Z",
                }),
                json!([
                    "10s",
                    "Normal",
                    "Pulled",
                    "pod/p",
                    "spec.containers{c}",
                    "kubelet, n",
                    "m",
                    "50s",
                    3,
                    "a"
                ]),
            ),
            (
                "events",
                json!({
                    "involvedObject": {"kind": "Node"}, "eventTime": "2020-01-01T00:00:10.000000Z",
                    "reportingComponent": "x", "reportingInstance": "y",
                    "series": {"count": 5, "lastObservedTime": "2020-01-01T00:00:20.000000Z"},
                }),
                json!(["40s", "", "", "node", "", "x, y", "", "50s", 5, "a"]),
            ),
        ] {
            let kind = Kind::all().iter().find(|kind| kind.plural == plural).unwrap();
            let mut object = object;
            for (key, value) in meta.as_object().unwrap() {
                object["metadata"][key] = value.clone();
            }
            let cells = row(kind, &object, now);
            assert_eq!(Value::from(cells.clone()), wanted, "{plural}");
            assert_eq!(columns(kind).len(), cells.len(), "{plural}");
        }
    }
}
