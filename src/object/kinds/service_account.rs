//! Service accounts: there is nothing to them but metadata and what they refer to.

use k8s_openapi::api::core::v1::ServiceAccount;

use super::Strategy;

/// The rules of service accounts.
pub(in crate::object) struct ServiceAccounts;

impl Strategy for ServiceAccounts {
    type Object = ServiceAccount;
}
