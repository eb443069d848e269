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

/// The most bytes of keys and values kept, so that large objects cannot fill the memory of a
/// process that aims to stay below 50 MB.
const MAX_BYTES: usize = 4 * 1024 * 1024;

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
        self.lock().watchers.push(Arc::downgrade(&waiter));
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
            self.base = Some(oldest.revision());
        }
        // The rest of a revision that was cut goes too, so that `base` is never half there.
        while let Some(oldest) = self.events.front()
            && Some(oldest.revision()) == self.base
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

    /// How many bytes of keys and values this holds on to.
    fn size(&self) -> usize {
        let of = |kv: &super::KeyValue| kv.key.len() + kv.value.len();
        match self {
            Event::Put { current, previous } => of(current) + previous.as_ref().map_or(0, of),
            Event::Delete { previous, .. } => of(previous),
        }
    }
}
