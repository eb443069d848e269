//! The files of a pod on this host: which node they belong to, its hosts file, its containers' messages.

use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use tokio::fs;

use crate::kubelet::Config;

/// Names the node (and cluster) that a pod's directory belongs to, so that kubelets may share a data directory.
const OWNER: &str = "node";

/// The pod's `/etc/hosts` on the host.
pub fn hosts(config: &Config, uid: &str) -> PathBuf {
    config.pod_dir(uid).join("etc-hosts")
}

/// Where a container's termination message goes.
pub fn message(config: &Config, uid: &str, container: &str, attempt: u32) -> PathBuf {
    config
        .pod_dir(uid)
        .join("containers")
        .join(container)
        .join(attempt.to_string())
}

/// Makes the pod's directory and marks it as this node's.
pub async fn make(config: &Config, uid: &str) -> io::Result<()> {
    let directory = config.pod_dir(uid);
    fs::create_dir_all(&directory).await?;
    fs::write(directory.join(OWNER), owner(config)).await
}

/// Writes the hosts file in place: the containers have this very file mounted.
pub async fn write_hosts(config: &Config, uid: &str, text: &str) -> io::Result<()> {
    let path = hosts(config, uid);
    fs::write(&path, text).await?;
    fs::set_permissions(&path, std::fs::Permissions::from_mode(0o644)).await
}

/// Makes an empty message file that any user inside may write to.
pub async fn make_message(path: &Path) -> io::Result<()> {
    if let Some(parent) = path.parent() {
        fs::create_dir_all(parent).await?;
    }
    fs::write(path, "").await?;
    fs::set_permissions(path, std::fs::Permissions::from_mode(0o666)).await
}

/// Removes the pod's files, if they are this node's.
pub async fn remove(config: &Config, uid: &str) -> io::Result<()> {
    let directory = config.pod_dir(uid);
    match fs::read_to_string(directory.join(OWNER)).await {
        Ok(text) if text == owner(config) => {}
        Ok(_) => return Ok(()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(error),
    }
    match fs::remove_dir_all(&directory).await {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

/// The uids of the pods that left files here and belong to this node.
pub async fn uids(config: &Config) -> io::Result<Vec<String>> {
    let mut uids = Vec::new();
    let mut entries = match fs::read_dir(config.pods_dir()).await {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(uids),
        Err(error) => return Err(error),
    };
    while let Some(entry) = entries.next_entry().await? {
        let ours = fs::read_to_string(entry.path().join(OWNER))
            .await
            .is_ok_and(|text| text == owner(config));
        if let (true, Ok(uid)) = (ours, entry.file_name().into_string()) {
            uids.push(uid);
        }
    }
    Ok(uids)
}

fn owner(config: &Config) -> String {
    format!("{}/{}\n", config.cluster, config.node_name)
}
