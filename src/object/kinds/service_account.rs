//! ServiceAccounts.

use k8s_openapi::api::core::v1::ServiceAccount;

use super::Strategy;

/// The rules of ServiceAccounts.
pub(in crate::object) struct ServiceAccounts;

impl Strategy for ServiceAccounts {
    type Object = ServiceAccount;
}
