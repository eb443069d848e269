//! Reads the store file from snapshots. Never writes.

use std::collections::BTreeMap;
use std::ops::Bound;
use std::sync::Arc;

use redb::{Database, ReadTransaction, ReadableDatabase};

use super::layout::{COMPACTED, CURRENT, EventRow, HISTORY, META, REVISION, decode_current};
use super::open::failed;
use crate::store::{Event, KeyValue, ListOptions, Page, Revision, StoreError};

/// The most events of one read of the history, as many as the feed hands out at once.
const MAX_EVENTS: usize = 256;

/// The most bytes of rows with events in one read, which its watch holds until they are delivered.
const MAX_BYTES: usize = 4 * 1024 * 1024;

/// The most rows of history looked at in one read, so that a watch of a rare prefix gives other
/// readers a turn.
const MAX_ROWS: usize = 4096;

/// One consistent state of the store.
pub(super) struct Snapshot {
    transaction: ReadTransaction,
    pub(super) revision: Revision,
    pub(super) compacted: Revision,
}

impl Snapshot {
    /// The newest durable state.
    pub(super) fn newest(database: &Database) -> Result<Self, StoreError> {
        let transaction = database.begin_read().map_err(failed)?;
        let meta = transaction.open_table(META).map_err(failed)?;
        let number = |name| -> Result<u64, StoreError> {
            let row = meta.get(name).map_err(failed)?;
            row.map(|row| row.value())
                .ok_or_else(|| StoreError::Failed(format!("the store file lacks the number {name:?}")))
        };
        Ok(Self {
            revision: number(REVISION)?,
            compacted: number(COMPACTED)?,
            transaction,
        })
    }

    /// What `key` holds.
    pub(super) fn get(&self, key: &str) -> Result<Option<KeyValue>, StoreError> {
        let current = self.transaction.open_table(CURRENT).map_err(failed)?;
        let row = current.get(key).map_err(failed)?;
        row.map(|row| decode_current(key, row.value())).transpose()
    }

    /// The keys under `prefix`.
    pub(super) fn list(&self, prefix: &str, options: &ListOptions) -> Result<Page, StoreError> {
        let at = options.at.unwrap_or(self.revision);
        if at > self.revision {
            return Err(StoreError::Future {
                requested: at,
                current: self.revision,
            });
        }
        if at < self.compacted {
            return Err(StoreError::Compacted {
                requested: at,
                oldest: self.compacted,
            });
        }
        let start = Start::of(prefix, options.after.as_deref());
        let mut collector = Collector::new(at, options.limit);
        // What the keys touched since `at` held then; their rows in `current` are too new.
        let mut before = self.undo(at, prefix, &start)?.into_iter().peekable();
        let current = self.transaction.open_table(CURRENT).map_err(failed)?;
        for row in current
            .range::<&str>((start.bound(), Bound::Unbounded))
            .map_err(failed)?
        {
            let (key, row) = row.map_err(failed)?;
            let key = key.value();
            if !key.starts_with(prefix) {
                break;
            }
            while let Some((_, gone)) = before.next_if(|(undone, _)| undone.as_str() < key) {
                collector.add(gone, Ok)?;
            }
            match before.next_if(|(undone, _)| undone == key) {
                Some((_, undone)) => collector.add(undone, Ok)?,
                None => collector.add(Some(row.value()), |row| decode_current(key, row))?,
            }
        }
        for (_, gone) in before {
            collector.add(gone, Ok)?;
        }
        Ok(collector.page)
    }

    /// For every key changed after `at`: what it held at `at`.
    fn undo(
        &self,
        at: Revision,
        prefix: &str,
        start: &Start<'_>,
    ) -> Result<BTreeMap<String, Option<KeyValue>>, StoreError> {
        let mut before = BTreeMap::new();
        if at == self.revision {
            return Ok(before);
        }
        let history = self.transaction.open_table(HISTORY).map_err(failed)?;
        for row in history.range(at + 1..).map_err(failed)? {
            let (revision, row) = row.map_err(failed)?;
            let row = EventRow::decode(revision.value(), row.value())?;
            // The first change after `at` is the one that knows what was there at `at`.
            if row.key.starts_with(prefix) && start.contains(row.key) && !before.contains_key(row.key) {
                before.insert(row.key.to_owned(), row.previous());
            }
        }
        Ok(before)
    }

    /// The events under `prefix` from the revision `from` on, and the revision up to which none is missing.
    pub(super) fn events(&self, prefix: &str, from: Revision) -> Result<(Vec<Arc<Event>>, Revision), StoreError> {
        if from <= self.compacted {
            return Err(StoreError::Compacted {
                requested: from,
                oldest: self.compacted + 1,
            });
        }
        let history = self.transaction.open_table(HISTORY).map_err(failed)?;
        let mut events = Vec::new();
        let mut bytes = 0;
        for (seen, row) in history.range(from..).map_err(failed)?.enumerate() {
            let (revision, row) = row.map_err(failed)?;
            let (revision, row) = (revision.value(), row.value());
            let decoded = EventRow::decode(revision, row)?;
            if decoded.key.starts_with(prefix) {
                bytes += row.len();
                events.push(Arc::new(decoded.event()?));
            }
            if events.len() >= MAX_EVENTS || bytes >= MAX_BYTES || seen + 1 >= MAX_ROWS {
                return Ok((events, revision));
            }
        }
        Ok((events, self.revision.max(from)))
    }
}

/// Where a list begins.
enum Start<'a> {
    At(&'a str),
    Behind(&'a str),
}

impl<'a> Start<'a> {
    fn of(prefix: &'a str, after: Option<&'a str>) -> Self {
        match after {
            Some(after) if after >= prefix => Self::Behind(after),
            _ => Self::At(prefix),
        }
    }

    fn bound(&self) -> Bound<&'a str> {
        match *self {
            Self::At(key) => Bound::Included(key),
            Self::Behind(key) => Bound::Excluded(key),
        }
    }

    fn contains(&self, key: &str) -> bool {
        match *self {
            Self::At(start) => key >= start,
            Self::Behind(start) => key > start,
        }
    }
}

/// Fills a page, then counts.
struct Collector {
    page: Page,
    limit: usize,
}

impl Collector {
    fn new(revision: Revision, limit: usize) -> Self {
        Self {
            page: Page {
                items: Vec::new(),
                revision,
                remaining: 0,
            },
            limit,
        }
    }

    /// Adds what there is; decodes only what the page has room for.
    fn add<T>(
        &mut self,
        found: Option<T>,
        decode: impl FnOnce(T) -> Result<KeyValue, StoreError>,
    ) -> Result<(), StoreError> {
        let Some(found) = found else { return Ok(()) };
        if self.limit == 0 || self.page.items.len() < self.limit {
            self.page.items.push(decode(found)?);
        } else {
            self.page.remaining += 1;
        }
        Ok(())
    }
}
