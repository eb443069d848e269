//! Events.

use k8s_openapi::api::core::v1::Event;

use super::Strategy;
use super::selectable::{Selectable, field};

/// The rules of Events.
pub(in crate::object) struct Events;

impl Strategy for Events {
    type Object = Event;

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
