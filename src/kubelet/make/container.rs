//! What a container of a pod is made of. Pure.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{Container, Pod, PodSecurityContext, ResourceRequirements, SecurityContext};

use super::{ConfigError, Env, expand};
use crate::kubelet::create_spec::{CreateSpec, Mount, Resources, Security};
use crate::kubelet::docker::Image;
use crate::kubelet::plan::Launch;
use crate::kubelet::{Config, labels};
use crate::object::quantity::Quantity;

/// The CFS period that Kubernetes uses, in microseconds.
const CPU_PERIOD: i64 = 100_000;
/// The smallest weight and quota that the kernel takes.
const MIN_SHARES: i64 = 2;
const MIN_QUOTA: i64 = 1000;

/// Everything a container is made from.
pub struct Material<'a> {
    /// The kubelet's configuration.
    pub config: &'a Config,
    /// The pod.
    pub pod: &'a Pod,
    /// The container's spec.
    pub spec: &'a Container,
    /// Its number and back-off.
    pub launch: &'a Launch,
    /// Its image, which is present.
    pub image: &'a Image,
    /// Its environment.
    pub env: &'a Env,
    /// Its volumes, hosts file and message file.
    pub mounts: Vec<Mount>,
    /// The sandbox it joins.
    pub sandbox: &'a str,
    /// Where on the host its termination message goes.
    pub message_file: String,
    /// Bytes of memory of the node.
    pub node_memory_bytes: i64,
    /// Whether the host lets a process be made less likely to be killed for want of memory.
    pub may_lower_oom_score: bool,
}

/// The container to create.
pub fn container(material: Material<'_>) -> Result<CreateSpec, ConfigError> {
    let Material {
        pod, spec, launch, env, ..
    } = material;
    let pod_spec = pod
        .spec
        .as_ref()
        .ok_or_else(|| ConfigError("the pod has no spec".into()))?;
    let expanded = |list: &Option<Vec<String>>| {
        let list = list.as_ref().filter(|list| !list.is_empty())?;
        Some(
            list.iter()
                .map(|text| expand(text, |name| env.get(name)))
                .collect::<Vec<_>>(),
        )
    };
    let join = format!("container:{}", material.sandbox);
    let host_pid = pod_spec.host_pid == Some(true);
    let shared_pid = pod_spec.share_process_namespace == Some(true);
    let resources = spec.resources.as_ref();
    Ok(CreateSpec {
        name: labels::container_name(&spec.name, pod, launch.attempt),
        image: material.image.id.clone(),
        labels: container_labels(&material),
        entrypoint: expanded(&spec.command),
        command: expanded(&spec.args),
        env: env.lines(),
        working_dir: spec.working_dir.clone().filter(|directory| !directory.is_empty()),
        user: user(&material)?,
        tty: spec.tty == Some(true),
        stdin: spec.stdin == Some(true),
        stdin_once: spec.stdin_once == Some(true),
        network_mode: join.clone(),
        ipc_mode: if pod_spec.host_ipc == Some(true) {
            "host".into()
        } else {
            join.clone()
        },
        pid_mode: match (host_pid, shared_pid) {
            (true, _) => "host".into(),
            (false, true) => join,
            (false, false) => String::new(),
        },
        resources: Resources {
            oom_score_adj: oom_score_adj(&material),
            ..limits(resources)?
        },
        security: security(pod_spec.security_context.as_ref(), spec.security_context.as_ref())?,
        cgroup_parent: material.config.cgroup_parent.clone(),
        mounts: material.mounts,
        ..CreateSpec::default()
    })
}

fn container_labels(material: &Material<'_>) -> BTreeMap<String, String> {
    let Material {
        spec, launch, image, ..
    } = material;
    let mut all = labels::pod(material.config, material.pod);
    let pre_stop = spec
        .lifecycle
        .as_ref()
        .and_then(|lifecycle| lifecycle.pre_stop.as_ref());
    let entries = [
        (labels::TYPE, labels::TYPE_CONTAINER.to_owned()),
        (labels::CONTAINER_NAME, spec.name.clone()),
        (labels::SANDBOX_ID, material.sandbox.to_owned()),
        (labels::HASH, labels::spec_hash(spec)),
        (labels::RESTART_COUNT, launch.attempt.to_string()),
        (labels::BACKOFF_SECONDS, launch.backoff_seconds.to_string()),
        (labels::IMAGE, spec.image.clone().unwrap_or_default()),
        (labels::IMAGE_ID, image.status_id()),
        (labels::MESSAGE_FILE, material.message_file.clone()),
        (
            labels::MESSAGE_POLICY,
            spec.termination_message_policy.clone().unwrap_or_default(),
        ),
    ];
    all.extend(entries.map(|(name, value)| (name.to_owned(), value)));
    if let Some(hook) = pre_stop.and_then(|hook| serde_json::to_string(hook).ok()) {
        all.insert(labels::PRE_STOP.to_owned(), hook);
    }
    all
}

/// `uid[:gid]`, from the container's or the pod's security context.
fn user(material: &Material<'_>) -> Result<Option<String>, ConfigError> {
    let of_pod = material
        .pod
        .spec
        .as_ref()
        .and_then(|spec| spec.security_context.as_ref());
    let own = material.spec.security_context.as_ref();
    let uid = own
        .and_then(|own| own.run_as_user)
        .or(of_pod.and_then(|pod| pod.run_as_user));
    let gid = own
        .and_then(|own| own.run_as_group)
        .or(of_pod.and_then(|pod| pod.run_as_group));
    let non_root = own
        .and_then(|own| own.run_as_non_root)
        .or(of_pod.and_then(|pod| pod.run_as_non_root));
    let image_user = material.image.user.split(':').next().unwrap_or_default();
    if non_root == Some(true) {
        let container = &material.spec.name;
        match uid {
            Some(0) => {
                return Err(ConfigError(format!(
                    "container's runAsUser breaks non-root policy (container: {container})"
                )));
            }
            Some(_) => {}
            None if matches!(image_user, "" | "0" | "root") => {
                let reason = "container has runAsNonRoot and image will run as root";
                return Err(ConfigError(format!("{reason} (container: {container})")));
            }
            None if image_user.parse::<u32>().is_err() => {
                let reason = "container has runAsNonRoot and image has non-numeric user";
                let advice = "cannot verify user is non-root";
                return Err(ConfigError(format!(
                    "{reason} ({image_user}), {advice} (container: {container})"
                )));
            }
            None => {}
        }
    }
    let fallback = if image_user.is_empty() { "0" } else { image_user };
    Ok(match (uid, gid) {
        (Some(uid), Some(gid)) => Some(format!("{uid}:{gid}")),
        (Some(uid), None) => Some(uid.to_string()),
        (None, Some(gid)) => Some(format!("{fallback}:{gid}")),
        (None, None) => None,
    })
}

fn limits(resources: Option<&ResourceRequirements>) -> Result<Resources, ConfigError> {
    let amount = |limit: bool, name: &str| {
        let lists = resources.map(|resources| if limit { &resources.limits } else { &resources.requests });
        let found = lists.and_then(|list| list.as_ref()?.get(name));
        let parsed = found.map(|quantity| quantity.0.parse::<Quantity>());
        parsed
            .transpose()
            .map_err(|error| ConfigError(format!("{name}: {error}")))
    };
    let cpu_limit = amount(true, "cpu")?.map(Quantity::millis).filter(|millis| *millis > 0);
    let cpu_request = amount(false, "cpu")?.map(Quantity::millis).or(cpu_limit).unwrap_or(0);
    let quota = cpu_limit.map(|millis| (millis * CPU_PERIOD / 1000).max(MIN_QUOTA));
    Ok(Resources {
        cpu_shares: (cpu_request * 1024 / 1000).max(MIN_SHARES),
        cpu_quota: quota.unwrap_or(0),
        cpu_period: quota.map_or(0, |_| CPU_PERIOD),
        memory_bytes: amount(true, "memory")?.map_or(0, Quantity::value),
        oom_score_adj: 0,
    })
}

/// Kubernetes' order of who dies first: best effort, then burstable by how much was asked for, then guaranteed.
fn oom_score_adj(material: &Material<'_>) -> i64 {
    let Material { pod, spec, .. } = material;
    let qos = pod.status.as_ref().and_then(|status| status.qos_class.as_deref());
    match qos {
        Some("Guaranteed") if material.may_lower_oom_score => -997,
        Some("Guaranteed") => 0,
        Some("Burstable") => {
            let request = spec
                .resources
                .as_ref()
                .and_then(|resources| resources.requests.as_ref()?.get("memory"));
            let bytes = request
                .and_then(|quantity| quantity.0.parse::<Quantity>().ok())
                .map_or(0, Quantity::value);
            let share = i128::from(bytes) * 1000 / i128::from(material.node_memory_bytes.max(1));
            i64::try_from(1000 - share).unwrap_or(2).clamp(3, 999)
        }
        _ => 1000,
    }
}

fn security(of_pod: Option<&PodSecurityContext>, own: Option<&SecurityContext>) -> Result<Security, ConfigError> {
    let mut options = Vec::new();
    if own.and_then(|own| own.allow_privilege_escalation) == Some(false) {
        options.push("no-new-privileges".to_owned());
    }
    let seccomp = own.and_then(|own| own.seccomp_profile.as_ref());
    let seccomp = seccomp.or(of_pod.and_then(|pod| pod.seccomp_profile.as_ref()));
    match seccomp.map(|profile| profile.type_.as_str()) {
        Some("Unconfined") => options.push("seccomp=unconfined".to_owned()),
        Some("Localhost") => {
            return Err(ConfigError(
                "seccomp profiles of type Localhost are not supported".into(),
            ));
        }
        // The runtime's profile is the default too: a pod is no less confined than `docker run`.
        _ => {}
    }
    let app_armor = own.and_then(|own| own.app_armor_profile.as_ref());
    let app_armor = app_armor.or(of_pod.and_then(|pod| pod.app_armor_profile.as_ref()));
    match app_armor.map(|profile| (profile.type_.as_str(), profile.localhost_profile.as_deref())) {
        Some(("Unconfined", _)) => options.push("apparmor=unconfined".to_owned()),
        Some(("Localhost", Some(name))) => options.push(format!("apparmor={name}")),
        _ => {}
    }
    let capabilities = own.and_then(|own| own.capabilities.as_ref());
    let groups = of_pod.map(|pod| {
        pod.fs_group
            .into_iter()
            .chain(pod.supplemental_groups.iter().flatten().copied())
    });
    Ok(Security {
        privileged: own.and_then(|own| own.privileged) == Some(true),
        cap_add: capabilities.and_then(|list| list.add.clone()).unwrap_or_default(),
        cap_drop: capabilities.and_then(|list| list.drop.clone()).unwrap_or_default(),
        read_only_root: own.and_then(|own| own.read_only_root_filesystem) == Some(true),
        options,
        groups: groups.into_iter().flatten().map(|group| group.to_string()).collect(),
        sysctls: BTreeMap::new(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kubelet::{pod, testing};

    fn made(change: impl FnOnce(&mut Pod)) -> Result<CreateSpec, ConfigError> {
        let mut pod = testing::pod("Always", &["c"]);
        change(&mut pod);
        let config = Config::new("n", "/data");
        let spec = pod::containers(&pod)[0].clone();
        container(Material {
            config: &config,
            pod: &pod,
            spec: &spec,
            launch: &Launch {
                container: "c".into(),
                attempt: 2,
                backoff_seconds: 20,
            },
            image: &Image {
                id: "sha256:1".into(),
                ..Image::default()
            },
            env: &Env::default(),
            mounts: Vec::new(),
            sandbox: "s",
            message_file: "/data/m".into(),
            node_memory_bytes: 1 << 30,
            may_lower_oom_score: true,
        })
    }

    fn context(pod: &mut Pod) -> &mut SecurityContext {
        let spec = pod.spec.as_mut().expect("set");
        spec.containers[0]
            .security_context
            .get_or_insert_with(SecurityContext::default)
    }

    #[test]
    fn carries_what_a_restarted_kubelet_must_know() {
        let spec = made(|_| {}).expect("made");
        assert_eq!(spec.name, "k8s_c_web_default_u-1_2");
        assert_eq!(spec.network_mode, "container:s");
        assert_eq!(spec.labels[labels::RESTART_COUNT], "2");
        assert_eq!(spec.labels[labels::BACKOFF_SECONDS], "20");
        assert_eq!(spec.labels[labels::NODE], "n");
    }

    #[test]
    fn non_root_is_checked_against_the_image() {
        let refused = made(|pod| context(pod).run_as_non_root = Some(true)).expect_err("the image runs as root");
        assert!(refused.0.contains("image will run as root"), "{refused}");
        let user = made(|pod| {
            context(pod).run_as_non_root = Some(true);
            context(pod).run_as_user = Some(1000);
            context(pod).run_as_group = Some(2000);
        });
        assert_eq!(user.expect("made").user.as_deref(), Some("1000:2000"));
    }

    #[test]
    fn privilege_escalation_and_seccomp_become_options() {
        let spec = made(|pod| context(pod).allow_privilege_escalation = Some(false)).expect("made");
        assert_eq!(spec.security.options, ["no-new-privileges"]);
    }
}
