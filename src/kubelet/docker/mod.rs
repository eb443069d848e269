//! Talks to Docker; the only place that names its client library. Decides nothing.

mod convert;
mod error;
mod events;
mod exec;
mod images;
mod logs;
mod observe;
mod pause;
mod volumes;

use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use bollard::Docker;
use bollard::models::ContainerSummary;
use bollard::query_parameters::{
    CreateContainerOptionsBuilder, KillContainerOptionsBuilder, ListContainersOptionsBuilder,
    RemoveContainerOptionsBuilder, StopContainerOptionsBuilder,
};
use tokio::sync::Semaphore;

pub use error::DockerError;
pub use events::Event;
pub use exec::Executed;
pub use images::{Credentials, Image, ImageSummary};
pub use logs::LogQuery;
pub use observe::{Found, MessageSource, PodSight};

use super::create_spec::CreateSpec;

/// How long an ordinary request may take. Creating and starting wait for the disk, and fifty at once wait for each other.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(120);

/// How long Docker may take to stop a container beyond its grace period before we give up waiting.
const STOP_MARGIN: Duration = Duration::from_secs(60);

/// Starts in flight at once. More only makes Docker's own locks and the disk slower.
const MAX_STARTS: usize = 12;

/// A Docker engine that answered at least once.
pub struct Engine {
    docker: Docker,
    starts: Semaphore,
}

/// What Docker says of itself.
#[derive(Clone, Debug, Default)]
pub struct EngineInfo {
    /// e.g. `20.10.24`.
    pub version: String,
    /// `cgroupfs` or `systemd`.
    pub cgroup_driver: String,
    /// Where it keeps images and containers.
    pub root_dir: String,
}

impl Engine {
    /// Connects and settles on an API version both sides speak.
    ///
    /// # Errors
    /// Where nothing answers at that address.
    pub async fn connect(host: &str) -> Result<Self, DockerError> {
        let version = bollard::API_DEFAULT_VERSION;
        let docker = match host.split_once("://") {
            Some(("tcp" | "http", _)) => Docker::connect_with_http(host, REQUEST_TIMEOUT.as_secs(), version),
            Some(("unix", _)) | None => Docker::connect_with_unix(host, REQUEST_TIMEOUT.as_secs(), version),
            Some((scheme, _)) => {
                return Err(DockerError::Unavailable(format!(
                    "{scheme}:// is not supported as Docker's address: use unix:// or tcp://"
                )));
            }
        }?;
        Ok(Self {
            docker: docker.negotiate_version().await?,
            starts: Semaphore::new(MAX_STARTS),
        })
    }

    /// What Docker says of itself; also tells whether it answers.
    ///
    /// # Errors
    /// Where it does not answer.
    pub async fn info(&self) -> Result<EngineInfo, DockerError> {
        let info = self.docker.info().await?;
        Ok(EngineInfo {
            version: info.server_version.unwrap_or_default(),
            cgroup_driver: info.cgroup_driver.map(|driver| driver.to_string()).unwrap_or_default(),
            root_dir: info.docker_root_dir.unwrap_or_default(),
        })
    }

    /// Whether it answers.
    ///
    /// # Errors
    /// Where it does not.
    pub async fn ping(&self) -> Result<(), DockerError> {
        self.docker.ping().await?;
        Ok(())
    }

    /// Creates a container and returns its id.
    ///
    /// # Errors
    /// Where Docker refuses; [`DockerError::Conflict`] where the name is taken.
    pub async fn create(&self, spec: &CreateSpec) -> Result<String, DockerError> {
        let options = CreateContainerOptionsBuilder::new().name(&spec.name).build();
        let created = self
            .docker
            .create_container(Some(options), convert::create_body(spec))
            .await?;
        Ok(created.id)
    }

    /// Starts a created container. Already running is success.
    ///
    /// # Errors
    /// Where Docker or the container's program refuses.
    pub async fn start(&self, id: &str) -> Result<(), DockerError> {
        let _permit = self.starts.acquire().await.expect("this semaphore is never closed");
        self.docker.start_container(id, None).await?;
        Ok(())
    }

    /// Sends the stop signal, and SIGKILL once the grace period is over; returns when the container has ended.
    /// One that is gone or stopped already is success.
    ///
    /// # Errors
    /// Where Docker does not answer or cannot stop it.
    pub async fn stop(&self, id: &str, grace: Duration) -> Result<(), DockerError> {
        let seconds = i32::try_from(grace.as_secs()).unwrap_or(i32::MAX);
        let options = StopContainerOptionsBuilder::new().t(seconds).build();
        let docker = self.docker.clone().with_timeout(grace.saturating_add(STOP_MARGIN));
        DockerError::ignoring_missing(docker.stop_container(id, Some(options)).await)
    }

    /// Ends a container at once. One that is gone or stopped already is success.
    ///
    /// # Errors
    /// Where Docker does not answer or cannot end it.
    pub async fn kill(&self, id: &str) -> Result<(), DockerError> {
        let options = KillContainerOptionsBuilder::new().signal("KILL").build();
        match DockerError::ignoring_missing(self.docker.kill_container(id, Some(options)).await) {
            Err(DockerError::Conflict(_)) => Ok(()),
            other => other,
        }
    }

    /// Removes a container, ending it first if it runs. One that is gone is success.
    ///
    /// # Errors
    /// Where Docker does not answer or cannot remove it.
    pub async fn remove(&self, id: &str) -> Result<(), DockerError> {
        let options = RemoveContainerOptionsBuilder::new().force(true).v(true).build();
        match DockerError::ignoring_missing(self.docker.remove_container(id, Some(options)).await) {
            // Somebody else is removing it already.
            Err(DockerError::Conflict(message)) if message.contains("already in progress") => Ok(()),
            other => other,
        }
    }

    /// Every container, running or not, that carries these labels.
    async fn list(&self, labels: &BTreeMap<String, String>) -> Result<Vec<ContainerSummary>, DockerError> {
        let wanted = labels
            .iter()
            .map(|(name, value)| format!("{name}={value}"))
            .collect::<Vec<_>>();
        let filters = HashMap::from([("label", wanted)]);
        let options = ListContainersOptionsBuilder::new().all(true).filters(&filters).build();
        Ok(self.docker.list_containers(Some(options)).await?)
    }
}
