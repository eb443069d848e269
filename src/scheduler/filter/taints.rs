//! Taints keep away pods that do not tolerate them.

use k8s_openapi::api::core::v1::{Taint, Toleration};

use super::{Check, refuse_unless};
use crate::object::taint;
use crate::scheduler::pod::PendingPod;
use crate::scheduler::refusal::Refusal;
use crate::scheduler::snapshot::Snapshot;

pub(super) fn check<'a>(pod: &'a PendingPod, _: &'a Snapshot) -> Option<Check<'a>> {
    Some(Box::new(|node| match untolerated(&node.taints, &pod.tolerations) {
        None => Ok(()),
        Some(taint) => refuse_unless(
            false,
            Refusal::Taint {
                key: taint.key.clone(),
                value: taint.value.clone().unwrap_or_default(),
            },
        ),
    }))
}

/// The first taint that keeps a pod with these tolerations away for certain.
pub(super) fn untolerated<'a>(taints: &'a [Taint], tolerations: &[Toleration]) -> Option<&'a Taint> {
    taints.iter().find(|taint| {
        matches!(taint.effect.as_str(), taint::NO_SCHEDULE | taint::NO_EXECUTE)
            && taint::tolerating(tolerations, taint).is_none()
    })
}
