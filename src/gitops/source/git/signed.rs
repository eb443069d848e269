//! What a signature policy lets through: the tip if it is signed as asked, else the last revision that was.

use chrono::Utc;
use git2::{Object, ObjectType, Oid, Repository};

use super::{Extent, Snapshot, about, failed, tree};
use crate::gitops::error::Error;
use crate::gitops::report::{Commit, Problem};
use crate::gitops::trust::{Gate, Tip};

/// A policy, and whether what passes it is remembered: a dry run leaves nothing behind.
#[derive(Clone, Copy)]
pub(crate) struct Policy<'a> {
    pub gate: &'a Gate,
    pub remember: bool,
}

/// Reads what the object leads to. Checked and read are the same object: of one hash, which libgit2 compares as it reads.
pub(super) fn read(
    repository: &Repository,
    object: &Object<'_>,
    name: Option<String>,
    extent: Extent<'_>,
    policy: Option<Policy<'_>>,
) -> Result<Snapshot, Error> {
    let commit = object
        .peel_to_commit()
        .map_err(|error| failed(&format!("{} is no commit", name.as_deref().unwrap_or("HEAD")), &error))?;
    let tip = about(&commit, name);
    let Some(policy) = policy else {
        return tree::read(repository, &commit, tip, extent);
    };
    let object = match policy.gate.wants_tag() {
        true => object.clone(),
        false => commit.as_object().clone(),
    };
    let Some(reason) = objection(repository, &object, &tip, policy)? else {
        if policy.remember {
            policy.gate.keep(&object.id().to_string(), &tip.id)?;
        }
        return tree::read(repository, &commit, tip, extent);
    };
    let Some(last) = policy.gate.last_commit() else {
        return Err(Error::Source(format!(
            "{reason}. No other revision was verified yet, so nothing is applied or deleted"
        )));
    };
    let verified = Oid::from_str(&last)
        .and_then(|id| repository.find_commit(id))
        .map_err(|_| {
            Error::Source(format!(
                "{reason}. The last verified revision, {last}, is not in the repository any more, so nothing is applied or deleted"
            ))
        })?;
    let verified_about = about(&verified, None);
    let reason = format!("{reason}. The last verified revision stays: {}", verified_about.short());
    let mut snapshot = tree::read(repository, &verified, verified_about, extent)?;
    snapshot.problems.push(problem(reason));
    snapshot.problems.sort();
    Ok(snapshot)
}

/// Reads what this very object leads to, or fails where the policy refuses it.
pub(super) fn read_exactly(
    repository: &Repository,
    object: &Object<'_>,
    tip: Commit,
    extent: Extent<'_>,
    policy: Option<Policy<'_>>,
) -> Result<Snapshot, Error> {
    if let Some(policy) = policy
        && let Some(reason) = objection(repository, object, &tip, policy)?
    {
        return Err(Error::Source(reason));
    }
    let commit = object
        .peel_to_commit()
        .map_err(|error| failed(&format!("{} is no commit", tip.short()), &error))?;
    tree::read(repository, &commit, tip, extent)
}

/// What the policy has against the commit at HEAD, for a preview of files that are not committed yet.
pub(super) fn objection_to_head(
    repository: &Repository,
    head: &Object<'_>,
    about: &Commit,
    policy: Policy<'_>,
) -> Result<Option<Problem>, Error> {
    Ok(objection(repository, head, about, policy)?.map(problem))
}

fn problem(reason: String) -> Problem {
    Problem {
        place: None,
        object: None,
        reason,
    }
}

/// Why this is not applied, naming the commit and its author.
fn objection(
    repository: &Repository,
    object: &Object<'_>,
    tip: &Commit,
    policy: Policy<'_>,
) -> Result<Option<String>, Error> {
    let reading = |error: git2::Error| failed(&format!("reading {}", object.id()), &error);
    let database = repository.odb().map_err(reading)?;
    let raw = database.read(object.id()).map_err(reading)?;
    let target = match (object.as_tag(), object.as_commit()) {
        (Some(tag), _) => tag.target_id(),
        (None, Some(commit)) => commit.tree_id(),
        _ => return Err(Error::Source(format!("{} is neither a commit nor a tag", object.id()))),
    };
    let checked = policy.gate.check(
        &Tip {
            id: object.id().to_string(),
            is_tag: object.kind() == Some(ObjectType::Tag),
            raw: raw.data(),
            target: target.to_string(),
            reference: tip.reference.as_deref(),
        },
        Utc::now(),
    );
    let Err(refusal) = checked else {
        return Ok(None);
    };
    let commit = object.peel_to_commit().map_err(reading)?;
    let author = commit.author();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let name = tip
        .reference
        .as_ref()
        .map(|name| format!(" ({name})"))
        .unwrap_or_default();
    Ok(Some(format!(
        "commit {}{name} by {} <{}> is not applied: {refusal}",
        tip.short(),
        text(author.name_bytes()),
        text(author.email_bytes())
    )))
}
