//! Namespaces.

use k8s_openapi::api::core::v1::Namespace;

use super::Strategy;
use super::selectable::{Selectable, field};

/// The rules of Namespaces.
pub(in crate::object) struct Namespaces;

impl Strategy for Namespaces {
    type Object = Namespace;

    fn selectable() -> &'static [Selectable] {
        const FIELDS: &[Selectable] = &[field("status.phase", &["/status/phase"])];
        FIELDS
    }
}
