//! A node takes a pod only where it has what the pod asks for, and all reasons are given where it has not.
//!
//! A node that is over-committed already in CPU, memory or storage takes no pod that asks for anything, as the
//! recorded kube-scheduler has it; newer ones look only at the resources that the pod asks for.

use super::{Check, Verdict};
use crate::scheduler::pod::PendingPod;
use crate::scheduler::refusal::Refusal;
use crate::scheduler::resources::Resources;
use crate::scheduler::snapshot::{NodeInfo, Snapshot};

pub(super) fn check<'a>(pod: &'a PendingPod, _: &'a Snapshot) -> Option<Check<'a>> {
    let needed = &pod.info.requests;
    let fit = &pod.profile.fit;
    let others = needed
        .others
        .iter()
        .filter(|(name, needed)| **needed > 0 && !fit.ignores(name));
    let others: Vec<_> = others.map(|(name, needed)| (name.as_str(), *needed)).collect();
    Some(Box::new(move |node| fits(needed, &others, node)))
}

/// `others` are those of `needed` that a node may be refused for.
fn fits(needed: &Resources, others: &[(&str, i64)], node: &NodeInfo) -> Verdict {
    let mut refusals = Vec::new();
    let pods = i64::try_from(node.pods.len()).unwrap_or(i64::MAX);
    if pods >= node.allowed_pods {
        refusals.push(Refusal::TooManyPods);
    }
    if needed.is_empty() {
        return if refusals.is_empty() { Ok(()) } else { Err(refusals) };
    }
    let (has, taken) = (&node.allocatable, &node.requested);
    let mut check = |resource: &str, needed: i64, has: i64, taken: i64| {
        let free = has.saturating_sub(taken);
        if needed > free {
            refusals.push(Refusal::Insufficient {
                resource: resource.to_owned(),
                needed,
                free,
                capacity: has,
            });
        }
    };
    check("cpu", needed.cpu_millis, has.cpu_millis, taken.cpu_millis);
    check("memory", needed.memory, has.memory, taken.memory);
    check(
        "ephemeral-storage",
        needed.ephemeral_storage,
        has.ephemeral_storage,
        taken.ephemeral_storage,
    );
    for (name, needed) in others {
        let amount = |list: &Resources| list.others.get(*name).copied().unwrap_or_default();
        check(name, *needed, amount(has), amount(taken));
    }
    if refusals.is_empty() { Ok(()) } else { Err(refusals) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn resources(cpu_millis: i64, memory: i64, gpus: i64) -> Resources {
        Resources {
            cpu_millis,
            memory,
            others: [("example.com/gpu".to_owned(), gpus)].into(),
            ..Resources::default()
        }
    }

    fn fits(needed: &Resources, node: &NodeInfo) -> Verdict {
        let others: Vec<_> = needed
            .others
            .iter()
            .map(|(name, needed)| (name.as_str(), *needed))
            .collect();
        super::fits(needed, &others, node)
    }

    #[test]
    fn every_lack_is_named() {
        let node = NodeInfo {
            allocatable: resources(1000, 1000, 1),
            requested: resources(500, 0, 1),
            allowed_pods: 1,
            ..NodeInfo::default()
        };
        for (name, needed, wanted) in [
            ("exactly what is left", resources(500, 1000, 0), vec![]),
            ("one short", resources(501, 1000, 0), vec!["Insufficient cpu"]),
            (
                "cpu and memory",
                resources(501, 1001, 0),
                vec!["Insufficient cpu", "Insufficient memory"],
            ),
            ("a device", resources(0, 0, 1), vec!["Insufficient example.com/gpu"]),
        ] {
            let refusals = fits(&needed, &node).err().unwrap_or_default();
            let texts: Vec<_> = refusals.iter().map(ToString::to_string).collect();
            assert_eq!(texts, wanted, "{name}");
        }
        let overcommitted = NodeInfo {
            requested: resources(500, 1001, 0),
            ..node.clone()
        };
        let lack = fits(&resources(1, 0, 0), &overcommitted)
            .expect_err("over-committed")
            .remove(0);
        assert_eq!(lack.to_string(), "Insufficient memory", "also of what is not asked for");
        assert_eq!(fits(&resources(0, 0, 0), &overcommitted), Ok(()), "nothing always fits");
        let full = NodeInfo {
            allowed_pods: 0,
            ..node
        };
        assert_eq!(fits(&resources(0, 0, 0), &full), Err(vec![Refusal::TooManyPods]));
    }
}
