//! Opens the store file, or says why not and what to do. Never changes a file it does not understand.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use redb::backends::{FileBackend, InMemoryBackend};
use redb::{Database, DatabaseError, ReadableDatabase, StorageBackend, TableError};

use super::layout::{COMPACTED, CURRENT, FORMAT, FORMAT_VERSION, HISTORY, HISTORY_BYTES, META, REVISION};
use super::reserve::{Reserve, WithReserve};
use crate::store::{Revision, StoreError};

/// What redb may keep of the file in memory: the leaves of some 5,000 ordinary objects, so that
/// listing them reads no file. A small cluster's file is far smaller, and so is then what is kept.
const CACHE_BYTES: usize = 16 * 1024 * 1024;

/// Why a store file cannot be opened. Nothing was changed.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// Another process (or another store of this one) has it open.
    #[error("{path} is in use by another process; stop that process, or choose another data directory")]
    InUse {
        /// The store file.
        path: PathBuf,
    },
    /// What the file holds is not what a store wrote.
    #[error(
        "{path} is not a readable store ({reason}); it was left as it is: restore it from a copy, or move it away to start empty"
    )]
    Corrupt {
        /// The store file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// Another version of this program wrote it.
    #[error(
        "{path} has format {found}, this program reads format {expected}; use the version that wrote it, or move it away to start empty"
    )]
    Version {
        /// The store file.
        path: PathBuf,
        /// The format in the file.
        found: u64,
        /// The format understood here.
        expected: u64,
    },
    /// The file system refused.
    #[error("{path} cannot be opened: {source}")]
    Io {
        /// The store file.
        path: PathBuf,
        /// What the file system said.
        source: io::Error,
    },
}

/// An open store file and where it stands.
pub(super) struct Opened {
    pub(super) database: Database,
    pub(super) revision: Revision,
    pub(super) compacted: Revision,
    pub(super) history_bytes: u64,
    /// Room kept back for a full disk; none in memory.
    pub(super) reserve: Option<Arc<Reserve>>,
}

/// Opens the file at `path`, or makes it, readable by its owner only since it holds secrets.
pub(super) fn file(path: &Path) -> Result<Opened, OpenError> {
    let existed = path.exists();
    let file = OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600)
        .open(path)
        .map_err(|source| io_error(path, source))?;
    if !existed {
        sync_directory_of(path).map_err(|source| io_error(path, source))?;
    }
    let backend = FileBackend::new(file).map_err(|error| database_error(path, error))?;
    let reserve = Reserve::beside(path);
    let backend = WithReserve {
        backend,
        reserve: Arc::clone(&reserve),
    };
    let mut opened = with_backend(path, backend)?;
    opened.reserve = Some(reserve);
    Ok(opened)
}

/// An empty store that lives in memory only.
pub(super) fn in_memory() -> Result<Opened, OpenError> {
    with_backend(Path::new("(memory)"), InMemoryBackend::new())
}

/// A copy in memory of the file at `path`, which is not changed; empty where there is no such file.
pub(super) fn copy_of(path: &Path) -> Result<Opened, OpenError> {
    let mut file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return in_memory(),
        Err(source) => return Err(io_error(path, source)),
    };
    // The lock redb holds while the file is open for writing; a copy made meanwhile would be torn.
    match file.try_lock_shared() {
        Ok(()) => {}
        Err(std::fs::TryLockError::WouldBlock) => return Err(OpenError::InUse { path: path.to_owned() }),
        Err(std::fs::TryLockError::Error(source)) => return Err(io_error(path, source)),
    }
    let backend = InMemoryBackend::new();
    copy(&mut file, &backend).map_err(|source| io_error(path, source))?;
    with_backend(path, backend)
}

fn copy(file: &mut File, backend: &InMemoryBackend) -> io::Result<()> {
    backend.set_len(file.metadata()?.len())?;
    let mut offset = 0;
    let mut chunk = vec![0; 64 * 1024];
    loop {
        let read = io::Read::read(file, &mut chunk)?;
        if read == 0 {
            return Ok(());
        }
        backend.write(offset, &chunk[..read])?;
        offset += read as u64;
    }
}

fn with_backend(path: &Path, backend: impl StorageBackend) -> Result<Opened, OpenError> {
    let database = redb::Builder::new()
        .set_cache_size(CACHE_BYTES)
        // A file damaged by something else is refused here, not found out by a panic later. The
        // whole file is read, which the bounds of the history keep short.
        .set_check_integrity_on_open(true)
        .create_with_backend(backend)
        .map_err(|error| database_error(path, error))?;
    let found = format_of(&database).map_err(|error| redb_error(path, error))?;
    match found {
        Some(FORMAT_VERSION) => {}
        Some(found) => {
            return Err(OpenError::Version {
                path: path.to_owned(),
                found,
                expected: FORMAT_VERSION,
            });
        }
        None => initialize(&database).map_err(|error| redb_error(path, error))?,
    }
    let numbers = numbers(&database).map_err(|error| redb_error(path, error))?;
    let [revision, compacted, history_bytes] = numbers;
    Ok(Opened {
        database,
        revision,
        compacted,
        history_bytes,
        reserve: None,
    })
}

/// The format of the layout in the file; `None` in a new file.
fn format_of(database: &Database) -> Result<Option<u64>, redb::Error> {
    let transaction = database.begin_read()?;
    match transaction.open_table(META) {
        Ok(meta) => Ok(Some(meta.get(FORMAT)?.map_or(0, |format| format.value()))),
        Err(TableError::TableDoesNotExist(_)) if transaction.list_tables()?.next().is_none() => Ok(None),
        // Tables, but not ours: a file of another program.
        Err(TableError::TableDoesNotExist(_)) => Ok(Some(0)),
        Err(error) => Err(error.into()),
    }
}

fn initialize(database: &Database) -> Result<(), redb::Error> {
    let transaction = database.begin_write()?;
    transaction.open_table(CURRENT)?;
    transaction.open_table(HISTORY)?;
    {
        let mut meta = transaction.open_table(META)?;
        for (name, number) in [
            (FORMAT, FORMAT_VERSION),
            (REVISION, 0),
            (COMPACTED, 0),
            (HISTORY_BYTES, 0),
        ] {
            meta.insert(name, number)?;
        }
    }
    transaction.commit()?;
    Ok(())
}

fn numbers(database: &Database) -> Result<[u64; 3], redb::Error> {
    let transaction = database.begin_read()?;
    transaction.open_table(CURRENT)?;
    transaction.open_table(HISTORY)?;
    let meta = transaction.open_table(META)?;
    let mut numbers = [0; 3];
    for (number, name) in numbers.iter_mut().zip([REVISION, COMPACTED, HISTORY_BYTES]) {
        let row = meta.get(name)?;
        *number = row
            .ok_or_else(|| redb::Error::Corrupted(format!("the number {name:?} is missing")))?
            .value();
    }
    Ok(numbers)
}

/// Makes a new file's name survive a power cut, as its content does.
fn sync_directory_of(path: &Path) -> io::Result<()> {
    let directory = match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    File::open(directory)?.sync_all()
}

fn io_error(path: &Path, source: io::Error) -> OpenError {
    OpenError::Io {
        path: path.to_owned(),
        source,
    }
}

fn database_error(path: &Path, error: DatabaseError) -> OpenError {
    redb_error(path, error.into())
}

fn redb_error(path: &Path, error: redb::Error) -> OpenError {
    let path = path.to_owned();
    match error {
        redb::Error::DatabaseAlreadyOpen => OpenError::InUse { path },
        // What redb says of bytes that it does not recognize, or that end too early.
        redb::Error::Io(source)
            if matches!(source.kind(), io::ErrorKind::InvalidData | io::ErrorKind::UnexpectedEof) =>
        {
            OpenError::Corrupt {
                path,
                reason: source.to_string(),
            }
        }
        redb::Error::Io(source) => OpenError::Io { path, source },
        other => OpenError::Corrupt {
            path,
            reason: other.to_string(),
        },
    }
}

/// A failure of an open store.
pub(super) fn failed(error: impl Into<redb::Error>) -> StoreError {
    match error.into() {
        redb::Error::DatabaseClosed => StoreError::Unavailable("the store is closed".to_owned()),
        redb::Error::PreviousIo => StoreError::Failed(
            "an earlier write failed; free disk space or repair the disk, then start again".to_owned(),
        ),
        error => StoreError::Failed(error.to_string()),
    }
}
