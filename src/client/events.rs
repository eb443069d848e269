//! Tells people what happens, as Events of the core API. Never holds anybody up: a full queue drops the event.

use std::collections::HashMap;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::{Event, EventSource, ObjectReference};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, Time};
use kube::api::{Patch, PatchParams, PostParams};
use kube::{Api, Client, ResourceExt};
use serde_json::json;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::Told;

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

/// Something that happened.
#[derive(Clone, Debug)]
pub struct Note {
    /// With which object.
    pub about: ObjectReference,
    /// Whether that is well.
    pub kind: Kind,
    /// For machines, e.g. `Pulled`.
    pub reason: &'static str,
    /// For people.
    pub message: String,
    /// When.
    pub at: Timestamp,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Key {
    uid: String,
    field_path: Option<String>,
    reason: String,
    message: String,
}

impl Events {
    /// A queue, and the task that empties it until `shutdown`. `source` is who tells.
    pub fn start(
        client: Client,
        source: EventSource,
        shutdown: CancellationToken,
    ) -> (Self, impl Future<Output = ()> + Send) {
        let (sender, receiver) = mpsc::channel(QUEUE);
        (Self { sender }, run(Poster::new(client, source), receiver, shutdown))
    }

    /// Tells of something that happens now.
    pub fn send(&self, about: ObjectReference, kind: Kind, reason: &'static str, message: String) {
        let note = Note {
            about,
            kind,
            reason,
            message,
            at: Timestamp::now(),
        };
        if let Err(error) = self.sender.try_send(note) {
            tracing::debug!(%error, "an event was dropped");
        }
    }
}

async fn run(mut poster: Poster, mut receiver: mpsc::Receiver<Note>, shutdown: CancellationToken) {
    loop {
        let note = tokio::select! {
            () = shutdown.cancelled() => return,
            note = receiver.recv() => note,
        };
        let Some(note) = note else { return };
        let posted = tokio::select! {
            () = shutdown.cancelled() => return,
            posted = poster.post(&note) => posted,
        };
        if let Err(error) = posted {
            tracing::debug!(error = %Told(&error), reason = note.reason, "an event was not recorded");
        }
    }
}

/// Writes events, and counts up those that come again.
pub struct Poster {
    client: Client,
    source: EventSource,
    counted: HashMap<Key, (String, i32)>,
}

impl Poster {
    /// One that tells in that name.
    pub fn new(client: Client, source: EventSource) -> Self {
        Self {
            client,
            source,
            counted: HashMap::new(),
        }
    }

    /// Writes one.
    ///
    /// # Errors
    /// Where the API server does not answer or refuses.
    pub async fn post(&mut self, note: &Note) -> Result<(), kube::Error> {
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
        let type_ = match note.kind {
            Kind::Normal => "Normal",
            Kind::Warning => "Warning",
        };
        Event {
            metadata: ObjectMeta {
                name: Some(format!("{about}.{:x}", note.at.as_nanosecond())),
                namespace: Some(namespace),
                ..ObjectMeta::default()
            },
            involved_object: note.about.clone(),
            reason: Some(note.reason.to_owned()),
            message: Some(note.message.clone()),
            type_: Some(type_.to_owned()),
            count: Some(1),
            first_timestamp: Some(seconds(note.at)),
            last_timestamp: Some(seconds(note.at)),
            source: Some(self.source.clone()),
            reporting_component: self.source.component.clone(),
            reporting_instance: self.source.host.clone(),
            ..Event::default()
        }
    }
}

/// API times have whole seconds.
pub fn seconds(time: Timestamp) -> Time {
    Time(Timestamp::from_second(time.as_second()).expect("a timestamp's own seconds are in range"))
}
