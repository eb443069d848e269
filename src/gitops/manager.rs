//! Follows every `Source` object of the cluster: a follower each, begun anew when its spec changes, ended when it goes.
//! What a source that is deleted has made stays: nobody asked to delete that.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::path::{Path, PathBuf};
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt as _;
use k8s_openapi::Resource as _;
use k8s_openapi::api::core::v1::{ObjectReference, Secret, SecretReference};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use k8s_openapi::jiff::Timestamp;
use kube::api::{Api, Patch, PatchParams};
use kube::runtime::watcher::{self, Event, watcher};
use kube::{Client, ResourceExt as _};
use serde_json::json;
use tokio::sync::{Mutex, Notify};
use tokio_util::sync::{CancellationToken, DropGuard};

use super::access::Access;
use super::applyset::ApplySet;
use super::config::Config;
use super::error::Error;
use super::fieldset::MANAGER;
use super::inventory::Inventory;
use super::neighbours::Neighbours;
use super::observed::Observed;
use super::report::{Report, Reporter};
use super::telling::{CommitStatus, Receiver, Telling};
use super::webhook::{self, Webhooks};
use super::window::Window;
use crate::client::{Told, lasting};
use crate::object::source::{Source, SourceSpec, SourceStatus, duration};

/// Between attempts to write a status that was refused, and between looks at a source that is not there.
const RETRY: Duration = Duration::from_secs(5);

/// The condition that says whether all is well.
const READY: &str = "Ready";

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
}

impl Followings {
    /// Ends the others.
    fn keep(&mut self, wanted: impl Fn(&str) -> bool) {
        self.by_name.retain(|name, _| wanted(name));
        let by_name = &self.by_name;
        self.turns
            .retain(|name, turn| by_name.contains_key(name) || Arc::strong_count(turn) > 1);
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
                () = shutdown.cancelled() => return Ok(()),
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
        tokio::spawn(async move {
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
        let Some(config) = self
            .stop
            .run_until_cancelled(self.valid(reporter.as_ref()))
            .await
            .flatten()
        else {
            return;
        };
        let set = ApplySet::of(&config.identity().unwrap_or_default());
        let reporter = Waking {
            news: Arc::clone(&self.news),
            inner: reporter,
        };
        let follow = super::run(
            self.manager.client.clone(),
            config,
            Arc::new(reporter),
            self.stop.clone(),
        );
        tokio::select! {
            ended = follow => if let Err(error) = ended {
                tracing::error!(source = name, %error, "a source is not followed any more");
            },
            () = self.keep_told(&set) => {}
        }
    }

    /// What the spec and the Secret that it names say, where all of it is there.
    async fn config(&self) -> Result<Config, Error> {
        let (name, spec) = (self.source.name_any(), &self.source.spec);
        if self.manager.taken.contains(&name) {
            return Err(Error::Config(format!("another source is called {name} already")));
        }
        let mut config = config(&name, spec, self.manager.data_dir.clone())?;
        config.webhooks = self.manager.webhooks.clone();
        config.telling = self.manager.telling.clone();
        config.neighbours = self.manager.neighbours.clone();
        config.about = Some(ObjectReference {
            api_version: Some(Source::API_VERSION.to_owned()),
            kind: Some(Source::KIND.to_owned()),
            name: Some(name.clone()),
            uid: self.source.uid(),
            ..ObjectReference::default()
        });
        config.webhook_secret.clone_from(&self.manager.webhook_secret);
        if let Some(reference) = &spec.secret_ref {
            config.access = Access::from_data(&self.secret(reference).await?)?;
        }
        self.telling(&mut config).await?;
        super::check(&config).map(|()| config)
    }

    /// Who is told of the source, with the Secrets that lead to them.
    async fn telling(&self, config: &mut Config) -> Result<(), Error> {
        let (name, spec) = (self.source.name_any(), &self.source.spec);
        for (index, notification) in spec.notifications.iter().flatten().enumerate() {
            let place = format!("spec.notifications[{index}]");
            let in_files = notification.url_file.is_some() || notification.token_file.is_some();
            let data = self.named(&place, notification.secret_ref.as_ref(), in_files).await?;
            let url = key(&data, &place, "url")?;
            let token = data.get("token").cloned().and_then(webhook::Secret::new);
            let receiver = Receiver::new(&place, notification, &url, token.as_ref())?;
            config.receivers.push(receiver);
        }
        if let Some(status) = &spec.commit_status {
            let place = "spec.commitStatus";
            let data = self
                .named(place, status.secret_ref.as_ref(), status.token_file.is_some())
                .await?;
            let token = key(&data, place, "token")?;
            config.commit_status = Some(CommitStatus::new(place, &name, status, &token)?);
        }
        Ok(())
    }

    /// The Secret that a part of the spec names; files are for those who have the machine.
    async fn named(
        &self,
        place: &str,
        reference: Option<&SecretReference>,
        in_files: bool,
    ) -> Result<BTreeMap<String, Vec<u8>>, Error> {
        if in_files {
            let reason = "urlFile and tokenFile are for --config; an object has secretRef";
            return Err(Error::Config(format!("{place}: {reason}")));
        }
        match reference {
            Some(reference) if reference.name.is_some() && reference.namespace.is_some() => {
                self.secret(reference).await
            }
            _ => Err(Error::Config(format!(
                "{place}.secretRef: give name and namespace of a Secret"
            ))),
        }
    }

    async fn secret(&self, reference: &SecretReference) -> Result<BTreeMap<String, Vec<u8>>, Error> {
        let name = reference.name.as_deref().unwrap_or_default();
        let namespace = reference.namespace.as_deref().unwrap_or_default();
        let secrets: Api<Secret> = Api::namespaced(self.manager.client.clone(), namespace);
        let secret = secrets.get(name).await.map_err(|error| {
            let reason = Told(&error);
            Error::Source(format!("Secret {namespace}/{name} cannot be read: {reason}"))
        })?;
        let data = secret.data.unwrap_or_default();
        Ok(data.into_iter().map(|(key, value)| (key, value.0)).collect())
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
            if reason != "Failed" {
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

/// What a Secret holds; it may come.
fn key(data: &BTreeMap<String, Vec<u8>>, place: &str, key: &str) -> Result<webhook::Secret, Error> {
    let value = data.get(key).cloned().and_then(webhook::Secret::new);
    value.ok_or_else(|| Error::Source(format!("{place}.secretRef: that Secret has no {key:?}")))
}

/// The status after this; a condition that stays keeps the time of its last change.
fn status(before: &SourceStatus, mut condition: Condition, inventory: Option<&Inventory>) -> SourceStatus {
    let known = before
        .conditions
        .iter()
        .flatten()
        .find(|known| known.type_ == condition.type_);
    if let Some(known) = known.filter(|known| known.status == condition.status) {
        condition.last_transition_time = known.last_transition_time.clone();
    }
    let record = inventory.map(|inventory| &inventory.record);
    SourceStatus {
        observed_generation: condition.observed_generation,
        conditions: Some(vec![condition]),
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

/// What a spec says, as a configuration.
///
/// # Errors
/// Where it says something that cannot be.
pub fn config(name: &str, spec: &SourceSpec, data_dir: PathBuf) -> Result<Config, Error> {
    let mut config = Config::new(&spec.source, data_dir);
    config.name = Some(name.to_owned());
    config.reference.clone_from(&spec.reference);
    config.semver.clone_from(&spec.semver);
    if let Some(directory) = &spec.credentials {
        config.access = Access::from_directory(Path::new(directory))?;
    }
    config.path = spec.path.as_ref().map(PathBuf::from);
    config.ignore = spec.ignore.clone().unwrap_or_default();
    config.schedules = spec.schedules.clone().unwrap_or_default();
    config.depends_on = spec.depends_on.clone().unwrap_or_default();
    config.windows = (spec.windows.iter().flatten().enumerate())
        .map(|(index, window)| {
            let named = |error| Error::Config(format!("spec.windows[{index}].{error}"));
            Window::of(window).map_err(named)
        })
        .collect::<Result<_, _>>()?;
    config.prune = spec.prune.unwrap_or(true);
    config.rollback = spec.rollback.unwrap_or(false);
    if let Some(text) = &spec.health_timeout {
        let said = duration(text).map_err(|error| Error::Config(format!("spec.healthTimeout: {text:?}: {error}")))?;
        config.health_timeout = said;
    }
    config.suspended = spec.suspend.unwrap_or(false);
    if let Some(text) = &spec.prune_budget {
        config.budget = text
            .parse()
            .map_err(|error| Error::Config(format!("spec.pruneBudget: {error}")))?;
    }
    if let Some(text) = &spec.interval {
        config.interval = duration(text).map_err(|error| Error::Config(format!("spec.interval: {text:?}: {error}")))?;
    }
    Ok(config)
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
        self.inner.observe(observed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::object::source::WindowSpec;

    #[test]
    fn a_spec_becomes_a_configuration_or_says_why_not() {
        let spec = |budget: &str, interval: &str| SourceSpec {
            source: "/srv/apps".into(),
            prune_budget: Some(budget.into()),
            interval: Some(interval.into()),
            ..SourceSpec::default()
        };
        let read = config("apps", &spec("3", "2m"), PathBuf::new()).expect("valid");
        assert_eq!((read.budget.to_string().as_str(), read.interval.as_secs()), ("3", 120));
        assert_eq!(read.identity().as_deref(), Some("sources/apps"));
        for (spec, part) in [
            (spec("much", "2m"), "spec.pruneBudget"),
            (spec("3", "0s"), "spec.interval"),
            (spec("3", "soon"), "spec.interval"),
        ] {
            let error = config("apps", &spec, PathBuf::new()).expect_err(part).to_string();
            assert!(error.contains(part), "{error}");
        }
        let mut spec = spec("3", "2m");
        spec.windows = Some(vec![WindowSpec::default()]);
        let error = config("apps", &spec, PathBuf::new())
            .expect_err("no window")
            .to_string();
        assert!(error.contains("spec.windows[0].kind"), "{error}");
    }
}
