//! What a disruption budget means, for everyone who keeps to one: the API server's evictions, the controller that
//! counts, and the scheduler that preempts. Rules are those of Kubernetes' `policy/v1`.

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::core::v1::Pod;
use k8s_openapi::api::policy::v1::{PodDisruptionBudget, PodDisruptionBudgetStatus};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;

use super::selector::{LabelSelector, SelectorError};

/// The policy by which pods that are not ready may always be evicted.
pub const ALWAYS_ALLOW: &str = "AlwaysAllow";
/// The policy by which pods that are not ready may be evicted while enough others are; counts where none is named.
pub const IF_HEALTHY_BUDGET: &str = "IfHealthyBudget";
/// The condition of a budget that sums it up.
pub const DISRUPTION_ALLOWED: &str = "DisruptionAllowed";
/// The condition of a pod that is about to be disrupted, and by whom.
pub const DISRUPTION_TARGET: &str = "DisruptionTarget";
/// The reason of a budget that could not be reckoned.
pub const SYNC_FAILED: &str = "SyncFailed";
/// How long a pod that was given leave to go counts as going. After that nobody deletes it any more.
pub const GOING_FOR: SignedDuration = SignedDuration::from_mins(2);

/// Whether the budget is about a pod of its own namespace with these labels. No selector selects nothing, an empty one
/// everything.
///
/// # Errors
/// Where the budget's selector is none.
pub fn selects(budget: &PodDisruptionBudget, labels: &BTreeMap<String, String>) -> Result<bool, SelectorError> {
    let selector = budget.spec.as_ref().and_then(|spec| spec.selector.as_ref());
    let selector = selector.map(LabelSelector::from_spec).transpose()?;
    Ok(selector.is_some_and(|selector| selector.matches(labels)))
}

/// Whether a budget counts the pod as healthy: it is ready.
pub fn is_ready(pod: &Pod) -> bool {
    let conditions = pod.status.iter().flat_map(|status| status.conditions.iter().flatten());
    conditions
        .into_iter()
        .any(|condition| condition.type_ == "Ready" && condition.status == "True")
}

/// The number in `30%`. `None` where the text is nothing of that form, or past counting.
pub fn percentage(text: &str) -> Option<i32> {
    let digits = text.strip_suffix('%')?;
    let all_digits = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
    digits.parse().ok().filter(|_| all_digits)
}

/// How many pods an amount is, where `total` are all; shares are rounded up. `None` where it is neither a number nor a
/// share.
pub fn amount(amount: &IntOrString, total: i32) -> Option<i32> {
    match amount {
        IntOrString::Int(count) => Some(*count),
        IntOrString::String(text) => {
            let hundredths = i64::from(percentage(text)?) * i64::from(total.max(0));
            i32::try_from((hundredths + 99) / 100).ok()
        }
    }
}

/// Makes the status' condition say whether a disruption is allowed, as its count has it.
pub fn sum_up(status: &mut PodDisruptionBudgetStatus, now: Timestamp) {
    let (value, reason) = match status.disruptions_allowed.unwrap_or(0) {
        1.. => ("True", "SufficientPods"),
        _ => ("False", "InsufficientPods"),
    };
    set_allowed(status, value, reason, String::new(), now);
}

/// Makes the status allow no disruption, since it could not be reckoned: `why`.
pub fn fail_safe(status: &mut PodDisruptionBudgetStatus, why: String, now: Timestamp) {
    status.disruptions_allowed = Some(0);
    set_allowed(status, "False", SYNC_FAILED, why, now);
}

fn set_allowed(status: &mut PodDisruptionBudgetStatus, value: &str, reason: &str, message: String, now: Timestamp) {
    let observed_generation = status.observed_generation;
    let conditions = status.conditions.get_or_insert_default();
    let known = conditions.iter_mut().find(|known| known.type_ == DISRUPTION_ALLOWED);
    // The time is that of the last change of the value, whatever the reason became since.
    let since = known.as_ref().filter(|known| known.status == value);
    let condition = Condition {
        last_transition_time: since.map_or(Time(now), |known| known.last_transition_time.clone()),
        message,
        observed_generation,
        reason: reason.to_owned(),
        status: value.to_owned(),
        type_: DISRUPTION_ALLOWED.to_owned(),
    };
    match known {
        Some(known) => *known = condition,
        None => conditions.push(condition),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn second(second: i64) -> Timestamp {
        Timestamp::from_second(second).expect("a time")
    }

    #[test]
    fn which_pods_a_budget_is_about() {
        let labels = BTreeMap::from([("app".to_owned(), "web".to_owned())]);
        for (name, spec, wanted) in [
            ("no selector", json!({}), Some(false)),
            ("every pod", json!({"selector": {}}), Some(true)),
            (
                "these",
                json!({"selector": {"matchLabels": {"app": "web"}}}),
                Some(true),
            ),
            (
                "others",
                json!({"selector": {"matchLabels": {"app": "db"}}}),
                Some(false),
            ),
            (
                "none",
                json!({"selector": {"matchExpressions": [{"key": "app", "operator": "Near"}]}}),
                None,
            ),
        ] {
            let budget: PodDisruptionBudget =
                serde_json::from_value(json!({"metadata": {}, "spec": spec})).expect("a budget");
            assert_eq!(selects(&budget, &labels).ok(), wanted, "{name}");
        }
    }

    #[test]
    fn amounts_are_rounded_up() {
        let text = |text: &str| IntOrString::String(text.to_owned());
        for (name, given, total, wanted) in [
            ("a number", IntOrString::Int(3), 1, Some(3)),
            ("all", text("100%"), 7, Some(7)),
            ("a third", text("34%"), 3, Some(2)),
            ("none", text("0%"), 5, Some(0)),
            ("of nothing", text("50%"), 0, Some(0)),
            ("no share", text("50"), 5, None),
            ("a sign", text("+5%"), 5, None),
        ] {
            assert_eq!(amount(&given, total), wanted, "{name}");
        }
    }

    #[test]
    fn the_condition_keeps_the_time_of_its_last_change() {
        let mut status = PodDisruptionBudgetStatus {
            disruptions_allowed: Some(1),
            observed_generation: Some(4),
            ..PodDisruptionBudgetStatus::default()
        };
        let shown = |status: &PodDisruptionBudgetStatus| -> Vec<(String, String, i64)> {
            let conditions = status.conditions.iter().flatten();
            conditions
                .map(|one| {
                    (
                        one.status.clone(),
                        one.reason.clone(),
                        one.last_transition_time.0.as_second(),
                    )
                })
                .collect()
        };
        let row = |value: &str, reason: &str, at: i64| vec![(value.to_owned(), reason.to_owned(), at)];
        sum_up(&mut status, second(1));
        assert_eq!(shown(&status), row("True", "SufficientPods", 1));
        status.disruptions_allowed = Some(0);
        sum_up(&mut status, second(2));
        assert_eq!(shown(&status), row("False", "InsufficientPods", 2));
        fail_safe(&mut status, "why".to_owned(), second(3));
        assert_eq!(shown(&status), row("False", "SyncFailed", 2));
        let condition = serde_json::to_value(&status.conditions).expect("JSON")[0].clone();
        assert_eq!(condition["observedGeneration"], Value::from(4));
        assert_eq!(condition["message"], "why");
    }
}
