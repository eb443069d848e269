//! What files a volume made from API objects holds.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{DownwardAPIVolumeFile, KeyToPath, Pod, ProjectedVolumeSource, Volume};
use kube::ResourceExt;

use super::VolumeError;
use super::atomic::{File, Files};
use crate::kubelet::make::{Facts, downward_field, resource_field};
use crate::kubelet::sources::Sources;

/// Permissions of a file where nothing else is said.
const DEFAULT_MODE: u32 = 0o644;

/// Reads what some volumes are made from.
struct Reader<'a> {
    sources: &'a Sources,
    pod: &'a Pod,
    facts: &'a Facts,
    namespace: String,
    volume: &'a str,
}

/// The files of a volume that is made from API objects; `None` for any other.
pub async fn files(sources: &Sources, pod: &Pod, facts: &Facts, volume: &Volume) -> Result<Option<Files>, VolumeError> {
    let reader = Reader {
        sources,
        pod,
        facts,
        namespace: pod.namespace().unwrap_or_default(),
        volume: &volume.name,
    };
    if let Some(source) = &volume.config_map {
        let mode = mode(source.default_mode);
        return reader
            .config_map(&source.name, source.items.as_deref(), source.optional, mode)
            .await
            .map(Some);
    }
    if let Some(source) = &volume.secret {
        let name = source.secret_name.as_deref().unwrap_or_default();
        let mode = mode(source.default_mode);
        return reader
            .secret(name, source.items.as_deref(), source.optional, mode)
            .await
            .map(Some);
    }
    if let Some(source) = &volume.downward_api {
        return reader
            .downward(source.items.as_deref(), mode(source.default_mode))
            .map(Some);
    }
    match &volume.projected {
        Some(source) => reader.projected(source).await.map(Some),
        None => Ok(None),
    }
}

impl Reader<'_> {
    async fn config_map(
        &self,
        name: &str,
        items: Option<&[KeyToPath]>,
        optional: Option<bool>,
        mode: u32,
    ) -> Result<Files, VolumeError> {
        let found = self
            .sources
            .config_map(&self.namespace, name)
            .await
            .map_err(|error| self.api(error))?;
        let Some(found) = found else {
            return self.absent("configmap", name, optional);
        };
        let mut data = BTreeMap::new();
        for (key, value) in found.data.iter().flatten() {
            data.insert(key.as_str(), value.as_bytes());
        }
        for (key, value) in found.binary_data.iter().flatten() {
            data.insert(key.as_str(), value.0.as_slice());
        }
        self.select("configmap", name, &data, items, optional, mode)
    }

    async fn secret(
        &self,
        name: &str,
        items: Option<&[KeyToPath]>,
        optional: Option<bool>,
        mode: u32,
    ) -> Result<Files, VolumeError> {
        let found = self
            .sources
            .secret(&self.namespace, name)
            .await
            .map_err(|error| self.api(error))?;
        let Some(found) = found else {
            return self.absent("secret", name, optional);
        };
        let data = found
            .data
            .iter()
            .flatten()
            .map(|(key, value)| (key.as_str(), value.0.as_slice()))
            .collect();
        self.select("secret", name, &data, items, optional, mode)
    }

    /// All keys as files of their names, or those that `items` lists at the paths it says.
    fn select(
        &self,
        kind: &str,
        name: &str,
        data: &BTreeMap<&str, &[u8]>,
        items: Option<&[KeyToPath]>,
        optional: Option<bool>,
        mode: u32,
    ) -> Result<Files, VolumeError> {
        let file = |content: &[u8], mode| File {
            content: content.to_vec(),
            mode,
        };
        let Some(items) = items.filter(|items| !items.is_empty()) else {
            return Ok(data
                .iter()
                .map(|(key, content)| ((*key).to_owned(), file(content, mode)))
                .collect());
        };
        let mut files = Files::new();
        for item in items {
            match data.get(item.key.as_str()) {
                Some(content) => {
                    files.insert(
                        item.path.clone(),
                        file(content, item.mode.map_or(mode, |own| own.unsigned_abs())),
                    );
                }
                None if optional == Some(true) => {}
                None => {
                    let reason = format!("references non-existent {kind} key: {} ({kind} {name:?})", item.key);
                    return Err(VolumeError::source(self.volume, reason));
                }
            }
        }
        Ok(files)
    }

    fn downward(&self, items: Option<&[DownwardAPIVolumeFile]>, mode: u32) -> Result<Files, VolumeError> {
        let mut files = Files::new();
        for item in items.unwrap_or_default() {
            let text = match (&item.field_ref, &item.resource_field_ref) {
                (Some(field), _) => downward_field(self.pod, self.facts, &field.field_path),
                (None, Some(field)) => {
                    let container = field.container_name.as_deref();
                    let divisor = field.divisor.as_ref();
                    resource_field(self.pod, None, self.facts, container, &field.resource, divisor)
                }
                (None, None) => continue,
            };
            let text = text.map_err(|error| VolumeError::source(self.volume, error.0))?;
            let mode = item.mode.map_or(mode, |own| own.unsigned_abs());
            let content = text.into_bytes();
            files.insert(item.path.clone(), File { content, mode });
        }
        Ok(files)
    }

    async fn projected(&self, source: &ProjectedVolumeSource) -> Result<Files, VolumeError> {
        let mode = mode(source.default_mode);
        let mut files = Files::new();
        for part in source.sources.iter().flatten() {
            if let Some(map) = &part.config_map {
                files.extend(
                    self.config_map(&map.name, map.items.as_deref(), map.optional, mode)
                        .await?,
                );
            }
            if let Some(secret) = &part.secret {
                files.extend(
                    self.secret(&secret.name, secret.items.as_deref(), secret.optional, mode)
                        .await?,
                );
            }
            if let Some(downward) = &part.downward_api {
                files.extend(self.downward(downward.items.as_deref(), mode)?);
            }
            if part.service_account_token.is_some() {
                let reason = "projected service account tokens are not supported yet";
                return Err(VolumeError::source(self.volume, reason));
            }
            if part.cluster_trust_bundle.is_some() || part.pod_certificate.is_some() {
                let reason = "projected cluster trust bundles and pod certificates are not supported";
                return Err(VolumeError::source(self.volume, reason));
            }
        }
        Ok(files)
    }

    fn absent(&self, kind: &str, name: &str, optional: Option<bool>) -> Result<Files, VolumeError> {
        if optional == Some(true) {
            return Ok(Files::new());
        }
        Err(VolumeError::source(self.volume, format!("{kind} {name:?} not found")))
    }

    fn api(&self, source: kube::Error) -> VolumeError {
        VolumeError::Api {
            volume: self.volume.to_owned(),
            source,
        }
    }
}

fn mode(mode: Option<i32>) -> u32 {
    mode.map_or(DEFAULT_MODE, i32::unsigned_abs)
}
