//! Events: what happened to another object, which they must share the namespace with.

use k8s_openapi::api::core::v1::Event;

use super::Strategy;
use super::selectable::{Selectable, field};
use crate::object::field_error::{FieldError, Path};
use crate::object::kind::Part;
use crate::object::table::{self, Table};

/// The namespace of events about objects that have none.
const DEFAULT_NAMESPACE: &str = "default";

/// The rules of Events.
pub(in crate::object) struct Events;

impl Strategy for Events {
    const TABLE: Table = table::EVENTS;

    type Object = Event;

    fn validate_create(event: &Event, errors: &mut Vec<FieldError>) {
        let about = &event.involved_object;
        let own = event.metadata.namespace.as_deref().unwrap_or("");
        let path = Path::new("involvedObject.namespace");
        let fits = match about.namespace.as_deref() {
            // Older nodes write about themselves into the namespace that they name.
            None => own == DEFAULT_NAMESPACE || own == "kube-system",
            Some(namespace) => namespace == own,
        };
        if !fits {
            let namespace = about.namespace.as_deref().unwrap_or("");
            errors.push(FieldError::invalid(&path, namespace, "does not match event.namespace"));
        }
    }

    fn validate_update(event: &Event, _old: &Event, _part: Part, errors: &mut Vec<FieldError>) {
        Self::validate_create(event, errors);
    }

    fn selectable() -> &'static [Selectable] {
        const FIELDS: &[Selectable] = &[
            field("involvedObject.kind", &["/involvedObject/kind"]),
            field("involvedObject.namespace", &["/involvedObject/namespace"]),
            field("involvedObject.name", &["/involvedObject/name"]),
            field("involvedObject.uid", &["/involvedObject/uid"]),
            field("involvedObject.apiVersion", &["/involvedObject/apiVersion"]),
            field("involvedObject.resourceVersion", &["/involvedObject/resourceVersion"]),
            field("involvedObject.fieldPath", &["/involvedObject/fieldPath"]),
            field("reason", &["/reason"]),
            field("reportingComponent", &["/reportingComponent"]),
            field("source", &["/source/component", "/reportingComponent"]),
            field("type", &["/type"]),
        ];
        FIELDS
    }
}
