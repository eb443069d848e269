//! What is wrong with the API's `LabelSelector`, wherever a kind has one. Never matches anything.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;

use crate::object::field_error::{FieldError, Path};
use crate::object::{format, metadata};

/// Everything wrong with a selector.
pub(super) fn validate(selector: &LabelSelector, at: &Path, errors: &mut Vec<FieldError>) {
    metadata::validate_labels(selector.match_labels.as_ref(), &at.child("matchLabels"), errors);
    for (index, requirement) in selector.match_expressions.iter().flatten().enumerate() {
        let at = at.child("matchExpressions").index(index);
        let values = requirement.values.as_deref().unwrap_or_default();
        validate_operator(&requirement.operator, values, &at, errors);
        let key = &requirement.key;
        let problems = format::qualified_name(key).into_iter();
        errors.extend(problems.map(|why| FieldError::invalid(&at.child("key"), key, why)));
        for (index, value) in values.iter().enumerate() {
            let field = at.child("values").index(index);
            let problems = format::label_value(value).into_iter();
            errors.extend(problems.map(|why| FieldError::invalid(&field, value, why)));
        }
    }
}

/// Whether the values fit the operator; also of a node selector's.
pub(super) fn validate_operator(operator: &str, values: &[String], at: &Path, errors: &mut Vec<FieldError>) {
    match operator {
        "In" | "NotIn" if values.is_empty() => {
            let why = "must be specified when `operator` is 'In' or 'NotIn'";
            errors.push(FieldError::required(&at.child("values"), why));
        }
        "Exists" | "DoesNotExist" if !values.is_empty() => {
            let why = "may not be specified when `operator` is 'Exists' or 'DoesNotExist'";
            errors.push(FieldError::forbidden(&at.child("values"), why));
        }
        "In" | "NotIn" | "Exists" | "DoesNotExist" => {}
        other => errors.push(FieldError::invalid(
            &at.child("operator"),
            other,
            "not a valid selector operator",
        )),
    }
}
