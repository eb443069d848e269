//! Service accounts: there is nothing to them but metadata and what they refer to.

use k8s_openapi::api::core::v1::ServiceAccount;

use super::Strategy;
use crate::object::table::{self, Table};

/// The rules of service accounts.
pub(in crate::object) struct ServiceAccounts;

impl Strategy for ServiceAccounts {
    const TABLE: Table = table::SERVICE_ACCOUNTS;

    type Object = ServiceAccount;
}
