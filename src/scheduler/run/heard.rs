//! Pods as they are heard of: without what nobody here looks at, which is most of what is sent. Who wrote which field of a
//! pod, what became of its containers: both take longer to read than all that a decision needs.

use std::borrow::Cow;
use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{Pod, PodCondition, PodSpec, PodStatus};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, Time};
use kube::Resource;
use serde::Deserialize;

/// A pod without the rest.
#[derive(Clone, Debug, Deserialize)]
#[serde(from = "Parts")]
pub(super) struct Heard(pub Pod);

#[derive(Deserialize)]
struct Parts {
    #[serde(default)]
    metadata: Metadata,
    spec: Option<PodSpec>,
    status: Option<Status>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Metadata {
    name: Option<String>,
    namespace: Option<String>,
    uid: Option<String>,
    resource_version: Option<String>,
    creation_timestamp: Option<Time>,
    deletion_timestamp: Option<Time>,
    labels: Option<BTreeMap<String, String>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Status {
    phase: Option<String>,
    start_time: Option<Time>,
    nominated_node_name: Option<String>,
    conditions: Option<Vec<PodCondition>>,
}

impl From<Parts> for Heard {
    fn from(parts: Parts) -> Self {
        let metadata = parts.metadata;
        Self(Pod {
            metadata: ObjectMeta {
                name: metadata.name,
                namespace: metadata.namespace,
                uid: metadata.uid,
                resource_version: metadata.resource_version,
                creation_timestamp: metadata.creation_timestamp,
                deletion_timestamp: metadata.deletion_timestamp,
                labels: metadata.labels,
                ..ObjectMeta::default()
            },
            spec: parts.spec,
            status: parts.status.map(|status| PodStatus {
                phase: status.phase,
                start_time: status.start_time,
                nominated_node_name: status.nominated_node_name,
                conditions: status.conditions,
                ..PodStatus::default()
            }),
        })
    }
}

impl Resource for Heard {
    type DynamicType = ();
    type Scope = <Pod as Resource>::Scope;

    fn kind((): &()) -> Cow<'_, str> {
        Pod::kind(&())
    }

    fn group((): &()) -> Cow<'_, str> {
        Pod::group(&())
    }

    fn version((): &()) -> Cow<'_, str> {
        Pod::version(&())
    }

    fn plural((): &()) -> Cow<'_, str> {
        Pod::plural(&())
    }

    fn meta(&self) -> &ObjectMeta {
        &self.0.metadata
    }

    fn meta_mut(&mut self) -> &mut ObjectMeta {
        &mut self.0.metadata
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::scheduler::pod::role;
    use crate::scheduler::profile::Profiles;

    /// A pod with as much of everything as a decision may look at, and much that none does.
    fn pod(node: Value) -> Value {
        json!({
            "apiVersion": "v1", "kind": "Pod",
            "metadata": {
                "name": "web", "namespace": "shop", "uid": "u", "resourceVersion": "7",
                "creationTimestamp": "2026-01-02T03:04:05Z", "labels": {"app": "web"}, "annotations": {"a": "b"},
                "ownerReferences": [{"apiVersion": "v1", "kind": "Node", "name": "n", "uid": "n"}],
                "managedFields": [{"manager": "kubectl", "operation": "Update", "fieldsType": "FieldsV1",
                    "fieldsV1": {"f:metadata": {"f:labels": {"f:app": {}}}}}],
            },
            "spec": {
                "nodeName": node, "priority": 5, "nodeSelector": {"disk": "ssd"},
                "containers": [{"name": "a", "image": "a:1", "resources": {"requests": {"cpu": "1"}},
                    "ports": [{"containerPort": 80, "hostPort": 80}]}],
                "tolerations": [{"operator": "Exists"}],
                "volumes": [{"name": "v", "persistentVolumeClaim": {"claimName": "c"}}],
                "affinity": {"podAntiAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": [
                    {"topologyKey": "zone", "labelSelector": {"matchLabels": {"app": "web"}}}]}},
            },
            "status": {
                "phase": "Pending", "startTime": "2026-01-02T03:04:06Z", "nominatedNodeName": "m",
                "conditions": [{"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": "full"}],
                "containerStatuses": [{"name": "a", "ready": true, "restartCount": 0, "image": "a:1", "imageID": ""}],
            },
        })
    }

    #[test]
    fn what_is_heard_of_a_pod_is_all_that_is_decided_by() {
        for node in [json!("n"), Value::Null] {
            let sent = pod(node);
            let whole: Pod = serde_json::from_value(sent.clone()).expect("a pod");
            let Heard(heard) = serde_json::from_value(sent).expect("a pod");
            let profiles = Profiles::default();
            assert_eq!(role(&heard, &profiles), role(&whole, &profiles));
            assert_eq!(heard.metadata.resource_version, whole.metadata.resource_version);
            let conditions = |pod: &Pod| pod.status.as_ref().and_then(|status| status.conditions.clone());
            assert_eq!(conditions(&heard), conditions(&whole));
            assert!(heard.metadata.managed_fields.is_none());
        }
    }

    #[test]
    fn it_is_asked_for_where_pods_are() {
        assert_eq!(Heard::url_path(&(), None), Pod::url_path(&(), None));
    }
}
