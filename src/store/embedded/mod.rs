//! Keeps the store in one local file (redb), many waiting writes to a transaction.
//!
//! One thread writes ([`writer`]); reads are snapshots and never wait for it ([`reader`]); watches
//! read the history in the file until the feed in memory takes over.

mod layout;
mod open;
mod reader;
mod reserve;
mod writer;

use std::collections::VecDeque;
use std::path::Path;
use std::sync::{Arc, Weak};
use std::thread::JoinHandle;
use std::time::Instant;

use async_trait::async_trait;
use bytes::Bytes;
use redb::Database;
use tokio::sync::{mpsc, oneshot};

use super::feed::Feed;
use super::watch::{self, History};
use super::{Event, KeyValue, ListOptions, Page, Revision, Store, StoreError, WatchStream};
pub use open::OpenError;
use open::Opened;
use reader::Snapshot;
use writer::{Change, QUEUE, Request, Retention, Writer};

/// The largest value: well above the body limit of the API, and bounds what a transaction holds.
const MAX_VALUE_BYTES: usize = 16 * 1024 * 1024;

/// The longest key: a prefix, a namespace and a name of the lengths that Kubernetes allows.
const MAX_KEY_BYTES: usize = 1024;

/// The embedded store. Dropping it finishes the writes that wait, ends its watches and closes the file.
pub struct Embedded {
    /// `None` only while dropping.
    requests: Option<mpsc::Sender<Request>>,
    writer: Option<JoinHandle<()>>,
    database: Arc<Database>,
    feed: Arc<Feed>,
}

impl Embedded {
    /// Opens the store in the file at `path`, or makes an empty one there. Only one process at a
    /// time can have it open. Blocks while the whole file is read and checked: a tenth of a second a
    /// 10 MB on a busy machine, and its history is bounded.
    pub fn open(path: &Path) -> Result<Self, OpenError> {
        Self::start(path, open::file(path)?, Retention::DEFAULT)
    }

    /// An empty store that lives in memory only, and no longer than this value.
    pub fn in_memory() -> Result<Self, OpenError> {
        Self::start(Path::new("(memory)"), open::in_memory()?, Retention::DEFAULT)
    }

    /// A copy in memory of the store in the file at `path`, empty where there is none. Nothing is
    /// written to the file or beside it, and what is written to the copy is lost when it is dropped.
    pub fn open_copy(path: &Path) -> Result<Self, OpenError> {
        Self::start(path, open::copy_of(path)?, Retention::DEFAULT)
    }

    fn start(path: &Path, opened: Opened, retention: Retention) -> Result<Self, OpenError> {
        let Opened {
            database,
            revision,
            compacted,
            history_bytes,
            reserve,
        } = opened;
        let database = Arc::new(database);
        let feed = Arc::new(Feed::new(Some(revision)));
        let writer = Writer {
            database: Arc::clone(&database),
            feed: Arc::clone(&feed),
            revision,
            compacted,
            history_bytes,
            retention,
            reserve,
            // How old the history in the file is nobody knows, so its age begins now.
            marks: VecDeque::from([(Instant::now(), revision)]),
        };
        let (requests, receiver) = mpsc::channel(QUEUE);
        let writer = std::thread::Builder::new()
            .name("store-writer".to_owned())
            .spawn(move || writer.run(receiver))
            .map_err(|source| OpenError::Io {
                path: path.to_owned(),
                source,
            })?;
        Ok(Self {
            requests: Some(requests),
            writer: Some(writer),
            database,
            feed,
        })
    }

    /// Hands a change to the writer. Dropping the returned future leaves the change to be made or
    /// not, but never the writer waiting.
    async fn write(&self, change: Change) -> Result<Revision, StoreError> {
        let (answer, answered) = oneshot::channel();
        let stopped = || StoreError::Failed("the store's writer has stopped".to_owned());
        let requests = self.requests.as_ref().ok_or_else(stopped)?;
        requests.send(Request { change, answer }).await.map_err(|_| stopped())?;
        answered.await.map_err(|_| stopped())?
    }
}

impl Drop for Embedded {
    fn drop(&mut self) {
        // Without senders the writer ends after what is queued, and lets go of the file.
        self.requests = None;
        if let Some(writer) = self.writer.take()
            && writer.join().is_err()
        {
            tracing::error!("the store's writer had panicked");
        }
    }
}

#[async_trait]
impl Store for Embedded {
    async fn revision(&self) -> Result<Revision, StoreError> {
        Ok(Snapshot::newest(&self.database)?.revision)
    }

    async fn get(&self, key: &str) -> Result<(Option<KeyValue>, Revision), StoreError> {
        // A few pages, nearly always cached: handing this to another thread would cost more.
        let snapshot = Snapshot::newest(&self.database)?;
        Ok((snapshot.get(key)?, snapshot.revision))
    }

    async fn list(&self, prefix: &str, options: ListOptions) -> Result<Page, StoreError> {
        let prefix = prefix.to_owned();
        let database = Arc::clone(&self.database);
        blocking(move || Snapshot::newest(&database)?.list(&prefix, &options)).await
    }

    async fn create(&self, key: &str, value: Bytes) -> Result<Revision, StoreError> {
        check_size(key, &value)?;
        self.write(Change::Create {
            key: key.to_owned(),
            value,
        })
        .await
    }

    async fn update(&self, key: &str, value: Bytes, expected: Revision) -> Result<Revision, StoreError> {
        check_size(key, &value)?;
        self.write(Change::Update {
            key: key.to_owned(),
            value,
            expected,
        })
        .await
    }

    async fn delete(&self, key: &str, expected: Revision) -> Result<Revision, StoreError> {
        self.write(Change::Delete {
            key: key.to_owned(),
            expected,
        })
        .await
    }

    async fn watch(&self, prefix: &str, from: Revision) -> Result<WatchStream, StoreError> {
        let history = FileHistory {
            database: Arc::downgrade(&self.database),
        };
        Ok(watch::watch(Arc::clone(&self.feed), history, prefix, from))
    }

    async fn compact(&self, at: Revision) -> Result<(), StoreError> {
        self.write(Change::Compact { at }).await.map(|_| ())
    }
}

/// The history as the file has it. Does not keep the file open.
struct FileHistory {
    database: Weak<Database>,
}

impl History for FileHistory {
    async fn read(&mut self, prefix: &str, from: Revision) -> Result<(Vec<Arc<Event>>, Revision), StoreError> {
        let closed = || StoreError::Unavailable("the store is closed".to_owned());
        let database = self.database.upgrade().ok_or_else(closed)?;
        let prefix = prefix.to_owned();
        blocking(move || Snapshot::newest(&database)?.events(&prefix, from)).await
    }
}

/// Runs a read that may take milliseconds where it keeps no other task waiting.
async fn blocking<T: Send + 'static>(
    read: impl FnOnce() -> Result<T, StoreError> + Send + 'static,
) -> Result<T, StoreError> {
    let joined = tokio::task::spawn_blocking(read).await;
    joined.map_err(|error| StoreError::Failed(format!("a read of the store ended unexpectedly: {error}")))?
}

fn check_size(key: &str, value: &Bytes) -> Result<(), StoreError> {
    if key.len() > MAX_KEY_BYTES {
        return Err(StoreError::Failed(format!(
            "a key of {} bytes is above the limit of {MAX_KEY_BYTES}",
            key.len()
        )));
    }
    if value.len() > MAX_VALUE_BYTES {
        let len = value.len();
        return Err(StoreError::Failed(format!(
            "a value of {len} bytes is above the limit of {MAX_VALUE_BYTES}"
        )));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use futures::StreamExt;

    use super::super::Watched;
    use super::*;

    fn keeping(retention: Retention) -> Embedded {
        let path = Path::new("(memory)");
        Embedded::start(path, open::in_memory().expect("memory"), retention).expect("a thread")
    }

    /// The revision of the oldest list that can be had, after 40 writes of 1000 bytes.
    async fn oldest_after_writes(store: &Embedded) -> Revision {
        let mut revision = store.create("/a", Bytes::new()).await.expect("a new key");
        for _ in 1..40 {
            let value = Bytes::from(vec![b'x'; 1000]);
            revision = store.update("/a", value, revision).await.expect("an unchanged key");
        }
        match store.watch("/", 1).await.expect("a watch").next().await {
            Some(Err(StoreError::Compacted { oldest, .. })) => oldest - 1,
            Some(Ok(Watched::Event(event))) => event.revision() - 1,
            other => panic!("{other:?}"),
        }
    }

    #[tokio::test]
    async fn history_is_bounded_without_being_asked() {
        let long = Duration::from_secs(3600);
        for (name, retention, expected) in [
            (
                "all is kept",
                Retention {
                    age: long,
                    bytes: 1 << 20,
                },
                0..=0,
            ),
            // A row has the value, the value before it, and some bytes of its own.
            (
                "bytes",
                Retention {
                    age: long,
                    bytes: 10_500,
                },
                35..=35,
            ),
            (
                "age",
                Retention {
                    age: Duration::ZERO,
                    bytes: 1 << 20,
                },
                1..=39,
            ),
        ] {
            let store = keeping(retention);
            let oldest = oldest_after_writes(&store).await;
            assert!(expected.contains(&oldest), "{name}: {oldest}");
            let options = |at| ListOptions {
                at: Some(at),
                ..ListOptions::default()
            };
            let page = store.list("/", options(oldest)).await.expect("the oldest list");
            assert_eq!(page.items.len(), usize::from(oldest > 0), "{name}");
            if oldest > 0 {
                let older = store.list("/", options(oldest - 1)).await;
                assert!(matches!(older, Err(StoreError::Compacted { .. })), "{name}: {older:?}");
            }
        }
    }
}
