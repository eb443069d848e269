//! Requests and limits.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::ResourceRequirements;
use k8s_openapi::apimachinery::pkg::api::resource::Quantity as Amount;

use super::form_of;
use crate::object::field_error::{FieldError, Path};
use crate::object::format;
use crate::object::quantity::Quantity;

/// Resources that a container may ask for by a plain name.
const OF_CONTAINERS: [&str; 3] = ["cpu", "memory", "ephemeral-storage"];
/// Plain names that mean something elsewhere: of a quota or a node.
const STANDARD: [&str; 11] = [
    "configmaps",
    "limits.cpu",
    "limits.memory",
    "persistentvolumeclaims",
    "pods",
    "replicationcontrollers",
    "requests.cpu",
    "requests.memory",
    "resourcequotas",
    "secrets",
    "services",
];

/// A container's requests and limits.
pub(super) fn validate(requirements: &ResourceRequirements, at: &Path, errors: &mut Vec<FieldError>) {
    let (limits_at, requests_at) = (at.child("limits"), at.child("requests"));
    let empty = BTreeMap::new();
    let limits = requirements.limits.as_ref().unwrap_or(&empty);
    let requests = requirements.requests.as_ref().unwrap_or(&empty);
    validate_amounts(limits, &limits_at, errors);
    for (name, amount) in requests {
        validate_amount(name, amount, &requests_at.key(name), errors);
        match limits.get(name) {
            Some(limit) => {
                let (request, bound) = (quantity(amount), quantity(limit));
                if request != bound && !may_overcommit(name) {
                    let why = format!("must be equal to {name} limit of {}", limit.0);
                    errors.push(FieldError::invalid(&requests_at, &amount.0, why));
                } else if request > bound {
                    let why = format!("must be less than or equal to {name} limit of {}", limit.0);
                    errors.push(FieldError::invalid(&requests_at, &amount.0, why));
                }
            }
            None if !may_overcommit(name) => {
                errors.push(FieldError::required(
                    &limits_at,
                    "Limit must be set for non overcommitable resources",
                ));
            }
            None => {}
        }
    }
    let names: Vec<&String> = limits.keys().chain(requests.keys()).collect();
    if names.iter().any(|name| is_huge_page(name))
        && !names.iter().any(|name| OF_CONTAINERS[..2].contains(&name.as_str()))
    {
        errors.push(FieldError::forbidden(at, "HugePages require cpu or memory"));
    }
}

/// Amounts by a container resource's name.
pub(super) fn validate_amounts(amounts: &BTreeMap<String, Amount>, at: &Path, errors: &mut Vec<FieldError>) {
    for (name, amount) in amounts {
        validate_amount(name, amount, &at.key(name), errors);
    }
}

fn validate_amount(name: &str, amount: &Amount, at: &Path, errors: &mut Vec<FieldError>) {
    form_of(name, format::qualified_name, at, errors);
    if !name.contains('/') {
        let of_container = OF_CONTAINERS.contains(&name) || is_huge_page(name);
        if !of_container && !STANDARD.contains(&name) {
            errors.push(FieldError::invalid(
                at,
                name,
                "must be a standard resource type or fully qualified",
            ));
        }
        if !of_container {
            errors.push(FieldError::invalid(
                at,
                name,
                "must be a standard resource for containers",
            ));
        }
    } else if name.starts_with("requests.") {
        errors.push(FieldError::invalid(
            at,
            name,
            "doesn't follow extended resource name standard",
        ));
    }
    let amount = quantity(amount);
    if amount.is_negative() {
        errors.push(FieldError::invalid(
            at,
            amount.to_string(),
            "must be greater than or equal to 0",
        ));
    }
    if (is_extended(name) || is_huge_page(name)) && !amount.is_whole() {
        errors.push(FieldError::invalid(at, amount.to_string(), "must be an integer"));
    }
}

fn is_huge_page(name: &str) -> bool {
    name.starts_with("hugepages-")
}

fn is_extended(name: &str) -> bool {
    name.contains('/') && !name.contains("kubernetes.io/")
}

/// Whether the sum of requests may lie below what is in use.
fn may_overcommit(name: &str) -> bool {
    !is_extended(name) && !is_huge_page(name)
}

/// Decoding let only quantities through.
fn quantity(amount: &Amount) -> Quantity {
    amount.0.parse().unwrap_or_default()
}
