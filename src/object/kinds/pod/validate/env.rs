//! Environment variables and what they are taken from; also the downward API's fields, which volumes share.

use k8s_openapi::api::core::v1::{
    Container, EnvFromSource, EnvVar, EnvVarSource, ObjectFieldSelector, ResourceFieldSelector,
};

use super::{form_of, required_form};
use crate::object::field_error::{FieldError, Path};
use crate::object::format;
use crate::object::quantity::Quantity;

/// Every field that the downward API knows.
const FIELDS: [&str; 14] = [
    "metadata.annotations",
    "metadata.labels",
    "metadata.name",
    "metadata.namespace",
    "metadata.uid",
    "spec.nodeName",
    "spec.restartPolicy",
    "spec.schedulerName",
    "spec.serviceAccountName",
    "status.hostIP",
    "status.hostIPs",
    "status.phase",
    "status.podIP",
    "status.podIPs",
];
/// Those that a variable may have.
const ENV_FIELDS: [&str; 9] = [
    "metadata.name",
    "metadata.namespace",
    "metadata.uid",
    "spec.nodeName",
    "spec.serviceAccountName",
    "status.hostIP",
    "status.hostIPs",
    "status.podIP",
    "status.podIPs",
];
/// The resources that the downward API knows.
const RESOURCES: [&str; 6] = [
    "limits.cpu",
    "limits.ephemeral-storage",
    "limits.memory",
    "requests.cpu",
    "requests.ephemeral-storage",
    "requests.memory",
];
const CPU_DIVISORS: [&str; 2] = ["1", "1m"];
const MEMORY_DIVISORS: [&str; 13] = [
    "1", "1E", "1Ei", "1G", "1Gi", "1Ki", "1M", "1Mi", "1P", "1Pi", "1T", "1Ti", "1k",
];

/// A container's `env` and `envFrom`.
pub(super) fn validate(container: &Container, at: &Path, errors: &mut Vec<FieldError>) {
    for (index, variable) in container.env.iter().flatten().enumerate() {
        let at = at.child("env").index(index);
        required_form(&variable.name, format::env_name, &at.child("name"), errors);
        if let Some(source) = &variable.value_from {
            validate_source(variable, source, &at.child("valueFrom"), errors);
        }
    }
    for (index, source) in container.env_from.iter().flatten().enumerate() {
        validate_from(source, &at.child("envFrom"), index, errors);
    }
}

fn validate_source(variable: &EnvVar, source: &EnvVarSource, at: &Path, errors: &mut Vec<FieldError>) {
    if let Some(field) = &source.field_ref {
        validate_field(field, &ENV_FIELDS, &at.child("fieldRef"), errors);
    }
    if let Some(field) = &source.resource_field_ref {
        validate_resource_field(field, false, &at.child("resourceFieldRef"), errors);
    }
    let keys = [
        (
            source.config_map_key_ref.as_ref().map(|key| (&key.name, &key.key)),
            "configMapKeyRef",
        ),
        (
            source.secret_key_ref.as_ref().map(|key| (&key.name, &key.key)),
            "secretKeyRef",
        ),
    ];
    let mut count = [
        source.field_ref.is_some(),
        source.resource_field_ref.is_some(),
        source.file_key_ref.is_some(),
    ]
    .into_iter()
    .filter(|set| *set)
    .count();
    for (reference, field) in keys {
        if let Some((name, key)) = reference {
            count += 1;
            validate_key_reference(name, key, &at.child(field), errors);
        }
    }
    if count == 0 {
        let why = "must specify one of: `fieldRef`, `resourceFieldRef`, `configMapKeyRef` or `secretKeyRef`";
        errors.push(FieldError::invalid(at, "", why));
    }
    if count > 0 && variable.value.as_ref().is_some_and(|value| !value.is_empty()) {
        errors.push(FieldError::invalid(
            at,
            "",
            "may not be specified when `value` is not empty",
        ));
    } else if count > 1 {
        errors.push(FieldError::invalid(
            at,
            "",
            "may not have more than one field specified at a time",
        ));
    }
}

fn validate_key_reference(name: &str, key: &str, at: &Path, errors: &mut Vec<FieldError>) {
    if name.is_empty() {
        errors.push(FieldError::required(&at.child("name"), ""));
    }
    required_form(key, format::config_key, &at.child("key"), errors);
}

fn validate_from(source: &EnvFromSource, field: &Path, index: usize, errors: &mut Vec<FieldError>) {
    let at = field.index(index);
    if let Some(prefix) = &source.prefix {
        form_of(prefix, format::env_name, &at.child("prefix"), errors);
    }
    let references = [
        (
            source.config_map_ref.as_ref().map(|reference| &reference.name),
            "configMapRef",
        ),
        (source.secret_ref.as_ref().map(|reference| &reference.name), "secretRef"),
    ];
    let mut count = 0;
    for (name, kind) in references {
        count += usize::from(name.is_some());
        if name.is_some_and(String::is_empty) {
            errors.push(FieldError::required(&at.child(kind).child("name"), ""));
        }
    }
    match count {
        0 => errors.push(FieldError::invalid(
            field,
            "",
            "must specify one of: `configMapRef` or `secretRef`",
        )),
        1 => {}
        _ => errors.push(FieldError::invalid(
            field,
            "",
            "may not have more than one field specified at a time",
        )),
    }
}

/// A field of the pod. `allowed` are those without a subscript.
pub(super) fn validate_field(
    selector: &ObjectFieldSelector,
    allowed: &[&str],
    at: &Path,
    errors: &mut Vec<FieldError>,
) {
    let field = at.child("fieldPath");
    let version = selector.api_version.as_deref().unwrap_or("");
    let path = selector.field_path.as_str();
    let mut refuse = |why: String| {
        errors.push(FieldError::invalid(
            &field,
            path,
            format!("error converting fieldPath: {why}"),
        ));
    };
    match (version, path) {
        ("", _) => return errors.push(FieldError::required(&at.child("apiVersion"), "")),
        (_, "") => return errors.push(FieldError::required(&field, "")),
        ("v1", _) => {}
        (version, _) => return refuse(format!("unsupported pod version: {version}")),
    }
    let subscript = path.strip_suffix("']").and_then(|path| path.split_once("['"));
    match subscript {
        Some(("metadata.annotations", key)) => form_of(&key.to_lowercase(), format::qualified_name, at, errors),
        Some(("metadata.labels", key)) => form_of(key, format::qualified_name, at, errors),
        Some(_) => refuse(format!("field label does not support subscript: {path}")),
        None if !FIELDS.contains(&path) => refuse(format!("field label not supported: {path}")),
        None if !allowed.contains(&path) => errors.push(FieldError::not_supported(&field, path, allowed)),
        None => {}
    }
}

/// An amount of a container. In a volume it must say of which.
pub(super) fn validate_resource_field(
    selector: &ResourceFieldSelector,
    in_volume: bool,
    at: &Path,
    errors: &mut Vec<FieldError>,
) {
    let resource = selector.resource.as_str();
    if in_volume && selector.container_name.is_none() {
        errors.push(FieldError::required(&at.child("containerName"), ""));
    } else if resource.is_empty() {
        errors.push(FieldError::required(&at.child("resource"), ""));
    } else if !RESOURCES.contains(&resource) && !resource.contains(".hugepages-") {
        errors.push(FieldError::not_supported(&at.child("resource"), resource, &RESOURCES));
    }
    let divisors: &[&str] = if resource.ends_with(".cpu") {
        &CPU_DIVISORS
    } else {
        &MEMORY_DIVISORS
    };
    if let Some(divisor) = &selector.divisor {
        let is_unset = divisor.0.parse::<Quantity>().is_ok_and(Quantity::is_zero);
        if !is_unset && !divisors.contains(&divisor.0.as_str()) {
            errors.push(FieldError::not_supported(&at.child("divisor"), resource, divisors));
        }
    }
}
