//! What goes on in a source, whether or not it is news to a person: for those who measure it and those who tell others.

use std::time::Duration;

use super::record::Record;
use super::report::{Counts, Revision};

/// Something that went on.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub enum Observed<'a> {
    /// A remote was asked for news; whether it answered.
    Fetched(bool),
    /// A webhook for this source was answered.
    WebhookAnswered(http::StatusCode),
    /// Whether syncs are suspended, looked at in every round.
    Suspended {
        /// Whether they are.
        suspended: bool,
        /// Whether that was not known yet.
        is_news: bool,
    },
    /// A round is about to apply this.
    TakenUp {
        /// What.
        revision: &'a Revision,
        /// Whether it was not applied before.
        is_new: bool,
    },
    /// A round is over.
    Synced(Round<'a>),
    /// A fetch or a sync failed as a whole, and is tried again.
    Failed {
        /// Which of them.
        step: Step,
        /// Why.
        reason: &'a str,
        /// Whether that was not known yet.
        is_news: bool,
    },
    /// A message to others was delivered, or not.
    Notified(Delivery),
}

/// How a round ended.
#[derive(Clone, Copy, Debug)]
pub struct Round<'a> {
    /// What was known before it.
    pub before: &'a Record,
    /// What is known now.
    pub now: &'a Record,
    /// What was applied.
    pub revision: &'a Revision,
    /// What was done.
    pub counts: Counts,
    /// How many objects are owned.
    pub owned: usize,
    /// How many objects a later round goes on with.
    pub waiting: usize,
    /// How long it took.
    pub elapsed: Duration,
}

/// What can fail as a whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Step {
    /// Asking a remote for news.
    Fetch,
    /// Everything after that.
    Sync,
}

/// What became of a message to others.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Delivery {
    /// It arrived.
    Delivered,
    /// It was refused, or nobody took it in time.
    Failed,
    /// It gave way to newer ones.
    Dropped,
}
