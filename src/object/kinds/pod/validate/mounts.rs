//! What a container mounts, and where.

use std::collections::BTreeSet;

use k8s_openapi::api::core::v1::{Container, VolumeMount};

use super::volumes::Names;
use super::{descending_path, one_of};
use crate::object::field_error::{FieldError, Path};

/// A container's `volumeMounts` and `volumeDevices`.
pub(super) fn validate(container: &Container, volumes: &Names, at: &Path, errors: &mut Vec<FieldError>) {
    let devices = container.volume_devices.as_deref().unwrap_or_default();
    let field = at.child("volumeMounts");
    let mut paths = BTreeSet::new();
    for (index, mount) in container.volume_mounts.iter().flatten().enumerate() {
        let at = field.index(index);
        if mount.name.is_empty() {
            errors.push(FieldError::required(&at.child("name"), ""));
        }
        if !volumes.contains(mount.name.as_str()) {
            errors.push(FieldError::not_found(&at.child("name"), &mount.name));
        }
        if mount.mount_path.is_empty() {
            errors.push(FieldError::required(&at.child("mountPath"), ""));
        }
        if !paths.insert(mount.mount_path.as_str()) {
            errors.push(FieldError::invalid(
                &at.child("mountPath"),
                &mount.mount_path,
                "must be unique",
            ));
        }
        if devices.iter().any(|device| device.name == mount.name) {
            let why = "must not already exist in volumeDevices";
            errors.push(FieldError::invalid(&at.child("name"), &mount.name, why));
        }
        if devices.iter().any(|device| device.device_path == mount.mount_path) {
            let why = "must not already exist as a path in volumeDevices";
            errors.push(FieldError::invalid(&at.child("mountPath"), &mount.mount_path, why));
        }
        validate_part(mount, &field, &at, errors);
        validate_propagation(mount, container, &field, &at, errors);
    }
    let field = at.child("volumeDevices");
    for (index, device) in devices.iter().enumerate() {
        let at = field.index(index);
        if !volumes.contains(device.name.as_str()) {
            errors.push(FieldError::not_found(&at.child("name"), &device.name));
        }
        if device.device_path.is_empty() {
            errors.push(FieldError::required(&at.child("devicePath"), ""));
        }
    }
}

/// Which part of the volume. Kubernetes names the list in these errors, not the item.
fn validate_part(mount: &VolumeMount, field: &Path, at: &Path, errors: &mut Vec<FieldError>) {
    if let Some(part) = &mount.sub_path {
        descending_path(part, &field.child("subPath"), errors);
    }
    if let Some(expression) = &mount.sub_path_expr {
        if mount.sub_path.is_some() {
            let why = "subPathExpr and subPath are mutually exclusive";
            errors.push(FieldError::invalid(&at.child("subPathExpr"), expression, why));
        }
        descending_path(expression, &field.child("subPathExpr"), errors);
    }
}

fn validate_propagation(
    mount: &VolumeMount,
    container: &Container,
    field: &Path,
    at: &Path,
    errors: &mut Vec<FieldError>,
) {
    if let Some(propagation) = &mount.mount_propagation {
        let field = field.child("mountPropagation");
        one_of(
            Some(propagation),
            &["Bidirectional", "HostToContainer", "None"],
            &field,
            errors,
        );
        let privileged = container
            .security_context
            .as_ref()
            .is_some_and(|context| context.privileged == Some(true));
        if propagation == "Bidirectional" && !privileged {
            let why = "Bidirectional mount propagation is available only to privileged containers";
            errors.push(FieldError::forbidden(&field, why));
        }
    }
    if let Some(recursive) = &mount.recursive_read_only {
        let field = at.child("recursiveReadOnly");
        one_of(Some(recursive), &["Disabled", "Enabled", "IfPossible"], &field, errors);
        if recursive != "Disabled" && mount.read_only != Some(true) {
            let why = "may only be specified when readOnly is true";
            errors.push(FieldError::forbidden(&field, why));
        }
    }
}
