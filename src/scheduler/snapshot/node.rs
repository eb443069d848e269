//! A node and the sum of what its pods take.

use std::collections::BTreeMap;
use std::sync::Arc;

use k8s_openapi::api::core::v1::{Node, Taint};

use super::Slot;
use crate::object::quantity::Quantity;
use crate::scheduler::pod::{HostPort, PodInfo, tagged};
use crate::scheduler::resources::{Estimate, Resources};

/// The label of a node's zone.
const ZONE: &str = "topology.kubernetes.io/zone";
/// The label of a node's region: zones of two regions may have one name.
const REGION: &str = "topology.kubernetes.io/region";

/// A node and the sum of what its pods take.
#[derive(Clone, Debug, Default)]
pub struct NodeInfo {
    /// Its name.
    pub name: Arc<str>,
    /// Its place in the snapshot.
    pub slot: Slot,
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
    /// How many host ports its pods take.
    pub(in crate::scheduler) ports: usize,
    /// Whether the node itself exists; pods may name one that does not, or not yet.
    pub(in crate::scheduler) exists: bool,
}

/// An image on a node.
#[derive(Clone, Copy, Debug, Default)]
pub struct Image {
    /// Bytes.
    pub size: i64,
    /// On how many nodes it was when this node was last heard of, itself included. Counted just then, as
    /// kube-scheduler counts, so that a change of one node costs nothing on the others.
    pub nodes: usize,
}

impl PartialEq for Image {
    fn eq(&self, other: &Self) -> bool {
        self.size == other.size
    }
}

/// Where it lies in memory is no difference.
impl PartialEq for NodeInfo {
    fn eq(&self, other: &Self) -> bool {
        self.name == other.name
            && self.exists == other.exists
            && self.facts() == other.facts()
            && self.images == other.images
            && self.requested == other.requested
            && self.estimate == other.estimate
            && self.pods == other.pods
            && self.with_terms == other.with_terms
            && self.ports == other.ports
    }
}

/// What of a node decides whether a pod fits.
#[derive(PartialEq)]
pub(super) struct Facts<'a> {
    labels: &'a BTreeMap<String, String>,
    taints: &'a [Taint],
    unschedulable: bool,
    allocatable: &'a Resources,
    allowed_pods: i64,
}

impl NodeInfo {
    /// Whether a pod's host port is still to be had.
    pub fn has_free(&self, wanted: &HostPort) -> bool {
        if self.ports == 0 {
            return true;
        }
        let mut taken = self.pods.values().flat_map(|pod| &pod.host_ports);
        !taken.any(|taken| taken.conflicts(wanted))
    }

    /// Its pods that have wishes about other pods.
    pub fn pods_with_terms(&self) -> impl Iterator<Item = &Arc<PodInfo>> {
        let any = self.with_terms > 0;
        self.pods.values().filter(move |pod| any && pod.terms.is_some())
    }

    /// Region and zone, empty where it does not say.
    pub(super) fn zone(&self) -> (&str, &str) {
        let label = |key: &str| self.labels.get(key).map_or("", String::as_str);
        (label(REGION), label(ZONE))
    }

    pub(super) fn facts(&self) -> Facts<'_> {
        Facts {
            labels: &self.labels,
            taints: &self.taints,
            unschedulable: self.unschedulable,
            allocatable: &self.allocatable,
            allowed_pods: self.allowed_pods,
        }
    }

    pub(super) fn read(&mut self, node: &Node) {
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

    /// Becomes what was read; its pods stay.
    pub(super) fn take_facts(&mut self, read: Self) {
        self.exists = true;
        self.labels = read.labels;
        self.taints = read.taints;
        self.unschedulable = read.unschedulable;
        self.allocatable = read.allocatable;
        self.allowed_pods = read.allowed_pods;
        self.images = read.images;
    }

    pub(super) fn clear_facts(&mut self) {
        self.exists = false;
        self.read(&Node::default());
    }

    /// Counts one more pod. Preemption does so on a copy of its own.
    pub(in crate::scheduler) fn add(&mut self, pod: Arc<PodInfo>) {
        self.requested.add(&pod.requests);
        self.estimate.cpu_millis += pod.estimate.cpu_millis;
        self.estimate.memory += pod.estimate.memory;
        self.with_terms += usize::from(pod.terms.is_some());
        self.ports += pod.host_ports.len();
        self.pods.insert(pod.uid.clone(), pod);
    }

    /// Takes back what [`NodeInfo::add`] counted.
    pub(in crate::scheduler) fn remove(&mut self, uid: &str) -> Option<Arc<PodInfo>> {
        let pod = self.pods.remove(uid)?;
        self.requested.subtract(&pod.requests);
        self.estimate.cpu_millis -= pod.estimate.cpu_millis;
        self.estimate.memory -= pod.estimate.memory;
        self.with_terms -= usize::from(pod.terms.is_some());
        self.ports -= pod.host_ports.len();
        Some(pod)
    }
}
