//! Taints keep away pods that do not tolerate them.

use super::{Check, refuse_unless};
use crate::object::taint;
use crate::scheduler::pod::PendingPod;
use crate::scheduler::refusal::Refusal;
use crate::scheduler::snapshot::Snapshot;

pub(super) fn check<'a>(pod: &'a PendingPod, _: &'a Snapshot) -> Option<Check<'a>> {
    Some(Box::new(|node| {
        match taint::untolerated(&node.taints, &pod.tolerations) {
            None => Ok(()),
            Some(taint) => refuse_unless(
                false,
                Refusal::Taint {
                    key: taint.key.clone(),
                    value: taint.value.clone().unwrap_or_default(),
                },
            ),
        }
    }))
}
