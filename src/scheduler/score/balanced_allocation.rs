//! Better the closer together the shares of CPU and memory that would be taken, so that neither is left over.
//!
//! The score is one less the standard deviation of the shares, as kube-scheduler has computed it since 1.22,
//! from what pods really ask for. A pod that asks for nothing changes no share and is not scored.

use super::MAX;
use crate::scheduler::pod::PendingPod;
use crate::scheduler::snapshot::{NodeInfo, Snapshot};

pub(super) fn score(pod: &PendingPod, _: &Snapshot, nodes: &[&NodeInfo]) -> Option<Vec<i64>> {
    let asked = &pod.info.requests;
    if asked.cpu_millis == 0 && asked.memory == 0 {
        return None;
    }
    let balance = |node: &&NodeInfo| {
        let taken = &node.requested;
        let cpu = share(taken.cpu_millis + asked.cpu_millis, node.allocatable.cpu_millis);
        let memory = share(taken.memory + asked.memory, node.allocatable.memory);
        let deviation = match (cpu, memory) {
            (Some(cpu), Some(memory)) => ((cpu - memory) / 2.0).abs(),
            _ => 0.0,
        };
        // Between 0 and 100, and cut off as kube-scheduler does.
        ((1.0 - deviation) * MAX as f64) as i64
    };
    Some(nodes.iter().map(balance).collect())
}

fn share(taken: i64, has: i64) -> Option<f64> {
    (has != 0).then(|| (taken as f64 / has as f64).min(1.0))
}
