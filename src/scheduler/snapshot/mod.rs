//! The cluster as the scheduler sees it: each node with what its pods take, and counts of pods by topology. Pure; a
//! change costs by its own size, never by the cluster's.

mod domains;
mod node;
mod tallies;
mod tally;
mod volumes;
mod wishes;
mod zones;

use std::borrow::Cow;
use std::collections::hash_map::Entry;
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use k8s_openapi::api::core::v1::Node;

use super::affinity::Namespaces;
use super::pod::{PendingPod, PodInfo};
pub use node::{Image, NodeInfo};
use tallies::Tallies;
pub use tally::{Question, Tally, Where};
pub use volumes::{Bindings, ClaimKey, Volumes, claim_key};
pub use wishes::{Wish, Wishes};
use zones::Zones;

/// A node's place in this snapshot; used again once the node and its pods are gone.
pub type Slot = usize;

/// Nodes and the pods on them.
#[derive(Clone, Debug, Default)]
pub struct Snapshot {
    slots: Vec<Option<NodeInfo>>,
    free: Vec<Slot>,
    by_name: HashMap<Arc<str>, Slot>,
    /// The nodes that exist, in the order they are looked at.
    zones: Zones,
    /// Each placed pod's node.
    placed: HashMap<Arc<str>, Slot>,
    /// On how many nodes each image is.
    images: HashMap<String, usize>,
    namespaces: Namespaces,
    wishes: Wishes,
    tallies: Tallies,
    volumes: Volumes,
    /// How many placed pods use each claim.
    users: HashMap<ClaimKey, usize>,
}

/// The same nodes with the same pods, and the same of what is derived from them. Where they lie in memory, which counts
/// are kept at hand, and when an image was counted is no difference.
impl PartialEq for Snapshot {
    fn eq(&self, other: &Self) -> bool {
        let nodes = |snapshot: &Self| -> BTreeMap<Arc<str>, NodeInfo> {
            let nodes = snapshot.slots.iter().flatten();
            nodes.map(|node| (node.name.clone(), node.clone())).collect()
        };
        nodes(self) == nodes(other)
            && self.images == other.images
            && self.namespaces == other.namespaces
            && self.wishes == other.wishes
            && self.volumes == other.volumes
            && self.users == other.users
            && self.placed.len() == other.placed.len()
            && self.placed.keys().all(|uid| self.node_of(uid) == other.node_of(uid))
    }
}

impl Snapshot {
    /// The nodes that exist.
    pub fn nodes(&self) -> impl Iterator<Item = &NodeInfo> {
        self.slots.iter().flatten().filter(|node| node.exists)
    }

    /// The nodes that exist, zones taking turns, beginning at a turn of the caller's; each with how many turns came before.
    pub fn nodes_in_turn(&self, begin: usize) -> impl Iterator<Item = (usize, &NodeInfo)> {
        self.zones
            .in_turn(begin)
            .filter_map(|(turn, slot)| Some((turn, self.slots[slot].as_ref()?)))
    }

    /// How many nodes exist.
    pub fn node_count(&self) -> usize {
        self.zones.len()
    }

    /// How many pods are placed.
    pub fn pod_count(&self) -> usize {
        self.placed.len()
    }

    /// The node of that name, if it exists.
    pub fn node(&self, name: &str) -> Option<&NodeInfo> {
        let node = self.slots[*self.by_name.get(name)?].as_ref()?;
        node.exists.then_some(node)
    }

    /// What placed pods wish about other pods.
    pub fn wishes(&self) -> &Wishes {
        &self.wishes
    }

    /// Volumes, claims and storage classes.
    pub fn volumes(&self) -> &Volumes {
        &self.volumes
    }

    /// The same, to be changed.
    pub fn volumes_mut(&mut self) -> &mut Volumes {
        &mut self.volumes
    }

    /// How many placed pods use the claim.
    pub fn users_of(&self, claim: &ClaimKey) -> usize {
        self.users.get(claim).copied().unwrap_or_default()
    }

    /// The namespaces' labels.
    pub fn namespaces(&self) -> &Namespaces {
        &self.namespaces
    }

    /// Whether any node has that image.
    pub fn has_image(&self, name: &str) -> bool {
        self.images.contains_key(name)
    }

    /// The node that this pod is on.
    pub fn node_of(&self, uid: &str) -> Option<&Arc<str>> {
        Some(&self.slots[*self.placed.get(uid)?].as_ref()?.name)
    }

    /// The placed pod of that uid.
    pub fn pod(&self, uid: &str) -> Option<&Arc<PodInfo>> {
        self.slots[*self.placed.get(uid)?].as_ref()?.pods.get(uid)
    }

    /// The answer to a question about pods by topology: the one kept at hand, or else one counted now.
    pub fn tally(&self, question: &Question) -> Cow<'_, Tally> {
        match self.tallies.get(question) {
            Some(tally) => Cow::Borrowed(tally),
            None => Cow::Owned(self.count(question)),
        }
    }

    /// Counts at hand what this pod asks about other pods, and keeps it counted from now on.
    pub fn prepare(&mut self, pod: &PendingPod) {
        for question in pod.questions() {
            if !self.tallies.touch(question) {
                let tally = self.count(question);
                self.tallies.keep(tally);
            }
        }
    }

    /// Whether what is kept counted is what counting anew gives.
    pub fn is_counted_right(&self) -> bool {
        self.tallies
            .all()
            .all(|tally| tally.same_as(&self.count(tally.question())))
    }

    /// Takes in a node that is new or changed; tells whether anything that counts here did change.
    pub fn set_node(&mut self, node: &Node) -> bool {
        let name: Arc<str> = node.metadata.name.as_deref().unwrap_or_default().into();
        let slot = self.slot(&name);
        let mut info = self.slots[slot].take().expect("a slot that was just found");
        let mut read = NodeInfo::default();
        read.read(node);
        let changed = !info.exists || info.facts() != read.facts();
        if changed || info.images != read.images {
            self.leave(&info);
            info.take_facts(read);
            self.enter(&info);
        }
        // A heartbeat changes nothing but this.
        for (name, image) in &mut info.images {
            image.nodes = self.images.get(name).copied().unwrap_or_default();
        }
        self.slots[slot] = Some(info);
        changed
    }

    /// Takes a node out; its pods stay counted until they are gone themselves.
    pub fn remove_node(&mut self, name: &str) {
        let Some(slot) = self.by_name.get(name).copied() else {
            return;
        };
        let Some(mut info) = self.slots[slot].take() else {
            return;
        };
        self.leave(&info);
        info.clear_facts();
        self.slots[slot] = Some(info);
        self.free_if_empty(slot);
    }

    /// Puts a pod on a node, or moves or changes it there.
    pub fn set_pod(&mut self, pod: Arc<PodInfo>, node: &Arc<str>) {
        self.remove_pod(&pod.uid);
        let slot = self.slot(node);
        self.placed.insert(pod.uid.clone(), slot);
        for claim in claim_keys(&pod) {
            *self.users.entry(claim).or_default() += 1;
        }
        let info = self.slots[slot].as_mut().expect("a slot that was just found");
        if info.exists {
            self.wishes.add(&pod, info);
            self.tallies.pod(info, &pod, 1, &self.namespaces);
        }
        info.add(pod);
    }

    /// Takes a pod off its node, which is returned.
    pub fn remove_pod(&mut self, uid: &str) -> Option<Arc<str>> {
        let slot = self.placed.remove(uid)?;
        let info = self.slots[slot].as_mut()?;
        let name = info.name.clone();
        if let Some(pod) = info.remove(uid) {
            if info.exists {
                self.wishes.remove(&pod, info);
                self.tallies.pod(info, &pod, -1, &self.namespaces);
            }
            for claim in claim_keys(&pod) {
                if let Entry::Occupied(mut users) = self.users.entry(claim) {
                    *users.get_mut() -= 1;
                    if *users.get() == 0 {
                        users.remove();
                    }
                }
            }
        }
        self.free_if_empty(slot);
        Some(name)
    }

    /// Takes in a namespace's labels; tells whether they changed.
    pub fn set_namespace(&mut self, name: &str, labels: BTreeMap<String, String>) -> bool {
        let changed = self.namespaces.insert(name.to_owned(), labels.clone()) != Some(labels);
        if changed {
            self.tallies.forget_those_by_namespace();
        }
        changed
    }

    /// Forgets a namespace.
    pub fn remove_namespace(&mut self, name: &str) {
        if self.namespaces.remove(name).is_some() {
            self.tallies.forget_those_by_namespace();
        }
    }

    /// The names of the nodes that exist.
    pub fn node_names(&self) -> Vec<Arc<str>> {
        self.nodes().map(|node| node.name.clone()).collect()
    }

    /// The uids of all placed pods.
    pub fn placed_uids(&self) -> Vec<Arc<str>> {
        self.placed.keys().cloned().collect()
    }

    fn count(&self, question: &Question) -> Tally {
        let mut tally = Tally::new(question.clone());
        for node in self.nodes() {
            tally.enter(node, &self.namespaces);
        }
        tally
    }

    /// The slot of that node; an empty one for a node that is not known.
    fn slot(&mut self, name: &Arc<str>) -> Slot {
        if let Some(slot) = self.by_name.get(name) {
            return *slot;
        }
        let slot = self.free.pop().unwrap_or_else(|| {
            self.slots.push(None);
            self.slots.len() - 1
        });
        self.slots[slot] = Some(NodeInfo {
            name: name.clone(),
            slot,
            ..NodeInfo::default()
        });
        self.by_name.insert(name.clone(), slot);
        slot
    }

    fn free_if_empty(&mut self, slot: Slot) {
        let unused = |info: &NodeInfo| !info.exists && info.pods.is_empty();
        if let Some(info) = self.slots[slot].take_if(|info| unused(info)) {
            self.by_name.remove(&info.name);
            self.free.push(slot);
        }
    }

    /// Counts a node, as it is, in whatever is derived from the nodes.
    fn enter(&mut self, info: &NodeInfo) {
        for image in info.images.keys() {
            *self.images.entry(image.clone()).or_default() += 1;
        }
        self.zones.insert(info.slot, info.zone());
        for pod in info.pods_with_terms() {
            self.wishes.add(pod, info);
        }
        self.tallies.enter(info, &self.namespaces);
    }

    /// Takes back what [`Snapshot::enter`] counted.
    fn leave(&mut self, info: &NodeInfo) {
        if !info.exists {
            return;
        }
        for image in info.images.keys() {
            if let Some(count) = self.images.get_mut(image) {
                *count -= 1;
                if *count == 0 {
                    self.images.remove(image);
                }
            }
        }
        self.zones.remove(info.slot);
        for pod in info.pods_with_terms() {
            self.wishes.remove(pod, info);
        }
        self.tallies.leave(info);
    }
}

fn claim_keys(pod: &PodInfo) -> impl Iterator<Item = ClaimKey> {
    let claims = pod.claims.iter();
    claims.map(|claim| (pod.namespace.clone(), claim.name.clone()))
}
