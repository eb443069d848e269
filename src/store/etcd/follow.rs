//! Follows everything that happens in etcd: the newest into the feed, the past for whoever asks.
//! Never gives up while etcd cannot be reached.

use std::sync::Arc;
use std::time::Duration;

use etcd_client::{Error, WatchOptions, WatchResponse, WatchStream};
use tokio::time::sleep;

use super::CALL_TIMEOUT;
use super::before::{self, Change};
use super::calls::Calls;
use super::convert::{self, Failure, number, revision};
use super::seen::Seen;
use crate::store::feed::Feed;
use crate::store::watch::History;
use crate::store::{Event, KeyValue, Revision, StoreError};

/// The first wait after a lost connection: a restarted etcd is back within some hundred milliseconds.
const BACKOFF_MIN: Duration = Duration::from_millis(50);

/// The longest wait; watches stand still for this long after etcd is back.
const BACKOFF_MAX: Duration = Duration::from_secs(2);

/// Feeds every event of the key space to `feed` and `seen`, for as long as the task is left running.
pub(super) async fn follow(calls: Calls, feed: Arc<Feed>, seen: Arc<Seen>) {
    let mut backoff = Backoff::default();
    loop {
        let error = follow_once(&calls, &feed, &seen, &mut backoff).await;
        tracing::debug!(%error, "the watch of etcd broke; opening it again");
        backoff.wait().await;
    }
}

/// Follows until something goes wrong, and returns that.
async fn follow_once(calls: &Calls, feed: &Feed, seen: &Seen, backoff: &mut Backoff) -> StoreError {
    let head = match feed.head() {
        Some(head) => head,
        None => match calls.revision().await {
            Ok(head) => {
                feed.reset(head);
                head
            }
            Err(error) => return error,
        },
    };
    let mut session = match Session::open(calls, head + 1).await {
        Ok(session) => session,
        Err(error) => return error,
    };
    loop {
        match session.events("", |key| seen.get(key)).await {
            Ok((events, up_to)) => {
                backoff.reset();
                seen.see(&events);
                feed.publish(events, up_to);
            }
            Err(StoreError::Compacted { .. } | StoreError::Behind) => {
                // What lies between is gone here; watches that want it ask for it themselves.
                return match calls.revision().await {
                    Ok(head) => {
                        seen.clear();
                        feed.reset(head);
                        StoreError::Behind
                    }
                    Err(error) => error,
                };
            }
            Err(error) => return error,
        }
    }
}

/// Reads the past of etcd for one watch.
///
/// Each read opens an etcd watch and closes it again: one left open while its reader is slow would
/// fill the connection that all calls share, and be told of no compaction.
pub(super) struct Replay {
    calls: Calls,
}

impl Replay {
    pub(super) fn new(calls: Calls) -> Self {
        Self { calls }
    }
}

impl History for Replay {
    async fn read(&mut self, prefix: &str, from: Revision) -> Result<(Vec<Arc<Event>>, Revision), StoreError> {
        let mut backoff = Backoff::default();
        loop {
            let read = async { Session::open(&self.calls, from).await?.events(prefix, |_| None).await };
            match read.await {
                Ok((events, up_to)) => return Ok((events.into_iter().map(Arc::new).collect(), up_to)),
                Err(StoreError::Unavailable(reason)) => {
                    tracing::debug!(reason, "the past could not be read from etcd; trying again");
                    backoff.wait().await;
                }
                Err(error) => return Err(error),
            }
        }
    }
}

/// One watch of the whole key space.
pub(super) struct Session {
    calls: Calls,
    from: Revision,
    stream: WatchStream,
}

impl Session {
    /// Watches every key from the revision `from` on.
    pub(super) async fn open(calls: &Calls, from: Revision) -> Result<Self, StoreError> {
        let options = WatchOptions::new().with_all_keys().with_start_revision(number(from));
        let mut client = calls.watch.clone();
        let opened = tokio::time::timeout(CALL_TIMEOUT, client.watch(Vec::new(), Some(options))).await;
        let opened = opened.map_err(|_| calls.unavailable("it did not answer in time"))?;
        let stream = opened.map_err(|error| watch_error(calls, &error))?;
        Ok(Self {
            calls: calls.clone(),
            from,
            stream,
        })
    }

    /// The next events under a prefix, whole revisions, and the revision up to which none is missing. May be none.
    /// `known` is as for [`before::complete`].
    async fn events(
        &mut self,
        prefix: &str,
        known: impl Fn(&str) -> Option<KeyValue>,
    ) -> Result<(Vec<Event>, Revision), StoreError> {
        let (mut changes, up_to) = self.next().await?;
        changes.retain(|change| change.key().starts_with(prefix));
        let events = before::complete(&self.calls, changes, known).await?;
        Ok((events, up_to))
    }

    /// The next changes, whole revisions, and the revision of the last of them.
    pub(super) async fn next(&mut self) -> Result<(Vec<Change>, Revision), StoreError> {
        loop {
            let message = self
                .stream
                .message()
                .await
                .map_err(|error| watch_error(&self.calls, &error))?;
            let message = message.ok_or_else(|| self.calls.unavailable("it closed the watch"))?;
            if message.compact_revision() > 0 {
                let oldest = revision(message.compact_revision()) + 1;
                return Err(StoreError::Compacted {
                    requested: self.from,
                    oldest,
                });
            }
            if message.canceled() {
                return Err(self.calls.unavailable(message.cancel_reason()));
            }
            if let Some(batch) = batch(&message)? {
                return Ok(batch);
            }
        }
    }
}

/// The changes of one message. etcd sends whole revisions unless asked to cut them into fragments.
fn batch(message: &WatchResponse) -> Result<Option<(Vec<Change>, Revision)>, StoreError> {
    let Some(last) = message.events().last().and_then(|event| event.kv()) else {
        return Ok(None);
    };
    let up_to = revision(last.mod_revision());
    let changes: Result<Vec<_>, _> = message.events().iter().map(convert::change).collect();
    Ok(Some((changes?.into_iter().flatten().collect(), up_to)))
}

fn watch_error(calls: &Calls, error: &Error) -> StoreError {
    match Failure::of(error) {
        // A message too large to take would be sent again and again: give up on that past.
        Failure::TooLarge => StoreError::Behind,
        Failure::Compacted | Failure::Future => calls.failed(&error.to_string()),
        Failure::NotSent(reason) | Failure::Unavailable(reason) => calls.unavailable(&reason),
        Failure::Failed(reason) => calls.failed(&reason),
    }
}

/// Waits that double.
#[derive(Default)]
struct Backoff {
    last: Option<Duration>,
}

impl Backoff {
    fn reset(&mut self) {
        self.last = None;
    }

    async fn wait(&mut self) {
        let wait = self.last.map_or(BACKOFF_MIN, |last| (last * 2).min(BACKOFF_MAX));
        self.last = Some(wait);
        sleep(wait).await;
    }
}
