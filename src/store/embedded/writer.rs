//! Commits writes. One thread; never answers before what it answers is on disk.
//!
//! All writes that wait are decided in the order they came and committed in one transaction, so
//! one sync of the disk serves many of them. After the commit their events go to the feed, in
//! order, and only then are they answered.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use redb::{Database, ReadableTable, Table, WriteTransaction};
use tokio::sync::{mpsc, oneshot};

use super::layout::{
    COMPACTED, CURRENT, HISTORY, HISTORY_BYTES, META, REVISION, decode_current, encode_current, encode_event,
};
use super::open::failed;
use super::reserve::Reserve;
use crate::store::feed::Feed;
use crate::store::{Event, KeyValue, Revision, StoreError};

/// Writes that may wait; more callers wait for room. A few thousand fit the time of a commit or two.
pub(super) const QUEUE: usize = 1024;

/// The most writes in one transaction: beyond some hundred the sync costs next to nothing a write,
/// and the first of them should not wait for long.
const MAX_BATCH: usize = 512;

/// The most bytes of values in one transaction, which redb holds in memory until it commits.
const MAX_BATCH_BYTES: usize = 4 * 1024 * 1024;

/// How much history is kept without being asked to compact it.
#[derive(Clone, Copy)]
pub(super) struct Retention {
    /// For how long.
    pub(super) age: Duration,
    /// The most bytes of its rows, whatever their age.
    pub(super) bytes: u64,
}

impl Retention {
    /// As long as Kubernetes keeps it, so that a client that was away for minutes can go on watching
    /// and a paged list can be finished; and about 10,000 changes of ordinary pods, which bounds the
    /// file and the time to check it when it is opened.
    pub(super) const DEFAULT: Self = Self {
        age: Duration::from_secs(5 * 60),
        bytes: 64 * 1024 * 1024,
    };
}

/// How many notes of the age of the history are kept: its age is kept to a thirtieth.
const MARKS: u32 = 30;

/// Rows of history removed beside one transaction's own writes: more than a transaction adds, so
/// that removal keeps up, and few enough to add little to its time.
const TRIM_ROWS: usize = 2 * MAX_BATCH;

/// What a write does, and what it expects to find.
pub(super) enum Change {
    Create {
        key: String,
        value: Bytes,
    },
    Update {
        key: String,
        value: Bytes,
        expected: Revision,
    },
    Delete {
        key: String,
        expected: Revision,
    },
    Compact {
        at: Revision,
    },
}

/// A change that waits, and where its answer goes.
pub(super) struct Request {
    pub(super) change: Change,
    pub(super) answer: oneshot::Sender<Result<Revision, StoreError>>,
}

/// The state of the thread.
pub(super) struct Writer {
    pub(super) database: Arc<Database>,
    pub(super) feed: Arc<Feed>,
    pub(super) revision: Revision,
    pub(super) compacted: Revision,
    pub(super) history_bytes: u64,
    pub(super) retention: Retention,
    /// Without it whole, nothing is begun.
    pub(super) reserve: Option<Arc<Reserve>>,
    /// Since when which revision was the newest, oldest first.
    pub(super) marks: VecDeque<(Instant, Revision)>,
}

/// Ends the watches when the thread ends, also by a panic: nothing would ever come again.
struct EndsWatches(Arc<Feed>);

impl Drop for EndsWatches {
    fn drop(&mut self) {
        self.0.close("the store is closed");
    }
}

/// What a transaction will have done once it is committed.
struct Outcome {
    revision: Revision,
    compacted: Revision,
    history_bytes: u64,
    events: Vec<Event>,
    answers: Vec<Result<Revision, StoreError>>,
}

impl Writer {
    /// Serves requests until every sender is gone.
    pub(super) fn run(mut self, mut requests: mpsc::Receiver<Request>) {
        let _ends_watches = EndsWatches(Arc::clone(&self.feed));
        while let Some(first) = requests.blocking_recv() {
            let mut changes = Vec::new();
            let mut answers = Vec::new();
            let mut bytes = 0;
            let mut next = Some(first);
            while let Some(Request { change, answer }) = next {
                bytes += change.size();
                changes.push(change);
                answers.push(answer);
                let full = changes.len() >= MAX_BATCH || bytes >= MAX_BATCH_BYTES;
                // Empty or closed, there is nothing more to take along just now.
                next = if full { None } else { requests.try_recv().ok() };
            }
            let results = self.commit(changes);
            for (answer, result) in answers.into_iter().zip(results) {
                if answer.send(result).is_err() {
                    tracing::trace!("a caller left before its write was answered; the write stands");
                }
            }
        }
    }

    /// Carries out all changes in one transaction; the answers are in their order.
    fn commit(&mut self, changes: Vec<Change>) -> Vec<Result<Revision, StoreError>> {
        let count = changes.len();
        if let Some(Err(error)) = self.reserve.as_ref().map(|reserve| reserve.keep()) {
            return vec![Err(error); count];
        }
        match self.transact(changes) {
            Ok(outcome) => {
                self.revision = outcome.revision;
                self.history_bytes = outcome.history_bytes;
                self.mark(Instant::now());
                if !outcome.events.is_empty() {
                    self.feed.publish(outcome.events, self.revision);
                }
                if outcome.compacted > self.compacted {
                    self.compacted = outcome.compacted;
                    self.feed.forget(outcome.compacted);
                }
                outcome.answers
            }
            Err(error) => {
                tracing::error!(%error, writes = count, "the store could not be written");
                vec![Err(error); count]
            }
        }
    }

    fn transact(&self, changes: Vec<Change>) -> Result<Outcome, StoreError> {
        let transaction = self.database.begin_write().map_err(failed)?;
        let mut outcome = Outcome {
            revision: self.revision,
            compacted: self.compacted,
            history_bytes: self.history_bytes,
            events: Vec::new(),
            answers: Vec::with_capacity(changes.len()),
        };
        {
            let mut current = transaction.open_table(CURRENT).map_err(failed)?;
            let mut history = transaction.open_table(HISTORY).map_err(failed)?;
            for change in changes {
                let answer = outcome.decide(change, &mut current, &mut history)?;
                outcome.answers.push(answer);
            }
            let aged = self.aged(Instant::now());
            outcome.trim(&mut history, aged, self.retention.bytes)?;
        }
        let changed = outcome.revision != self.revision
            || outcome.compacted != self.compacted
            || outcome.history_bytes != self.history_bytes;
        if changed {
            outcome.record(&transaction)?;
            transaction.commit().map_err(failed)?;
        } else {
            // Only refusals: what they were decided on is durable already.
            transaction.abort().map_err(failed)?;
        }
        Ok(outcome)
    }

    /// Notes when the newest revision was the newest.
    fn mark(&mut self, now: Instant) {
        let recent = self
            .marks
            .back()
            .is_some_and(|(noted, _)| now.duration_since(*noted) < self.retention.age / MARKS);
        if !recent {
            self.marks.push_back((now, self.revision));
        }
        // Of the marks that are old enough only the newest says anything.
        while self
            .marks
            .get(1)
            .is_some_and(|(noted, _)| now.duration_since(*noted) >= self.retention.age)
        {
            self.marks.pop_front();
        }
    }

    /// The newest revision that is older than history is kept.
    fn aged(&self, now: Instant) -> Revision {
        let aged = self
            .marks
            .front()
            .filter(|(noted, _)| now.duration_since(*noted) >= self.retention.age);
        aged.map_or(0, |(_, revision)| *revision)
    }
}

impl Outcome {
    /// Decides one change on top of those before it. An error of the file ends the transaction.
    fn decide(
        &mut self,
        change: Change,
        current: &mut Table<'_, &'static str, &'static [u8]>,
        history: &mut Table<'_, u64, &'static [u8]>,
    ) -> Result<Result<Revision, StoreError>, StoreError> {
        let (key, value, expected) = match change {
            Change::Create { key, value } => (key, Some(value), None),
            Change::Update { key, value, expected } => (key, Some(value), Some(expected)),
            Change::Delete { key, expected } => (key, None, Some(expected)),
            Change::Compact { at } => return Ok(self.compact(at)),
        };
        let found = match current.get(key.as_str()).map_err(failed)? {
            Some(row) => Some(decode_current(&key, row.value())?),
            None => None,
        };
        if found.as_ref().map(|found| found.mod_revision) != expected {
            return Ok(Err(StoreError::Conflict { current: found }));
        }
        self.revision += 1;
        let event = event(key, value, found, self.revision);
        match &event {
            Event::Put { current: kv, .. } => {
                let row = encode_current(kv.create_revision, kv.mod_revision, &kv.value);
                current.insert(kv.key.as_str(), row.as_slice()).map_err(failed)?;
            }
            Event::Delete { previous, .. } => {
                current.remove(previous.key.as_str()).map_err(failed)?;
            }
        }
        let row = encode_event(&event);
        self.history_bytes += row.len() as u64;
        history.insert(self.revision, row.as_slice()).map_err(failed)?;
        self.events.push(event);
        Ok(Ok(self.revision))
    }

    fn compact(&mut self, at: Revision) -> Result<Revision, StoreError> {
        if at > self.revision {
            return Err(StoreError::Future {
                requested: at,
                current: self.revision,
            });
        }
        if at <= self.compacted {
            return Err(StoreError::Compacted {
                requested: at,
                oldest: self.compacted,
            });
        }
        self.compacted = at;
        Ok(self.revision)
    }

    /// Removes some rows that are compacted, older than history is kept, or too many bytes.
    fn trim(
        &mut self,
        history: &mut Table<'_, u64, &'static [u8]>,
        aged: Revision,
        bytes_max: u64,
    ) -> Result<(), StoreError> {
        for _ in 0..TRIM_ROWS {
            let Some((revision, len)) = oldest(history)? else { break };
            if revision > self.compacted.max(aged) && self.history_bytes <= bytes_max {
                break;
            }
            history.remove(revision).map_err(failed)?;
            self.history_bytes = self.history_bytes.saturating_sub(len);
            self.compacted = self.compacted.max(revision);
        }
        Ok(())
    }

    fn record(&self, transaction: &WriteTransaction) -> Result<(), StoreError> {
        let mut meta = transaction.open_table(META).map_err(failed)?;
        let numbers = [
            (REVISION, self.revision),
            (COMPACTED, self.compacted),
            (HISTORY_BYTES, self.history_bytes),
        ];
        for (name, number) in numbers {
            meta.insert(name, number).map_err(failed)?;
        }
        Ok(())
    }
}

impl Change {
    fn size(&self) -> usize {
        match self {
            Change::Create { value, .. } | Change::Update { value, .. } => value.len(),
            Change::Delete { .. } | Change::Compact { .. } => 0,
        }
    }
}

fn event(key: String, value: Option<Bytes>, found: Option<KeyValue>, revision: Revision) -> Event {
    match (value, found) {
        (Some(value), previous) => {
            let create_revision = previous.as_ref().map_or(revision, |previous| previous.create_revision);
            Event::Put {
                current: KeyValue {
                    key,
                    value,
                    create_revision,
                    mod_revision: revision,
                },
                previous,
            }
        }
        (None, Some(previous)) => Event::Delete { previous, revision },
        (None, None) => unreachable!("a deletion names the revision it expects, so something was found"),
    }
}

fn oldest(history: &Table<'_, u64, &'static [u8]>) -> Result<Option<(Revision, u64)>, StoreError> {
    let first = history.first().map_err(failed)?;
    Ok(first.map(|(revision, row)| (revision.value(), row.value().len() as u64)))
}
