//! The loop that follows a source: waits for news, goes round, tells what happened, and tries again what failed.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, Local};
use futures::FutureExt as _;
use jiff::Timestamp;
use kube::Client;
use tokio::sync::Notify;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep_until, timeout};
use tokio_util::sync::CancellationToken;

use super::apply::{Applied, Patience};
use super::config::Config;
use super::drift::Drift;
use super::error::Error;
use super::inventory::Inventory;
use super::observed::{Observed, Round as Ended, Step};
use super::order::Order;
use super::quiet::{Marks, Quiet};
use super::report::{Action, Counts, ObjectKey, Problem, Report, Reporter};
use super::rollback::{Rollback, Tools};
use super::schedule::{Schedules, jittered};
use super::source::{Snapshot, Source, View, Watch};
use super::sync::{Engine, Prepared};
use super::telling;
use super::webhook::{self, Followed, Secret};
use super::window::{self, Window};

/// First and longest pause after a failure.
const BACKOFF: (Duration, Duration) = (Duration::from_millis(250), Duration::from_secs(30));

/// In a directory, deletes wait until nothing changed for this long: a tool may be half way through writing it.
const SETTLE: Duration = Duration::from_secs(1);

/// The longest sleep towards a time of the clock, so that a clock that is set is noticed.
const MAX_SLEEP: Duration = Duration::from_secs(20);

/// How soon to look again at an object that must go before it is made again, should its event get lost.
const PENDING: Duration = Duration::from_secs(1);

/// How often news may interrupt a round before one is left to finish: a stream of commits must not stop all work.
const MAX_SUPERSEDED: usize = 3;

/// How long recording a failure may hold up the next attempt.
const NOTE_TIMEOUT: Duration = Duration::from_secs(5);

/// The reason that [`SETTLE`] gives; not worth a line to a person.
const SETTLING: &str = "the directory changed a moment ago";

/// Follows the source until told to stop.
pub(super) async fn run(
    client: Client,
    config: Config,
    reporter: Arc<dyn Reporter>,
    shutdown: CancellationToken,
) -> Result<(), Error> {
    let schedules = Schedules::parse(&config.schedules)?;
    let source = Source::open(&config)?;
    let engine = Engine::new(client.clone(), &source, &config);
    let others = telling::Told::begin(&client, &config, &engine.set, reporter)?;
    let reporter = Arc::clone(&others.reporter);
    reporter.report(Report::Following {
        source: source.describe(),
    });
    let order = Order::new(client.clone(), &config.depends_on);
    let drift = Drift::new(client, &engine.set, config.rollback);
    let mut follower = Follower {
        engine,
        source,
        rollback: Rollback::new(&config),
        schedules,
        windows: config.windows.clone(),
        order,
        interval: config.interval,
        suspended: config.suspended,
        drift,
        watch: None,
        fetch: None,
        fetch_again: false,
        asked: None,
        pin_waits: false,
        news: news(&config, &reporter)?,
        reporter,
        last: None,
        read_again: true,
        changed_at: None,
        told: Told::default(),
        quiet: Quiet::default(),
        retry: None,
        backoff: BACKOFF.0,
        fetch_retry: None,
        fetch_backoff: BACKOFF.0,
        next_poll: Instant::now(),
        looked: Local::now(),
    };
    if shutdown.run_until_cancelled(follower.follow().boxed()).await.is_none() {
        tracing::debug!("the reconciler was told to stop");
    }
    config.webhooks.remove(webhook_name(&config));
    others.end().await;
    Ok(())
}

/// What webhooks wake, where they are listened to.
fn news(config: &Config, reporter: &Arc<dyn Reporter>) -> Result<Option<Arc<Notify>>, Error> {
    let Some(file) = &config.webhook_secret else {
        return Ok(None);
    };
    let followed = match config.semver {
        Some(_) => Followed::Any,
        None => Followed::reference(config.reference.as_deref()),
    };
    let secret = Secret::read(file)?;
    let reporter = Arc::clone(reporter);
    let news = config
        .webhooks
        .register(webhook_name(config), secret, followed, reporter);
    Ok(Some(news))
}

fn webhook_name(config: &Config) -> &str {
    config.name.as_deref().unwrap_or(webhook::DEFAULT)
}

/// What was told already, so that a standing problem is told once.
#[derive(Default)]
struct Told {
    problems: BTreeSet<Problem>,
    kept: BTreeSet<(ObjectKey, String)>,
    notices: BTreeSet<String>,
    pending: BTreeMap<ObjectKey, String>,
    suspended: bool,
    closed: Option<String>,
    obstacle: Option<String>,
    failure: Option<String>,
    fetch_failure: Option<String>,
    revision: Option<String>,
}

struct Follower {
    engine: Engine,
    source: Source,
    reporter: Arc<dyn Reporter>,
    rollback: Rollback,
    schedules: Schedules,
    windows: Vec<Window>,
    order: Order,
    interval: Duration,
    /// Whether its configuration suspends it.
    suspended: bool,
    drift: Drift,
    watch: Option<Watch>,
    /// A fetch under way.
    fetch: Option<JoinHandle<Result<(), Error>>>,
    /// Whether the one under way was begun before somebody said that there is news.
    fetch_again: bool,
    /// The request for a sync that the remote was last asked for.
    asked: Option<String>,
    /// Whether somebody wants to go back, for which the remote need not answer.
    pin_waits: bool,
    /// Told by webhooks.
    news: Option<Arc<Notify>>,
    /// What was last read.
    last: Option<Snapshot>,
    /// Whether the next round reads the source, or applies what was last read.
    read_again: bool,
    /// When the directory was last seen to differ from what it was before.
    changed_at: Option<Instant>,
    told: Told,
    quiet: Quiet,
    retry: Option<Instant>,
    backoff: Duration,
    fetch_retry: Option<Instant>,
    fetch_backoff: Duration,
    /// When to ask a remote, or look at files, though nothing told of news.
    next_poll: Instant,
    /// Up to which time of the clock the schedules were looked at.
    looked: DateTime<Local>,
}

/// How a round ended.
enum Round {
    Done,
    /// News came before it was done.
    Superseded,
}

impl Follower {
    async fn follow(&mut self) {
        self.start_fetch();
        self.plan_poll();
        let mut superseded = 0;
        loop {
            self.renew_watch();
            match self.round(superseded < MAX_SUPERSEDED).await {
                Ok(Round::Superseded) => {
                    superseded += 1;
                    self.read_again = true;
                    continue;
                }
                Ok(Round::Done) => {}
                Err(error) => self.failed(&error).await,
            }
            superseded = 0;
            self.wait().await;
        }
    }

    /// One round; news may end it early, for everything it does can be done again.
    async fn round(&mut self, interruptible: bool) -> Result<Round, Error> {
        // The watch is taken out so that it can be waited for while the round has the rest.
        let watch = self.watch.take().filter(|_| self.schedules.is_empty());
        let result = match watch.as_ref().filter(|_| interruptible) {
            Some(watch) => tokio::select! {
                // The round goes first: where both are ready, it is done.
                biased;
                result = self.sync() => result.map(|()| Round::Done),
                () = watch.changed() => Ok(Round::Superseded),
            },
            None => self.sync().await.map(|()| Round::Done),
        };
        self.watch = watch;
        result
    }

    async fn sync(&mut self) -> Result<(), Error> {
        let started = Instant::now();
        let mut inventory = self.engine.inventory().await?;
        if self.is_suspended(&mut inventory).await? || self.is_closed(&mut inventory).await? {
            return Ok(());
        }
        if self.waits_for_others(&mut inventory).await? {
            return Ok(());
        }
        if self.asks_the_remote_first(&inventory) {
            return Ok(());
        }
        let Some(head) = self.read().await? else {
            return Ok(());
        };
        let marks = Marks {
            revision: head.revision.clone(),
            unread: head.problems.clone(),
            notices: head.notices.clone(),
            parent: inventory.version(),
            changes: self.drift.changes(),
        };
        if self.quiet.covers(&marks, started) {
            self.reporter.observe(&Observed::Synced(Ended {
                before: &inventory.record,
                now: &inventory.record,
                revision: &head.revision,
                counts: Counts::default(),
                owned: inventory.members.len(),
                waiting: 0,
                elapsed: started.elapsed(),
            }));
            nothing_to_do(started);
            return Ok(());
        }
        let reporter = Arc::clone(&self.reporter);
        let tools = Tools {
            engine: &self.engine,
            source: &self.source,
            reporter: reporter.as_ref(),
        };
        let snapshot = self.rollback.choose(tools, &mut inventory, head).await?;
        let before = inventory.record.clone();
        let defer = self.settling().map(|_| SETTLING.to_owned());
        let mut prepared = self.engine.prepare(snapshot, inventory, defer).await?;
        self.drift.watch(&prepared.kinds);
        self.tell(&prepared);
        self.reporter.observe(&Observed::TakenUp {
            revision: &prepared.revision,
            is_new: before.revision.as_ref() != Some(&prepared.revision),
        });
        let applied = self
            .engine
            .carry_out(&mut prepared, Patience::Moment, reporter.as_ref())
            .await?;
        self.retry = None;
        if !applied.problems.is_empty() || !prepared.plan.problems.is_empty() {
            self.back_off();
        } else {
            self.backoff = BACKOFF.0;
        }
        if !applied.pending.is_empty() {
            self.retry_at(Instant::now() + PENDING);
        }
        if let Some(next) = self.engine.next_repair() {
            self.retry_at(next);
        }
        if let Some(settled) = self.settling() {
            self.retry_at(settled);
        }
        // A fetch under way may bring what a request is about.
        let answers = applied.pending.is_empty() && self.fetch.is_none();
        let problems = self.engine.conclude(&mut prepared, &applied, answers).await?;
        let done = problems.is_empty() && prepared.plan.is_done();
        self.reporter.observe(&Observed::Synced(Ended {
            before: &before,
            now: &prepared.inventory.record,
            revision: &prepared.revision,
            counts: applied.counts,
            owned: prepared.inventory.members.len(),
            waiting: applied.pending.len(),
            elapsed: started.elapsed(),
        }));
        self.summarize(&prepared, applied, problems.clone(), started);
        let tools = Tools {
            engine: &self.engine,
            source: &self.source,
            reporter: reporter.as_ref(),
        };
        if let Some(then) = self.rollback.look(tools, &mut prepared, &problems).await? {
            self.retry_at(instant(then));
        }
        let nothing = done && self.retry.is_none();
        self.quiet.note(marks, nothing, Instant::now());
        if nothing {
            nothing_to_do(started);
        }
        Ok(())
    }

    /// Tells, and records, when that changes.
    async fn is_suspended(&mut self, inventory: &mut Inventory) -> Result<bool, Error> {
        let suspended = inventory.controls.suspended || self.suspended;
        let is_news = suspended != inventory.record.suspended;
        if is_news {
            self.engine.note_suspended(inventory, suspended).await?;
        }
        self.reporter.observe(&Observed::Suspended { suspended, is_news });
        if suspended != self.told.suspended {
            let text = match suspended {
                true => "suspended: nothing is synced before `reconcile resume`",
                false => "resumed",
            };
            self.reporter.report(Report::Notice { text: text.to_owned() });
            self.told.suspended = suspended;
        }
        if suspended {
            self.retry = None;
        }
        Ok(suspended)
    }

    /// Whether its windows allow no sync now; records and tells it, and looks again when they may.
    async fn is_closed(&mut self, inventory: &mut Inventory) -> Result<bool, Error> {
        let now = Timestamp::now();
        let closed = window::closed(&self.windows, now);
        let reason = closed.as_ref().map(ToString::to_string);
        let is_closed = closed.is_some();
        if let Some(closed) = closed {
            // The clock may be set: no sleep is longer than that.
            let until = closed.until.and_then(|until| Duration::try_from(until - now).ok());
            self.retry = Some(Instant::now() + until.unwrap_or(MAX_SLEEP).min(MAX_SLEEP));
            self.engine.note_closed(inventory, closed).await?;
        }
        if self.told.closed != reason {
            let text = match &reason {
                Some(reason) => format!("not synced now: {reason}"),
                None => "a sync window allows syncs again".to_owned(),
            };
            self.reporter.report(Report::Notice { text });
            self.told.closed = reason;
        }
        Ok(is_closed)
    }

    /// Whether a source that comes first is not done yet; records and tells it, and looks again soon.
    async fn waits_for_others(&mut self, inventory: &mut Inventory) -> Result<bool, Error> {
        let obstacle = self.order.obstacle().await?;
        if let Some(reason) = &obstacle {
            self.retry = Some(Instant::now() + PENDING);
            self.engine.note_waits(inventory, reason).await?;
        }
        let waits = obstacle.is_some();
        if self.told.obstacle != obstacle {
            let text = match &obstacle {
                Some(reason) => format!("not synced yet: {reason}"),
                None => "the sources that come first are done".to_owned(),
            };
            self.reporter.report(Report::Notice { text });
            self.told.obstacle = obstacle;
        }
        Ok(waits)
    }

    /// Takes up a request for a sync: news is looked for, and a remote has to be asked before there is anything to do.
    fn asks_the_remote_first(&mut self, inventory: &Inventory) -> bool {
        let requested = &inventory.controls.requested;
        if requested.is_none() || *requested == inventory.record.answered {
            return false;
        }
        self.read_again = true;
        if !self.source.is_remote() || self.asked == *requested {
            return false;
        }
        self.asked.clone_from(requested);
        self.pin_waits = inventory.controls.pinned.is_some();
        self.fetch_again = self.fetch.is_some();
        self.start_fetch();
        true
    }

    /// What to apply; None where nothing was fetched yet.
    async fn read(&mut self) -> Result<Option<Snapshot>, Error> {
        if let Some(last) = self.last.as_ref().filter(|_| !self.read_again) {
            return Ok(Some(last.clone()));
        }
        if !self.source.is_fetched() {
            return Ok(None);
        }
        let snapshot = self.source.read(View::Committed).await?;
        let before = self.last.as_ref().map(|last| last.revision.id());
        if self.source.is_directory() && before.is_some_and(|before| before != snapshot.revision.id()) {
            self.changed_at = Some(Instant::now());
        }
        self.last = Some(snapshot.clone());
        self.read_again = false;
        Ok(Some(snapshot))
    }

    /// Until when deletes wait, if they do.
    fn settling(&self) -> Option<Instant> {
        self.changed_at
            .map(|changed| changed + SETTLE)
            .filter(|settled| *settled > Instant::now())
    }

    /// Reports what is new among what is wrong and what is kept.
    fn tell(&mut self, prepared: &Prepared) {
        let notices: BTreeSet<String> = prepared.notices.iter().cloned().collect();
        for text in notices.difference(&self.told.notices) {
            self.reporter.report(Report::Notice { text: text.clone() });
        }
        self.told.notices = notices;
        let kept: BTreeSet<(ObjectKey, String)> = prepared
            .plan
            .steps
            .iter()
            .filter(|step| step.action == Action::Keep)
            .map(|step| (step.key.clone(), step.reasons.join("; ")))
            .filter(|(_, reason)| reason != SETTLING)
            .collect();
        for (object, reason) in kept.difference(&self.told.kept) {
            self.reporter.report(Report::Kept {
                object: object.clone(),
                reason: reason.clone(),
            });
        }
        self.told.kept = kept;
        for problem in &prepared.problems {
            if !self.told.problems.contains(problem) {
                self.reporter.report(Report::Problem(problem.clone()));
            }
        }
        self.told.problems.extend(prepared.problems.iter().cloned());
    }

    fn summarize(&mut self, prepared: &Prepared, applied: Applied, problems: BTreeSet<Problem>, started: Instant) {
        for problem in problems.difference(&self.told.problems) {
            self.reporter.report(Report::Problem(problem.clone()));
        }
        let waiting: Vec<(ObjectKey, String)> = applied
            .pending
            .iter()
            .filter(|(key, _)| !self.told.pending.contains_key(key))
            .map(|(key, reason)| (key.clone(), reason.clone()))
            .collect();
        if !waiting.is_empty() {
            self.reporter.report(Report::Waiting { objects: waiting });
        }
        let revision = prepared.revision.id();
        let news = self.told.revision.as_deref() != Some(revision)
            || self.told.failure.is_some()
            || self.told.problems != problems
            || applied.counts.changes() > 0;
        self.told.revision = Some(revision.to_owned());
        self.told.failure = None;
        if news {
            self.reporter.report(Report::Synced {
                revision: prepared.revision.clone(),
                counts: applied.counts,
                problems: problems.len(),
                waiting: applied.pending.len(),
                elapsed: started.elapsed(),
            });
        }
        self.told.problems = problems;
        self.told.pending = applied.pending;
    }

    /// The whole round failed.
    async fn failed(&mut self, error: &Error) {
        let reason = error.to_string();
        self.quiet = Quiet::default();
        self.retry = None;
        let after = self.back_off();
        let is_told = self.told.failure.as_ref() == Some(&reason);
        self.record_failure(Step::Sync, &reason, is_told, true).await;
        if is_told {
            tracing::debug!(%reason, ?after, "still failing");
        } else {
            self.reporter.report(Report::Retrying {
                reason: reason.clone(),
                after,
            });
            self.told.failure = Some(reason);
        }
        // A source that went may come back as another directory.
        self.watch = None;
        self.read_again |= matches!(error, Error::Source(_)) && self.schedules.is_empty();
    }

    /// The remote could not be asked; what was fetched before is kept up meanwhile.
    async fn fetch_failed(&mut self, error: &Error) {
        let reason = error.to_string();
        let after = self.fetch_backoff;
        self.fetch_backoff = (after * 2).min(BACKOFF.1);
        self.fetch_retry = Some(Instant::now() + after);
        let is_told = self.told.fetch_failure.as_ref() == Some(&reason);
        self.reporter.observe(&Observed::Fetched(false));
        self.record_failure(Step::Fetch, &reason, is_told, !self.pin_waits)
            .await;
        if !is_told {
            self.reporter.report(Report::Retrying {
                reason: reason.clone(),
                after,
            });
            self.told.fetch_failure = Some(reason);
        }
    }

    /// Records it, and says whether it was neither told nor recorded before.
    async fn record_failure(&self, step: Step, reason: &str, is_told: bool, answers: bool) {
        // The API server may be what failed.
        let is_new = match timeout(NOTE_TIMEOUT, self.engine.note_failure(reason, answers)).await {
            Ok(Ok(is_new)) => is_new,
            Ok(Err(error)) => {
                tracing::debug!(%error, reason, "a failure could not be recorded");
                true
            }
            Err(_) => {
                tracing::debug!(reason, "a failure could not be recorded in time");
                true
            }
        };
        let is_news = is_new && !is_told;
        self.reporter.observe(&Observed::Failed { step, reason, is_news });
    }

    /// Tries again later, and later still the next time.
    fn back_off(&mut self) -> Duration {
        let after = self.backoff;
        self.backoff = (self.backoff * 2).min(BACKOFF.1);
        self.retry_at(Instant::now() + after);
        after
    }

    fn retry_at(&mut self, at: Instant) {
        self.retry = Some(self.retry.map_or(at, |known| known.min(at)));
    }

    fn renew_watch(&mut self) {
        if !self.schedules.is_empty() || self.watch.as_ref().is_some_and(|watch| !watch.is_stale()) {
            return;
        }
        self.watch = None;
        match self.source.watch() {
            Ok(watch) => self.watch = watch,
            Err(error) => {
                let text = format!("{error}; changes are seen every {} s", self.interval.as_secs());
                if self.told.notices.insert(text.clone()) && self.last.is_some() {
                    self.reporter.report(Report::Notice { text });
                }
            }
        }
    }

    fn start_fetch(&mut self) {
        if self.source.is_remote() && self.fetch.is_none() {
            let source = self.source.clone();
            self.fetch = Some(tokio::spawn(async move { source.refresh().await }));
        }
    }

    /// Sets when to look for news next although nothing tells of any.
    fn plan_poll(&mut self) {
        let pause = match self.schedules.is_empty() {
            true if self.source.is_remote() => jittered(self.interval, rand::random()),
            true => self.interval,
            false => self.schedules.next(&Local::now()).unwrap_or(MAX_SLEEP).min(MAX_SLEEP),
        };
        self.next_poll = Instant::now() + pause;
    }

    /// Whether it is time to look for news.
    fn is_due(&mut self) -> bool {
        let (since, now) = (self.looked, Local::now());
        self.looked = now;
        self.schedules.is_empty() || self.schedules.is_due(&since, &now)
    }

    /// Waits for anything that calls for a round.
    async fn wait(&mut self) {
        loop {
            let wake = tokio::select! {
                () = changed(self.watch.as_ref()) => Wake::Files,
                () = self.drift.woken() => Wake::Drift,
                () = told(self.news.as_deref()) => Wake::News,
                () = at(self.retry) => Wake::Retry,
                () = at(self.fetch_retry) => Wake::RetryFetch,
                () = sleep_until(self.next_poll) => Wake::Poll,
                result = fetched(&mut self.fetch) => Wake::Fetched(result),
            };
            let follows_files = self.schedules.is_empty();
            match wake {
                Wake::Files => {
                    self.read_again = true;
                    return;
                }
                Wake::Drift => {
                    self.read_again |= follows_files;
                    return;
                }
                Wake::News if self.source.is_remote() => {
                    self.fetch_again = self.fetch.is_some();
                    self.start_fetch();
                }
                Wake::News => {
                    self.read_again = true;
                    return;
                }
                Wake::Retry => {
                    self.retry = None;
                    self.read_again |= follows_files;
                    return;
                }
                Wake::RetryFetch => {
                    self.fetch_retry = None;
                    self.start_fetch();
                }
                Wake::Poll => {
                    let due = self.is_due();
                    self.plan_poll();
                    if due && self.source.is_remote() {
                        self.start_fetch();
                    } else if due {
                        self.read_again = true;
                        return;
                    }
                }
                Wake::Fetched(Ok(())) => {
                    self.reporter.observe(&Observed::Fetched(true));
                    self.fetch_backoff = BACKOFF.0;
                    self.told.fetch_failure = None;
                    self.pin_waits = false;
                    if std::mem::take(&mut self.fetch_again) {
                        self.start_fetch();
                    }
                    self.read_again = true;
                    return;
                }
                Wake::Fetched(Err(error)) => {
                    self.fetch_failed(&error).await;
                    if std::mem::take(&mut self.pin_waits) {
                        return;
                    }
                }
            }
        }
    }
}

fn nothing_to_do(started: Instant) {
    let elapsed_us = started.elapsed().as_micros();
    tracing::debug!(elapsed_us, "nothing to do");
}

enum Wake {
    Files,
    Drift,
    News,
    Retry,
    RetryFetch,
    Poll,
    Fetched(Result<(), Error>),
}

/// That time of the clock, or now if it is over.
fn instant(time: Timestamp) -> Instant {
    let left = time.duration_since(Timestamp::now());
    Instant::now() + Duration::try_from(left).unwrap_or_default()
}

async fn changed(watch: Option<&Watch>) {
    match watch {
        Some(watch) => watch.changed().await,
        None => std::future::pending().await,
    }
}

async fn told(news: Option<&Notify>) {
    match news {
        Some(news) => news.notified().await,
        None => std::future::pending().await,
    }
}

async fn at(time: Option<Instant>) {
    match time {
        Some(time) => sleep_until(time).await,
        None => std::future::pending().await,
    }
}

async fn fetched(fetch: &mut Option<JoinHandle<Result<(), Error>>>) -> Result<(), Error> {
    let Some(running) = fetch else {
        return std::future::pending().await;
    };
    let result = running.await;
    *fetch = None;
    result.unwrap_or_else(|error| Err(Error::Source(format!("the fetch ended early: {error}"))))
}
