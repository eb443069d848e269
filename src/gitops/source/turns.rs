//! One fetch at a time into each clone, for sources of one repository share it. Knows nothing of git.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, LazyLock, Mutex, PoisonError, Weak};

use tokio::sync::{Mutex as Turn, OwnedMutexGuard};

/// By clone, as long as anybody has or awaits a turn.
static TURNS: LazyLock<Mutex<HashMap<PathBuf, Weak<Turn<()>>>>> = LazyLock::new(Mutex::default);

/// Waits for this clone's turn, which ends with the guard.
pub(super) async fn turn(clone: &Path) -> OwnedMutexGuard<()> {
    let turn = {
        // Whoever panicked while holding it left the table whole.
        let mut turns = TURNS.lock().unwrap_or_else(PoisonError::into_inner);
        turns.retain(|_, turn| turn.strong_count() > 0);
        let known = turns.get(clone).and_then(Weak::upgrade);
        let turn = known.unwrap_or_default();
        turns.insert(clone.to_owned(), Arc::downgrade(&turn));
        turn
    };
    turn.lock_owned().await
}

#[cfg(test)]
mod tests {
    use futures::poll;

    use super::*;

    #[tokio::test]
    async fn one_at_a_time_in_each_clone() {
        let (one, other) = (Path::new("/clones/one"), Path::new("/clones/other"));
        let first = turn(one).await;
        let mut second = Box::pin(turn(one));
        assert!(poll!(&mut second).is_pending(), "it is not its turn yet");
        assert!(poll!(Box::pin(turn(other))).is_ready(), "another clone is free");
        drop(first);
        assert!(poll!(Box::pin(turn(one))).is_pending(), "the second was there before");
        drop(second);
        assert!(poll!(Box::pin(turn(one))).is_ready(), "nobody waits any more");
    }
}
