//! Where manifests come from: directories and git. Reads completely or says what is missing; never writes to a source.

mod directory;
mod earlier;
mod git;
mod ignored;
mod limits;
mod modules;
mod place;
mod reference;
mod threads;
mod turns;
mod watch;

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use super::access::Access;
use super::config::Config;
use super::error::Error;
use super::report::{Problem, Revision};
use super::trust::{Gate, Mode};
use crate::object::source::terms;

use ignored::Ignored;
use modules::Fetched;
use reference::Reference;
use threads::GivenUp;
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
    /// Folders that nobody asked to read, though they may hold manifests: what came from them stays.
    pub skipped: Vec<String>,
    /// Submodules that are to be read and were not fetched yet.
    lacking: Vec<git::Module>,
}

impl Snapshot {
    /// That state, with nothing in it so far.
    fn of(revision: Revision) -> Self {
        Self {
            files: Vec::new(),
            revision,
            problems: Vec::new(),
            notices: Vec::new(),
            skipped: Vec::new(),
            lacking: Vec::new(),
        }
    }

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
    reference: Reference,
    /// Below the source, empty for all of it.
    folder: PathBuf,
    ignored: Ignored,
    modules: git::Modules,
    /// What must be signed, if anything.
    gate: Option<Gate>,
    /// What became of its submodules.
    fetched: Mutex<Fetched>,
    given_up: GivenUp,
}

#[derive(Debug)]
enum Kind {
    /// Files on disk.
    Directory(PathBuf),
    /// A repository on disk, with or without a work tree.
    Repository(PathBuf),
    /// A repository elsewhere, cloned to `clone`.
    Remote {
        url: Arc<git::Url>,
        clone: PathBuf,
        access: Arc<Access>,
    },
}

impl Source {
    /// Finds out what SOURCE is. Asks no network.
    ///
    /// # Errors
    /// Where it does not exist or the flags do not fit it.
    pub fn open(config: &Config) -> Result<Self, Error> {
        let source = Self::locate(config)?;
        if config.rollback && source.is_directory() {
            return Err(Error::Config(format!(
                "--rollback goes back to an earlier commit, and {} is no git source; give the root of the work tree, or --ref",
                source.describe()
            )));
        }
        let Some(verify) = &config.verify else {
            return Ok(source);
        };
        if source.is_directory() {
            return Err(Error::Config(format!(
                "only git holds signatures to verify, and {} is no git source; give the root of the work tree, or --ref",
                source.describe()
            )));
        }
        if verify.mode == Mode::Tag && source.inner.reference.is_head() {
            return Err(Error::Config(
                "signed tags need --ref or --semver (in a Source: ref or semver) with the tag to follow".into(),
            ));
        }
        Ok(source)
    }

    fn locate(config: &Config) -> Result<Self, Error> {
        let folder = config.path.as_deref().unwrap_or(Path::new(""));
        let wrong = |reason| Error::Config(format!("--path {} {reason}", folder.display()));
        let folder = terms::folder(folder).map_err(wrong)?;
        let reference = Reference::of(config)?;
        let ignored = Ignored::given(&config.ignore)?;
        let opened = |kind, reference, folder| {
            let mut inner = Inner {
                kind,
                reference,
                folder,
                ignored,
                modules: git::Modules::Unwanted,
                gate: None,
                fetched: Mutex::default(),
                given_up: GivenUp::default(),
            };
            if config.submodules {
                inner.modules = match &inner.kind {
                    Kind::Directory(_) => git::Modules::Unwanted,
                    Kind::Repository(_) => git::Modules::OnDisk,
                    Kind::Remote { url, access, .. } => git::Modules::Cloned(git::Origin {
                        url: Arc::clone(url),
                        access: Arc::clone(access),
                        data_dir: config.data_dir.clone(),
                    }),
                };
            }
            let followed = inner.reference.shown();
            // Sources of one repository may trust different people.
            let identity = match &config.name {
                Some(name) => format!("{name}\0{}", inner.identity()),
                None => inner.identity(),
            };
            let gate = |verify| Gate::new(verify, &config.data_dir, &identity, followed.as_deref());
            inner.gate = config.verify.clone().map(gate);
            Self { inner: Arc::new(inner) }
        };
        let path = Path::new(&config.source);
        if !path.exists()
            && let Some(url) = git::Url::parse(&config.source)
        {
            let clone = place::of(&config.data_dir, &url, &config.access)?;
            if config.access.proxy.is_some() && !url.is_http() {
                return Err(Error::Config(format!(
                    "the proxy of the credentials serves https and http only, not {}",
                    url.shown()
                )));
            }
            let (url, access) = (Arc::new(url), Arc::new(config.access.clone()));
            return Ok(opened(Kind::Remote { url, clone, access }, reference, folder));
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
            return Ok(opened(Kind::Repository(root), reference, folder));
        }
        if let Some(flag) = reference.flag() {
            let (top, inside) = git::discover(&root)?.ok_or_else(|| {
                Error::Config(format!(
                    "{flag} needs a git repository, and {} lies in none",
                    root.display()
                ))
            })?;
            return Ok(opened(Kind::Repository(top), reference, inside.join(folder)));
        }
        Ok(opened(Kind::Directory(root), reference, folder))
    }

    /// For a person, without credentials.
    pub fn describe(&self) -> String {
        let Inner {
            kind,
            reference,
            folder,
            ..
        } = &*self.inner;
        let mut text = match kind {
            Kind::Directory(root) => format!("directory {}", root.join(folder).display()),
            Kind::Repository(root) => format!("git repository {}", root.display()),
            Kind::Remote { url, .. } => format!("git repository {}", url.shown()),
        };
        if let Some(reference) = reference.shown() {
            text = format!("{text} at {reference}");
        }
        if !matches!(kind, Kind::Directory(_)) && !folder.as_os_str().is_empty() {
            text = format!("{text}, folder {}", folder.display());
        }
        text
    }

    /// What makes it this source and no other, whatever its revision: decides which objects it owns.
    pub fn identity(&self) -> String {
        self.inner.identity()
    }

    /// Whether asking for news needs a network or another repository: then it is done at intervals.
    pub fn is_remote(&self) -> bool {
        matches!(self.inner.kind, Kind::Remote { .. })
    }

    /// Whether there is something to read: a remote may never have been fetched.
    pub fn is_fetched(&self) -> bool {
        match &self.inner.kind {
            Kind::Remote { clone, .. } => git::is_fetched(clone, &self.inner.reference),
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
        self.fetch(self.inner.reference.clone()).await?;
        self.fetch_modules().await
    }

    /// Fetches whatever it is from a remote.
    async fn fetch(&self, reference: Reference) -> Result<(), Error> {
        match &self.inner.kind {
            Kind::Remote { url, clone, access } => {
                fetch(Arc::clone(url), Arc::clone(access), clone.clone(), reference).await
            }
            _ => Ok(()),
        }
    }

    /// Reads the files. A remote is read as last fetched.
    ///
    /// # Errors
    /// Where there is nothing to read at all: the folder, the reference or the repository is gone.
    pub async fn read(&self, view: View) -> Result<Snapshot, Error> {
        let inner = Arc::clone(&self.inner);
        let read = move || inner.read(view).map(|snapshot| inner.told(snapshot));
        self.inner.given_up.within(limits::READ_TIMEOUT, read).await
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

/// Fetches from a remote into a clone.
async fn fetch(url: Arc<git::Url>, access: Arc<Access>, clone: PathBuf, reference: Reference) -> Result<(), Error> {
    // Held until the fetch ends or is given up.
    let _turn = tokio::time::timeout(limits::FETCH_TIMEOUT, turns::turn(&clone))
        .await
        .map_err(|_| Error::Source("an earlier fetch of the same repository has not ended; trying again".into()))?;
    threads::within(limits::FETCH_TIMEOUT, "fetching", move || {
        git::fetch(&url, &access, &clone, &reference)
    })
    .await
}

impl Inner {
    fn identity(&self) -> String {
        let Self { kind, folder, .. } = self;
        match kind {
            Kind::Directory(root) | Kind::Repository(root) => {
                let full: PathBuf = root.join(folder).components().collect();
                full.display().to_string()
            }
            Kind::Remote { url, .. } if folder.as_os_str().is_empty() => url.shown().to_owned(),
            Kind::Remote { url, .. } => format!("{}//{}", url.shown(), folder.display()),
        }
    }

    fn read(&self, view: View) -> Result<Snapshot, Error> {
        let Self {
            kind,
            reference,
            folder,
            ignored,
            modules,
            gate,
            fetched: _,
            given_up: _,
        } = self;
        let extent = git::Extent {
            folder,
            ignored,
            modules,
        };
        let policy = gate.as_ref().map(|gate| git::Policy {
            gate,
            remember: view == View::Committed,
        });
        match kind {
            Kind::Directory(root) => directory::read(root, folder, ignored),
            Kind::Repository(root) => {
                let repository = git::open(root)?;
                match repository.workdir().map(Path::to_owned) {
                    Some(work_tree) if view == View::OnDisk && reference.is_head() => {
                        git::preview(&repository, &work_tree, extent, policy)
                    }
                    _ => git::read(&repository, reference, extent, policy),
                }
            }
            Kind::Remote { url, clone, .. } => git::read_clone(clone, reference, extent, policy)
                .map_err(|error| Error::Source(format!("{}: {error}", url.shown()))),
        }
    }
}

/// An I/O error's text without its number.
fn plain(error: &std::io::Error) -> String {
    let text = error.to_string();
    text.split(" (os error").next().unwrap_or(&text).to_lowercase()
}

/// The problem with a submodule that cannot be read.
fn unread(path: &str, reason: &str) -> Problem {
    limits::problem(path, format!("the git submodule is not read: {reason}"))
}

/// Whether a file of that name may hold manifests.
fn is_manifest(name: &str) -> bool {
    !name.starts_with('.') && [".yaml", ".yml", ".json"].iter().any(|ending| name.ends_with(ending))
}
