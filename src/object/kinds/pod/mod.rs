//! Pods: defaults, admission, validation. Pure; what must be looked up comes in as an argument.

mod admit;
mod defaults;
mod label_keys;
mod qos;
mod validate;

use k8s_openapi::api::core::v1::{Pod, PodCondition, PodStatus};

pub use admit::{
    Forbidden, admit_priority, admit_service_account, admit_tolerations, priority_class_name, service_account_name,
};

pub use defaults::default_pull_policy;
pub(crate) use validate::validate_node_affinity;
pub(super) use validate::{no_steps_back, validate_host_path, validate_nfs, validate_node_selector};

use super::Strategy;
use super::selectable::{Selectable, field, flag};
use crate::object::field_error::FieldError;
use crate::object::kind::Part;
use crate::object::table::{self, Table};

/// The rules of pods.
pub(in crate::object) struct Pods;

impl Strategy for Pods {
    const TABLE: Table = table::PODS;

    type Object = Pod;

    fn default(pod: &mut Pod) {
        defaults::default(pod);
    }

    /// A creator sets no status; the pod waits and its class is settled for good.
    fn prepare_create(pod: &mut Pod) {
        let class = qos::class(pod);
        pod.status = Some(PodStatus {
            phase: Some("Pending".to_owned()),
            qos_class: Some(class.to_owned()),
            ..PodStatus::default()
        });
        await_gates(pod);
        label_keys::merge(pod);
        annotate_seccomp(pod);
    }

    fn prepare_update(pod: &mut Pod, old: &Pod, part: Part) {
        match part {
            Part::Main => {
                pod.status.clone_from(&old.status);
                keep_priority(pod, old);
            }
            Part::Status => {
                pod.spec.clone_from(&old.spec);
                let before = old.status.as_ref().and_then(|status| status.qos_class.clone());
                let class = &mut pod.status.get_or_insert_default().qos_class;
                *class = class.take().or(before);
            }
        }
    }

    fn validate_create(pod: &Pod, errors: &mut Vec<FieldError>) {
        validate::validate_create(pod, errors);
    }

    fn validate_update(pod: &Pod, old: &Pod, part: Part, errors: &mut Vec<FieldError>) {
        match part {
            Part::Main => validate::validate_update(pod, old, errors),
            Part::Status => validate::validate_status_update(pod, old, errors),
        }
    }

    fn selectable() -> &'static [Selectable] {
        const FIELDS: &[Selectable] = &[
            field("spec.nodeName", &["/spec/nodeName"]),
            field("spec.restartPolicy", &["/spec/restartPolicy"]),
            field("spec.schedulerName", &["/spec/schedulerName"]),
            field("spec.serviceAccountName", &["/spec/serviceAccountName"]),
            flag("spec.hostNetwork", &["/spec/hostNetwork"]),
            field("status.phase", &["/status/phase"]),
            field("status.podIP", &["/status/podIP", "/status/podIPs/0/ip"]),
            field("status.nominatedNodeName", &["/status/nominatedNodeName"]),
        ];
        FIELDS
    }
}

/// Says of a pod with scheduling gates that no scheduler looks at it yet.
fn await_gates(pod: &mut Pod) {
    let gates = pod.spec.as_ref().and_then(|spec| spec.scheduling_gates.as_ref());
    if gates.is_none_or(Vec::is_empty) {
        return;
    }
    let conditions = pod.status.get_or_insert_default().conditions.get_or_insert_default();
    conditions.push(PodCondition {
        type_: "PodScheduled".to_owned(),
        status: "False".to_owned(),
        reason: Some("SchedulingGated".to_owned()),
        message: Some("Scheduling is blocked due to non-empty scheduling gates".to_owned()),
        ..PodCondition::default()
    });
}

/// Priority was settled when the pod was made: a manifest that replaces it need not repeat it.
fn keep_priority(pod: &mut Pod, old: &Pod) {
    let (Some(spec), Some(old)) = (&mut pod.spec, &old.spec) else {
        return;
    };
    spec.priority = spec.priority.or(old.priority);
    spec.preemption_policy = spec.preemption_policy.take().or_else(|| old.preemption_policy.clone());
}

/// Repeats seccomp profiles as the annotations that readers older than the field look at.
fn annotate_seccomp(pod: &mut Pod) {
    let Some(spec) = &pod.spec else { return };
    let whole = spec
        .security_context
        .as_ref()
        .and_then(|context| context.seccomp_profile.as_ref());
    let whole = whole.map(|profile| ("seccomp.security.alpha.kubernetes.io/pod".to_owned(), profile));
    let containers = spec.containers.iter().chain(spec.init_containers.iter().flatten());
    let single = containers.filter_map(|container| {
        let profile = container.security_context.as_ref()?.seccomp_profile.as_ref()?;
        Some((
            format!("container.seccomp.security.alpha.kubernetes.io/{}", container.name),
            profile,
        ))
    });
    let annotations: Vec<(String, String)> = whole
        .into_iter()
        .chain(single)
        .filter_map(|(key, profile)| {
            let value = match (profile.type_.as_str(), &profile.localhost_profile) {
                ("RuntimeDefault", _) => "runtime/default".to_owned(),
                ("Unconfined", _) => "unconfined".to_owned(),
                ("Localhost", Some(file)) => format!("localhost/{file}"),
                _ => return None,
            };
            Some((key, value))
        })
        .collect();
    if !annotations.is_empty() {
        let known = pod.metadata.annotations.get_or_insert_default();
        for (key, value) in annotations {
            known.entry(key).or_insert(value);
        }
    }
}
