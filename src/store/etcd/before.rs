//! What was at a key before it changed. etcd would tell it with each event, but looks each up on its own, for which it copies
//! all that it has not written to its file yet; most of it was told before, and the rest is read together.

use std::collections::HashMap;

use super::calls::Calls;
use crate::store::{Event, KeyValue, Revision, StoreError};

/// A change as the watch tells it.
pub(super) enum Change {
    /// The key was made.
    Create(KeyValue),
    /// The key was written over.
    Update(KeyValue),
    /// The key was removed at that revision.
    Delete(String, Revision),
}

impl Change {
    /// The key that changed.
    pub(super) fn key(&self) -> &str {
        match self {
            Self::Create(current) | Self::Update(current) => &current.key,
            Self::Delete(key, _) => key,
        }
    }

    fn revision(&self) -> Revision {
        match self {
            Self::Create(current) | Self::Update(current) => current.mod_revision,
            Self::Delete(_, revision) => *revision,
        }
    }

    /// What it leaves behind.
    fn current(&self) -> Option<&KeyValue> {
        match self {
            Self::Create(current) | Self::Update(current) => Some(current),
            Self::Delete(..) => None,
        }
    }

    fn with(self, previous: Option<KeyValue>) -> Option<Event> {
        Some(match self {
            Self::Create(current) => Event::Put {
                current,
                previous: None,
            },
            Self::Update(current) => Event::Put {
                current,
                previous: Some(previous?),
            },
            Self::Delete(_, revision) => Event::Delete {
                previous: previous?,
                revision,
            },
        })
    }
}

/// The events of changes in revision order, of which none of the same keys is missing. `known` tells what was at a key
/// before the first of them, where that is at hand.
///
/// # Errors
/// Where what was there cannot be read; [`StoreError::Compacted`] where it is no longer kept.
pub(super) async fn complete(
    calls: &Calls,
    changes: Vec<Change>,
    known: impl Fn(&str) -> Option<KeyValue>,
) -> Result<Vec<Event>, StoreError> {
    let mut before = look(&changes, known);
    let unknown: Vec<usize> = missing(&changes, &before).collect();
    let reads: Vec<(&str, Option<Revision>)> = unknown
        .iter()
        .map(|&index| (changes[index].key(), Some(changes[index].revision() - 1)))
        .collect();
    for (index, read) in unknown.iter().zip(calls.get_all(&reads).await) {
        before[*index] = read?.0;
    }
    let events = changes.into_iter().zip(before).map(|(change, previous)| {
        let at = change.revision();
        change.with(previous).ok_or(StoreError::Compacted {
            requested: at,
            oldest: at + 1,
        })
    });
    events.collect()
}

/// What was there before each change, as far as it was told.
fn look(changes: &[Change], known: impl Fn(&str) -> Option<KeyValue>) -> Vec<Option<KeyValue>> {
    let mut newest: HashMap<&str, Option<&KeyValue>> = HashMap::new();
    let before = changes.iter().map(|change| {
        let told = newest.insert(change.key(), change.current());
        match (change, told) {
            (Change::Create(_), _) => None,
            (_, Some(told)) => told.cloned(),
            (_, None) => known(change.key()),
        }
    });
    before.collect()
}

/// Those of which it is not known yet.
fn missing(changes: &[Change], before: &[Option<KeyValue>]) -> impl Iterator<Item = usize> {
    let open = |(index, (change, before)): (usize, (&Change, &Option<KeyValue>))| {
        (before.is_none() && !matches!(change, Change::Create(_))).then_some(index)
    };
    changes.iter().zip(before).enumerate().filter_map(open)
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;

    fn pair(key: &str, revision: Revision) -> KeyValue {
        KeyValue {
            key: key.to_owned(),
            value: Bytes::new(),
            create_revision: 1,
            mod_revision: revision,
        }
    }

    #[test]
    fn what_was_there_is_what_was_told_last() {
        let changes = [
            Change::Update(pair("known", 11)),
            Change::Update(pair("known", 12)),
            Change::Delete("known".to_owned(), 13),
            Change::Create(pair("known", 14)),
            Change::Update(pair("unknown", 15)),
            Change::Update(pair("unknown", 16)),
            Change::Delete("unknown too".to_owned(), 17),
        ];
        let before = look(&changes, |key| (key == "known").then(|| pair(key, 10)));
        let revisions: Vec<_> = before
            .iter()
            .map(|pair| pair.as_ref().map(|pair| pair.mod_revision))
            .collect();
        assert_eq!(revisions, [Some(10), Some(11), Some(12), None, None, Some(15), None]);
        assert_eq!(missing(&changes, &before).collect::<Vec<_>>(), [4, 6]);
    }
}
