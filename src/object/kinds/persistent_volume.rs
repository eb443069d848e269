//! Volumes that outlive pods. Where their data is never changes.

use k8s_openapi::api::core::v1::{PersistentVolume, PersistentVolumeSpec, PersistentVolumeStatus};
use serde_json::Value;

use super::amounts::round_amounts;
use super::{Strategy, pod, storage};
use crate::object::codec;
use crate::object::field_error::{FieldError, Path};
use crate::object::kind::Part;
use crate::object::metadata::immutable;
use crate::object::table::{self, Table};
use crate::object::volume;

const RECLAIM_POLICIES: [&str; 3] = ["Delete", "Recycle", "Retain"];
/// In this order Kubernetes looks at the sources; the second one found is the one too many.
const SOURCES: [&str; 22] = [
    "hostPath",
    "gcePersistentDisk",
    "awsElasticBlockStore",
    "glusterfs",
    "flocker",
    "nfs",
    "rbd",
    "quobyte",
    "cephfs",
    "iscsi",
    "cinder",
    "fc",
    "flexVolume",
    "azureFile",
    "vsphereVolume",
    "photonPersistentDisk",
    "portworxVolume",
    "azureDisk",
    "scaleIO",
    "local",
    "storageos",
    "csi",
];

/// The rules of volumes.
pub(in crate::object) struct PersistentVolumes;

impl Strategy for PersistentVolumes {
    const TABLE: Table = table::PERSISTENT_VOLUMES;

    type Object = PersistentVolume;

    fn default(volume: &mut PersistentVolume) {
        let status = volume.status.get_or_insert_default();
        status.phase.get_or_insert_with(|| "Pending".to_owned());
        let Some(spec) = &mut volume.spec else { return };
        spec.persistent_volume_reclaim_policy
            .get_or_insert_with(|| "Retain".to_owned());
        spec.volume_mode.get_or_insert_with(|| volume::FILESYSTEM.to_owned());
        spec.capacity.iter_mut().for_each(round_amounts);
        if let Some(path) = &mut spec.host_path {
            path.type_.get_or_insert_default();
        }
    }

    /// The status is the controller's.
    fn prepare_create(volume: &mut PersistentVolume) {
        volume.status = Some(PersistentVolumeStatus {
            phase: Some("Pending".to_owned()),
            ..PersistentVolumeStatus::default()
        });
    }

    fn prepare_update(volume: &mut PersistentVolume, old: &PersistentVolume, part: Part) {
        match part {
            Part::Main => volume.status.clone_from(&old.status),
            Part::Status => volume.spec.clone_from(&old.spec),
        }
    }

    fn validate_create(volume: &PersistentVolume, errors: &mut Vec<FieldError>) {
        let at = Path::new("spec");
        validate_spec(
            volume.spec.as_ref().unwrap_or(&PersistentVolumeSpec::default()),
            &at,
            errors,
        );
    }

    fn validate_update(volume: &PersistentVolume, old: &PersistentVolume, part: Part, errors: &mut Vec<FieldError>) {
        let (Part::Main, Some(spec), Some(before)) = (part, &volume.spec, &old.spec) else {
            return;
        };
        validate_spec(spec, &Path::new("spec"), errors);
        if sources(spec) != sources(before) {
            let why = "spec.persistentvolumesource is immutable after creation";
            errors.push(FieldError::forbidden(&Path::new("spec.persistentvolumesource"), why));
        }
        immutable(
            &spec.volume_mode,
            &before.volume_mode,
            &Path::new("spec.volumeMode"),
            errors,
        );
        // What was never set may be set once.
        if before.node_affinity.is_some() {
            let field = Path::new("spec.nodeAffinity");
            immutable(&spec.node_affinity, &before.node_affinity, &field, errors);
        }
    }
}

/// The sources that are set, in Kubernetes' order, and what they say.
fn sources(spec: &PersistentVolumeSpec) -> Vec<(&'static str, Value)> {
    let written = codec::write(spec).unwrap_or(Value::Null);
    let set = SOURCES.into_iter();
    set.filter_map(|source| Some((source, written.get(source)?.clone())))
        .collect()
}

fn validate_spec(spec: &PersistentVolumeSpec, at: &Path, errors: &mut Vec<FieldError>) {
    let modes = spec.access_modes.as_deref().unwrap_or_default();
    storage::validate_access_modes(modes, "", &at.child("accessModes"), errors);
    validate_capacity(spec, &at.child("capacity"), errors);
    let policy = spec.persistent_volume_reclaim_policy.as_deref().unwrap_or("Retain");
    let policy_at = at.child("persistentVolumeReclaimPolicy");
    if !RECLAIM_POLICIES.contains(&policy) {
        errors.push(FieldError::not_supported(&policy_at, policy, &RECLAIM_POLICIES));
    }
    if let Some(affinity) = &spec.node_affinity {
        let required_at = at.child("nodeAffinity.required");
        match &affinity.required {
            Some(selector) => pod::validate_node_selector(selector, &required_at, errors),
            None => errors.push(FieldError::required(
                &required_at,
                "must specify required node constraints",
            )),
        }
    }
    validate_source(spec, at, errors);
    let root = spec
        .host_path
        .as_ref()
        .is_some_and(|source| source.path.starts_with('/') && source.path.trim_matches('/').is_empty());
    if root && policy == "Recycle" {
        let why = "may not be 'recycle' for a hostPath mount of '/'";
        errors.push(FieldError::forbidden(&policy_at, why));
    }
    let class = spec.storage_class_name.as_deref();
    storage::validate_class_name(class, &at.child("storageClassName"), errors);
    storage::validate_volume_mode(spec.volume_mode.as_deref(), &at.child("volumeMode"), errors);
    if let Some(class) = spec.volume_attributes_class_name.as_deref() {
        let field = at.child("volumeAttributesClassName");
        if class.is_empty() {
            errors.push(FieldError::required(&field, "an empty string is disallowed"));
        }
        storage::validate_class_name(Some(class), &field, errors);
        if spec.csi.is_none() {
            let why = "has to be specified when using volumeAttributesClassName";
            errors.push(FieldError::required(&at.child("csi"), why));
        }
    }
}

/// Storage, and nothing else.
fn validate_capacity(spec: &PersistentVolumeSpec, at: &Path, errors: &mut Vec<FieldError>) {
    let Some(capacity) = spec.capacity.as_ref().filter(|capacity| !capacity.is_empty()) else {
        return errors.push(FieldError::required(at, ""));
    };
    if capacity.len() > 1 || !capacity.contains_key("storage") {
        errors.push(FieldError::not_supported(at, capacity, &["storage"]));
    }
    for (name, amount) in capacity {
        storage::validate_positive(amount, &at.key(name), errors);
    }
}

fn validate_source(spec: &PersistentVolumeSpec, at: &Path, errors: &mut Vec<FieldError>) {
    let sources = sources(spec);
    let Some(((first, _), others)) = sources.split_first() else {
        return errors.push(FieldError::required(at, "must specify a volume type"));
    };
    match *first {
        "hostPath" => spec
            .host_path
            .iter()
            .for_each(|source| pod::validate_host_path(source, at, errors)),
        "nfs" => spec.nfs.iter().for_each(|source| pod::validate_nfs(source, at, errors)),
        "local" => validate_local(spec, at, errors),
        "csi" => {
            for (value, field) in spec.csi.iter().flat_map(|source| {
                [
                    (&source.driver, "csi.driver"),
                    (&source.volume_handle, "csi.volumeHandle"),
                ]
            }) {
                if value.is_empty() {
                    errors.push(FieldError::required(&at.child(field), ""));
                }
            }
        }
        // Nothing here could mount it: that there is one source is all that is asked.
        _ => {}
    }
    for (other, _) in others {
        let why = "may not specify more than 1 volume type";
        errors.push(FieldError::forbidden(&at.child(other), why));
    }
}

/// A path of one node, which must be told.
fn validate_local(spec: &PersistentVolumeSpec, at: &Path, errors: &mut Vec<FieldError>) {
    let path = spec.local.as_ref().map_or("", |source| source.path.as_str());
    let field = at.child("local.path");
    if path.is_empty() {
        errors.push(FieldError::required(&field, ""));
    } else {
        if !path.starts_with('/') {
            errors.push(FieldError::invalid(&field, path, "must be an absolute path"));
        }
        pod::no_steps_back(path, &field, errors);
    }
    if spec.node_affinity.is_none() {
        let why = "Local volume requires node affinity";
        errors.push(FieldError::required(&at.child("nodeAffinity"), why));
    }
}

#[cfg(test)]
#[path = "persistent_volume_tests.rs"]
mod tests;
