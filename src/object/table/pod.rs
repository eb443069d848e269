//! What `kubectl get pods` shows: one word for all that a pod's containers go through.

use jiff::Timestamp;
use serde_json::{Value, json};

use super::{AGE, Column, NAME, NONE, Table, age, column, created, items, name, text, text_or_none, wide};

pub(in crate::object) const PODS: Table = Table {
    columns: &[
        NAME,
        column(
            "Ready",
            "string",
            "The aggregate readiness state of this pod for accepting traffic.",
        ),
        column(
            "Status",
            "string",
            "The aggregate status of the containers in this pod.",
        ),
        column(
            "Restarts",
            "integer",
            "The number of times the containers in this pod have been restarted.",
        ),
        AGE,
        wide(
            "IP",
            "IP address allocated to the pod. Routable at least within the cluster. Empty if not yet allocated.",
        ),
        NODE,
        NOMINATED,
        GATES,
    ],
    row: |object, now| {
        let summary = Summary::of(object);
        vec![
            name(object),
            json!(format!("{}/{}", summary.ready, summary.containers)),
            json!(summary.reason),
            summary.restarts(now),
            created(object, now),
            json!(
                text(object, "/status/podIPs/0/ip")
                    .or_else(|| text(object, "/status/podIP"))
                    .unwrap_or(NONE)
            ),
            text_or_none(object, "/spec/nodeName"),
            text_or_none(object, "/status/nominatedNodeName"),
            json!(gates(object)),
        ]
    },
};

const NODE: Column = wide(
    "Node",
    "NodeName is a request to schedule this pod onto a specific node. If it is non-empty, the scheduler simply schedules \
     this pod onto that node, assuming that it fits resource requirements.",
);

const NOMINATED: Column = wide(
    "Nominated Node",
    "nominatedNodeName is set only when this pod preempts other pods on the node, but it cannot be scheduled right away as \
     preemption victims receive their graceful termination periods. This field does not guarantee that the pod will be \
     scheduled on this node. Scheduler may decide to place the pod elsewhere if other nodes become available sooner. \
     Scheduler may also decide to give the resources on this node to a higher priority pod that is created after \
     preemption. As a result, this field may be different than PodSpec.nodeName when the pod is scheduled.",
);

const GATES: Column = wide(
    "Readiness Gates",
    "If specified, all readiness gates will be evaluated for pod readiness. A pod is ready when all its containers are \
     ready AND all conditions specified in the readiness gates have status equal to \"True\" More info: \
     https://git.k8s.io/enhancements/keps/sig-network/0007-pod-ready%2B%2B.md",
);

/// How many of the gates are open.
fn gates(pod: &Value) -> String {
    let gates = items(pod, "/spec/readinessGates");
    let open = gates
        .iter()
        .filter(|gate| text(gate, "/conditionType").is_some_and(|kind| is_true(pod, kind)))
        .count();
    if gates.is_empty() {
        NONE.to_owned()
    } else {
        format!("{open}/{}", gates.len())
    }
}

fn is_true(pod: &Value, condition: &str) -> bool {
    items(pod, "/status/conditions")
        .iter()
        .any(|known| known["type"] == condition && known["status"] == "True")
}

/// An init container that keeps running beside the others.
fn is_sidecar(pod: &Value, container: &Value) -> bool {
    let containers = items(pod, "/spec/initContainers");
    containers
        .iter()
        .any(|known| known["name"] == container["name"] && known["restartPolicy"] == "Always")
}

/// All containers in a few words.
struct Summary<'a> {
    containers: usize,
    ready: usize,
    reason: String,
    restarts: i64,
    last_restart: Option<&'a str>,
}

impl<'a> Summary<'a> {
    fn of(pod: &'a Value) -> Self {
        let sidecars = items(pod, "/spec/initContainers")
            .iter()
            .filter(|container| is_sidecar(pod, container))
            .count();
        let phase = text(pod, "/status/phase").unwrap_or("");
        let gated = items(pod, "/status/conditions")
            .iter()
            .any(|condition| condition["type"] == "PodScheduled" && condition["reason"] == "SchedulingGated");
        let reason = if gated {
            "SchedulingGated"
        } else {
            text(pod, "/status/reason").unwrap_or(phase)
        };
        let mut summary = Self {
            containers: items(pod, "/spec/containers").len() + sidecars,
            ready: 0,
            reason: reason.to_owned(),
            restarts: 0,
            last_restart: None,
        };
        if !summary.initializing(pod) || is_true(pod, "Initialized") {
            summary.running(pod);
        }
        if pod
            .pointer("/metadata/deletionTimestamp")
            .is_some_and(|time| !time.is_null())
        {
            if text(pod, "/status/reason") == Some("NodeLost") {
                summary.reason = "Unknown".to_owned();
            } else if !matches!(phase, "Succeeded" | "Failed") {
                summary.reason = "Terminating".to_owned();
            }
        }
        summary
    }

    /// Looks at the init containers until one that is not done; says whether there is one.
    fn initializing(&mut self, pod: &'a Value) -> bool {
        for (index, container) in items(pod, "/status/initContainerStatuses").iter().enumerate() {
            self.count_restarts(container);
            let terminated = container.pointer("/state/terminated").filter(|state| !state.is_null());
            if terminated.is_some_and(|state| exit_code(state) == 0) {
                continue;
            }
            if is_sidecar(pod, container) && container["started"] == true {
                self.ready += usize::from(container["ready"] == true);
                continue;
            }
            let waiting = text(container, "/state/waiting/reason").filter(|reason| *reason != "PodInitializing");
            self.reason = match (terminated, waiting) {
                (Some(state), _) => format!("Init:{}", ended(state)),
                (None, Some(reason)) => format!("Init:{reason}"),
                (None, None) => format!("Init:{index}/{}", items(pod, "/spec/initContainers").len()),
            };
            return true;
        }
        false
    }

    /// Looks at the containers; the first one's reason counts most, so it comes last.
    fn running(&mut self, pod: &'a Value) {
        (self.restarts, self.last_restart) = (0, None);
        let init = items(pod, "/status/initContainerStatuses").iter();
        init.filter(|container| is_sidecar(pod, container))
            .for_each(|container| self.count_restarts(container));
        let mut any_running = false;
        for container in items(pod, "/status/containerStatuses").iter().rev() {
            self.count_restarts(container);
            let state = |name: &str| {
                container
                    .pointer(&format!("/state/{name}"))
                    .filter(|state| !state.is_null())
            };
            if let Some(reason) = text(container, "/state/waiting/reason") {
                self.reason = reason.to_owned();
            } else if let Some(terminated) = state("terminated") {
                self.reason = ended(terminated);
            } else if container["ready"] == true && state("running").is_some() {
                any_running = true;
                self.ready += 1;
            }
        }
        if self.reason == "Completed" && any_running {
            let reason = if is_true(pod, "Ready") { "Running" } else { "NotReady" };
            self.reason = reason.to_owned();
        }
    }

    fn count_restarts(&mut self, container: &'a Value) {
        self.restarts += container["restartCount"].as_i64().unwrap_or(0);
        // Times of one form and zone: their order is that of their texts.
        self.last_restart = self
            .last_restart
            .max(text(container, "/lastState/terminated/finishedAt"));
    }

    /// The number; with when it last happened, where that is known.
    fn restarts(&self, now: Timestamp) -> Value {
        match self.last_restart {
            Some(time) if self.restarts != 0 => json!(format!("{} ({} ago)", self.restarts, age(Some(time), now))),
            _ => json!(self.restarts),
        }
    }
}

fn exit_code(terminated: &Value) -> i64 {
    terminated["exitCode"].as_i64().unwrap_or(0)
}

/// Why a container ended.
fn ended(terminated: &Value) -> String {
    match (text(terminated, "/reason"), terminated["signal"].as_i64().unwrap_or(0)) {
        (Some(reason), _) => reason.to_owned(),
        (None, 0) => format!("ExitCode:{}", exit_code(terminated)),
        (None, signal) => format!("Signal:{signal}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn later_versions_rows() {
        let now = "2020-01-01T00:10:00Z".parse().unwrap();
        let restarted = json!({"containerStatuses": [{"name": "c", "ready": true, "restartCount": 3, "state": {"running": {}},
            "lastState": {"terminated": {"exitCode": 1, "finishedAt": "2020-01-01T00:05:00Z"}}}], "phase": "Running"});
        let sidecar =
            json!({"initContainers": [{"name": "s", "restartPolicy": "Always"}], "containers": [{"name": "c"}]});
        for (name, pod, wanted) in [
            (
                "restarted",
                json!({"spec": {"containers": [{}]}, "status": restarted}),
                ["1/1", "Running", "3 (5m ago)"],
            ),
            (
                "deleted",
                json!({"metadata": {"deletionTimestamp": "2020-01-01T00:00:00Z"}, "spec": {"containers": [{}]},
                "status": restarted}),
                ["1/1", "Terminating", "3 (5m ago)"],
            ),
            (
                "deleted when done",
                json!({"metadata": {"deletionTimestamp": "2020-01-01T00:00:00Z"},
                "status": {"phase": "Succeeded"}}),
                ["0/0", "Succeeded", "0"],
            ),
            (
                "gated",
                json!({"status": {"phase": "Pending", "conditions": [{"type": "PodScheduled", "status": "False",
                "reason": "SchedulingGated"}]}}),
                ["0/0", "SchedulingGated", "0"],
            ),
            (
                "sidecar",
                json!({"spec": sidecar, "status": {"phase": "Running",
                "initContainerStatuses": [{"name": "s", "ready": true, "started": true, "restartCount": 2, "state": {"running": {}}}],
                "containerStatuses": [{"name": "c", "ready": true, "restartCount": 0, "state": {"running": {}}}]}}),
                ["2/2", "Running", "2"],
            ),
        ] {
            let cells = (PODS.row)(&pod, now);
            let shown: Vec<String> = cells[1..4]
                .iter()
                .map(|cell| cell.to_string().replace('"', ""))
                .collect();
            assert_eq!(shown, wanted, "{name}");
        }
    }
}
