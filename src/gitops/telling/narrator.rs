//! Decides what of all that goes on is worth telling others, and tells it once. Never performs I/O.

use std::collections::BTreeSet;
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::happening::{Event, Happening, short};
use crate::gitops::observed::{Observed, Round, Step};
use crate::gitops::on_drift::Drifted;
use crate::gitops::report::{Cause, Problem, Report, Reporter};

/// Takes what happens. Must not block.
pub trait Listener: Send + Sync {
    /// One more.
    fn happened(&self, happening: &Happening);
}

/// Tells its listeners what happens.
pub struct Narrator {
    listeners: Vec<Box<dyn Listener>>,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    failing: BTreeSet<Step>,
    /// How many changes since the last round ended only undid another hand's.
    repaired: usize,
}

impl Narrator {
    /// One for these.
    pub fn new(listeners: Vec<Box<dyn Listener>>) -> Self {
        Self {
            listeners,
            state: Mutex::default(),
        }
    }

    fn tell(&self, happening: &Happening) {
        for listener in &self.listeners {
            listener.happened(happening);
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Reporter for Narrator {
    fn report(&self, report: Report) {
        match report {
            Report::Change(change) => {
                if let Cause::Drift { manager } = &change.cause {
                    self.state().repaired += 1;
                    self.tell(&Happening::repaired(&change, manager.as_deref()));
                }
            }
            Report::RolledBack(quarantine) => self.tell(&Happening {
                revision: Some(quarantine.revision.clone()),
                ..Happening::said(Event::RolledBack, format!("rolled back {quarantine}"))
            }),
            _ => {}
        }
    }

    fn observe(&self, observed: &Observed<'_>) {
        let told = match *observed {
            Observed::Suspended {
                suspended,
                is_news: true,
            } => vec![match suspended {
                true => Happening::said(Event::Suspended, "syncs are suspended until `reconcile resume`"),
                false => Happening::said(Event::Resumed, "syncs go on"),
            }],
            Observed::Failed { step, reason, is_news } => {
                self.state().failing.insert(step);
                let failed = is_news.then(|| Happening::said(Event::SyncFailed, reason));
                failed.into_iter().collect()
            }
            Observed::Fetched(true) if self.state().failing.remove(&Step::Fetch) => {
                vec![Happening::said(Event::Recovered, "the remote answers again")]
            }
            Observed::Synced(round) => {
                let mut state = self.state();
                let was_failing = state.failing.remove(&Step::Sync);
                let repaired = std::mem::take(&mut state.repaired);
                drop(state);
                after(&round, was_failing, repaired)
            }
            _ => Vec::new(),
        };
        for happening in &told {
            self.tell(happening);
        }
    }
}

/// What a round is worth telling: how what is known now differs from what was known before. As that is kept in the
/// cluster, a restart tells nothing twice.
fn after(round: &Round<'_>, was_failing: bool, repaired: usize) -> Vec<Happening> {
    let Round {
        before,
        now,
        revision,
        counts,
        ..
    } = *round;
    let mut told = Vec::new();
    let is_well = now.problem_count == 0;
    let moved = before.revision.as_ref().map(|known| known.id()) != Some(revision.id());
    let known: BTreeSet<&Problem> = before.problems.iter().collect();
    let new: Vec<&Problem> = now.problems.iter().filter(|problem| !known.contains(problem)).collect();
    let waits = now.approval.is_some();
    // One sync is told once: what is wrong says what was done as well.
    if !new.is_empty() {
        told.push(Happening::problems(revision, counts, &new));
    } else if counts.changes() > repaired || (moved && is_well && !waits) {
        told.push(Happening::synced(revision, counts, now.problem_count));
    } else if is_well && !waits && (was_failing || before.problem_count > 0) {
        told.push(Happening {
            revision: Some(revision.clone()),
            ..Happening::said(
                Event::Recovered,
                format!("{}: all is as the source says again", short(revision)),
            )
        });
    }
    let known: BTreeSet<&Drifted> = before.drifted.iter().collect();
    let new: Vec<&Drifted> = now.drifted.iter().filter(|one| !known.contains(one)).collect();
    if !new.is_empty() {
        told.push(Happening::drifted(revision, &new));
    }
    if let Some(approval) = now.approval.as_ref().filter(|_| now.approval != before.approval) {
        told.push(Happening {
            revision: Some(revision.clone()),
            counts: Some(counts),
            ..Happening::said(Event::ApprovalRequired, approval.to_string())
        });
    }
    told
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::gitops::budget::Approval;
    use crate::gitops::record::Record;
    use crate::gitops::report::{Counts, Revision};

    fn revision(hash: &str) -> Revision {
        Revision::Directory { hash: hash.into() }
    }

    fn record(hash: &str, wrong: &[&str]) -> Record {
        let problems = wrong.iter().map(|reason| Problem {
            place: None,
            object: None,
            reason: (*reason).into(),
        });
        Record {
            revision: Some(revision(hash)),
            problems: problems.collect(),
            problem_count: wrong.len(),
            ..Record::default()
        }
    }

    #[test]
    fn deletions_that_wait_are_no_sync_that_changed_nothing() {
        let (before, now) = (record("a", &[]), record("b", &[]));
        let approval = Some(Approval {
            token: "t".into(),
            deletes: 6,
            owned: 8,
        });
        let now = Record { approval, ..now };
        let round = Round {
            before: &before,
            now: &now,
            revision: now.revision.as_ref().expect("one"),
            counts: Counts::default(),
            owned: 8,
            waiting: 0,
            elapsed: Duration::ZERO,
        };
        let events: Vec<Event> = after(&round, false, 0).iter().map(|one| one.event).collect();
        assert_eq!(events, [Event::ApprovalRequired]);
    }

    #[test]
    fn only_what_differs_from_what_was_known_is_told() {
        let (none, one) = (record("a", &[]), record("a", &["x"]));
        for (name, before, now, changes, repaired, failing, told) in [
            ("the same again", &none, &none, 0, 0, false, vec![]),
            ("the same problem", &one, &one, 0, 0, false, vec![]),
            ("the first", &Record::default(), &none, 2, 0, false, vec![Event::Synced]),
            ("a new problem", &none, &one, 0, 0, false, vec![Event::Problem]),
            (
                "another",
                &one,
                &record("a", &["x", "y"]),
                0,
                0,
                false,
                vec![Event::Problem],
            ),
            ("it went", &one, &none, 0, 0, false, vec![Event::Recovered]),
            ("after a failure", &none, &none, 0, 0, true, vec![Event::Recovered]),
            ("drift alone", &none, &none, 1, 1, false, vec![]),
            ("drift and more", &none, &none, 2, 1, false, vec![Event::Synced]),
            ("a revision", &none, &record("b", &[]), 0, 0, false, vec![Event::Synced]),
            (
                "half of it",
                &none,
                &record("b", &["x"]),
                1,
                0,
                false,
                vec![Event::Problem],
            ),
        ] {
            let round = Round {
                before,
                now,
                revision: now.revision.as_ref().expect("one"),
                counts: Counts {
                    create: changes,
                    ..Counts::default()
                },
                owned: 1,
                waiting: 0,
                elapsed: Duration::ZERO,
            };
            let events: Vec<Event> = after(&round, failing, repaired).iter().map(|one| one.event).collect();
            assert_eq!(events, told, "{name}");
        }
    }
}
