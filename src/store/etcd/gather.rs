//! Reads of single keys, gathered: those that are asked for while others are under way go out together in one
//! transaction. A read never joins a transaction that was sent before it was asked for, so it is as fresh as one alone.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::oneshot;

use super::calls::Calls;
use crate::store::{KeyValue, Revision, StoreError};

/// Keys that one transaction reads; etcd refuses more than 128 operations where it is not told otherwise.
const KEYS_PER_CALL: usize = 100;

/// Transactions of reads under way at once. While one is answered the next is sent; with more of them less would be
/// gathered.
const CALLS: usize = 2;

/// What a read comes to: the value, if there is one, and the revision it was read at.
pub(super) type Read = Result<(Option<KeyValue>, Revision), StoreError>;

/// Gathers reads.
pub(super) struct Gather {
    calls: Calls,
    state: Arc<Mutex<State>>,
}

#[derive(Default)]
struct State {
    waiting: Vec<Wanted>,
    /// How many transactions are under way.
    calls: usize,
}

struct Wanted {
    key: String,
    answer: oneshot::Sender<Read>,
}

impl Gather {
    pub(super) fn new(calls: Calls) -> Self {
        Self {
            calls,
            state: Arc::default(),
        }
    }

    /// Reads one key. Dropping the returned future leaves the others that go with it as they are.
    pub(super) async fn get(&self, key: &str) -> Read {
        let (answer, answered) = oneshot::channel();
        let wanted = Wanted {
            key: key.to_owned(),
            answer,
        };
        if let Some(turn) = self.queue(wanted) {
            // A task of its own, for whoever asked first may not wait for the end.
            tokio::spawn(turn.read_all(self.calls.clone()));
        }
        let lost = |_| StoreError::Unavailable("a read of etcd ended without an answer".to_owned());
        answered.await.map_err(lost)?
    }

    /// Queues a read; the turn to carry out what is queued, where there is one.
    fn queue(&self, wanted: Wanted) -> Option<Turn> {
        let mut state = lock(&self.state);
        state.waiting.push(wanted);
        (state.calls < CALLS).then(|| {
            state.calls += 1;
            Turn {
                state: Arc::clone(&self.state),
                is_over: false,
            }
        })
    }
}

/// One of the transactions under way.
struct Turn {
    state: Arc<Mutex<State>>,
    is_over: bool,
}

impl Turn {
    /// Reads until nothing is queued.
    async fn read_all(mut self, calls: Calls) {
        while let Some(batch) = self.next() {
            let keys: Vec<&str> = batch.iter().map(|wanted| wanted.key.as_str()).collect();
            let answers = calls.get_all(&keys).await;
            for (wanted, answer) in batch.into_iter().zip(answers) {
                if wanted.answer.send(answer).is_err() {
                    tracing::trace!(key = wanted.key, "nobody waits for what was read any more");
                }
            }
        }
    }

    /// What to read next. Where that is nothing the turn ends with that look: a read queued after it begins another.
    fn next(&mut self) -> Option<Vec<Wanted>> {
        let mut state = lock(&self.state);
        let count = state.waiting.len().min(KEYS_PER_CALL);
        if count == 0 {
            state.calls -= 1;
            self.is_over = true;
            return None;
        }
        Some(state.waiting.drain(..count).collect())
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        if !self.is_over {
            lock(&self.state).calls -= 1;
        }
    }
}

fn lock(state: &Mutex<State>) -> MutexGuard<'_, State> {
    state.lock().unwrap_or_else(PoisonError::into_inner)
}
