//! What to follow and how. Never reads the environment.

use std::path::PathBuf;
use std::time::Duration;

/// What to follow and how.
#[derive(Clone, Debug)]
pub struct Config {
    /// A directory, the root of a git work tree, a bare repository or a git URL.
    pub source: String,
    /// Branch, tag or commit; none means the repository's HEAD.
    pub reference: Option<String>,
    /// The folder below the source that holds the manifests.
    pub path: Option<PathBuf>,
    /// How often to ask a remote, and the safety net under file events.
    pub interval: Duration,
    /// Cron expressions with seconds (six fields, local time) that say when to sync, instead of `interval` and events.
    pub schedules: Vec<String>,
    /// Whether objects that left the source are deleted.
    pub prune: bool,
    /// Where clones of remote repositories are kept, under `sources/`.
    pub data_dir: PathBuf,
}
