//! Prepares a pod's volumes as directories of this host (or Docker volumes in memory). Mounts nothing itself.

mod atomic;
mod claim;
mod content;
mod host_path;
mod mounts;
mod ownership;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use k8s_openapi::api::core::v1::{EmptyDirVolumeSource, Pod, Volume};
use kube::ResourceExt;

pub use mounts::mounts;

use super::create_spec::{Mount, MountSource};
use super::docker::{DockerError, Engine};
use super::make::Facts;
use super::sources::Sources;
use super::{Config, labels};
use crate::object::quantity::Quantity;

/// A volume that cannot be prepared just now (`FailedMount`).
#[derive(Debug, thiserror::Error)]
pub enum VolumeError {
    /// What it is made from is missing or malformed, or is of a kind that is not supported.
    #[error("MountVolume.SetUp failed for volume \"{volume}\" : {reason}")]
    Source {
        /// The volume's name.
        volume: String,
        /// What is wrong.
        reason: String,
    },
    /// A directory or file could not be written.
    #[error("MountVolume.SetUp failed for volume \"{volume}\" : {path}: {source}")]
    Io {
        /// The volume's name.
        volume: String,
        /// Which file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// What it is made from could not be read.
    #[error("MountVolume.SetUp failed for volume \"{volume}\" : {source}")]
    Api {
        /// The volume's name.
        volume: String,
        /// What the API server said.
        source: kube::Error,
    },
    /// Docker did not make it.
    #[error("MountVolume.SetUp failed for volume \"{volume}\" : {source}")]
    Docker {
        /// The volume's name.
        volume: String,
        /// What Docker said.
        source: DockerError,
    },
}

impl VolumeError {
    fn source(volume: &str, reason: impl Into<String>) -> Self {
        Self::Source {
            volume: volume.to_owned(),
            reason: reason.into(),
        }
    }

    fn io(volume: &str, path: impl Into<PathBuf>) -> impl FnOnce(std::io::Error) -> Self {
        let (volume, path) = (volume.to_owned(), path.into());
        move |source| Self::Io { volume, path, source }
    }
}

/// A volume that containers can mount.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Prepared {
    /// Where it is.
    pub source: MountSource,
    /// Whether containers must not write to it: its files are ours to rewrite, or the pod says so.
    pub read_only: bool,
}

/// What volumes are prepared with.
#[derive(Clone, Copy)]
pub struct Tools<'a> {
    /// The kubelet's configuration.
    pub config: &'a Config,
    /// Docker, for volumes in memory.
    pub engine: &'a Engine,
    /// What pods name.
    pub sources: &'a Sources,
}

/// Makes or refreshes every volume of the pod.
///
/// # Errors
/// The first volume that cannot be prepared.
pub async fn prepare(tools: Tools<'_>, pod: &Pod, facts: &Facts) -> Result<BTreeMap<String, Prepared>, VolumeError> {
    let mut prepared = BTreeMap::new();
    for volume in pod.spec.iter().flat_map(|spec| spec.volumes.iter().flatten()) {
        prepared.insert(volume.name.clone(), one(tools, pod, facts, volume).await?);
    }
    Ok(prepared)
}

/// Whether the pod has volumes whose content follows objects of the API.
pub fn follow_the_api(pod: &Pod) -> bool {
    let volumes = pod.spec.iter().flat_map(|spec| spec.volumes.iter().flatten());
    volumes.into_iter().any(|volume| {
        let Volume {
            config_map,
            secret,
            downward_api,
            projected,
            ..
        } = volume;
        config_map.is_some() || secret.is_some() || downward_api.is_some() || projected.is_some()
    })
}

async fn one(tools: Tools<'_>, pod: &Pod, facts: &Facts, volume: &Volume) -> Result<Prepared, VolumeError> {
    let uid = pod.uid().unwrap_or_default();
    let directory = tools.config.pod_dir(&uid).join("volumes").join(&volume.name);
    if let Some(empty) = &volume.empty_dir {
        return empty_dir(tools, pod, &volume.name, empty, &directory).await;
    }
    if let Some(host) = &volume.host_path {
        host_path::check(&volume.name, host).await?;
        return Ok(Prepared {
            source: MountSource::Path(host.path.clone()),
            read_only: false,
        });
    }
    if let Some(prepared) = claim::prepare(tools, pod, volume).await? {
        return Ok(prepared);
    }
    if let Some(files) = content::files(tools.sources, pod, facts, volume).await? {
        let owner = ownership::of(pod);
        let (name, target) = (volume.name.clone(), directory.clone());
        let written = tokio::task::spawn_blocking(move || atomic::write(&target, &files, owner)).await;
        let written = written.unwrap_or_else(|error| Err(std::io::Error::other(error)));
        written.map_err(VolumeError::io(&name, &directory))?;
        return Ok(Prepared {
            source: path(&directory),
            read_only: true,
        });
    }
    Err(VolumeError::source(
        &volume.name,
        "volumes of this kind are not supported: use emptyDir, hostPath, persistentVolumeClaim, ephemeral, configMap, \
         secret, downwardAPI or projected",
    ))
}

async fn empty_dir(
    tools: Tools<'_>,
    pod: &Pod,
    name: &str,
    empty: &EmptyDirVolumeSource,
    directory: &Path,
) -> Result<Prepared, VolumeError> {
    if empty.medium.as_deref() == Some("Memory") {
        let docker_name = format!("reconcile_{}_{name}", pod.uid().unwrap_or_default());
        let limit = empty
            .size_limit
            .as_ref()
            .and_then(|limit| limit.0.parse::<Quantity>().ok());
        let limit = limit.map(Quantity::value).filter(|bytes| *bytes > 0);
        let labels = labels::pod(tools.config, pod);
        let made = tools.engine.create_memory_volume(&docker_name, limit, &labels).await;
        made.map_err(|source| VolumeError::Docker {
            volume: name.to_owned(),
            source,
        })?;
        return Ok(Prepared {
            source: MountSource::Volume(docker_name),
            read_only: false,
        });
    }
    let target = directory.to_owned();
    let owner = ownership::of(pod);
    let made = tokio::task::spawn_blocking(move || ownership::make_shared_directory(&target, owner)).await;
    let made = made.unwrap_or_else(|error| Err(std::io::Error::other(error)));
    made.map_err(VolumeError::io(name, directory))?;
    Ok(Prepared {
        source: path(directory),
        read_only: false,
    })
}

/// The volumes in memory, for the sandbox to hold: Docker empties one when the last container leaves it.
pub fn held_by_sandbox(prepared: &BTreeMap<String, Prepared>) -> Vec<Mount> {
    let memory = prepared
        .iter()
        .filter(|(_, volume)| matches!(volume.source, MountSource::Volume(_)));
    let mounts = memory.map(|(name, volume)| Mount {
        source: volume.source.clone(),
        target: format!("/volumes/{name}"),
        read_only: false,
        propagation: "rprivate",
    });
    mounts.collect()
}

fn path(path: &Path) -> MountSource {
    MountSource::Path(path.to_string_lossy().into_owned())
}
