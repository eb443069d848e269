//! ConfigMaps.

use k8s_openapi::api::core::v1::ConfigMap;

use super::Strategy;

/// The rules of ConfigMaps.
pub(in crate::object) struct ConfigMaps;

impl Strategy for ConfigMaps {
    type Object = ConfigMap;
}
