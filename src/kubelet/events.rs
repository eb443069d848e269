//! Tells people what happens, as Events of the core API. Never holds anybody up: a full queue drops the event.

use std::collections::HashMap;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::{Event, EventSource, Node, ObjectReference, Pod};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::api::{Patch, PatchParams, PostParams};
use kube::{Api, Client, ResourceExt};
use serde_json::json;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::status::seconds;
use crate::client::Told;

/// Events waiting for the API server; a burst of 110 starting pods makes about 500.
const QUEUE: usize = 1024;

/// How many different events are counted up rather than repeated.
const MAX_COUNTED: usize = 1024;

/// Whether something went well.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// As it should.
    Normal,
    /// Not as it should.
    Warning,
}

/// Takes events; clones share one queue.
#[derive(Clone)]
pub struct Events {
    sender: mpsc::Sender<Note>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Key {
    uid: String,
    field_path: Option<String>,
    reason: String,
    message: String,
}

struct Note {
    about: ObjectReference,
    warning: bool,
    reason: &'static str,
    message: String,
    at: Timestamp,
}

impl Events {
    /// A queue, and the task that empties it until `shutdown`.
    pub fn start(client: Client, node_name: String, shutdown: CancellationToken) -> (Self, impl Future<Output = ()>) {
        let (sender, receiver) = mpsc::channel(QUEUE);
        let poster = Poster {
            client,
            node_name,
            counted: HashMap::new(),
        };
        (Self { sender }, poster.run(receiver, shutdown))
    }

    /// Something about a pod, or about one of its containers.
    pub fn pod(&self, pod: &Pod, container: Option<&str>, kind: Kind, reason: &'static str, message: String) {
        let init = container.is_some_and(|name| super::pod::init_containers(pod).iter().any(|spec| spec.name == name));
        let list = if init { "spec.initContainers" } else { "spec.containers" };
        let about = ObjectReference {
            api_version: Some("v1".into()),
            kind: Some("Pod".into()),
            namespace: pod.namespace(),
            name: Some(pod.name_any()),
            uid: pod.uid(),
            resource_version: pod.resource_version(),
            field_path: container.map(|name| format!("{list}{{{name}}}")),
        };
        self.send(about, kind, reason, message);
    }

    /// Something about the node.
    pub fn node(&self, node: &Node, kind: Kind, reason: &'static str, message: String) {
        let about = ObjectReference {
            kind: Some("Node".into()),
            name: Some(node.name_any()),
            uid: Some(node.name_any()),
            ..ObjectReference::default()
        };
        self.send(about, kind, reason, message);
    }

    fn send(&self, about: ObjectReference, kind: Kind, reason: &'static str, message: String) {
        let note = Note {
            about,
            warning: kind == Kind::Warning,
            reason,
            message,
            at: Timestamp::now(),
        };
        if let Err(error) = self.sender.try_send(note) {
            tracing::debug!(%error, "an event was dropped");
        }
    }
}

struct Poster {
    client: Client,
    node_name: String,
    counted: HashMap<Key, (String, i32)>,
}

impl Poster {
    async fn run(mut self, mut receiver: mpsc::Receiver<Note>, shutdown: CancellationToken) {
        loop {
            let note = tokio::select! {
                () = shutdown.cancelled() => return,
                note = receiver.recv() => note,
            };
            let Some(note) = note else { return };
            let posted = tokio::select! {
                () = shutdown.cancelled() => return,
                posted = self.post(&note) => posted,
            };
            if let Err(error) = posted {
                tracing::debug!(error = %Told(&error), reason = note.reason, "an event was not recorded");
            }
        }
    }

    async fn post(&mut self, note: &Note) -> Result<(), kube::Error> {
        // Events about cluster-wide objects live in this namespace, as in Kubernetes.
        let namespace = note.about.namespace.clone().unwrap_or_else(|| "default".into());
        let api = Api::<Event>::namespaced(self.client.clone(), &namespace);
        let key = Key {
            uid: note.about.uid.clone().unwrap_or_default(),
            field_path: note.about.field_path.clone(),
            reason: note.reason.to_owned(),
            message: note.message.clone(),
        };
        if let Some((name, count)) = self.counted.get_mut(&key) {
            *count += 1;
            let body = json!({"count": *count, "lastTimestamp": seconds(note.at)});
            match api.patch(name, &PatchParams::default(), &Patch::Merge(body)).await {
                Ok(_) => return Ok(()),
                // The old one expired; this one starts anew.
                Err(kube::Error::Api(status)) if status.code == 404 => {}
                Err(error) => return Err(error),
            }
        }
        let event = self.event(note, namespace);
        let name = event.name_any();
        api.create(&PostParams::default(), &event).await?;
        if self.counted.len() >= MAX_COUNTED {
            self.counted.clear();
        }
        self.counted.insert(key, (name, 1));
        Ok(())
    }

    fn event(&self, note: &Note, namespace: String) -> Event {
        let about = note.about.name.as_deref().unwrap_or_default();
        Event {
            metadata: ObjectMeta {
                name: Some(format!("{about}.{:x}", note.at.as_nanosecond())),
                namespace: Some(namespace),
                ..ObjectMeta::default()
            },
            involved_object: note.about.clone(),
            reason: Some(note.reason.to_owned()),
            message: Some(note.message.clone()),
            type_: Some(if note.warning { "Warning" } else { "Normal" }.to_owned()),
            count: Some(1),
            first_timestamp: Some(seconds(note.at)),
            last_timestamp: Some(seconds(note.at)),
            source: Some(EventSource {
                component: Some("kubelet".into()),
                host: Some(self.node_name.clone()),
            }),
            reporting_component: Some("kubelet".into()),
            reporting_instance: Some(self.node_name.clone()),
            ..Event::default()
        }
    }
}
