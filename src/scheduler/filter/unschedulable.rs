//! Cordoned nodes take no pod but those that tolerate just that.

use k8s_openapi::api::core::v1::Taint;

use super::{Check, refuse_unless};
use crate::object::taint;
use crate::scheduler::pod::PendingPod;
use crate::scheduler::refusal::Refusal;
use crate::scheduler::snapshot::Snapshot;

/// Being cordoned counts as this taint.
const CORDONED: &str = "node.kubernetes.io/unschedulable";

pub(super) fn check<'a>(pod: &'a PendingPod, _: &'a Snapshot) -> Option<Check<'a>> {
    let cordoned = Taint {
        key: CORDONED.to_owned(),
        effect: taint::NO_SCHEDULE.to_owned(),
        ..Taint::default()
    };
    let tolerated = taint::tolerating(&pod.tolerations, &cordoned).is_some();
    (!tolerated).then(|| -> Check<'a> { Box::new(|node| refuse_unless(!node.unschedulable, Refusal::Unschedulable)) })
}
