//! What the reconciler tells the outside: typed values that `cli` renders. Never formats for a terminal.

use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::observed::Observed;
use super::on_drift::Drifted;
use super::rollback::Quarantine;

/// Which object, whatever version of its kind.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct ObjectKey {
    /// API group, empty for core.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub group: String,
    /// e.g. `Pod`.
    pub kind: String,
    /// None for objects outside namespaces.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub namespace: Option<String>,
    /// Its name.
    pub name: String,
}

impl fmt::Display for ObjectKey {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}", self.kind)?;
        if !self.group.is_empty() {
            write!(formatter, ".{}", self.group)?;
        }
        match &self.namespace {
            Some(namespace) => write!(formatter, " {namespace}/{}", self.name),
            None => write!(formatter, " {}", self.name),
        }
    }
}

/// Where in the source: a file, and a line and column in it where they are known (both count from 1).
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Place {
    /// Below the source's folder, with `/`.
    pub path: String,
    /// 0 where the whole file is meant.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub line: usize,
    /// 0 where the whole line or file is meant.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub column: usize,
}

fn is_zero(number: &usize) -> bool {
    *number == 0
}

impl Place {
    /// The whole file.
    pub fn file(path: impl Into<String>) -> Self {
        Self {
            path: path.into(),
            line: 0,
            column: 0,
        }
    }
}

impl fmt::Display for Place {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.line, self.column) {
            (0, _) => write!(formatter, "{}", self.path),
            (line, 0) => write!(formatter, "{}:{line}", self.path),
            (line, column) => write!(formatter, "{}:{line}:{column}", self.path),
        }
    }
}

/// One thing that is wrong; the rest of the sync goes on.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Problem {
    /// Where in the source, if it lies there.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub place: Option<Place>,
    /// Which object, if one is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub object: Option<ObjectKey>,
    /// What is wrong, for a person.
    pub reason: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(place) = &self.place {
            write!(formatter, "{place}: ")?;
        }
        if let Some(object) = &self.object {
            write!(formatter, "{object}: ")?;
        }
        formatter.write_str(&self.reason)
    }
}

/// What is, or would be, done with an object.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Action {
    /// It does not exist yet.
    Create,
    /// It changes in place.
    Update,
    /// It is deleted and created again, because the API refuses the change in place.
    Replace,
    /// It left the source.
    Delete,
    /// It left the source, or could not be read there, and stays for the reason given.
    Keep,
    /// It would be deleted, and waits for a person's approval.
    Blocked,
    /// Another hand changed or deleted it, and it is left so.
    Drifted,
    /// It is as intended.
    Unchanged,
}

impl Action {
    /// Whether it writes.
    pub fn is_change(self) -> bool {
        matches!(self, Self::Create | Self::Update | Self::Replace | Self::Delete)
    }
}

/// How many objects each action concerns.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Counts {
    /// Created.
    pub create: usize,
    /// Changed in place.
    pub update: usize,
    /// Deleted and created again.
    pub replace: usize,
    /// Deleted.
    pub delete: usize,
    /// Left alone although the source does not name them.
    pub keep: usize,
    /// Waiting for approval.
    pub blocked: usize,
    /// Not as intended, by another hand, and left so.
    pub drifted: usize,
    /// As intended already.
    pub unchanged: usize,
}

impl Counts {
    /// Counts one more.
    pub fn add(&mut self, action: Action) {
        *match action {
            Action::Create => &mut self.create,
            Action::Update => &mut self.update,
            Action::Replace => &mut self.replace,
            Action::Delete => &mut self.delete,
            Action::Keep => &mut self.keep,
            Action::Blocked => &mut self.blocked,
            Action::Drifted => &mut self.drifted,
            Action::Unchanged => &mut self.unchanged,
        } += 1;
    }

    /// These, and the changes of another round.
    pub fn and_changes(self, other: Self) -> Self {
        Self {
            create: self.create + other.create,
            update: self.update + other.update,
            replace: self.replace + other.replace,
            delete: self.delete + other.delete,
            ..other
        }
    }

    /// These without those changes.
    pub fn without(self, other: Self) -> Self {
        Self {
            create: self.create.saturating_sub(other.create),
            update: self.update.saturating_sub(other.update),
            replace: self.replace.saturating_sub(other.replace),
            delete: self.delete.saturating_sub(other.delete),
            ..self
        }
    }

    /// How many objects are, or would be, written.
    pub fn changes(&self) -> usize {
        self.create + self.update + self.replace + self.delete
    }
}

/// What state of the source is meant.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "camelCase")]
pub enum Revision {
    /// A commit.
    Commit(Commit),
    /// A work tree as it lies on disk, with what git says of it.
    #[serde(rename_all = "camelCase")]
    WorkTree {
        /// HEAD; none before the first commit.
        #[serde(skip_serializing_if = "Option::is_none")]
        head: Option<Commit>,
        /// Files below the folder that differ from HEAD.
        uncommitted: Vec<Uncommitted>,
    },
    /// A directory, by the hash of what it holds.
    Directory {
        /// Hexadecimal SHA-256 of names and contents.
        hash: String,
    },
}

/// A commit, as a person knows it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Commit {
    /// The full hash.
    pub id: String,
    /// The branch or tag that led to it, if one did.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reference: Option<String>,
    /// First line of its message.
    pub subject: String,
    /// Who wrote it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub author: Option<String>,
}

impl Commit {
    /// The first characters of the hash, as git shows it.
    pub fn short(&self) -> &str {
        self.id.get(..SHORT_HASH).unwrap_or(&self.id)
    }
}

/// How much of a hash git shows by default.
const SHORT_HASH: usize = 7;

/// A file that differs from HEAD.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Uncommitted {
    /// Below the source's folder.
    pub path: String,
    /// `new`, `modified`, `deleted`, …
    pub state: String,
}

impl Revision {
    /// The first characters of what tells it from others.
    pub fn short(&self) -> &str {
        self.id().get(..SHORT_HASH).unwrap_or(self.id())
    }

    /// The commit, where it is one and nothing else.
    pub fn commit(&self) -> Option<&Commit> {
        match self {
            Self::Commit(commit) => Some(commit),
            Self::WorkTree { .. } | Self::Directory { .. } => None,
        }
    }

    /// A text that differs whenever the content may differ.
    pub fn id(&self) -> &str {
        match self {
            Self::Commit(commit) => &commit.id,
            Self::WorkTree { head, .. } => head.as_ref().map_or("", |commit| &commit.id),
            Self::Directory { hash } => hash,
        }
    }
}

impl fmt::Display for Revision {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Commit(commit) | Self::WorkTree { head: Some(commit), .. } => {
                write!(formatter, "{}", commit.short())?;
                if let Some(reference) = &commit.reference {
                    write!(formatter, " ({reference})")?;
                }
                write!(formatter, " {}", commit.subject)
            }
            Self::WorkTree { head: None, .. } => write!(formatter, "no commit yet"),
            Self::Directory { hash } => write!(formatter, "{}", hash.get(..SHORT_HASH).unwrap_or(hash)),
        }
    }
}

/// Why a sync changed something.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "type", rename_all = "camelCase")]
pub enum Cause {
    /// The source did.
    Source,
    /// Another hand changed or deleted it; the field manager, where the object tells.
    Drift {
        /// e.g. `kubectl-edit`.
        #[serde(skip_serializing_if = "Option::is_none")]
        manager: Option<String>,
    },
}

/// One object written.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Change {
    /// What was done.
    pub action: Action,
    /// With which object.
    pub object: ObjectKey,
    /// Why.
    pub cause: Cause,
    /// What else a person may want to know, e.g. that it was adopted.
    pub notes: Vec<String>,
}

/// Something that happened.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "type", rename_all = "camelCase")]
#[non_exhaustive]
pub enum Report {
    /// The reconciler starts to follow this source.
    Following {
        /// The source without credentials, e.g. `git work tree /home/me/apps, HEAD`.
        source: String,
    },
    /// An object was written.
    Change(Change),
    /// An object, file or step failed; the rest goes on.
    Problem(Problem),
    /// Objects that are not in the source (readably) and yet stay.
    Kept {
        /// Which.
        object: ObjectKey,
        /// Why.
        reason: String,
    },
    /// Another hand changed or deleted an object, which is left so.
    Drifted(Drifted),
    /// A sync is over.
    Synced {
        /// Of what state.
        revision: Revision,
        /// What was done.
        counts: Counts,
        /// How many problems were reported.
        problems: usize,
        /// How many objects a later round goes on with: they have to go before they are made again, or their wave waits.
        waiting: usize,
        /// How long it took.
        #[serde(serialize_with = "as_millis", rename = "elapsedMillis")]
        elapsed: Duration,
    },
    /// A sync failed as a whole and is tried again.
    Retrying {
        /// Why it failed.
        reason: String,
        /// When.
        #[serde(serialize_with = "as_millis", rename = "afterMillis")]
        after: Duration,
    },
    /// The sync cannot go on with these objects yet.
    Waiting {
        /// Each with what it lacks.
        objects: Vec<(ObjectKey, String)>,
    },
    /// The source's own revision is not applied from now on, but an earlier one.
    RolledBack(Quarantine),
    /// Anything else worth a line.
    Notice {
        /// For a person.
        text: String,
    },
}

fn as_millis<S: serde::Serializer>(duration: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_u64(u64::try_from(duration.as_millis()).unwrap_or(u64::MAX))
}

/// Takes reports as they come. Called from async code: it must not block for long.
pub trait Reporter: Send + Sync {
    /// One report.
    fn report(&self, report: Report);

    /// What went on, also where it is no news to a person. Of no interest to most.
    fn observe(&self, _observed: &Observed<'_>) {}
}

impl<F: Fn(Report) + Send + Sync> Reporter for F {
    fn report(&self, report: Report) {
        self(report);
    }
}

/// What became of [`super::sync_once`].
#[derive(Clone, Debug, Serialize)]
pub struct Outcome {
    /// The state of the source that was applied.
    pub revision: Revision,
    /// What was done.
    pub counts: Counts,
    /// What went wrong, unhealthy objects included. Empty means success.
    pub problems: Vec<Problem>,
}

impl Outcome {
    /// Whether everything was applied and became healthy.
    pub fn success(&self) -> bool {
        self.problems.is_empty()
    }
}

/// What a dry run says, by its exit code.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Verdict {
    /// Nothing would change (exit code 0).
    Same,
    /// Something would change (1).
    Differs,
    /// Something is wrong (2).
    Error,
}

/// What a sync would do.
#[derive(Clone, Debug, Serialize)]
pub struct PlanReport {
    /// The source without credentials.
    pub source: String,
    /// The state of it that was read.
    pub revision: Revision,
    /// Every object concerned, in the order in which it would be done.
    pub entries: Vec<PlanEntry>,
    /// How many of each action.
    pub counts: Counts,
    /// All that is wrong, in the order of files and lines.
    pub problems: Vec<Problem>,
    /// What else a person should know, e.g. that nothing is pruned and why.
    pub notices: Vec<String>,
}

impl PlanReport {
    /// What the exit code says.
    pub fn verdict(&self) -> Verdict {
        if !self.problems.is_empty() {
            Verdict::Error
        } else if self.counts.changes() + self.counts.blocked + self.counts.drifted > 0 {
            Verdict::Differs
        } else {
            Verdict::Same
        }
    }
}

/// One object of a plan.
#[derive(Clone, Debug, Serialize)]
pub struct PlanEntry {
    /// What would be done.
    pub action: Action,
    /// With which object.
    pub object: ObjectKey,
    /// As `kubectl` takes and prints it: `pod/web`.
    pub name: String,
    /// Where in the source it stands.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub place: Option<Place>,
    /// Why this action, where it is not obvious.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub reasons: Vec<String>,
    /// All that the object would be, where the API server could say. Holds the values of Secrets: never to be printed.
    #[serde(skip)]
    pub predicted: Option<serde_json::Value>,
    /// What was there when this was decided: another mark, another object or content.
    pub mark: String,
    /// Live against intended, as a unified diff's lines. Secret values are masked.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub diff: Vec<DiffLine>,
}

/// One line of a unified diff.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "type", content = "text", rename_all = "lowercase")]
pub enum DiffLine {
    /// `@@ … @@`.
    Hunk(String),
    /// On both sides.
    Context(String),
    /// Live only.
    Removed(String),
    /// Intended only.
    Added(String),
}
