//! Watches what the source owns, so that a change by another hand is seen at once, and its parent object, so that what
//! people ask of it is. Only wakes; the next round decides.

use std::collections::HashMap;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use futures::StreamExt as _;
use k8s_openapi::api::core::v1::ConfigMap;
use kube::api::{Api, ApiResource, DynamicObject};
use kube::runtime::watcher::{Config, Event, watcher};
use kube::{Client, ResourceExt as _};
use tokio::sync::Notify;
use tokio_util::sync::{CancellationToken, DropGuard};

use super::applyset::{ApplySet, NAMESPACE, PART_OF};
use super::health::{self, Health};
use super::kinds::Resource;
use super::lease::FOLLOWED_BY;
use super::record::Controls;
use super::sync::{fingerprint, hash};
use crate::client::lasting;

/// The watches of one source, one a kind; they end when this is dropped.
pub(super) struct Drift {
    client: Client,
    labels: String,
    /// What of a member is watched.
    mark: fn(&DynamicObject) -> u64,
    woken: Arc<Notify>,
    /// How often something that is owned was seen to change.
    changes: Arc<AtomicU64>,
    /// By group and kind.
    watches: HashMap<(String, String), Watch>,
    _parent: Watch,
}

impl Drift {
    /// Watches what is asked of the source from now on; of what is owned also the health, where that is asked for.
    pub fn new(client: Client, set: &ApplySet, with_health: bool) -> Self {
        let woken = Arc::new(Notify::new());
        let config_maps = ApiResource::erase::<ConfigMap>(&());
        let parents = Api::namespaced_with(client.clone(), NAMESPACE, &config_maps);
        let only = Config::default().fields(&format!("metadata.name={}", set.name));
        let seen = Seen::by(|parent| {
            hash(&(
                Controls::of(parent.annotations()),
                parent.annotations().get(FOLLOWED_BY),
            ))
        });
        let changes = Arc::default();
        Self {
            labels: format!("{PART_OF}={}", set.id),
            mark: if with_health { content_and_health } else { content },
            watches: HashMap::new(),
            _parent: Watch::start(parents, only, seen, &woken, &changes),
            woken,
            changes,
            client,
        }
    }

    /// Watches these kinds from now on, and no others.
    pub fn watch(&mut self, kinds: &[Resource]) {
        let key = |resource: &Resource| (resource.api.group.clone(), resource.api.kind.clone());
        let wanted: Vec<_> = kinds.iter().map(key).collect();
        self.watches.retain(|kind, _| wanted.contains(kind));
        for resource in kinds {
            if !self.watches.contains_key(&key(resource)) {
                let api = Api::all_with(self.client.clone(), &resource.api);
                let members = Config::default().labels(&self.labels);
                let watch = Watch::start(api, members, Seen::by(self.mark), &self.woken, &self.changes);
                self.watches.insert(key(resource), watch);
            }
        }
    }

    /// A number that grows with every change to what is owned; None while something of it is not watched.
    pub fn changes(&self) -> Option<u64> {
        let current = self.watches.values().all(|watch| watch.current.load(Ordering::Acquire));
        (current && !self.watches.is_empty()).then(|| self.changes.load(Ordering::Acquire))
    }

    /// Waits until something that is owned changed or went.
    pub async fn woken(&self) {
        self.woken.notified().await;
    }
}

/// What was last seen of objects, by uid: a hash of what matters of them.
struct Seen {
    mark: fn(&DynamicObject) -> u64,
    members: HashMap<String, u64>,
    /// Filled while a list comes in.
    listed: HashMap<String, u64>,
}

impl Seen {
    fn by(mark: fn(&DynamicObject) -> u64) -> Self {
        Self {
            mark,
            members: HashMap::new(),
            listed: HashMap::new(),
        }
    }

    /// Whether this event says that an object is not as it was.
    fn take(&mut self, event: Event<DynamicObject>) -> bool {
        match event {
            Event::Init => {
                self.listed.clear();
                false
            }
            Event::InitApply(object) => {
                self.listed.insert(id(&object), (self.mark)(&object));
                false
            }
            Event::InitDone => {
                let listed = std::mem::take(&mut self.listed);
                let changed = listed != self.members;
                self.members = listed;
                changed
            }
            Event::Apply(object) => {
                let mark = (self.mark)(&object);
                self.members.insert(id(&object), mark) != Some(mark)
            }
            Event::Delete(object) => {
                self.members.remove(&id(&object));
                true
            }
        }
    }
}

fn content(object: &DynamicObject) -> u64 {
    serde_json::to_value(object).map_or(0, |value| fingerprint(&value))
}

/// What an object lacks is not marked, or every word of its status would wake.
fn content_and_health(object: &DynamicObject) -> u64 {
    let health = serde_json::to_value(object).map(|value| match health::of(&value) {
        Health::Healthy => 0,
        Health::Progressing(_) => 1,
        Health::Failed(_) => 2,
    });
    hash(&(content(object), health.unwrap_or(0)))
}

fn id(object: &DynamicObject) -> String {
    object.uid().unwrap_or_else(|| object.name_any())
}

/// A watch of one kind; it ends when this is dropped.
struct Watch {
    /// Whether it has read everything, so that changes are seen from then on.
    current: Arc<AtomicBool>,
    _stop: DropGuard,
}

impl Watch {
    fn start(
        api: Api<DynamicObject>,
        which: Config,
        mut seen: Seen,
        woken: &Arc<Notify>,
        changes: &Arc<AtomicU64>,
    ) -> Self {
        let stop = CancellationToken::new();
        let (stopped, woken, changes) = (stop.clone(), Arc::clone(woken), Arc::clone(changes));
        let current = Arc::new(AtomicBool::new(false));
        let is_current = Arc::clone(&current);
        let follow = async move {
            let mut events = pin!(lasting(watcher(api, which), "owned objects"));
            while let Some(event) = events.next().await {
                let lists = matches!(event, Event::Init | Event::InitApply(_));
                if seen.take(event) {
                    // Counted before it wakes, so that whoever is woken sees another number.
                    changes.fetch_add(1, Ordering::AcqRel);
                    woken.notify_one();
                }
                is_current.store(!lists, Ordering::Release);
            }
        };
        tokio::spawn(async move { stopped.run_until_cancelled(follow).await });
        Self {
            current,
            _stop: stop.drop_guard(),
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
        let mut seen = Seen::by(content);
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

    #[test]
    fn health_wakes_where_it_is_asked_for() {
        let mut seen = Seen::by(content_and_health);
        for (phase, wakes) in [
            ("Pending", true),
            ("Running", false),
            ("Failed", true),
            ("Failed", false),
        ] {
            assert_eq!(seen.take(Event::Apply(pod("1", "a", phase))), wakes, "{phase}");
        }
    }
}
