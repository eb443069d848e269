//! Remote repositories: one query tells whether there is news, and only then is something fetched, as little as possible.

use std::fs;
use std::path::Path;

use git2::{ErrorClass, FetchOptions, Oid, Remote, Repository};
use sha2::{Digest, Sha256};

use super::earlier::is_hash;
use super::session::Session;
use super::url::Url;
use super::{Extent, Policy, Snapshot, about, listed, loose, signed};
use crate::gitops::access::Access;
use crate::gitops::error::Error;
use crate::gitops::source::reference::{Reference, version};

/// How many bytes of a hash name what is kept for a reference; enough to never meet twice.
pub(super) const NAME_BYTES: usize = 8;

/// Where our clone keeps what it fetched.
pub(super) const KEPT: &str = "refs/reconcile/";

const BRANCHES: &str = "refs/heads/";
const TAGS: &str = "refs/tags/";

/// What stands behind the name of a tag where a remote says which commit it means.
const PEELED: &str = "^{}";

/// The depth that git asks for to make a shallow clone whole.
const WHOLE_HISTORY: i32 = i32::MAX;

/// The characters of a whole hash.
const FULL_HASH: usize = 40;

/// A reference that no remote has: asking for it only lists what there is.
const NOTHING: &str = "refs/reconcile/nothing";

/// What our clone has for a reference of the remote.
struct Kept {
    /// Our reference, which holds what was last fetched.
    name: String,
    /// Where it is; None where nothing was fetched yet.
    id: Option<Oid>,
    /// Which reference of the remote that was; None for a commit.
    of: Option<String>,
}

impl Kept {
    fn of(repository: &Repository, reference: &Reference) -> Self {
        let name = kept_reference(reference);
        let id = repository.refname_to_id(&name).ok();
        let of = repository
            .config()
            .and_then(|config| config.get_string(&setting(&name)));
        Self { name, id, of: of.ok() }
    }

    /// Remembers what was fetched.
    fn remember(&self, repository: &Repository, of: &str) -> Result<(), git2::Error> {
        match self.of.as_deref() == Some(of) {
            true => Ok(()),
            false => repository.config()?.set_str(&setting(&self.name), of),
        }
    }

    /// What goes on meanwhile, for the end of a message.
    fn stays(&self, repository: &Repository) -> String {
        let commit = self
            .id
            .and_then(|id| repository.find_object(id, None).ok()?.peel_to_commit().ok());
        match commit {
            Some(commit) => format!("; commit {} stays applied", about(&commit, None).short()),
            None => String::new(),
        }
    }
}

/// The reference in our clone for a reference of the remote.
pub(super) fn kept_reference(reference: &Reference) -> String {
    let hash = Sha256::digest(reference.key().as_bytes());
    format!("{KEPT}{}", hex::encode(&hash[..NAME_BYTES]))
}

/// The setting of our clone that says of which reference of the remote this one is.
fn setting(kept: &str) -> String {
    format!("reconcile.{}.of", kept.trim_start_matches(KEPT))
}

/// Brings the clone up to date with the remote's reference. Where that is gone, or is a tag that moved, this fails and
/// what was fetched before stays.
pub(in super::super) fn fetch(url: &Url, access: &Access, clone: &Path, reference: &Reference) -> Result<(), Error> {
    let repository = open_clone(clone)?;
    let session = Session::new(url, access);
    let mut options = session.options();
    let mut remote = repository
        .remote_anonymous(url.shown())
        .map_err(|error| session.failed("opening", &error))?;
    // Unlike a mere connection, a download can be told of tokens and redirects.
    remote
        .download(&[NOTHING], Some(&mut options))
        .map_err(|error| session.failed("connecting to", &error))?;
    let kept = Kept::of(&repository, reference);
    let wanted = {
        let heads = remote.list().map_err(|error| session.failed("asking", &error))?;
        let heads: Vec<(&str, Oid)> = heads.iter().map(|head| (head.name(), head.oid())).collect();
        choose(&heads, reference)
            .and_then(|wanted| expected(&heads, &kept, wanted))
            .map_err(|reason| Error::Source(format!("{}: {reason}{}", url.shown(), kept.stays(&repository))))?
    };
    if !wanted.is_at(kept.id) {
        let is_shallow = repository.is_shallow();
        let again = || session.again();
        fetch_wanted(
            &mut remote,
            &mut options,
            &kept,
            &wanted,
            [!url.is_local(), is_shallow],
            again,
        )
        .map_err(|error| session.failed("fetching from", &error))?;
    }
    match &wanted {
        Wanted::Reference { name, .. } => kept.remember(&repository, name),
        Wanted::Commit(hash) if !wanted.is_at(kept.id) => {
            let object = repository.revparse_single(hash).map_err(|_| {
                let stays = kept.stays(&repository);
                Error::Source(format!("{} has no branch, tag or commit {hash}{stays}", url.shown()))
            })?;
            repository
                .reference(&kept.name, object.id(), true, "reconcile")
                .map(drop)
        }
        Wanted::Commit(_) => Ok(()),
    }
    .map_err(|error| session.failed("keeping what was fetched from", &error))
}

fn fetch_wanted(
    remote: &mut Remote<'_>,
    options: &mut FetchOptions<'_>,
    kept: &Kept,
    wanted: &Wanted,
    [may_be_shallow, is_shallow]: [bool; 2],
    again: impl Fn(),
) -> Result<(), git2::Error> {
    let log = Some("reconcile");
    match wanted {
        Wanted::Reference { name, .. } => {
            if may_be_shallow {
                options.depth(1);
            }
            remote.fetch(&[format!("+{name}:{}", kept.name)], Some(options), log)
        }
        Wanted::Commit(hash) => {
            if may_be_shallow && hash.len() == FULL_HASH {
                options.depth(1);
                match remote.fetch(&[format!("+{hash}:{}", kept.name)], Some(options), log) {
                    // Not every server gives out commits by name.
                    Err(error) if error.class() == ErrorClass::Invalid => {}
                    result => return result,
                }
            }
            // Another connection, which asks for the login again.
            again();
            // What a shallow clone lacks would not be sent: the server takes it to have all behind what it has.
            options.depth(if is_shallow { WHOLE_HISTORY } else { 0 });
            remote.fetch(
                &[format!("+{BRANCHES}*:{BRANCHES}*"), format!("+{TAGS}*:{TAGS}*")],
                Some(options),
                log,
            )
        }
    }
}

/// What is to be fetched.
#[derive(Debug, PartialEq, Eq)]
enum Wanted {
    /// A reference of the remote, which is at this object.
    Reference { name: String, id: Oid },
    /// A commit that no reference need point to.
    Commit(String),
}

impl Wanted {
    /// Whether it is what we have. A commit never becomes another.
    fn is_at(&self, have: Option<Oid>) -> bool {
        have.is_some_and(|have| match self {
            Self::Reference { id, .. } => have == *id,
            Self::Commit(hash) => have.to_string().starts_with(hash.as_str()),
        })
    }
}

/// Which of the remote's references is meant: branches before tags, so that what is followed moves.
fn choose(heads: &[(&str, Oid)], reference: &Reference) -> Result<Wanted, String> {
    let below = |folder: &'static str| heads.iter().filter_map(move |(name, _)| name.strip_prefix(folder));
    let tags: Vec<&str> = below(TAGS).filter(|tag| !tag.ends_with(PEELED)).collect();
    let found = match reference {
        Reference::Head => find(heads, "HEAD"),
        Reference::Named(name) => find(heads, name)
            .filter(|_| name.starts_with("refs/") || name == "HEAD")
            .or_else(|| find(heads, &format!("{BRANCHES}{name}")))
            .or_else(|| find(heads, &format!("{TAGS}{name}"))),
        Reference::Newest(range) => find(heads, &format!("{TAGS}{}", range.newest(&tags)?)),
    };
    if let Some((name, id)) = found {
        let name = name.to_owned();
        return Ok(Wanted::Reference { name, id });
    }
    let Reference::Named(name) = reference else {
        return Err("the repository has no commit yet, or its HEAD names a branch that is missing".into());
    };
    if is_hash(name) {
        return Ok(Wanted::Commit(name.to_lowercase()));
    }
    let branches: Vec<&str> = below(BRANCHES).collect();
    Err(format!("no branch or tag {name}{}", listed(&branches, &tags)))
}

fn find<'a>(heads: &[(&'a str, Oid)], wanted: &str) -> Option<(&'a str, Oid)> {
    heads.iter().find(|(name, _)| *name == wanted).copied()
}

/// Refuses what nobody expects: an older version because a newer is gone.
fn expected(heads: &[(&str, Oid)], kept: &Kept, wanted: Wanted) -> Result<Wanted, String> {
    let (Some(before), Wanted::Reference { name, .. }) = (&kept.of, &wanted) else {
        return Ok(wanted);
    };
    let (Some(tag), Some(tag_before)) = (name.strip_prefix(TAGS), before.strip_prefix(TAGS)) else {
        return Ok(wanted);
    };
    let older = version(tag) < version(tag_before);
    if older && find(heads, before).is_none() {
        return Err(format!(
            "tag {tag_before} is gone; the newest in the range is {tag} now, and if that is meant, give it as --ref"
        ));
    }
    Ok(wanted)
}

/// Opens our clone, or makes it; one that is broken is made again, for it holds nothing that the remote does not.
fn open_clone(clone: &Path) -> Result<Repository, Error> {
    if let Ok(repository) = Repository::open_bare(clone)
        // A crash of the machine may leave it empty, and then every fetch fails.
        && repository.find_reference("HEAD").is_ok()
    {
        return Ok(repository);
    }
    if clone.exists() {
        fs::remove_dir_all(clone)
            .map_err(|error| Error::Source(format!("removing the broken clone {}: {error}", clone.display())))?;
    }
    fs::create_dir_all(clone).map_err(|error| Error::Source(format!("making {}: {error}", clone.display())))?;
    Repository::init_bare(clone).map_err(|error| super::failed(&format!("making {}", clone.display()), &error))
}

/// Whether something was fetched for this reference, now or in an earlier life.
pub(in super::super) fn is_fetched(clone: &Path, reference: &Reference) -> bool {
    Repository::open_bare(clone).is_ok_and(|repository| Kept::of(&repository, reference).id.is_some())
}

/// What was last fetched for this reference, if anything was.
pub(in super::super) fn fetched(clone: &Path, reference: &Reference) -> Option<String> {
    let repository = Repository::open_bare(clone).ok()?;
    Kept::of(&repository, reference).id.map(|id| id.to_string())
}

/// Reads the manifests as last fetched.
pub(in super::super) fn read_clone(
    clone: &Path,
    reference: &Reference,
    extent: Extent<'_>,
    policy: Option<Policy<'_>>,
) -> Result<Snapshot, Error> {
    let nothing = || Error::Source("nothing was fetched yet".into());
    let repository = Repository::open_bare(clone).map_err(|_| nothing())?;
    let kept = Kept::of(&repository, reference);
    // Not peeled: it may be a tag whose signature counts.
    let id = kept.id.ok_or_else(nothing)?;
    let object = loose::check_way(&repository, id)
        .and_then(|()| repository.find_object(id, None))
        .map_err(|error| super::failed("reading what was fetched", &error))?;
    let name = match reference {
        Reference::Head => None,
        Reference::Named(name) => Some(name.clone()),
        Reference::Newest(_) => kept.of.map(|tag| tag.trim_start_matches(TAGS).to_owned()),
    };
    signed::read(&repository, &object, name, extent, policy)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gitops::source::reference::Range;

    #[test]
    fn tags_stay_and_versions_do_not_fall() {
        let id = |byte: u8| Oid::from_bytes(&[byte; 20]).expect("an id");
        let heads = [
            ("refs/heads/main", id(1)),
            ("refs/tags/v1.0.0", id(2)),
            ("refs/tags/v1.1.0", id(3)),
            ("refs/tags/v1.1.0^{}", id(4)),
        ];
        for (name, before, had, now, error) in [
            ("a branch moves", "refs/heads/main", 9, "refs/heads/main", None),
            ("a tag stays", "refs/tags/v1.0.0", 2, "refs/tags/v1.0.0", None),
            ("a tag moves", "refs/tags/v1.1.0", 9, "refs/tags/v1.1.0", None),
            ("a newer one", "refs/tags/v1.0.0", 2, "refs/tags/v1.1.0", None),
            (
                "an older one, newer gone",
                "refs/tags/v1.2.0",
                9,
                "refs/tags/v1.1.0",
                Some("tag v1.2.0 is gone"),
            ),
            (
                "a newer one, older gone",
                "refs/tags/v0.9.0",
                9,
                "refs/tags/v1.1.0",
                None,
            ),
            (
                "a tag where a branch was",
                "refs/heads/v1.1.0",
                9,
                "refs/tags/v1.1.0",
                None,
            ),
        ] {
            let (now, at) = find(&heads, now).expect("there");
            let wanted = Wanted::Reference {
                name: now.to_owned(),
                id: at,
            };
            let kept = Kept {
                name: String::new(),
                id: Some(id(had)),
                of: Some(before.to_owned()),
            };
            match (expected(&heads, &kept, wanted), error) {
                (Ok(_), None) => {}
                (Err(reason), Some(part)) => assert!(reason.contains(part), "{name}: {reason}"),
                (result, _) => panic!("{name}: {result:?}"),
            }
        }
    }

    #[test]
    fn branches_come_before_tags_and_hashes_last() {
        let id = |byte: u8| Oid::from_bytes(&[byte; 20]).expect("an id");
        let heads = [
            ("HEAD", id(1)),
            ("refs/heads/main", id(1)),
            ("refs/heads/v1", id(2)),
            ("refs/tags/v1", id(3)),
            ("refs/tags/beef", id(4)),
        ];
        let named = |name: &str, byte| {
            Ok(Wanted::Reference {
                name: name.into(),
                id: id(byte),
            })
        };
        let reference = |name: Option<&str>| match name {
            None => Reference::Head,
            Some(range) if range.starts_with('^') => Reference::Newest(Range::parse(range).expect("a range")),
            Some(name) => Reference::Named(name.to_owned()),
        };
        for (name, expected) in [
            (None, named("HEAD", 1)),
            (Some("main"), named("refs/heads/main", 1)),
            (Some("v1"), named("refs/heads/v1", 2)),
            (Some("refs/tags/v1"), named("refs/tags/v1", 3)),
            (Some("beef"), named("refs/tags/beef", 4)),
            (Some("ABCDEF1"), Ok(Wanted::Commit("abcdef1".into()))),
            (
                Some("nope!"),
                Err("no branch or tag nope! (branches: main, v1; tags: v1, beef)".to_owned()),
            ),
            (Some("^1"), named("refs/tags/v1", 3)),
            (Some("^2"), Err("no tag is in the range ^2 (tags: v1, beef)".to_owned())),
        ] {
            assert_eq!(choose(&heads, &reference(name)), expected, "{name:?}");
        }
    }
}
