//! Better the more bytes of the pod's images a node has, less for images that only few nodes have, so that pods
//! do not pile up on the node that happened to pull first.

use super::MAX;
use crate::scheduler::pod::PendingPod;
use crate::scheduler::snapshot::{NodeInfo, Snapshot};

/// Smaller images are not worth a thought.
const SMALLEST: i64 = 23 << 20;
/// Larger ones, a container, count no more than this.
const LARGEST: i64 = 1000 << 20;

pub(super) fn score(pod: &PendingPod, snapshot: &Snapshot, nodes: &[&NodeInfo]) -> Option<Vec<i64>> {
    let containers = i64::try_from(pod.images.len()).ok().filter(|count| *count > 0)?;
    if !pod.images.iter().any(|image| snapshot.has_image(image)) {
        return None;
    }
    let total = snapshot.node_count() as f64;
    let largest = LARGEST * containers;
    let bytes = |node: &&NodeInfo| {
        let images = pod.images.iter().filter_map(|image| node.images.get(image));
        let worth = images.map(|image| (image.size as f64 * (image.nodes as f64 / total)) as i64);
        let sum = worth.sum::<i64>().clamp(SMALLEST, largest);
        MAX * (sum - SMALLEST) / (largest - SMALLEST)
    };
    Some(nodes.iter().map(bytes).collect())
}
