//! When an ended container starts again: 10 s, doubling to 5 min, from the start after ten good minutes. Pure.
//!
//! Each container carries in a label how long to wait after its end, so a restarted kubelet keeps the pace.

use jiff::{SignedDuration, Timestamp};

use crate::kubelet::observed::{Container, Exit};

const FIRST_SECONDS: u32 = 10;
const MAX_SECONDS: u32 = 300;
/// One that ran this long was well, and its next failure is a first one.
const WELL_AFTER: SignedDuration = SignedDuration::from_mins(10);

/// When the next container may start, and how long to wait after *its* end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Next {
    /// Not before.
    pub start_at: Timestamp,
    /// The wait that this start is behind.
    pub waited_seconds: u32,
    /// The wait after the next one's end.
    pub backoff_seconds: u32,
}

/// What follows an ended container.
pub fn next(ended: &Container, exit: &Exit, now: Timestamp) -> Next {
    let ran = exit.started_at.map(|started| exit.finished_at.duration_since(started));
    let wait = match ran {
        Some(ran) if ran >= WELL_AFTER => 0,
        _ => ended.backoff_seconds.min(MAX_SECONDS),
    };
    let wait_duration = SignedDuration::from_secs(wait.into());
    // A clock that was set back must not stretch the wait.
    let from = exit.finished_at.min(now);
    Next {
        start_at: from.saturating_add(wait_duration).unwrap_or(now),
        waited_seconds: wait,
        backoff_seconds: if wait == 0 {
            FIRST_SECONDS
        } else {
            wait.saturating_mul(2).min(MAX_SECONDS)
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kubelet::testing::{at, ended};

    #[test]
    fn doubles_to_five_minutes_and_forgets_after_ten_good_ones() {
        for (name, backoff, ran, wait, following) in [
            ("first failure", 0, 1, 0, 10),
            ("second", 10, 1, 10, 20),
            ("third", 20, 1, 20, 40),
            ("near the end", 160, 1, 160, 300),
            ("at the end", 300, 1, 300, 300),
            ("almost well", 300, 599, 300, 300),
            ("was well", 300, 600, 0, 10),
            ("a label out of range", 100_000, 1, 300, 300),
        ] {
            let mut container = ended("c", 3, 1, at(1000 - ran), at(1000));
            container.backoff_seconds = backoff;
            let exit = container.exit().expect("ended").clone();
            let next = next(&container, &exit, at(1000));
            assert_eq!(next.start_at, at(1000 + i64::from(wait)), "{name}");
            assert_eq!(next.backoff_seconds, following, "{name}");
        }
    }

    #[test]
    fn a_clock_set_back_does_not_stretch_the_wait() {
        let mut container = ended("c", 3, 1, at(9000), at(9001));
        container.backoff_seconds = 20;
        let exit = container.exit().expect("ended").clone();
        assert_eq!(next(&container, &exit, at(1000)).start_at, at(1020));
    }
}
