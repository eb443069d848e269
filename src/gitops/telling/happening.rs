//! What happens to a source that others may want to be told, in words and as data. Never performs I/O.

use std::fmt::Write as _;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::gitops::on_drift::Drifted;
use crate::gitops::report::{Action, Change, Counts, Problem, Revision};

/// How many problems a message lists.
const LISTED: usize = 10;

/// The longest name of a revision in a message, in characters: the first lines of some commits are stories.
const REVISION_MAX: usize = 72;

/// The longest line of a message, in characters: some problems quote what the API server said at length.
const LINE_MAX: usize = 500;

/// The kinds of what happens.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Event {
    /// Something was applied.
    Synced,
    /// Something is wrong that was not before; the rest was applied.
    Problem,
    /// Nothing can be applied, or a remote cannot be asked.
    SyncFailed,
    /// What was wrong is well again.
    Recovered,
    /// Deletions wait for a person.
    ApprovalRequired,
    /// An earlier revision is applied instead of the source's own.
    RolledBack,
    /// What another hand changed is as the source says again.
    DriftRepaired,
    /// Another hand changed something, which is left so.
    Drifted,
    /// Syncs are suspended.
    Suspended,
    /// Syncs go on.
    Resumed,
}

/// Whether something is of interest, or needs a person.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Level {
    /// Of interest.
    Info,
    /// Somebody should look.
    Error,
}

impl Event {
    /// All of them.
    pub const ALL: [Self; 10] = [
        Self::Synced,
        Self::Problem,
        Self::SyncFailed,
        Self::Recovered,
        Self::ApprovalRequired,
        Self::RolledBack,
        Self::DriftRepaired,
        Self::Drifted,
        Self::Suspended,
        Self::Resumed,
    ];

    /// As it is written in configurations and messages.
    pub fn name(self) -> &'static str {
        match self {
            Self::Synced => "Synced",
            Self::Problem => "Problem",
            Self::SyncFailed => "SyncFailed",
            Self::Recovered => "Recovered",
            Self::ApprovalRequired => "ApprovalRequired",
            Self::RolledBack => "RolledBack",
            Self::DriftRepaired => "DriftRepaired",
            Self::Drifted => "Drifted",
            Self::Suspended => "Suspended",
            Self::Resumed => "Resumed",
        }
    }

    /// Whether it needs a person.
    pub fn level(self) -> Level {
        match self {
            Self::Problem | Self::SyncFailed | Self::ApprovalRequired | Self::RolledBack => Level::Error,
            _ => Level::Info,
        }
    }
}

/// Something that happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Happening {
    /// What.
    pub event: Event,
    /// For a person, without the source's name.
    pub text: String,
    /// Which state of the source it is about, where one is known.
    pub revision: Option<Revision>,
    /// What was done, where something was.
    pub counts: Option<Counts>,
    /// What is wrong, the first of it.
    pub problems: Vec<Problem>,
    /// When.
    pub at: Timestamp,
}

impl Happening {
    /// One that words say all of.
    pub fn said(event: Event, text: impl Into<String>) -> Self {
        Self {
            event,
            text: bounded(&text.into(), LINE_MAX),
            revision: None,
            counts: None,
            problems: Vec::new(),
            at: Timestamp::now(),
        }
    }

    /// A revision was applied, or what was put off.
    pub fn synced(revision: &Revision, counts: Counts, problem_count: usize) -> Self {
        let mut text = format!("{}: {}", short(revision), sum(counts));
        if problem_count > 0 {
            text.push_str(&format!(", {problem_count} wrong"));
        }
        Self {
            revision: Some(revision.clone()),
            counts: Some(counts),
            ..Self::said(Event::Synced, text)
        }
    }

    /// These problems are new.
    pub fn problems(revision: &Revision, counts: Counts, new: &[&Problem]) -> Self {
        let done = match counts.changes() {
            0 => String::new(),
            _ => format!("{}, ", sum(counts)),
        };
        let mut text = format!("{}: {done}{} wrong", short(revision), new.len());
        for problem in new.iter().take(LISTED) {
            // Writing to a string cannot fail.
            write!(text, "\n{}", bounded(&problem.to_string(), LINE_MAX)).expect("a string takes text");
        }
        if new.len() > LISTED {
            text.push_str(&format!("\nand {} more", new.len() - LISTED));
        }
        let listed = new.iter().take(LISTED);
        Self {
            text,
            revision: Some(revision.clone()),
            counts: Some(counts),
            problems: listed
                .map(|problem| Problem {
                    reason: bounded(&problem.reason, LINE_MAX),
                    ..(*problem).clone()
                })
                .collect(),
            ..Self::said(Event::Problem, "")
        }
    }

    /// Another hand changed these, and they are left so.
    pub fn drifted(revision: &Revision, new: &[&Drifted]) -> Self {
        let listed = new.iter().take(LISTED);
        let mut lines: Vec<String> = listed
            .map(|one| bounded(&format!("{one} and is left so"), LINE_MAX))
            .collect();
        if new.len() > LISTED {
            lines.push(format!("and {} more", new.len() - LISTED));
        }
        Self {
            text: lines.join("\n"),
            revision: Some(revision.clone()),
            ..Self::said(Event::Drifted, "")
        }
    }

    /// Another hand's change was undone.
    pub fn repaired(change: &Change, manager: Option<&str>) -> Self {
        let by = manager.map(|manager| format!(" by {manager}")).unwrap_or_default();
        let what = match change.action {
            Action::Create => format!("was deleted{by} and is there again"),
            _ => format!("was changed{by} and is as the source says again"),
        };
        Self::said(Event::DriftRepaired, format!("{} {what}", change.object))
    }
}

/// A revision, for people.
pub fn short(revision: &Revision) -> String {
    bounded(&revision.to_string(), REVISION_MAX)
}

/// What was done, for people.
pub fn sum(counts: Counts) -> String {
    let named = [
        (counts.create, "created"),
        (counts.update, "changed"),
        (counts.replace, "replaced"),
        (counts.delete, "deleted"),
    ];
    let done: Vec<String> = named
        .iter()
        .filter(|(count, _)| *count > 0)
        .map(|(count, what)| format!("{count} {what}"))
        .collect();
    match done.is_empty() {
        true => "nothing to change".to_owned(),
        false => done.join(", "),
    }
}

/// At most that many characters, with an ellipsis where there were more.
pub fn bounded(text: &str, max: usize) -> String {
    match text.char_indices().nth(max) {
        None => text.to_owned(),
        Some(_) => text.chars().take(max.saturating_sub(1)).chain(['…']).collect(),
    }
}

/// At most that many bytes, cut between characters and with an ellipsis where there were more.
pub fn bounded_bytes(text: &str, max: usize) -> String {
    if text.len() <= max {
        return text.to_owned();
    }
    let most = max.saturating_sub('…'.len_utf8());
    let end = (0..=most).rev().find(|end| text.is_char_boundary(*end));
    format!("{}…", &text[..end.unwrap_or_default()])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_is_cut_between_characters() {
        for (text, max, cut) in [("äöü", 3, "äöü"), ("äöüß", 3, "äö…"), ("", 0, "")] {
            assert_eq!(bounded(text, max), cut);
        }
    }

    #[test]
    fn text_is_cut_to_bytes_between_characters() {
        for (text, max, cut) in [("äöü", 6, "äöü"), ("äöüß", 7, "äö…"), ("abcdef", 5, "ab…")] {
            assert_eq!(bounded_bytes(text, max), cut);
            assert!(cut.len() <= max);
        }
    }

    #[test]
    fn names_are_those_of_the_data() {
        for event in Event::ALL {
            assert_eq!(serde_json::to_value(event).expect("JSON"), event.name());
        }
        assert_eq!(Event::ALL.map(Event::name), crate::object::source::EVENTS);
    }
}
