//! Keeps the store in etcd. The only module that names `etcd_client`.
//!
//! Calls are etcd transactions and ranges ([`calls`]); reads of single keys share theirs
//! ([`gather`]), and so do lists ([`lists`]). All watches share one etcd watch of the whole key space ([`follow`]): it sees every
//! revision, so it always knows which revisions it has delivered completely, which no watch of a
//! part can know with every version of etcd. The newest values it told are kept for a while ([`seen`]), and say what was
//! there before the next change ([`before`]).

mod before;
mod calls;
mod convert;
mod follow;
mod gather;
mod lists;
mod seen;
mod waiting;

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use etcd_client::{Client, ConnectOptions};
use tokio::task::JoinHandle;

use super::feed::Feed;
use super::{KeyValue, ListOptions, Page, Revision, Store, StoreError, WatchStream, watch};
use calls::Calls;
use follow::Replay;
use gather::Gather;
use lists::Lists;
use seen::Seen;

/// How long one call may take. etcd answers within milliseconds, and within a second or two while
/// it elects a leader; a client of the API gives up after some ten seconds.
const CALL_TIMEOUT: Duration = Duration::from_secs(5);

/// How long to try to reach one address.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);

/// How often to make sure that a silent connection is alive; etcd refuses less than five seconds.
const KEEP_ALIVE_INTERVAL: Duration = Duration::from_secs(10);

/// How long the other side may take to confirm that.
const KEEP_ALIVE_TIMEOUT: Duration = Duration::from_secs(5);

/// How often history is compacted, to where it was one interval ago: as often as Kubernetes does it,
/// so that a client that was away for minutes can go on watching. Without it etcd fills its disk.
const COMPACT_INTERVAL: Duration = Duration::from_secs(5 * 60);

/// A store in an etcd cluster. Dropping it ends its watches.
pub struct Etcd {
    calls: Calls,
    reads: Gather,
    lists: Lists,
    seen: Arc<Seen>,
    feed: Arc<Feed>,
    tasks: Vec<JoinHandle<()>>,
}

impl Etcd {
    /// A store in the cluster at these addresses (`http://host:port`). Connects when it is used:
    /// fails only on addresses that make no sense, and works from when etcd can be reached.
    /// Must be called within a tokio runtime.
    pub async fn connect(endpoints: &[String]) -> Result<Self, StoreError> {
        let options = ConnectOptions::new()
            .with_connect_timeout(CONNECT_TIMEOUT)
            .with_keep_alive(KEEP_ALIVE_INTERVAL, KEEP_ALIVE_TIMEOUT)
            // etcd takes pings without any call under way for an attack.
            .with_keep_alive_while_idle(false);
        let client = Client::connect(endpoints, Some(options)).await;
        let client = client.map_err(|error| StoreError::Failed(format!("etcd at {}: {error}", endpoints.join(","))))?;
        let calls = Calls::new(&client, endpoints.join(","));
        let feed = Arc::new(Feed::new(None));
        let seen = Arc::new(Seen::default());
        let tasks = vec![
            tokio::spawn(follow::follow(calls.clone(), Arc::clone(&feed), Arc::clone(&seen))),
            tokio::spawn(compact_regularly(calls.clone(), Arc::clone(&feed))),
        ];
        let reads = Gather::new(calls.clone());
        let lists = Lists::new(calls.clone());
        Ok(Self {
            calls,
            reads,
            lists,
            seen,
            feed,
            tasks,
        })
    }
}

impl Drop for Etcd {
    fn drop(&mut self) {
        for task in &self.tasks {
            task.abort();
        }
        self.feed.close("the store is closed");
    }
}

#[async_trait]
impl Store for Etcd {
    async fn revision(&self) -> Result<Revision, StoreError> {
        self.calls.revision().await
    }

    async fn get(&self, key: &str) -> Result<(Option<KeyValue>, Revision), StoreError> {
        self.reads.get(key).await
    }

    fn last_seen(&self, key: &str) -> Option<KeyValue> {
        self.seen.get(key)
    }

    async fn list(&self, prefix: &str, options: ListOptions) -> Result<Page, StoreError> {
        match options {
            ListOptions {
                after: None,
                limit: 0,
                at: None,
            } => self.lists.list(prefix).await,
            part => self.calls.list(prefix, part).await,
        }
    }

    async fn create(&self, key: &str, value: Bytes) -> Result<Revision, StoreError> {
        self.calls.put(key, value, 0).await
    }

    async fn update(&self, key: &str, value: Bytes, expected: Revision) -> Result<Revision, StoreError> {
        self.calls.refuse_unwritten(key, expected).await?;
        self.calls.put(key, value, expected).await
    }

    async fn delete(&self, key: &str, expected: Revision) -> Result<Revision, StoreError> {
        self.calls.refuse_unwritten(key, expected).await?;
        self.calls.delete(key, expected).await
    }

    async fn watch(&self, prefix: &str, from: Revision) -> Result<WatchStream, StoreError> {
        if self.feed.head().is_none() {
            // Says why, where etcd cannot be reached.
            self.calls.revision().await?;
            let known = tokio::time::timeout(CALL_TIMEOUT, self.feed.known()).await;
            known.map_err(|_| self.calls.unavailable("it answers, but its watch does not"))?;
        }
        let replay = Replay::new(self.calls.clone());
        Ok(watch::watch(Arc::clone(&self.feed), replay, prefix, from))
    }

    async fn compact(&self, at: Revision) -> Result<(), StoreError> {
        self.calls.compact(at).await?;
        self.feed.forget(at);
        Ok(())
    }
}

/// Forgets, every interval, what was history one interval ago. Several processes may do so at once.
/// Ends when the store is dropped.
async fn compact_regularly(calls: Calls, feed: Arc<Feed>) {
    let mut last: Option<Revision> = None;
    loop {
        if let Some(at) = last {
            match calls.compact(at).await {
                Ok(()) => feed.forget(at),
                Err(StoreError::Compacted { .. }) => {}
                Err(error) => tracing::warn!(%error, "the history in etcd could not be compacted"),
            }
        }
        // Unknown only while etcd has not been reached yet: then there is nothing to compact.
        last = feed.head().filter(|head| *head > 0);
        tokio::time::sleep(COMPACT_INTERVAL).await;
    }
}
