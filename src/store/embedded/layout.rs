//! How the file is laid out: tables and the bytes of their rows. Never opens a transaction.
//!
//! | table | key | value |
//! |---|---|---|
//! | `current` | key | create revision, mod revision, value |
//! | `history` | revision | the event of that revision, with the value before it |
//! | `meta` | name | the numbers named by the constants below |
//!
//! Every write makes exactly one revision and one row of history. A row carries the previous
//! value too, so that a deletion can be replayed and a list at an older revision can be had by
//! undoing what came after, both without looking at any other row.

use bytes::Bytes;
use redb::TableDefinition;

use crate::store::{Event, KeyValue, Revision, StoreError};

/// What is stored now.
pub(super) const CURRENT: TableDefinition<&str, &[u8]> = TableDefinition::new("current");
/// What happened since the last compaction.
pub(super) const HISTORY: TableDefinition<u64, &[u8]> = TableDefinition::new("history");
/// Numbers about the store itself.
pub(super) const META: TableDefinition<&str, u64> = TableDefinition::new("meta");

/// In `meta`: the version of this layout.
pub(super) const FORMAT: &str = "format";
/// In `meta`: the newest revision.
pub(super) const REVISION: &str = "revision";
/// In `meta`: history at or before this revision is forgotten.
pub(super) const COMPACTED: &str = "compacted";
/// In `meta`: the bytes of all rows of `history`.
pub(super) const HISTORY_BYTES: &str = "history-bytes";

/// The layout written and understood here.
pub(super) const FORMAT_VERSION: u64 = 1;

const PUT: u8 = 1;
const DELETE: u8 = 2;
/// Tag, then revisions (create, previous create, previous mod), then lengths (key, value).
const HEADER_LEN: usize = 1 + 3 * 8 + 2 * 4;

/// The row of `current` for a value.
pub(super) fn encode_current(create_revision: Revision, mod_revision: Revision, value: &[u8]) -> Vec<u8> {
    let mut row = Vec::with_capacity(16 + value.len());
    row.extend_from_slice(&create_revision.to_le_bytes());
    row.extend_from_slice(&mod_revision.to_le_bytes());
    row.extend_from_slice(value);
    row
}

/// What a row of `current` says.
pub(super) fn decode_current(key: &str, row: &[u8]) -> Result<KeyValue, StoreError> {
    let mut reader = Reader(row);
    let create_revision = reader.u64()?;
    let mod_revision = reader.u64()?;
    Ok(KeyValue {
        key: key.to_owned(),
        value: Bytes::copy_from_slice(reader.0),
        create_revision,
        mod_revision,
    })
}

/// The row of `history` for an event.
pub(super) fn encode_event(event: &Event) -> Vec<u8> {
    let (tag, create_revision, value, previous) = match event {
        Event::Put { current, previous } => (PUT, current.create_revision, &current.value[..], previous.as_ref()),
        Event::Delete { previous, .. } => (DELETE, 0, &[][..], Some(previous)),
    };
    let key = event.key();
    let previous_len = previous.map_or(0, |previous| previous.value.len());
    let mut row = Vec::with_capacity(HEADER_LEN + key.len() + value.len() + previous_len);
    row.push(tag);
    row.extend_from_slice(&create_revision.to_le_bytes());
    row.extend_from_slice(&previous.map_or(0, |previous| previous.create_revision).to_le_bytes());
    row.extend_from_slice(&previous.map_or(0, |previous| previous.mod_revision).to_le_bytes());
    row.extend_from_slice(&len_u32(key.len()).to_le_bytes());
    row.extend_from_slice(&len_u32(value.len()).to_le_bytes());
    row.extend_from_slice(key.as_bytes());
    row.extend_from_slice(value);
    if let Some(previous) = previous {
        row.extend_from_slice(&previous.value);
    }
    row
}

/// A row of `history`, its values not copied yet.
pub(super) struct EventRow<'a> {
    pub(super) key: &'a str,
    revision: Revision,
    is_put: bool,
    create_revision: Revision,
    previous_create_revision: Revision,
    previous_mod_revision: Revision,
    value: &'a [u8],
    previous_value: &'a [u8],
}

impl<'a> EventRow<'a> {
    /// What the row of `history` at `revision` says.
    pub(super) fn decode(revision: Revision, row: &'a [u8]) -> Result<Self, StoreError> {
        let mut reader = Reader(row);
        let is_put = match reader.take(1)? {
            [PUT] => true,
            [DELETE] => false,
            _ => return Err(malformed()),
        };
        let create_revision = reader.u64()?;
        let previous_create_revision = reader.u64()?;
        let previous_mod_revision = reader.u64()?;
        let key_len = reader.u32()?;
        let value_len = reader.u32()?;
        let key = std::str::from_utf8(reader.take(key_len)?).map_err(|_| malformed())?;
        let value = reader.take(value_len)?;
        let previous_value = reader.0;
        Ok(Self {
            key,
            revision,
            is_put,
            create_revision,
            previous_create_revision,
            previous_mod_revision,
            value,
            previous_value,
        })
    }

    /// What the key held before the event; `None` where the event created it.
    pub(super) fn previous(&self) -> Option<KeyValue> {
        // Revision 0 is never written, so it says that there was nothing.
        (self.previous_mod_revision > 0).then(|| KeyValue {
            key: self.key.to_owned(),
            value: Bytes::copy_from_slice(self.previous_value),
            create_revision: self.previous_create_revision,
            mod_revision: self.previous_mod_revision,
        })
    }

    /// The event itself.
    pub(super) fn event(&self) -> Result<Event, StoreError> {
        let previous = self.previous();
        if !self.is_put {
            let previous = previous.ok_or_else(malformed)?;
            return Ok(Event::Delete {
                previous,
                revision: self.revision,
            });
        }
        let current = KeyValue {
            key: self.key.to_owned(),
            value: Bytes::copy_from_slice(self.value),
            create_revision: self.create_revision,
            mod_revision: self.revision,
        };
        Ok(Event::Put { current, previous })
    }
}

struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn take(&mut self, len: usize) -> Result<&'a [u8], StoreError> {
        let (head, tail) = self.0.split_at_checked(len).ok_or_else(malformed)?;
        self.0 = tail;
        Ok(head)
    }

    fn u64(&mut self) -> Result<u64, StoreError> {
        let bytes = self.take(8)?.try_into().map_err(|_| malformed())?;
        Ok(u64::from_le_bytes(bytes))
    }

    fn u32(&mut self) -> Result<usize, StoreError> {
        let bytes = self.take(4)?.try_into().map_err(|_| malformed())?;
        usize::try_from(u32::from_le_bytes(bytes)).map_err(|_| malformed())
    }
}

fn len_u32(len: usize) -> u32 {
    u32::try_from(len).expect("larger keys and values are refused before they are queued")
}

fn malformed() -> StoreError {
    StoreError::Failed("a row of the store file is malformed".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kv(value: &'static str, create_revision: Revision, mod_revision: Revision) -> KeyValue {
        KeyValue {
            key: "/registry/pods/default/a".to_owned(),
            value: Bytes::from(value),
            create_revision,
            mod_revision,
        }
    }

    #[test]
    fn every_event_survives_its_row() {
        let events = [
            (
                "create",
                Event::Put {
                    current: kv("one", 7, 7),
                    previous: None,
                },
            ),
            (
                "update",
                Event::Put {
                    current: kv("two", 7, 9),
                    previous: Some(kv("one", 7, 7)),
                },
            ),
            (
                "empty values",
                Event::Put {
                    current: kv("", 7, 9),
                    previous: Some(kv("", 7, 8)),
                },
            ),
            (
                "delete",
                Event::Delete {
                    previous: kv("two", 7, 9),
                    revision: 12,
                },
            ),
        ];
        for (name, event) in events {
            let row = encode_event(&event);
            let decoded = EventRow::decode(event.revision(), &row).and_then(|row| row.event());
            assert_eq!(decoded.ok(), Some(event), "{name}");
        }
    }

    #[test]
    fn a_cut_row_is_an_error() {
        let row = encode_event(&Event::Put {
            current: kv("one", 7, 7),
            previous: None,
        });
        for len in 0..row.len() {
            assert!(EventRow::decode(7, &row[..len]).is_err(), "cut to {len} bytes");
        }
    }
}
