//! Who owns a volume's files: root, and the pod's fsGroup where it names one.

use std::fs::{self, Permissions};
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use k8s_openapi::api::core::v1::Pod;

/// The pod's fsGroup.
pub type Group = Option<u32>;

/// The group that the pod's files belong to.
pub fn of(pod: &Pod) -> Group {
    let group = pod.spec.as_ref()?.security_context.as_ref()?.fs_group?;
    u32::try_from(group).ok()
}

/// Makes a directory that every user may write to; one that exists stays as it is.
pub fn make_shared_directory(path: &Path, group: Group) -> io::Result<()> {
    if path.is_dir() {
        return Ok(());
    }
    fs::create_dir_all(path)?;
    give(path, group)?;
    let mode = if group.is_some() { 0o2777 } else { 0o777 };
    fs::set_permissions(path, Permissions::from_mode(mode))
}

/// Hands a file or directory to the group.
pub fn give(path: &Path, group: Group) -> io::Result<()> {
    match group {
        Some(_) => std::os::unix::fs::lchown(path, None, group),
        None => Ok(()),
    }
}
