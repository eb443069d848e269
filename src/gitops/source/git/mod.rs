//! The only code that uses libgit2: repositories, their objects, work trees and remotes. Checks nothing out.

mod certificate;
mod chain;
mod earlier;
mod gitmodules;
mod loose;
mod modules;
mod preview;
mod remote;
mod session;
mod signed;
mod tree;
mod url;

use std::path::{Path, PathBuf};

use git2::{ErrorCode, Object, Oid, Repository};

use super::Snapshot;
use super::ignored::Ignored;
use super::reference::{Reference, newest_first, some_of};
use crate::gitops::error::Error;
use crate::gitops::report::{Commit, Revision};

pub(super) use earlier::{among, find, find_fetched, find_in_clone, is_hash, is_in_clone, keep, read_commit};
pub(super) use modules::{Module, Modules, Origin};
pub(super) use preview::preview;
pub(super) use remote::{fetch, fetched, is_fetched, read_clone};
pub(super) use signed::Policy;
pub(super) use url::Url;

/// What of a commit is read.
#[derive(Clone, Copy)]
pub(super) struct Extent<'a> {
    /// From its top.
    pub folder: &'a Path,
    pub ignored: &'a Ignored,
    pub modules: &'a Modules,
}

fn failed(step: &str, error: &git2::Error) -> Error {
    Error::Source(format!("{step}: {}", error.message()))
}

/// Whether this directory itself is a repository or the root of a work tree.
pub(super) fn is_repository(root: &Path) -> bool {
    root.join(".git").exists()
        || (root.join("HEAD").is_file() && root.join("objects").is_dir() && root.join("refs").is_dir())
}

/// Opens the repository at this very directory.
pub(super) fn open(root: &Path) -> Result<Repository, Error> {
    Repository::open(root).map_err(|error| match error.code() {
        ErrorCode::Owner => Error::Source(format!(
            "git repository {0} belongs to another user; if you trust it: git config --global --add safe.directory {0}",
            root.display()
        )),
        _ => failed(&format!("git repository {}", root.display()), &error),
    })
}

/// The work tree around a directory, and the way from its root to the directory.
pub(super) fn discover(directory: &Path) -> Result<Option<(PathBuf, PathBuf)>, Error> {
    let repository = match Repository::discover(directory) {
        Ok(repository) => repository,
        Err(error) if error.code() == ErrorCode::NotFound => return Ok(None),
        Err(error) => {
            return Err(failed(
                &format!("looking for a git repository at {}", directory.display()),
                &error,
            ));
        }
    };
    let Some(root) = repository.workdir() else {
        return Ok(None);
    };
    let real = |path: &Path| {
        std::fs::canonicalize(path)
            .map_err(|error| Error::Source(format!("{}: {}", path.display(), super::plain(&error))))
    };
    let root = real(root)?;
    let inside = real(directory)?
        .strip_prefix(&root)
        .map(Path::to_owned)
        .unwrap_or_default();
    Ok(Some((root, inside)))
}

/// The folders whose HEAD and refs tell of new commits.
pub(super) fn metadata_paths(root: &Path) -> Result<Vec<PathBuf>, Error> {
    let repository = open(root)?;
    let (own, common) = (repository.path().to_owned(), repository.commondir().to_owned());
    Ok(if own == common { vec![own] } else { vec![own, common] })
}

/// Reads the manifests of HEAD or of the reference, straight from the repository's objects.
pub(super) fn read(
    repository: &Repository,
    reference: &Reference,
    extent: Extent<'_>,
    policy: Option<Policy<'_>>,
) -> Result<Snapshot, Error> {
    let (object, name) = match reference {
        Reference::Head => head(repository)?,
        Reference::Named(name) => named(repository, name)?,
        Reference::Newest(range) => {
            let names = tags(repository)?;
            let names: Vec<&str> = names.iter().map(String::as_str).collect();
            let tag = range.newest(&names).map_err(|reason| {
                let root = repository.workdir().unwrap_or_else(|| repository.path());
                Error::Source(format!("git repository {}: {reason}", root.display()))
            })?;
            let full = format!("refs/tags/{tag}");
            let object = repository
                .refname_to_id(&full)
                .and_then(|id| loose::check_way(repository, id))
                .and_then(|()| repository.revparse_single(&full))
                .map_err(|error| failed(&format!("looking up tag {tag}"), &error))?;
            (object, Some(tag.to_owned()))
        }
    };
    signed::read(repository, &object, name, extent, policy)
}

fn about(commit: &git2::Commit<'_>, reference: Option<String>) -> Commit {
    let subject = String::from_utf8_lossy(commit.message_bytes());
    Commit {
        id: commit.id().to_string(),
        reference,
        subject: subject.trim_start().lines().next().unwrap_or_default().to_owned(),
        author: Some(String::from_utf8_lossy(commit.author().name_bytes()).into_owned()),
    }
}

fn head(repository: &Repository) -> Result<(Object<'_>, Option<String>), Error> {
    let head = repository.head().map_err(|error| match error.code() {
        ErrorCode::UnbornBranch | ErrorCode::NotFound => Error::Source(format!(
            "git repository {} has no commit yet",
            repository.workdir().unwrap_or_else(|| repository.path()).display()
        )),
        _ => failed("reading HEAD", &error),
    })?;
    if let Some(id) = head.target() {
        loose::check_way(repository, id).map_err(|error| failed("reading HEAD", &error))?;
    }
    let name = match head.is_branch() {
        true => head.shorthand().ok().map(str::to_owned),
        false => None,
    };
    let object = head
        .peel(git2::ObjectType::Commit)
        .map_err(|error| failed("reading HEAD", &error))?;
    Ok((object, name))
}

/// Branch, tag, remote branch or commit, in git's own order of preference.
fn named<'a>(repository: &'a Repository, reference: &str) -> Result<(Object<'a>, Option<String>), Error> {
    let id = repository
        .resolve_reference_from_short_name(reference)
        .ok()
        .and_then(|found| found.target())
        .or_else(|| Oid::from_str(reference).ok());
    if let Some(id) = id {
        loose::check_way(repository, id).map_err(|error| failed(&format!("looking up {reference}"), &error))?;
    }
    let found = repository
        .revparse_single(reference)
        .or_else(
            |error| match repository.revparse_single(&format!("refs/remotes/origin/{reference}")) {
                Ok(object) => Ok(object),
                Err(_) => Err(error),
            },
        )
        .map_err(|error| match error.code() {
            ErrorCode::NotFound | ErrorCode::InvalidSpec => Error::Source(format!(
                "git repository {} has no branch, tag or commit {reference}{}",
                repository.workdir().unwrap_or_else(|| repository.path()).display(),
                names_there(repository)
            )),
            ErrorCode::Ambiguous => Error::Source(format!(
                "{reference} is the beginning of several commits; give more of it"
            )),
            _ => failed(&format!("looking up {reference}"), &error),
        })?;
    let is_hash = reference.len() >= 4 && found.id().to_string().starts_with(&reference.to_lowercase());
    Ok((found, (!is_hash).then(|| reference.to_owned())))
}

/// Which names there are, for a message.
fn names_there(repository: &Repository) -> String {
    let mut branches: Vec<String> = repository
        .branches(Some(git2::BranchType::Local))
        .into_iter()
        .flatten()
        .filter_map(|branch| branch.ok()?.0.name().ok().flatten().map(str::to_owned))
        .collect();
    branches.sort();
    let branches: Vec<&str> = branches.iter().map(String::as_str).collect();
    let tags = tags(repository).unwrap_or_default();
    let tags: Vec<&str> = tags.iter().map(String::as_str).collect();
    listed(&branches, &tags)
}

fn tags(repository: &Repository) -> Result<Vec<String>, Error> {
    let names = repository
        .tag_names(None)
        .map_err(|error| failed("listing tags", &error))?;
    Ok(names.iter().flatten().flatten().map(str::to_owned).collect())
}

/// ` (branches: main; tags: v2, v1)`.
fn listed(branches: &[&str], tags: &[&str]) -> String {
    let branches = (!branches.is_empty()).then(|| format!("branches: {}", some_of(branches)));
    let tags = (!tags.is_empty()).then(|| format!("tags: {}", newest_first(tags)));
    match branches.into_iter().chain(tags).collect::<Vec<_>>() {
        parts if parts.is_empty() => String::new(),
        parts => format!(" ({})", parts.join("; ")),
    }
}

/// The revision of a commit.
fn committed(commit: Commit) -> Revision {
    Revision::Commit(commit)
}
