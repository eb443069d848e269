//! Better the fewer taints there are that only ask to keep away.

use super::{MAX, stretch};
use crate::object::taint;
use crate::scheduler::pod::PendingPod;
use crate::scheduler::snapshot::{NodeInfo, Snapshot};

pub(super) fn score(pod: &PendingPod, _: &Snapshot, nodes: &[&NodeInfo]) -> Option<Vec<i64>> {
    let untolerated = |node: &&NodeInfo| {
        let soft = node
            .taints
            .iter()
            .filter(|taint| taint.effect == taint::PREFER_NO_SCHEDULE);
        let count = soft
            .filter(|taint| taint::tolerating(&pod.tolerations, taint).is_none())
            .count();
        i64::try_from(count).unwrap_or(i64::MAX)
    };
    let counts = stretch(nodes.iter().map(untolerated).collect());
    Some(counts.into_iter().map(|count| MAX - count).collect())
}
