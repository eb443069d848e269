//! The newest events, in memory, and who waits for more. Never reads or writes a backend.
//!
//! A backend publishes here what it has made durable, in revision order. Watchers pull: each
//! knows the revision it wants next, so nothing is queued per watcher and nothing can be
//! skipped. A watcher that wants something older than what is kept here reads the backend's
//! history until it has caught up.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use tokio::sync::{Notify, watch};

use super::{Event, Revision};

/// The most events kept: a watcher that pauses for a moment of heavy writing (thousands of writes
/// a second) still finds its place, and scanning all of them for a prefix takes microseconds.
const MAX_EVENTS: usize = 4096;

/// The most bytes of keys and new values kept, so that large objects cannot fill the memory of a process that aims to stay
/// below 50 MB: those of as many changes of ordinary pods. The values before are mostly those of other events.
const MAX_BYTES: usize = 8 * 1024 * 1024;

/// The most events handed to a watcher at once; bounds what a paused reader holds on to.
const MAX_TAKEN: usize = 256;

/// The newest events of a store.
pub(super) struct Feed {
    state: Mutex<State>,
    known: watch::Sender<bool>,
}

struct State {
    /// Events at or before this revision are not here. `None` until the backend said where it is.
    base: Option<Revision>,
    /// Every event after `base` up to and including this revision is here.
    head: Revision,
    events: VecDeque<Arc<Event>>,
    bytes: usize,
    watchers: Vec<Weak<Waiter>>,
    closed: Option<String>,
}

/// A watcher's bell: rung when an event under its prefix is published.
pub(super) struct Waiter {
    prefix: String,
    bell: Notify,
}

/// What a watcher finds when it asks for the events from a revision on.
pub(super) enum Taken {
    /// All matching events up to and including `up_to`; may be none.
    Events {
        /// In revision order.
        events: Vec<Arc<Event>>,
        /// Nothing that matches up to here is missing.
        up_to: Revision,
    },
    /// That revision is no longer here, or was never: read the backend's history.
    Past,
    /// The backend has not said yet at which revision it is.
    Unknown,
    /// No event will ever come again, and all that came were delivered.
    Closed(String),
}

impl Feed {
    /// A feed of a backend that is at `head`; `None` where that is not known yet.
    pub(super) fn new(head: Option<Revision>) -> Self {
        let state = State {
            base: head,
            head: head.unwrap_or(0),
            events: VecDeque::new(),
            bytes: 0,
            watchers: Vec::new(),
            closed: None,
        };
        Self {
            state: Mutex::new(state),
            known: watch::Sender::new(head.is_some()),
        }
    }

    /// Appends events that are durable, in revision order; the backend is now at `head`.
    pub(super) fn publish(&self, events: Vec<Event>, head: Revision) {
        let mut state = self.lock();
        let events: Vec<Arc<Event>> = events.into_iter().map(Arc::new).collect();
        state.watchers.retain(|watcher| {
            let Some(watcher) = watcher.upgrade() else { return false };
            if events.iter().any(|event| event.key().starts_with(&watcher.prefix)) {
                watcher.bell.notify_one();
            }
            true
        });
        state.bytes += events.iter().map(|event| event.size()).sum::<usize>();
        state.events.extend(events);
        state.head = state.head.max(head);
        state.trim();
    }

    /// Forgets all events: the backend is at `head` and what lies before must be read from its history.
    pub(super) fn reset(&self, head: Revision) {
        let mut state = self.lock();
        state.events.clear();
        state.bytes = 0;
        state.base = Some(head);
        state.head = head;
        state.ring_all();
        drop(state);
        self.known.send_replace(true);
    }

    /// Lets go of events up to and including `compacted`, as the backend does.
    pub(super) fn forget(&self, compacted: Revision) {
        let mut state = self.lock();
        while let Some(oldest) = state.events.front()
            && oldest.revision() <= compacted
        {
            state.bytes -= oldest.size();
            state.events.pop_front();
        }
        state.base = state.base.map(|base| base.max(compacted));
    }

    /// Ends every watch once it has delivered what is here.
    pub(super) fn close(&self, reason: &str) {
        let mut state = self.lock();
        state.closed = Some(reason.to_owned());
        state.ring_all();
    }

    /// The newest revision published; `None` where the backend has not said it yet.
    pub(super) fn head(&self) -> Option<Revision> {
        let state = self.lock();
        state.base.map(|_| state.head)
    }

    /// Resolves once the backend has said at which revision it is.
    pub(super) async fn known(&self) {
        let mut known = self.known.subscribe();
        // The sender lives as long as `self`, so waiting can only end by the value becoming true.
        if known.wait_for(|known| *known).await.is_err() {
            std::future::pending::<()>().await;
        }
    }

    /// Registers a watcher of `prefix`, for as long as the returned bell is kept.
    pub(super) fn join(&self, prefix: &str) -> Arc<Waiter> {
        let waiter = Arc::new(Waiter {
            prefix: prefix.to_owned(),
            bell: Notify::new(),
        });
        let mut state = self.lock();
        // Publishing drops who left, but in a quiet store many may come and go between two events.
        state.watchers.retain(|watcher| watcher.strong_count() > 0);
        state.watchers.push(Arc::downgrade(&waiter));
        drop(state);
        waiter
    }

    /// The matching events whose revision is `next` or later, as far as they are here.
    pub(super) fn take(&self, prefix: &str, next: Revision) -> Taken {
        let state = self.lock();
        match state.base {
            Some(base) if next > base => {}
            Some(_) => return Taken::Past,
            None => return state.ended(Taken::Unknown),
        }
        let start = state.events.partition_point(|event| event.revision() < next);
        let mut events: Vec<Arc<Event>> = Vec::new();
        for event in state.events.range(start..) {
            if !event.key().starts_with(prefix) {
                continue;
            }
            // Cut only between revisions: a foreign etcd transaction may write several keys at one.
            if let Some(last) = events.last()
                && events.len() >= MAX_TAKEN
                && last.revision() != event.revision()
            {
                let up_to = last.revision();
                return Taken::Events { events, up_to };
            }
            events.push(Arc::clone(event));
        }
        let up_to = state.head.max(next - 1);
        if events.is_empty() {
            return state.ended(Taken::Events { events, up_to });
        }
        Taken::Events { events, up_to }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // Nothing under this lock panics half way through a change, so the state stays whole.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn trim(&mut self) {
        while self.events.len() > MAX_EVENTS || (self.bytes > MAX_BYTES && self.events.len() > 1) {
            let Some(oldest) = self.events.pop_front() else { break };
            self.bytes -= oldest.size();
            self.base = self.base.max(Some(oldest.revision()));
        }
        // The rest of a revision that was cut goes too, so that `base` is never half there, and so
        // does what was forgotten before it came.
        while let Some(oldest) = self.events.front()
            && Some(oldest.revision()) <= self.base
        {
            self.bytes -= oldest.size();
            self.events.pop_front();
        }
    }

    fn ring_all(&mut self) {
        self.watchers.retain(|watcher| match watcher.upgrade() {
            Some(watcher) => {
                watcher.bell.notify_one();
                true
            }
            None => false,
        });
    }

    fn ended(&self, otherwise: Taken) -> Taken {
        match &self.closed {
            Some(reason) => Taken::Closed(reason.clone()),
            None => otherwise,
        }
    }
}

impl Waiter {
    /// Resolves after an event under the prefix was published since the last call returned.
    pub(super) async fn rung(&self) {
        self.bell.notified().await;
    }
}

impl Event {
    /// The key that changed.
    pub fn key(&self) -> &str {
        match self {
            Event::Put { current, .. } => &current.key,
            Event::Delete { previous, .. } => &previous.key,
        }
    }

    /// The revision of the change itself.
    pub fn revision(&self) -> Revision {
        match self {
            Event::Put { current, .. } => current.mod_revision,
            Event::Delete { revision, .. } => *revision,
        }
    }

    /// How many bytes the key takes and what the event is about.
    fn size(&self) -> usize {
        let (Event::Put { current: pair, .. } | Event::Delete { previous: pair, .. }) = self;
        pair.key.len() + pair.value.len()
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::super::KeyValue;
    use super::*;

    fn put(key: &str, revision: Revision, len: usize) -> Event {
        let value = Bytes::from(vec![b'x'; len]);
        let key = key.to_owned();
        Event::Put {
            current: KeyValue {
                key,
                value,
                create_revision: revision,
                mod_revision: revision,
            },
            previous: None,
        }
    }

    fn taken(feed: &Feed, prefix: &str, next: Revision) -> (Vec<Revision>, Revision) {
        match feed.take(prefix, next) {
            Taken::Events { events, up_to } => (events.iter().map(|event| event.revision()).collect(), up_to),
            Taken::Past => panic!("{next} is past"),
            Taken::Unknown => panic!("the head is unknown"),
            Taken::Closed(reason) => panic!("closed: {reason}"),
        }
    }

    #[test]
    fn takes_what_matches_and_says_how_far_that_reaches() {
        let feed = Feed::new(Some(10));
        feed.publish(
            vec![
                put("/a/1", 11, 1),
                put("/b/1", 12, 1),
                put("/a/2", 13, 1),
                put("/b/2", 14, 1),
            ],
            14,
        );
        for (name, prefix, next, expected) in [
            ("all", "/a/", 11, (vec![11, 13], 14)),
            ("the rest", "/a/", 13, (vec![13], 14)),
            ("none left", "/a/", 14, (vec![], 14)),
            ("ahead", "/a/", 20, (vec![], 19)),
            ("no match", "/c/", 11, (vec![], 14)),
        ] {
            assert_eq!(taken(&feed, prefix, next), expected, "{name}");
        }
        assert!(matches!(feed.take("/a/", 10), Taken::Past), "what was before the feed");
    }

    #[test]
    fn a_large_take_is_cut_between_revisions_only() {
        let feed = Feed::new(Some(0));
        // A foreign transaction: three keys at each revision.
        let events = (0..3 * 200).map(|n| put(&format!("/a/{n}"), 1 + n / 3, 1)).collect();
        feed.publish(events, 200);
        let (first, up_to) = taken(&feed, "/a/", 1);
        assert!(
            first.len() >= MAX_TAKEN && first.len().is_multiple_of(3),
            "{}",
            first.len()
        );
        assert_eq!(first.last(), Some(&up_to));
        let (second, _) = taken(&feed, "/a/", up_to + 1);
        assert_eq!(second[..3], [up_to + 1; 3]);
    }

    #[test]
    fn keeps_no_more_than_its_bounds() {
        for (name, len, count) in [
            ("many", 1, MAX_EVENTS * 2),
            ("large", MAX_BYTES / 10, 40),
            ("huge", MAX_BYTES * 2, 3),
        ] {
            let feed = Feed::new(Some(0));
            for revision in 1..=count as Revision {
                feed.publish(vec![put("/a/1", revision, len)], revision);
            }
            let state = feed.lock();
            assert!(
                state.events.len() <= MAX_EVENTS && (state.bytes <= MAX_BYTES || state.events.len() == 1),
                "{name}"
            );
            let bytes: usize = state.events.iter().map(|event| event.size()).sum();
            assert_eq!(state.bytes, bytes, "{name}");
            let oldest = state.events.front().map(|event| event.revision());
            assert_eq!(
                oldest.map(|oldest| oldest - 1),
                state.base,
                "{name}: the base is right before the oldest"
            );
        }
    }

    #[test]
    fn what_is_forgotten_is_past_even_if_it_is_published_later() {
        let feed = Feed::new(Some(0));
        feed.publish(vec![put("/a/1", 1, 1), put("/a/2", 2, 1)], 2);
        feed.forget(4);
        feed.publish((3..=6).map(|revision| put("/a/3", revision, 1)).collect(), 6);
        for next in 1..=4 {
            assert!(matches!(feed.take("/a/", next), Taken::Past), "{next}");
        }
        assert_eq!(taken(&feed, "/a/", 5), (vec![5, 6], 6));
    }

    #[test]
    fn a_closed_feed_delivers_what_it_has_and_ends() {
        let feed = Feed::new(Some(0));
        feed.publish(vec![put("/a/1", 1, 1)], 1);
        feed.close("enough");
        assert_eq!(taken(&feed, "/a/", 1), (vec![1], 1));
        assert!(matches!(feed.take("/a/", 2), Taken::Closed(reason) if reason == "enough"));
    }
}
