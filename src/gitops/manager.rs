//! Follows every `Source` object of the cluster: a follower each, begun anew when its spec changes, ended when it goes.
//! What a source that is deleted has made stays: nobody asked to delete that.

use std::collections::{BTreeSet, HashMap};
use std::path::PathBuf;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt as _;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use k8s_openapi::jiff::Timestamp;
use kube::api::{Api, Patch, PatchParams};
use kube::runtime::watcher::{self, Event, watcher};
use kube::{Client, ResourceExt as _};
use serde_json::json;
use tokio::sync::{Mutex, Notify};
use tokio::task::JoinSet;
use tokio::time::timeout;
use tokio_util::sync::{CancellationToken, DropGuard};

use super::applyset::ApplySet;
use super::config::Config;
use super::error::Error;
use super::fieldset::MANAGER;
use super::inventory::Inventory;
use super::lease::Presence;
use super::neighbours::Neighbours;
use super::observed::Observed;
use super::record::Record;
use super::report::{Report, Reporter};
use super::telling::Telling;
use super::webhook::Webhooks;
use crate::client::{Told, lasting};
use crate::object::source::{Source, SourceStatus};

mod spec;

pub use spec::{config, held_in_files};

/// Between attempts to write a status that was refused, and between looks at a source that is not there.
const RETRY: Duration = Duration::from_secs(5);

/// How long followers may take to end: each says so in the cluster.
const END_TIMEOUT: Duration = Duration::from_secs(3);

/// The condition that says whether all is well.
const READY: &str = "Ready";

/// The condition that says whether other hands changed something that is left so.
const DRIFTED: &str = "Drifted";

/// What the manager needs to know.
#[derive(Clone)]
pub struct Manager {
    /// The cluster that is kept, and that holds the sources.
    pub client: Client,
    /// Where clones are kept.
    pub data_dir: PathBuf,
    /// Names that sources outside the cluster have: objects of these names are not followed.
    pub taken: BTreeSet<String>,
    /// Where webhooks arrive.
    pub webhooks: Webhooks,
    /// The file with the secret that they are signed with, where they are listened to.
    pub webhook_secret: Option<PathBuf>,
    /// Who else is told what becomes of them.
    pub telling: Telling,
    /// Sources outside the cluster, which they are followed beside.
    pub neighbours: Neighbours,
    /// The process, as others see it.
    pub presence: Presence,
    /// Where each source reports.
    pub reporter: Reporters,
}

/// Makes the reporter of a source, by its name.
pub type Reporters = Arc<dyn Fn(&str) -> Arc<dyn Reporter> + Send + Sync>;

/// All that is followed.
#[derive(Default)]
struct Followings {
    by_name: HashMap<String, Following>,
    /// One follower at a time for each name.
    turns: HashMap<String, Arc<Mutex<()>>>,
    tasks: JoinSet<()>,
}

impl Followings {
    /// Ends the others.
    fn keep(&mut self, wanted: impl Fn(&str) -> bool) {
        self.by_name.retain(|name, _| wanted(name));
        let by_name = &self.by_name;
        self.turns
            .retain(|name, turn| by_name.contains_key(name) || Arc::strong_count(turn) > 1);
    }

    /// Ends all of them, and waits a while for what they still have to say.
    async fn end(mut self) {
        self.keep(|_| false);
        let rest = async { while self.tasks.join_next().await.is_some() {} };
        if timeout(END_TIMEOUT, rest).await.is_err() {
            tracing::debug!("not all followers ended in time");
        }
    }
}

/// A source that is followed, until this is dropped.
struct Following {
    generation: Option<i64>,
    uid: Option<String>,
    _stop: DropGuard,
}

impl Manager {
    /// Follows until told to stop.
    pub async fn run(self, shutdown: CancellationToken) -> Result<(), Error> {
        let sources: Api<Source> = Api::all(self.client.clone());
        let mut events = pin!(lasting(watcher(sources, watcher::Config::default()), "sources"));
        let mut following = Followings::default();
        let mut listed = BTreeSet::new();
        loop {
            let event = tokio::select! {
                () = shutdown.cancelled() => {
                    following.end().await;
                    return Ok(());
                }
                event = events.next() => event,
            };
            match event {
                Some(Event::Init) => listed.clear(),
                Some(Event::InitApply(source)) => {
                    listed.insert(source.name_any());
                    self.take(&source, &mut following);
                }
                Some(Event::InitDone) => following.keep(|name| listed.contains(name)),
                Some(Event::Apply(source)) => self.take(&source, &mut following),
                Some(Event::Delete(source)) => {
                    let gone = source.name_any();
                    following.keep(|name| name != gone);
                }
                None => return Err(Error::Source("the watch of sources ended".into())),
            }
        }
    }

    /// Starts to follow what is new, and what changed as if it were.
    fn take(&self, source: &Source, following: &mut Followings) {
        let (name, uid) = (source.name_any(), source.uid());
        let generation = source.metadata.generation;
        let known = following.by_name.get(&name);
        if known.is_some_and(|known| known.generation == generation && known.uid == uid) {
            return;
        }
        drop(following.by_name.remove(&name));
        let stop = CancellationToken::new();
        let task = Task {
            manager: self.clone(),
            source: source.clone(),
            news: Arc::new(Notify::new()),
            stop: stop.clone(),
        };
        let turn = Arc::clone(following.turns.entry(name.clone()).or_default());
        while let Some(ended) = following.tasks.try_join_next() {
            if let Err(error) = ended {
                tracing::error!(%error, "a follower's task failed");
            }
        }
        following.tasks.spawn(async move {
            // A follower of that name that was told to end may still be doing so.
            let _turn = turn.lock().await;
            task.run().await;
        });
        let _stop = stop.drop_guard();
        following.by_name.insert(name, Following { generation, uid, _stop });
    }
}

/// One source that is followed.
struct Task {
    manager: Manager,
    source: Source,
    /// The record may say something new.
    news: Arc<Notify>,
    stop: CancellationToken,
}

impl Task {
    async fn run(self) {
        let name = self.source.name_any();
        let reporter = (self.manager.reporter)(&name);
        let waking: Arc<dyn Reporter> = Arc::new(Waking {
            news: Arc::clone(&self.news),
            inner: Arc::clone(&reporter),
        });
        loop {
            let valid = self.valid(reporter.as_ref());
            let Some(config) = self.stop.run_until_cancelled(valid).await.flatten() else {
                return;
            };
            let set = ApplySet::of(&config.identity().unwrap_or_default());
            let (client, waking) = (self.manager.client.clone(), Arc::clone(&waking));
            let ended = tokio::select! {
                ended = super::run::run(client, config, waking, self.stop.clone()) => ended,
                () = self.keep_told(&set) => return,
            };
            match ended {
                Ok(None) => return,
                Ok(Some(changed)) => reporter.report(Report::Notice {
                    text: format!("{changed} changed and is read again"),
                }),
                Err(error) => {
                    tracing::error!(source = name, %error, "a source is not followed any more");
                    return;
                }
            }
        }
    }

    /// The configuration once it can be followed; None where it never can.
    async fn valid(&self, reporter: &dyn Reporter) -> Option<Config> {
        let mut told = None;
        loop {
            let (reason, text) = match self.config().await {
                Ok(config) => return Some(config),
                // What is not there may come.
                Err(Error::Source(text)) => ("Failed", text),
                Err(error) => ("InvalidSpec", error.to_string()),
            };
            if told.as_ref() != Some(&text) {
                reporter.report(Report::Notice {
                    text: format!("it cannot be followed: {text}"),
                });
                self.tell(&(self.condition(reason, &text), None)).await;
            }
            // What a Secret says may change by itself.
            if reason != "Failed" && !spec::names_others(&self.source.spec) {
                return None;
            }
            told = Some(text);
            tokio::time::sleep(RETRY).await;
        }
    }

    /// Writes the status whenever there may be news of it.
    async fn keep_told(&self, set: &ApplySet) {
        loop {
            self.news.notified().await;
            match Inventory::load(&self.manager.client, set).await {
                Ok(inventory) => self.tell(&(self.ready(&inventory), Some(inventory))).await,
                Err(error) => tracing::debug!(%error, "what became of a source cannot be read"),
            }
        }
    }

    fn ready(&self, inventory: &Inventory) -> Condition {
        let record = &inventory.record;
        let problem = record.problems.first().map(ToString::to_string);
        match (&record.failure, problem, &record.approval) {
            (Some(reason), _, _) => self.condition("Failed", reason),
            (_, Some(problem), _) => self.condition("Errors", &format!("{} in all: {problem}", record.problem_count)),
            (_, _, Some(approval)) => self.condition("WaitsForApproval", &approval.to_string()),
            _ if record.waits.is_some() => {
                let waits = record.waits.clone();
                self.condition("DependencyNotReady", &waits.unwrap_or_default())
            }
            _ if record.quarantine.is_some() => {
                let quarantine = record.quarantine.as_ref().map(ToString::to_string);
                self.condition("RolledBack", &format!("rolled back {}", quarantine.unwrap_or_default()))
            }
            _ if record.suspended => self.condition("Suspended", "syncs are suspended"),
            _ if record.closed.is_some() => {
                let closed = record.closed.as_ref().map(ToString::to_string);
                self.condition("OutsideWindow", &closed.unwrap_or_default())
            }
            _ if record.revision.is_none() => Condition {
                status: "Unknown".into(),
                ..self.condition("Progressing", "the first sync is not over yet")
            },
            _ if record.drift_count > 0 => Condition {
                status: "True".into(),
                ..self.condition(
                    "Drifted",
                    "everything is applied, and other hands changed some of it since",
                )
            },
            _ => Condition {
                status: "True".into(),
                ..self.condition("Synced", "everything is as the source says")
            },
        }
    }

    /// Not ready for that reason.
    fn condition(&self, reason: &str, message: &str) -> Condition {
        Condition {
            type_: READY.into(),
            status: "False".into(),
            reason: reason.into(),
            message: message.into(),
            observed_generation: self.source.metadata.generation,
            last_transition_time: Time(Timestamp::now()),
        }
    }

    /// Writes the status where it says anything else, until that is done.
    async fn tell(&self, (condition, inventory): &(Condition, Option<Inventory>)) {
        let api: Api<Source> = Api::all(self.manager.client.clone());
        let params = PatchParams {
            field_manager: Some(MANAGER.to_owned()),
            ..PatchParams::default()
        };
        loop {
            let written = async {
                let Some(now) = api.get_opt(&self.source.name_any()).await? else {
                    return Ok(());
                };
                let before = now.status.unwrap_or_default();
                let wanted = status(&before, condition.clone(), inventory.as_ref());
                if wanted == before || now.metadata.uid != self.source.metadata.uid {
                    return Ok(());
                }
                let patch = Patch::Merge(json!({"status": wanted}));
                api.patch_status(&self.source.name_any(), &params, &patch)
                    .await
                    .map(drop)
            };
            match written.await {
                Ok(()) => return,
                Err(error) => tracing::debug!(error = %Told(&error), "the status of a source was not written"),
            }
            tokio::time::sleep(RETRY).await;
        }
    }
}

/// The status after this; a condition that stays keeps the time of its last change.
fn status(before: &SourceStatus, condition: Condition, inventory: Option<&Inventory>) -> SourceStatus {
    let record = inventory.map(|inventory| &inventory.record);
    let known = |name: &str| before.conditions.iter().flatten().find(|known| known.type_ == name);
    let drifted = match record {
        Some(record) => (record.drift_count > 0 || known(DRIFTED).is_some()).then(|| drifted(record, &condition)),
        None => known(DRIFTED).cloned(),
    };
    let observed_generation = condition.observed_generation;
    let since = |mut condition: Condition| {
        if let Some(known) = known(&condition.type_).filter(|known| known.status == condition.status) {
            condition.last_transition_time = known.last_transition_time.clone();
        }
        condition
    };
    let conditions = [condition].into_iter().chain(drifted).map(since).collect();
    SourceStatus {
        observed_generation,
        conditions: Some(conditions),
        revision: match record {
            Some(record) => record.revision.as_ref().map(|revision| revision.id().to_owned()),
            None => before.revision.clone(),
        },
        synced_at: record.map_or(before.synced_at, |record| record.synced_at),
        objects: match inventory {
            Some(inventory) => i64::try_from(inventory.members.len()).ok(),
            None => before.objects,
        },
    }
}

/// Whether something drifted and is left so. Only where something ever did: otherwise it is of no interest.
fn drifted(record: &Record, ready: &Condition) -> Condition {
    let first = record.drifted.first();
    let (status, reason, message) = match first {
        Some(first) => {
            let message = format!("{} in all: {first}", record.drift_count);
            ("True", "ChangedByOthers", message)
        }
        None => (
            "False",
            "AsApplied",
            "nothing is otherwise than it was applied".to_owned(),
        ),
    };
    Condition {
        type_: DRIFTED.into(),
        status: status.into(),
        reason: reason.into(),
        message,
        ..ready.clone()
    }
}

/// Passes reports on and says that there are some.
struct Waking {
    news: Arc<Notify>,
    inner: Arc<dyn Reporter>,
}

impl Reporter for Waking {
    fn report(&self, report: Report) {
        self.inner.report(report);
        self.news.notify_one();
    }

    fn observe(&self, observed: &Observed<'_>) {
        if let Observed::Synced(round) = observed
            && round.before.drifted != round.now.drifted
        {
            self.news.notify_one();
        }
        self.inner.observe(observed);
        // Not all that is recorded is news to a person.
        let is_recorded = match observed {
            Observed::Synced(round) => round.before != round.now,
            Observed::Failed { .. } => true,
            _ => false,
        };
        if is_recorded {
            self.news.notify_one();
        }
    }
}
