//! The loop: watches feed the world, decisions over it become actions.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::pin::pin;
use std::time::{Duration, Instant};

use futures::StreamExt;
use k8s_openapi::api::coordination::v1::Lease;
use k8s_openapi::api::core::v1::{Node, Pod};
use k8s_openapi::jiff::Timestamp;
use kube::runtime::watcher as watch;
use kube::runtime::watcher::{self, Event};
use kube::{Api, Client};
use tokio::task::{JoinError, JoinSet};
use tokio_util::sync::CancellationToken;

use super::act::{self, Action, Outcome};
use super::pace::{PAUSE, Pace};
use super::world::{PodView, Uid, World, strip};
use super::{disruption, eviction, namespaces, node_lifecycle, pod_collection, volumes};
use crate::client::lasting;

/// How long after a failed action it may be tried again.
const RETRY: Duration = Duration::from_secs(5);
/// How many actions run at once: these are chores, which should not crowd out others that use the API.
const MOST_IN_FLIGHT: usize = 8;

/// How the controllers run.
#[derive(Clone, Debug)]
pub struct Config {
    /// How many finished pods are kept.
    pub finished_pods_kept: usize,
    /// How long a node may be silent before it counts as lost.
    pub node_grace: Duration,
    /// How long a node must have been missing before its pods go.
    pub orphan_quarantine: Duration,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            finished_pods_kept: pod_collection::FINISHED_KEPT,
            node_grace: node_lifecycle::GRACE,
            orphan_quarantine: pod_collection::QUARANTINE,
        }
    }
}

/// Why the controllers stopped.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A watch ended, which it never should.
    #[error("the watch of {0} ended")]
    WatchEnded(&'static str),
    /// A task of ours panicked.
    #[error("a task of the controllers failed")]
    Task(#[source] JoinError),
}

/// Keeps the cluster tidy until told to stop.
///
/// # Errors
/// Where the controllers cannot go on; a failing API is waited for instead.
pub async fn run(client: Client, config: Config, shutdown: CancellationToken) -> Result<(), Error> {
    tokio::try_join!(
        tidy(client.clone(), config, shutdown.clone()),
        namespaces::run(client.clone(), shutdown.clone()),
        disruption::run(client.clone(), shutdown.clone()),
        volumes::run(client, shutdown),
    )?;
    Ok(())
}

async fn tidy(client: Client, config: Config, shutdown: CancellationToken) -> Result<(), Error> {
    let all = watcher::Config::default;
    let mut pods = pin!(lasting(watch(Api::<Pod>::all(client.clone()), all()), "pods"));
    let mut nodes = pin!(lasting(watch(Api::<Node>::all(client.clone()), all()), "nodes"));
    let leases = Api::<Lease>::namespaced(client.clone(), act::LEASES);
    let mut leases = pin!(lasting(watch(leases, all()), "leases"));
    let mut tidier = Tidier {
        client,
        config,
        world: World::default(),
        listed: Listed::default(),
        tasks: JoinSet::new(),
        busy: HashSet::new(),
        not_before: HashMap::new(),
        pace: Pace::default(),
    };
    loop {
        tokio::select! {
            () = shutdown.cancelled() => return Ok(()),
            event = pods.next() => tidier.pod(event.ok_or(Error::WatchEnded("pods"))?),
            event = nodes.next() => tidier.node(event.ok_or(Error::WatchEnded("nodes"))?),
            event = leases.next() => tidier.lease(event.ok_or(Error::WatchEnded("leases"))?),
            Some(done) = tidier.tasks.join_next() => tidier.done(done.map_err(Error::Task)?),
            () = wait_until(tidier.pace.due()) => tidier.decide(),
        }
    }
}

/// Sleeps until then; for ever where there is no time.
pub(super) async fn wait_until(due: Option<Instant>) {
    match due {
        Some(due) => tokio::time::sleep_until(due.into()).await,
        None => std::future::pending().await,
    }
}

/// What was listed so far, while a watch starts over; and whether it ever was complete.
#[derive(Default)]
struct Listed {
    pods: BTreeSet<Uid>,
    nodes: BTreeSet<String>,
    pods_known: bool,
    nodes_known: bool,
}

struct Tidier {
    client: Client,
    config: Config,
    world: World,
    listed: Listed,
    tasks: JoinSet<(String, Result<Outcome, kube::Error>)>,
    /// What actions under way are about.
    busy: HashSet<String>,
    /// What actions failed about, and when they may be tried again.
    not_before: HashMap<String, Instant>,
    pace: Pace,
}

impl Tidier {
    fn decide(&mut self) {
        let (now, wall) = (Instant::now(), Timestamp::now());
        self.pace.begin(now);
        // Without the whole picture, nodes would seem to be missing.
        if !(self.listed.pods_known && self.listed.nodes_known) {
            return;
        }
        self.not_before.retain(|_, due| *due > now);
        let (actions, due) = decisions(&self.world, &self.config, now, wall);
        let retry = self.not_before.values().min().copied();
        self.pace.again([due, retry].into_iter().flatten().min());
        for action in actions {
            // A finished action decides again, so what finds no room now is not lost.
            let about = action.about();
            if self.tasks.len() < MOST_IN_FLIGHT && !self.not_before.contains_key(&about) && self.busy.insert(about) {
                let client = self.client.clone();
                self.tasks
                    .spawn(async move { (action.about(), act::carry_out(&client, action).await) });
            }
        }
    }

    fn done(&mut self, (about, result): (String, Result<Outcome, kube::Error>)) {
        self.busy.remove(&about);
        // What was done shows in the watches a moment later; until then it would be decided on again.
        let pause = match result {
            Ok(Outcome::Done) => PAUSE * 2,
            Ok(Outcome::Alive(node)) => {
                self.world.node_lives(&node, Instant::now());
                PAUSE * 2
            }
            Err(error) => {
                let error: &dyn std::error::Error = &error;
                tracing::debug!(about, error, "a chore failed and is tried again");
                RETRY
            }
        };
        self.not_before.insert(about, Instant::now() + pause);
        self.pace.wake();
    }

    fn pod(&mut self, event: Event<Pod>) {
        match event {
            Event::Apply(pod) => self.world.pod_changed(PodView::read(&pod), Instant::now()),
            Event::Delete(pod) => self.world.pod_gone(&PodView::read(&pod).uid),
            Event::Init => self.listed.pods.clear(),
            Event::InitApply(pod) => {
                let pod = PodView::read(&pod);
                self.listed.pods.insert(pod.uid.clone());
                self.world.pod_changed(pod, Instant::now());
            }
            Event::InitDone => {
                self.world.keep_pods(&std::mem::take(&mut self.listed.pods));
                self.listed.pods_known = true;
            }
        }
        self.pace.wake();
    }

    fn node(&mut self, event: Event<Node>) {
        let (now, wall) = (Instant::now(), Timestamp::now());
        match event.modify(strip) {
            Event::Apply(node) => self.world.node_changed(node, now, wall),
            Event::Delete(node) => self
                .world
                .node_gone(node.metadata.name.as_deref().unwrap_or_default(), now),
            Event::Init => self.listed.nodes.clear(),
            Event::InitApply(node) => {
                self.listed.nodes.insert(node.metadata.name.clone().unwrap_or_default());
                self.world.node_changed(node, now, wall);
            }
            Event::InitDone => {
                self.world.keep_nodes(&std::mem::take(&mut self.listed.nodes), now);
                self.listed.nodes_known = true;
            }
        }
        self.pace.wake();
    }

    /// A lease only ever puts a decision off, so it wakes nobody.
    fn lease(&mut self, event: Event<Lease>) {
        match event {
            Event::Apply(lease) | Event::InitApply(lease) => self.world.lease_changed(&lease, Instant::now()),
            Event::Delete(lease) => self
                .world
                .lease_gone(lease.metadata.name.as_deref().unwrap_or_default()),
            Event::Init | Event::InitDone => {}
        }
    }
}

/// Everything to do now, and when there will be more to do as long as nothing else happens.
fn decisions(world: &World, config: &Config, now: Instant, wall: Timestamp) -> (Vec<Action>, Option<Instant>) {
    let mut actions = Vec::new();
    let mut due = pod_collection::next_due(world, now, config.orphan_quarantine);
    let mut later = |at: Instant| due = Some(due.map_or(at, |due| due.min(at)));
    for view in world.nodes() {
        let name = view.node.metadata.name.clone().unwrap_or_default();
        match node_lifecycle::silence_due(view, config.node_grace) {
            Some(at) if at <= now => actions.push(Action::Silence {
                node: name.clone(),
                grace: config.node_grace,
            }),
            Some(at) => later(at),
            None => {}
        }
        if node_lifecycle::wanted_taints(&view.node, wall).is_some() {
            actions.push(Action::Taint { node: name.clone() });
        }
        let taints = eviction::driving(&view.node);
        if taints.is_empty() {
            continue;
        }
        for pod in world.pods_on(&name) {
            match eviction::due(pod, &taints) {
                Some(at) if at <= wall => actions.push(Action::Evict { pod: pod.clone() }),
                Some(at) => later(now + Duration::try_from(at.duration_since(wall)).unwrap_or(RETRY)),
                None => {}
            }
        }
    }
    let collected = pod_collection::collect(world, now, config.orphan_quarantine, config.finished_pods_kept);
    actions.extend(
        collected
            .orphans
            .into_iter()
            .map(|pod| Action::Orphan { pod: pod.clone() }),
    );
    let at_once = collected.never_placed.into_iter().chain(collected.finished);
    actions.extend(at_once.map(|pod| Action::Collect { pod: pod.clone() }));
    (actions, due)
}
