//! What a pod's fields are when left out, as Kubernetes' v1 defaults have it. Admission's part is in `admit`.

use k8s_openapi::api::core::v1::{
    AzureDiskVolumeSource, Container, ContainerPort, DownwardAPIVolumeFile, EmptyDirVolumeSource, HTTPGetAction,
    ISCSIVolumeSource, Lifecycle, ObjectFieldSelector, Pod, PodIP, PodSecurityContext, PodSpec, PodStatus, Probe,
    RBDVolumeSource, ScaleIOVolumeSource, Volume, VolumeProjection,
};

use crate::object::kinds::amounts::round_amounts;
use crate::object::kinds::persistent_volume_claim;

/// The mode of files that a volume writes: rw-r--r--.
pub(super) const FILE_MODE: i32 = 0o644;
/// How long a pod may take to stop.
const GRACE_PERIOD_SECONDS: i64 = 30;
/// How long a projected token lives.
const TOKEN_SECONDS: i64 = 3600;

/// Sets a field that is not there yet.
fn fill<T>(field: &mut Option<T>, value: impl Into<T>) {
    field.get_or_insert_with(|| value.into());
}

/// Fills in the whole pod.
pub(super) fn default(pod: &mut Pod) {
    if let Some(spec) = &mut pod.spec {
        default_spec(spec);
        // A pod (not a template) with a negative grace period has the shortest one.
        if spec.termination_grace_period_seconds.is_some_and(|seconds| seconds < 0) {
            spec.termination_grace_period_seconds = Some(1);
        }
    }
    if let Some(status) = &mut pod.status {
        default_status(status);
    }
}

/// `podIP` is the first of `podIPs`; where they differ the single one counts.
fn default_status(status: &mut PodStatus) {
    let first = status
        .pod_ips
        .as_ref()
        .and_then(|ips| ips.first())
        .map(|ip| ip.ip.clone());
    match (&status.pod_ip, first) {
        (Some(ip), first) if Some(ip) != first.as_ref() => status.pod_ips = Some(vec![PodIP { ip: ip.clone() }]),
        (None, Some(first)) => status.pod_ip = Some(first),
        _ => {}
    }
}

fn default_spec(spec: &mut PodSpec) {
    fill(&mut spec.dns_policy, "ClusterFirst");
    fill(&mut spec.restart_policy, "Always");
    fill(&mut spec.termination_grace_period_seconds, GRACE_PERIOD_SECONDS);
    fill(&mut spec.scheduler_name, "default-scheduler");
    fill(&mut spec.enable_service_links, true);
    fill(&mut spec.security_context, PodSecurityContext::default());
    // The older field is an alias of the newer, which wins.
    if spec.service_account_name.is_none() {
        spec.service_account_name = spec.service_account.take();
    }
    spec.service_account.clone_from(&spec.service_account_name);
    let host_network = spec.host_network == Some(true);
    for container in spec
        .containers
        .iter_mut()
        .chain(spec.init_containers.iter_mut().flatten())
    {
        default_container(container, host_network);
    }
    spec.overhead.iter_mut().for_each(round_amounts);
    for volume in spec.volumes.iter_mut().flatten() {
        default_volume(volume);
    }
}

fn default_container(container: &mut Container, host_network: bool) {
    let policy = default_pull_policy(container.image.as_deref().unwrap_or(""));
    fill(&mut container.image_pull_policy, policy);
    fill(&mut container.termination_message_path, "/dev/termination-log");
    fill(&mut container.termination_message_policy, "File");
    for port in container.ports.iter_mut().flatten() {
        default_port(port, host_network);
    }
    for variable in container.env.iter_mut().flatten() {
        if let Some(field) = variable.value_from.as_mut().and_then(|from| from.field_ref.as_mut()) {
            default_field_ref(field);
        }
    }
    let probes = [
        &mut container.liveness_probe,
        &mut container.readiness_probe,
        &mut container.startup_probe,
    ];
    probes.into_iter().flatten().for_each(default_probe);
    container.lifecycle.iter_mut().for_each(default_lifecycle);
    if let Some(resources) = &mut container.resources {
        [&mut resources.limits, &mut resources.requests]
            .into_iter()
            .flatten()
            .for_each(round_amounts);
    }
    if let Some(resources) = &mut container.resources
        && let Some(limits) = &resources.limits
    {
        let requests = resources.requests.get_or_insert_default();
        for (name, limit) in limits {
            requests.entry(name.clone()).or_insert_with(|| limit.clone());
        }
    }
}

fn default_port(port: &mut ContainerPort, host_network: bool) {
    fill(&mut port.protocol, "TCP");
    if host_network && port.host_port.is_none() && port.container_port != 0 {
        port.host_port = Some(port.container_port);
    }
}

fn default_field_ref(field: &mut ObjectFieldSelector) {
    fill(&mut field.api_version, "v1");
}

fn default_probe(probe: &mut Probe) {
    fill(&mut probe.timeout_seconds, 1);
    fill(&mut probe.period_seconds, 10);
    fill(&mut probe.success_threshold, 1);
    fill(&mut probe.failure_threshold, 3);
    probe.http_get.iter_mut().for_each(default_http_get);
    if let Some(grpc) = &mut probe.grpc {
        fill(&mut grpc.service, "");
    }
}

fn default_http_get(action: &mut HTTPGetAction) {
    fill(&mut action.path, "/");
    fill(&mut action.scheme, "HTTP");
}

fn default_lifecycle(lifecycle: &mut Lifecycle) {
    for handler in [&mut lifecycle.post_start, &mut lifecycle.pre_stop]
        .into_iter()
        .flatten()
    {
        handler.http_get.iter_mut().for_each(default_http_get);
    }
}

/// `Always` where the newest image is meant: the tag `latest`, or neither tag nor digest.
pub fn default_pull_policy(image: &str) -> &'static str {
    let (name, digest) = image
        .split_once('@')
        .map_or((image, None), |(name, digest)| (name, Some(digest)));
    let (repository, last) = name
        .rsplit_once('/')
        .map_or(("", name), |(repository, last)| (repository, last));
    let (last, tag) = last
        .split_once(':')
        .map_or((last, None), |(last, tag)| (last, Some(tag)));
    let path = repository.split('/').skip(1).chain([last]);
    let is_reference = !last.is_empty()
        && path
            .into_iter()
            .all(|part| !part.chars().any(|c| c.is_uppercase() || c == ' '));
    match (tag, digest) {
        _ if !is_reference => "IfNotPresent",
        (Some("latest"), _) | (None, None) => "Always",
        _ => "IfNotPresent",
    }
}

fn default_volume(volume: &mut Volume) {
    if !has_source(volume) {
        volume.empty_dir = Some(EmptyDirVolumeSource::default());
    }
    if let Some(source) = &mut volume.secret {
        fill(&mut source.default_mode, FILE_MODE);
    }
    if let Some(source) = &mut volume.config_map {
        fill(&mut source.default_mode, FILE_MODE);
    }
    if let Some(source) = &mut volume.downward_api {
        fill(&mut source.default_mode, FILE_MODE);
        default_downward_items(source.items.as_mut());
    }
    if let Some(source) = &mut volume.projected {
        fill(&mut source.default_mode, FILE_MODE);
        source.sources.iter_mut().flatten().for_each(default_projection);
    }
    if let Some(source) = &mut volume.host_path {
        fill(&mut source.type_, "");
    }
    if let Some(source) = &mut volume.image {
        let policy = default_pull_policy(source.reference.as_deref().unwrap_or(""));
        fill(&mut source.pull_policy, policy);
    }
    let ephemeral = volume.ephemeral.as_mut();
    if let Some(template) = ephemeral.and_then(|source| source.volume_claim_template.as_mut()) {
        persistent_volume_claim::default_spec(&mut template.spec);
    }
    default_network_volume(volume);
}

/// The kinds of volume that we do not mount but whose pods look as they do elsewhere.
fn default_network_volume(volume: &mut Volume) {
    if let Some(ISCSIVolumeSource { iscsi_interface, .. }) = &mut volume.iscsi {
        fill(iscsi_interface, "default");
    }
    if let Some(RBDVolumeSource {
        pool, user, keyring, ..
    }) = &mut volume.rbd
    {
        fill(pool, "rbd");
        fill(user, "admin");
        fill(keyring, "/etc/ceph/keyring");
    }
    if let Some(AzureDiskVolumeSource {
        caching_mode,
        kind,
        fs_type,
        read_only,
        ..
    }) = &mut volume.azure_disk
    {
        fill(caching_mode, "ReadWrite");
        fill(kind, "Shared");
        fill(fs_type, "ext4");
        fill(read_only, false);
    }
    if let Some(ScaleIOVolumeSource {
        storage_mode, fs_type, ..
    }) = &mut volume.scale_io
    {
        fill(storage_mode, "ThinProvisioned");
        fill(fs_type, "xfs");
    }
}

fn default_projection(source: &mut VolumeProjection) {
    if let Some(token) = &mut source.service_account_token {
        fill(&mut token.expiration_seconds, TOKEN_SECONDS);
    }
    if let Some(projection) = &mut source.downward_api {
        default_downward_items(projection.items.as_mut());
    }
}

fn default_downward_items(items: Option<&mut Vec<DownwardAPIVolumeFile>>) {
    items
        .into_iter()
        .flatten()
        .filter_map(|file| file.field_ref.as_mut())
        .for_each(default_field_ref);
}

/// Whether the volume says where its content comes from: anything is set besides its name.
fn has_source(volume: &Volume) -> bool {
    *volume
        != Volume {
            name: volume.name.clone(),
            ..Volume::default()
        }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pull_policy_follows_the_tag() {
        for (image, wanted) in [
            ("busybox", "Always"),
            ("busybox:latest", "Always"),
            ("busybox:1.36", "IfNotPresent"),
            ("registry:5000/busybox", "Always"),
            ("registry:5000/busybox:1", "IfNotPresent"),
            ("busybox@sha256:0123", "IfNotPresent"),
            ("busybox:latest@sha256:0123", "Always"),
            ("Registry.example/busybox", "Always"),
            ("", "IfNotPresent"),
            ("registry/Busybox", "IfNotPresent"),
        ] {
            assert_eq!(default_pull_policy(image), wanted, "{image}");
        }
    }
}
