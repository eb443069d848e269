//! Priority classes.

use k8s_openapi::api::scheduling::v1::PriorityClass;

use super::Strategy;

/// The rules of priority classes.
pub(in crate::object) struct PriorityClasses;

impl Strategy for PriorityClasses {
    type Object = PriorityClass;
}
