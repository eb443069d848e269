//! Finds the real tools that tests run.

use std::path::{Path, PathBuf};
use std::process::Command;

/// The path of a tool that `make tools` unpacks (`etcd`, `kubectl-1.20`, `docker-registry`, `busybox`, `sshd`, `lighttpd`).
#[track_caller]
pub fn unpacked(tool: &str) -> PathBuf {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(".tools/bin").join(tool);
    assert!(path.exists(), "{} is missing; run: make tools", path.display());
    path
}

/// The folder of what was unpacked: Debian's own tree.
pub fn unpacked_root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(".tools/root")
}

/// Lets an unpacked tool find the libraries that were unpacked with it.
pub fn with_libraries(command: &mut Command) -> &mut Command {
    let folders = ["lib", "usr/lib"].map(|above| {
        let folder = unpacked_root().join(above);
        let triplet = format!("{}-linux-gnu", std::env::consts::ARCH);
        folder.join(triplet).display().to_string()
    });
    command.env("LD_LIBRARY_PATH", folders.join(":"))
}

/// A tool that must be installed on the machine.
#[track_caller]
pub fn installed(tool: &str, package: &str) -> PathBuf {
    on_path(tool).unwrap_or_else(|| panic!("{tool} is missing; run: apt-get install {package}"))
}

/// A tool of the machine, where it has it.
pub fn on_path(tool: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path)
        .map(|directory| directory.join(tool))
        .find(|candidate| candidate.is_file())
}

/// The binary under test, with no `RECONCILE_…` or Kubernetes setting of the caller's environment.
pub fn reconcile() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_reconcile"));
    for (name, _) in std::env::vars_os() {
        let reaches_it = name
            .to_str()
            .is_some_and(|name| name.starts_with("RECONCILE_") || name.starts_with("KUBE") || name == "RUST_LOG");
        if reaches_it {
            command.env_remove(name);
        }
    }
    command
}
