//! Who may sign what is applied: keys from files, and whether a commit's or tag's signature is one of theirs. Decides
//! over bytes; only [`Keyring::read`] and the record of the last verified revision touch files.
//!
//! Only the revision that would be applied is checked: what it was merged from may be unsigned, for who signs a merge
//! vouches for its content. A signature says who, not when: an older revision that was signed is accepted as well.

mod allowed;
mod gate;
mod object;
mod openpgp;
mod spec;
mod ssh;

use std::fmt;
use std::io::Read as _;
use std::path::PathBuf;
use std::sync::Arc;

use chrono::{DateTime, Utc};
use sha2::{Digest, Sha256};

use super::error::Error;
use object::Signed;

pub(super) use gate::Gate;

/// One file of keys. A thousand OpenPGP keys with many signatures on them have less.
const MAX_FILE_BYTES: u64 = 4 << 20;

/// What must be signed, and by whom.
#[derive(Clone, Debug)]
pub struct Verify {
    /// Who may sign.
    pub keyring: Keyring,
    /// What must be signed.
    pub mode: Mode,
}

/// What must be signed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// The commit that is applied.
    Commit,
    /// The annotated tag that leads to it, under the name that is followed.
    Tag,
}

/// Public keys whose signatures count. Read once: a changed file takes a new start.
#[derive(Clone)]
pub struct Keyring(Arc<Keys>);

struct Keys {
    ssh: Vec<ssh::Signer>,
    openpgp: Vec<pgp::composed::SignedPublicKey>,
    /// Of the files' text: another keyring is another policy.
    digest: String,
}

impl fmt::Debug for Keyring {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Keys { ssh, openpgp, .. } = &*self.0;
        write!(formatter, "Keyring({} SSH, {} OpenPGP)", ssh.len(), openpgp.len())
    }
}

impl Keyring {
    /// Reads files, each an `allowed_signers` file as ssh-keygen(1) describes it, or armoured OpenPGP public keys.
    ///
    /// # Errors
    /// Where a file cannot be read or understood, or holds no key; with its name and line.
    pub fn read(paths: &[PathBuf]) -> Result<Self, Error> {
        let mut files = Vec::with_capacity(paths.len());
        for path in paths {
            let shown = path.display().to_string();
            let failed = |reason: String| Error::Config(format!("keys in {shown}: {reason}"));
            let file = std::fs::File::open(path).map_err(|error| failed(error.to_string()))?;
            let mut bytes = Vec::new();
            file.take(MAX_FILE_BYTES + 1)
                .read_to_end(&mut bytes)
                .map_err(|error| failed(error.to_string()))?;
            let text = spec::text(&shown, bytes)?;
            files.push((shown, text));
        }
        Self::parse(&files)
    }

    /// Understands files, each with its name.
    ///
    /// # Errors
    /// Where one cannot be understood or holds no key.
    pub fn parse(files: &[(String, String)]) -> Result<Self, Error> {
        let (mut ssh, mut openpgp) = (Vec::new(), Vec::new());
        let mut digest = Sha256::new();
        for (name, text) in files {
            let failed = |reason: String| Error::Config(format!("keys in {name}{reason}"));
            let before = ssh.len() + openpgp.len();
            match openpgp::is_armoured(text) {
                true => openpgp.extend(openpgp::parse(text).map_err(|reason| failed(format!(": {reason}")))?),
                false => ssh
                    .extend(allowed::parse(text).map_err(|(line, reason)| failed(format!(", line {line}: {reason}")))?),
            }
            if before == ssh.len() + openpgp.len() {
                return Err(failed(": there is none".into()));
            }
            digest.update(text.len().to_be_bytes());
            digest.update(text);
        }
        let digest = hex::encode(digest.finalize());
        Ok(Self(Arc::new(Keys { ssh, openpgp, digest })))
    }
}

/// What a reference leads to, as git stores it.
#[derive(Debug)]
pub(super) struct Tip<'a> {
    /// The object's hash.
    pub id: String,
    /// Whether it is a tag or a commit.
    pub is_tag: bool,
    /// Its bytes, of that very hash.
    pub raw: &'a [u8],
    /// What git reads in them: the tree of a commit, the object of a tag.
    pub target: String,
    /// The reference that led to it.
    pub reference: Option<&'a str>,
}

/// Why something is not applied.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum Refusal {
    #[error("it has no signature")]
    Unsigned,
    #[error("what leads to it is no annotated tag, and only such a tag can be signed")]
    NoTag,
    #[error("the tag was signed under another name, {0}")]
    OtherName(String),
    #[error("its key {0} is not allowed")]
    UnknownKey(String),
    #[error("its key {key} expired on {at}")]
    Expired { key: String, at: String },
    #[error("its key {key} is valid only from {from} on")]
    TooEarly { key: String, from: String },
    #[error("its key {0} was revoked")]
    Revoked(String),
    #[error("its key {key} may not sign: {reason}")]
    Unfit { key: String, reason: String },
    #[error("its signature does not fit its content, which was changed after it was signed")]
    Mismatch,
    #[error("its signature was made for {0:?}, not for git")]
    OtherPurpose(String),
    #[error("its signature uses {0}, which can be forged")]
    Weak(String),
    #[error("its signature cannot be read: {0}")]
    Unreadable(String),
}

impl Refusal {
    fn unreadable(reason: impl Into<String>) -> Self {
        Self::Unreadable(reason.into())
    }

    fn expired(key: &str, at: DateTime<Utc>) -> Self {
        Self::Expired {
            key: key.to_owned(),
            at: shown(at),
        }
    }

    fn too_early(key: &str, from: DateTime<Utc>) -> Self {
        Self::TooEarly {
            key: key.to_owned(),
            from: shown(from),
        }
    }
}

fn shown(time: DateTime<Utc>) -> String {
    time.format("%Y-%m-%d %H:%M UTC").to_string()
}

impl Verify {
    /// Whether what a reference leads to is signed as asked.
    pub(super) fn check(&self, tip: &Tip<'_>, now: DateTime<Utc>) -> Result<(), Refusal> {
        let signed = match (self.mode, tip.is_tag) {
            (Mode::Tag, false) => return Err(Refusal::NoTag),
            (Mode::Commit, true) => return Err(Refusal::unreadable("a tag stands where the commit is wanted")),
            (Mode::Tag, true) => Signed::tag(tip.raw)?,
            (Mode::Commit, false) => Signed::commit(tip.raw)?,
        };
        let target = signed.header(if tip.is_tag { "object" } else { "tree" });
        if target.as_deref() != Some(&*tip.target) {
            return Err(Refusal::Mismatch);
        }
        if tip.is_tag {
            let name = signed.header("tag").unwrap_or_default();
            let followed = tip.reference.unwrap_or_default();
            if name != followed.strip_prefix("refs/tags/").unwrap_or(followed) {
                return Err(Refusal::OtherName(name));
            }
        }
        match openpgp::is_signature(&signed.signature) {
            true => openpgp::verify(&self.keyring.0.openpgp, &signed, now),
            false => ssh::verify(&self.keyring.0.ssh, &signed, now),
        }
    }

    /// Differs whenever the policy does.
    fn digest(&self) -> String {
        format!("{:?}-{}", self.mode, self.keyring.0.digest)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: &str = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIE1hbhDHjrJKDk3ecVkCHuhIGFwMxsE7mGIwRBGKfFEl";

    /// Before any key is looked at.
    #[test]
    fn what_git_reads_must_be_what_was_signed() {
        let keyring = |text: &str| Keyring::parse(&[("keys".to_owned(), text.to_owned())]).expect("keys");
        let commit = "tree 11\nauthor A <a@x> 1 +0000\ncommitter A <a@x> 1 +0000\ngpgsig none\n\nhello\n";
        let tag = "object 22\ntype commit\ntag v1\ntagger A <a@x> 1 +0000\n\n-----BEGIN SSH SIGNATURE-----\n";
        let unread = "its signature cannot be read";
        for (name, mode, raw, target, reference, expected) in [
            ("a commit", Mode::Commit, commit, "11", None, unread),
            ("another tree", Mode::Commit, commit, "12", None, "does not fit"),
            ("a tag", Mode::Tag, tag, "22", Some("v1"), unread),
            ("by its full name", Mode::Tag, tag, "22", Some("refs/tags/v1"), unread),
            ("another object", Mode::Tag, tag, "11", Some("v1"), "does not fit"),
            (
                "another name",
                Mode::Tag,
                tag,
                "22",
                Some("v2"),
                "under another name, v1",
            ),
            ("no name", Mode::Tag, tag, "22", None, "under another name, v1"),
            (
                "a commit for a tag",
                Mode::Tag,
                commit,
                "11",
                Some("v1"),
                "no annotated tag",
            ),
            (
                "a tag for a commit",
                Mode::Commit,
                tag,
                "22",
                Some("v1"),
                "a tag stands where",
            ),
        ] {
            let verify = Verify {
                keyring: keyring(&format!("a {KEY}")),
                mode,
            };
            let tip = Tip {
                id: String::new(),
                is_tag: raw == tag,
                raw: raw.as_bytes(),
                target: target.to_owned(),
                reference,
            };
            let refusal = verify.check(&tip, DateTime::UNIX_EPOCH).expect_err(name).to_string();
            assert!(refusal.contains(expected), "{name}: {refusal}");
        }
        let (one, two) = (keyring(&format!("a {KEY}")), keyring(&format!("b {KEY}")));
        let digest = |keyring: &Keyring, mode| {
            Verify {
                keyring: keyring.clone(),
                mode,
            }
            .digest()
        };
        assert_eq!(digest(&one, Mode::Tag), digest(&one, Mode::Tag));
        assert_ne!(digest(&one, Mode::Tag), digest(&one, Mode::Commit));
        assert_ne!(digest(&one, Mode::Tag), digest(&two, Mode::Tag));
    }
}
