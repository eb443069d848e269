//! Leases.

use k8s_openapi::api::coordination::v1::Lease;

use super::Strategy;

/// The rules of leases.
pub(in crate::object) struct Leases;

impl Strategy for Leases {
    type Object = Lease;
}
