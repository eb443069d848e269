//! The cluster as the scheduler sees it: each node with what its pods take. Pure; a change costs by its own
//! size, never by the cluster's.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use k8s_openapi::api::core::v1::{Node, Taint};

use super::affinity::Namespaces;
use super::pod::{HostPort, PodInfo, tagged};
use super::resources::{Estimate, Resources};
use crate::object::quantity::Quantity;

/// Nodes and the pods on them.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Snapshot {
    nodes: BTreeMap<Arc<str>, NodeInfo>,
    /// Each placed pod's node.
    placed: HashMap<Arc<str>, Arc<str>>,
    /// On how many nodes each image is.
    images: HashMap<String, usize>,
    /// How many placed pods have wishes about other pods.
    with_terms: usize,
    /// How many nodes exist (and do not only have pods).
    known: usize,
    namespaces: Namespaces,
}

/// A node and the sum of what its pods take.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct NodeInfo {
    /// Its name.
    pub name: Arc<str>,
    /// Its labels.
    pub labels: BTreeMap<String, String>,
    /// Its taints.
    pub taints: Vec<Taint>,
    /// Whether it is cordoned.
    pub unschedulable: bool,
    /// What it has for pods.
    pub allocatable: Resources,
    /// How many pods it may run.
    pub allowed_pods: i64,
    /// Its images by every name they have.
    pub images: BTreeMap<String, Image>,
    /// What its pods asked for.
    pub requested: Resources,
    /// What scores reckon its pods take.
    pub estimate: Estimate,
    /// Its pods by uid.
    pub pods: BTreeMap<Arc<str>, Arc<PodInfo>>,
    /// How many of its pods have wishes about other pods.
    pub with_terms: usize,
    /// Whether the node itself exists; pods may name one that does not, or not yet.
    pub(super) exists: bool,
}

/// An image on a node.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Image {
    /// Bytes.
    pub size: i64,
    /// On how many nodes it was when this node was last heard of, itself included. Counted just then, as
    /// kube-scheduler counts, so that a change of one node costs nothing on the others.
    pub nodes: usize,
}

impl Snapshot {
    /// The nodes that exist, by name.
    pub fn nodes(&self) -> impl Iterator<Item = &NodeInfo> {
        self.nodes.values().filter(|node| node.exists)
    }

    /// How many nodes exist.
    pub fn node_count(&self) -> usize {
        self.known
    }

    /// The node of that name, if it exists.
    pub fn node(&self, name: &str) -> Option<&NodeInfo> {
        self.nodes.get(name).filter(|node| node.exists)
    }

    /// How many placed pods have wishes about other pods; 0 spares every look at them.
    pub fn pods_with_terms(&self) -> usize {
        self.with_terms
    }

    /// The namespaces' labels.
    pub fn namespaces(&self) -> &Namespaces {
        &self.namespaces
    }

    /// The node that this pod is on.
    pub fn node_of(&self, uid: &str) -> Option<&Arc<str>> {
        self.placed.get(uid)
    }

    /// The placed pod of that uid.
    pub fn pod(&self, uid: &str) -> Option<&Arc<PodInfo>> {
        self.nodes.get(self.placed.get(uid)?)?.pods.get(uid)
    }

    /// Takes in a node that is new or changed; tells whether anything that counts here did change.
    pub fn set_node(&mut self, node: &Node) -> bool {
        let name: Arc<str> = node.metadata.name.as_deref().unwrap_or_default().into();
        let info = self.nodes.entry(name.clone()).or_default();
        let before = facts(info);
        let existed = info.exists;
        forget_images(&mut self.images, info);
        info.name = name;
        info.exists = true;
        info.read(node);
        for (name, image) in &mut info.images {
            let count = self.images.entry(name.clone()).or_default();
            *count += 1;
            image.nodes = *count;
        }
        self.known += usize::from(!existed);
        !existed || before != facts(info)
    }

    /// Takes a node out; its pods stay counted until they are gone themselves.
    pub fn remove_node(&mut self, name: &str) {
        let Some(info) = self.nodes.get_mut(name).filter(|info| info.exists) else {
            return;
        };
        forget_images(&mut self.images, info);
        self.known -= 1;
        if info.pods.is_empty() {
            self.nodes.remove(name);
            return;
        }
        info.clear_facts();
    }

    /// Puts a pod on a node, or moves or changes it there.
    pub fn set_pod(&mut self, pod: Arc<PodInfo>, node: &Arc<str>) {
        self.remove_pod(&pod.uid);
        self.with_terms += usize::from(pod.terms.is_some());
        self.placed.insert(pod.uid.clone(), node.clone());
        let info = self.nodes.entry(node.clone()).or_insert_with(|| NodeInfo {
            name: node.clone(),
            ..NodeInfo::default()
        });
        info.add(pod);
    }

    /// Takes a pod off its node, which is returned.
    pub fn remove_pod(&mut self, uid: &str) -> Option<Arc<str>> {
        let node = self.placed.remove(uid)?;
        let info = self.nodes.get_mut(&node)?;
        if let Some(pod) = info.remove(uid) {
            self.with_terms -= usize::from(pod.terms.is_some());
        }
        if !info.exists && info.pods.is_empty() {
            self.nodes.remove(&node);
        }
        Some(node)
    }

    /// Takes in a namespace's labels; tells whether they changed.
    pub fn set_namespace(&mut self, name: &str, labels: BTreeMap<String, String>) -> bool {
        self.namespaces.insert(name.to_owned(), labels.clone()) != Some(labels)
    }

    /// Forgets a namespace.
    pub fn remove_namespace(&mut self, name: &str) {
        self.namespaces.remove(name);
    }

    /// The names of the nodes that exist.
    pub fn node_names(&self) -> Vec<Arc<str>> {
        self.nodes().map(|node| node.name.clone()).collect()
    }

    /// The uids of all placed pods.
    pub fn placed_uids(&self) -> Vec<Arc<str>> {
        self.placed.keys().cloned().collect()
    }
}

impl NodeInfo {
    /// Whether a pod's host port is still to be had.
    pub fn has_free(&self, wanted: &HostPort) -> bool {
        let mut taken = self.pods.values().flat_map(|pod| &pod.host_ports);
        !taken.any(|taken| taken.conflicts(wanted))
    }

    fn read(&mut self, node: &Node) {
        self.labels = node.metadata.labels.clone().unwrap_or_default();
        let spec = node.spec.as_ref();
        self.taints = spec.and_then(|spec| spec.taints.clone()).unwrap_or_default();
        self.unschedulable = spec.and_then(|spec| spec.unschedulable).unwrap_or_default();
        let status = node.status.as_ref();
        let allocatable = status.and_then(|status| status.allocatable.as_ref());
        self.allocatable = Resources::read(allocatable);
        let pods = allocatable.and_then(|list| list.get("pods"));
        self.allowed_pods = pods
            .and_then(|text| text.0.parse::<Quantity>().ok())
            .map_or(0, Quantity::value);
        self.images.clear();
        for image in status.into_iter().flat_map(|status| status.images.iter().flatten()) {
            for name in image.names.iter().flatten() {
                let size = image.size_bytes.unwrap_or_default();
                self.images.insert(tagged(name), Image { size, nodes: 0 });
            }
        }
    }

    fn clear_facts(&mut self) {
        self.exists = false;
        self.read(&Node::default());
    }

    fn add(&mut self, pod: Arc<PodInfo>) {
        self.requested.add(&pod.requests);
        self.estimate.cpu_millis += pod.estimate.cpu_millis;
        self.estimate.memory += pod.estimate.memory;
        self.with_terms += usize::from(pod.terms.is_some());
        self.pods.insert(pod.uid.clone(), pod);
    }

    fn remove(&mut self, uid: &str) -> Option<Arc<PodInfo>> {
        let pod = self.pods.remove(uid)?;
        self.requested.subtract(&pod.requests);
        self.estimate.cpu_millis -= pod.estimate.cpu_millis;
        self.estimate.memory -= pod.estimate.memory;
        self.with_terms -= usize::from(pod.terms.is_some());
        Some(pod)
    }
}

/// What of a node decides whether a pod fits.
fn facts(info: &NodeInfo) -> (BTreeMap<String, String>, Vec<Taint>, bool, Resources, i64) {
    (
        info.labels.clone(),
        info.taints.clone(),
        info.unschedulable,
        info.allocatable.clone(),
        info.allowed_pods,
    )
}

fn forget_images(counts: &mut HashMap<String, usize>, info: &NodeInfo) {
    for image in info.images.keys() {
        if let Some(count) = counts.get_mut(image) {
            *count -= 1;
            if *count == 0 {
                counts.remove(image);
            }
        }
    }
}
