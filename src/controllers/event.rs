//! Writes events about nodes and pods. A failure is logged and no more.

use k8s_openapi::api::core::v1::{Event as ApiEvent, EventSource, ObjectReference};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, Time};
use k8s_openapi::jiff::Timestamp;
use kube::api::PostParams;
use kube::{Api, Client};

use crate::client::Told;

/// All is well.
pub(super) const NORMAL: &str = "Normal";
/// Somebody should look.
pub(super) const WARNING: &str = "Warning";

/// What is told.
pub(super) struct Event {
    /// Who tells it.
    pub component: &'static str,
    /// [`NORMAL`] or [`WARNING`].
    pub severity: &'static str,
    /// One word.
    pub reason: &'static str,
    /// For people.
    pub message: String,
}

/// Tells something about an object. Cluster objects' events lie in the default namespace.
pub(super) async fn tell(client: &Client, about: ObjectReference, event: Event) {
    let Event {
        component,
        severity,
        reason,
        message,
    } = event;
    let namespace = about.namespace.clone().unwrap_or_else(|| "default".to_owned());
    let now = Timestamp::now();
    let name = about.name.as_deref().unwrap_or_default();
    let event = ApiEvent {
        metadata: ObjectMeta {
            name: Some(format!("{name}.{:x}", now.as_nanosecond())),
            namespace: Some(namespace.clone()),
            ..ObjectMeta::default()
        },
        involved_object: about,
        type_: Some(severity.to_owned()),
        reason: Some(reason.to_owned()),
        message: Some(message),
        count: Some(1),
        first_timestamp: Some(Time(now)),
        last_timestamp: Some(Time(now)),
        source: Some(EventSource {
            component: Some(component.to_owned()),
            ..EventSource::default()
        }),
        reporting_component: Some(component.to_owned()),
        ..ApiEvent::default()
    };
    if let Err(error) = Api::namespaced(client.clone(), &namespace)
        .create(&PostParams::default(), &event)
        .await
    {
        tracing::debug!(reason, error = %Told(&error), "cannot write an event");
    }
}
