//! Pods that a node is being made free for: they count on that node, and only there, as if they had come already. Pure; the
//! snapshot is changed to look and is as before afterwards.

use std::collections::HashMap;
use std::sync::Arc;

use super::pod::PodInfo;
use super::snapshot::{NodeInfo, Slot, Snapshot};

/// Whether the room that is made for the other is not for this pod to take.
pub(super) fn comes_before(other: &PodInfo, pod: &PodInfo) -> bool {
    other.uid != pod.uid && other.priority >= pod.priority
}

/// Looks at each node that is being made free for some of these, as if they had come. What is found is by the node's slot.
pub(super) fn look<T>(
    snapshot: &mut Snapshot,
    others: impl IntoIterator<Item = (Arc<PodInfo>, Arc<str>)>,
    look: impl Fn(&Snapshot, &NodeInfo) -> Option<T>,
) -> HashMap<Slot, T> {
    let mut by_node = HashMap::<Arc<str>, Vec<Arc<PodInfo>>>::new();
    for (other, node) in others {
        by_node.entry(node).or_default().push(other);
    }
    let mut found = HashMap::new();
    for (name, others) in by_node {
        for other in &others {
            snapshot.set_pod(other.clone(), &name);
        }
        let node = snapshot.node(&name);
        found.extend(node.and_then(|node| Some((node.slot, look(snapshot, node)?))));
        for other in &others {
            snapshot.remove_pod(&other.uid);
        }
    }
    found
}
