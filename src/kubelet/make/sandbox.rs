//! What a pod's sandbox is made of. Pure.

use std::fmt::Write;

use k8s_openapi::api::core::v1::{Pod, PodSpec};
use kube::ResourceExt;

use crate::kubelet::create_spec::{CreateSpec, Dns, Mount, PortBinding, Security};
use crate::kubelet::{Config, labels, pod};

/// Longer host names do not fit the kernel's field.
const MAX_HOSTNAME: usize = 63;

/// The sandbox of a pod; `memory_volumes` are mounted so that they outlive single containers.
pub fn sandbox(config: &Config, pod: &Pod, attempt: u32, image: &str, memory_volumes: Vec<Mount>) -> CreateSpec {
    let empty = PodSpec::default();
    let spec = pod.spec.as_ref().unwrap_or(&empty);
    let host_network = pod::host_network(pod);
    let security = spec.security_context.as_ref();
    let sysctls = security
        .and_then(|security| security.sysctls.as_ref())
        .into_iter()
        .flatten();
    let mut all_labels = labels::pod(config, pod);
    all_labels.extend([
        (labels::TYPE.to_owned(), labels::TYPE_SANDBOX.to_owned()),
        (labels::CONTAINER_NAME.to_owned(), "POD".to_owned()),
        (labels::RESTART_COUNT.to_owned(), attempt.to_string()),
    ]);
    CreateSpec {
        name: labels::sandbox_name(pod, attempt),
        image: image.to_owned(),
        labels: all_labels,
        hostname: (!host_network).then(|| hostname(pod)),
        network_mode: if host_network {
            "host".into()
        } else {
            config.network.clone()
        },
        ipc_mode: if spec.host_ipc == Some(true) {
            "host".into()
        } else {
            "shareable".into()
        },
        pid_mode: if spec.host_pid == Some(true) {
            "host".into()
        } else {
            String::new()
        },
        ports: if host_network { Vec::new() } else { host_ports(pod) },
        mounts: memory_volumes,
        dns: dns(spec),
        security: Security {
            // Nothing but our own program runs here, and it only waits: a filter costs start time and guards nothing.
            options: vec!["seccomp=unconfined".into(), "no-new-privileges".into()],
            sysctls: sysctls
                .map(|sysctl| (sysctl.name.clone(), sysctl.value.clone()))
                .collect(),
            ..Security::default()
        },
        cgroup_parent: config.cgroup_parent.clone(),
        ..CreateSpec::default()
    }
}

fn hostname(pod: &Pod) -> String {
    let spec = pod.spec.as_ref();
    let name = spec
        .and_then(|spec| spec.hostname.clone())
        .filter(|name| !name.is_empty());
    let mut name = name.unwrap_or_else(|| pod.name_any());
    name.truncate(MAX_HOSTNAME);
    name.trim_end_matches(['-', '.']).to_owned()
}

fn host_ports(pod: &Pod) -> Vec<PortBinding> {
    let sidecars = pod::init_containers(pod)
        .iter()
        .filter(|container| pod::is_sidecar(container));
    let ports = sidecars
        .chain(pod::containers(pod))
        .flat_map(|container| container.ports.iter().flatten());
    let bindings = ports.filter_map(|port| {
        let host_port = u16::try_from(port.host_port?).ok().filter(|port| *port > 0)?;
        Some(PortBinding {
            container_port: u16::try_from(port.container_port).ok()?,
            protocol: port.protocol.as_deref().unwrap_or("TCP").to_ascii_lowercase(),
            host_ip: port.host_ip.clone().unwrap_or_default(),
            host_port,
        })
    });
    bindings.collect()
}

/// There is no cluster DNS, so `ClusterFirst` means the node's own resolution, as in Kubernetes without one.
fn dns(spec: &PodSpec) -> Dns {
    let Some(config) = &spec.dns_config else {
        return Dns::default();
    };
    let options = config.options.iter().flatten().filter_map(|option| {
        let name = option.name.as_ref()?;
        Some(match &option.value {
            Some(value) => format!("{name}:{value}"),
            None => name.clone(),
        })
    });
    Dns {
        servers: config.nameservers.clone().unwrap_or_default(),
        searches: config.searches.clone().unwrap_or_default(),
        options: options.collect(),
    }
}

/// The pod's `/etc/hosts`; without addresses while the sandbox does not run yet.
pub fn hosts_file(pod: &Pod, ips: &[String]) -> String {
    let mut text = String::from(
        "# Managed by the kubelet: changes here do not last.\n\
         127.0.0.1\tlocalhost\n\
         ::1\tlocalhost ip6-localhost ip6-loopback\n\
         fe00::0\tip6-localnet\n\
         fe00::0\tip6-mcastprefix\n\
         fe00::1\tip6-allnodes\n\
         fe00::2\tip6-allrouters\n",
    );
    let host = hostname(pod);
    let spec = pod.spec.as_ref();
    let subdomain = spec
        .and_then(|spec| spec.subdomain.as_deref())
        .filter(|name| !name.is_empty());
    let namespace = pod.namespace().unwrap_or_default();
    let names = match subdomain {
        Some(subdomain) => format!("{host}.{subdomain}.{namespace}.svc.cluster.local\t{host}"),
        None => host,
    };
    for ip in ips {
        writeln!(text, "{ip}\t{names}").expect("writing to a string does not fail");
    }
    for alias in spec.and_then(|spec| spec.host_aliases.as_ref()).into_iter().flatten() {
        let names = alias.hostnames.clone().unwrap_or_default().join("\t");
        writeln!(text, "{}\t{names}", alias.ip).expect("writing to a string does not fail");
    }
    text
}
