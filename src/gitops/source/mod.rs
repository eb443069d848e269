//! Where manifests come from: directories and git. Reads completely or says what is missing; never writes to a source.

mod directory;
mod git;
mod limits;
mod watch;

use std::path::{Component, Path, PathBuf};
use std::sync::Arc;

use super::config::Config;
use super::error::Error;
use super::report::{Problem, Revision};

pub use watch::Watch;

/// A file that may hold manifests.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct File {
    /// Below the source's folder, with `/`.
    pub path: String,
    /// All of it.
    pub contents: Vec<u8>,
}

impl File {
    /// A file of that path and content.
    pub fn new(path: impl Into<String>, contents: &[u8]) -> Self {
        Self {
            path: path.into(),
            contents: contents.to_vec(),
        }
    }
}

/// The source at one moment.
#[derive(Clone, Debug)]
pub struct Snapshot {
    /// Manifest files, sorted by path.
    pub files: Vec<File>,
    /// Which state this is.
    pub revision: Revision,
    /// Files and folders that could not be read. As long as there are any, nothing may be deleted.
    pub problems: Vec<Problem>,
    /// What else a person should know, e.g. that a submodule is not read.
    pub notices: Vec<String>,
}

impl Snapshot {
    /// Whether everything was read.
    pub fn complete(&self) -> bool {
        self.problems.is_empty()
    }
}

/// Which state of a work tree is meant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum View {
    /// The commit at HEAD or at the reference.
    Committed,
    /// The files as they lie on disk, where the source is a work tree and no reference was given.
    OnDisk,
}

/// An opened source.
#[derive(Clone, Debug)]
pub struct Source {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    kind: Kind,
    reference: Option<String>,
    /// Below the source, empty for all of it.
    folder: PathBuf,
}

#[derive(Debug)]
enum Kind {
    /// Files on disk.
    Directory(PathBuf),
    /// A repository on disk, with or without a work tree.
    Repository(PathBuf),
    /// A repository elsewhere, cloned to `clone`.
    Remote { url: git::Url, clone: PathBuf },
}

impl Source {
    /// Finds out what SOURCE is. Asks no network.
    ///
    /// # Errors
    /// Where it does not exist or the flags do not fit it.
    pub fn open(config: &Config) -> Result<Self, Error> {
        let folder = folder(config.path.as_deref())?;
        let path = Path::new(&config.source);
        if !path.exists()
            && let Some(url) = git::Url::parse(&config.source)
        {
            let clone = config.data_dir.join("sources").join(url.directory_name());
            return Ok(Self::new(Kind::Remote { url, clone }, config, folder));
        }
        let root = std::path::absolute(path).map_err(|error| Error::Source(format!("{}: {error}", config.source)))?;
        let metadata = std::fs::metadata(&root)
            .map_err(|error| Error::Source(format!("source {}: {}", root.display(), plain(&error))))?;
        if !metadata.is_dir() {
            return Err(Error::Source(format!(
                "source {} is a file; give the directory it lies in",
                root.display()
            )));
        }
        if git::is_repository(&root) {
            git::open(&root)?;
            return Ok(Self::new(Kind::Repository(root), config, folder));
        }
        if config.reference.is_some() {
            let (top, inside) = git::discover(&root)?.ok_or_else(|| {
                Error::Config(format!(
                    "--ref needs a git repository, and {} lies in none",
                    root.display()
                ))
            })?;
            return Ok(Self::new(Kind::Repository(top), config, inside.join(folder)));
        }
        Ok(Self::new(Kind::Directory(root), config, folder))
    }

    fn new(kind: Kind, config: &Config, folder: PathBuf) -> Self {
        let reference = config.reference.clone();
        Self {
            inner: Arc::new(Inner {
                kind,
                reference,
                folder,
            }),
        }
    }

    /// For a person, without credentials.
    pub fn describe(&self) -> String {
        let Inner {
            kind,
            reference,
            folder,
        } = &*self.inner;
        let mut text = match kind {
            Kind::Directory(root) => format!("directory {}", root.join(folder).display()),
            Kind::Repository(root) => format!("git repository {}", root.display()),
            Kind::Remote { url, .. } => format!("git repository {}", url.shown()),
        };
        if let Some(reference) = reference {
            text = format!("{text} at {reference}");
        }
        if !matches!(kind, Kind::Directory(_)) && !folder.as_os_str().is_empty() {
            text = format!("{text}, folder {}", folder.display());
        }
        text
    }

    /// What makes it this source and no other, whatever its revision: decides which objects it owns.
    pub fn identity(&self) -> String {
        let Inner { kind, folder, .. } = &*self.inner;
        match kind {
            Kind::Directory(root) | Kind::Repository(root) => {
                let full: PathBuf = root.join(folder).components().collect();
                full.display().to_string()
            }
            Kind::Remote { url, .. } if folder.as_os_str().is_empty() => url.shown().to_owned(),
            Kind::Remote { url, .. } => format!("{}//{}", url.shown(), folder.display()),
        }
    }

    /// Whether asking for news needs a network or another repository: then it is done at intervals.
    pub fn is_remote(&self) -> bool {
        matches!(self.inner.kind, Kind::Remote { .. })
    }

    /// Whether there is something to read: a remote may never have been fetched.
    pub fn is_fetched(&self) -> bool {
        match &self.inner.kind {
            Kind::Remote { clone, .. } => git::is_fetched(clone, self.inner.reference.as_deref()),
            _ => true,
        }
    }

    /// Whether it holds files that change one by one, so that a moment's content may be half of what is meant.
    pub fn is_directory(&self) -> bool {
        matches!(self.inner.kind, Kind::Directory(_))
    }

    /// Fetches from a remote; nothing to do for other sources.
    ///
    /// # Errors
    /// Where the remote does not answer, refuses us or has no such reference.
    pub async fn refresh(&self) -> Result<(), Error> {
        let Kind::Remote { .. } = self.inner.kind else {
            return Ok(());
        };
        let inner = Arc::clone(&self.inner);
        // A thread of its own: libgit2 cannot be interrupted, and a hung remote must not keep the process from ending.
        let (sender, receiver) = tokio::sync::oneshot::channel();
        std::thread::Builder::new()
            .name("git-fetch".into())
            .spawn(move || {
                if let Kind::Remote { url, clone } = &inner.kind
                    && sender.send(git::fetch(url, clone, inner.reference.as_deref())).is_err()
                {
                    tracing::debug!("a fetch ended after nobody waited for it any more");
                }
            })
            .map_err(|error| Error::Source(format!("cannot start a thread to fetch: {error}")))?;
        match tokio::time::timeout(limits::FETCH_TIMEOUT, receiver).await {
            Ok(Ok(result)) => result,
            Ok(Err(_)) => Err(Error::Source("the fetch ended without a result".into())),
            Err(_) => Err(Error::Source(format!(
                "fetching did not end within {} s",
                limits::FETCH_TIMEOUT.as_secs()
            ))),
        }
    }

    /// Reads the files. A remote is read as last fetched.
    ///
    /// # Errors
    /// Where there is nothing to read at all: the folder, the reference or the repository is gone.
    pub async fn read(&self, view: View) -> Result<Snapshot, Error> {
        let inner = Arc::clone(&self.inner);
        tokio::task::spawn_blocking(move || inner.read(view))
            .await
            .map_err(|error| Error::Source(format!("reading the source ended early: {error}")))?
    }

    /// Starts to watch for changes, where the source lies on disk.
    ///
    /// # Errors
    /// Where the system refuses (too many watches); the interval still works then.
    pub fn watch(&self) -> Result<Option<Watch>, Error> {
        match &self.inner.kind {
            Kind::Directory(root) => Watch::directory(&root.join(&self.inner.folder)).map(Some),
            Kind::Repository(root) => Watch::repository(&git::metadata_paths(root)?).map(Some),
            Kind::Remote { .. } => Ok(None),
        }
    }
}

impl Inner {
    fn read(&self, view: View) -> Result<Snapshot, Error> {
        match &self.kind {
            Kind::Directory(root) => directory::read(&root.join(&self.folder)),
            Kind::Repository(root) if view == View::OnDisk && self.reference.is_none() => {
                let repository = git::open(root)?;
                match repository.workdir().map(Path::to_owned) {
                    Some(work_tree) => git::preview(&repository, &work_tree, &self.folder),
                    None => git::read(&repository, None, &self.folder),
                }
            }
            Kind::Repository(root) => git::read(&git::open(root)?, self.reference.as_deref(), &self.folder),
            Kind::Remote { url, clone } => {
                let mut snapshot = git::read_clone(clone, self.reference.as_deref(), &self.folder)
                    .map_err(|error| Error::Source(format!("{}: {error}", url.shown())))?;
                if let (Revision::Commit(commit), Some(reference)) = (&mut snapshot.revision, &self.reference) {
                    commit.reference = Some(reference.clone());
                }
                Ok(snapshot)
            }
        }
    }
}

/// The folder given by `--path`: below the source, without `..`.
fn folder(path: Option<&Path>) -> Result<PathBuf, Error> {
    let mut folder = PathBuf::new();
    for component in path.unwrap_or(Path::new("")).components() {
        match component {
            Component::Normal(part) => folder.push(part),
            Component::CurDir => {}
            _ => {
                return Err(Error::Config(format!(
                    "--path {} must lie below the source, without .. and not absolute",
                    path.unwrap_or(Path::new("")).display()
                )));
            }
        }
    }
    Ok(folder)
}

/// An I/O error's text without its number.
fn plain(error: &std::io::Error) -> String {
    let text = error.to_string();
    text.split(" (os error").next().unwrap_or(&text).to_lowercase()
}

/// Whether a file of that name may hold manifests.
fn is_manifest(name: &str) -> bool {
    !name.starts_with('.') && [".yaml", ".yml", ".json"].iter().any(|ending| name.ends_with(ending))
}
