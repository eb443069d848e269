//! What became of a source, and what people ask of it. Both lie at the source's parent object, beside the inventory: they
//! outlive the process, and any API server keeps them.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::fmt;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::budget::Approval;
use super::on_drift::{Drifted, RECORDED};
use super::report::{Counts, ObjectKey, Problem, Revision};
pub use super::rollback::{Healthy, Quarantine, Refused, Stays};

/// Stops all syncs while it says `true`.
pub const SUSPENDED: &str = "reconcile.dev/suspended";
/// Asks for a sync now; whatever it says, a new value is a new request.
pub const REQUESTED: &str = "reconcile.dev/requested";
/// Agrees to the deletions with this token.
pub const APPROVED: &str = "reconcile.dev/approved";
/// Goes back to this revision until a newer commit comes.
pub const PINNED: &str = "reconcile.dev/pinned";
/// Ends a rollback; whatever it says, a new value is a new request.
pub const RESUMED: &str = "reconcile.dev/resumed";
/// A short name of the source, for people.
pub const NAME: &str = "reconcile.dev/name";

/// How many revisions are remembered.
const HISTORY: usize = 20;

/// How many problems are recorded; the parent object must not outgrow what a store takes.
const PROBLEMS: usize = 50;

/// What became of a source.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Record {
    /// The source without credentials, for people.
    pub source: String,
    /// What was last applied.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub revision: Option<Revision>,
    /// When that changed anything, or was tried, last.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub synced_at: Option<Timestamp>,
    /// What was done then.
    pub counts: Counts,
    /// What was wrong then; the first of it.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub problems: Vec<Problem>,
    /// How much was wrong.
    pub problem_count: usize,
    /// Whether syncs are suspended.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub suspended: bool,
    /// Why its sync windows allow no sync now, if they do not.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub closed: Option<Closed>,
    /// When the sync windows that allow syncs now do so no more, where that is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub closes: Option<Timestamp>,
    /// What a source that comes first lacks, if syncs wait for one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub waits: Option<String>,
    /// Why there was no sync at all since.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub failure: Option<String>,
    /// What waits for approval.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub approval: Option<Approval>,
    /// What other hands changed and is left so; the first of it.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub drifted: Vec<Drifted>,
    /// How much of it there is.
    #[serde(skip_serializing_if = "is_zero")]
    pub drift_count: usize,
    /// Marks of manifests that were applied as they are, where drift from them is only told.
    #[serde(skip_serializing_if = "BTreeSet::is_empty")]
    pub applied: BTreeSet<String>,
    /// How many objects it had after the last sync that put no deletion off. The budget is a share of these, or what a
    /// commit creates would pay for what it deletes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub base: Option<usize>,
    /// The last request that was answered by a sync, or by its failure.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub answered: Option<String>,
    /// The last revision of which everything was healthy, where that is looked at.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub healthy: Option<Healthy>,
    /// The revision that the source is at and that is not applied, and what is instead.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub quarantine: Option<Quarantine>,
    /// Why what was last applied stays although it is not healthy.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stays: Option<Stays>,
    /// Why the last wish to go back was not met.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub refused: Option<Refused>,
    /// The last request to end a rollback that was met.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub resumed: Option<String>,
    /// Objects that it names and another source has; the first of them.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub wants: Vec<ObjectKey>,
    /// Objects that left it and that another source wants, which may take them now; the first of them.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub gives: Vec<ObjectKey>,
    /// Earlier revisions, the newest first.
    #[serde(skip_serializing_if = "VecDeque::is_empty")]
    pub history: VecDeque<Past>,
}

fn is_zero(number: &usize) -> bool {
    *number == 0
}

/// A time outside of all sync windows, or inside one that denies.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Closed {
    /// When syncs are allowed again, where that is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub until: Option<Timestamp>,
    /// The window to blame.
    pub reason: String,
}

impl fmt::Display for Closed {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { until, reason } = self;
        match until {
            Some(until) => write!(formatter, "{reason}; syncs are allowed again at {until}"),
            None => write!(formatter, "{reason}; no later time allows syncs"),
        }
    }
}

/// A revision that was applied.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Past {
    /// Which.
    pub revision: Revision,
    /// When it was applied first.
    pub at: Timestamp,
    /// What that changed, without what only undid another hand's changes.
    pub counts: Counts,
    /// How often what another hand changed was made again as the revision says.
    #[serde(default, skip_serializing_if = "is_none")]
    pub repairs: usize,
    /// How much was wrong, in the end.
    pub problem_count: usize,
    /// When all of it was found healthy, where that is looked at.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub healthy_at: Option<Timestamp>,
    /// Why it was gone back from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub quarantined: Option<String>,
}

/// How a round ended, as far as it is recorded.
pub struct Synced {
    /// Of what state of the source.
    pub revision: Revision,
    /// What was done.
    pub counts: Counts,
    /// The part of it that only undid what another hand did.
    pub repairs: Counts,
    /// What was wrong.
    pub problems: Vec<Problem>,
    /// What waits for approval.
    pub approval: Option<Approval>,
    /// What other hands changed and is left so.
    pub drifted: Vec<Drifted>,
}

impl Record {
    /// Notes a round. One that changed nothing and found what was known leaves all as it was, the time included.
    pub fn synced(&mut self, round: Synced, now: Timestamp) {
        let Synced {
            revision,
            counts,
            repairs,
            mut problems,
            approval,
            mut drifted,
        } = round;
        let drift_count = drifted.len();
        drifted.truncate(RECORDED);
        let counts = counts.without(repairs);
        let problem_count = problems.len();
        problems.truncate(PROBLEMS);
        let is_new = self.revision.as_ref() != Some(&revision);
        let is_news = is_new
            || counts.changes() > 0
            || self.problems != problems
            || self.problem_count != problem_count
            || self.approval != approval;
        self.failure = None;
        self.closed = None;
        self.waits = None;
        // No sync of ours, and so no other time of it.
        self.drifted = drifted;
        self.drift_count = drift_count;
        if let Some(latest) = self.history.front_mut().filter(|_| !is_new) {
            latest.repairs += repairs.changes();
        }
        // A repair is no sync of the revision: neither the time of that nor what it did are others.
        if !is_news {
            return;
        }
        if is_new {
            self.history.push_front(Past {
                revision: revision.clone(),
                at: now,
                counts,
                repairs: 0,
                problem_count,
                healthy_at: None,
                quarantined: None,
            });
            self.history.truncate(HISTORY);
            self.stays = None;
        } else if let Some(latest) = self.history.front_mut() {
            // What was put off.
            latest.counts = latest.counts.and_changes(counts);
            latest.problem_count = problem_count;
        }
        self.revision = Some(revision);
        self.synced_at = Some(now);
        self.counts = counts;
        self.problems = problems;
        self.problem_count = problem_count;
        self.approval = approval;
    }
}

fn is_none(number: &usize) -> bool {
    *number == 0
}

/// What people ask of a source.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Controls {
    /// No syncs.
    pub suspended: bool,
    /// The latest request for a sync.
    pub requested: Option<String>,
    /// The token of the deletions that are agreed to.
    pub approved: Option<String>,
    /// The revision to go back to.
    pub pinned: Option<String>,
    /// The latest request to end a rollback.
    pub resumed: Option<String>,
}

impl Controls {
    /// What the annotations of a parent say.
    pub fn of(annotations: &BTreeMap<String, String>) -> Self {
        let get = |name: &str| annotations.get(name).filter(|text| !text.is_empty()).cloned();
        Self {
            suspended: get(SUSPENDED).is_some_and(|text| text == "true"),
            requested: get(REQUESTED),
            approved: get(APPROVED),
            pinned: get(PINNED),
            resumed: get(RESUMED),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn round(hash: &str, changes: usize) -> Synced {
        Synced {
            revision: Revision::Directory { hash: hash.into() },
            counts: Counts {
                create: changes,
                ..Counts::default()
            },
            repairs: Counts::default(),
            problems: Vec::new(),
            approval: None,
            drifted: Vec::new(),
        }
    }

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).expect("a time")
    }

    #[test]
    fn a_round_without_news_changes_nothing() {
        let mut record = Record::default();
        record.synced(round("a", 2), at(1));
        let before = record.clone();
        record.synced(round("a", 0), at(2));
        assert_eq!(record, before);
        record.synced(round("a", 1), at(3));
        assert_eq!((record.synced_at, record.history.len()), (Some(at(3)), 1));
        assert_eq!(record.history[0].counts.create, 3);
    }

    #[test]
    fn a_repair_is_no_sync_of_the_revision() {
        let mut record = Record::default();
        record.synced(round("a", 2), at(1));
        let repair = Synced {
            repairs: round("a", 1).counts,
            ..round("a", 1)
        };
        record.synced(repair, at(2));
        let latest = &record.history[0];
        assert_eq!((latest.counts.create, latest.repairs), (2, 1));
        assert_eq!((record.synced_at, record.counts.create), (Some(at(1)), 2));
    }

    #[test]
    fn a_failure_ends_with_the_next_round() {
        let mut record = Record::default();
        record.synced(round("a", 2), at(1));
        record.failure = Some("gone".into());
        record.synced(round("a", 0), at(2));
        assert_eq!((record.failure, record.synced_at), (None, Some(at(1))));
    }

    #[test]
    fn history_is_newest_first_and_bounded() {
        let mut record = Record::default();
        for number in 0..2 * HISTORY {
            record.synced(round(&number.to_string(), 1), at(1));
        }
        assert_eq!(record.history.len(), HISTORY);
        assert_eq!(record.history[0].revision.id(), (2 * HISTORY - 1).to_string());
    }

    #[test]
    fn what_is_written_is_read_back() {
        let mut record = Record::default();
        record.synced(round("a", 2), at(1));
        let text = serde_json::to_string(&record).expect("JSON");
        assert_eq!(serde_json::from_str::<Record>(&text).expect("read back"), record);
    }
}
