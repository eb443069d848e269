//! Security contexts of pods and containers, and the host's namespaces.

use std::collections::BTreeSet;

use k8s_openapi::api::core::v1::{
    AppArmorProfile, PodSecurityContext, PodSpec, SeccompProfile, SecurityContext, Sysctl,
};

use super::{MAX_SECONDS, descending_path, in_range, one_of};
use crate::object::field_error::{FieldError, Path};

/// The largest user or group.
const MAX_ID: i64 = MAX_SECONDS;
/// The longest kernel parameter's name.
const SYSCTL_MAX: usize = 253;

/// What concerns the whole pod.
pub(super) fn validate_pod(spec: &PodSpec, path: &Path, errors: &mut Vec<FieldError>) {
    let Some(context) = &spec.security_context else { return };
    if spec.host_network == Some(true) {
        validate_host_network(spec, path, errors);
    }
    let at = path.child("securityContext");
    if spec.share_process_namespace == Some(true) && spec.host_pid == Some(true) {
        let why = "ShareProcessNamespace and HostPID cannot both be enabled";
        errors.push(FieldError::invalid(&at.child("shareProcessNamespace"), true, why));
    }
    for (id, field) in [
        (context.fs_group, "fsGroup"),
        (context.run_as_user, "runAsUser"),
        (context.run_as_group, "runAsGroup"),
    ] {
        valid_id(id, &at.child(field), errors);
    }
    for (index, group) in context.supplemental_groups.iter().flatten().enumerate() {
        valid_id(Some(*group), &at.child("supplementalGroups").index(index), errors);
    }
    validate_sysctls(
        context.sysctls.as_deref().unwrap_or_default(),
        &at.child("sysctls"),
        errors,
    );
    validate_policies(context, &at, errors);
}

fn validate_policies(context: &PodSecurityContext, at: &Path, errors: &mut Vec<FieldError>) {
    for (policy, supported, field) in [
        (
            &context.fs_group_change_policy,
            ["Always", "OnRootMismatch"],
            "fsGroupChangePolicy",
        ),
        (
            &context.supplemental_groups_policy,
            ["Merge", "Strict"],
            "supplementalGroupsPolicy",
        ),
        (
            &context.se_linux_change_policy,
            ["MountOption", "Recursive"],
            "seLinuxChangePolicy",
        ),
    ] {
        if let Some(policy) = policy {
            one_of(Some(policy), &supported, &at.child(field), errors);
        }
    }
    validate_seccomp(context.seccomp_profile.as_ref(), &at.child("seccompProfile"), errors);
    validate_app_armor(context.app_armor_profile.as_ref(), &at.child("appArmorProfile"), errors);
}

/// On the host's network a container's port is the host's.
fn validate_host_network(spec: &PodSpec, path: &Path, errors: &mut Vec<FieldError>) {
    let all = [
        ("containers", spec.containers.as_slice()),
        ("initContainers", spec.init_containers.as_deref().unwrap_or_default()),
    ];
    for (list, containers) in all {
        for (index, container) in containers.iter().enumerate() {
            for (port_index, port) in container.ports.iter().flatten().enumerate() {
                if port.host_port != Some(port.container_port) {
                    let at = path
                        .child(list)
                        .index(index)
                        .child("ports")
                        .index(port_index)
                        .child("containerPort");
                    let why = "must match `hostPort` when `hostNetwork` is true";
                    errors.push(FieldError::invalid(&at, port.container_port, why));
                }
            }
        }
    }
}

/// A container's context.
pub(super) fn validate_container(context: &SecurityContext, at: &Path, errors: &mut Vec<FieldError>) {
    valid_id(context.run_as_user, &at.child("runAsUser"), errors);
    valid_id(context.run_as_group, &at.child("runAsGroup"), errors);
    if let Some(mount) = &context.proc_mount {
        one_of(Some(mount), &["Default", "Unmasked"], &at.child("procMount"), errors);
    }
    validate_seccomp(context.seccomp_profile.as_ref(), &at.child("seccompProfile"), errors);
    validate_app_armor(context.app_armor_profile.as_ref(), &at.child("appArmorProfile"), errors);
    if context.allow_privilege_escalation == Some(false) {
        let added = context
            .capabilities
            .as_ref()
            .and_then(|capabilities| capabilities.add.as_deref())
            .unwrap_or_default();
        if context.privileged == Some(true) {
            let why = "cannot set `allowPrivilegeEscalation` to false and `privileged` to true";
            errors.push(FieldError::invalid(at, context, why));
        }
        if added.iter().any(|capability| capability == "CAP_SYS_ADMIN") {
            let why = "cannot set `allowPrivilegeEscalation` to false and `capabilities.Add` CAP_SYS_ADMIN";
            errors.push(FieldError::invalid(at, context, why));
        }
    }
}

fn valid_id(id: Option<i64>, field: &Path, errors: &mut Vec<FieldError>) {
    if let Some(id) = id {
        in_range(id, 0, MAX_ID, field, errors);
    }
}

fn validate_sysctls(sysctls: &[Sysctl], field: &Path, errors: &mut Vec<FieldError>) {
    let mut names = BTreeSet::new();
    for (index, sysctl) in sysctls.iter().enumerate() {
        let at = field.index(index).child("name");
        if sysctl.name.is_empty() {
            errors.push(FieldError::required(&at, ""));
        } else if !is_sysctl(&sysctl.name) {
            let why = format!(
                "must have at most {SYSCTL_MAX} characters and match regex \
                 ^([a-z0-9]([-_a-z0-9]*[a-z0-9])?[\\./])*[a-z0-9]([-_a-z0-9]*[a-z0-9])?$"
            );
            errors.push(FieldError::invalid(&at, &sysctl.name, why));
        } else if !names.insert(&sysctl.name) {
            errors.push(FieldError::duplicate(&at, &sysctl.name));
        }
    }
}

fn is_sysctl(name: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    let part = |part: &str| {
        let bytes = part.as_bytes();
        matches!((bytes.first(), bytes.last()), (Some(first), Some(last)) if plain(*first) && plain(*last))
            && bytes.iter().all(|byte| plain(*byte) || b"-_".contains(byte))
    };
    name.len() <= SYSCTL_MAX && name.split(['.', '/']).all(part)
}

fn validate_seccomp(profile: Option<&SeccompProfile>, at: &Path, errors: &mut Vec<FieldError>) {
    let Some(profile) = profile else { return };
    validate_profile(
        &profile.type_,
        profile.localhost_profile.as_deref(),
        at,
        ("seccomp", "seccompProfile"),
        errors,
    );
    if let Some(file) = &profile.localhost_profile {
        descending_path(file, &at.child("localhostProfile"), errors);
    }
}

fn validate_app_armor(profile: Option<&AppArmorProfile>, at: &Path, errors: &mut Vec<FieldError>) {
    let Some(profile) = profile else { return };
    validate_profile(
        &profile.type_,
        profile.localhost_profile.as_deref(),
        at,
        ("AppArmor", "appArmorProfile"),
        errors,
    );
}

/// Both kinds of profile name a file of the host's only for the type `Localhost`.
fn validate_profile(
    kind: &str,
    file: Option<&str>,
    at: &Path,
    (name, field): (&str, &str),
    errors: &mut Vec<FieldError>,
) {
    let local = at.child("localhostProfile");
    match (kind, file) {
        ("", _) => errors.push(FieldError::required(
            &at.child("type"),
            &format!("type is required when {field} is set"),
        )),
        ("Localhost", None | Some("")) => {
            let why = format!("must be set when {name} type is Localhost");
            errors.push(FieldError::required(&local, &why));
        }
        ("Localhost", Some(_)) | ("RuntimeDefault" | "Unconfined", None) => {}
        ("RuntimeDefault" | "Unconfined", Some(file)) => {
            let why = format!("can only be set when {name} type is Localhost");
            errors.push(FieldError::invalid(&local, file, why));
        }
        (other, _) => {
            let supported = ["Localhost", "RuntimeDefault", "Unconfined"];
            errors.push(FieldError::not_supported(&at.child("type"), other, &supported));
        }
    }
}
