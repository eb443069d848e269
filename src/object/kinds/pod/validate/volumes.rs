//! Volumes and their sources. Of those that no kubelet of ours mounts, only that there is one source.

use std::collections::BTreeSet;

use k8s_openapi::api::core::v1::{
    DownwardAPIVolumeFile, HostPathVolumeSource, KeyToPath, NFSVolumeSource, ProjectedVolumeSource, Volume,
    VolumeProjection,
};
use serde_json::Value;

use super::{descending_path, env, no_steps_back, required_form};
use crate::object::field_error::{FieldError, Path};
use crate::object::kinds::persistent_volume_claim;
use crate::object::quantity::Quantity;
use crate::object::{codec, format};

/// The names of the volumes that containers may mount.
pub(super) type Names<'a> = BTreeSet<&'a str>;

/// The fields that a file of a volume may have.
const FILE_FIELDS: [&str; 5] = [
    "metadata.annotations",
    "metadata.labels",
    "metadata.name",
    "metadata.namespace",
    "metadata.uid",
];
const HOST_PATH_TYPES: [&str; 8] = [
    "",
    "BlockDevice",
    "CharDevice",
    "Directory",
    "DirectoryOrCreate",
    "File",
    "FileOrCreate",
    "Socket",
];
/// The bounds of a token's life.
const TOKEN_SECONDS_MIN: i64 = 600;
const TOKEN_SECONDS_MAX: i64 = 1 << 32;
/// In this order Kubernetes looks at the sources; the second one found is the one too many.
const SOURCES: [&str; 30] = [
    "emptyDir",
    "hostPath",
    "gitRepo",
    "gcePersistentDisk",
    "awsElasticBlockStore",
    "secret",
    "nfs",
    "iscsi",
    "glusterfs",
    "flocker",
    "persistentVolumeClaim",
    "rbd",
    "cinder",
    "cephfs",
    "quobyte",
    "downwardAPI",
    "fc",
    "flexVolume",
    "configMap",
    "azureFile",
    "vsphereVolume",
    "photonPersistentDisk",
    "portworxVolume",
    "azureDisk",
    "storageos",
    "scaleIO",
    "projected",
    "csi",
    "ephemeral",
    "image",
];

/// Checks all volumes; returns the names of the good ones.
pub(super) fn validate<'a>(volumes: &'a [Volume], field: &Path, errors: &mut Vec<FieldError>) -> Names<'a> {
    let mut names = BTreeSet::new();
    for (index, volume) in volumes.iter().enumerate() {
        let at = field.index(index);
        let known = errors.len();
        validate_source(volume, &at, errors);
        required_form(&volume.name, format::dns_label, &at.child("name"), errors);
        if names.contains(volume.name.as_str()) {
            errors.push(FieldError::duplicate(&at.child("name"), &volume.name));
        }
        if errors.len() == known {
            names.insert(volume.name.as_str());
        }
    }
    names
}

/// The sources that are set, in Kubernetes' order.
fn sources(volume: &Volume) -> Vec<&'static str> {
    let written = codec::write(volume).unwrap_or(Value::Null);
    SOURCES
        .into_iter()
        .filter(|source| written.get(source).is_some())
        .collect()
}

fn validate_source(volume: &Volume, at: &Path, errors: &mut Vec<FieldError>) {
    let sources = sources(volume);
    let Some((first, others)) = sources.split_first() else {
        return errors.push(FieldError::required(at, "must specify a volume type"));
    };
    match *first {
        "emptyDir" => {
            let limit = volume.empty_dir.as_ref().and_then(|source| source.size_limit.as_ref());
            if limit
                .and_then(|limit| limit.0.parse().ok())
                .is_some_and(Quantity::is_negative)
            {
                let why = "SizeLimit field must be a valid resource quantity";
                errors.push(FieldError::forbidden(&at.child("emptyDir.sizeLimit"), why));
            }
        }
        "hostPath" => volume
            .host_path
            .iter()
            .for_each(|source| validate_host_path(source, at, errors)),
        "nfs" => volume.nfs.iter().for_each(|source| validate_nfs(source, at, errors)),
        "persistentVolumeClaim" => {
            let name = volume.persistent_volume_claim.as_ref().map(|source| &source.claim_name);
            required(name, &at.child("persistentVolumeClaim.claimName"), errors);
        }
        "csi" => required(
            volume.csi.as_ref().map(|source| &source.driver),
            &at.child("csi.driver"),
            errors,
        ),
        "image" => {
            let reference = volume.image.as_ref().and_then(|source| source.reference.as_ref());
            required(reference, &at.child("image.reference"), errors);
        }
        "ephemeral" => {
            let at = at.child("ephemeral.volumeClaimTemplate");
            match volume
                .ephemeral
                .as_ref()
                .and_then(|source| source.volume_claim_template.as_ref())
            {
                Some(template) => persistent_volume_claim::validate_spec(&template.spec, &at.child("spec"), errors),
                None => errors.push(FieldError::required(&at, "")),
            }
        }
        "projected" => volume
            .projected
            .iter()
            .for_each(|source| validate_projected(source, at, errors)),
        _ => validate_files(volume, at, errors),
    }
    for other in others {
        errors.push(FieldError::forbidden(
            &at.child(other),
            "may not specify more than 1 volume type",
        ));
    }
}

fn required(value: Option<&String>, field: &Path, errors: &mut Vec<FieldError>) {
    if value.is_none_or(String::is_empty) {
        errors.push(FieldError::required(field, ""));
    }
}

/// A path of the node's own; `at` is what has the source.
pub(in crate::object::kinds) fn validate_host_path(
    source: &HostPathVolumeSource,
    at: &Path,
    errors: &mut Vec<FieldError>,
) {
    let at = at.child("hostPath");
    if source.path.is_empty() {
        return errors.push(FieldError::required(&at.child("path"), ""));
    }
    no_steps_back(&source.path, &at.child("path"), errors);
    let kind = source.type_.as_deref().unwrap_or("");
    if !HOST_PATH_TYPES.contains(&kind) {
        errors.push(FieldError::not_supported(&at.child("type"), kind, &HOST_PATH_TYPES));
    }
}

/// A path of another machine's; `at` is what has the source.
pub(in crate::object::kinds) fn validate_nfs(source: &NFSVolumeSource, at: &Path, errors: &mut Vec<FieldError>) {
    let at = at.child("nfs");
    required(Some(&source.server), &at.child("server"), errors);
    required(Some(&source.path), &at.child("path"), errors);
    if !source.path.starts_with('/') {
        errors.push(FieldError::invalid(
            &at.child("path"),
            &source.path,
            "must be an absolute path",
        ));
    }
}

/// Volumes made of files that the kubelet writes.
fn validate_files(volume: &Volume, at: &Path, errors: &mut Vec<FieldError>) {
    if let Some(source) = &volume.secret {
        let at = at.child("secret");
        required(source.secret_name.as_ref(), &at.child("secretName"), errors);
        mode(source.default_mode, &at.child("defaultMode"), errors);
        validate_items(source.items.as_deref(), &at.child("items"), errors);
    } else if let Some(source) = &volume.config_map {
        let at = at.child("configMap");
        required(Some(&source.name), &at.child("name"), errors);
        mode(source.default_mode, &at.child("defaultMode"), errors);
        validate_items(source.items.as_deref(), &at.child("items"), errors);
    } else if let Some(source) = &volume.downward_api {
        let at = at.child("downwardAPI");
        mode(source.default_mode, &at.child("defaultMode"), errors);
        validate_downward_items(source.items.as_deref(), &at, errors);
    }
}

fn mode(mode: Option<i32>, field: &Path, errors: &mut Vec<FieldError>) {
    if let Some(mode) = mode.filter(|mode| !(0..=0o777).contains(mode)) {
        let why = "must be a number between 0 and 0777 (octal), both inclusive";
        errors.push(FieldError::invalid(field, mode, why));
    }
}

fn validate_items(items: Option<&[KeyToPath]>, field: &Path, errors: &mut Vec<FieldError>) {
    for (index, item) in items.unwrap_or_default().iter().enumerate() {
        let at = field.index(index);
        required(Some(&item.key), &at.child("key"), errors);
        file_path(&item.path, &at.child("path"), errors);
        mode(item.mode, &at.child("mode"), errors);
    }
}

/// Where a file lies in its volume; names that begin with `..` are the kubelet's own.
fn file_path(path: &str, field: &Path, errors: &mut Vec<FieldError>) {
    if path.is_empty() {
        return errors.push(FieldError::required(field, ""));
    }
    descending_path(path, field, errors);
    if path.starts_with("..") && !path.starts_with("../") && path != ".." {
        errors.push(FieldError::invalid(field, path, "must not start with '..'"));
    }
}

fn validate_downward_items(items: Option<&[DownwardAPIVolumeFile]>, at: &Path, errors: &mut Vec<FieldError>) {
    for item in items.unwrap_or_default() {
        file_path(&item.path, &at.child("path"), errors);
        match (&item.field_ref, &item.resource_field_ref) {
            (Some(field), None) => env::validate_field(field, &FILE_FIELDS, &at.child("fieldRef"), errors),
            (None, Some(field)) => {
                env::validate_resource_field(field, true, &at.child("resourceFieldRef"), errors);
            }
            (Some(_), Some(_)) => {
                let why = "fieldRef and resourceFieldRef can not be specified simultaneously";
                errors.push(FieldError::invalid(at, "resource", why));
            }
            (None, None) => {
                errors.push(FieldError::required(
                    at,
                    "one of fieldRef and resourceFieldRef is required",
                ));
            }
        }
        mode(item.mode, &at.child("mode"), errors);
    }
}

fn validate_projected(source: &ProjectedVolumeSource, at: &Path, errors: &mut Vec<FieldError>) {
    let at = at.child("projected");
    mode(source.default_mode, &at.child("defaultMode"), errors);
    let mut paths = BTreeSet::new();
    for (index, source) in source.sources.iter().flatten().enumerate() {
        let at = at.child("sources").index(index);
        validate_projection(source, &at, errors);
        for path in projected_paths(source) {
            if !path.is_empty() && !paths.insert(path.clone()) {
                errors.push(FieldError::invalid(&at, path, "conflicting duplicate paths"));
            }
        }
    }
}

fn projected_paths(source: &VolumeProjection) -> Vec<String> {
    let of_items =
        |items: &Option<Vec<KeyToPath>>| items.iter().flatten().map(|item| item.path.clone()).collect::<Vec<_>>();
    let mut paths = Vec::new();
    paths.extend(source.config_map.iter().flat_map(|source| of_items(&source.items)));
    paths.extend(source.secret.iter().flat_map(|source| of_items(&source.items)));
    paths.extend(source.service_account_token.iter().map(|source| source.path.clone()));
    let files = source
        .downward_api
        .iter()
        .filter_map(|source| source.items.as_ref())
        .flatten();
    paths.extend(files.map(|file| file.path.clone()));
    paths
}

fn validate_projection(source: &VolumeProjection, at: &Path, errors: &mut Vec<FieldError>) {
    let set: Vec<&str> = [
        ("secret", source.secret.is_some()),
        ("configMap", source.config_map.is_some()),
        ("downwardAPI", source.downward_api.is_some()),
        ("serviceAccountToken", source.service_account_token.is_some()),
        ("clusterTrustBundle", source.cluster_trust_bundle.is_some()),
        ("podCertificate", source.pod_certificate.is_some()),
    ]
    .into_iter()
    .filter_map(|(name, set)| set.then_some(name))
    .collect();
    for other in set.iter().skip(1) {
        let why = "may not specify more than 1 volume type per source";
        errors.push(FieldError::forbidden(&at.child(other), why));
    }
    match set.first() {
        None => errors.push(FieldError::required(
            at,
            "must specify at least one volume type per source",
        )),
        Some(&"secret") => {
            if let Some(source) = &source.secret {
                required(Some(&source.name), &at.child("secret.name"), errors);
                validate_items(source.items.as_deref(), &at.child("secret.items"), errors);
            }
        }
        Some(&"configMap") => {
            if let Some(source) = &source.config_map {
                required(Some(&source.name), &at.child("configMap.name"), errors);
                validate_items(source.items.as_deref(), &at.child("configMap.items"), errors);
            }
        }
        Some(&"downwardAPI") => {
            let items = source.downward_api.as_ref().and_then(|source| source.items.as_deref());
            validate_downward_items(items, &at.child("downwardAPI"), errors);
        }
        Some(&"serviceAccountToken") => validate_token(source, &at.child("serviceAccountToken"), errors),
        Some(_) => {}
    }
}

fn validate_token(source: &VolumeProjection, at: &Path, errors: &mut Vec<FieldError>) {
    let Some(token) = &source.service_account_token else {
        return;
    };
    let seconds = token.expiration_seconds.unwrap_or(TOKEN_SECONDS_MIN);
    let field = at.child("expirationSeconds");
    if seconds < TOKEN_SECONDS_MIN {
        errors.push(FieldError::invalid(
            &field,
            seconds,
            "may not specify a duration less than 10 minutes",
        ));
    } else if seconds > TOKEN_SECONDS_MAX {
        errors.push(FieldError::invalid(
            &field,
            seconds,
            "may not specify a duration larger than 2^32 seconds",
        ));
    }
    file_path(&token.path, &at.child("path"), errors);
}
