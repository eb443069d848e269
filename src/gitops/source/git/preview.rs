//! A work tree as it lies on disk: what a person is about to commit, with what git ignores left out.

use std::collections::BTreeSet;
use std::path::Path;

use git2::{ErrorCode, Repository, Status, StatusOptions};

use super::{Extent, Policy, Snapshot, failed, head, signed};
use crate::gitops::error::Error;
use crate::gitops::report::{Revision, Uncommitted};
use crate::gitops::source::{directory, unread};

/// Git's mode of a submodule.
const SUBMODULE: u32 = 0o160_000;

/// Reads the files below `folder` of the work tree, untracked ones included. A policy that refuses HEAD is a problem.
pub(crate) fn preview(
    repository: &Repository,
    work_tree: &Path,
    extent: Extent<'_>,
    policy: Option<Policy<'_>>,
) -> Result<Snapshot, Error> {
    let index = repository
        .index()
        .map_err(|error| failed("reading the index", &error))?;
    let Extent {
        folder,
        ignored,
        modules,
    } = extent;
    let submodules = submodules(&index, folder);
    let by_git = |path: &str, is_folder: bool| {
        if is_folder && !modules.are_wanted() && submodules.contains(path) {
            return true;
        }
        let path = folder.join(path);
        // What is tracked counts, even where a pattern would ignore it; so does a folder that holds something tracked.
        let tracked = match is_folder {
            false => index.get_path(&path, 0).is_some(),
            true => {
                let prefix = format!("{}/", path.display());
                index.find_prefix(prefix.as_str()).is_ok()
            }
        };
        !tracked && repository.is_path_ignored(&path).unwrap_or(false)
    };
    let (files, mut problems) = directory::read_files(work_tree, folder, ignored, &by_git)?;
    let head = match repository.head() {
        Err(error) if error.code() == ErrorCode::UnbornBranch => None,
        _ => {
            let (object, name) = head(repository)?;
            let commit = object
                .peel_to_commit()
                .map_err(|error| failed("reading HEAD", &error))?;
            let about = super::about(&commit, name);
            if let Some(policy) = policy {
                problems.extend(signed::objection_to_head(repository, &object, &about, policy)?);
                problems.sort();
            }
            Some(about)
        }
    };
    let revision = Revision::WorkTree {
        head,
        uncommitted: uncommitted(repository, folder)?,
    };
    let mut snapshot = Snapshot {
        files,
        problems,
        ..Snapshot::of(revision)
    };
    for path in submodules.into_iter().filter(|path| !ignored.matches(path, true)) {
        if !modules.are_wanted() {
            let text = format!("{path} is a git submodule; what is in it is not read (--submodules reads it)");
            snapshot.notices.push(text);
            snapshot.skipped.push(path);
        } else if !work_tree.join(folder).join(&path).join(".git").exists() {
            let reason = "it is not checked out; run: git submodule update --init --recursive";
            snapshot.problems.push(unread(&path, reason));
        }
    }
    Ok(snapshot)
}

/// The submodules below a folder, by their paths from there.
fn submodules(index: &git2::Index, folder: &Path) -> BTreeSet<String> {
    let found = index.iter().filter(|entry| entry.mode == SUBMODULE);
    let below = found.filter_map(|entry| {
        let path = String::from_utf8_lossy(&entry.path).into_owned();
        Some(
            Path::new(&path)
                .strip_prefix(folder)
                .ok()?
                .to_string_lossy()
                .into_owned(),
        )
    });
    below.filter(|path| !path.is_empty()).collect()
}

fn uncommitted(repository: &Repository, folder: &Path) -> Result<Vec<Uncommitted>, Error> {
    let mut options = StatusOptions::new();
    options
        .include_untracked(true)
        .recurse_untracked_dirs(true)
        .include_ignored(false);
    if !folder.as_os_str().is_empty() {
        options.disable_pathspec_match(true).pathspec(folder);
    }
    let statuses = repository
        .statuses(Some(&mut options))
        .map_err(|error| failed("asking git what is uncommitted", &error))?;
    let mut found: Vec<Uncommitted> = statuses
        .iter()
        .filter_map(|entry| {
            let path = String::from_utf8_lossy(entry.path_bytes()).into_owned();
            let below = Path::new(&path)
                .strip_prefix(folder)
                .ok()?
                .to_string_lossy()
                .into_owned();
            Some(Uncommitted {
                path: below,
                state: state(entry.status())?.to_owned(),
            })
        })
        .collect();
    found.sort_by(|a, b| a.path.cmp(&b.path));
    Ok(found)
}

fn state(status: Status) -> Option<&'static str> {
    if status.is_conflicted() {
        Some("conflicted")
    } else if status.intersects(Status::INDEX_NEW | Status::WT_NEW) {
        Some("new")
    } else if status.intersects(Status::INDEX_DELETED | Status::WT_DELETED) {
        Some("deleted")
    } else if status.intersects(Status::INDEX_RENAMED | Status::WT_RENAMED) {
        Some("renamed")
    } else if status
        .intersects(Status::INDEX_MODIFIED | Status::WT_MODIFIED | Status::INDEX_TYPECHANGE | Status::WT_TYPECHANGE)
    {
        Some("modified")
    } else {
        None
    }
}
