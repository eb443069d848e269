//! Keeps bytes under keys at revisions, as etcd does. Never knows what an object is.
//!
//! One 64-bit revision counts every write of the whole store. A write names the revision it
//! expects to replace; there is no unconditional write. A list and the revision it was taken at
//! come from one snapshot, and a watch from the next revision continues it without a gap.

mod embedded;
mod etcd;
mod feed;
mod watch;

use std::pin::Pin;

use async_trait::async_trait;
use bytes::Bytes;
use futures::Stream;

pub use embedded::{Embedded, OpenError};
pub use etcd::Etcd;

/// Counts the writes of a whole store; the first write makes revision 1 or later, 0 is never written.
pub type Revision = u64;

/// A value under a key, and the revisions that made and last changed it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyValue {
    /// The full key, e.g. `/registry/pods/default/web`.
    pub key: String,
    /// What was stored, untouched.
    pub value: Bytes,
    /// The revision that created this key.
    pub create_revision: Revision,
    /// The revision that last wrote this key; what an update must expect.
    pub mod_revision: Revision,
}

/// Part of the keys under a prefix, in key order, as of one revision.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Page {
    /// At most the limit asked for.
    pub items: Vec<KeyValue>,
    /// The revision of the snapshot that every page of this list is read at.
    pub revision: Revision,
    /// How many keys of the range lie behind the last item.
    pub remaining: u64,
}

/// What to list: every key that starts with `prefix`.
#[derive(Clone, Debug, Default)]
pub struct ListOptions {
    /// Only keys strictly behind this one (the last key of the page before).
    pub after: Option<String>,
    /// The most items to return; 0 is all.
    pub limit: usize,
    /// Read the snapshot of this revision, not the newest.
    pub at: Option<Revision>,
}

/// One change of one key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// The key was created or changed; `current.mod_revision` is the event's revision.
    Put {
        /// What is stored now.
        current: KeyValue,
        /// What was stored before, unless this created the key.
        previous: Option<KeyValue>,
    },
    /// The key is gone as of `revision`.
    Delete {
        /// What was stored last.
        previous: KeyValue,
        /// The revision of the deletion itself.
        revision: Revision,
    },
}

/// What a watch delivers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Watched {
    /// A change, in revision order.
    Event(Event),
    /// Every change up to and including this revision that matches has been delivered.
    Progress(Revision),
}

/// Ends after its first error: [`StoreError::Compacted`] where the past asked for is gone,
/// [`StoreError::Behind`] where the reader was too slow. Never skips a change.
pub type WatchStream = Pin<Box<dyn Stream<Item = Result<Watched, StoreError>> + Send>>;

/// Why a store refused or failed.
#[derive(Clone, Debug, thiserror::Error)]
pub enum StoreError {
    /// The key is not at the expected revision; carries what is there now.
    #[error("the key is not at the expected revision")]
    Conflict {
        /// What is stored now; `None` where the key does not exist.
        current: Option<KeyValue>,
    },
    /// That revision's past is no longer kept.
    #[error("revision {requested} has been compacted; the oldest kept is {oldest}")]
    Compacted {
        /// The revision asked for.
        requested: Revision,
        /// The oldest that can be asked for.
        oldest: Revision,
    },
    /// That revision lies ahead of the newest.
    #[error("revision {requested} is ahead of the current {current}")]
    Future {
        /// The revision asked for.
        requested: Revision,
        /// The newest revision.
        current: Revision,
    },
    /// A watcher did not keep up and was cut off.
    #[error("the watcher fell behind")]
    Behind,
    /// The backend cannot be reached just now; trying again may help.
    #[error("the store is unavailable: {0}")]
    Unavailable(String),
    /// What is stored cannot be read, or the disk refused; trying again will not help.
    #[error("the store failed: {0}")]
    Failed(String),
}

/// A store of bytes with etcd's model. Every method may be called from many tasks at once.
#[async_trait]
pub trait Store: Send + Sync + 'static {
    /// The newest revision; fails where the backend cannot be reached, so it doubles as a health check.
    async fn revision(&self) -> Result<Revision, StoreError>;

    /// The key's value, and the revision it was read at.
    async fn get(&self, key: &str) -> Result<(Option<KeyValue>, Revision), StoreError>;

    /// What was last seen under the key, where that is at hand without asking the backend. It may be out of date: good
    /// to base a write on, which names its revision, and for nothing else.
    fn last_seen(&self, _key: &str) -> Option<KeyValue> {
        None
    }

    /// The keys under `prefix`, in order, from one snapshot.
    async fn list(&self, prefix: &str, options: ListOptions) -> Result<Page, StoreError>;

    /// Writes a key that must not exist; returns the new revision. Durable when it returns.
    async fn create(&self, key: &str, value: Bytes) -> Result<Revision, StoreError>;

    /// Replaces a key that must be at `expected`; returns the new revision. Durable when it returns.
    async fn update(&self, key: &str, value: Bytes, expected: Revision) -> Result<Revision, StoreError>;

    /// Removes a key that must be at `expected`; returns the deletion's revision. Durable when it returns.
    async fn delete(&self, key: &str, expected: Revision) -> Result<Revision, StoreError>;

    /// Every change under `prefix` whose revision is `from` or later: first those already made, then
    /// live ones, no gap between. `from` may be one past the newest revision, or further. A past that
    /// is no longer kept is the stream's first item. The stream outlives the call, not the store.
    async fn watch(&self, prefix: &str, from: Revision) -> Result<WatchStream, StoreError>;

    /// Forgets the history up to `at`: from then on the oldest list is that at `at` and the oldest
    /// watch that from `at + 1`. Current values stay. [`StoreError::Compacted`] where that is done
    /// already, [`StoreError::Future`] where `at` lies ahead.
    async fn compact(&self, at: Revision) -> Result<(), StoreError>;
}
