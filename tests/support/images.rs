//! The images that tests start containers from: a shell and busybox's commands, made once a machine.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use super::{docker, process};

/// What most pods run.
pub const BUSYBOX: &str = "reconcile-test/busybox:1";
/// The same commands under another name and id, for changes of image.
pub const BUSYBOX_2: &str = "reconcile-test/busybox:2";

/// Makes the image where Docker does not have it; returns its name.
#[track_caller]
pub fn ensure(name: &str) -> &str {
    if docker::try_docker(&["image", "inspect", "--format", "{{.Id}}", name]).code != Some(0) {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("scripts/images");
        process::run(Command::new(script).args(["--local", name]), Duration::from_secs(300)).ok();
    }
    name
}
