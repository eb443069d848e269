//! Reads of single keys, gathered: those that are asked for while others are under way go out together in one
//! transaction, those of one key as one read. A read never joins a transaction that was sent before it was asked for, so it
//! is as fresh as one alone.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use tokio::sync::oneshot;

use super::calls::Calls;
use super::waiting::{answer_all, lock};
use crate::store::{KeyValue, Revision, StoreError};

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

/// Who waits for each key.
type Waiting = BTreeMap<String, Vec<oneshot::Sender<Read>>>;

#[derive(Default)]
struct State {
    waiting: Waiting,
    /// How many transactions are under way.
    calls: usize,
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
        if let Some(turn) = self.queue(key, answer) {
            // A task of its own, for whoever asked first may not wait for the end.
            tokio::spawn(turn.read_all(self.calls.clone()));
        }
        let lost = |_| StoreError::Unavailable("a read of etcd ended without an answer".to_owned());
        answered.await.map_err(lost)?
    }

    /// Queues a read; the turn to carry out what is queued, where there is one.
    fn queue(&self, key: &str, answer: oneshot::Sender<Read>) -> Option<Turn> {
        let mut state = lock(&self.state);
        state.waiting.entry(key.to_owned()).or_default().push(answer);
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
            let reads: Vec<_> = batch.keys().map(|key| (key.as_str(), None)).collect();
            let answers = calls.get_all(&reads).await;
            for ((key, those), answer) in batch.into_iter().zip(answers) {
                answer_all(&key, those, &answer);
            }
        }
    }

    /// What to read next. Where that is nothing the turn ends with that look: a read queued after it begins another.
    fn next(&mut self) -> Option<Waiting> {
        let mut state = lock(&self.state);
        if state.waiting.is_empty() {
            state.calls -= 1;
            self.is_over = true;
            return None;
        }
        Some(std::mem::take(&mut state.waiting))
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        if !self.is_over {
            lock(&self.state).calls -= 1;
        }
    }
}
