//! Leases.

use k8s_openapi::api::coordination::v1::Lease;

use super::Strategy;
use crate::object::field_error::{FieldError, Path};
use crate::object::kind::Part;
use crate::object::table::{self, Table};

/// The rules of leases.
pub(in crate::object) struct Leases;

impl Strategy for Leases {
    const TABLE: Table = table::LEASES;

    type Object = Lease;

    fn validate_create(lease: &Lease, errors: &mut Vec<FieldError>) {
        let Some(spec) = &lease.spec else { return };
        let path = Path::new("spec");
        if let Some(seconds) = spec.lease_duration_seconds.filter(|seconds| *seconds <= 0) {
            let field = path.child("leaseDurationSeconds");
            errors.push(FieldError::invalid(&field, seconds, "must be greater than 0"));
        }
        if let Some(count) = spec.lease_transitions.filter(|count| *count < 0) {
            let why = "must be greater than or equal to 0";
            errors.push(FieldError::invalid(&path.child("leaseTransitions"), count, why));
        }
        if spec.preferred_holder.is_some() && spec.strategy.is_none() {
            let why = "may only be specified when `strategy` is defined";
            errors.push(FieldError::forbidden(&path.child("preferredHolder"), why));
        }
    }

    fn validate_update(lease: &Lease, _old: &Lease, _part: Part, errors: &mut Vec<FieldError>) {
        Self::validate_create(lease, errors);
    }
}
