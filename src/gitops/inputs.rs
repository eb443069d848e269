//! What a configuration was read from besides itself, files and Secrets: whether they are still as they were, and what
//! they say now.

use std::collections::BTreeMap;
use std::fmt;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use k8s_openapi::api::core::v1::Secret;
use kube::{Api, Client};

use super::access::Access;
use super::config::Config;
use super::error::Error;
use super::telling::{CommitStatus, Receiver};
use super::trust::Verify;
use crate::client::Told;

/// What files and Secrets say of a source.
#[derive(Clone, Debug, Default)]
pub struct Held {
    /// What a remote is given to let us in, and whom to trust there.
    pub access: Access,
    /// What must be signed, and by whom, if anything must.
    pub verify: Option<Verify>,
    /// Who is told by HTTP what happens to it.
    pub receivers: Vec<Receiver>,
    /// Where its commits are shown to be applied.
    pub commit_status: Option<CommitStatus>,
}

type Read = dyn Fn(&mut Inputs) -> Result<Held, Error> + Send + Sync;

/// What a configuration was read from, as it was then.
#[derive(Clone, Default)]
pub struct Inputs {
    files: BTreeMap<PathBuf, Stamp>,
    /// By namespace and name, at their resourceVersion.
    secrets: BTreeMap<(String, String), String>,
    read: Option<Arc<Read>>,
}

impl fmt::Debug for Inputs {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { files, secrets, .. } = self;
        write!(formatter, "Inputs({:?}, {:?})", files.keys(), secrets.keys())
    }
}

/// Tells a file from what it was before; None where it cannot be looked at.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Stamp(Option<(u64, u64, [i64; 4])>);

impl Stamp {
    fn of(path: &Path) -> Self {
        let stamp = |found: std::fs::Metadata| {
            let times = [found.mtime(), found.mtime_nsec(), found.ctime(), found.ctime_nsec()];
            (found.ino(), found.len(), times)
        };
        Self(std::fs::metadata(path).ok().map(stamp))
    }
}

impl Inputs {
    /// Notes a file that is about to be read.
    pub fn file(&mut self, path: impl Into<PathBuf>) {
        let path = path.into();
        let stamp = Stamp::of(&path);
        self.files.insert(path, stamp);
    }

    /// Notes a Secret that was read.
    pub(super) fn secret(&mut self, namespace: &str, name: &str, version: String) {
        self.secrets.insert((namespace.to_owned(), name.to_owned()), version);
    }

    /// Fails with [`Error::Outdated`] where something is not as it was. What cannot be asked for is as it was.
    pub(super) async fn unchanged(&self, client: &Client) -> Result<(), Error> {
        let outdated = |what: String| Err(Error::Outdated(what));
        for (path, before) in &self.files {
            if Stamp::of(path) != *before {
                return outdated(path.display().to_string());
            }
        }
        for ((namespace, name), before) in &self.secrets {
            let secrets: Api<Secret> = Api::namespaced(client.clone(), namespace);
            match secrets.get_metadata_opt(name).await {
                Ok(found) => {
                    let version = found.and_then(|found| found.metadata.resource_version);
                    if version.as_ref() != Some(before) {
                        return outdated(format!("Secret {namespace}/{name}"));
                    }
                }
                Err(error) => tracing::debug!(namespace, name, error = %Told(&error), "a Secret cannot be looked at"),
            }
        }
        Ok(())
    }
}

impl Config {
    /// With what files say, which `read` reads now, and again whenever one that it noted changes.
    ///
    /// # Errors
    /// What `read` fails with.
    pub fn with_files(
        mut self,
        read: impl Fn(&mut Inputs) -> Result<Held, Error> + Send + Sync + 'static,
    ) -> Result<Self, Error> {
        self.inputs.read = Some(Arc::new(read));
        self.read_again()
    }

    /// With what its files say now.
    pub(super) fn read_again(&self) -> Result<Self, Error> {
        let Some(read) = self.inputs.read.clone() else {
            return Ok(self.clone());
        };
        let mut inputs = Inputs::default();
        if let Some(file) = &self.webhook_secret {
            inputs.file(file);
        }
        let held = read(&mut inputs)?;
        inputs.read = Some(read);
        Ok(Self {
            access: held.access,
            verify: held.verify,
            receivers: held.receivers,
            commit_status: held.commit_status,
            inputs,
            ..self.clone()
        })
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn a_file_that_changes_comes_or_goes_is_not_as_it_was() {
        let scratch = tempfile::tempdir().expect("a directory");
        let path = scratch.path().join("key");
        let mut before = Stamp::of(&path);
        for (name, change) in [
            ("it comes", Some("one")),
            ("another content of that length", Some("two")),
            ("it goes", None),
        ] {
            match change {
                // Beside and renamed, as secrets are mounted.
                Some(text) => {
                    fs::write(path.with_extension("new"), text).expect("written");
                    fs::rename(path.with_extension("new"), &path).expect("renamed");
                }
                None => fs::remove_file(&path).expect("removed"),
            }
            let now = Stamp::of(&path);
            assert_ne!(now, before, "{name}");
            assert_eq!(now, Stamp::of(&path), "{name}");
            before = now;
        }
    }
}
