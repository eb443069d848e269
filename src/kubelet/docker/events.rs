//! Follows Docker's events, to be woken by them. Nothing is learnt from one but that something changed, and who ran out
//! of memory.

use std::collections::{BTreeMap, HashMap};

use bollard::models::{EventMessage, EventMessageTypeEnum};
use bollard::query_parameters::EventsOptionsBuilder;
use futures::{Stream, StreamExt};
use jiff::Timestamp;

use super::{DockerError, Engine};
use crate::kubelet::labels;

/// Something that changed in Docker.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// A container of the pod with this uid ended or went away.
    Pod(String),
    /// A container of that pod ran out of memory.
    OutOfMemory {
        /// The pod's uid.
        pod: String,
        /// The container's id.
        container: String,
    },
    /// Images came, went or were renamed.
    Images,
}

/// What wakes. Starts are our own doing, and probes would flood us with exec events.
const CONTAINER_ACTIONS: [&str; 3] = ["die", "destroy", OOM];
const OOM: &str = "oom";
const IMAGE_ACTIONS: [&str; 6] = ["pull", "tag", "untag", "delete", "load", "import"];

impl Engine {
    /// Events of containers with these labels, and of all images, from `since` as far as Docker remembers them.
    /// Ends when Docker goes away.
    pub fn events(
        &self,
        node: BTreeMap<String, String>,
        since: Timestamp,
    ) -> impl Stream<Item = Result<Event, DockerError>> + Send + use<> {
        let actions = CONTAINER_ACTIONS
            .iter()
            .chain(&IMAGE_ACTIONS)
            .map(|action| (*action).to_owned());
        let filters = HashMap::from([
            ("type".to_owned(), vec!["container".to_owned(), "image".to_owned()]),
            ("event".to_owned(), actions.collect::<Vec<_>>()),
        ]);
        let options = EventsOptionsBuilder::new()
            .filters(&filters)
            .since(&since.as_second().to_string())
            .build();
        self.docker.events(Some(options)).filter_map(move |message| {
            let event = match message {
                Ok(message) => interpret(&message, &node).map(Ok),
                Err(error) => Some(Err(DockerError::from(error))),
            };
            futures::future::ready(event)
        })
    }
}

fn interpret(message: &EventMessage, node: &BTreeMap<String, String>) -> Option<Event> {
    match message.typ? {
        EventMessageTypeEnum::IMAGE => Some(Event::Images),
        EventMessageTypeEnum::CONTAINER => {
            let actor = message.actor.as_ref()?;
            let attributes = actor.attributes.as_ref()?;
            if !node.iter().all(|(name, value)| attributes.get(name) == Some(value)) {
                return None;
            }
            let pod = attributes.get(labels::POD_UID).cloned()?;
            Some(match (message.action.as_deref(), &actor.id) {
                (Some(OOM), Some(id)) => Event::OutOfMemory {
                    pod,
                    container: id.clone(),
                },
                _ => Event::Pod(pod),
            })
        }
        _ => None,
    }
}
