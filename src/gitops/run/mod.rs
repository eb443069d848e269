//! The loop that follows a source: waits for news (`wake`), goes round unless something forbids it (`gates`), tells what
//! happened (`told`), and tries again what failed.

use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, Local};
use futures::FutureExt as _;
use jiff::Timestamp;
use kube::Client;
use tokio::sync::Notify;
use tokio::task::JoinHandle;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::apply::{Applied, Patience};
use super::config::Config;
use super::drift::Drift;
use super::error::Error;
use super::inputs::Inputs;
use super::lease::{Membership, Rival};
use super::observed::{Observed, Round as Ended};
use super::order::Order;
use super::quiet::{Marks, Quiet};
use super::record::Record;
use super::report::{Counts, Report, Reporter};
use super::rollback::{Rollback, Tools};
use super::schedule::Schedules;
use super::source::{Snapshot, Source, View, Watch};
use super::sync::{Engine, Prepared, Wish};
use super::telling;
use super::webhook::{self, Followed, Secret};
use super::window::Window;

mod gates;
mod presence;
mod told;
mod wake;

use told::Told;

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

/// The reason that [`SETTLE`] gives; not worth a line to a person.
const SETTLING: &str = "the directory changed a moment ago";

/// Follows the source until told to stop, or until something changes that its configuration was read from: then returns
/// what.
pub(super) async fn run(
    client: Client,
    config: Config,
    reporter: Arc<dyn Reporter>,
    shutdown: CancellationToken,
) -> Result<Option<String>, Error> {
    let schedules = Schedules::parse(&config.schedules)?;
    let source = Source::open(&config)?;
    let mut engine = Engine::new(client.clone(), &source, &config);
    let membership = config.presence.join(client.clone());
    engine.claim = Some(membership.lease().to_owned());
    let others = telling::Told::begin(&client, &config, &engine.set, reporter)?;
    let reporter = Arc::clone(&others.reporter);
    reporter.report(Report::Following {
        source: source.describe(),
    });
    let _known = config.neighbours.join(&engine.set, &source);
    let order = Order::new(client.clone(), &config.depends_on);
    let drift = Drift::new(client, &engine.set, config.rollback);
    let mut follower = Follower {
        engine,
        membership,
        is_following: false,
        rival: None,
        source,
        rollback: Rollback::new(&config),
        schedules,
        windows: config.windows.clone(),
        order,
        interval: config.interval,
        suspended: config.suspended,
        inputs: config.inputs.clone(),
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
    let changed = shutdown.run_until_cancelled(follower.follow().boxed()).await;
    if changed.is_none() {
        tracing::debug!("the reconciler was told to stop");
    }
    config.webhooks.remove(webhook_name(&config));
    tokio::join!(others.end(), follower.end());
    Ok(changed)
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

struct Follower {
    engine: Engine,
    /// Its part in the presence of its process.
    membership: Membership,
    /// Whether it follows the source, and no other process does.
    is_following: bool,
    /// The process that follows the source while this one stands by.
    rival: Option<Rival>,
    source: Source,
    reporter: Arc<dyn Reporter>,
    rollback: Rollback,
    schedules: Schedules,
    windows: Vec<Window>,
    order: Order,
    interval: Duration,
    /// Whether its configuration suspends it.
    suspended: bool,
    /// What its configuration was read from.
    inputs: Inputs,
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

/// What was applied and is not recorded yet.
struct Synced {
    prepared: Prepared,
    applied: Applied,
    /// What was known before.
    before: Record,
    marks: Marks,
    started: Instant,
}

/// How a round ended.
enum Round {
    Done,
    /// News came before it was done.
    Superseded,
}
impl Follower {
    /// Goes on until something changes that the configuration was read from; returns what.
    async fn follow(&mut self) -> String {
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
                Err(Error::Outdated(what)) => return what,
                Err(error) => self.failed(&error).await,
            }
            superseded = 0;
            if let Some(what) = self.wait().await {
                return what;
            }
        }
    }

    /// One round; news may end it early, for everything it does can be done again. What was written is told nevertheless,
    /// and what was recorded is told as a whole.
    async fn round(&mut self, interruptible: bool) -> Result<Round, Error> {
        // The watch is taken out so that it can be waited for while the round has the rest.
        let watch = self.watch.take().filter(|_| self.schedules.is_empty());
        let news = CancellationToken::new();
        let synced = {
            let mut sync = pin!(self.sync(&news));
            match watch.as_ref().filter(|_| interruptible) {
                Some(watch) => tokio::select! {
                    // The round goes first: where both are ready, it is done.
                    biased;
                    synced = &mut sync => synced,
                    () = watch.changed() => {
                        news.cancel();
                        sync.await
                    }
                },
                None => sync.await,
            }
        };
        self.watch = watch;
        match synced? {
            Some(synced) if synced.applied.is_cut => return Ok(Round::Superseded),
            Some(synced) => self.conclude(synced).await?,
            None if news.is_cancelled() => return Ok(Round::Superseded),
            None => {}
        }
        Ok(Round::Done)
    }

    /// Reads, plans and applies; None where that was not to be done, there was nothing to do, or news came before anything
    /// was written.
    async fn sync(&mut self, news: &CancellationToken) -> Result<Option<Synced>, Error> {
        let started = Instant::now();
        let mut inventory = self.engine.inventory().await?;
        if self.stands_by(&mut inventory).await? {
            return Ok(None);
        }
        if self.is_suspended(&mut inventory).await? || self.is_closed(&mut inventory).await? {
            return Ok(None);
        }
        if self.waits_for_others(&mut inventory).await? {
            return Ok(None);
        }
        if self.asks_the_remote_first(&inventory) {
            return Ok(None);
        }
        let Some(head) = self.read().await? else {
            return Ok(None);
        };
        let marks = Marks {
            revision: head.revision.clone(),
            unread: head.problems.clone(),
            notices: head.notices.clone(),
            parent: inventory.version(),
            changes: self.drift.changes(),
        };
        // Whoever asked for a sync gets an answer, which only a whole round gives.
        let is_asked = inventory.controls.requested != inventory.record.answered;
        if !is_asked && self.quiet.covers(&marks, started) {
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
            return Ok(None);
        }
        let reporter = Arc::clone(&self.reporter);
        let tools = Tools {
            engine: &self.engine,
            source: &self.source,
            reporter: reporter.as_ref(),
        };
        let snapshot = self.rollback.choose(tools, &mut inventory, head).await?;
        let before = inventory.record.clone();
        let wish = Wish {
            defer_prune: self.settling().map(|_| SETTLING.to_owned()),
            repair: is_asked,
        };
        let prepare = self.engine.prepare(snapshot, inventory, wish);
        let Some(prepared) = news.run_until_cancelled(prepare).await else {
            return Ok(None);
        };
        let mut prepared = prepared?;
        self.drift.watch(&prepared.kinds);
        self.tell(&prepared);
        self.reporter.observe(&Observed::TakenUp {
            revision: &prepared.revision,
            is_new: before.revision.as_ref() != Some(&prepared.revision),
        });
        // News may end this round early, and not all that it writes is seen by the watches.
        self.quiet = Quiet::default();
        let applied = self
            .engine
            .carry_out(&mut prepared, Patience::Moment, news, reporter.as_ref())
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
        Ok(Some(Synced {
            prepared,
            applied,
            before,
            marks,
            started,
        }))
    }

    /// Records what was done, tells of it, and looks what it came to.
    async fn conclude(&mut self, synced: Synced) -> Result<(), Error> {
        let Synced {
            mut prepared,
            applied,
            before,
            marks,
            started,
        } = synced;
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
        self.summarize(&prepared, &applied, problems.clone(), started);
        let reporter = Arc::clone(&self.reporter);
        let tools = Tools {
            engine: &self.engine,
            source: &self.source,
            reporter: reporter.as_ref(),
        };
        if let Some(then) = self.rollback.look(tools, &mut prepared, &applied, &problems).await? {
            self.retry_at(instant(then));
        }
        let nothing = done && self.retry.is_none();
        self.quiet.note(marks, nothing, Instant::now());
        if nothing {
            nothing_to_do(started);
        }
        Ok(())
    }

    /// What to apply; None where nothing was fetched yet.
    async fn read(&mut self) -> Result<Option<Snapshot>, Error> {
        if let Some(last) = self.last.as_ref().filter(|_| !self.read_again) {
            return Ok(Some(last.clone()));
        }
        if !self.source.is_fetched() {
            return Ok(None);
        }
        // Before a remote is read it is asked, and before that this.
        if !self.source.is_remote() {
            self.inputs.unchanged(&self.engine.client).await?;
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
}

fn nothing_to_do(started: Instant) {
    let elapsed_us = started.elapsed().as_micros();
    tracing::debug!(elapsed_us, "nothing to do");
}

/// That time of the clock, or now if it is over.
fn instant(time: Timestamp) -> Instant {
    let left = time.duration_since(Timestamp::now());
    Instant::now() + Duration::try_from(left).unwrap_or_default()
}
