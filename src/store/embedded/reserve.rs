//! Room kept back on the disk, so that a transaction that was begun can be ended where the disk turns out to be full.
//!
//! A redb file that once could not be written serves nothing more, not even reads, until it is opened again. So a file
//! of zeros lies beside it. Where the disk is full, it is given up for what is being written; from then on writes are
//! refused before they begin, and reads go on, until there is room for the reserve again.

use std::fs::{self, File};
use std::io::{self, Write as _};
use std::ops::Bound;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use redb::{BackendError, StorageBackend};

use crate::store::StoreError;

/// A full batch of ordinary writes: its values, again in the history with those before them, and the pages around them.
const RESERVE_BYTES: u64 = 16 * 1024 * 1024;

/// Between attempts to make the reserve again: each takes what room there is for a moment.
const ATTEMPT_PAUSE: Duration = Duration::from_secs(1);

/// The file beside the store's.
#[derive(Debug)]
pub(super) struct Reserve {
    path: PathBuf,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    whole: bool,
    /// When it was last tried to make it whole, and why that failed.
    failed: Option<(Instant, String)>,
}

impl Reserve {
    /// The reserve of the store at `path`, whole if there is room for it.
    pub(super) fn beside(path: &Path) -> Arc<Self> {
        let mut name = path.as_os_str().to_owned();
        name.push(".reserve");
        let path = PathBuf::from(name);
        let whole = fs::metadata(&path).is_ok_and(|found| found.blocks() * 512 >= RESERVE_BYTES);
        let reserve = Self {
            path,
            state: Mutex::new(State { whole, failed: None }),
        };
        if let Err(error) = reserve.keep() {
            tracing::warn!(%error, "the store is opened without room to write");
        }
        Arc::new(reserve)
    }

    /// Makes it whole again where it was given up.
    ///
    /// # Errors
    /// There is no room for it, so nothing should be written.
    pub(super) fn keep(&self) -> Result<(), StoreError> {
        let mut state = self.lock();
        if state.whole {
            return Ok(());
        }
        let recent = state.failed.as_ref().filter(|(when, _)| when.elapsed() < ATTEMPT_PAUSE);
        if let Some((_, reason)) = recent {
            return Err(StoreError::Unavailable(reason.clone()));
        }
        match self.make() {
            Ok(()) => {
                if state.failed.is_some() {
                    tracing::info!("there is room on the disk again; the store takes writes");
                }
                *state = State {
                    whole: true,
                    failed: None,
                };
                Ok(())
            }
            Err(error) => {
                let reason = match is_full(&error) {
                    true => format!(
                        "the disk is full; make room for {} (at least {RESERVE_BYTES} bytes)",
                        self.path.display()
                    ),
                    false => format!("{}: {error}", self.path.display()),
                };
                state.failed = Some((Instant::now(), reason.clone()));
                Err(StoreError::Unavailable(reason))
            }
        }
    }

    /// Gives it up; whether there was anything to give.
    fn spend(&self) -> bool {
        let mut state = self.lock();
        if !state.whole {
            return false;
        }
        state.whole = false;
        tracing::error!("the disk is full; the store takes no more writes until there is room");
        self.drop_file()
    }

    fn make(&self) -> io::Result<()> {
        let written = File::create(&self.path).and_then(|mut file| {
            let zeros = vec![0; 1024 * 1024];
            for _ in 0..RESERVE_BYTES / zeros.len() as u64 {
                file.write_all(&zeros)?;
            }
            Ok(())
        });
        // Part of it is of no use here and may be of use to others.
        if written.is_err() && !self.drop_file() {
            tracing::warn!(path = %self.path.display(), "part of the reserve stays");
        }
        written
    }

    fn drop_file(&self) -> bool {
        fs::remove_file(&self.path).is_ok()
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // Nothing panics between two changes of it.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn is_full(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
}

/// A backend that gives the reserve up where it would fail for want of room.
#[derive(Debug)]
pub(super) struct WithReserve<B> {
    pub(super) backend: B,
    pub(super) reserve: Arc<Reserve>,
}

impl<B: StorageBackend> WithReserve<B> {
    fn with_room(&self, write: impl Fn() -> io::Result<()>) -> io::Result<()> {
        match write() {
            Err(error) if is_full(&error) && self.reserve.spend() => write(),
            result => result,
        }
    }
}

/// A range of bytes that redb locks.
type Limit = Bound<u64>;

impl<B: StorageBackend> StorageBackend for WithReserve<B> {
    fn len(&self) -> io::Result<u64> {
        self.backend.len()
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        self.backend.read(offset, out)
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.with_room(|| self.backend.set_len(len))
    }

    fn sync_data(&self) -> io::Result<()> {
        self.with_room(|| self.backend.sync_data())
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        self.with_room(|| self.backend.write(offset, data))
    }

    fn close(&self) -> io::Result<()> {
        self.backend.close()
    }

    fn try_lock_range(&self, start: Limit, end: Limit) -> Result<bool, BackendError> {
        self.backend.try_lock_range(start, end)
    }

    fn try_lock_shared_range(&self, start: Limit, end: Limit) -> Result<bool, BackendError> {
        self.backend.try_lock_shared_range(start, end)
    }

    fn lock_range(&self, start: Limit, end: Limit) -> Result<(), BackendError> {
        self.backend.lock_range(start, end)
    }

    fn lock_shared_range(&self, start: Limit, end: Limit) -> Result<(), BackendError> {
        self.backend.lock_shared_range(start, end)
    }

    fn unlock_range(&self, start: Limit, end: Limit) -> Result<(), BackendError> {
        self.backend.unlock_range(start, end)
    }

    fn query_lock_range(&self, start: Limit, end: Limit) -> Result<bool, BackendError> {
        self.backend.query_lock_range(start, end)
    }
}
