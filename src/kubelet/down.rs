//! `reconcile down`: stops and removes this node's containers. Needs no API server.

use std::time::Duration;

use futures::StreamExt;
use futures::stream;

use super::docker::{DockerError, Engine, Found};
use super::run::Error;
use super::{Config, labels};

/// Stops in flight at once; each waits for its container's own grace period.
const MAX_STOPS: usize = 32;

/// Seconds a container gets where its label does not say.
const DEFAULT_GRACE_SECONDS: u32 = 30;

/// What was taken down.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Down {
    /// Containers of pods.
    pub containers: usize,
    /// Sandboxes.
    pub sandboxes: usize,
}

/// Stops this node's pods' containers gracefully, then removes them, their sandboxes, volumes and files.
///
/// # Errors
/// Where Docker does not answer, or something cannot be removed.
pub async fn down(config: &Config) -> Result<Down, Error> {
    if !config.data_dir.exists() {
        // No kubelet ever ran from there.
        return Ok(Down::default());
    }
    let config = &config.clone().settled().map_err(|source| files(config, source))?;
    let engine = Engine::connect(&config.docker_host).await?;
    let node = labels::node(config);
    let found = engine.find(&node).await?;
    let is_sandbox = |found: &Found| {
        found
            .labels
            .get(labels::TYPE)
            .is_some_and(|kind| kind == labels::TYPE_SANDBOX)
    };
    let (sandboxes, containers): (Vec<_>, Vec<_>) = found.into_iter().partition(is_sandbox);
    take_down(&engine, &containers).await?;
    take_down(&engine, &sandboxes).await?;
    engine.remove_volumes(&node).await?;
    for uid in super::worker::file_owners(config)
        .await
        .map_err(|source| files(config, source))?
    {
        super::worker::remove_files(config, &uid)
            .await
            .map_err(|source| files(config, source))?;
    }
    Ok(Down {
        containers: containers.len(),
        sandboxes: sandboxes.len(),
    })
}

async fn take_down(engine: &Engine, found: &[Found]) -> Result<(), DockerError> {
    let ends = found.iter().map(|container| async move {
        if container.running {
            let label = container
                .labels
                .get(labels::GRACE_PERIOD)
                .and_then(|text| text.parse().ok());
            let grace = Duration::from_secs(label.unwrap_or(DEFAULT_GRACE_SECONDS).into());
            engine.stop(&container.id, grace).await?;
        }
        engine.remove(&container.id).await
    });
    let results = stream::iter(ends).buffer_unordered(MAX_STOPS).collect::<Vec<_>>().await;
    results.into_iter().collect()
}

fn files(config: &Config, source: std::io::Error) -> Error {
    Error::DataDir {
        path: config.data_dir.clone(),
        source,
    }
}
