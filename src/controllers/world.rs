//! The nodes and pods as the controllers see them. Pure; keeps little of each, as there may be many.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Instant;

use k8s_openapi::api::coordination::v1::Lease;
use k8s_openapi::api::core::v1::{Node, Pod, Toleration};
use k8s_openapi::jiff::Timestamp;

use crate::object::taint::NO_EXECUTE;

/// Tells a pod from an earlier one of its name.
pub type Uid = Arc<str>;

/// A node and its last sign of life.
#[derive(Clone, Debug)]
pub struct NodeView {
    /// Its metadata, spec and conditions, and nothing large.
    pub node: Node,
    /// When it was last seen to renew its lease or its Ready condition, by our own clock.
    pub seen: Instant,
    /// The sign of life itself, to tell the next one from.
    pulse: Pulse,
}

/// What changes when a kubelet is alive.
#[derive(Clone, Debug, Default, PartialEq)]
struct Pulse {
    lease: Option<Timestamp>,
    heartbeat: Option<Timestamp>,
}

/// A pod.
#[derive(Clone, Debug, PartialEq)]
pub struct PodView {
    /// Its uid.
    pub uid: Uid,
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// Its node, if it has one.
    pub node: Option<String>,
    /// Whether it has succeeded or failed.
    pub finished: bool,
    /// Whether its deletion has begun.
    pub deleting: bool,
    /// When it was created.
    pub created: Timestamp,
    /// Which taints it stands, and for how long.
    pub tolerations: Vec<Toleration>,
}

/// Everything the controllers know.
#[derive(Debug, Default)]
pub struct World {
    nodes: BTreeMap<String, NodeView>,
    pods: HashMap<Uid, PodView>,
    /// Pods by node; those without one under the empty name.
    by_node: BTreeMap<String, BTreeSet<Uid>>,
    /// Finished pods, oldest first.
    finished: BTreeSet<(Timestamp, Uid)>,
    /// Leases of nodes that are not known yet.
    leases: HashMap<String, Timestamp>,
    /// Since when pods name a node that does not exist.
    missing: HashMap<String, Instant>,
}

impl World {
    /// The nodes.
    pub fn nodes(&self) -> impl Iterator<Item = &NodeView> {
        self.nodes.values()
    }

    /// The node of that name.
    pub fn node(&self, name: &str) -> Option<&NodeView> {
        self.nodes.get(name)
    }

    /// The pods on that node.
    pub fn pods_on(&self, node: &str) -> impl Iterator<Item = &PodView> {
        self.by_node
            .get(node)
            .into_iter()
            .flatten()
            .filter_map(|uid| self.pods.get(uid))
    }

    /// The pods without a node.
    pub fn unbound(&self) -> impl Iterator<Item = &PodView> {
        self.pods_on("")
    }

    /// Finished pods, oldest first.
    pub fn finished(&self) -> impl ExactSizeIterator<Item = &Uid> {
        self.finished.iter().map(|(_, uid)| uid)
    }

    /// The pod of that uid.
    pub fn pod(&self, uid: &str) -> Option<&PodView> {
        self.pods.get(uid)
    }

    /// The nodes that pods name and that do not exist, and since when.
    pub fn missing_nodes(&self) -> impl Iterator<Item = (&str, Instant)> {
        self.missing.iter().map(|(name, since)| (name.as_str(), *since))
    }

    /// Takes in a node that is new or changed.
    pub fn node_changed(&mut self, mut node: Node, now: Instant, wall: Timestamp) {
        let name = node.metadata.name.clone().unwrap_or_default();
        self.missing.remove(&name);
        let before = self.nodes.remove(&name);
        date_taints(&mut node, before.as_ref(), wall);
        let pulse = Pulse {
            lease: self.leases.get(&name).copied(),
            heartbeat: ready_heartbeat(&node),
        };
        let seen = before
            .filter(|before| before.pulse == pulse)
            .map_or(now, |before| before.seen);
        self.nodes.insert(name, NodeView { node, seen, pulse });
    }

    /// Forgets a node.
    pub fn node_gone(&mut self, name: &str, now: Instant) {
        self.nodes.remove(name);
        if self.by_node.contains_key(name) {
            self.missing.insert(name.to_owned(), now);
        }
    }

    /// Takes in a node's lease.
    pub fn lease_changed(&mut self, lease: &Lease, now: Instant) {
        let name = lease.metadata.name.clone().unwrap_or_default();
        let renewed = lease
            .spec
            .as_ref()
            .and_then(|spec| spec.renew_time.as_ref())
            .map(|time| time.0);
        if let Some(view) = self.nodes.get_mut(&name)
            && view.pulse.lease != renewed
        {
            view.pulse.lease = renewed;
            view.seen = now;
        }
        match renewed {
            Some(renewed) => self.leases.insert(name, renewed),
            None => self.leases.remove(&name),
        };
    }

    /// Notes a sign of life that came by another way than the watches.
    pub fn node_lives(&mut self, name: &str, now: Instant) {
        if let Some(view) = self.nodes.get_mut(name) {
            view.seen = now;
        }
    }

    /// Forgets a node's lease; that alone is no sign of death.
    pub fn lease_gone(&mut self, name: &str) {
        self.leases.remove(name);
    }

    /// Takes in a pod that is new or changed.
    pub fn pod_changed(&mut self, pod: PodView, now: Instant) {
        self.pod_gone(&pod.uid);
        let node = pod.node.clone().unwrap_or_default();
        if !node.is_empty() && !self.nodes.contains_key(&node) {
            self.missing.entry(node.clone()).or_insert(now);
        }
        self.by_node.entry(node).or_default().insert(pod.uid.clone());
        if pod.finished {
            self.finished.insert((pod.created, pod.uid.clone()));
        }
        self.pods.insert(pod.uid.clone(), pod);
    }

    /// Forgets a pod.
    pub fn pod_gone(&mut self, uid: &str) {
        let Some((uid, pod)) = self.pods.remove_entry(uid) else {
            return;
        };
        let node = pod.node.unwrap_or_default();
        if let Some(pods) = self.by_node.get_mut(&node) {
            pods.remove(&uid);
            if pods.is_empty() {
                self.by_node.remove(&node);
                self.missing.remove(&node);
            }
        }
        self.finished.remove(&(pod.created, uid));
    }

    /// Forgets every node that a complete list did not have.
    pub fn keep_nodes(&mut self, listed: &BTreeSet<String>, now: Instant) {
        let gone: Vec<String> = self
            .nodes
            .keys()
            .filter(|name| !listed.contains(*name))
            .cloned()
            .collect();
        for name in gone {
            self.node_gone(&name, now);
        }
    }

    /// Forgets every pod that a complete list did not have.
    pub fn keep_pods(&mut self, listed: &BTreeSet<Uid>) {
        let gone: Vec<Uid> = self.pods.keys().filter(|uid| !listed.contains(*uid)).cloned().collect();
        for uid in gone {
            self.pod_gone(&uid);
        }
    }
}

impl PodView {
    /// What the controllers keep of a pod.
    pub fn read(pod: &Pod) -> Self {
        let metadata = &pod.metadata;
        let spec = pod.spec.as_ref();
        let phase = pod.status.as_ref().and_then(|status| status.phase.as_deref());
        Self {
            uid: metadata.uid.as_deref().unwrap_or_default().into(),
            namespace: metadata.namespace.clone().unwrap_or_default(),
            name: metadata.name.clone().unwrap_or_default(),
            node: spec
                .and_then(|spec| spec.node_name.clone())
                .filter(|name| !name.is_empty()),
            finished: matches!(phase, Some("Succeeded" | "Failed")),
            deleting: metadata.deletion_timestamp.is_some(),
            created: metadata
                .creation_timestamp
                .as_ref()
                .map_or(Timestamp::UNIX_EPOCH, |time| time.0),
            tolerations: spec.and_then(|spec| spec.tolerations.clone()).unwrap_or_default(),
        }
    }
}

/// Leaves of a node only what the controllers look at.
pub fn strip(node: &mut Node) {
    node.metadata.managed_fields = None;
    node.metadata.annotations = None;
    node.metadata.labels = None;
    if let Some(status) = &mut node.status {
        status.images = None;
        status.node_info = None;
        status.addresses = None;
        status.capacity = None;
        status.allocatable = None;
    }
}

/// Taints set by hand carry no time; pods' patience with them starts when they are first seen.
fn date_taints(node: &mut Node, before: Option<&NodeView>, wall: Timestamp) {
    let known = before
        .and_then(|view| view.node.spec.as_ref())
        .and_then(|spec| spec.taints.as_deref());
    let Some(taints) = node.spec.as_mut().and_then(|spec| spec.taints.as_mut()) else {
        return;
    };
    for taint in taints
        .iter_mut()
        .filter(|taint| taint.effect == NO_EXECUTE && taint.time_added.is_none())
    {
        let same = known
            .unwrap_or_default()
            .iter()
            .find(|known| known.key == taint.key && known.value == taint.value && known.effect == taint.effect);
        let since = same
            .and_then(|known| known.time_added.as_ref())
            .map_or(wall, |time| time.0);
        taint.time_added = Some(k8s_openapi::apimachinery::pkg::apis::meta::v1::Time(since));
    }
}

fn ready_heartbeat(node: &Node) -> Option<Timestamp> {
    let conditions = node.status.as_ref()?.conditions.as_ref()?;
    let ready = conditions.iter().find(|condition| condition.type_ == "Ready")?;
    ready.last_heartbeat_time.as_ref().map(|time| time.0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;
    use std::time::Duration;

    fn lease(node: &str, second: u32) -> Lease {
        let renewed = format!("2026-01-01T00:00:{second:02}.000000Z");
        serde_json::from_value(json!({"metadata": {"name": node}, "spec": {"renewTime": renewed}})).expect("a lease")
    }

    fn pod(uid: &str, node: &str) -> PodView {
        let pod = json!({"metadata": {"uid": uid, "name": uid}, "spec": {"containers": [], "nodeName": node}});
        PodView::read(&serde_json::from_value(pod).expect("a pod"))
    }

    fn node(name: &str) -> Node {
        serde_json::from_value(json!({"metadata": {"name": name}})).expect("a node")
    }

    #[test]
    fn only_a_renewed_lease_is_a_sign_of_life() {
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        let mut world = World::default();
        world.lease_changed(&lease("n", 1), at(0));
        world.node_changed(node("n"), at(0), Timestamp::UNIX_EPOCH);
        let seen = |world: &World| world.node("n").expect("the node").seen;
        assert_eq!(seen(&world), at(0));
        world.node_changed(node("n"), at(5), Timestamp::UNIX_EPOCH);
        assert_eq!(seen(&world), at(0), "a label, say, is none");
        world.lease_changed(&lease("n", 1), at(6));
        assert_eq!(seen(&world), at(0), "nor is the same lease once more");
        world.lease_changed(&lease("n", 2), at(7));
        assert_eq!(seen(&world), at(7));
    }

    #[test]
    fn a_node_is_missing_only_while_pods_name_it() {
        let now = Instant::now();
        let mut world = World::default();
        let missing = |world: &World| {
            world
                .missing_nodes()
                .map(|(name, _)| name.to_owned())
                .collect::<Vec<_>>()
        };
        world.pod_changed(pod("a", "n"), now);
        assert_eq!(missing(&world), ["n"]);
        world.node_changed(node("n"), now, Timestamp::UNIX_EPOCH);
        assert!(missing(&world).is_empty());
        world.node_gone("n", now);
        assert_eq!(missing(&world), ["n"]);
        world.pod_gone("a");
        assert!(missing(&world).is_empty());
    }
}
