//! Those who wait for an answer that several of them share.

use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::sync::oneshot;

/// Answers everybody; whoever left meanwhile misses nothing.
pub(super) fn answer_all<T: Clone>(asked: &str, those: Vec<oneshot::Sender<T>>, answer: &T) {
    for one in those {
        if one.send(answer.clone()).is_err() {
            tracing::trace!(asked, "nobody waits for what was read any more");
        }
    }
}

/// A panic elsewhere leaves nothing half done here.
pub(super) fn lock<T>(state: &Mutex<T>) -> MutexGuard<'_, T> {
    state.lock().unwrap_or_else(PoisonError::into_inner)
}
