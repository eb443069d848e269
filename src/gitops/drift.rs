//! Watches what the source owns, so that a change by another hand is seen at once. Only wakes; the next round decides.

use std::collections::HashMap;
use std::sync::Arc;

use futures::{StreamExt as _, pin_mut};
use kube::api::{Api, DynamicObject};
use kube::runtime::WatchStreamExt as _;
use kube::runtime::watcher::{Config, Event, watcher};
use kube::{Client, ResourceExt as _};
use tokio::sync::Notify;
use tokio_util::sync::{CancellationToken, DropGuard};

use super::applyset::PART_OF;
use super::kinds::Resource;
use super::sync::fingerprint;

/// The watches of one source, one a kind; they end when this is dropped.
pub(super) struct Drift {
    client: Client,
    labels: String,
    woken: Arc<Notify>,
    /// By group and kind.
    watches: HashMap<(String, String), DropGuard>,
}

impl Drift {
    pub fn new(client: Client, set: &str) -> Self {
        Self {
            client,
            labels: format!("{PART_OF}={set}"),
            woken: Arc::new(Notify::new()),
            watches: HashMap::new(),
        }
    }

    /// Watches these kinds from now on, and no others.
    pub fn watch(&mut self, kinds: &[Resource]) {
        let key = |resource: &Resource| (resource.api.group.clone(), resource.api.kind.clone());
        let wanted: Vec<_> = kinds.iter().map(key).collect();
        self.watches.retain(|kind, _| wanted.contains(kind));
        for resource in kinds {
            if !self.watches.contains_key(&key(resource)) {
                let stop = CancellationToken::new();
                let api: Api<DynamicObject> = Api::all_with(self.client.clone(), &resource.api);
                let labels = self.labels.clone();
                let woken = Arc::clone(&self.woken);
                let stopped = stop.clone();
                tokio::spawn(async move { stopped.run_until_cancelled(follow(api, labels, woken)).await });
                self.watches.insert(key(resource), stop.drop_guard());
            }
        }
    }

    /// Waits until something that is owned changed or went.
    pub async fn woken(&self) {
        self.woken.notified().await;
    }
}

/// What was last seen of the members of a kind: by uid, a hash of all but the status.
#[derive(Default)]
struct Seen {
    members: HashMap<String, u64>,
    /// Filled while a list comes in.
    listed: HashMap<String, u64>,
}

impl Seen {
    /// Whether this event says that a member is not as it was.
    fn take(&mut self, event: Event<DynamicObject>) -> bool {
        match event {
            Event::Init => {
                self.listed.clear();
                false
            }
            Event::InitApply(object) => {
                self.listed.insert(id(&object), mark(&object));
                false
            }
            Event::InitDone => {
                let listed = std::mem::take(&mut self.listed);
                let changed = listed != self.members;
                self.members = listed;
                changed
            }
            Event::Apply(object) => {
                let mark = mark(&object);
                self.members.insert(id(&object), mark) != Some(mark)
            }
            Event::Delete(object) => {
                self.members.remove(&id(&object));
                true
            }
        }
    }
}

fn id(object: &DynamicObject) -> String {
    object.uid().unwrap_or_else(|| object.name_any())
}

fn mark(object: &DynamicObject) -> u64 {
    serde_json::to_value(object).map_or(0, |value| fingerprint(&value))
}

async fn follow(api: Api<DynamicObject>, labels: String, woken: Arc<Notify>) {
    let events = watcher(api, Config::default().labels(&labels)).default_backoff();
    pin_mut!(events);
    let mut seen = Seen::default();
    while let Some(event) = events.next().await {
        match event {
            Ok(event) => {
                if seen.take(event) {
                    woken.notify_one();
                }
            }
            Err(error) => tracing::debug!(%error, "a watch on owned objects broke and is opened again"),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn pod(uid: &str, label: &str, phase: &str) -> DynamicObject {
        serde_json::from_value(json!({
            "apiVersion": "v1", "kind": "Pod", "metadata": {"name": "a", "uid": uid, "labels": {"x": label}, "resourceVersion": phase},
            "status": {"phase": phase},
        }))
        .expect("an object")
    }

    #[test]
    fn status_does_not_wake_and_everything_else_does() {
        let mut seen = Seen::default();
        for (name, event, wakes) in [
            ("a list begins", Event::Init, false),
            ("an item", Event::InitApply(pod("1", "a", "Pending")), false),
            ("the first list ends", Event::InitDone, true),
            ("status", Event::Apply(pod("1", "a", "Running")), false),
            ("a label", Event::Apply(pod("1", "b", "Running")), true),
            ("a new one", Event::Apply(pod("2", "a", "Running")), true),
            ("a list begins again", Event::Init, false),
            ("the same", Event::InitApply(pod("1", "b", "Failed")), false),
            ("and", Event::InitApply(pod("2", "a", "Failed")), false),
            ("nothing was missed", Event::InitDone, false),
            ("gone", Event::Delete(pod("2", "a", "Failed")), true),
            ("once more", Event::Init, false),
            ("one was missed", Event::InitDone, true),
        ] {
            assert_eq!(seen.take(event), wakes, "{name}");
        }
    }
}
