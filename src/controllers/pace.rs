//! When a loop decides: soon after news, and over all of it that came within a while.

use std::time::{Duration, Instant};

/// Deciding looks at everything, so what comes together is decided on together.
pub(super) const PAUSE: Duration = Duration::from_millis(100);

/// When it was last decided, and when it is to be decided next.
#[derive(Debug, Default)]
pub(super) struct Pace {
    decided: Option<Instant>,
    due: Option<Instant>,
}

impl Pace {
    /// When to decide next; `None` for not before there is news.
    pub(super) fn due(&self) -> Option<Instant> {
        self.due
    }

    /// Something happened: decide soon.
    pub(super) fn wake(&mut self) {
        let now = Instant::now();
        let soonest = self.decided.map_or(now, |decided| (decided + PAUSE).max(now));
        self.due = Some(self.due.map_or(soonest, |due| due.min(soonest)));
    }

    /// It is decided now.
    pub(super) fn begin(&mut self, now: Instant) {
        self.decided = Some(now);
        self.due = None;
    }

    /// Though nothing may happen, decide again then.
    pub(super) fn again(&mut self, due: Option<Instant>) {
        self.due = due;
    }
}
