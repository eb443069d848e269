//! Where state lies: the default place, the lock that one process holds, files only their owner reads.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::Write as _;
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail};

use super::args::DataArgs;

/// How many processes that follow sources can share a directory: one works and the others stand by.
const PLACES: usize = 8;

/// A directory of state.
#[derive(Clone, Debug)]
pub struct DataDir {
    path: PathBuf,
}

/// Held as long as this process uses that part of the directory.
pub struct Lock {
    _file: File,
}

impl DataDir {
    /// The directory named by the flag, or the default for this user. Creates nothing.
    pub fn locate(args: &DataArgs) -> Result<Self> {
        let path = match &args.data_dir {
            Some(path) => path.clone(),
            None => default_path()?,
        };
        let path = std::path::absolute(&path).with_context(|| format!("--data-dir {}", path.display()))?;
        Ok(Self { path })
    }

    /// Its path, absolute.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The kubeconfig of the API server that keeps its state here.
    pub fn kubeconfig(&self) -> PathBuf {
        self.path.join("kubeconfig")
    }

    /// The embedded store's file.
    pub fn store(&self) -> PathBuf {
        self.path.join("store.redb")
    }

    /// Creates the directory, readable by its owner only.
    pub fn create(&self) -> Result<()> {
        fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(&self.path)
            .with_context(|| {
                format!(
                    "cannot create the data directory {}; name another with --data-dir",
                    self.path.display()
                )
            })
    }

    /// Takes the directory's store for this process, until the lock is dropped.
    pub fn lock(&self) -> Result<Lock> {
        self.lock_file("lock")
    }

    /// Takes the directory's kubelet files for this process. A kubelet may run beside an API server that is another
    /// process, so it has a lock of its own.
    pub fn lock_kubelet(&self) -> Result<Lock> {
        self.lock_file("kubelet.lock")
    }

    /// Takes a place among the processes that follow sources with this directory, and its number: the first is free again
    /// at once when the process that had it ends, however it ends.
    ///
    /// # Errors
    /// Where nothing can be written there, or all places are taken.
    pub fn lock_place(&self) -> Result<(Lock, usize)> {
        self.create()?;
        let mut refused = None;
        for place in 1..=PLACES {
            let name = match place {
                1 => "follower.lock".to_owned(),
                more => format!("follower-{more}.lock"),
            };
            match self.lock_file(&name) {
                Ok(lock) => return Ok((lock, place)),
                Err(error) => refused = Some(error),
            }
        }
        Err(refused.expect("there are places, and all were refused"))
    }

    fn lock_file(&self, name: &str) -> Result<Lock> {
        let path = self.path.join(name);
        let mut file = OpenOptions::new()
            .create(true)
            .truncate(false)
            .write(true)
            .mode(0o600)
            .open(&path)
            .with_context(|| format!("cannot open {}", path.display()))?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => bail!(
                "the data directory {} is in use by another reconcile{}; stop it, or name another with --data-dir",
                self.path.display(),
                holder(&path),
            ),
            Err(TryLockError::Error(error)) => {
                return Err(error).with_context(|| format!("cannot lock {}", path.display()));
            }
        }
        file.set_len(0)
            .and_then(|()| write!(file, "{}", std::process::id()))
            .with_context(|| format!("cannot write {}", path.display()))?;
        Ok(Lock { _file: file })
    }

    /// Writes a file that only its owner may read, whole or not at all.
    pub fn write_private(&self, path: &Path, text: &str) -> Result<()> {
        let draft = path.with_extension("new");
        let write = || -> std::io::Result<()> {
            let mut file = OpenOptions::new()
                .create(true)
                .truncate(true)
                .write(true)
                .mode(0o600)
                .open(&draft)?;
            file.write_all(text.as_bytes())?;
            file.sync_all()?;
            fs::rename(&draft, path)
        };
        write().with_context(|| format!("cannot write {}", path.display()))
    }
}

/// ` (process 123)` where the lock file says so.
fn holder(lock: &Path) -> String {
    match fs::read_to_string(lock) {
        Ok(text) if !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit()) => format!(" (process {text})"),
        _ => String::new(),
    }
}

fn default_path() -> Result<PathBuf> {
    if let Some(state) = std::env::var_os("XDG_STATE_HOME").filter(|value| !value.is_empty()) {
        return Ok(PathBuf::from(state).join("reconcile"));
    }
    if is_root() {
        return Ok(PathBuf::from("/var/lib/reconcile"));
    }
    match std::env::var_os("HOME").filter(|value| !value.is_empty()) {
        Some(home) => Ok(PathBuf::from(home).join(".local/state/reconcile")),
        None => bail!("neither XDG_STATE_HOME nor HOME is set; say where state lies with --data-dir"),
    }
}

/// Whether this process runs as root, as its own directory under /proc tells.
fn is_root() -> bool {
    use std::os::unix::fs::MetadataExt as _;
    fs::metadata("/proc/self").is_ok_and(|metadata| metadata.uid() == 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_process_at_a_time() {
        let scratch = tempfile::tempdir().expect("a scratch directory");
        let data = DataDir {
            path: scratch.path().join("data"),
        };
        data.create().expect("creates");
        let held = data.lock().expect("the first takes it");
        let refused = data.lock().err().expect("the second does not").to_string();
        assert!(
            refused.contains("in use") && refused.contains(&std::process::id().to_string()),
            "{refused}"
        );
        drop(held);
        data.lock().expect("free again");
    }

    #[test]
    fn a_place_is_free_again_when_its_process_ends() {
        let scratch = tempfile::tempdir().expect("a scratch directory");
        let data = DataDir {
            path: scratch.path().join("data"),
        };
        let (first, one) = data.lock_place().expect("the first");
        let (_second, two) = data.lock_place().expect("the second");
        drop(first);
        let (_again, again) = data.lock_place().expect("the first again");
        assert_eq!((one, two, again), (1, 2, 1));
    }

    #[test]
    fn private_files_are_private() {
        use std::os::unix::fs::PermissionsExt as _;
        let scratch = tempfile::tempdir().expect("a scratch directory");
        let data = DataDir {
            path: scratch.path().to_owned(),
        };
        data.write_private(&data.kubeconfig(), "secret").expect("writes");
        let mode = fs::metadata(data.kubeconfig()).expect("is there").permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
    }
}
