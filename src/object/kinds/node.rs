//! Nodes.

use k8s_openapi::api::core::v1::Node;

use super::Strategy;
use super::selectable::{Selectable, flag};

/// The rules of Nodes.
pub(in crate::object) struct Nodes;

impl Strategy for Nodes {
    type Object = Node;

    fn selectable() -> &'static [Selectable] {
        const FIELDS: &[Selectable] = &[flag("spec.unschedulable", &["/spec/unschedulable"])];
        FIELDS
    }
}
