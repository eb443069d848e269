//! Better the more of its resources would be left, or the less, or as a line says: the profile's strategy.

use super::MAX;
use crate::scheduler::pod::PendingPod;
use crate::scheduler::profile::{Point, Strategy};
use crate::scheduler::resources::Resource;
use crate::scheduler::snapshot::{NodeInfo, Snapshot};

pub(super) fn score(pod: &PendingPod, _: &Snapshot, nodes: &[&NodeInfo]) -> Option<Vec<i64>> {
    let resources = &pod.profile.fit.resources;
    let each = |worth: &dyn Fn(i64, i64) -> i64| {
        let mean = |node: &&NodeInfo| {
            let (sum, weights) = weigh(pod, node, resources, worth, |_| true);
            if weights == 0 { 0 } else { sum / weights }
        };
        nodes.iter().map(mean).collect()
    };
    Some(match &pod.profile.fit.strategy {
        Strategy::LeastAllocated => each(&left),
        Strategy::MostAllocated => each(&taken_share),
        Strategy::RequestedToCapacityRatio(points) => {
            let worth = |taken: i64, has: i64| on_line(points, if taken > has { MAX } else { hundredths(taken, has) });
            let mean = |node: &&NodeInfo| {
                // A resource that is worth nothing does not count at all here, and the mean is rounded.
                let (sum, weights) = weigh(pod, node, resources, worth, |worth| worth > 0);
                if weights == 0 {
                    0
                } else {
                    (sum as f64 / weights as f64).round() as i64
                }
            };
            nodes.iter().map(mean).collect()
        }
    })
}

/// The weighted sum of what the node's resources are worth with the pod on it, and the sum of the weights; of those that
/// the node has and that count.
fn weigh(
    pod: &PendingPod,
    node: &NodeInfo,
    resources: &[(Resource, i64)],
    worth: impl Fn(i64, i64) -> i64,
    counts: impl Fn(i64) -> bool,
) -> (i64, i64) {
    let (mut sum, mut weights) = (0, 0);
    for (resource, weight) in resources {
        let Some((taken, has)) = share(pod, node, resource) else {
            continue;
        };
        let worth = worth(taken, has);
        if counts(worth) {
            sum += worth * weight;
            weights += weight;
        }
    }
    (sum, weights)
}

/// How much of a resource would be taken with the pod there, and how much there is; `None` where the node has nothing of
/// it, or the pod asks for none of an extended resource.
fn share(pod: &PendingPod, node: &NodeInfo, resource: &Resource) -> Option<(i64, i64)> {
    let has = node.allocatable.amount(resource);
    if has == 0 {
        return None;
    }
    let asked = &pod.info.requests;
    let taken = match resource {
        Resource::Cpu => node.estimate.cpu_millis + pod.info.estimate.cpu_millis,
        Resource::Memory => node.estimate.memory + pod.info.estimate.memory,
        Resource::EphemeralStorage => node.requested.ephemeral_storage + asked.ephemeral_storage,
        Resource::Other(_) if asked.amount(resource) == 0 => return None,
        Resource::Other(_) => node.requested.amount(resource) + asked.amount(resource),
    };
    Some((taken, has))
}

fn left(taken: i64, has: i64) -> i64 {
    if taken > has { 0 } else { hundredths(has - taken, has) }
}

fn taken_share(taken: i64, has: i64) -> i64 {
    hundredths(taken.min(has), has)
}

/// Bytes of a large node times a hundred need more than 64 bits.
fn hundredths(part: i64, whole: i64) -> i64 {
    i64::try_from(i128::from(part) * i128::from(MAX) / i128::from(whole)).unwrap_or(i64::MAX)
}

/// The height of the line at that utilization; beyond its ends it is level.
fn on_line(points: &[Point], utilization: i64) -> i64 {
    let right = points.iter().position(|point| utilization <= point.utilization);
    match right {
        None => points.last().map_or(0, |last| last.score),
        Some(0) => points[0].score,
        Some(right) => {
            let (a, b) = (points[right - 1], points[right]);
            a.score + (b.score - a.score) * (utilization - a.utilization) / (b.utilization - a.utilization)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_line_bends_at_its_points_and_is_level_beyond() {
        let points = [(20, 0), (60, 100), (80, 40)].map(|(utilization, score)| Point { utilization, score });
        for (utilization, wanted) in [(0, 0), (20, 0), (30, 25), (60, 100), (70, 70), (80, 40), (100, 40)] {
            assert_eq!(on_line(&points, utilization), wanted, "at {utilization}");
        }
    }
}
