//! Priority classes. Those of the system are above what a user may define.

use k8s_openapi::api::scheduling::v1::PriorityClass;

use super::Strategy;
use crate::object::field_error::{FieldError, Path};
use crate::object::kind::Part;
use crate::object::metadata::immutable;
use crate::object::table::{self, Table};

/// The highest priority that is not the system's.
const USER_MAX: i32 = 1_000_000_000;
/// What only the system's own classes begin with.
const SYSTEM_PREFIX: &str = "system-";
/// The system's own classes.
const SYSTEM: [(&str, i32); 2] = [
    ("system-node-critical", 2_000_001_000),
    ("system-cluster-critical", 2_000_000_000),
];

/// The rules of priority classes.
pub(in crate::object) struct PriorityClasses;

impl Strategy for PriorityClasses {
    const TABLE: Table = table::PRIORITY_CLASSES;

    type Object = PriorityClass;

    fn default(class: &mut PriorityClass) {
        class
            .preemption_policy
            .get_or_insert_with(|| "PreemptLowerPriority".to_owned());
    }

    fn prepare_create(class: &mut PriorityClass) {
        class.metadata.generation = Some(1);
    }

    fn validate_create(class: &PriorityClass, errors: &mut Vec<FieldError>) {
        let name = class.metadata.name.as_deref().unwrap_or("");
        let value = class.value.unwrap_or(0);
        if name.starts_with(SYSTEM_PREFIX) {
            if !SYSTEM.contains(&(name, value)) || class.global_default == Some(true) {
                let why = format!(
                    "priority class names with '{SYSTEM_PREFIX}' prefix are reserved for system use only. error: {name} \
                     is not a known system priority class of that value"
                );
                errors.push(FieldError::forbidden(&Path::new("metadata.name"), &why));
            }
        } else if value > USER_MAX {
            let why = format!("maximum allowed value of a user defined priority is {USER_MAX}");
            errors.push(FieldError::forbidden(&Path::new("value"), &why));
        }
        let policies = ["Never", "PreemptLowerPriority"];
        match class.preemption_policy.as_deref() {
            Some(policy) if !policies.contains(&policy) => {
                errors.push(FieldError::not_supported(
                    &Path::new("preemptionPolicy"),
                    policy,
                    &policies,
                ));
            }
            _ => {}
        }
    }

    /// Pods have copied what it says: it never changes.
    fn validate_update(class: &PriorityClass, old: &PriorityClass, _part: Part, errors: &mut Vec<FieldError>) {
        if class.value.unwrap_or(0) != old.value.unwrap_or(0) {
            let why = "may not be changed in an update.";
            errors.push(FieldError::forbidden(&Path::new("value"), why));
        }
        immutable(
            &class.preemption_policy,
            &old.preemption_policy,
            &Path::new("preemptionPolicy"),
            errors,
        );
    }
}
