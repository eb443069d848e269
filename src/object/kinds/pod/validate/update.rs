//! What a pod's update may change: very little of its spec, and of its status nothing that went before.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{Container, ContainerStatus, Pod, PodSpec, Toleration};
use serde_json::Value;

use super::{MAX_SECONDS, form_of, gated, in_range, scheduling};
use crate::object::field_error::{FieldError, Path};
use crate::object::{codec, format};

/// What may change, as the refusal of everything else says.
const UPDATABLE: &str = "`spec.containers[*].image`,`spec.initContainers[*].image`,`spec.activeDeadlineSeconds`,\
    `spec.tolerations` (only additions to existing tolerations),\
    `spec.terminationGracePeriodSeconds` (allow it to be set to 1 if it was previously negative)";

/// The most differing fields that a refusal lists: it is read by a person.
const DIFFERENCES_MAX: usize = 20;

/// Everything wrong with a change of the spec.
pub(in crate::object::kinds::pod) fn validate_update(new: &Pod, old: &Pod, errors: &mut Vec<FieldError>) {
    let path = Path::new("spec");
    let empty = PodSpec::default();
    let (new, old) = (new.spec.as_ref().unwrap_or(&empty), old.spec.as_ref().unwrap_or(&empty));
    if !same_containers(&new.containers, &old.containers, &path.child("containers"), errors) {
        return;
    }
    let (new_init, old_init) = (
        new.init_containers.as_deref().unwrap_or_default(),
        old.init_containers.as_deref().unwrap_or_default(),
    );
    if !same_containers(new_init, old_init, &path.child("initContainers"), errors) {
        return;
    }
    let field = path.child("activeDeadlineSeconds");
    match (new.active_deadline_seconds, old.active_deadline_seconds) {
        (Some(new), old) => {
            let known = errors.len();
            in_range(new, 0, MAX_SECONDS, &field, errors);
            if errors.len() == known && old.is_some_and(|old| old < new) {
                errors.push(FieldError::invalid(
                    &field,
                    new,
                    "must be less than or equal to previous value",
                ));
            }
        }
        (None, Some(_)) => {
            let why = "must not update from a positive integer to nil value";
            errors.push(FieldError::invalid(&field, Value::Null, why));
        }
        (None, None) => {}
    }
    validate_tolerations(new, old, &path, errors);
    validate_gates(new, old, &path.child("schedulingGates"), errors);
    let mut comparable = masked(new, old);
    if gated::is_gated(old) {
        gated::validate(new, old, &mut comparable, errors);
    }
    if comparable != *old {
        let differences = differences(old, &comparable).join("\n");
        let why = format!("pod updates may not change fields other than {UPDATABLE}\n{differences}");
        errors.push(FieldError::forbidden(&path, &why));
    }
}

/// The new spec with everything that may change put back.
fn masked(new: &PodSpec, old: &PodSpec) -> PodSpec {
    let mut masked = new.clone();
    for (container, old) in masked.containers.iter_mut().zip(&old.containers) {
        container.image.clone_from(&old.image);
    }
    for (container, old) in masked
        .init_containers
        .iter_mut()
        .flatten()
        .zip(old.init_containers.iter().flatten())
    {
        container.image.clone_from(&old.image);
    }
    masked.active_deadline_seconds = old.active_deadline_seconds;
    masked.tolerations.clone_from(&old.tolerations);
    masked.scheduling_gates.clone_from(&old.scheduling_gates);
    if old.termination_grace_period_seconds.is_some_and(|seconds| seconds < 0)
        && new.termination_grace_period_seconds == Some(1)
    {
        masked.termination_grace_period_seconds = old.termination_grace_period_seconds;
    }
    masked
}

/// No container may come or go, and none may lose its image.
fn same_containers(new: &[Container], old: &[Container], field: &Path, errors: &mut Vec<FieldError>) -> bool {
    if new.len() != old.len() {
        errors.push(FieldError::forbidden(
            field,
            "pod updates may not add or remove containers",
        ));
        return false;
    }
    for (index, container) in new.iter().enumerate() {
        let at = field.index(index).child("image");
        match container.image.as_deref() {
            None | Some("") => errors.push(FieldError::required(&at, "")),
            Some(image) if image.trim() != image => {
                errors.push(FieldError::invalid(
                    &at,
                    image,
                    "must not have leading or trailing whitespace",
                ));
            }
            Some(_) => {}
        }
    }
    true
}

/// Old tolerations stay (their seconds may change); new ones must be good.
fn validate_tolerations(new: &PodSpec, old: &PodSpec, path: &Path, errors: &mut Vec<FieldError>) {
    let new = new.tolerations.as_deref().unwrap_or_default();
    let same = |a: &Toleration, b: &Toleration| {
        (&a.key, &a.operator, &a.value, &a.effect) == (&b.key, &b.operator, &b.value, &b.effect)
    };
    if old
        .tolerations
        .iter()
        .flatten()
        .any(|old| !new.iter().any(|new| same(new, old)))
    {
        let why = "existing toleration can not be modified except its tolerationSeconds";
        errors.push(FieldError::forbidden(&path.child("tolerations"), why));
    }
    scheduling::validate_tolerations(new, path, errors);
}

/// Gates are only ever taken away.
fn validate_gates(new: &PodSpec, old: &PodSpec, field: &Path, errors: &mut Vec<FieldError>) {
    for (index, gate) in new.scheduling_gates.iter().flatten().enumerate() {
        if !old.scheduling_gates.iter().flatten().any(|old| old.name == gate.name) {
            let why = format!(
                "only deletion is allowed, but found new scheduling gate '{}'",
                gate.name
            );
            errors.push(FieldError::forbidden(&field.index(index), &why));
        }
    }
}

/// The fields in which two specs differ, a line each.
fn differences(old: &PodSpec, new: &PodSpec) -> Vec<String> {
    let leaves = |spec: &PodSpec| {
        let mut leaves = BTreeMap::new();
        flatten(
            "spec".to_owned(),
            &codec::write(spec).unwrap_or(Value::Null),
            &mut leaves,
        );
        leaves
    };
    let (old, new) = (leaves(old), leaves(new));
    let show = |value: Option<&String>| value.cloned().unwrap_or_else(|| "nothing".to_owned());
    let paths: std::collections::BTreeSet<&String> = old.keys().chain(new.keys()).collect();
    let differing = paths.into_iter().filter(|path| old.get(*path) != new.get(*path));
    differing
        .take(DIFFERENCES_MAX)
        .map(|path| format!("{path}: {} -> {}", show(old.get(path)), show(new.get(path))))
        .collect()
}

fn flatten(path: String, value: &Value, leaves: &mut BTreeMap<String, String>) {
    match value {
        Value::Object(map) if !map.is_empty() => {
            map.iter()
                .for_each(|(key, value)| flatten(format!("{path}.{key}"), value, leaves));
        }
        Value::Array(items) if !items.is_empty() => {
            items
                .iter()
                .enumerate()
                .for_each(|(index, value)| flatten(format!("{path}[{index}]"), value, leaves));
        }
        leaf => {
            leaves.insert(path, leaf.to_string());
        }
    }
}

/// Everything wrong with a change of the status: the QoS class stays, what ended for good does not run again, and a
/// node that is nominated could be one.
pub(in crate::object::kinds::pod) fn validate_status_update(new: &Pod, old: &Pod, errors: &mut Vec<FieldError>) {
    let (Some(status), Some(before)) = (&new.status, &old.status) else {
        return;
    };
    if status.qos_class != before.qos_class && before.qos_class.is_some() {
        errors.push(FieldError::invalid(
            &Path::new("status.qosClass"),
            &status.qos_class,
            "field is immutable",
        ));
    }
    if let Some(node) = &status.nominated_node_name
        && status.nominated_node_name != before.nominated_node_name
    {
        let field = Path::new("status.nominatedNodeName");
        form_of(node, format::dns_subdomain, &field, errors);
    }
    let policy = old
        .spec
        .as_ref()
        .and_then(|spec| spec.restart_policy.as_deref())
        .unwrap_or("");
    for (new, old, field) in [
        (
            &status.container_statuses,
            &before.container_statuses,
            "status.containerStatuses",
        ),
        (
            &status.init_container_statuses,
            &before.init_container_statuses,
            "status.initContainerStatuses",
        ),
    ] {
        let (new, old) = (new.as_deref().unwrap_or_default(), old.as_deref().unwrap_or_default());
        validate_transitions(new, old, policy, &Path::new(field), errors);
    }
}

fn validate_transitions(
    new: &[ContainerStatus],
    old: &[ContainerStatus],
    policy: &str,
    field: &Path,
    errors: &mut Vec<FieldError>,
) {
    if policy == "Always" {
        return;
    }
    fn ended(status: &ContainerStatus) -> Option<i32> {
        Some(status.state.as_ref()?.terminated.as_ref()?.exit_code)
    }
    for old in old {
        let Some(code) = ended(old) else { continue };
        if policy == "OnFailure" && code != 0 {
            continue;
        }
        let again = new
            .iter()
            .enumerate()
            .find(|(_, new)| new.name == old.name && ended(new).is_none());
        if let Some((index, _)) = again {
            let why = "may not be transitioned to non-terminated state";
            errors.push(FieldError::forbidden(&field.index(index).child("state"), why));
        }
    }
}
