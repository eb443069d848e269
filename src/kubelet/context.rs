//! What all workers of a kubelet share.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use k8s_openapi::apimachinery::pkg::api::resource::Quantity;
use kube::Client;
use tokio::sync::Mutex;

use super::Config;
use super::docker::{DockerError, Engine};
use super::events::Events;
use super::images::Images;
use super::make::Facts;
use super::ooms::Ooms;
use super::pods::Pods;
use super::sources::Sources;

/// Everything a worker works with.
pub struct Context {
    /// The kubelet's configuration.
    pub config: Config,
    /// The API.
    pub client: Client,
    /// Docker.
    pub engine: Arc<Engine>,
    /// Images.
    pub images: Images,
    /// What pods name.
    pub sources: Sources,
    /// Where to tell what happens.
    pub events: Events,
    /// The node's pods.
    pub pods: Arc<Pods>,
    /// Who ran out of memory.
    pub ooms: Ooms,
    /// The labels of everything this node makes.
    pub labels: BTreeMap<String, String>,
    /// The node's address.
    pub host_ip: IpAddr,
    /// What the node offers to pods.
    pub allocatable: BTreeMap<String, Quantity>,
    /// Bytes of memory of the node.
    pub memory_bytes: i64,
    /// Held while the sandbox image is loaded.
    pub loading_pause: Mutex<()>,
    /// Cleared when a negative oom_score_adj was refused: it needs a right that some hosts do not grant.
    pub may_lower_oom_score: AtomicBool,
}

impl Context {
    /// What is known of a pod with these addresses.
    pub fn facts(&self, pod_ips: Vec<String>) -> Facts {
        Facts {
            host_ip: self.host_ip,
            pod_ips,
            allocatable: self.allocatable.clone(),
        }
    }

    /// The name of the sandbox image, which is present when this returns.
    ///
    /// # Errors
    /// Where Docker does not answer or cannot get the image.
    pub async fn pause_image(&self) -> Result<String, DockerError> {
        let Some(name) = &self.config.pause_image else {
            let name = Engine::pause_image_name();
            if self.images.present(&name).await?.is_none() {
                // Many pods may start at once on a node that has never run one.
                let _one_loads = self.loading_pause.lock().await;
                if self.images.present(&name).await?.is_none() {
                    self.engine.load_pause_image().await?;
                }
            }
            return Ok(name);
        };
        if self.images.present(name).await?.is_none() {
            self.images.pull(name, Vec::new()).await?;
        }
        Ok(name.clone())
    }
}
