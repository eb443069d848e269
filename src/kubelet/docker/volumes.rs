//! Makes and removes Docker volumes that live in memory, for emptyDir volumes with medium Memory.

use std::collections::{BTreeMap, HashMap};

use bollard::models::VolumeCreateRequest;
use bollard::query_parameters::{ListVolumesOptionsBuilder, RemoveVolumeOptionsBuilder};

use super::{DockerError, Engine};

impl Engine {
    /// Makes a volume in memory, of at most that size where one is given; one of that name stays as it is.
    ///
    /// # Errors
    /// Where Docker does not answer or refuses.
    pub async fn create_memory_volume(
        &self,
        name: &str,
        size_bytes: Option<i64>,
        labels: &BTreeMap<String, String>,
    ) -> Result<(), DockerError> {
        let size = size_bytes.map_or_else(String::new, |bytes| format!(",size={bytes}"));
        let options = [
            ("type", "tmpfs".to_owned()),
            ("device", "tmpfs".to_owned()),
            ("o", format!("mode=0777{size}")),
        ];
        let request = VolumeCreateRequest {
            name: Some(name.to_owned()),
            driver: Some("local".into()),
            driver_opts: Some(
                options
                    .into_iter()
                    .map(|(name, value)| (name.to_owned(), value))
                    .collect(),
            ),
            labels: Some(
                labels
                    .iter()
                    .map(|(name, value)| (name.clone(), value.clone()))
                    .collect(),
            ),
            ..VolumeCreateRequest::default()
        };
        self.docker.create_volume(request).await?;
        Ok(())
    }

    /// Removes every volume that carries these labels.
    ///
    /// # Errors
    /// Where Docker does not answer, or one is in use.
    pub async fn remove_volumes(&self, labels: &BTreeMap<String, String>) -> Result<(), DockerError> {
        let wanted = labels
            .iter()
            .map(|(name, value)| format!("{name}={value}"))
            .collect::<Vec<_>>();
        let filters = HashMap::from([("label", wanted)]);
        let options = ListVolumesOptionsBuilder::new().filters(&filters).build();
        let listed = self.docker.list_volumes(Some(options)).await?;
        for volume in listed.volumes.unwrap_or_default() {
            let options = RemoveVolumeOptionsBuilder::new().build();
            DockerError::ignoring_missing(self.docker.remove_volume(&volume.name, Some(options)).await)?;
        }
        Ok(())
    }
}
