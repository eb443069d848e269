//! Going back: keeps apart the revision that the source is at from the one that is applied. Decides with the record, so
//! that a restart goes on the same; applies nothing itself.

mod judge;
mod pin;
mod state;

use std::collections::BTreeSet;
use std::time::Duration;

use jiff::Timestamp;

pub use state::{Healthy, Quarantine, Refused, Stays};

use super::apply::Applied;
use super::config::Config;
use super::error::Error;
use super::inventory::{Inventory, Unpin};
use super::report::{Commit, Problem, Report, Reporter, Revision};
use super::source::{Snapshot, Source};
use super::sync::{Engine, Prepared};
use judge::{Look, Verdict, judge};
use state::{Turn, turn};

/// How soon to try again to read what is to be gone back to.
const RETRY: Duration = Duration::from_secs(30);

/// When a revision is gone back from.
#[derive(Clone, Copy, Debug)]
struct Policy {
    /// How long it may take to become healthy.
    timeout: Duration,
    /// How long pods must have been ready.
    min_ready: Duration,
}

/// Goes back, by itself or as people ask.
pub(super) struct Rollback {
    /// None: only as people ask.
    policy: Option<Policy>,
    /// What is applied instead of the source's own revision, as last read: a commit never changes.
    instead: Option<Snapshot>,
}

/// What it works with.
#[derive(Clone, Copy)]
pub(super) struct Tools<'a> {
    pub engine: &'a Engine,
    pub source: &'a Source,
    pub reporter: &'a dyn Reporter,
}

impl Rollback {
    pub fn new(config: &Config) -> Self {
        Self {
            policy: config.rollback.then_some(Policy {
                timeout: config.health_timeout,
                min_ready: config.min_ready,
            }),
            instead: None,
        }
    }

    /// As people ask, and never by itself.
    pub fn by_hand() -> Self {
        Self {
            policy: None,
            instead: None,
        }
    }

    /// What to apply: what the source is at, or what was gone back to.
    pub async fn choose(
        &mut self,
        tools: Tools<'_>,
        inventory: &mut Inventory,
        head: Snapshot,
    ) -> Result<Snapshot, Error> {
        let controls = inventory.controls.clone();
        // A refusal is for whoever asked then.
        let is_old = |refused: &Refused| refused.request != controls.requested;
        inventory.record.refused.take_if(|refused| is_old(refused));
        match turn(&inventory.record, &controls, &head.revision) {
            Turn::Stay => {}
            Turn::Pin(wanted) => self.pin(tools, inventory, &wanted, &head.revision).await?,
            Turn::Resume(why) => {
                let mut record = inventory.record.clone();
                let pinned = record.quarantine.take().and_then(|known| known.pinned);
                inventory.unpin = pinned.map(|from| Unpin { from, to: None });
                record.resumed = controls.resumed;
                tools.engine.note(inventory, &record).await?;
                tools.reporter.report(Report::Notice { text: why });
            }
        }
        match &inventory.record.quarantine {
            None => {
                self.instead = None;
                Ok(head)
            }
            Some(quarantine) => {
                if self.instead.is_none() {
                    let text = format!("still rolled back {quarantine}");
                    tools.reporter.report(Report::Notice { text });
                }
                self.read(tools.source, &quarantine.instead).await
            }
        }
    }

    /// What a dry run looks at: as [`Rollback::choose`], but nothing is taken up.
    pub async fn preview(source: &Source, inventory: &Inventory, mut head: Snapshot) -> Result<Snapshot, Error> {
        let is_next = matches!(&head.revision, Revision::WorkTree { uncommitted, .. } if !uncommitted.is_empty());
        let Inventory { record, controls, .. } = inventory;
        let stays = turn(record, controls, &head.revision) == Turn::Stay && !is_next;
        let Some(quarantine) = record.quarantine.as_ref().filter(|_| stays) else {
            return Ok(head);
        };
        head = source.read_commit(&quarantine.instead).await?;
        head.notices.push(format!("rolled back {quarantine}"));
        Ok(head)
    }

    /// Says what is to be thought of the revision that was just applied, and goes back from it where it will not do.
    /// Returns when to look again.
    pub async fn look(
        &mut self,
        tools: Tools<'_>,
        prepared: &mut Prepared,
        applied: &Applied,
        problems: &BTreeSet<Problem>,
    ) -> Result<Option<Timestamp>, Error> {
        let record = &prepared.inventory.record;
        let (Some(policy), Some(latest)) = (self.policy, record.history.front()) else {
            return Ok(None);
        };
        let is_settled = latest.healthy_at.is_some() && record.quarantine.is_none();
        if is_settled || latest.revision != prepared.revision {
            return Ok(None);
        }
        // As it was seen in this round: whatever changes after that wakes the next.
        let live = prepared.seen(applied);
        let now = Timestamp::now();
        let verdict = judge(
            &Look {
                intended: prepared.awaited().collect(),
                live: &live,
                problems,
                pending: &applied.pending,
                waits_for_approval: prepared.plan.approval.is_some(),
                since: latest.at,
                now,
            },
            &policy,
        );
        match verdict {
            Verdict::Until(then) => Ok(Some(then)),
            Verdict::Undecided => Ok(None),
            Verdict::Healthy => healthy(tools, &mut prepared.inventory, now).await.map(|()| None),
            Verdict::Bad(reason) => self.go_back(tools, &mut prepared.inventory, reason, now).await,
        }
    }

    async fn go_back(
        &mut self,
        tools: Tools<'_>,
        inventory: &mut Inventory,
        reason: String,
        now: Timestamp,
    ) -> Result<Option<Timestamp>, Error> {
        let mut record = inventory.record.clone();
        let Some(revision) = record.revision.clone() else {
            return Ok(None);
        };
        let short = revision.short();
        let way = match (&record.quarantine, &record.healthy) {
            (Some(_), _) => Err("it is what was gone back to".to_owned()),
            (None, None) => Err("no revision before it was seen healthy".to_owned()),
            (None, Some(known)) if known.revision.id() == revision.id() => {
                Err("it is the last one that was healthy".to_owned())
            }
            (None, Some(known)) => match known.revision.commit() {
                Some(commit) => Ok(commit.clone()),
                None => Err(format!("{} is no commit", known.revision.short())),
            },
        };
        let (text, again) = match way {
            Err(why) => (format!("{short} is not rolled back, for {why}: {reason}"), None),
            Ok(instead) => match self.read(tools.source, &instead).await {
                Err(error) => {
                    let then = now.checked_add(RETRY).unwrap_or(now);
                    let text = format!("{short} cannot be rolled back to {}: {error}", instead.short());
                    (text, Some(then))
                }
                Ok(_) => {
                    let quarantine = Quarantine {
                        revision,
                        reason,
                        at: now,
                        instead,
                        pinned: None,
                    };
                    quarantined(tools, inventory, quarantine).await?;
                    return Ok(Some(now));
                }
            },
        };
        // Told once for each revision.
        if record.stays.as_ref().is_none_or(|known| known.revision != revision) {
            let reason = text.clone();
            record.stays = Some(Stays { revision, reason });
            tools.engine.note(inventory, &record).await?;
            tools.reporter.report(Report::Notice { text });
        }
        Ok(again)
    }

    async fn read(&mut self, source: &Source, commit: &Commit) -> Result<Snapshot, Error> {
        let known = self.instead.take().filter(|known| known.revision.id() == commit.id);
        let snapshot = match known {
            Some(known) => known,
            None => source.read_commit(commit).await?,
        };
        self.instead = Some(snapshot.clone());
        Ok(snapshot)
    }
}

/// Records that this is the last revision of which everything was healthy.
async fn healthy(tools: Tools<'_>, inventory: &mut Inventory, now: Timestamp) -> Result<(), Error> {
    let mut record = inventory.record.clone();
    record.stays = None;
    if let Some(latest) = record.history.front_mut().filter(|latest| latest.healthy_at.is_none()) {
        latest.healthy_at = Some(now);
        let revision = latest.revision.clone();
        if let Some(commit) = revision.commit() {
            tools.source.keep(commit, "healthy").await?;
        }
        tracing::debug!(%revision, "all of it is healthy");
        record.healthy = Some(Healthy { revision, at: now });
    }
    tools.engine.note(inventory, &record).await
}

/// Records that a revision is not applied, and tells.
async fn quarantined(tools: Tools<'_>, inventory: &mut Inventory, quarantine: Quarantine) -> Result<(), Error> {
    tools.source.keep(&quarantine.instead, "instead").await?;
    let mut record = inventory.record.clone();
    let quarantined = quarantine.revision.id();
    let past = record.history.iter_mut().find(|past| past.revision.id() == quarantined);
    if let Some(past) = past {
        past.quarantined = Some(quarantine.reason.clone());
    }
    record.stays = None;
    record.refused = None;
    // What was asked before is not about this.
    record.resumed.clone_from(&inventory.controls.resumed);
    record.quarantine = Some(quarantine.clone());
    tools.engine.note(inventory, &record).await?;
    tools.reporter.report(Report::RolledBack(quarantine));
    Ok(())
}
