//! Turns our words for a container into Docker's. Pure.

use std::collections::{BTreeMap, HashMap};

use bollard::models::{
    ContainerCreateBody, HealthConfig, HostConfig, Mount, MountBindOptions, MountBindOptionsPropagationEnum, MountType,
    PortBinding, PortMap, RestartPolicy, RestartPolicyNameEnum,
};

use crate::kubelet::create_spec::{self, CreateSpec, MountSource};

/// The body of the create request.
pub(super) fn create_body(spec: &CreateSpec) -> ContainerCreateBody {
    let ports = |port: &create_spec::PortBinding| format!("{}/{}", port.container_port, port.protocol);
    ContainerCreateBody {
        image: Some(spec.image.clone()),
        labels: Some(map(&spec.labels)),
        entrypoint: spec.entrypoint.clone(),
        cmd: spec.command.clone(),
        env: Some(spec.env.clone()),
        working_dir: spec.working_dir.clone(),
        user: spec.user.clone(),
        hostname: spec.hostname.clone(),
        domainname: spec.domainname.clone(),
        tty: Some(spec.tty),
        open_stdin: Some(spec.stdin),
        stdin_once: Some(spec.stdin_once),
        // The pod's probes decide, not the image's health check.
        healthcheck: Some(HealthConfig {
            test: Some(vec!["NONE".into()]),
            ..HealthConfig::default()
        }),
        exposed_ports: some(spec.ports.iter().map(ports).collect()),
        host_config: Some(host_config(spec)),
        ..ContainerCreateBody::default()
    }
}

fn host_config(spec: &CreateSpec) -> HostConfig {
    let CreateSpec {
        resources,
        security,
        dns,
        ..
    } = spec;
    HostConfig {
        network_mode: text(&spec.network_mode),
        ipc_mode: text(&spec.ipc_mode),
        pid_mode: text(&spec.pid_mode),
        port_bindings: port_bindings(&spec.ports),
        mounts: some(spec.mounts.iter().map(mount).collect()),
        dns: some(dns.servers.clone()),
        dns_search: some(dns.searches.clone()),
        dns_options: some(dns.options.clone()),
        cpu_shares: positive(resources.cpu_shares),
        cpu_quota: positive(resources.cpu_quota),
        cpu_period: positive(resources.cpu_period),
        memory: positive(resources.memory_bytes),
        memory_swap: positive(resources.memory_bytes),
        oom_score_adj: Some(resources.oom_score_adj).filter(|score| *score != 0),
        privileged: Some(security.privileged),
        cap_add: some(security.cap_add.clone()),
        cap_drop: some(security.cap_drop.clone()),
        readonly_rootfs: Some(security.read_only_root),
        security_opt: some(security.options.clone()),
        group_add: some(security.groups.clone()),
        sysctls: Some(map(&security.sysctls)).filter(|sysctls| !sysctls.is_empty()),
        cgroup_parent: spec.cgroup_parent.clone(),
        // The kubelet restarts; Docker must not.
        restart_policy: Some(RestartPolicy {
            name: Some(RestartPolicyNameEnum::NO),
            maximum_retry_count: None,
        }),
        ..HostConfig::default()
    }
}

fn port_bindings(ports: &[create_spec::PortBinding]) -> Option<PortMap> {
    let mut bindings = PortMap::new();
    for port in ports {
        let key = format!("{}/{}", port.container_port, port.protocol);
        let binding = PortBinding {
            host_ip: text(&port.host_ip),
            host_port: Some(port.host_port.to_string()),
        };
        bindings
            .entry(key)
            .or_insert_with(|| Some(Vec::new()))
            .get_or_insert_with(Vec::new)
            .push(binding);
    }
    Some(bindings).filter(|bindings| !bindings.is_empty())
}

fn mount(mount: &create_spec::Mount) -> Mount {
    let (source, kind) = match &mount.source {
        MountSource::Path(path) => (path, MountType::BIND),
        MountSource::Volume(name) => (name, MountType::VOLUME),
    };
    let propagation = match mount.propagation {
        "rshared" => MountBindOptionsPropagationEnum::RSHARED,
        "rslave" => MountBindOptionsPropagationEnum::RSLAVE,
        _ => MountBindOptionsPropagationEnum::RPRIVATE,
    };
    Mount {
        target: Some(mount.target.clone()),
        source: Some(source.clone()),
        typ: Some(kind),
        read_only: Some(mount.read_only),
        bind_options: (kind == MountType::BIND).then(|| MountBindOptions {
            propagation: Some(propagation),
            ..MountBindOptions::default()
        }),
        ..Mount::default()
    }
}

fn map(entries: &BTreeMap<String, String>) -> HashMap<String, String> {
    entries
        .iter()
        .map(|(name, value)| (name.clone(), value.clone()))
        .collect()
}

fn some<T>(list: Vec<T>) -> Option<Vec<T>> {
    Some(list).filter(|list| !list.is_empty())
}

fn text(text: &str) -> Option<String> {
    Some(text.to_owned()).filter(|text| !text.is_empty())
}

fn positive(number: i64) -> Option<i64> {
    Some(number).filter(|number| *number > 0)
}
