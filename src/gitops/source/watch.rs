//! Wakes when files change. Says only that something changed: what, is read afterwards.

use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use notify::event::{AccessKind, AccessMode, EventKind};
use notify::{ErrorKind, RecommendedWatcher, RecursiveMode, Watcher};
use tokio::sync::Notify;
use tokio::time::{Instant, timeout_at};

use crate::gitops::error::Error;

/// Quiet that must follow a change: editors and git write several files or write one in steps.
const QUIET: Duration = Duration::from_millis(50);

/// After which a change is acted on even though there is no quiet.
const MAX_WAIT: Duration = Duration::from_millis(500);

/// A running watch; ends when dropped.
pub struct Watch {
    changed: Arc<Notify>,
    /// The folders watched, by what identifies them on disk.
    folders: Vec<(PathBuf, Option<(u64, u64)>)>,
    _watcher: RecommendedWatcher,
}

/// The error with the paths that it is about.
fn told(error: &notify::Error) -> String {
    let reason = match &error.kind {
        ErrorKind::PathNotFound => "no such file or directory".to_owned(),
        ErrorKind::MaxFilesWatch => "the system's limit of watches is reached (fs.inotify.max_user_watches)".to_owned(),
        ErrorKind::Io(error) => error.to_string(),
        ErrorKind::Generic(reason) => reason.clone(),
        _ => return error.to_string().trim_end_matches(['.', ' ']).to_owned(),
    };
    let paths: Vec<String> = error.paths.iter().map(|path| path.display().to_string()).collect();
    match paths.is_empty() {
        true => reason,
        false => format!("{}: {reason}", paths.join(", ")),
    }
}

/// Device and inode; None where there is nothing.
fn identity(path: &Path) -> Option<(u64, u64)> {
    std::fs::metadata(path)
        .ok()
        .map(|metadata| (metadata.dev(), metadata.ino()))
}

impl std::fmt::Debug for Watch {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("Watch")
    }
}

impl Watch {
    /// Watches a directory with everything below it, and its own entry above, so that replacing it is seen as well.
    pub(super) fn directory(root: &Path) -> Result<Self, Error> {
        let mut paths = vec![(root.to_owned(), RecursiveMode::Recursive)];
        if let Some(parent) = root.parent() {
            paths.push((parent.to_owned(), RecursiveMode::NonRecursive));
        }
        let inside = root.to_owned();
        Self::start(paths, move |path| path.starts_with(&inside))
    }

    /// Watches what tells a repository's HEAD and references.
    pub(super) fn repository(metadata: &[PathBuf]) -> Result<Self, Error> {
        let mut paths = Vec::new();
        for folder in metadata {
            paths.push((folder.clone(), RecursiveMode::NonRecursive));
            if folder.join("refs").is_dir() {
                paths.push((folder.join("refs"), RecursiveMode::Recursive));
            }
        }
        let folders = metadata.to_vec();
        Self::start(paths, move |path| {
            folders.iter().any(|folder| {
                path.strip_prefix(folder).is_ok_and(|inside| {
                    inside.starts_with("refs") || inside == Path::new("HEAD") || inside == Path::new("packed-refs")
                })
            }) && path.extension().is_none_or(|extension| extension != "lock")
        })
    }

    fn start(
        paths: Vec<(PathBuf, RecursiveMode)>,
        relevant: impl Fn(&Path) -> bool + Send + 'static,
    ) -> Result<Self, Error> {
        let changed = Arc::new(Notify::new());
        let wake = Arc::clone(&changed);
        let failed = |error: notify::Error| Error::Source(format!("cannot watch files: {}", told(&error)));
        let mut watcher = notify::recommended_watcher(move |event: notify::Result<notify::Event>| {
            let relevant = match &event {
                // Our own reading must not wake us.
                Ok(event) if matches!(event.kind, EventKind::Access(kind) if kind != AccessKind::Close(AccessMode::Write)) => {
                    false
                }
                Ok(event) => event.need_rescan() || event.paths.iter().any(|path| relevant(path)),
                Err(_) => true,
            };
            if relevant {
                wake.notify_one();
            }
        })
        .map_err(failed)?;
        let mut folders = Vec::with_capacity(paths.len());
        for (path, mode) in paths {
            folders.push((path.clone(), identity(&path)));
            watcher.watch(&path, mode).map_err(failed)?;
        }
        Ok(Self {
            changed,
            folders,
            _watcher: watcher,
        })
    }

    /// Whether a watched folder was replaced by another of its name, which this does not watch.
    pub fn is_stale(&self) -> bool {
        self.folders.iter().any(|(path, before)| identity(path) != *before)
    }

    /// Waits for a change and for the quiet after it.
    pub async fn changed(&self) {
        self.changed.notified().await;
        let mut owed = Owed(Some(&self.changed));
        let deadline = Instant::now() + MAX_WAIT;
        loop {
            let quiet = (Instant::now() + QUIET).min(deadline);
            if timeout_at(quiet, self.changed.notified()).await.is_err() {
                owed.0 = None;
                return;
            }
        }
    }
}

/// A wake that was taken and not passed on yet: whoever stops waiting for quiet must not lose it.
struct Owed<'a>(Option<&'a Notify>);

impl Drop for Owed<'_> {
    fn drop(&mut self) {
        if let Some(changed) = self.0 {
            changed.notify_one();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn woken(watch: &Watch) {
        tokio::time::timeout(Duration::from_secs(5), watch.changed())
            .await
            .expect("woken");
    }

    #[tokio::test]
    async fn every_way_of_saving_wakes() {
        let above = tempfile::tempdir().expect("a directory");
        let root = above.path().join("source");
        std::fs::create_dir(&root).expect("made");
        let watch = Watch::directory(&root).expect("watching");
        std::fs::write(root.join("a.yaml"), "1").expect("written");
        woken(&watch).await;
        std::fs::write(root.join("new"), "2").expect("written");
        woken(&watch).await;
        std::fs::rename(root.join("new"), root.join("a.yaml")).expect("renamed");
        woken(&watch).await;
        std::fs::create_dir(root.join("sub")).expect("made");
        woken(&watch).await;
        std::fs::write(root.join("sub/b.yaml"), "1").expect("written");
        woken(&watch).await;
        std::fs::remove_file(root.join("a.yaml")).expect("removed");
        woken(&watch).await;
        std::fs::rename(&root, above.path().join("away")).expect("renamed");
        woken(&watch).await;
    }

    #[tokio::test]
    async fn a_wake_outlives_whoever_stopped_waiting() {
        let above = tempfile::tempdir().expect("a directory");
        let watch = Watch::directory(above.path()).expect("watching");
        std::fs::write(above.path().join("a.yaml"), "1").expect("written");
        watch.changed.notified().await;
        watch.changed.notify_one();
        let dropped = tokio::time::timeout(Duration::from_millis(1), watch.changed()).await;
        assert!(dropped.is_err(), "still waiting for quiet");
        woken(&watch).await;
    }

    #[tokio::test]
    async fn reading_and_neighbours_do_not_wake() {
        let above = tempfile::tempdir().expect("a directory");
        let root = above.path().join("source");
        std::fs::create_dir(&root).expect("made");
        std::fs::write(root.join("a.yaml"), "1").expect("written");
        let watch = Watch::directory(&root).expect("watching");
        std::fs::read(root.join("a.yaml")).expect("read");
        std::fs::write(above.path().join("neighbour"), "1").expect("written");
        let quiet = tokio::time::timeout(Duration::from_millis(300), watch.changed()).await;
        assert!(quiet.is_err(), "woken for nothing");
    }
}
