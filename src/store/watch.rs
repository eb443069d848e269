//! One watch: history first, then the feed, without a gap. Never talks to a backend itself.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use futures::stream;
use tokio::time::Instant;

use super::feed::{Feed, Taken, Waiter};
use super::{Event, Revision, StoreError, WatchStream, Watched};

/// How long a watch is silent before it reports how far it is. Short enough that a bookmark sent
/// to a client is fresh, long enough that fifty idle watches cost next to nothing.
const PROGRESS_INTERVAL: Duration = Duration::from_secs(1);

/// Reads events that the feed no longer holds.
pub(super) trait History: Send + 'static {
    /// Matching events from the revision `from` on, oldest first, and the revision up to which
    /// none is missing, which is `from` or later. Need not reach the newest revision; is then asked again.
    fn read(
        &mut self,
        prefix: &str,
        from: Revision,
    ) -> impl Future<Output = Result<(Vec<Arc<Event>>, Revision), StoreError>> + Send;
}

struct Watch<H> {
    feed: Arc<Feed>,
    history: H,
    waiter: Arc<Waiter>,
    prefix: String,
    /// The revision asked for.
    from: Revision,
    /// Every matching event before this revision is delivered or in `ready`.
    next: Revision,
    /// The newest revision the reader was told of.
    reported: Revision,
    ready: VecDeque<Arc<Event>>,
    /// When to report progress, if nothing is delivered before.
    due: Instant,
    ended: bool,
}

/// Every change under `prefix` from the revision `from` on.
pub(super) fn watch<H: History>(feed: Arc<Feed>, history: H, prefix: &str, from: Revision) -> WatchStream {
    // Nothing is ever written at revision 0, so watching from it is watching from 1.
    let from = from.max(1);
    let watch = Watch {
        waiter: feed.join(prefix),
        feed,
        history,
        prefix: prefix.to_owned(),
        from,
        next: from,
        reported: from - 1,
        ready: VecDeque::new(),
        due: Instant::now() + PROGRESS_INTERVAL,
        ended: false,
    };
    Box::pin(stream::unfold(watch, |mut watch| async {
        let item = watch.step().await?;
        Some((item, watch))
    }))
}

impl<H: History> Watch<H> {
    /// The next item; `None` after an error was given out.
    async fn step(&mut self) -> Option<Result<Watched, StoreError>> {
        if self.ended {
            return None;
        }
        loop {
            if let Some(event) = self.ready.pop_front() {
                self.reported = event.revision();
                self.due = Instant::now() + PROGRESS_INTERVAL;
                return Some(Ok(Watched::Event(Arc::unwrap_or_clone(event))));
            }
            match self.feed.take(&self.prefix, self.next) {
                Taken::Events { events, up_to } => {
                    self.accept(events, up_to);
                    if self.ready.is_empty()
                        && let Some(progress) = self.idle().await
                    {
                        return Some(Ok(progress));
                    }
                }
                Taken::Past => match self.history.read(&self.prefix, self.next).await {
                    Ok((events, up_to)) => self.accept(events, up_to),
                    Err(error) => return Some(Err(self.end(error))),
                },
                Taken::Unknown => self.waiter.rung().await,
                Taken::Closed(reason) => return Some(Err(self.end(StoreError::Unavailable(reason)))),
            }
        }
    }

    fn accept(&mut self, events: Vec<Arc<Event>>, up_to: Revision) {
        self.ready.extend(events);
        self.next = self.next.max(up_to + 1);
    }

    /// Waits for an event or for the time to report progress.
    async fn idle(&mut self) -> Option<Watched> {
        let position = self.next - 1;
        if Instant::now() >= self.due {
            self.due = Instant::now() + PROGRESS_INTERVAL;
            if position > self.reported {
                self.reported = position;
                return Some(Watched::Progress(position));
            }
        }
        tokio::select! {
            () = self.waiter.rung() => {}
            () = tokio::time::sleep_until(self.due) => {}
        }
        None
    }

    fn end(&mut self, error: StoreError) -> StoreError {
        self.ended = true;
        match error {
            // The past was there when the watch began: the reader let it slip away.
            StoreError::Compacted { .. } if self.next > self.from => StoreError::Behind,
            other => other,
        }
    }
}
