//! Lists of all there is under a prefix, shared: those that are asked for while one is under way are answered together by
//! the next. A list is never older than the question.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use tokio::sync::oneshot;

use super::calls::Calls;
use super::waiting::{answer_all, lock};
use crate::store::{ListOptions, Page, StoreError};

type Listed = Result<Page, StoreError>;

/// Who waits for the next list of each prefix of which one is under way.
type Waiting = HashMap<String, Vec<oneshot::Sender<Listed>>>;

/// Shares lists.
pub(super) struct Lists {
    calls: Calls,
    waiting: Arc<Mutex<Waiting>>,
}

impl Lists {
    pub(super) fn new(calls: Calls) -> Self {
        Self {
            calls,
            waiting: Arc::default(),
        }
    }

    /// Everything under the prefix. Dropping the returned future leaves the others that wait for it as they are.
    pub(super) async fn list(&self, prefix: &str) -> Listed {
        let (answer, answered) = oneshot::channel();
        if self.queue(prefix, answer) {
            let turn = Turn {
                prefix: prefix.to_owned(),
                waiting: Arc::clone(&self.waiting),
                is_over: false,
            };
            // A task of its own, for whoever asked first may not wait for the end.
            tokio::spawn(turn.serve(self.calls.clone()));
        }
        let lost = |_| StoreError::Unavailable("a list of etcd ended without an answer".to_owned());
        answered.await.map_err(lost)?
    }

    /// Queues a question; tells whether nobody is asking yet.
    fn queue(&self, prefix: &str, answer: oneshot::Sender<Listed>) -> bool {
        let mut waiting = lock(&self.waiting);
        let is_first = !waiting.contains_key(prefix);
        waiting.entry(prefix.to_owned()).or_default().push(answer);
        is_first
    }
}

/// Whoever asks for the lists of a prefix.
struct Turn {
    prefix: String,
    waiting: Arc<Mutex<Waiting>>,
    is_over: bool,
}

impl Turn {
    /// Lists until nobody waits.
    async fn serve(mut self, calls: Calls) {
        while let Some(those) = self.next() {
            let listed = calls.list(&self.prefix, ListOptions::default()).await;
            answer_all(&self.prefix, those, &listed);
        }
    }

    /// Who waits. Where that is nobody the turn ends with that look: a question after it begins another.
    fn next(&mut self) -> Option<Vec<oneshot::Sender<Listed>>> {
        let mut waiting = lock(&self.waiting);
        let those = waiting.get_mut(&self.prefix).map(std::mem::take).unwrap_or_default();
        if those.is_empty() {
            waiting.remove(&self.prefix);
            self.is_over = true;
            return None;
        }
        Some(those)
    }
}

impl Drop for Turn {
    /// Where a panic or the end of the runtime ended it, whoever waits hears so, and the next question begins another.
    fn drop(&mut self) {
        if !self.is_over {
            lock(&self.waiting).remove(&self.prefix);
        }
    }
}
