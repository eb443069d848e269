//! What is wrong with a status' conditions of the common form (`meta/v1`). Sets none. One without a time is refused when
//! it is read.

use std::collections::BTreeSet;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;

use crate::object::field_error::{FieldError, Path};
use crate::object::format;

/// The most bytes of a reason, as in Kubernetes.
const REASON_MAX: usize = 1024;
/// The most bytes of a message, as in Kubernetes.
const MESSAGE_MAX: usize = 32 * 1024;

/// Everything wrong with them.
pub(super) fn validate(conditions: &[Condition], at: &Path, errors: &mut Vec<FieldError>) {
    let mut known = BTreeSet::new();
    for (index, condition) in conditions.iter().enumerate() {
        let at = at.index(index);
        if !known.insert(&condition.type_) {
            errors.push(FieldError::duplicate(&at.child("type"), &condition.type_));
        }
        validate_one(condition, &at, errors);
    }
}

fn validate_one(condition: &Condition, at: &Path, errors: &mut Vec<FieldError>) {
    let problems = format::qualified_name(&condition.type_).into_iter();
    errors.extend(problems.map(|why| FieldError::invalid(&at.child("type"), &condition.type_, why)));
    let statuses = ["False", "True", "Unknown"];
    if !statuses.contains(&condition.status.as_str()) {
        errors.push(FieldError::not_supported(
            &at.child("status"),
            &condition.status,
            &statuses,
        ));
    }
    if let Some(generation) = condition.observed_generation.filter(|generation| *generation < 0) {
        let why = "must be greater than or equal to zero";
        errors.push(FieldError::invalid(&at.child("observedGeneration"), generation, why));
    }
    let reason = condition.reason.as_str();
    if reason.is_empty() {
        errors.push(FieldError::required(&at.child("reason"), "must be set"));
    } else if !is_reason(reason) {
        let why = "a condition reason must start with alphabetic character, optionally followed by a string of \
                   alphanumeric characters or '_,:', and must end with an alphanumeric character or '_'";
        errors.push(FieldError::invalid(&at.child("reason"), reason, why));
    }
    for (text, max, field) in [
        (reason, REASON_MAX, "reason"),
        (condition.message.as_str(), MESSAGE_MAX, "message"),
    ] {
        if text.len() > max {
            errors.push(FieldError::too_long(&at.child(field), max));
        }
    }
}

/// A letter, then letters, digits and `_,:`, of which the last two do not end it.
fn is_reason(text: &str) -> bool {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"_,:".contains(&byte);
    text.starts_with(|first: char| first.is_ascii_alphabetic())
        && text.bytes().all(allowed)
        && !text.ends_with([',', ':'])
}
