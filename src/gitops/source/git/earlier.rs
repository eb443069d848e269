//! Commits that are gone back to: finds them by what people call them, keeps them in our clone, and reads them.

use std::collections::BTreeSet;
use std::path::Path;

use git2::{Object, ObjectType, Oid, Repository};
use sha2::{Digest, Sha256};

use super::remote::{KEPT, NAME_BYTES, kept_reference};
use super::{Extent, Policy, Snapshot, about, failed, loose, named, signed};
use crate::gitops::error::Error;
use crate::gitops::report::Commit;
use crate::gitops::source::reference::Reference;

/// The shortest beginning of a hash that git takes.
const SHORTEST_HASH: usize = 4;

/// Whether this can be the beginning of a hash.
pub(in super::super) fn is_hash(text: &str) -> bool {
    (SHORTEST_HASH..=40).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_hexdigit())
}

/// The one among these commits that the text is the beginning of.
///
/// # Errors
/// Where it is that of several.
pub(in super::super) fn among<'a>(known: &'a [Commit], text: &str) -> Result<Option<&'a Commit>, Error> {
    let text = text.to_lowercase();
    let fitting = || known.iter().filter(|commit| commit.id.starts_with(&text));
    let ids: BTreeSet<&str> = fitting().map(|commit| commit.id.as_str()).collect();
    match ids.len() {
        _ if !is_hash(&text) => Ok(None),
        0 | 1 => Ok(fitting().next()),
        _ => Err(Error::Source(format!(
            "{text} is the beginning of several commits; give more of it"
        ))),
    }
}

/// What people call a commit of a repository on disk: a hash, a branch, a tag.
pub(in super::super) fn find(repository: &Repository, text: &str) -> Result<Commit, Error> {
    let (object, name) = named(repository, text)?;
    // `HEAD~1` is another commit tomorrow.
    commit_of(&object, name.filter(|name| !name.contains(['~', '^', '@', ':'])))
}

/// The commit of that hash in our clone; None where it has none.
pub(in super::super) fn find_in_clone(clone: &Path, hash: &str) -> Option<Commit> {
    let repository = Repository::open_bare(clone).ok()?;
    let object = repository.revparse_single(hash).ok()?;
    commit_of(&object, None).ok()
}

/// What was last fetched for a reference.
pub(in super::super) fn find_fetched(clone: &Path, reference: &Reference, name: &str) -> Result<Commit, Error> {
    let repository = open_clone(clone)?;
    let object = repository
        .revparse_single(&kept_reference(reference))
        .map_err(|error| failed("reading what was fetched", &error))?;
    commit_of(&object, (!is_hash(name)).then(|| name.to_owned()))
}

fn commit_of(object: &Object<'_>, name: Option<String>) -> Result<Commit, Error> {
    let commit = object
        .peel_to_commit()
        .map_err(|error| failed(&format!("{} is no commit", object.id()), &error))?;
    Ok(about(&commit, name))
}

fn open_clone(clone: &Path) -> Result<Repository, Error> {
    Repository::open_bare(clone).map_err(|error| failed(&format!("opening the clone {}", clone.display()), &error))
}

/// Whether our clone has all of a commit.
pub(in super::super) fn is_in_clone(clone: &Path, commit: &Commit) -> bool {
    Repository::open_bare(clone).is_ok_and(|repository| {
        let found = Oid::from_str(&commit.id).and_then(|id| repository.find_commit(id));
        found.is_ok_and(|commit| commit.tree().is_ok())
    })
}

/// Gives a commit of our clone a reference of our own, so that it stays when no branch leads to it any more. Each
/// source has one for each purpose, for several sources may share the clone.
pub(in super::super) fn keep(clone: &Path, commit: &Commit, source: &str, purpose: &str) -> Result<(), Error> {
    let repository = open_clone(clone)?;
    let step = |error: git2::Error| failed(&format!("keeping commit {}", commit.short()), &error);
    let object = match tag_of(&repository, commit) {
        Some(tag) => tag,
        None => find_commit(&repository, commit)?.into_object(),
    };
    let hash = Sha256::digest(source.as_bytes());
    let name = format!("{KEPT}{purpose}-{}", hex::encode(&hash[..NAME_BYTES]));
    repository
        .reference(&name, object.id(), true, "reconcile")
        .map(drop)
        .map_err(step)
}

/// Reads the manifests of this very commit. Where a policy refuses it, nothing is read instead.
pub(in super::super) fn read_commit(
    repository: &Repository,
    commit: &Commit,
    extent: Extent<'_>,
    policy: Option<Policy<'_>>,
) -> Result<Snapshot, Error> {
    let found = find_commit(repository, commit)?;
    let tag = policy
        .filter(|policy| policy.gate.wants_tag())
        .and_then(|_| tag_of(repository, commit));
    let object = tag.unwrap_or_else(|| found.as_object().clone());
    signed::read_exactly(repository, &object, commit.clone(), extent, policy)
}

fn find_commit<'a>(repository: &'a Repository, commit: &Commit) -> Result<git2::Commit<'a>, Error> {
    Oid::from_str(&commit.id)
        .and_then(|id| loose::check(repository, id).and_then(|()| repository.find_commit(id)))
        .map_err(|_| {
            Error::Source(format!(
                "commit {} is not in the repository {} any more",
                commit.short(),
                repository.workdir().unwrap_or_else(|| repository.path()).display()
            ))
        })
}

/// The annotated tag of the name that the commit was followed under, if one leads to it: it may be what is signed.
fn tag_of<'a>(repository: &'a Repository, commit: &Commit) -> Option<Object<'a>> {
    let name = commit.reference.as_deref()?;
    let references = [format!("{KEPT}*"), "refs/tags/*".to_owned()];
    let found = references
        .iter()
        .filter_map(|glob| repository.references_glob(glob).ok());
    found.flatten().filter_map(Result::ok).find_map(|reference| {
        let object = repository
            .find_object(reference.target()?, Some(ObjectType::Tag))
            .ok()?;
        let is_meant =
            object.as_tag()?.name() == Ok(name) && object.peel_to_commit().ok()?.id().to_string() == commit.id;
        is_meant.then_some(object)
    })
}
