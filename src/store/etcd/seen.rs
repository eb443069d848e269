//! The newest values that the watch told, by key: what was there before the next event of a key, and what a write need not
//! read first. To a write what is here may be out of date; etcd itself compares revisions when the write comes.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex};

use super::waiting::lock;
use crate::store::{Event, KeyValue, Revision};

/// The most bytes of keys and values kept, those of some thousand pods that all change within seconds.
const MAX_BYTES: usize = 16 * 1024 * 1024;

/// What was seen.
#[derive(Default)]
pub(super) struct Seen {
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    pairs: HashMap<Arc<str>, KeyValue>,
    /// Keys by the time of their change, the oldest first; those that changed again stand here again.
    order: VecDeque<(Arc<str>, Revision)>,
    bytes: usize,
}

impl Seen {
    /// The newest value told of the key, if it is still here.
    pub(super) fn get(&self, key: &str) -> Option<KeyValue> {
        lock(&self.state).pairs.get(key).cloned()
    }

    /// Forgets everything, where events were missed: then the newest told is not what was there before the next.
    pub(super) fn clear(&self) {
        *lock(&self.state) = State::default();
    }

    /// Takes note of events, in revision order.
    pub(super) fn see(&self, events: &[Event]) {
        let mut state = lock(&self.state);
        for event in events {
            match event {
                Event::Put { current, .. } => state.put(current),
                Event::Delete { previous, .. } => state.remove(&previous.key),
            }
        }
        while state.bytes > MAX_BYTES && state.forget_oldest() {}
    }
}

impl State {
    fn put(&mut self, pair: &KeyValue) {
        let known = self.pairs.get_key_value(pair.key.as_str());
        let key = known.map_or_else(|| Arc::from(pair.key.as_str()), |(key, _)| Arc::clone(key));
        self.bytes += size(pair);
        self.order.push_back((Arc::clone(&key), pair.mod_revision));
        if let Some(old) = self.pairs.insert(key, pair.clone()) {
            self.bytes -= size(&old);
        }
        // One key that changes for ever leaves its traces in the order.
        if self.order.len() > 2 * self.pairs.len() + 64 {
            let pairs = &self.pairs;
            self.order.retain(|entry| is_newest(pairs, entry));
        }
    }

    fn remove(&mut self, key: &str) {
        if let Some(old) = self.pairs.remove(key) {
            self.bytes -= size(&old);
        }
    }

    /// Whether there was anything to forget.
    fn forget_oldest(&mut self) -> bool {
        let Some(entry) = self.order.pop_front() else {
            return false;
        };
        if is_newest(&self.pairs, &entry) {
            self.remove(&entry.0);
        }
        true
    }
}

fn is_newest(pairs: &HashMap<Arc<str>, KeyValue>, (key, revision): &(Arc<str>, Revision)) -> bool {
    pairs.get(key).is_some_and(|pair| pair.mod_revision == *revision)
}

fn size(pair: &KeyValue) -> usize {
    pair.key.len() + pair.value.len()
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;

    fn pair(key: &str, revision: Revision, len: usize) -> KeyValue {
        KeyValue {
            key: key.to_owned(),
            value: Bytes::from(vec![b'x'; len]),
            create_revision: 1,
            mod_revision: revision,
        }
    }

    fn put(key: &str, revision: Revision, len: usize) -> Event {
        Event::Put {
            current: pair(key, revision, len),
            previous: None,
        }
    }

    fn revision(seen: &Seen, key: &str) -> Option<Revision> {
        seen.get(key).map(|pair| pair.mod_revision)
    }

    #[test]
    fn the_newest_is_kept_until_it_is_deleted() {
        let seen = Seen::default();
        seen.see(&[put("a", 1, 1), put("b", 2, 1), put("a", 3, 1)]);
        assert_eq!((revision(&seen, "a"), revision(&seen, "b")), (Some(3), Some(2)));
        seen.see(&[Event::Delete {
            previous: pair("a", 3, 1),
            revision: 4,
        }]);
        assert_eq!((revision(&seen, "a"), revision(&seen, "b")), (None, Some(2)));
    }

    #[test]
    fn what_changed_longest_ago_goes_first() {
        let seen = Seen::default();
        let third = MAX_BYTES / 3;
        seen.see(&[
            put("a", 1, third),
            put("b", 2, third),
            put("a", 3, third),
            put("c", 4, third),
        ]);
        assert_eq!(
            (revision(&seen, "a"), revision(&seen, "b"), revision(&seen, "c")),
            (Some(3), None, Some(4))
        );
    }

    #[test]
    fn a_key_that_changes_for_ever_takes_no_more_room() {
        let seen = Seen::default();
        for revision in 1..10_000 {
            seen.see(&[put("a", revision, 1), put("b", revision, 1)]);
        }
        let state = lock(&seen.state);
        assert!(state.order.len() < 100, "{}", state.order.len());
        assert_eq!((state.pairs.len(), state.bytes), (2, 4));
    }
}
