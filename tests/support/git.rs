//! Git repositories of a test's own, made with the real git.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use super::{process, tools};

/// A git repository with a work tree, or a bare one.
pub struct Repository {
    pub path: PathBuf,
}

impl Repository {
    /// A new repository with a work tree on branch `main`.
    #[track_caller]
    pub fn init(path: &Path) -> Repository {
        run(
            path.parent().expect("a parent"),
            &["init", "-q", "-b", "main", &text(path)],
        );
        Repository { path: path.to_owned() }
    }

    /// A new bare repository.
    #[track_caller]
    pub fn init_bare(path: &Path) -> Repository {
        run(
            path.parent().expect("a parent"),
            &["init", "-q", "--bare", "-b", "main", &text(path)],
        );
        Repository { path: path.to_owned() }
    }

    /// Runs git there; panics where it fails.
    #[track_caller]
    pub fn git(&self, arguments: &[&str]) -> String {
        run(&self.path, arguments)
    }

    /// Commits everything as it lies in the work tree; returns the commit's id.
    #[track_caller]
    pub fn commit(&self, message: &str) -> String {
        self.git(&["add", "-A"]);
        self.git(&["commit", "-q", "--allow-empty", "-m", message]);
        self.git(&["rev-parse", "HEAD"]).trim().to_owned()
    }
}

#[track_caller]
fn run(directory: &Path, arguments: &[&str]) -> String {
    let mut command = Command::new(tools::installed("git", "git"));
    command
        .current_dir(directory)
        .args(["-c", "user.name=Test", "-c", "user.email=test@example.com"])
        // What it does by itself beside us after thousands of commits locks what the next commit wants to write.
        .args(["-c", "gc.auto=0", "-c", "maintenance.auto=false"])
        .args(arguments)
        // Nothing of the caller's own settings, and not the repository that a git hook may be running in.
        .env("GIT_CONFIG_GLOBAL", "/dev/null")
        .env("GIT_CONFIG_SYSTEM", "/dev/null")
        .env_remove("GIT_DIR")
        .env_remove("GIT_WORK_TREE")
        .env_remove("GIT_INDEX_FILE");
    process::run(&mut command, Duration::from_secs(60)).ok()
}

fn text(path: &Path) -> String {
    path.to_str().expect("a textual path").to_owned()
}
