//! Which containers ran out of memory, as Docker's events tell. Docker's own note of it is set only where it hears of the
//! want before it hears of the end, and on a busy machine it may be the other way round.

use std::collections::HashSet;
use std::sync::{Mutex, PoisonError};

/// Ids of containers that ran out of memory.
#[derive(Default)]
pub struct Ooms(Mutex<HashSet<String>>);

impl Ooms {
    /// The container with this id ran out of memory.
    pub fn note(&self, id: String) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(id);
    }

    /// Whether the container with this id ran out of memory.
    pub fn has(&self, id: &str) -> bool {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).contains(id)
    }

    /// The container with this id is gone for good.
    pub fn forget(&self, id: &str) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).remove(id);
    }
}
