//! Going back: finds and reads commits that are not what the source is at.

use super::{Inner, Kind, Snapshot, Source, View, git};
use crate::gitops::error::Error;
use crate::gitops::report::Commit;
use crate::gitops::source::limits::READ_TIMEOUT;
use crate::gitops::source::reference::Reference;

impl Source {
    /// The commit that a person means: by its hash or the beginning of one, or by a branch or tag. Those that are known
    /// are meant first.
    ///
    /// # Errors
    /// Where there is none, naming branches and tags that there are; or where the source is no git source.
    pub async fn find(&self, text: &str, known: &[Commit]) -> Result<Commit, Error> {
        let (inner, text) = (&*self.inner, text.to_owned());
        let earlier = git::among(known, &text)?.cloned();
        match &inner.kind {
            Kind::Directory(_) => Err(Error::Config(format!(
                "{} has no revisions to go back to; only git keeps them",
                self.describe()
            ))),
            Kind::Repository(root) => {
                let root = root.clone();
                blocking(move || match earlier {
                    Some(commit) => git::find(&git::open(&root)?, &commit.id).map(|_| commit),
                    None => git::find(&git::open(&root)?, &text),
                })
                .await
            }
            Kind::Remote { clone, url, .. } => {
                if let Some(commit) = earlier {
                    return self.have(&commit).await.map(|()| commit);
                }
                // What was fetched before needs no remote that answers.
                let (ours, hash) = (clone.clone(), text.clone());
                let fetched = match git::is_hash(&text) {
                    true => blocking(move || Ok(git::find_in_clone(&ours, &hash))).await?,
                    false => None,
                };
                if let Some(commit) = fetched {
                    return Ok(commit);
                }
                let reference = Reference::Named(text.clone());
                self.fetch(reference.clone()).await?;
                let (clone, shown) = (clone.clone(), url.shown().to_owned());
                blocking(move || {
                    git::find_fetched(&clone, &reference, &text)
                        .map_err(|error| Error::Source(format!("{shown}: {error}")))
                })
                .await
            }
        }
    }

    /// Reads the files of this very commit, which must be signed as any other.
    ///
    /// # Errors
    /// Where it is gone and the remote does not give it out either, or it is not signed as it must be.
    pub async fn read_commit(&self, commit: &Commit) -> Result<Snapshot, Error> {
        self.have(commit).await?;
        let (source, commit) = (self.clone(), commit.clone());
        let read = move || source.inner.read_commit(&commit);
        if self.inner.modules.are_wanted() {
            self.fetch_lacking(read.clone()).await?;
        }
        let read = self.inner.given_up.within(READ_TIMEOUT, read);
        read.await.map(|snapshot| self.inner.told(snapshot))
    }

    /// Keeps a commit in our clone, whatever becomes of the remote's branches; one for each purpose. Repositories on
    /// disk are not ours to write to.
    ///
    /// # Errors
    /// Where the clone cannot be written.
    pub async fn keep(&self, commit: &Commit, purpose: &'static str) -> Result<(), Error> {
        let Kind::Remote { clone, .. } = &self.inner.kind else {
            return Ok(());
        };
        // Sources that differ only in what they follow share the clone.
        let owner = format!("{}\0{}", self.identity(), self.inner.reference.key());
        let (clone, commit) = (clone.clone(), commit.clone());
        blocking(move || git::keep(&clone, &commit, &owner, purpose)).await
    }

    /// Fetches a commit that our clone lacks: it may have been made anew.
    async fn have(&self, commit: &Commit) -> Result<(), Error> {
        let Kind::Remote { clone, .. } = &self.inner.kind else {
            return Ok(());
        };
        let (ours, wanted) = (clone.clone(), commit.clone());
        if blocking(move || Ok(git::is_in_clone(&ours, &wanted))).await? {
            return Ok(());
        }
        self.fetch(Reference::Named(commit.id.clone())).await
    }
}

impl Inner {
    fn read_commit(&self, commit: &Commit) -> Result<Snapshot, Error> {
        let Self {
            kind, folder, ignored, ..
        } = self;
        let repository = match kind {
            Kind::Directory(_) => return self.read(View::Committed),
            Kind::Repository(root) => git::open(root)?,
            Kind::Remote { clone, .. } => git::open(clone)?,
        };
        // It was verified when it was applied, and is again; what was verified last is another matter.
        let policy = self.gate.as_ref().map(|gate| git::Policy { gate, remember: false });
        let extent = git::Extent {
            folder,
            ignored,
            modules: &self.modules,
        };
        git::read_commit(&repository, commit, extent, policy)
    }
}

async fn blocking<T: Send + 'static>(work: impl FnOnce() -> Result<T, Error> + Send + 'static) -> Result<T, Error> {
    tokio::task::spawn_blocking(work)
        .await
        .map_err(|error| Error::Source(format!("reading the source ended early: {error}")))?
}
