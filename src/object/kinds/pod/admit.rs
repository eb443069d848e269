//! What admission adds to a new pod, as pure functions of what the API server looked up. Looks nothing up itself.
//!
//! The API server calls, between `default` and `prepare_create`, in this order: [`admit_priority`],
//! [`admit_tolerations`], [`admit_service_account`]. A [`Forbidden`] is HTTP 403,
//! `pods "<name>" is forbidden: <reason>`.

use k8s_openapi::api::core::v1::{Container, Pod, SecretVolumeSource, ServiceAccount, Toleration, Volume, VolumeMount};
use k8s_openapi::api::scheduling::v1::PriorityClass;
use serde_json::Value;

use super::defaults::FILE_MODE;
use crate::object::codec;

/// Where a container finds its service account's token.
const TOKEN_MOUNT: &str = "/var/run/secrets/kubernetes.io/serviceaccount";
/// How long a pod stays on a node that is not ready or cannot be reached.
const NODE_FAILURE_SECONDS: i64 = 300;
/// The service account of a pod that names none.
const DEFAULT_ACCOUNT: &str = "default";
/// What a pod does to lesser ones when its class does not say.
const PREEMPT: &str = "PreemptLowerPriority";

/// Why admission refuses a pod.
#[derive(Clone, Debug, thiserror::Error, PartialEq, Eq)]
#[error("{0}")]
pub struct Forbidden(pub String);

/// The priority class that the pod names, which the server must look up for [`admit_priority`].
pub fn priority_class_name(pod: &Value) -> Option<&str> {
    pod.pointer("/spec/priorityClassName")
        .and_then(Value::as_str)
        .filter(|name| !name.is_empty())
}

/// The service account that the pod runs as, which the server must look up for [`admit_service_account`].
pub fn service_account_name(pod: &Value) -> &str {
    ["/spec/serviceAccountName", "/spec/serviceAccount"]
        .into_iter()
        .filter_map(|pointer| pod.pointer(pointer)?.as_str())
        .find(|name| !name.is_empty())
        .unwrap_or(DEFAULT_ACCOUNT)
}

/// Sets priority and preemption policy from `class`: the one that the pod names, or, where it names none, the
/// cluster's global default, if there is one.
///
/// # Errors
/// Where the class named does not exist, or the pod states other values than its class.
pub fn admit_priority(pod: &mut Value, class: Option<&Value>) -> Result<(), Forbidden> {
    let class = class.map(read::<PriorityClass>).transpose()?;
    change(pod, |pod| {
        let spec = pod.spec.get_or_insert_default();
        let (priority, policy): (i32, String) = match (&spec.priority_class_name, &class) {
            (Some(name), None) => return Err(Forbidden(format!("no PriorityClass with name {name} was found"))),
            (None, None) => (0, PREEMPT.to_owned()),
            (_, Some(class)) => {
                spec.priority_class_name.clone_from(&class.metadata.name);
                (
                    class.value.unwrap_or(0),
                    class.preemption_policy.clone().unwrap_or_else(|| PREEMPT.to_owned()),
                )
            }
        };
        let refuse = |what: &str, stated: &str, computed: &str| {
            Err(Forbidden(format!(
                "the {what} ({stated}) must not be provided in pod spec; priority admission controller computed \
                 {computed} from the given PriorityClass name"
            )))
        };
        if let Some(stated) = spec.priority.filter(|stated| *stated != priority) {
            return refuse("integer value of priority", &stated.to_string(), &priority.to_string());
        }
        if let Some(stated) = spec.preemption_policy.as_ref().filter(|stated| **stated != policy) {
            return refuse("string value of PreemptionPolicy", stated, &policy);
        }
        spec.priority = Some(priority);
        spec.preemption_policy = Some(policy);
        Ok(())
    })
}

/// Lets the pod stay five minutes on a node that fails, unless it says how long itself.
///
/// # Errors
/// Where the pod cannot be read.
pub fn admit_tolerations(pod: &mut Value) -> Result<(), Forbidden> {
    change(pod, |pod| {
        let tolerations = pod.spec.get_or_insert_default().tolerations.get_or_insert_default();
        for taint in ["node.kubernetes.io/not-ready", "node.kubernetes.io/unreachable"] {
            let tolerates = |toleration: &Toleration| {
                toleration.key.as_deref().is_none_or(|key| key == taint)
                    && toleration.effect.as_deref().is_none_or(|effect| effect == "NoExecute")
            };
            if !tolerations.iter().any(tolerates) {
                tolerations.push(Toleration {
                    key: Some(taint.to_owned()),
                    operator: Some("Exists".to_owned()),
                    effect: Some("NoExecute".to_owned()),
                    toleration_seconds: Some(NODE_FAILURE_SECONDS),
                    value: None,
                });
            }
        }
        Ok(())
    })
}

/// Makes the pod run as its service account: names it, takes over its image pull secrets and, where `token_secret`
/// names an existing secret of type `kubernetes.io/service-account-token` that the account lists, mounts it into
/// every container unless pod or account say not to.
///
/// # Errors
/// Where the account does not exist.
pub fn admit_service_account(
    pod: &mut Value,
    account: Option<&Value>,
    token_secret: Option<&str>,
) -> Result<(), Forbidden> {
    let name = service_account_name(pod).to_owned();
    let Some(account) = account.map(read::<ServiceAccount>).transpose()? else {
        let namespace = pod.pointer("/metadata/namespace").and_then(Value::as_str).unwrap_or("");
        let reason =
            format!("error looking up service account {namespace}/{name}: serviceaccount \"{name}\" not found");
        return Err(Forbidden(reason));
    };
    change(pod, |pod| {
        let spec = pod.spec.get_or_insert_default();
        spec.service_account_name = Some(name.clone());
        spec.service_account = Some(name);
        if spec.image_pull_secrets.is_none() {
            spec.image_pull_secrets.clone_from(&account.image_pull_secrets);
        }
        let automount = spec
            .automount_service_account_token
            .or(account.automount_service_account_token);
        if let Some(secret) = token_secret.filter(|_| automount != Some(false)) {
            let volumes = spec.volumes.get_or_insert_default();
            let mounts_secret = |volume: &&Volume| {
                volume
                    .secret
                    .as_ref()
                    .is_some_and(|s| s.secret_name.as_deref() == Some(secret))
            };
            let present = volumes.iter().find(mounts_secret).map(|volume| volume.name.clone());
            let volume = present.clone().unwrap_or_else(|| secret.to_owned());
            let containers = spec.init_containers.iter_mut().flatten().chain(&mut spec.containers);
            // Every container gets its mount, so all are visited before the count is looked at.
            let mounted = containers
                .filter_map(|container| mount_token(container, &volume).then_some(()))
                .count();
            if mounted > 0 && present.is_none() {
                volumes.push(token_volume(secret));
            }
        }
        Ok(())
    })
}

/// Mounts the volume unless something is mounted there already; says whether it did.
fn mount_token(container: &mut Container, volume: &str) -> bool {
    let mounts = container.volume_mounts.get_or_insert_default();
    let free = !mounts.iter().any(|mount| mount.mount_path == TOKEN_MOUNT);
    if free {
        mounts.push(VolumeMount {
            name: volume.to_owned(),
            mount_path: TOKEN_MOUNT.to_owned(),
            read_only: Some(true),
            ..VolumeMount::default()
        });
    }
    free
}

fn token_volume(secret: &str) -> Volume {
    Volume {
        name: secret.to_owned(),
        secret: Some(SecretVolumeSource {
            secret_name: Some(secret.to_owned()),
            default_mode: Some(FILE_MODE),
            ..SecretVolumeSource::default()
        }),
        ..Volume::default()
    }
}

fn read<T: serde::de::DeserializeOwned>(value: &Value) -> Result<T, Forbidden> {
    codec::read::<T>(value)
        .map(|read| read.object)
        .map_err(|error| Forbidden(error.0))
}

fn change(value: &mut Value, change: impl FnOnce(&mut Pod) -> Result<(), Forbidden>) -> Result<(), Forbidden> {
    let mut pod = read::<Pod>(value)?;
    change(&mut pod)?;
    *value = codec::write(&pod).map_err(|error| Forbidden(error.0))?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn priority_comes_from_the_class() {
        let class = json!({"metadata": {"name": "high"}, "value": 7, "preemptionPolicy": "Never"});
        for (name, spec, class, wanted) in [
            ("none", json!({}), None, Ok((0, "PreemptLowerPriority", None))),
            (
                "global default",
                json!({}),
                Some(&class),
                Ok((7, "Never", Some("high"))),
            ),
            (
                "named",
                json!({"priorityClassName": "high"}),
                Some(&class),
                Ok((7, "Never", Some("high"))),
            ),
            (
                "same value",
                json!({"priorityClassName": "high", "priority": 7}),
                Some(&class),
                Ok((7, "Never", Some("high"))),
            ),
            (
                "missing",
                json!({"priorityClassName": "nope"}),
                None,
                Err("no PriorityClass with name nope was found"),
            ),
            (
                "other value",
                json!({"priority": 9}),
                None,
                Err("integer value of priority (9)"),
            ),
            (
                "other policy",
                json!({"preemptionPolicy": "Never"}),
                None,
                Err("PreemptionPolicy (Never)"),
            ),
        ] {
            let mut pod = json!({"spec": spec});
            match (admit_priority(&mut pod, class), wanted) {
                (Ok(()), Ok((priority, policy, class))) => {
                    assert_eq!(pod["spec"]["priority"], priority, "{name}");
                    assert_eq!(pod["spec"]["preemptionPolicy"], policy, "{name}");
                    assert_eq!(pod["spec"]["priorityClassName"].as_str(), class, "{name}");
                }
                (Err(error), Err(wanted)) => assert!(error.0.contains(wanted), "{name}: {error}"),
                (result, _) => panic!("{name}: {result:?}"),
            }
        }
    }

    #[test]
    fn the_account_brings_secrets_and_token() {
        let account = json!({"metadata": {"name": "default"}, "imagePullSecrets": [{"name": "reg"}]});
        let closed = json!({"metadata": {"name": "default"}, "automountServiceAccountToken": false});
        for (name, spec, account, wanted_mounts, wanted_pull) in [
            ("mounted", json!({"containers": [{}]}), &account, 1, Some("reg")),
            (
                "pod says no",
                json!({"automountServiceAccountToken": false, "containers": [{}]}),
                &account,
                0,
                Some("reg"),
            ),
            ("account says no", json!({"containers": [{}]}), &closed, 0, None),
            (
                "pod says yes",
                json!({"automountServiceAccountToken": true, "containers": [{}]}),
                &closed,
                1,
                None,
            ),
            (
                "own secret",
                json!({"imagePullSecrets": [{"name": "own"}], "containers": [{}]}),
                &closed,
                1,
                Some("own"),
            ),
        ] {
            let closed_by_account = name == "own secret";
            let mut pod = json!({"spec": spec});
            if closed_by_account {
                pod["spec"]["automountServiceAccountToken"] = json!(true);
            }
            admit_service_account(&mut pod, Some(account), Some("token")).unwrap();
            let spec = &pod["spec"];
            assert_eq!(spec["serviceAccountName"], "default", "{name}");
            assert_eq!(spec["volumes"].as_array().map_or(0, Vec::len), wanted_mounts, "{name}");
            let mounts = spec["containers"][0]["volumeMounts"].as_array().map_or(0, Vec::len);
            assert_eq!(mounts, wanted_mounts, "{name}");
            assert_eq!(spec["imagePullSecrets"][0]["name"].as_str(), wanted_pull, "{name}");
        }
        let mut pod = json!({"metadata": {"namespace": "n"}, "spec": {"serviceAccountName": "x"}});
        let error = admit_service_account(&mut pod, None, None).unwrap_err();
        assert_eq!(
            error.0,
            "error looking up service account n/x: serviceaccount \"x\" not found"
        );
    }
}
