//! Remembers a round that found nothing to do, so that the next one need not ask for everything again while nothing
//! tells of a change. A look at everything comes now and then all the same, should a change have gone untold.

use std::time::Duration;

use tokio::time::Instant;

use super::report::{Problem, Revision};

/// How long a round that found nothing to do stands for those after it.
const GOOD_FOR: Duration = Duration::from_secs(600);

/// All that a round depends on, by marks that change when it does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Marks {
    /// Of the source's content.
    pub revision: Revision,
    /// What could not be read of it.
    pub unread: Vec<Problem>,
    /// What reading it brought up otherwise.
    pub notices: Vec<String>,
    /// Of the source's parent object.
    pub parent: Option<String>,
    /// Of what the source owns; None while that is not watched.
    pub changes: Option<u64>,
}

/// The last round that found nothing to do.
#[derive(Debug, Default)]
pub(super) struct Quiet(Option<(Marks, Instant)>);

impl Quiet {
    /// Whether a round with these marks would find nothing to do.
    pub fn covers(&self, marks: &Marks, now: Instant) -> bool {
        let fresh = |at: Instant| now.duration_since(at) < GOOD_FOR;
        marks.changes.is_some() && self.0.as_ref().is_some_and(|(known, at)| known == marks && fresh(*at))
    }

    /// A round that began with these marks came to this: whether there was nothing to do.
    pub fn note(&mut self, marks: Marks, nothing: bool, now: Instant) {
        self.0 = nothing.then_some((marks, now));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn marks() -> Marks {
        Marks {
            revision: Revision::Directory { hash: "a".into() },
            unread: Vec::new(),
            notices: Vec::new(),
            parent: Some("1".into()),
            changes: Some(1),
        }
    }

    #[test]
    fn any_mark_ends_it() {
        let now = Instant::now();
        let mut quiet = Quiet::default();
        assert!(!quiet.covers(&marks(), now));
        quiet.note(marks(), true, now);
        assert!(quiet.covers(&marks(), now));
        for other in [
            Marks {
                revision: Revision::Directory { hash: "b".into() },
                ..marks()
            },
            Marks {
                unread: vec![Problem {
                    place: None,
                    object: None,
                    reason: "not signed".into(),
                }],
                ..marks()
            },
            Marks {
                notices: vec!["an older one stays".into()],
                ..marks()
            },
            Marks {
                parent: None,
                ..marks()
            },
            Marks {
                changes: Some(2),
                ..marks()
            },
        ] {
            assert!(!quiet.covers(&other, now), "{other:?}");
        }
        assert!(!quiet.covers(&marks(), now + GOOD_FOR));
        quiet.note(marks(), false, now);
        assert!(!quiet.covers(&marks(), now));
    }

    #[test]
    fn what_is_not_watched_is_never_quiet() {
        let now = Instant::now();
        let blind = Marks {
            changes: None,
            ..marks()
        };
        let mut quiet = Quiet::default();
        quiet.note(blind.clone(), true, now);
        assert!(!quiet.covers(&blind, now));
    }
}
