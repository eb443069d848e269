//! Which deliveries were accepted, so that none is accepted twice. Bounded in number and time. Never performs I/O.

use std::collections::{HashSet, VecDeque};

use chrono::{DateTime, TimeDelta, Utc};

/// How many are remembered, in 0.5 MB: some days of a busy repository. Only who knows the secret can push any out.
const MAX_REMEMBERED: usize = 8192;

/// How long: GitHub lets people send again what is up to three days old.
const RETENTION: TimeDelta = TimeDelta::days(7);

/// Hashes of what was accepted.
#[derive(Debug, Default)]
pub(super) struct Seen {
    known: HashSet<[u8; 32]>,
    /// Oldest first.
    order: VecDeque<(DateTime<Utc>, [u8; 32])>,
}

impl Seen {
    pub fn contains(&mut self, key: &[u8; 32], now: DateTime<Utc>) -> bool {
        while self.order.front().is_some_and(|(at, _)| *at + RETENTION < now) {
            self.forget_oldest();
        }
        self.known.contains(key)
    }

    pub fn insert(&mut self, key: [u8; 32], now: DateTime<Utc>) {
        if !self.known.insert(key) {
            return;
        }
        self.order.push_back((now, key));
        if self.order.len() > MAX_REMEMBERED {
            self.forget_oldest();
        }
    }

    fn forget_oldest(&mut self) {
        if let Some((_, key)) = self.order.pop_front() {
            self.known.remove(&key);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(number: usize) -> [u8; 32] {
        let mut key = [0; 32];
        key[..8].copy_from_slice(&number.to_be_bytes());
        key
    }

    #[test]
    fn the_oldest_leave_by_number_and_by_time() {
        let start: DateTime<Utc> = "2024-03-01T10:00:00Z".parse().expect("a time");
        let mut seen = Seen::default();
        for number in 0..=MAX_REMEMBERED {
            seen.insert(key(number), start);
        }
        assert!(!seen.contains(&key(0), start), "the first made room");
        assert!(seen.contains(&key(1), start) && seen.contains(&key(MAX_REMEMBERED), start));
        assert_eq!(seen.order.len(), MAX_REMEMBERED);
        assert!(seen.contains(&key(1), start + RETENTION));
        assert!(!seen.contains(&key(1), start + RETENTION + TimeDelta::seconds(1)));
        assert!(seen.order.is_empty() && seen.known.is_empty());
    }
}
