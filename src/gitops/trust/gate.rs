//! Lets verified revisions through, and remembers the last one, also over a restart.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use chrono::{DateTime, Utc};
use sha2::{Digest, Sha256};

use super::{Mode, Refusal, Tip, Verify};
use crate::gitops::error::Error;

/// How much of a hash names a record; enough to never meet twice.
const NAME_LENGTH: usize = 16;

/// A policy for one source and reference.
#[derive(Debug)]
pub struct Gate {
    verify: Verify,
    /// The file that tells the last verified revision.
    record: PathBuf,
    last: Mutex<Option<Verified>>,
}

/// What was verified.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Verified {
    /// The tag or commit whose signature was good.
    object: String,
    /// The commit that it leads to.
    commit: String,
}

impl Gate {
    /// The gate before a source of that identity.
    pub fn new(verify: Verify, data_dir: &Path, identity: &str, reference: Option<&str>) -> Self {
        let hash = Sha256::digest(format!("{identity}\0{}", reference.unwrap_or_default()));
        let record = data_dir.join("verified").join(&hex::encode(hash)[..NAME_LENGTH]);
        let last = Mutex::new(load(&record, &verify.digest()));
        Self { verify, record, last }
    }

    /// Whether the tag is what must be signed, and not the commit.
    pub fn wants_tag(&self) -> bool {
        self.verify.mode == Mode::Tag
    }

    /// Whether this may be applied. What was verified before stays so: a key that expires takes nothing away.
    pub fn check(&self, tip: &Tip<'_>, now: DateTime<Utc>) -> Result<(), Refusal> {
        match self.last().is_some_and(|last| last.object == tip.id) {
            true => Ok(()),
            false => self.verify.check(tip, now),
        }
    }

    /// The commit that was verified last, under this very policy.
    pub fn last_commit(&self) -> Option<String> {
        self.last().map(|last| last.commit)
    }

    fn last(&self) -> Option<Verified> {
        self.last.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Remembers what was just verified.
    ///
    /// # Errors
    /// Where the record cannot be written: without it a restart would not know what to keep up.
    pub fn keep(&self, object: &str, commit: &str) -> Result<(), Error> {
        let verified = Verified {
            object: object.to_owned(),
            commit: commit.to_owned(),
        };
        if self.last().as_ref() == Some(&verified) {
            return Ok(());
        }
        let text = format!("{} {object} {commit}\n", self.verify.digest());
        store(&self.record, &text).map_err(|error| {
            Error::Source(format!(
                "writing the verified revision to {}: {error}",
                self.record.display()
            ))
        })?;
        *self.last.lock().unwrap_or_else(PoisonError::into_inner) = Some(verified);
        Ok(())
    }
}

/// Written beside and renamed, so that a crash leaves the old record or the new one.
fn store(record: &Path, text: &str) -> std::io::Result<()> {
    if let Some(folder) = record.parent() {
        fs::create_dir_all(folder)?;
    }
    let beside = record.with_extension("new");
    fs::write(&beside, text)?;
    fs::rename(&beside, record)
}

/// The record, if there is one of this policy. One of another proves nothing; one that cannot be read is none.
fn load(record: &Path, policy: &str) -> Option<Verified> {
    let text = match fs::read_to_string(record) {
        Ok(text) => text,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return None,
        Err(error) => {
            tracing::warn!(file = %record.display(), %error, "the last verified revision cannot be read");
            return None;
        }
    };
    match text.split_whitespace().collect::<Vec<_>>().as_slice() {
        [of, object, commit] if *of == policy => Some(Verified {
            object: (*object).to_owned(),
            commit: (*commit).to_owned(),
        }),
        _ => None,
    }
}
