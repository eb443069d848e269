//! How much of a source is read. Bounds against mistakes (`reconcile /`) and malice, far above real repositories.

use std::time::Duration;

use crate::gitops::report::{Place, Problem};

/// One file. The largest generated manifests in use (bundles of resource definitions) have about 5 MB.
pub(super) const MAX_FILE_BYTES: u64 = 10 << 20;

/// All files together: what is kept in memory while a sync runs.
pub(super) const MAX_TOTAL_BYTES: u64 = 256 << 20;

/// Manifest files of one source.
pub(super) const MAX_FILES: usize = 50_000;

/// Entries looked at, of whatever kind: SOURCE is not a home directory.
pub(super) const MAX_ENTRIES: usize = 500_000;

/// Folders in folders; more are a loop of links.
pub(super) const MAX_DEPTH: usize = 64;

/// One fetch. A first clone of a large repository over a slow line takes minutes.
pub(super) const FETCH_TIMEOUT: Duration = Duration::from_secs(600);

/// One reading. A damaged repository can make libgit2 read without end; the largest takes seconds.
pub(super) const READ_TIMEOUT: Duration = Duration::from_secs(120);

/// Counts what was read against the bounds.
#[derive(Default)]
pub(super) struct Budget {
    entries: usize,
    files: usize,
    bytes: u64,
}

impl Budget {
    /// One more entry of a folder.
    pub fn entry(&mut self) -> Result<(), String> {
        self.entries += 1;
        match self.entries > MAX_ENTRIES {
            true => Err(format!(
                "more than {MAX_ENTRIES} files and folders; is this the right source?"
            )),
            false => Ok(()),
        }
    }

    /// One more manifest of that size. `Ok(false)` where this one alone is too large.
    pub fn file(&mut self, bytes: u64) -> Result<bool, String> {
        self.files += 1;
        if self.files > MAX_FILES {
            return Err(format!("more than {MAX_FILES} manifests"));
        }
        if bytes > MAX_FILE_BYTES {
            return Ok(false);
        }
        self.bytes += bytes;
        match self.bytes > MAX_TOTAL_BYTES {
            true => Err(format!("the manifests have more than {MAX_TOTAL_BYTES} bytes together")),
            false => Ok(true),
        }
    }
}

/// The problem with a file over [`MAX_FILE_BYTES`].
pub(super) fn too_large(path: &str, bytes: u64) -> Problem {
    problem(
        path,
        format!("the file has {bytes} bytes and is not read; a manifest may have {MAX_FILE_BYTES} at most"),
    )
}

/// A problem with a whole file or folder.
pub(super) fn problem(path: &str, reason: impl Into<String>) -> Problem {
    Problem {
        place: Some(Place::file(path)),
        object: None,
        reason: reason.into(),
    }
}
