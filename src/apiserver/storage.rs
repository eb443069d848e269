//! The storage class of claims that name none, read from the store.

use k8s_openapi::api::storage::v1::StorageClass;

use super::error::ApiError;
use super::record;
use super::server::Server;
use crate::object::{Kind, volume};
use crate::store::ListOptions;

/// Its name; `None` where no class is marked as the default.
///
/// # Errors
/// Where the store fails.
pub async fn default_class(server: &Server) -> Result<Option<String>, ApiError> {
    let kind = Kind::find("storage.k8s.io", "v1", "storageclasses")
        .ok_or_else(|| ApiError::Internal("storage classes are not served".to_owned()))?;
    let page = server
        .store
        .list(&record::prefix(kind, None), ListOptions::default())
        .await?;
    let mut classes = Vec::new();
    for pair in &page.items {
        let class: StorageClass = serde_json::from_value(record::decode(pair)?.object)
            .map_err(|error| ApiError::Internal(format!("a stored storage class cannot be read: {error}")))?;
        classes.push(class);
    }
    let default = volume::default_class(&classes);
    Ok(default.and_then(|class| class.metadata.name.clone()))
}
