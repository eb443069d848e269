//! Disruption budgets: what they may ask for. What that means for pods is [`crate::object::disruption`]'s to say.

use k8s_openapi::api::policy::v1::{PodDisruptionBudget, PodDisruptionBudgetSpec, PodDisruptionBudgetStatus};
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use serde_json::Value;

use super::{Strategy, conditions, label_selector};
use crate::object::codec;
use crate::object::disruption::{ALWAYS_ALLOW, IF_HEALTHY_BUDGET, percentage};
use crate::object::field_error::{FieldError, Path};
use crate::object::kind::Part;
use crate::object::table::{self, Table};

/// The rules of disruption budgets.
pub(in crate::object) struct PodDisruptionBudgets;

impl Strategy for PodDisruptionBudgets {
    const TABLE: Table = table::POD_DISRUPTION_BUDGETS;

    type Object = PodDisruptionBudget;

    /// The status is the controller's.
    fn prepare_create(budget: &mut PodDisruptionBudget) {
        budget.status = None;
        budget.metadata.generation = Some(1);
    }

    fn prepare_update(budget: &mut PodDisruptionBudget, old: &PodDisruptionBudget, part: Part) {
        match part {
            Part::Main => budget.status.clone_from(&old.status),
            Part::Status => budget.spec.clone_from(&old.spec),
        }
        let changed = budget.spec != old.spec;
        budget.metadata.generation = old.metadata.generation.map(|count| count + i64::from(changed));
    }

    fn validate_create(budget: &PodDisruptionBudget, errors: &mut Vec<FieldError>) {
        if let Some(spec) = &budget.spec {
            validate_spec(spec, &Path::new("spec"), errors);
        }
    }

    fn validate_update(
        budget: &PodDisruptionBudget,
        _old: &PodDisruptionBudget,
        part: Part,
        errors: &mut Vec<FieldError>,
    ) {
        match (part, &budget.status) {
            (Part::Main, _) => Self::validate_create(budget, errors),
            (Part::Status, Some(status)) => validate_status(status, &Path::new("status"), errors),
            (Part::Status, None) => {}
        }
    }
}

fn validate_spec(spec: &PodDisruptionBudgetSpec, at: &Path, errors: &mut Vec<FieldError>) {
    if spec.min_available.is_some() && spec.max_unavailable.is_some() {
        // A spec that was read can be written: what stands for it is never shown.
        let shown = codec::write(spec).unwrap_or(Value::Null);
        errors.push(FieldError::invalid(
            at,
            shown,
            "minAvailable and maxUnavailable cannot be both set",
        ));
    }
    for (amount, field) in [
        (&spec.min_available, "minAvailable"),
        (&spec.max_unavailable, "maxUnavailable"),
    ] {
        if let Some(amount) = amount {
            validate_amount(amount, &at.child(field), errors);
        }
    }
    if let Some(selector) = &spec.selector {
        label_selector::validate(selector, &at.child("selector"), errors);
    }
    let policies = [ALWAYS_ALLOW, IF_HEALTHY_BUDGET];
    if let Some(policy) = &spec.unhealthy_pod_eviction_policy
        && !policies.contains(&policy.as_str())
    {
        let field = at.child("unhealthyPodEvictionPolicy");
        errors.push(FieldError::not_supported(&field, policy, &policies));
    }
}

/// A number of pods, or a share of them in percent.
fn validate_amount(amount: &IntOrString, at: &Path, errors: &mut Vec<FieldError>) {
    match amount {
        IntOrString::Int(count) if *count < 0 => {
            errors.push(FieldError::invalid(at, count, "must be greater than or equal to 0"));
        }
        IntOrString::Int(_) => {}
        IntOrString::String(text) => match percentage(text) {
            None => {
                let why = "a valid percent string must be a numeric string followed by an ending '%' (e.g. '1%',  or \
                           '93%', regex used for validation is '[0-9]+%')";
                errors.push(FieldError::invalid(at, text, why));
            }
            Some(share) if share > 100 => {
                errors.push(FieldError::invalid(at, text, "must not be greater than 100%"));
            }
            Some(_) => {}
        },
    }
}

fn validate_status(status: &PodDisruptionBudgetStatus, at: &Path, errors: &mut Vec<FieldError>) {
    let list = status.conditions.as_deref().unwrap_or_default();
    conditions::validate(list, &at.child("conditions"), errors);
    for (count, field) in [
        (status.disruptions_allowed, "disruptionsAllowed"),
        (status.current_healthy, "currentHealthy"),
        (status.desired_healthy, "desiredHealthy"),
        (status.expected_pods, "expectedPods"),
    ] {
        if let Some(count) = count.filter(|count| *count < 0) {
            let why = "must be greater than or equal to 0";
            errors.push(FieldError::invalid(&at.child(field), count, why));
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::object::Kind;

    fn kind() -> &'static Kind {
        Kind::find("policy", "v1", "poddisruptionbudgets").expect("it is served")
    }

    fn budget(spec: Value, status: Value) -> Value {
        let body = json!({"metadata": {"name": "b", "namespace": "default"}, "spec": spec, "status": status});
        kind().decode(body).expect("it can be read").object
    }

    fn fields(errors: &[FieldError]) -> Vec<&str> {
        errors.iter().map(|error| error.field.as_str()).collect()
    }

    #[test]
    fn what_a_budget_may_ask_for() {
        for (name, spec, wanted) in [
            ("nothing", json!({}), vec![]),
            ("a number", json!({"minAvailable": 0}), vec![]),
            ("a share", json!({"maxUnavailable": "100%"}), vec![]),
            ("every pod", json!({"minAvailable": "0%", "selector": {}}), vec![]),
            ("both", json!({"minAvailable": 1, "maxUnavailable": 1}), vec!["spec"]),
            ("below zero", json!({"minAvailable": -1}), vec!["spec.minAvailable"]),
            (
                "more than all",
                json!({"maxUnavailable": "101%"}),
                vec!["spec.maxUnavailable"],
            ),
            ("no share", json!({"minAvailable": "1"}), vec!["spec.minAvailable"]),
            (
                "a share below zero",
                json!({"minAvailable": "-1%"}),
                vec!["spec.minAvailable"],
            ),
            (
                "a share past counting",
                json!({"minAvailable": "99999999999999999999%"}),
                vec!["spec.minAvailable"],
            ),
            (
                "a selector's operator",
                json!({"selector": {"matchExpressions": [{"key": "a", "operator": "Near"}]}}),
                vec!["spec.selector.matchExpressions[0].operator"],
            ),
            (
                "a selector's label",
                json!({"selector": {"matchLabels": {"a b": "c"}}}),
                vec!["spec.selector.matchLabels"],
            ),
            ("a policy", json!({"unhealthyPodEvictionPolicy": "AlwaysAllow"}), vec![]),
            (
                "another policy",
                json!({"unhealthyPodEvictionPolicy": "Sometimes"}),
                vec!["spec.unhealthyPodEvictionPolicy"],
            ),
        ] {
            let mut object = budget(spec, Value::Null);
            kind().default(&mut object);
            kind().prepare_create(&mut object);
            let errors = kind().validate_create(&object);
            assert_eq!(fields(&errors), wanted, "{name}: {errors:?}");
        }
    }

    #[test]
    fn a_status_counts_and_tells_why() {
        let condition = json!({"type": "DisruptionAllowed", "status": "True", "reason": "SufficientPods",
            "lastTransitionTime": "2026-01-01T00:00:00Z"});
        let with = |field: &str, value: Value| {
            let mut condition = condition.clone();
            condition[field] = value;
            json!({"conditions": [condition]})
        };
        for (name, status, wanted) in [
            (
                "good",
                json!({"conditions": [condition], "disruptionsAllowed": 1}),
                vec![],
            ),
            (
                "below zero",
                json!({"disruptionsAllowed": -1, "currentHealthy": -1, "desiredHealthy": -1, "expectedPods": -1}),
                vec![
                    "status.disruptionsAllowed",
                    "status.currentHealthy",
                    "status.desiredHealthy",
                    "status.expectedPods",
                ],
            ),
            (
                "twice",
                json!({"conditions": [condition, condition]}),
                vec!["status.conditions[1].type"],
            ),
            (
                "neither",
                with("status", json!("Maybe")),
                vec!["status.conditions[0].status"],
            ),
            (
                "no reason",
                with("reason", json!("")),
                vec!["status.conditions[0].reason"],
            ),
            (
                "a sentence",
                with("reason", json!("as it is")),
                vec!["status.conditions[0].reason"],
            ),
        ] {
            let old = budget(json!({}), Value::Null);
            let mut new = budget(json!({"minAvailable": -5}), status);
            kind().prepare_update(&mut new, &old, Part::Status);
            assert_eq!(
                new["spec"], old["spec"],
                "{name}: a status writer leaves the spec alone"
            );
            let errors = kind().validate_update(&new, &old, Part::Status);
            assert_eq!(fields(&errors), wanted, "{name}: {errors:?}");
        }
    }

    #[test]
    fn the_generation_counts_changes_of_the_spec() {
        let mut old = budget(json!({"minAvailable": 1}), json!({"disruptionsAllowed": 5}));
        kind().prepare_create(&mut old);
        assert_eq!(old["metadata"]["generation"], 1);
        assert_eq!(old["status"]["disruptionsAllowed"], 0, "a creator sets no status");
        old["status"]["disruptionsAllowed"] = json!(2);
        for (name, spec, part, wanted) in [
            ("same", json!({"minAvailable": 1}), Part::Main, 1),
            ("other", json!({"minAvailable": 0}), Part::Main, 2),
            ("status", json!({"minAvailable": 0}), Part::Status, 1),
        ] {
            let mut new = budget(spec, json!({"disruptionsAllowed": 9}));
            kind().prepare_update(&mut new, &old, part);
            assert_eq!(new["metadata"]["generation"], wanted, "{name}");
            let allowed = if part == Part::Main { 2 } else { 9 };
            assert_eq!(new["status"]["disruptionsAllowed"], allowed, "{name}");
        }
    }

    #[test]
    fn it_prints_as_kubernetes_prints_it() {
        let printed = budget(
            json!({"minAvailable": 0, "selector": {}, "unhealthyPodEvictionPolicy": "AlwaysAllow"}),
            Value::Null,
        );
        assert_eq!(
            printed["spec"],
            json!({"minAvailable": 0, "selector": {}, "unhealthyPodEvictionPolicy": "AlwaysAllow"})
        );
        assert_eq!(
            printed["status"],
            json!({"currentHealthy": 0, "desiredHealthy": 0, "disruptionsAllowed": 0, "expectedPods": 0})
        );
    }
}
