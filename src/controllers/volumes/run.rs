//! The loop: watches feed the world, decisions over it become writes.

use std::collections::{HashMap, HashSet};
use std::pin::pin;
use std::time::{Duration, Instant};

use futures::StreamExt;
use futures::stream::BoxStream;
use k8s_openapi::api::core::v1::{PersistentVolume, PersistentVolumeClaim, Pod};
use k8s_openapi::api::storage::v1::StorageClass;
use kube::runtime::watcher as watch;
use kube::runtime::watcher::{self, Event};
use kube::{Api, Client, Resource};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::act;
use super::claims::Notice;
use super::decide::{Action, Subject, decide};
use super::world::{Objects, PodUse, World};
use crate::client::{Told, lasting};
use crate::controllers::pace::{PAUSE, Pace};
use crate::controllers::run::{Error, wait_until};

/// How long after a failed action it may be tried again.
const RETRY: Duration = Duration::from_secs(5);
/// How many actions run at once; more wait their turn.
const MOST_IN_FLIGHT: usize = 8;

/// Binds until told to stop. Pods are watched only while there are volumes, claims or classes.
pub(in crate::controllers) async fn run(client: Client, shutdown: CancellationToken) -> Result<(), Error> {
    let all = watcher::Config::default;
    let volumes = Api::<PersistentVolume>::all(client.clone());
    let mut volumes = pin!(lasting(watch(volumes, all()), "volumes"));
    let claims = Api::<PersistentVolumeClaim>::all(client.clone());
    let mut claims = pin!(lasting(watch(claims, all()), "volume claims"));
    let classes = Api::<StorageClass>::all(client.clone());
    let mut classes = pin!(lasting(watch(classes, all()), "storage classes"));
    let mut pods: Option<BoxStream<'static, Event<Pod>>> = None;
    let mut binder = Binder::new(client.clone());
    loop {
        let world = &mut binder.world;
        let news = tokio::select! {
            () = shutdown.cancelled() => return Ok(()),
            event = volumes.next() => feed(&mut world.volumes, event.ok_or(Error::WatchEnded("volumes"))?, Some),
            event = claims.next() => feed(&mut world.claims, event.ok_or(Error::WatchEnded("volume claims"))?, Some),
            event = classes.next() => feed(&mut world.classes, event.ok_or(Error::WatchEnded("storage classes"))?, Some),
            event = next(&mut pods) => {
                feed(&mut world.pods, event.ok_or(Error::WatchEnded("pods"))?, |pod| PodUse::read(&pod))
            }
            Some(done) = binder.tasks.join_next() => {
                let (about, result) = done.map_err(Error::Task)?;
                binder.done(about, result);
                true
            }
            () = wait_until(binder.pace.due()) => {
                binder.decide();
                false
            }
        };
        if news {
            binder.pace.wake();
        }
        let world = &mut binder.world;
        if world.volumes.is_empty() && world.claims.is_empty() && world.classes.is_empty() {
            pods = None;
            world.pods = Objects::default();
        } else if pods.is_none() {
            let all_pods = Api::<Pod>::all(client.clone());
            pods = Some(lasting(watch(all_pods, all()), "pods").boxed());
        }
    }
}

/// The next event of a watch that may not be open.
async fn next<T>(stream: &mut Option<BoxStream<'static, T>>) -> Option<T> {
    match stream {
        Some(stream) => stream.next().await,
        None => std::future::pending().await,
    }
}

/// Takes an event in; tells whether it is news. What `read` makes nothing of is as good as not there.
fn feed<K, V>(objects: &mut Objects<V>, event: Event<K>, read: impl Fn(K) -> Option<V>) -> bool
where
    K: Resource,
    V: PartialEq,
{
    match event {
        Event::Apply(object) => {
            let metadata = object.meta().clone();
            match read(object) {
                Some(object) => objects.changed(&metadata, object),
                None => objects.gone(&metadata),
            }
        }
        Event::Delete(object) => objects.gone(object.meta()),
        Event::Init => {
            objects.list_begins();
            false
        }
        Event::InitApply(object) => {
            let metadata = object.meta().clone();
            read(object).is_some_and(|object| objects.listed(&metadata, object))
        }
        Event::InitDone => {
            objects.list_ends();
            true
        }
    }
}

struct Binder {
    client: Client,
    world: World,
    tasks: JoinSet<(Vec<Subject>, Result<(), kube::Error>)>,
    /// What actions under way are about.
    busy: HashSet<Subject>,
    /// What actions were about, and when the next may be.
    not_before: HashMap<Subject, Instant>,
    /// What was told last of those (by their uids) of whom there still is something to tell.
    told: HashMap<(Subject, Option<String>), Notice>,
    pace: Pace,
}

impl Binder {
    fn new(client: Client) -> Self {
        Self {
            client,
            world: World::default(),
            tasks: JoinSet::new(),
            busy: HashSet::new(),
            not_before: HashMap::new(),
            told: HashMap::new(),
            pace: Pace::default(),
        }
    }

    fn decide(&mut self) {
        let now = Instant::now();
        self.pace.begin(now);
        if !self.world.is_complete() {
            return;
        }
        self.not_before.retain(|_, due| *due > now);
        self.pace.again(self.not_before.values().min().copied());
        let actions = decide(&self.world);
        let to_tell: HashSet<_> = actions.iter().filter_map(Action::told_of).collect();
        self.told.retain(|of, _| to_tell.contains(of));
        for action in actions {
            let about = action.about();
            let waits = |subject| self.busy.contains(subject) || self.not_before.contains_key(subject);
            // An action that ends decides again, so that what finds no room now is not lost.
            if self.tasks.len() >= MOST_IN_FLIGHT || about.iter().any(waits) {
                continue;
            }
            if let (Some(of), Action::Tell { notice, .. }) = (action.told_of(), &action)
                && self.told.insert(of, notice.clone()).as_ref() == Some(notice)
            {
                continue;
            }
            self.busy.extend(about.iter().cloned());
            let client = self.client.clone();
            self.tasks
                .spawn(async move { (about, act::carry_out(&client, action).await) });
        }
    }

    fn done(&mut self, about: Vec<Subject>, result: Result<(), kube::Error>) {
        // What was done shows in the watches a moment later; until then it would be decided on again.
        let pause = match result {
            Ok(()) => PAUSE,
            Err(error) => {
                tracing::debug!(?about, error = %Told(&error), "what a volume or a claim needs is tried again later");
                RETRY
            }
        };
        for subject in about {
            self.busy.remove(&subject);
            self.not_before.insert(subject, Instant::now() + pause);
        }
    }
}
