//! What is wrong with what volumes and claims have in common: access modes, volume modes, classes, amounts.

use std::collections::BTreeSet;

use k8s_openapi::apimachinery::pkg::api::resource::Quantity as Amount;

use crate::object::field_error::{FieldError, Path};
use crate::object::format;
use crate::object::quantity::Quantity;
use crate::object::volume::{FILESYSTEM, ONE_POD};

const ACCESS_MODES: [&str; 4] = ["ReadOnlyMany", "ReadWriteMany", "ReadWriteOnce", ONE_POD];
const VOLUME_MODES: [&str; 2] = ["Block", FILESYSTEM];

/// How it may be used; `why` is said where it may not be used at all.
pub(super) fn validate_access_modes(modes: &[String], why: &str, at: &Path, errors: &mut Vec<FieldError>) {
    if modes.is_empty() {
        errors.push(FieldError::required(at, why));
    }
    for mode in modes.iter().filter(|mode| !ACCESS_MODES.contains(&mode.as_str())) {
        errors.push(FieldError::not_supported(at, mode, &ACCESS_MODES));
    }
    let different: BTreeSet<&str> = modes.iter().map(String::as_str).collect();
    if different.len() > 1 && different.contains(ONE_POD) {
        let why = "may not use ReadWriteOncePod with other access modes";
        errors.push(FieldError::forbidden(at, why));
    }
}

/// As files or as a block device.
pub(super) fn validate_volume_mode(mode: Option<&str>, at: &Path, errors: &mut Vec<FieldError>) {
    if let Some(mode) = mode.filter(|mode| !VOLUME_MODES.contains(mode)) {
        errors.push(FieldError::not_supported(at, mode, &VOLUME_MODES));
    }
}

/// A class by its name; the empty one is none.
pub(super) fn validate_class_name(name: Option<&str>, at: &Path, errors: &mut Vec<FieldError>) {
    if let Some(name) = name.filter(|name| !name.is_empty()) {
        let problems = format::dns_subdomain(name).into_iter();
        errors.extend(problems.map(|why| FieldError::invalid(at, name, why)));
    }
}

/// An amount of storage that is more than nothing.
pub(super) fn validate_positive(amount: &Amount, at: &Path, errors: &mut Vec<FieldError>) {
    let read: Option<Quantity> = amount.0.parse().ok();
    let Some(amount) = read else { return };
    if amount.is_negative() {
        errors.push(FieldError::invalid(
            at,
            amount.to_string(),
            "must be greater than or equal to 0",
        ));
    }
    if amount.is_negative() || amount.is_zero() {
        errors.push(FieldError::invalid(at, amount.to_string(), "must be greater than zero"));
    }
}
