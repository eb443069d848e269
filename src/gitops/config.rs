//! What to follow and how. Never reads the environment.

use std::path::PathBuf;
use std::time::Duration;

use k8s_openapi::api::core::v1::ObjectReference;

use super::access::Access;
use super::applyset::ApplySet;
use super::budget::Budget;
use super::inputs::Inputs;
use super::lease::Presence;
use super::neighbours::Neighbours;
use super::on_drift::OnDrift;
use super::source::Source;
use super::telling::{CommitStatus, Receiver, Telling};
use super::trust::Verify;
use super::webhook::Webhooks;
use super::window::Window;

/// What to follow and how.
#[derive(Clone, Debug)]
pub struct Config {
    /// What people call it, and what tells its objects from those of others, whatever it follows; none means that the
    /// source itself does.
    pub name: Option<String>,
    /// Nothing is synced while this is true.
    pub suspended: bool,
    /// A directory, the root of a git work tree, a bare repository or a git URL.
    pub source: String,
    /// Branch, tag or commit; none means the repository's HEAD.
    pub reference: Option<String>,
    /// Instead of `reference`: a range of versions, whose highest tag is followed.
    pub semver: Option<String>,
    /// What a remote is given to let us in, and whom to trust there.
    pub access: Access,
    /// The folder below the source that holds the manifests.
    pub path: Option<PathBuf>,
    /// What is left out below it, as in a `.gitignore`: as if it were absent, so that its objects are deleted.
    pub ignore: Vec<String>,
    /// Whether the manifests of git submodules are read as well.
    pub submodules: bool,
    /// How often to ask a remote, and the safety net under file events.
    pub interval: Duration,
    /// Cron expressions with seconds (six fields, local time) that say when to sync, instead of `interval` and events.
    pub schedules: Vec<String>,
    /// Named sources that come first: nothing is synced before all they say is applied and healthy.
    pub depends_on: Vec<String>,
    /// When syncs are allowed or denied; at all times where there is none.
    pub windows: Vec<Window>,
    /// Whether objects that left the source are deleted.
    pub prune: bool,
    /// What is done about changes by other hands, where an object does not say otherwise.
    pub on_drift: OnDrift,
    /// How many of its objects may be deleted in one sync without a person's approval.
    pub budget: Budget,
    /// Whether a revision that does not become healthy is gone back from, to the last one that was.
    pub rollback: bool,
    /// How long a revision may take to become healthy then.
    pub health_timeout: Duration,
    /// How long pods must have been ready before their revision counts as healthy: one that crashes when it starts is
    /// ready for a moment.
    pub min_ready: Duration,
    /// What must be signed, and by whom, if anything must.
    pub verify: Option<Verify>,
    /// The file with the secret of webhooks that tell of news; none means that they are not listened to.
    pub webhook_secret: Option<PathBuf>,
    /// Where webhooks arrive.
    pub webhooks: Webhooks,
    /// The object that says what to follow; none where no object does.
    pub about: Option<ObjectReference>,
    /// Who is told by HTTP what happens to it.
    pub receivers: Vec<Receiver>,
    /// Where its commits are shown to be applied.
    pub commit_status: Option<CommitStatus>,
    /// The files and Secrets that this was read from, which are read again when they change.
    pub inputs: Inputs,
    /// Who else is told what becomes of it.
    pub telling: Telling,
    /// Sources that are followed beside it: what moves to one of them is not deleted.
    pub neighbours: Neighbours,
    /// The process that follows it, as others see it.
    pub presence: Presence,
    /// Where clones of remote repositories are kept, under `sources/`.
    pub data_dir: PathBuf,
}

impl Config {
    /// All of the source, kept up every half minute and pruned within the usual budget.
    pub fn new(source: impl Into<String>, data_dir: PathBuf) -> Self {
        Self {
            name: None,
            suspended: false,
            source: source.into(),
            reference: None,
            semver: None,
            access: Access::default(),
            ignore: Vec::new(),
            path: None,
            submodules: false,
            interval: Duration::from_secs(30),
            schedules: Vec::new(),
            depends_on: Vec::new(),
            windows: Vec::new(),
            prune: true,
            on_drift: OnDrift::default(),
            budget: Budget::default(),
            rollback: false,
            health_timeout: Duration::from_secs(300),
            min_ready: Duration::from_secs(10),
            verify: None,
            webhook_secret: None,
            webhooks: Webhooks::default(),
            about: None,
            receivers: Vec::new(),
            commit_status: None,
            inputs: Inputs::default(),
            telling: Telling::default(),
            neighbours: Neighbours::default(),
            presence: Presence::new(data_dir.display().to_string()),
            data_dir,
        }
    }

    /// The set of objects that it owns, opened as that source.
    pub(super) fn set(&self, source: &Source) -> ApplySet {
        ApplySet::of(&self.identity().unwrap_or_else(|| source.identity()))
    }

    /// What decides which objects it owns, where it has a name.
    pub fn identity(&self) -> Option<String> {
        self.name.as_deref().map(identity)
    }
}

/// What decides which objects the source of that name owns.
pub(super) fn identity(name: &str) -> String {
    format!("sources/{name}")
}
