//! Gates, spread constraints and tolerations.

use std::collections::BTreeSet;

use k8s_openapi::api::core::v1::{PodSpec, Toleration};

use super::{form_of, one_of};
use crate::object::field_error::{FieldError, Path};
use crate::object::format;
use crate::object::kinds::label_selector;

/// Readiness and scheduling gates.
pub(super) fn validate_gates(spec: &PodSpec, path: &Path, errors: &mut Vec<FieldError>) {
    for (index, gate) in spec.readiness_gates.iter().flatten().enumerate() {
        let at = path.child("readinessGates").index(index).child("conditionType");
        form_of(&gate.condition_type, format::qualified_name, &at, errors);
    }
    let mut names = BTreeSet::new();
    for (index, gate) in spec.scheduling_gates.iter().flatten().enumerate() {
        let at = path.child("schedulingGates").index(index);
        form_of(&gate.name, format::qualified_name, &at, errors);
        if !names.insert(&gate.name) {
            errors.push(FieldError::duplicate(&at, &gate.name));
        }
    }
}

/// `topologySpreadConstraints`.
pub(super) fn validate_spread(spec: &PodSpec, field: &Path, errors: &mut Vec<FieldError>) {
    let mut pairs = BTreeSet::new();
    for (index, constraint) in spec.topology_spread_constraints.iter().flatten().enumerate() {
        let at = field.index(index);
        if constraint.max_skew <= 0 {
            errors.push(FieldError::invalid(
                &at.child("maxSkew"),
                constraint.max_skew,
                "must be greater than zero",
            ));
        }
        match constraint.topology_key.as_str() {
            "" => errors.push(FieldError::required(&at.child("topologyKey"), "can not be empty")),
            key => form_of(key, format::qualified_name, &at.child("topologyKey"), errors),
        }
        let actions = ["DoNotSchedule", "ScheduleAnyway"];
        let action = constraint.when_unsatisfiable.as_str();
        if !actions.contains(&action) {
            errors.push(FieldError::not_supported(
                &at.child("whenUnsatisfiable"),
                action,
                &actions,
            ));
        }
        if !pairs.insert((&constraint.topology_key, action)) {
            let pair = format!("{{{}, {action}}}", constraint.topology_key);
            errors.push(FieldError::duplicate(
                &at.child("{topologyKey, whenUnsatisfiable}"),
                pair,
            ));
        }
        if let Some(domains) = constraint.min_domains {
            let field = at.child("minDomains");
            if domains <= 0 {
                errors.push(FieldError::invalid(&field, domains, "must be greater than zero"));
            }
            if action != "DoNotSchedule" {
                let why = format!("can only use minDomains if whenUnsatisfiable=DoNotSchedule, not {action}");
                errors.push(FieldError::invalid(&field, domains, why));
            }
        }
        for (policy, name) in [
            (&constraint.node_affinity_policy, "nodeAffinityPolicy"),
            (&constraint.node_taints_policy, "nodeTaintsPolicy"),
        ] {
            if let Some(policy) = policy {
                one_of(Some(policy), &["Honor", "Ignore"], &at.child(name), errors);
            }
        }
        if let Some(selector) = &constraint.label_selector {
            label_selector::validate(selector, &at.child("labelSelector"), errors);
        }
        for (index, key) in constraint.match_label_keys.iter().flatten().enumerate() {
            form_of(
                key,
                format::qualified_name,
                &at.child("matchLabelKeys").index(index),
                errors,
            );
        }
    }
}

/// `tolerations`.
pub(super) fn validate_tolerations(tolerations: &[Toleration], path: &Path, errors: &mut Vec<FieldError>) {
    for (index, toleration) in tolerations.iter().enumerate() {
        let at = path.child("tolerations").index(index);
        let field = at.child("operator");
        let operator = toleration.operator.as_deref().unwrap_or("");
        let effect = toleration.effect.as_deref().unwrap_or("");
        match &toleration.key {
            Some(key) => form_of(key, format::qualified_name, &at.child("key"), errors),
            None if operator != "Exists" => {
                let why = "operator must be Exists when `key` is empty, which means \"match all values and all keys\"";
                errors.push(FieldError::invalid(&field, operator, why));
            }
            None => {}
        }
        if toleration.toleration_seconds.is_some() && effect != "NoExecute" {
            let why = "effect must be 'NoExecute' when `tolerationSeconds` is set";
            errors.push(FieldError::invalid(&at.child("effect"), effect, why));
        }
        let value = toleration.value.as_deref().unwrap_or("");
        match operator {
            "" | "Equal" => form_of(value, format::label_value, &field, errors),
            "Exists" if !value.is_empty() => {
                let why = "value must be empty when `operator` is 'Exists'";
                errors.push(FieldError::invalid(&field, toleration, why));
            }
            "Exists" => {}
            other => errors.push(FieldError::not_supported(&field, other, &["Equal", "Exists"])),
        }
        if !effect.is_empty() {
            one_of(
                Some(effect),
                &["NoSchedule", "PreferNoSchedule", "NoExecute"],
                &at.child("effect"),
                errors,
            );
        }
    }
}
