//! Which fields are pointers and which are always printed, as Kubernetes' Go types have it. Holds no code but look-ups.
//!
//! A row is a type's name and its fields; a kind newly served adds the rows of its types here.

use std::collections::HashMap;
use std::sync::LazyLock;

use k8s_openapi::api::coordination::v1::Lease;
use k8s_openapi::api::core::v1::{
    ConfigMap, Event, Namespace, Node, PersistentVolume, PersistentVolumeClaim, Pod, Secret, ServiceAccount,
};
use k8s_openapi::api::policy::v1::PodDisruptionBudget;
use k8s_openapi::api::scheduling::v1::PriorityClass;
use k8s_openapi::api::storage::v1::StorageClass;
use schemars::SchemaGenerator;
use serde_json::{Value, json};

/// Optional scalars that keep a zero value (they are pointers), by type.
const POINTERS: &[(&str, &[&str])] = &[
    ("AppArmorProfile", &["localhostProfile"]),
    ("AzureDiskVolumeSource", &["cachingMode", "fsType", "kind", "readOnly"]),
    ("AzureFilePersistentVolumeSource", &["secretNamespace"]),
    ("CSIVolumeSource", &["fsType", "readOnly"]),
    (
        "ClusterTrustBundleProjection",
        &["name", "optional", "signerName", "user"],
    ),
    ("ConfigMap", &["immutable"]),
    ("ConfigMapEnvSource", &["optional"]),
    ("ConfigMapKeySelector", &["optional"]),
    ("ConfigMapProjection", &["optional"]),
    ("ConfigMapVolumeSource", &["defaultMode", "defaultUser", "optional"]),
    ("Container", &["restartPolicy"]),
    ("ContainerRestartRuleOnExitCodes", &["operator"]),
    ("ContainerStatus", &["started", "stopSignal"]),
    ("DownwardAPIVolumeFile", &["mode", "user"]),
    ("DownwardAPIVolumeSource", &["defaultMode", "defaultUser"]),
    ("EmptyDirVolumeSource", &["mode"]),
    ("EphemeralContainer", &["restartPolicy"]),
    ("FCVolumeSource", &["lun"]),
    ("FileKeySelector", &["optional"]),
    ("GRPCAction", &["service"]),
    ("HostPathVolumeSource", &["type"]),
    ("ISCSIPersistentVolumeSource", &["initiatorName"]),
    ("ISCSIVolumeSource", &["initiatorName"]),
    ("KeyToPath", &["mode", "user"]),
    (
        "LeaseSpec",
        &[
            "holderIdentity",
            "leaseDurationSeconds",
            "leaseTransitions",
            "preferredHolder",
            "strategy",
        ],
    ),
    ("Lifecycle", &["stopSignal"]),
    ("LocalVolumeSource", &["fsType"]),
    ("NodeFeatures", &["supplementalGroupsPolicy"]),
    (
        "NodeRuntimeHandlerFeatures",
        &["recursiveReadOnlyMounts", "userNamespaces"],
    ),
    ("NodeSwapStatus", &["capacity"]),
    ("ObjectMeta", &["deletionGracePeriodSeconds"]),
    ("OwnerReference", &["blockOwnerDeletion", "controller"]),
    (
        "PersistentVolumeClaimSpec",
        &["storageClassName", "volumeAttributesClassName", "volumeMode"],
    ),
    ("PersistentVolumeClaimStatus", &["currentVolumeAttributesClassName"]),
    ("PersistentVolumeSpec", &["volumeAttributesClassName", "volumeMode"]),
    ("PodCertificateProjection", &["maxExpirationSeconds", "user"]),
    ("PodDNSConfigOption", &["value"]),
    (
        "PodDisruptionBudgetSpec",
        &["maxUnavailable", "minAvailable", "unhealthyPodEvictionPolicy"],
    ),
    ("PodResourceClaim", &["resourceClaimName", "resourceClaimTemplateName"]),
    ("PodResourceClaimStatus", &["resourceClaimName"]),
    (
        "PodSecurityContext",
        &[
            "fsGroup",
            "fsGroupChangePolicy",
            "runAsGroup",
            "runAsNonRoot",
            "runAsUser",
            "seLinuxChangePolicy",
            "supplementalGroupsPolicy",
        ],
    ),
    (
        "PodSpec",
        &[
            "activeDeadlineSeconds",
            "automountServiceAccountToken",
            "enableServiceLinks",
            "hostUsers",
            "hostnameOverride",
            "preemptionPolicy",
            "priority",
            "runtimeClassName",
            "setHostnameAsFQDN",
            "shareProcessNamespace",
            "terminationGracePeriodSeconds",
        ],
    ),
    ("PriorityClass", &["preemptionPolicy"]),
    ("Probe", &["terminationGracePeriodSeconds"]),
    ("ProjectedVolumeSource", &["defaultMode", "defaultUser"]),
    ("SeccompProfile", &["localhostProfile"]),
    ("Secret", &["immutable"]),
    ("SecretEnvSource", &["optional"]),
    ("SecretKeySelector", &["optional"]),
    ("SecretProjection", &["optional"]),
    ("SecretVolumeSource", &["defaultMode", "defaultUser", "optional"]),
    (
        "SecurityContext",
        &[
            "allowPrivilegeEscalation",
            "privileged",
            "procMount",
            "readOnlyRootFilesystem",
            "runAsGroup",
            "runAsNonRoot",
            "runAsUser",
        ],
    ),
    ("ServiceAccount", &["automountServiceAccountToken"]),
    ("ServiceAccountTokenProjection", &["expirationSeconds", "user"]),
    ("SourceSpec", &["prune", "rollback", "submodules", "suspend"]),
    (
        "StorageClass",
        &["allowVolumeExpansion", "reclaimPolicy", "volumeBindingMode"],
    ),
    ("Toleration", &["tolerationSeconds"]),
    (
        "TopologySpreadConstraint",
        &["minDomains", "nodeAffinityPolicy", "nodeTaintsPolicy"],
    ),
    ("TypedLocalObjectReference", &["apiGroup"]),
    ("TypedObjectReference", &["apiGroup", "namespace"]),
    ("VolumeMount", &["mountPropagation", "recursiveReadOnly"]),
    ("VolumeMountStatus", &["recursiveReadOnly"]),
    (
        "WindowsSecurityContextOptions",
        &[
            "gmsaCredentialSpec",
            "gmsaCredentialSpecName",
            "hostProcess",
            "runAsUserName",
        ],
    ),
];

/// What an always printed field looks like when it was not given.
#[derive(Clone, Copy)]
enum Blank {
    /// A struct without anything in it.
    Struct,
    /// A time that is not set.
    Time,
    /// A string.
    Text,
    /// A number.
    Number,
    /// An amount.
    Amount,
    /// A disruption budget's status.
    BudgetStatus,
    /// A claim's spec, which asks for something.
    ClaimSpec,
    /// A node's kubelet endpoint.
    Endpoints,
    /// A pod's spec, which has containers.
    PodSpec,
    /// A node's description of itself.
    NodeInfo,
    /// Both of these.
    NodeStatus,
}

/// Fields printed though empty, by type.
const ALWAYS: &[(&str, &str, Blank)] = &[
    ("Container", "resources", Blank::Struct),
    ("ContainerStateRunning", "startedAt", Blank::Time),
    ("ContainerStateTerminated", "finishedAt", Blank::Time),
    ("ContainerStateTerminated", "startedAt", Blank::Time),
    ("ContainerStatus", "lastState", Blank::Struct),
    ("ContainerStatus", "state", Blank::Struct),
    ("EphemeralContainer", "resources", Blank::Struct),
    ("Event", "eventTime", Blank::Time),
    ("Event", "firstTimestamp", Blank::Time),
    ("Event", "lastTimestamp", Blank::Time),
    ("Event", "reportingComponent", Blank::Text),
    ("Event", "reportingInstance", Blank::Text),
    ("Event", "source", Blank::Struct),
    ("EventSeries", "lastObservedTime", Blank::Time),
    ("Lease", "spec", Blank::Struct),
    ("Namespace", "spec", Blank::Struct),
    ("Namespace", "status", Blank::Struct),
    ("NamespaceCondition", "lastTransitionTime", Blank::Time),
    ("Node", "spec", Blank::Struct),
    ("Node", "status", Blank::NodeStatus),
    ("NodeCondition", "lastHeartbeatTime", Blank::Time),
    ("NodeCondition", "lastTransitionTime", Blank::Time),
    ("NodeStatus", "daemonEndpoints", Blank::Endpoints),
    ("NodeStatus", "nodeInfo", Blank::NodeInfo),
    ("PersistentVolume", "spec", Blank::Struct),
    ("PersistentVolume", "status", Blank::Struct),
    ("PersistentVolumeClaim", "spec", Blank::ClaimSpec),
    ("PersistentVolumeClaim", "status", Blank::Struct),
    ("PersistentVolumeClaimCondition", "lastProbeTime", Blank::Time),
    ("PersistentVolumeClaimCondition", "lastTransitionTime", Blank::Time),
    ("PersistentVolumeClaimSpec", "resources", Blank::Struct),
    ("Pod", "spec", Blank::PodSpec),
    ("Pod", "status", Blank::Struct),
    ("PodCondition", "lastProbeTime", Blank::Time),
    ("PodCondition", "lastTransitionTime", Blank::Time),
    ("PodDisruptionBudget", "spec", Blank::Struct),
    ("PodDisruptionBudget", "status", Blank::BudgetStatus),
    ("PodDisruptionBudgetStatus", "currentHealthy", Blank::Number),
    ("PodDisruptionBudgetStatus", "desiredHealthy", Blank::Number),
    ("PodDisruptionBudgetStatus", "disruptionsAllowed", Blank::Number),
    ("PodDisruptionBudgetStatus", "expectedPods", Blank::Number),
    ("PriorityClass", "value", Blank::Number),
    ("ResourceFieldSelector", "divisor", Blank::Amount),
];

/// The fields each type must have, by type, as the API's own schemas say.
static REQUIRED: LazyLock<HashMap<String, Vec<String>>> = LazyLock::new(|| {
    let mut generator = SchemaGenerator::default();
    generator.subschema_for::<(
        ConfigMap,
        Event,
        Namespace,
        Node,
        Pod,
        Secret,
        ServiceAccount,
        Lease,
        PodDisruptionBudget,
        PriorityClass,
        (PersistentVolume, PersistentVolumeClaim, StorageClass),
    )>();
    let required = |schema: &Value| {
        let names = schema.get("required").and_then(Value::as_array).into_iter().flatten();
        names.filter_map(Value::as_str).map(str::to_owned).collect::<Vec<_>>()
    };
    // A schema's name is a type's with its package in front.
    let name = |full: &str| full.rsplit('.').next().unwrap_or(full).to_owned();
    generator
        .definitions()
        .iter()
        .map(|(full, schema)| (name(full), required(schema)))
        .collect()
});

/// Whether that field is printed though it is `""`, `0`, `false` or an empty list: a pointer to one, or required.
pub(super) fn keeps_zero(type_name: &str, field: &str) -> bool {
    POINTERS
        .iter()
        .any(|(name, fields)| *name == type_name && fields.contains(&field))
        || REQUIRED
            .get(type_name)
            .is_some_and(|fields| fields.iter().any(|name| name == field))
}

/// The fields of that type that are printed even when nothing is in them, and how.
pub(super) fn always(type_name: &str) -> impl Iterator<Item = (&'static str, Value)> {
    ALWAYS
        .iter()
        .filter(move |(name, _, _)| *name == type_name)
        .map(|(_, field, blank)| (*field, blank.value()))
}

impl Blank {
    fn value(self) -> Value {
        match self {
            Self::Struct => json!({}),
            Self::Time => Value::Null,
            Self::Text => json!(""),
            Self::Number => json!(0),
            Self::Amount => json!("0"),
            Self::BudgetStatus => {
                json!({"currentHealthy": 0, "desiredHealthy": 0, "disruptionsAllowed": 0, "expectedPods": 0})
            }
            Self::ClaimSpec => json!({"resources": {}}),
            Self::Endpoints => json!({"kubeletEndpoint": {"Port": 0}}),
            Self::PodSpec => json!({"containers": []}),
            Self::NodeStatus => {
                json!({"daemonEndpoints": Self::Endpoints.value(), "nodeInfo": Self::NodeInfo.value()})
            }
            Self::NodeInfo => json!({
                "architecture": "", "bootID": "", "containerRuntimeVersion": "", "kernelVersion": "",
                "kubeProxyVersion": "", "kubeletVersion": "", "machineID": "", "operatingSystem": "",
                "osImage": "", "systemUUID": "",
            }),
        }
    }
}
