//! Tells people in the cluster, as Events of what they look at: the `Source`, or else the source's parent object.

use k8s_openapi::api::core::v1::{ConfigMap, EventSource, ObjectReference};
use kube::{Api, Client, ResourceExt as _};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::happening::{Event, Happening, Level, bounded_bytes};
use super::narrator::Listener;
use crate::client::Told;
use crate::client::events::{Kind, Note, Poster};
use crate::gitops::applyset::NAMESPACE;

/// Events of one source that wait for the API server.
const QUEUE: usize = 64;

/// The longest message in bytes: API servers refuse longer ones.
const MESSAGE_BYTES_MAX: usize = 1024;

/// Who tells.
const COMPONENT: &str = "reconcile";

/// Takes what happens to one source.
pub struct ClusterEvents(mpsc::Sender<Note>);

/// What the events of a source are about.
#[derive(Clone, Debug)]
pub enum About {
    /// This object.
    Object(ObjectReference),
    /// The ConfigMap of that name, as soon as it is there.
    Parent(String),
}

/// A queue, and the task that empties it; once `closing`, it ends with what is there by then.
pub fn begin(
    client: Client,
    about: About,
    closing: CancellationToken,
) -> (ClusterEvents, impl Future<Output = ()> + Send) {
    let (sender, receiver) = mpsc::channel(QUEUE);
    (ClusterEvents(sender), post(client, about, receiver, closing))
}

impl Listener for ClusterEvents {
    fn happened(&self, happening: &Happening) {
        let note = Note {
            about: ObjectReference::default(),
            kind: match happening.event.level() {
                Level::Info => Kind::Normal,
                Level::Error => Kind::Warning,
            },
            reason: happening.event.name(),
            message: bounded_bytes(&message(happening), MESSAGE_BYTES_MAX),
            at: happening.at,
        };
        if let Err(error) = self.0.try_send(note) {
            tracing::debug!(%error, "an event was dropped");
        }
    }
}

fn message(happening: &Happening) -> String {
    match happening.event {
        // Lines of a table.
        Event::Problem => happening.text.replace('\n', "; "),
        _ => happening.text.clone(),
    }
}

async fn post(client: Client, mut about: About, mut receiver: mpsc::Receiver<Note>, closing: CancellationToken) {
    let source = EventSource {
        component: Some(COMPONENT.to_owned()),
        host: None,
    };
    let mut poster = Poster::new(client.clone(), source);
    loop {
        let next = tokio::select! {
            biased;
            note = receiver.recv() => note,
            () = closing.cancelled() => None,
        };
        let Some(mut note) = next else { return };
        let posted = async {
            note.about = reference(&client, &mut about).await?;
            poster.post(&note).await
        };
        if let Err(error) = posted.await {
            tracing::debug!(error = %Told(&error), reason = note.reason, "an event was not recorded");
        }
    }
}

/// What the event names; a parent is looked up until it is found.
async fn reference(client: &Client, about: &mut About) -> Result<ObjectReference, kube::Error> {
    let name = match about {
        About::Object(object) => return Ok(object.clone()),
        About::Parent(name) => name.clone(),
    };
    let api: Api<ConfigMap> = Api::namespaced(client.clone(), NAMESPACE);
    let parent = api.get_opt(&name).await?;
    let object = ObjectReference {
        api_version: Some("v1".into()),
        kind: Some("ConfigMap".into()),
        namespace: Some(NAMESPACE.to_owned()),
        uid: parent.as_ref().and_then(|parent| parent.uid()),
        name: Some(name),
        ..ObjectReference::default()
    };
    if parent.is_some() {
        *about = About::Object(object.clone());
    }
    Ok(object)
}
