//! Secrets.

use k8s_openapi::api::core::v1::Secret;

use super::Strategy;
use super::selectable::{Selectable, field};

/// The rules of Secrets.
pub(in crate::object) struct Secrets;

impl Strategy for Secrets {
    type Object = Secret;

    fn selectable() -> &'static [Selectable] {
        const FIELDS: &[Selectable] = &[field("type", &["/type"])];
        FIELDS
    }
}
