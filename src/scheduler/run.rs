//! The loop: watches feed the state, the state says what is next, the API carries it out.

mod attempt;
mod heard;
mod storage;

use std::collections::{HashSet, VecDeque};
use std::pin::pin;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use futures::StreamExt;
use k8s_openapi::api::core::v1::{Namespace, Node, PersistentVolume, PersistentVolumeClaim};
use k8s_openapi::api::policy::v1::PodDisruptionBudget;
use k8s_openapi::api::storage::v1::StorageClass;
use k8s_openapi::jiff::Timestamp;
use kube::runtime::watcher as watch;
use kube::runtime::watcher::{self, Event};
use kube::{Api, Client};
use tokio::task::{JoinError, JoinSet};
use tokio_util::sync::CancellationToken;

use super::bind::{self, Outcome};
use super::drive_out::drive_out;
use super::metrics::{self, Metrics};
use super::pod::{PendingPod, PodInfo, uid};
use super::report::{self, Memory, Notice};
use super::state::{BudgetKey, State, Step, budget_key};
use crate::client::leader::Term;
use crate::client::{Told, lasting};
use attempt::Attempt;
use heard::Heard;
use storage::Listing;

/// How many decisions are being carried out at once: enough to hide the API's latency, few enough not to crowd out the
/// others that use it.
const MOST_IN_FLIGHT: usize = 64;
/// How many events are written at once.
const MOST_EVENTS: usize = 16;
/// While pods wait to be bound, one event is written this long after the other: a pod should not wait for news of
/// another, and an event costs the API more than a binding.
const EVENT_PAUSE: Duration = Duration::from_millis(20);
/// How many events wait to be written at most, some MB; with more of them new ones are left out, for they are a courtesy.
const MOST_EVENTS_WAITING: usize = 16_384;
/// How many decisions are taken in one go before the watches are looked at again, so that none grows stale.
const MOST_AT_ONCE: usize = 64;

/// Why the scheduler stopped.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A watch ended, which it never should.
    #[error("the watch of {0} ended")]
    WatchEnded(&'static str),
    /// A task of ours panicked.
    #[error("a task of the scheduler failed")]
    Task(#[source] JoinError),
}

/// What a finished task tells.
enum Done {
    Bound(Attempt, Outcome),
    Prepared(Arc<str>),
    NotTold(Arc<str>),
    Stays(Arc<str>),
    Told,
    EventWritten,
}

/// Places pods until told to stop, or for that term, with a state that knows nothing yet.
///
/// # Errors
/// Where it cannot go on; a failing API is waited for instead.
pub(super) async fn place(
    client: Client,
    state: State,
    metrics: Metrics,
    term: Option<Term>,
    shutdown: CancellationToken,
) -> Result<(), Error> {
    // Finished pods take nothing, so they need not even be sent.
    let unfinished = watcher::Config::default().fields("status.phase!=Succeeded,status.phase!=Failed");
    let mut pods = pin!(lasting(watch(Api::<Heard>::all(client.clone()), unfinished), "pods"));
    let mut nodes = pin!(lasting(
        watch(Api::<Node>::all(client.clone()), watcher::Config::default()),
        "nodes"
    ));
    let namespaces = watch(Api::<Namespace>::all(client.clone()), watcher::Config::default());
    let mut namespaces = pin!(lasting(namespaces, "namespaces"));
    let budgets = watch(
        Api::<PodDisruptionBudget>::all(client.clone()),
        watcher::Config::default(),
    );
    let mut budgets = pin!(lasting(budgets, "poddisruptionbudgets"));
    let mut volumes = pin!(storage::watched::<PersistentVolume>(&client, "persistentvolumes"));
    let mut claims = pin!(storage::watched::<PersistentVolumeClaim>(
        &client,
        "persistentvolumeclaims"
    ));
    let mut classes = pin!(storage::watched::<StorageClass>(&client, "storageclasses"));
    let mut scheduler = Scheduler {
        state,
        client,
        metrics,
        term,
        memory: Memory::default(),
        tasks: JoinSet::new(),
        events: VecDeque::new(),
        events_in_flight: 0,
        event_written: None,
        listed: Listed::default(),
    };
    loop {
        let busy = scheduler.advance();
        let due = scheduler.due(busy);
        tokio::select! {
            () = shutdown.cancelled() => return Ok(()),
            event = pods.next() => scheduler.pod(event.ok_or(Error::WatchEnded("pods"))?),
            event = nodes.next() => scheduler.node(event.ok_or(Error::WatchEnded("nodes"))?),
            event = namespaces.next() => scheduler.namespace(event.ok_or(Error::WatchEnded("namespaces"))?),
            event = budgets.next() => scheduler.budget(event.ok_or(Error::WatchEnded("poddisruptionbudgets"))?),
            event = volumes.next() => scheduler.storage(event.ok_or(Error::WatchEnded("persistentvolumes"))?),
            event = claims.next() => scheduler.storage(event.ok_or(Error::WatchEnded("persistentvolumeclaims"))?),
            event = classes.next() => scheduler.storage(event.ok_or(Error::WatchEnded("storageclasses"))?),
            Some(done) = scheduler.tasks.join_next() => scheduler.done(done.map_err(Error::Task)?),
            () = wait_until(due) => {}
        }
    }
}

async fn wait_until(due: Option<Instant>) {
    match due {
        Some(due) => tokio::time::sleep_until(due.into()).await,
        None => std::future::pending().await,
    }
}

/// What was listed so far, while a watch starts over; and whether it ever was complete.
#[derive(Default)]
struct Listed {
    pods: HashSet<Arc<str>>,
    nodes: HashSet<Arc<str>>,
    budgets: HashSet<BudgetKey>,
    volumes: Listing<PersistentVolume>,
    claims: Listing<PersistentVolumeClaim>,
    classes: Listing<StorageClass>,
    pods_known: bool,
    nodes_known: bool,
    namespaces_known: bool,
    budgets_known: bool,
}

impl Listed {
    /// Whether all that is decided by was listed.
    fn all(&self) -> bool {
        let storage = self.volumes.known && self.claims.known && self.classes.known;
        self.pods_known && self.nodes_known && self.namespaces_known && self.budgets_known && storage
    }
}

/// An event that is to be written.
struct News {
    pod: Arc<PodInfo>,
    /// In whose name.
    scheduler: Arc<str>,
    notice: Notice,
    write: report::Write,
    at: Timestamp,
}

struct Scheduler {
    client: Client,
    state: State,
    metrics: Metrics,
    /// For how long it may decide, where that is limited.
    term: Option<Term>,
    memory: Memory,
    /// Decisions being carried out, and events being written.
    tasks: JoinSet<Done>,
    events: VecDeque<News>,
    events_in_flight: usize,
    /// When the last one began to be written.
    event_written: Option<Instant>,
    listed: Listed,
}

impl Scheduler {
    /// Starts what can be started now; tells whether there is more to decide at once.
    fn advance(&mut self) -> bool {
        let more = self.decide();
        self.write_events(more || self.in_flight() > 0);
        self.measure();
        more
    }

    fn decide(&mut self) -> bool {
        if !self.listed.all() {
            // Half a picture would over-commit nodes, refuse pods for want of them, or drive out whom a budget keeps.
            return false;
        }
        for _ in 0..MOST_AT_ONCE {
            let may_not = self.term.as_ref().is_some_and(Term::is_over);
            if may_not || self.in_flight() >= MOST_IN_FLIGHT {
                return false;
            }
            let begun = Instant::now();
            match self.state.next(begun) {
                Some(step) => self.start(step, begun),
                None => return false,
            }
        }
        true
    }

    /// How many decisions are being carried out.
    fn in_flight(&self) -> usize {
        self.tasks.len() - self.events_in_flight
    }

    fn due(&self, busy: bool) -> Option<Instant> {
        if busy {
            return Some(Instant::now());
        }
        // With no room for another task, only a finished one helps.
        self.state.next_due().filter(|_| self.in_flight() < MOST_IN_FLIGHT)
    }

    fn write_events(&mut self, busy: bool) {
        while self.events_in_flight < MOST_EVENTS {
            // What makes it busy ends in an event or a task, so there is no need to be woken for this.
            if busy && self.event_written.is_some_and(|at| at.elapsed() < EVENT_PAUSE) {
                return;
            }
            let Some(news) = self.events.pop_front() else {
                return;
            };
            self.events_in_flight += 1;
            self.event_written = Some(Instant::now());
            let client = self.client.clone();
            self.tasks.spawn(async move {
                let News {
                    pod,
                    scheduler,
                    notice,
                    write,
                    at,
                } = news;
                report::event(&client, &scheduler, &pod, &notice, write, at).await;
                Done::EventWritten
            });
        }
    }

    fn start(&mut self, step: Step, begun: Instant) {
        let client = self.client.clone();
        match step {
            Step::Bind { pod, node } => {
                self.metrics.chosen(begun.elapsed());
                let history = self.state.history(&pod.info.uid);
                let attempt = Attempt { pod, begun, history };
                self.tasks.spawn(async move {
                    let outcome = bind::bind(&client, &attempt.pod, &node).await;
                    Done::Bound(attempt, outcome)
                });
            }
            Step::Prepare { pod, bindings } => {
                self.metrics.chosen(begun.elapsed());
                let history = self.state.history(&pod.info.uid);
                let attempt = Attempt { pod, begun, history };
                self.tasks.spawn(async move {
                    match bind::prepare(&client, &bindings).await {
                        Ok(()) => Done::Prepared(attempt.pod.info.uid.clone()),
                        Err(error) => Done::Bound(attempt, Outcome::not_tried(error)),
                    }
                });
            }
            Step::Fail { pod, reason } => {
                let history = self.state.history(&pod.info.uid);
                let outcome = Outcome::not_tried(bind::Failure::NotBound(reason));
                self.settled(Attempt { pod, begun, history }, outcome, begun);
            }
            Step::Refuse {
                pod,
                message,
                resource_version,
                victims,
            } => {
                let outcome = metrics::Outcome::Unschedulable;
                self.metrics.attempted(&pod.profile.name, outcome, begun.elapsed());
                if pod.profile.preemption.is_some() {
                    self.metrics.preempted(victims.len());
                }
                for victim in victims {
                    self.drive_out(victim, &pod);
                }
                self.refuse(pod, message, resource_version);
            }
        }
    }

    fn drive_out(&mut self, victim: Arc<PodInfo>, by: &PendingPod) {
        let node = by.nominated.as_deref().unwrap_or_default();
        tracing::info!(namespace = %victim.namespace, pod = %victim.name, by = %by.info.name, %node, "driven out");
        self.tell(&victim, &by.profile.name, Notice::preempted(by, node));
        let (client, name) = (self.client.clone(), by.profile.name.clone());
        self.tasks.spawn(async move {
            match drive_out(&client, &name, &victim).await {
                Ok(()) => Done::Told,
                Err(error) => {
                    tracing::warn!(pod = %victim.name, error = %Told(&error), "cannot be driven out and is tried again");
                    Done::Stays(victim.uid.clone())
                }
            }
        });
    }

    fn refuse(&mut self, pod: Arc<PendingPod>, message: String, resource_version: Option<String>) {
        tracing::debug!(namespace = %pod.info.namespace, pod = %pod.info.name, %message, "fits nowhere");
        self.tell(&pod.info, &pod.profile.name, Notice::failed(message.clone()));
        let Some(resource_version) = resource_version else {
            return;
        };
        let client = self.client.clone();
        self.tasks.spawn(async move {
            match report::condition(&client, &pod, &resource_version, &message).await {
                Ok(()) => Done::Told,
                Err(error) => {
                    tracing::debug!(pod = %pod.info.name, error = %Told(&error), "cannot write that a pod fits nowhere");
                    Done::NotTold(pod.info.uid.clone())
                }
            }
        });
    }

    fn tell(&mut self, pod: &Arc<PodInfo>, scheduler: &Arc<str>, notice: Notice) {
        let unique = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .unwrap_or(Duration::ZERO)
            .as_nanos();
        let write = self.memory.decide(pod, &notice, unique, Instant::now());
        if write == report::Write::Held {
            return;
        }
        if self.events.len() >= MOST_EVENTS_WAITING {
            tracing::debug!(pod = %pod.name, reason = notice.reason, "an event is left out, there are too many");
            return;
        }
        self.events.push_back(News {
            pod: pod.clone(),
            scheduler: scheduler.clone(),
            notice,
            write,
            at: Timestamp::now(),
        });
    }

    fn done(&mut self, done: Done) {
        let now = Instant::now();
        match done {
            Done::Told => {}
            Done::EventWritten => self.events_in_flight -= 1,
            Done::NotTold(uid) => self.state.not_told(&uid, now),
            Done::Stays(uid) => self.state.victim_stays(&uid, now),
            Done::Prepared(uid) => self.state.prepared(&uid),
            Done::Bound(attempt, outcome) => self.settled(attempt, outcome, now),
        }
    }

    fn pod(&mut self, event: Event<Heard>) {
        let now = Instant::now();
        match event {
            Event::Apply(Heard(pod)) => self.state.pod_changed(&pod, now),
            Event::Delete(Heard(pod)) => {
                let uid = uid(&pod);
                self.memory.forget(&uid);
                self.state.pod_gone(&uid, now);
            }
            Event::Init => self.listed.pods.clear(),
            Event::InitApply(Heard(pod)) => {
                self.listed.pods.insert(uid(&pod));
                self.state.pod_changed(&pod, now);
            }
            Event::InitDone => {
                self.state.keep_pods(&std::mem::take(&mut self.listed.pods), now);
                self.listed.pods_known = true;
            }
        }
    }

    fn node(&mut self, event: Event<Node>) {
        let now = Instant::now();
        let name = |node: &Node| -> Arc<str> { node.metadata.name.as_deref().unwrap_or_default().into() };
        match event {
            Event::Apply(node) => self.state.node_changed(&node, now),
            Event::Delete(node) => self.state.node_gone(&name(&node), now),
            Event::Init => self.listed.nodes.clear(),
            Event::InitApply(node) => {
                self.listed.nodes.insert(name(&node));
                self.state.node_changed(&node, now);
            }
            Event::InitDone => {
                self.state.keep_nodes(&std::mem::take(&mut self.listed.nodes), now);
                self.listed.nodes_known = true;
            }
        }
    }

    fn namespace(&mut self, event: Event<Namespace>) {
        let now = Instant::now();
        match event {
            Event::Apply(namespace) | Event::InitApply(namespace) => self.state.namespace_changed(&namespace, now),
            Event::Delete(namespace) => {
                self.state
                    .namespace_gone(namespace.metadata.name.as_deref().unwrap_or_default());
            }
            Event::Init => {}
            // One that went unseen does no harm: its pods are gone, too.
            Event::InitDone => self.listed.namespaces_known = true,
        }
    }

    fn budget(&mut self, event: Event<PodDisruptionBudget>) {
        match event {
            Event::Apply(budget) => self.state.budget_changed(&budget),
            Event::Delete(budget) => self.state.budget_gone(&budget),
            Event::Init => self.listed.budgets.clear(),
            Event::InitApply(budget) => {
                self.listed.budgets.insert(budget_key(&budget));
                self.state.budget_changed(&budget);
            }
            Event::InitDone => {
                self.state.keep_budgets(&std::mem::take(&mut self.listed.budgets));
                self.listed.budgets_known = true;
            }
        }
    }
}
