//! Better the more CPU and memory would be left, the mean of both shares.

use super::MAX;
use crate::scheduler::pod::PendingPod;
use crate::scheduler::snapshot::{NodeInfo, Snapshot};

pub(super) fn score(pod: &PendingPod, _: &Snapshot, nodes: &[&NodeInfo]) -> Option<Vec<i64>> {
    let asked = pod.info.estimate;
    let left = |node: &&NodeInfo| {
        let cpu = free_share(node.estimate.cpu_millis + asked.cpu_millis, node.allocatable.cpu_millis);
        let memory = free_share(node.estimate.memory + asked.memory, node.allocatable.memory);
        let shares: Vec<i64> = [cpu, memory].into_iter().flatten().collect();
        let count = i64::try_from(shares.len()).unwrap_or(i64::MAX);
        if count == 0 {
            0
        } else {
            shares.iter().sum::<i64>() / count
        }
    };
    Some(nodes.iter().map(left).collect())
}

/// What is left in hundredths; `None` where the node has nothing of it, so that it does not count.
fn free_share(taken: i64, has: i64) -> Option<i64> {
    match has {
        0 => None,
        has if taken > has => Some(0),
        has => i64::try_from(i128::from(has - taken) * i128::from(MAX) / i128::from(has)).ok(),
    }
}
