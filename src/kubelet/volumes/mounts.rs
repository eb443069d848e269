//! Which volumes a container mounts where: names, sub-paths, propagation.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use k8s_openapi::api::core::v1::{Container, VolumeMount};

use super::Prepared;
use crate::kubelet::create_spec::{Mount, MountSource};
use crate::kubelet::make::{ConfigError, Env, expand};

/// The container's mounts; makes sub-paths that are missing.
///
/// # Errors
/// Where a mount names no volume of the pod, or a sub-path leaves its volume.
pub async fn mounts(
    container: &Container,
    volumes: &BTreeMap<String, Prepared>,
    env: &Env,
) -> Result<Vec<Mount>, ConfigError> {
    let mut mounts = Vec::new();
    for wanted in container.volume_mounts.iter().flatten() {
        let prepared = volumes.get(&wanted.name);
        let prepared = prepared.ok_or_else(|| ConfigError(format!("volume {:?} not found", wanted.name)))?;
        let source = match (sub_path(wanted, env), &prepared.source) {
            (None, source) => source.clone(),
            (Some(below), MountSource::Path(root)) => MountSource::Path(resolve(root, &below).await?),
            (Some(_), MountSource::Volume(_)) => {
                let reason = "subPath in an emptyDir of medium Memory is not supported";
                return Err(ConfigError(format!("{}: {reason}", wanted.name)));
            }
        };
        mounts.push(Mount {
            source,
            target: wanted.mount_path.clone(),
            read_only: prepared.read_only || wanted.read_only == Some(true),
            propagation: match wanted.mount_propagation.as_deref() {
                Some("Bidirectional") => "rshared",
                Some("HostToContainer") => "rslave",
                _ => "rprivate",
            },
        });
    }
    Ok(mounts)
}

fn sub_path(wanted: &VolumeMount, env: &Env) -> Option<String> {
    let expression = wanted.sub_path_expr.as_deref().filter(|text| !text.is_empty());
    let expanded = expression.map(|text| expand(text, |name| env.get(name)));
    expanded
        .or_else(|| wanted.sub_path.clone())
        .filter(|path| !path.is_empty())
}

/// The real path below the volume; links that lead out of it are refused.
async fn resolve(root: &str, below: &str) -> Result<String, ConfigError> {
    let (root, below) = (PathBuf::from(root), PathBuf::from(below));
    let resolved = tokio::task::spawn_blocking(move || resolve_blocking(&root, &below)).await;
    resolved.unwrap_or_else(|error| Err(ConfigError(error.to_string())))
}

fn resolve_blocking(root: &Path, below: &Path) -> Result<String, ConfigError> {
    let refuse = |reason: &str| ConfigError(format!("subPath {}: {reason}", below.display()));
    let plain = below
        .components()
        .all(|part| matches!(part, std::path::Component::Normal(_) | std::path::Component::CurDir));
    if !plain {
        return Err(refuse("must be relative and stay in its volume"));
    }
    let root = root.canonicalize().map_err(|error| refuse(&error.to_string()))?;
    let mut path = root.clone();
    for part in below.components() {
        let next = path.join(part);
        if !next.exists() {
            std::fs::create_dir(&next).map_err(|error| refuse(&error.to_string()))?;
        }
        path = next.canonicalize().map_err(|error| refuse(&error.to_string()))?;
        if !path.starts_with(&root) {
            return Err(refuse("leads out of its volume"));
        }
    }
    Ok(path.to_string_lossy().into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sub_paths_stay_in_their_volume() {
        let directory = tempfile::tempdir().expect("a directory");
        let root = directory.path().join("volume");
        std::fs::create_dir(&root).expect("made");
        std::os::unix::fs::symlink("/etc", root.join("out")).expect("linked");
        std::fs::write(root.join("file"), "1").expect("written");
        std::os::unix::fs::symlink("file", root.join("in")).expect("linked");
        for (below, fits) in [
            ("new/deep", true),
            ("file", true),
            ("in", true),
            ("out", false),
            ("out/x", false),
            ("../x", false),
            ("/etc", false),
        ] {
            let resolved = resolve_blocking(&root, Path::new(below));
            assert_eq!(resolved.is_ok(), fits, "{below}: {resolved:?}");
        }
        assert!(root.join("new/deep").is_dir());
    }
}
