//! Fetches the submodules of what is read, those in them included, and remembers which could not be.

use std::collections::BTreeMap;
use std::sync::{Arc, PoisonError};

use super::limits::READ_TIMEOUT;
use super::reference::Reference;
use super::{Inner, Kind, Snapshot, Source, View, fetch, git, unread};
use crate::gitops::error::Error;

/// How deep submodules may lie in submodules.
const MAX_NESTED: usize = 16;

/// What became of the submodules.
#[derive(Debug, Default)]
pub(super) struct Fetched {
    /// The revision of which all were fetched.
    all_of: Option<String>,
    /// Why one was not, by its URL and commit.
    failures: BTreeMap<(String, String), String>,
}

fn key(module: &git::Module) -> (String, String) {
    (module.url.shown().to_owned(), module.commit.clone())
}

impl Source {
    /// Fetches what was not fetched yet. Where one cannot be, the rest is read without it, and nothing is deleted.
    pub(super) async fn fetch_modules(&self) -> Result<(), Error> {
        let Kind::Remote { clone, .. } = &self.inner.kind else {
            return Ok(());
        };
        if !self.inner.modules.are_wanted() {
            return Ok(());
        }
        let at = git::fetched(clone, &self.inner.reference);
        let inner = Arc::clone(&self.inner);
        if inner.with_fetched(|fetched| fetched.all_of.is_some() && fetched.all_of == at) {
            return Ok(());
        }
        // Read as a preview is: nothing is remembered of it.
        let all = self.fetch_lacking(move || inner.read(View::OnDisk)).await?;
        self.inner.with_fetched(|fetched| fetched.all_of = at.filter(|_| all));
        Ok(())
    }

    /// Fetches what a reading lacks, again and again: one that was fetched may hold others. Whether that was all.
    pub(super) async fn fetch_lacking(
        &self,
        read: impl Fn() -> Result<Snapshot, Error> + Send + Sync + 'static,
    ) -> Result<bool, Error> {
        let read = Arc::new(read);
        let mut failures = BTreeMap::new();
        for _ in 0..MAX_NESTED {
            let read = Arc::clone(&read);
            let snapshot = self.inner.given_up.within(READ_TIMEOUT, move || read()).await;
            // What cannot be read at all is told by whoever reads it.
            let lacking = snapshot.map(|snapshot| snapshot.lacking).unwrap_or_default();
            let lacking: Vec<_> = lacking
                .into_iter()
                .filter(|module| !failures.contains_key(&key(module)))
                .collect();
            if lacking.is_empty() {
                break;
            }
            for module in lacking {
                let (url, access) = (Arc::clone(&module.url), Arc::clone(&module.access));
                let commit = Reference::Named(module.commit.clone());
                if let Err(error) = fetch(url, access, module.clone.clone(), commit).await {
                    failures.insert(key(&module), error.to_string());
                }
            }
        }
        let all = failures.is_empty();
        self.inner.with_fetched(|fetched| fetched.failures = failures);
        Ok(all)
    }

    /// Whether a submodule could not be fetched, which trying again may mend.
    pub fn lacks_modules(&self) -> bool {
        self.inner.with_fetched(|fetched| !fetched.failures.is_empty())
    }
}

impl Inner {
    fn with_fetched<T>(&self, work: impl FnOnce(&mut Fetched) -> T) -> T {
        work(&mut self.fetched.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// With a problem for each submodule that it lacks: then it is not complete.
    pub(super) fn told(&self, mut snapshot: Snapshot) -> Snapshot {
        for module in std::mem::take(&mut snapshot.lacking) {
            let reason = self.with_fetched(|fetched| {
                fetched.all_of = None;
                fetched.failures.get(&key(&module)).cloned()
            });
            let reason = reason.unwrap_or_else(|| "it was not fetched yet".to_owned());
            snapshot.problems.push(unread(&module.path, &reason));
            snapshot.problems.sort();
        }
        snapshot
    }
}
