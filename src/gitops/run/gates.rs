//! What may keep a round from being made: a suspension, a window, a source that comes first, a request.

use std::time::Duration;

use jiff::Timestamp;
use tokio::time::Instant;

use super::{Follower, MAX_SLEEP, PENDING};
use crate::gitops::error::Error;
use crate::gitops::inventory::Inventory;
use crate::gitops::observed::Observed;
use crate::gitops::record::Record;
use crate::gitops::report::Report;
use crate::gitops::window;

impl Follower {
    /// Tells, and records, when that changes.
    pub(super) async fn is_suspended(&mut self, inventory: &mut Inventory) -> Result<bool, Error> {
        let suspended = inventory.controls.suspended || self.suspended;
        let is_news = suspended != inventory.record.suspended;
        if is_news {
            let change = |record: &mut Record| record.suspended = suspended;
            self.engine.amend(inventory, change).await?;
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
    pub(super) async fn is_closed(&mut self, inventory: &mut Inventory) -> Result<bool, Error> {
        let now = Timestamp::now();
        let closed = window::closed(&self.windows, now);
        let reason = closed.as_ref().map(ToString::to_string);
        let is_closed = closed.is_some();
        if let Some(closed) = closed {
            // The clock may be set: no sleep is longer than that.
            let until = closed.until.and_then(|until| Duration::try_from(until - now).ok());
            self.retry = Some(Instant::now() + until.unwrap_or(MAX_SLEEP).min(MAX_SLEEP));
            let requested = inventory.controls.requested.clone();
            let change = |record: &mut Record| {
                record.closed = Some(closed);
                // Nothing else will answer whoever asked for a sync.
                record.answered = requested;
            };
            self.engine.amend(inventory, change).await?;
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
    pub(super) async fn waits_for_others(&mut self, inventory: &mut Inventory) -> Result<bool, Error> {
        let obstacle = self.order.obstacle().await?;
        if let Some(reason) = &obstacle {
            self.retry = Some(Instant::now() + PENDING);
            let requested = inventory.controls.requested.clone();
            let change = |record: &mut Record| {
                record.waits = Some(reason.clone());
                record.answered = requested;
            };
            self.engine.amend(inventory, change).await?;
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
    pub(super) fn asks_the_remote_first(&mut self, inventory: &Inventory) -> bool {
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
}
