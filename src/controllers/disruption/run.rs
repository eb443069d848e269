//! The loop: watches feed the index, and what was counted is written where it differs.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::pin::pin;
use std::time::{Duration, Instant};

use futures::StreamExt;
use futures::stream::BoxStream;
use k8s_openapi::api::core::v1::{ObjectReference, Pod};
use k8s_openapi::api::policy::v1::PodDisruptionBudget;
use k8s_openapi::jiff::{SignedDuration, Timestamp};
use kube::api::PostParams;
use kube::runtime::watcher::{self, Event};
use kube::{Api, Client};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::index::{Index, Key, key, pod_key};
use crate::client::{Told, lasting};
use crate::controllers::event;
use crate::controllers::pace::Pace;
use crate::controllers::run::{Error, wait_until};

/// How long after a failed write the budget is counted again.
const RETRY: SignedDuration = SignedDuration::from_secs(5);
/// How many statuses are written at once; more wait their turn.
const MOST_IN_FLIGHT: usize = 8;
/// What budgets are called in the log and in errors.
const BUDGETS: &str = "disruption budgets";

/// What became of a status that was to be written.
enum Written {
    /// The budget is like this now: as written, or as somebody else made it meanwhile.
    Now(Box<PodDisruptionBudget>),
    /// The budget is gone.
    Gone,
}

/// Counts budgets until told to stop. Pods are watched only while there is a budget.
pub(in crate::controllers) async fn run(client: Client, shutdown: CancellationToken) -> Result<(), Error> {
    let budgets = Api::<PodDisruptionBudget>::all(client.clone());
    let mut budgets = pin!(lasting(
        kube::runtime::watcher(budgets, watcher::Config::default()),
        BUDGETS
    ));
    let mut pods: Option<BoxStream<'static, Event<Pod>>> = None;
    let mut counter = Counter::new(client.clone());
    loop {
        tokio::select! {
            () = shutdown.cancelled() => return Ok(()),
            event = budgets.next() => counter.budget(event.ok_or(Error::WatchEnded(BUDGETS))?),
            event = next(&mut pods) => counter.pod(event.ok_or(Error::WatchEnded("pods"))?),
            Some(done) = counter.tasks.join_next() => {
                let (key, result) = done.map_err(Error::Task)?;
                counter.done(key, result);
            }
            () = wait_until(counter.pace.due()) => counter.decide(),
        }
        if counter.index.is_empty() {
            pods = None;
            counter.forget_pods();
        } else if pods.is_none() {
            let all = Api::<Pod>::all(client.clone());
            let watch = kube::runtime::watcher(all, watcher::Config::default());
            pods = Some(lasting(watch, "pods").boxed());
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

struct Counter {
    client: Client,
    index: Index,
    /// What was listed so far, while a watch starts over.
    listed_budgets: BTreeSet<Key>,
    listed_pods: BTreeSet<Key>,
    /// Whether all pods are known: without them there would seem to be too few.
    pods_known: bool,
    tasks: JoinSet<(Key, Result<Written, kube::Error>)>,
    /// Budgets whose statuses are being written.
    busy: HashSet<Key>,
    /// When budgets are to be counted again though nothing happens.
    again: BTreeMap<Key, Timestamp>,
    pace: Pace,
}

impl Counter {
    fn new(client: Client) -> Self {
        Self {
            client,
            index: Index::default(),
            listed_budgets: BTreeSet::new(),
            listed_pods: BTreeSet::new(),
            pods_known: false,
            tasks: JoinSet::new(),
            busy: HashSet::new(),
            again: BTreeMap::new(),
            pace: Pace::default(),
        }
    }

    /// Counts what is to be counted, and has written what differs.
    fn decide(&mut self) {
        let (now, wall) = (Instant::now(), Timestamp::now());
        self.pace.begin(now);
        if !self.pods_known {
            return;
        }
        let (due, later) = std::mem::take(&mut self.again)
            .into_iter()
            .partition(|(_, due)| *due <= wall);
        self.again = later;
        let due: BTreeMap<Key, Timestamp> = due;
        due.into_keys().for_each(|key| self.index.count_again(key));
        for key in self.index.stale() {
            // A write that ends decides again, so that what finds no room now is not lost.
            if self.tasks.len() >= MOST_IN_FLIGHT || self.busy.contains(&key) {
                continue;
            }
            let Some((budget, counted)) = self.index.take(&key, wall) else {
                continue;
            };
            if let Some(due) = counted.due {
                self.again.insert(key.clone(), due);
            }
            if budget.status.as_ref() == Some(&counted.status) {
                continue;
            }
            let mut budget = budget.clone();
            budget.status = Some(counted.status);
            let (client, unmanaged) = (self.client.clone(), counted.unmanaged);
            self.busy.insert(key.clone());
            self.tasks.spawn(async move {
                let result = write(&client, &key, &budget, unmanaged).await;
                (key, result)
            });
        }
        let soonest = self.again.values().min();
        let wait = soonest.map(|due| Duration::try_from(due.duration_since(wall)).unwrap_or(Duration::ZERO));
        self.pace.again(wait.map(|wait| now + wait));
    }

    fn done(&mut self, key: Key, result: Result<Written, kube::Error>) {
        self.busy.remove(&key);
        match result {
            Ok(Written::Now(budget)) => self.index.budget_changed(*budget),
            Ok(Written::Gone) => self.index.budget_gone(&key),
            Err(error) => {
                let (namespace, name) = &key;
                tracing::debug!(namespace, budget = name, error = %Told(&error), "a budget's status is written again later");
                self.again.insert(key, Timestamp::now() + RETRY);
            }
        }
        self.pace.wake();
    }

    fn budget(&mut self, event: Event<PodDisruptionBudget>) {
        let key =
            |budget: &PodDisruptionBudget| key(budget.metadata.namespace.as_deref(), budget.metadata.name.as_deref());
        match event {
            Event::Apply(budget) => self.index.budget_changed(budget),
            Event::Delete(budget) => self.index.budget_gone(&key(&budget)),
            Event::Init => self.listed_budgets.clear(),
            Event::InitApply(budget) => {
                self.listed_budgets.insert(key(&budget));
                self.index.budget_changed(budget);
            }
            Event::InitDone => self.index.keep_budgets(&std::mem::take(&mut self.listed_budgets)),
        }
        self.pace.wake();
    }

    fn pod(&mut self, event: Event<Pod>) {
        match event {
            Event::Apply(pod) => self.index.pod_changed(&pod),
            Event::Delete(pod) => self.index.pod_gone(&pod_key(&pod)),
            Event::Init => self.listed_pods.clear(),
            Event::InitApply(pod) => {
                self.listed_pods.insert(pod_key(&pod));
                self.index.pod_changed(&pod);
            }
            Event::InitDone => {
                self.index.keep_pods(&std::mem::take(&mut self.listed_pods));
                self.pods_known = true;
            }
        }
        self.pace.wake();
    }

    /// Without budgets nobody asks for pods, and what is known of them grows old.
    fn forget_pods(&mut self) {
        self.index.keep_pods(&BTreeSet::new());
        self.listed_pods.clear();
        self.pods_known = false;
        self.again.clear();
    }
}

/// Writes the budget's status over the version that it was counted from. What has changed meanwhile is read again, to
/// be counted anew.
async fn write(
    client: &Client,
    key: &Key,
    budget: &PodDisruptionBudget,
    unmanaged: bool,
) -> Result<Written, kube::Error> {
    let (namespace, name) = key;
    let budgets: Api<PodDisruptionBudget> = Api::namespaced(client.clone(), namespace);
    let written = match budgets.replace_status(name, &PostParams::default(), budget).await {
        Ok(written) => written,
        Err(kube::Error::Api(status)) if status.is_not_found() => return Ok(Written::Gone),
        Err(kube::Error::Api(status)) if status.is_conflict() => {
            let now = budgets.get_opt(name).await?;
            return Ok(now.map_or(Written::Gone, |budget| Written::Now(Box::new(budget))));
        }
        Err(error) => return Err(error),
    };
    if unmanaged {
        tell_unmanaged(client, &written).await;
    }
    Ok(Written::Now(Box::new(written)))
}

async fn tell_unmanaged(client: &Client, budget: &PodDisruptionBudget) {
    let about = ObjectReference {
        api_version: Some("policy/v1".to_owned()),
        kind: Some("PodDisruptionBudget".to_owned()),
        namespace: budget.metadata.namespace.clone(),
        name: budget.metadata.name.clone(),
        uid: budget.metadata.uid.clone(),
        resource_version: budget.metadata.resource_version.clone(),
        ..ObjectReference::default()
    };
    let message = "Pods of this budget have no controller that says how many there should be, so that none of them may \
                   be evicted. Set .spec.minAvailable to a number to have them counted.";
    let told = event::Event {
        component: "controllermanager",
        severity: event::WARNING,
        reason: "UnmanagedPods",
        message: message.to_owned(),
    };
    event::tell(client, about, told).await;
}
