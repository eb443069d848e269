//! Namespaces: they live until their finalizer is gone.

use k8s_openapi::api::core::v1::{Namespace, NamespaceSpec, NamespaceStatus};

use super::Strategy;
use super::selectable::{Selectable, field};
use crate::object::field_error::{FieldError, Path};
use crate::object::format;
use crate::object::kind::Part;
use crate::object::table::{self, Table};

/// Who empties a namespace before it goes.
const FINALIZER: &str = "kubernetes";

/// The rules of namespaces.
pub(in crate::object) struct Namespaces;

impl Strategy for Namespaces {
    const TABLE: Table = table::NAMESPACES;

    type Object = Namespace;

    fn name_problems(name: &str) -> Vec<String> {
        format::dns_label(name)
    }

    fn prepare_create(namespace: &mut Namespace) {
        namespace.status = Some(NamespaceStatus {
            phase: Some("Active".to_owned()),
            ..NamespaceStatus::default()
        });
        let NamespaceSpec { finalizers } = namespace.spec.get_or_insert_default();
        let finalizers = finalizers.get_or_insert_default();
        if !finalizers.iter().any(|name| name == FINALIZER) {
            finalizers.push(FINALIZER.to_owned());
        }
    }

    /// The finalizers of the spec go through `/finalize` alone.
    fn prepare_update(namespace: &mut Namespace, old: &Namespace, part: Part) {
        namespace.spec.clone_from(&old.spec);
        if part == Part::Main {
            namespace.status.clone_from(&old.status);
        }
    }

    fn validate_create(namespace: &Namespace, errors: &mut Vec<FieldError>) {
        let path = Path::new("spec.finalizers");
        for name in namespace
            .spec
            .iter()
            .filter_map(|spec| spec.finalizers.as_ref())
            .flatten()
        {
            let problems = format::qualified_name(name);
            errors.extend(problems.into_iter().map(|why| FieldError::invalid(&path, name, why)));
            if !name.contains('/') && name != FINALIZER {
                let why = "name is neither a standard finalizer name nor is it fully qualified";
                errors.push(FieldError::invalid(&path, name, why));
            }
        }
    }

    fn validate_update(namespace: &Namespace, old: &Namespace, part: Part, errors: &mut Vec<FieldError>) {
        if part == Part::Main {
            return;
        }
        let deleting = old.metadata.deletion_timestamp.is_some();
        let phase = namespace
            .status
            .as_ref()
            .and_then(|status| status.phase.as_deref())
            .unwrap_or("");
        let why = match (deleting, phase) {
            (true, "Terminating") | (false, "Active") => return,
            (true, _) => "may only be 'Terminating' if `deletionTimestamp` is not empty",
            (false, _) => "may only be 'Active' if `deletionTimestamp` is empty",
        };
        errors.push(FieldError::invalid(&Path::new("status.Phase"), phase, why));
    }

    fn selectable() -> &'static [Selectable] {
        const FIELDS: &[Selectable] = &[field("status.phase", &["/status/phase"])];
        FIELDS
    }
}
