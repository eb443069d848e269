//! Fetches the objects that pods name, when they are named: config maps, secrets, claims and their volumes. Watches
//! nothing.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use k8s_openapi::api::core::v1::{ConfigMap, Node, PersistentVolume, PersistentVolumeClaim, Secret};
use kube::{Api, Client};
use tokio::sync::Mutex;
use tokio::time::Instant;

use super::make::References;

/// Many pods that start together name the same objects; longer would show people stale values.
const FRESH_FOR: Duration = Duration::from_secs(2);

/// More objects than that are not named by one node's pods within [`FRESH_FOR`].
const MAX_CACHED: usize = 256;

type Cache<K> = Mutex<HashMap<(String, String), (Instant, Option<Arc<K>>)>>;

/// What pods name, remembered for a moment.
pub struct Sources {
    client: Client,
    config_maps: Cache<ConfigMap>,
    secrets: Cache<Secret>,
    volumes: Cache<PersistentVolume>,
    nodes: Cache<Node>,
}

impl Sources {
    /// Fetches through that client.
    pub fn new(client: Client) -> Self {
        Self {
            client,
            config_maps: Mutex::default(),
            secrets: Mutex::default(),
            volumes: Mutex::default(),
            nodes: Mutex::default(),
        }
    }

    /// The config map, or `None` where there is none.
    ///
    /// # Errors
    /// Where the API server does not answer or refuses.
    pub async fn config_map(&self, namespace: &str, name: &str) -> Result<Option<Arc<ConfigMap>>, kube::Error> {
        let api = Api::namespaced(self.client.clone(), namespace);
        fetch(&api, &self.config_maps, namespace, name).await
    }

    /// The secret, or `None` where there is none.
    ///
    /// # Errors
    /// Where the API server does not answer or refuses.
    pub async fn secret(&self, namespace: &str, name: &str) -> Result<Option<Arc<Secret>>, kube::Error> {
        let api = Api::namespaced(self.client.clone(), namespace);
        fetch(&api, &self.secrets, namespace, name).await
    }

    /// The claim as it is now, or `None` where there is none: no pod may start on one whose deletion has begun.
    ///
    /// # Errors
    /// Where the API server does not answer or refuses.
    pub async fn claim(&self, namespace: &str, name: &str) -> Result<Option<PersistentVolumeClaim>, kube::Error> {
        Api::namespaced(self.client.clone(), namespace).get_opt(name).await
    }

    /// The persistent volume, or `None` where there is none.
    ///
    /// # Errors
    /// Where the API server does not answer or refuses.
    pub async fn volume(&self, name: &str) -> Result<Option<Arc<PersistentVolume>>, kube::Error> {
        fetch(&Api::all(self.client.clone()), &self.volumes, "", name).await
    }

    /// The node, or `None` where there is none.
    ///
    /// # Errors
    /// Where the API server does not answer or refuses.
    pub async fn node(&self, name: &str) -> Result<Option<Arc<Node>>, kube::Error> {
        fetch(&Api::all(self.client.clone()), &self.nodes, "", name).await
    }

    /// Fetches every object that these references name.
    ///
    /// # Errors
    /// Where the API server does not answer or refuses.
    pub async fn fill(&self, namespace: &str, references: &mut References) -> Result<(), kube::Error> {
        for (name, found) in &mut references.config_maps {
            *found = self.config_map(namespace, name).await?;
        }
        for (name, found) in &mut references.secrets {
            *found = self.secret(namespace, name).await?;
        }
        Ok(())
    }
}

async fn fetch<K>(api: &Api<K>, cache: &Cache<K>, namespace: &str, name: &str) -> Result<Option<Arc<K>>, kube::Error>
where
    K: Clone + serde::de::DeserializeOwned + std::fmt::Debug,
{
    let key = (namespace.to_owned(), name.to_owned());
    if let Some((at, found)) = cache.lock().await.get(&key)
        && at.elapsed() < FRESH_FOR
    {
        return Ok(found.clone());
    }
    let found = api.get_opt(name).await?.map(Arc::new);
    let mut cache = cache.lock().await;
    cache.retain(|_, (at, _)| at.elapsed() < FRESH_FOR);
    if cache.len() < MAX_CACHED {
        cache.insert(key, (Instant::now(), found.clone()));
    }
    Ok(found)
}
