//! Remote repositories: one query tells whether there is news, and only then is something fetched, as little as possible.

use std::cell::Cell;
use std::fs;
use std::path::{Path, PathBuf};

use git2::{
    AutotagOption, Cred, CredentialType, Direction, FetchOptions, Oid, ProxyOptions, RemoteCallbacks, Repository,
};
use sha2::{Digest, Sha256};

use super::{Snapshot, about, tree};
use crate::gitops::error::Error;

/// How often one connection tries to authenticate: agent, two keys, a credential helper.
const MAX_CREDENTIALS: usize = 6;

/// How much of a hash names a clone's directory; enough to never meet twice.
const NAME_LENGTH: usize = 16;

/// A URL with its credentials kept apart from what is shown.
pub(in super::super) struct Url {
    full: String,
    shown: String,
    secrets: Vec<String>,
    user: Option<String>,
    password: Option<String>,
}

impl std::fmt::Debug for Url {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str(&self.shown)
    }
}

impl Url {
    /// Reads `https://…`, `ssh://…`, `git://…`, `file://…` and `user@host:path`; None for anything else.
    pub fn parse(text: &str) -> Option<Self> {
        if let Some((scheme, rest)) = text.split_once("://") {
            if !["http", "https", "ssh", "git", "file", "git+ssh", "ssh+git"].contains(&scheme) {
                return None;
            }
            let (authority, path) = rest.find('/').map_or((rest, ""), |slash| rest.split_at(slash));
            let (login, host) = authority
                .rsplit_once('@')
                .map_or((None, authority), |(login, host)| (Some(login), host));
            let (user, password) = match login.map(|login| login.split_once(':').unwrap_or((login, ""))) {
                Some((user, password)) => (
                    Some(decode(user)),
                    Some(decode(password)).filter(|text| !text.is_empty()),
                ),
                None => (None, None),
            };
            let keep_user = scheme.contains("ssh");
            let shown_user = user
                .as_deref()
                .filter(|_| keep_user)
                .map(|user| format!("{user}@"))
                .unwrap_or_default();
            let shown = format!("{scheme}://{shown_user}{host}{path}");
            let mut secrets: Vec<String> = login
                .into_iter()
                .filter(|_| !keep_user || password.is_some())
                .map(str::to_owned)
                .collect();
            secrets.extend(password.clone());
            // A token may stand alone, as the user's name.
            secrets.extend(user.clone().filter(|_| !keep_user && password.is_none()));
            return Some(Self {
                full: text.to_owned(),
                shown,
                secrets,
                user,
                password,
            });
        }
        let (host, path) = text.split_once(':')?;
        let valid = !host.is_empty() && !path.is_empty() && !host.contains('/') && !host.contains(char::is_whitespace);
        valid.then(|| Self {
            full: text.to_owned(),
            shown: text.to_owned(),
            secrets: Vec::new(),
            user: host.split_once('@').map(|(user, _)| user.to_owned()),
            password: None,
        })
    }

    /// The URL without credentials.
    pub fn shown(&self) -> &str {
        &self.shown
    }

    /// Under which name its clone is kept.
    pub fn directory_name(&self) -> String {
        let hash = Sha256::digest(self.shown.as_bytes());
        let hex: String = hash.iter().map(|byte| format!("{byte:02x}")).collect();
        hex[..NAME_LENGTH].to_owned()
    }

    fn is_local(&self) -> bool {
        self.full.starts_with("file://")
    }

    fn failed(&self, step: &str, error: &git2::Error) -> Error {
        let mut message = error.message().to_owned();
        for secret in &self.secrets {
            message = message.replace(secret.as_str(), "***");
        }
        Error::Source(format!("{step} {}: {message}", self.shown))
    }
}

/// `%40` and the like.
fn decode(text: &str) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((first, after)) = rest.split_first() {
        let escaped = (*first == b'%')
            .then(|| {
                after
                    .get(..2)
                    .and_then(|hex| u8::from_str_radix(std::str::from_utf8(hex).ok()?, 16).ok())
            })
            .flatten();
        bytes.push(escaped.unwrap_or(*first));
        rest = if escaped.is_some() { &after[2..] } else { after };
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

/// The reference in our clone that holds what was last fetched for this reference of the remote.
fn kept_reference(reference: Option<&str>) -> String {
    let hash = Sha256::digest(reference.unwrap_or("HEAD").as_bytes());
    let hex: String = hash
        .iter()
        .take(NAME_LENGTH / 2)
        .map(|byte| format!("{byte:02x}"))
        .collect();
    format!("refs/reconcile/{hex}")
}

/// Brings the clone up to date with the remote's reference.
pub(in super::super) fn fetch(url: &Url, clone: &Path, reference: Option<&str>) -> Result<(), Error> {
    let repository = open_clone(clone)?;
    let mut remote = repository
        .remote_anonymous(&url.full)
        .map_err(|error| url.failed("opening", &error))?;
    let attempts = Cell::new(0);
    let mut proxy = ProxyOptions::new();
    proxy.auto();
    let mut connection = remote
        .connect_auth(Direction::Fetch, Some(callbacks(url, &attempts)), Some(proxy))
        .map_err(|error| url.failed("connecting to", &error))?;
    let wanted = {
        let heads = connection.list().map_err(|error| url.failed("asking", &error))?;
        let heads: Vec<(&str, Oid)> = heads.iter().map(|head| (head.name(), head.oid())).collect();
        choose(&heads, reference).map_err(|reason| Error::Source(format!("{}: {reason}", url.shown)))?
    };
    let kept = kept_reference(reference);
    if let Wanted::Reference { id, .. } = &wanted
        && repository.refname_to_id(&kept).is_ok_and(|have| have == *id)
    {
        return Ok(());
    }
    let everything = [
        "+refs/heads/*:refs/heads/*".to_owned(),
        "+refs/tags/*:refs/tags/*".to_owned(),
    ];
    let specs: Vec<String> = match &wanted {
        Wanted::Reference { name, .. } => vec![format!("+{name}:{kept}")],
        Wanted::Commit(_) => everything.to_vec(),
    };
    let shallow = matches!(wanted, Wanted::Reference { .. }) && !url.is_local();
    let mut options = FetchOptions::new();
    options
        .remote_callbacks(callbacks(url, &attempts))
        .download_tags(AutotagOption::None)
        .update_fetchhead(false);
    if shallow {
        options.depth(1);
    }
    connection
        .remote()
        .fetch(&specs, Some(&mut options), Some("reconcile"))
        .map_err(|error| url.failed("fetching from", &error))?;
    drop(connection);
    if let Wanted::Commit(hash) = &wanted {
        let object = repository
            .revparse_single(hash)
            .map_err(|_| Error::Source(format!("{} has no branch, tag or commit {hash}", url.shown)))?;
        repository
            .reference(&kept, object.id(), true, "reconcile")
            .map_err(|error| url.failed("keeping the commit of", &error))?;
    }
    Ok(())
}

/// What is to be fetched.
#[derive(Debug, PartialEq, Eq)]
enum Wanted {
    /// A reference of the remote, which is at this object.
    Reference { name: String, id: Oid },
    /// A commit that no reference need point to.
    Commit(String),
}

/// Which of the remote's references is meant: branches before tags, so that what is followed moves.
fn choose(heads: &[(&str, Oid)], reference: Option<&str>) -> Result<Wanted, String> {
    let find = |name: &str| {
        heads
            .iter()
            .find(|(head, _)| *head == name)
            .map(|(name, id)| Wanted::Reference {
                name: (*name).to_owned(),
                id: *id,
            })
    };
    let Some(reference) = reference else {
        return find("HEAD")
            .ok_or_else(|| "the repository has no commit yet, or its HEAD names a branch that is missing".into());
    };
    let found = find(reference)
        .filter(|_| reference.starts_with("refs/") || reference == "HEAD")
        .or_else(|| find(&format!("refs/heads/{reference}")))
        .or_else(|| find(&format!("refs/tags/{reference}")));
    if let Some(found) = found {
        return Ok(found);
    }
    let is_hash = (4..=40).contains(&reference.len()) && reference.bytes().all(|byte| byte.is_ascii_hexdigit());
    if is_hash {
        return Ok(Wanted::Commit(reference.to_lowercase()));
    }
    let mut branches: Vec<&str> = heads
        .iter()
        .filter_map(|(name, _)| name.strip_prefix("refs/heads/"))
        .collect();
    branches.truncate(super::BRANCHES_SHOWN);
    Err(format!(
        "no branch or tag {reference} (branches: {})",
        branches.join(", ")
    ))
}

/// Opens our clone, or makes it; one that is broken is made again, for it holds nothing that the remote does not.
fn open_clone(clone: &Path) -> Result<Repository, Error> {
    if let Ok(repository) = Repository::open_bare(clone) {
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
pub(in super::super) fn is_fetched(clone: &Path, reference: Option<&str>) -> bool {
    Repository::open_bare(clone).is_ok_and(|repository| repository.find_reference(&kept_reference(reference)).is_ok())
}

/// Reads the manifests as last fetched.
pub(in super::super) fn read_clone(clone: &Path, reference: Option<&str>, folder: &Path) -> Result<Snapshot, Error> {
    let repository = Repository::open_bare(clone).map_err(|_| Error::Source("nothing was fetched yet".into()))?;
    let commit = repository
        .find_reference(&kept_reference(reference))
        .map_err(|_| Error::Source("nothing was fetched yet".into()))?
        .peel_to_commit()
        .map_err(|error| super::failed("reading what was fetched", &error))?;
    let about = about(&commit, None);
    tree::read(&repository, &commit, about, folder)
}

fn callbacks<'a>(url: &'a Url, attempts: &'a Cell<usize>) -> RemoteCallbacks<'a> {
    let mut callbacks = RemoteCallbacks::new();
    attempts.set(0);
    callbacks.credentials(move |_, user_of_url, allowed| {
        let attempt = attempts.get();
        attempts.set(attempt + 1);
        if attempt >= MAX_CREDENTIALS {
            return Err(git2::Error::from_str(
                "authentication failed with every credential at hand",
            ));
        }
        credential(url, user_of_url, allowed, attempt)
    });
    callbacks
}

/// The credential for this attempt: what the URL says, then the agent and the usual keys, or a credential helper.
fn credential(
    url: &Url,
    user_of_url: Option<&str>,
    allowed: CredentialType,
    attempt: usize,
) -> Result<Cred, git2::Error> {
    let user = url.user.as_deref().or(user_of_url);
    if allowed.contains(CredentialType::USERNAME) {
        return Cred::username(user.unwrap_or("git"));
    }
    if allowed.contains(CredentialType::SSH_KEY) {
        let user = user.unwrap_or("git");
        let Some(earlier) = attempt.checked_sub(1) else {
            return Cred::ssh_key_from_agent(user);
        };
        return match ssh_keys().get(earlier) {
            Some(key) => Cred::ssh_key(user, None, key, None),
            None => Err(git2::Error::from_str(
                "the server takes neither the ssh agent's keys nor those in ~/.ssh",
            )),
        };
    }
    if allowed.contains(CredentialType::USER_PASS_PLAINTEXT) {
        if attempt == 0
            && let Some(user) = &url.user
        {
            return Cred::userpass_plaintext(user, url.password.as_deref().unwrap_or_default());
        }
        if attempt <= 1
            && let Ok(config) = git2::Config::open_default()
            && let Ok(found) = Cred::credential_helper(&config, &url.full, user)
        {
            return Ok(found);
        }
        return Err(git2::Error::from_str(
            "the server asks for a login and refuses, or does not get, the one in the URL or of git's credential helper",
        ));
    }
    Err(git2::Error::from_str(
        "the server asks for a kind of login that is not supported",
    ))
}

fn ssh_keys() -> Vec<PathBuf> {
    let Some(home) = std::env::home_dir() else {
        return Vec::new();
    };
    ["id_ed25519", "id_ecdsa", "id_rsa"]
        .iter()
        .map(|name| home.join(".ssh").join(name))
        .filter(|path| path.is_file())
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_are_told_from_paths_and_show_no_credentials() {
        for (text, shown) in [
            (
                "https://user:s3cret@example.com/a.git",
                Some("https://example.com/a.git"),
            ),
            ("https://tok3n@example.com/a.git", Some("https://example.com/a.git")),
            ("ssh://git@example.com:22/a.git", Some("ssh://git@example.com:22/a.git")),
            ("git@example.com:a/b.git", Some("git@example.com:a/b.git")),
            ("file:///srv/a.git", Some("file:///srv/a.git")),
            ("./apps", None),
            ("/srv/a:b", None),
            ("C", None),
            ("ftp://example.com/a", None),
        ] {
            assert_eq!(
                Url::parse(text).map(|url| url.shown),
                shown.map(str::to_owned),
                "{text}"
            );
        }
        let url = Url::parse("https://user:p%40ss@example.com/a").expect("a URL");
        assert_eq!(url.password.as_deref(), Some("p@ss"));
        let error = url.failed(
            "connecting to",
            &git2::Error::from_str("bad https://user:p%40ss@example.com/a and p@ss"),
        );
        assert!(
            !error.to_string().contains("p@ss") && !error.to_string().contains("p%40ss"),
            "{error}"
        );
        assert!(!format!("{url:?}").contains("p%40"));
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
        for (reference, expected) in [
            (None, named("HEAD", 1)),
            (Some("main"), named("refs/heads/main", 1)),
            (Some("v1"), named("refs/heads/v1", 2)),
            (Some("refs/tags/v1"), named("refs/tags/v1", 3)),
            (Some("beef"), named("refs/tags/beef", 4)),
            (Some("ABCDEF1"), Ok(Wanted::Commit("abcdef1".into()))),
            (
                Some("nope!"),
                Err("no branch or tag nope! (branches: main, v1)".to_owned()),
            ),
        ] {
            assert_eq!(choose(&heads, reference), expected, "{reference:?}");
        }
    }
}
