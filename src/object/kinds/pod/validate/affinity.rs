//! Node and pod affinity, and the selectors they are made of.

use k8s_openapi::api::core::v1::{
    Affinity, NodeAffinity, NodeSelector, NodeSelectorRequirement, NodeSelectorTerm, PodAffinityTerm,
    WeightedPodAffinityTerm,
};

use super::form_of;
use crate::object::field_error::{FieldError, Path};
use crate::object::format;
use crate::object::kinds::label_selector::{self, validate_operator};

const REQUIRED: &str = "requiredDuringSchedulingIgnoredDuringExecution";
const PREFERRED: &str = "preferredDuringSchedulingIgnoredDuringExecution";

/// A pod's `affinity`.
pub(super) fn validate(affinity: &Affinity, at: &Path, errors: &mut Vec<FieldError>) {
    if let Some(node) = &affinity.node_affinity {
        validate_node(node, &at.child("nodeAffinity"), errors);
    }
    if let Some(pod) = &affinity.pod_affinity {
        let required = pod.required_during_scheduling_ignored_during_execution.as_deref();
        let preferred = pod.preferred_during_scheduling_ignored_during_execution.as_deref();
        validate_pod(required, preferred, &at.child("podAffinity"), errors);
    }
    if let Some(pod) = &affinity.pod_anti_affinity {
        let required = pod.required_during_scheduling_ignored_during_execution.as_deref();
        let preferred = pod.preferred_during_scheduling_ignored_during_execution.as_deref();
        validate_pod(required, preferred, &at.child("podAntiAffinity"), errors);
    }
}

/// A pod's `nodeAffinity`.
pub(crate) fn validate_node(affinity: &NodeAffinity, at: &Path, errors: &mut Vec<FieldError>) {
    if let Some(selector) = &affinity.required_during_scheduling_ignored_during_execution {
        validate_selector(selector, &at.child(REQUIRED), errors);
    }
    for (index, term) in affinity
        .preferred_during_scheduling_ignored_during_execution
        .iter()
        .flatten()
        .enumerate()
    {
        let at = at.child(PREFERRED).index(index);
        validate_weight(term.weight, &at, errors);
        validate_term(&term.preference, &at.child("preference"), errors);
    }
}

/// What a node must be like, of which one term must hold.
pub(in crate::object::kinds) fn validate_selector(selector: &NodeSelector, at: &Path, errors: &mut Vec<FieldError>) {
    let field = at.child("nodeSelectorTerms");
    if selector.node_selector_terms.is_empty() {
        let why = "must have at least one node selector term";
        errors.push(FieldError::required(&field, why));
    }
    for (index, term) in selector.node_selector_terms.iter().enumerate() {
        validate_term(term, &field.index(index), errors);
    }
}

fn validate_weight(weight: i32, at: &Path, errors: &mut Vec<FieldError>) {
    if !(1..=100).contains(&weight) {
        errors.push(FieldError::invalid(
            &at.child("weight"),
            weight,
            "must be in the range 1-100",
        ));
    }
}

fn validate_term(term: &NodeSelectorTerm, at: &Path, errors: &mut Vec<FieldError>) {
    for (index, requirement) in term.match_expressions.iter().flatten().enumerate() {
        let at = at.child("matchExpressions").index(index);
        let values = requirement.values.as_deref().unwrap_or_default();
        match requirement.operator.as_str() {
            "Gt" | "Lt" if values.len() != 1 => {
                let why = "must be specified single value when `operator` is 'Lt' or 'Gt'";
                errors.push(FieldError::required(&at.child("values"), why));
            }
            "Gt" | "Lt" => {}
            operator => validate_operator(operator, values, &at, errors),
        }
        form_of(&requirement.key, format::qualified_name, &at.child("key"), errors);
        for (index, value) in values.iter().enumerate() {
            form_of(value, format::label_value, &at.child("values").index(index), errors);
        }
    }
    for (index, requirement) in term.match_fields.iter().flatten().enumerate() {
        validate_field_requirement(requirement, &at.child("matchFields").index(index), errors);
    }
}

/// The only field is the node's name, and only one may be named.
fn validate_field_requirement(requirement: &NodeSelectorRequirement, at: &Path, errors: &mut Vec<FieldError>) {
    let values = requirement.values.as_deref().unwrap_or_default();
    match requirement.operator.as_str() {
        "In" | "NotIn" if values.len() != 1 => {
            let why = "must be only one value when `operator` is 'In' or 'NotIn' for node field selector";
            errors.push(FieldError::required(&at.child("values"), why));
        }
        "In" | "NotIn" => {}
        operator => {
            errors.push(FieldError::invalid(
                &at.child("operator"),
                operator,
                "not a valid selector operator",
            ));
        }
    }
    if requirement.key == "metadata.name" {
        for (index, value) in values.iter().enumerate() {
            form_of(value, format::dns_subdomain, &at.child("values").index(index), errors);
        }
    } else {
        errors.push(FieldError::invalid(
            &at.child("key"),
            &requirement.key,
            "not a valid field selector key",
        ));
    }
}

fn validate_pod(
    required: Option<&[PodAffinityTerm]>,
    preferred: Option<&[WeightedPodAffinityTerm]>,
    at: &Path,
    errors: &mut Vec<FieldError>,
) {
    for (index, term) in required.unwrap_or_default().iter().enumerate() {
        validate_pod_term(term, &at.child(REQUIRED).index(index), errors);
    }
    for (index, term) in preferred.unwrap_or_default().iter().enumerate() {
        let at = at.child(PREFERRED).index(index);
        validate_weight(term.weight, &at, errors);
        validate_pod_term(&term.pod_affinity_term, &at.child("podAffinityTerm"), errors);
    }
}

fn validate_pod_term(term: &PodAffinityTerm, at: &Path, errors: &mut Vec<FieldError>) {
    for (selector, field) in [
        (&term.label_selector, "labelSelector"),
        (&term.namespace_selector, "namespaceSelector"),
    ] {
        if let Some(selector) = selector {
            label_selector::validate(selector, &at.child(field), errors);
        }
    }
    for name in term.namespaces.iter().flatten() {
        form_of(name, format::dns_label, &at.child("namespace"), errors);
    }
    let field = at.child("topologyKey");
    if term.topology_key.is_empty() {
        errors.push(FieldError::required(&field, "can not be empty"));
    }
    form_of(&term.topology_key, format::qualified_name, &field, errors);
    for (keys, field) in [
        (&term.match_label_keys, "matchLabelKeys"),
        (&term.mismatch_label_keys, "mismatchLabelKeys"),
    ] {
        for (index, key) in keys.iter().flatten().enumerate() {
            form_of(key, format::qualified_name, &at.child(field).index(index), errors);
        }
    }
}
