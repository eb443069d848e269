//! Which pods nobody will ever finish off. Pure.

use std::time::{Duration, Instant};

use super::world::{PodView, World};

/// How long a node must have been missing before its pods go: it may just not have been seen yet.
pub const QUARANTINE: Duration = Duration::from_secs(40);
/// How many finished pods are kept for people to look at: Kubernetes' default.
pub const FINISHED_KEPT: usize = 12_500;

/// Pods to delete at once, without grace: no kubelet will ever confirm their end.
#[derive(Debug, Default)]
pub struct Collected<'a> {
    /// They are on a node that does not exist.
    pub orphans: Vec<&'a PodView>,
    /// They were being deleted before they had a node.
    pub never_placed: Vec<&'a PodView>,
    /// The oldest finished ones, beyond those kept.
    pub finished: Vec<&'a PodView>,
}

/// What to collect now.
pub fn collect(world: &World, now: Instant, quarantine: Duration, kept: usize) -> Collected<'_> {
    let long_missing = world.missing_nodes().filter(|(_, since)| *since + quarantine <= now);
    let surplus = world.finished().len().saturating_sub(kept);
    Collected {
        orphans: long_missing.flat_map(|(node, _)| world.pods_on(node)).collect(),
        never_placed: world.unbound().filter(|pod| pod.deleting).collect(),
        finished: world
            .finished()
            .take(surplus)
            .filter_map(|uid| world.pod(uid))
            .collect(),
    }
}

/// When there will be more to collect, as long as nothing else happens.
pub fn next_due(world: &World, now: Instant, quarantine: Duration) -> Option<Instant> {
    world
        .missing_nodes()
        .map(|(_, since)| since + quarantine)
        .filter(|due| *due > now)
        .min()
}

#[cfg(test)]
mod tests {
    use super::*;
    use k8s_openapi::jiff::Timestamp;
    use serde_json::json;

    fn pod(name: &str, node: &str, phase: &str, created: i64, deleting: bool) -> PodView {
        let time = Timestamp::from_second(created).expect("a time").to_string();
        let pod = json!({
            "metadata": {"name": name, "uid": name, "creationTimestamp": time, "deletionTimestamp": deleting.then_some(&time)},
            "spec": {"containers": [], "nodeName": node},
            "status": {"phase": phase},
        });
        PodView::read(&serde_json::from_value(pod).expect("a pod"))
    }

    fn names(pods: &[&PodView]) -> Vec<String> {
        let mut names: Vec<String> = pods.iter().map(|pod| pod.name.clone()).collect();
        names.sort();
        names
    }

    #[test]
    fn only_what_nobody_will_finish_off_is_collected() {
        let start = Instant::now();
        let mut world = World::default();
        let node = serde_json::from_value(json!({"metadata": {"name": "here"}})).expect("a node");
        world.node_changed(node, start, Timestamp::UNIX_EPOCH);
        for pod in [
            pod("runs", "here", "Running", 1, false),
            pod("going", "here", "Running", 1, true),
            pod("lost", "gone", "Running", 1, false),
            pod("waits", "", "Pending", 1, false),
            pod("given-up", "", "Pending", 1, true),
            pod("old", "here", "Succeeded", 1, false),
            pod("older", "here", "Failed", 0, false),
            pod("new", "here", "Succeeded", 2, false),
        ] {
            world.pod_changed(pod, start);
        }
        let early = collect(&world, start, QUARANTINE, 1);
        assert!(early.orphans.is_empty(), "the node may still come");
        assert_eq!(names(&early.never_placed), ["given-up"]);
        assert_eq!(names(&early.finished), ["old", "older"]);
        assert_eq!(next_due(&world, start, QUARANTINE), Some(start + QUARANTINE));
        let late = collect(&world, start + QUARANTINE, QUARANTINE, 3);
        assert_eq!(names(&late.orphans), ["lost"]);
        assert!(late.finished.is_empty());
    }
}
