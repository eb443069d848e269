//! A pod's containers and their ports.

use std::collections::BTreeSet;

use k8s_openapi::api::core::v1::{Container, ContainerPort, PodSpec};

use super::volumes::Names;
use super::{env, form_of, mounts, one_of, port_number, probe, required_form, resources, security};
use crate::object::field_error::{FieldError, Path};
use crate::object::format;

/// Regular and init containers.
pub(super) fn validate_all(spec: &PodSpec, volumes: &Names, path: &Path, errors: &mut Vec<FieldError>) {
    let field = path.child("containers");
    if spec.containers.is_empty() {
        errors.push(FieldError::required(&field, ""));
    }
    let grace_seconds = spec.termination_grace_period_seconds.unwrap_or_default();
    let mut names = BTreeSet::new();
    for (index, container) in spec.containers.iter().enumerate() {
        let at = field.index(index);
        validate_common(container, volumes, &at, errors);
        unique_name(container, &mut names, &at, errors);
        probe::validate_all(container, grace_seconds, &at, errors);
        if container.restart_policy.is_some() {
            let why = "may not be set for non-init containers";
            errors.push(FieldError::forbidden(&at.child("restartPolicy"), why));
        }
    }
    host_port_conflicts(&spec.containers, &field, errors);
    let field = path.child("initContainers");
    let containers = spec.init_containers.as_deref().unwrap_or_default();
    for (index, container) in containers.iter().enumerate() {
        let at = field.index(index);
        validate_common(container, volumes, &at, errors);
        unique_name(container, &mut names, &at, errors);
        validate_init(container, grace_seconds, &at, errors);
    }
    host_port_conflicts(containers, &field, errors);
}

fn unique_name<'n>(container: &'n Container, names: &mut BTreeSet<&'n str>, at: &Path, errors: &mut Vec<FieldError>) {
    if !names.insert(&container.name) && !container.name.is_empty() {
        errors.push(FieldError::duplicate(&at.child("name"), &container.name));
    }
}

/// An init container that ends has no use for hooks and probes; one that keeps running (`restartPolicy: Always`) has.
fn validate_init(container: &Container, grace_seconds: i64, at: &Path, errors: &mut Vec<FieldError>) {
    match container.restart_policy.as_deref() {
        Some("Always") => return probe::validate_all(container, grace_seconds, at, errors),
        Some(policy) => errors.push(FieldError::not_supported(
            &at.child("restartPolicy"),
            policy,
            &["Always"],
        )),
        None => {}
    }
    for (set, field) in [
        (container.lifecycle.is_some(), "lifecycle"),
        (container.liveness_probe.is_some(), "livenessProbe"),
        (container.readiness_probe.is_some(), "readinessProbe"),
        (container.startup_probe.is_some(), "startupProbe"),
    ] {
        if set {
            let why = "may not be set for init containers without restartPolicy=Always";
            errors.push(FieldError::invalid(&at.child(field), "", why));
        }
    }
}

fn validate_common(container: &Container, volumes: &Names, at: &Path, errors: &mut Vec<FieldError>) {
    required_form(&container.name, format::dns_label, &at.child("name"), errors);
    match container.image.as_deref() {
        None => errors.push(FieldError::required(&at.child("image"), "")),
        Some(image) if image.trim() != image => {
            let why = "must not have leading or trailing whitespace";
            errors.push(FieldError::invalid(&at.child("image"), image, why));
        }
        Some(_) => {}
    }
    let policies = ["FallbackToLogsOnError", "File"];
    let field = at.child("terminationMessagePolicy");
    one_of(
        container.termination_message_policy.as_deref(),
        &policies,
        &field,
        errors,
    );
    validate_ports(
        container.ports.as_deref().unwrap_or_default(),
        &at.child("ports"),
        errors,
    );
    env::validate(container, at, errors);
    mounts::validate(container, volumes, at, errors);
    let policies = ["Always", "IfNotPresent", "Never"];
    one_of(
        container.image_pull_policy.as_deref(),
        &policies,
        &at.child("imagePullPolicy"),
        errors,
    );
    if let Some(requirements) = &container.resources {
        resources::validate(requirements, &at.child("resources"), errors);
    }
    for (index, policy) in container.resize_policy.iter().flatten().enumerate() {
        let at = at.child("resizePolicy").index(index);
        one_of(
            Some(&policy.resource_name),
            &["cpu", "memory"],
            &at.child("resourceName"),
            errors,
        );
        let policies = ["NotRequired", "RestartContainer"];
        one_of(
            Some(&policy.restart_policy),
            &policies,
            &at.child("restartPolicy"),
            errors,
        );
    }
    if container.restart_policy_rules.is_some() {
        let why = "restart policy rules are not supported";
        errors.push(FieldError::forbidden(&at.child("restartPolicyRules"), why));
    }
    if let Some(context) = &container.security_context {
        security::validate_container(context, &at.child("securityContext"), errors);
    }
}

fn validate_ports(ports: &[ContainerPort], field: &Path, errors: &mut Vec<FieldError>) {
    let mut names = BTreeSet::new();
    for (index, port) in ports.iter().enumerate() {
        let at = field.index(index);
        if let Some(name) = &port.name {
            let known = errors.len();
            form_of(name, format::port_name, &at.child("name"), errors);
            if errors.len() == known && !names.insert(name) {
                errors.push(FieldError::duplicate(&at.child("name"), name));
            }
        }
        match port.container_port {
            0 => errors.push(FieldError::required(&at.child("containerPort"), "")),
            number => port_number(number, &at.child("containerPort"), errors),
        }
        if let Some(number) = port.host_port {
            port_number(number, &at.child("hostPort"), errors);
        }
        one_of(
            port.protocol.as_deref(),
            &["SCTP", "TCP", "UDP"],
            &at.child("protocol"),
            errors,
        );
    }
}

/// Two containers of a pod cannot both have the same port of the host.
fn host_port_conflicts(containers: &[Container], field: &Path, errors: &mut Vec<FieldError>) {
    let mut taken = BTreeSet::new();
    for (index, container) in containers.iter().enumerate() {
        for (port_index, port) in container.ports.iter().flatten().enumerate() {
            let Some(number) = port.host_port.filter(|number| *number != 0) else {
                continue;
            };
            let text = |value: &Option<String>| value.clone().unwrap_or_default();
            let key = format!("{}/{}/{number}", text(&port.protocol), text(&port.host_ip));
            let at = field.index(index).child("ports").index(port_index).child("hostPort");
            if !taken.insert(key.clone()) {
                errors.push(FieldError::duplicate(&at, key));
            }
        }
    }
}
