//! Everything wrong with a pod, all at once, with Kubernetes' field paths. Changes nothing.

mod affinity;
mod container;
mod env;
mod gated;
mod mounts;
mod network;
mod probe;
mod resources;
mod scheduling;
mod security;
mod update;
mod volumes;

use std::fmt::Display;

use k8s_openapi::api::core::v1::{Pod, PodSpec};
use serde::Serialize;

pub(crate) use affinity::validate_node as validate_node_affinity;
pub(in crate::object::kinds) use affinity::validate_selector as validate_node_selector;
pub(super) use update::{validate_status_update, validate_update};
pub(in crate::object::kinds) use volumes::{validate_host_path, validate_nfs};

use crate::object::field_error::{FieldError, Path};
use crate::object::{format, metadata};

/// The largest value of most numbers of seconds.
const MAX_SECONDS: i64 = i32::MAX as i64;

/// Everything wrong with a new pod besides its metadata.
pub(super) fn validate_create(pod: &Pod, errors: &mut Vec<FieldError>) {
    let Some(spec) = &pod.spec else {
        errors.push(FieldError::required(&Path::new("spec"), ""));
        return;
    };
    validate_spec(spec, &Path::new("spec"), errors);
    if spec
        .ephemeral_containers
        .as_ref()
        .is_some_and(|containers| !containers.is_empty())
    {
        errors.push(FieldError::forbidden(
            &Path::new("spec.ephemeralContainers"),
            "cannot be set on create",
        ));
    }
    if gated::is_gated(spec) && spec.node_name.is_some() {
        let why = "cannot be set until all schedulingGates have been cleared";
        errors.push(FieldError::forbidden(&Path::new("spec.nodeName"), why));
    }
}

fn validate_spec(spec: &PodSpec, path: &Path, errors: &mut Vec<FieldError>) {
    let volumes = volumes::validate(
        spec.volumes.as_deref().unwrap_or_default(),
        &path.child("volumes"),
        errors,
    );
    container::validate_all(spec, &volumes, path, errors);
    one_of(
        spec.restart_policy.as_deref(),
        &["Always", "OnFailure", "Never"],
        &path.child("restartPolicy"),
        errors,
    );
    network::validate_dns_policy(spec, path, errors);
    metadata::validate_labels(spec.node_selector.as_ref(), &path.child("nodeSelector"), errors);
    security::validate_pod(spec, path, errors);
    if let Some(affinity) = &spec.affinity {
        affinity::validate(affinity, &path.child("affinity"), errors);
    }
    network::validate_dns_config(spec, path, errors);
    scheduling::validate_gates(spec, path, errors);
    scheduling::validate_spread(spec, &path.child("topologySpreadConstraints"), errors);
    validate_names(spec, path, errors);
    scheduling::validate_tolerations(spec.tolerations.as_deref().unwrap_or_default(), path, errors);
    network::validate_host_aliases(spec, path, errors);
    validate_classes(spec, path, errors);
}

fn validate_names(spec: &PodSpec, path: &Path, errors: &mut Vec<FieldError>) {
    let mut check = |name: &Option<String>, form: fn(&str) -> Vec<String>, field: &str| {
        if let Some(name) = name {
            form_of(name, form, &path.child(field), errors);
        }
    };
    check(&spec.service_account_name, format::dns_subdomain, "serviceAccountName");
    check(&spec.node_name, format::dns_subdomain, "nodeName");
    if let Some(seconds) = spec.active_deadline_seconds {
        in_range(seconds, 1, MAX_SECONDS, &path.child("activeDeadlineSeconds"), errors);
    }
    let mut check = |name: &Option<String>, form: fn(&str) -> Vec<String>, field: &str| {
        if let Some(name) = name {
            form_of(name, form, &path.child(field), errors);
        }
    };
    check(&spec.hostname, format::dns_label, "hostname");
    check(&spec.subdomain, format::dns_label, "subdomain");
}

fn validate_classes(spec: &PodSpec, path: &Path, errors: &mut Vec<FieldError>) {
    if let Some(name) = &spec.priority_class_name {
        form_of(name, format::dns_subdomain, &path.child("priorityClassName"), errors);
    }
    if let Some(name) = &spec.runtime_class_name {
        form_of(name, format::dns_subdomain, &path.child("runtimeClassName"), errors);
    }
    if let Some(policy) = &spec.preemption_policy {
        one_of(
            Some(policy),
            &["Never", "PreemptLowerPriority"],
            &path.child("preemptionPolicy"),
            errors,
        );
    }
    if let Some(overhead) = &spec.overhead {
        resources::validate_amounts(overhead, &path.child("overhead"), errors);
    }
    if let Some(os) = &spec.os {
        one_of(
            Some(os.name.as_str()),
            &["linux", "windows"],
            &path.child("os.name"),
            errors,
        );
    }
}

/// It must be there and be one of these; empty counts as missing.
fn one_of(value: Option<&str>, supported: &[&str], field: &Path, errors: &mut Vec<FieldError>) {
    match value {
        None | Some("") => errors.push(FieldError::required(field, "")),
        Some(value) if !supported.contains(&value) => errors.push(FieldError::not_supported(field, value, supported)),
        Some(_) => {}
    }
}

/// It must have that form.
fn form_of(value: &str, form: fn(&str) -> Vec<String>, field: &Path, errors: &mut Vec<FieldError>) {
    errors.extend(
        form(value)
            .into_iter()
            .map(|why| FieldError::invalid(field, value, why)),
    );
}

/// It must be there and have that form.
fn required_form(value: &str, form: fn(&str) -> Vec<String>, field: &Path, errors: &mut Vec<FieldError>) {
    match value {
        "" => errors.push(FieldError::required(field, "")),
        value => form_of(value, form, field, errors),
    }
}

/// It must be between both, inclusive.
fn in_range<N>(value: N, low: N, high: N, field: &Path, errors: &mut Vec<FieldError>)
where
    N: PartialOrd + Display + Serialize,
{
    if value < low || value > high {
        errors.push(FieldError::invalid(
            field,
            value,
            format!("must be between {low} and {high}, inclusive"),
        ));
    }
}

/// It must be a port's number.
fn port_number(port: i32, field: &Path, errors: &mut Vec<FieldError>) {
    in_range(port, 1, 65535, field, errors);
}

/// It must not be below zero.
fn not_negative(value: Option<impl Into<i64>>, field: &Path, errors: &mut Vec<FieldError>) {
    if let Some(value) = value.map(Into::into).filter(|value| *value < 0) {
        errors.push(FieldError::invalid(field, value, "must be greater than or equal to 0"));
    }
}

/// It must stay below the directory it is relative to.
fn descending_path(value: &str, field: &Path, errors: &mut Vec<FieldError>) {
    if value.starts_with('/') {
        errors.push(FieldError::invalid(field, value, "must be a relative path"));
    }
    no_steps_back(value, field, errors);
}

/// It must not climb.
pub(in crate::object::kinds) fn no_steps_back(value: &str, field: &Path, errors: &mut Vec<FieldError>) {
    if value.split('/').any(|part| part == "..") {
        errors.push(FieldError::invalid(field, value, "must not contain '..'"));
    }
}

#[cfg(test)]
mod tests;
