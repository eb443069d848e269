//! The objects that pairs are made of. Kinds, namespaces and names are few, so that they meet.

use serde_json::{Value, json};

/// A kind and how its objects are reached.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Kind {
    pub name: &'static str,
    pub api_version: &'static str,
    pub plural: &'static str,
    pub namespaced: bool,
}

const fn kind(name: &'static str, api_version: &'static str, plural: &'static str, namespaced: bool) -> Kind {
    Kind {
        name,
        api_version,
        plural,
        namespaced,
    }
}

pub const POD: &Kind = &kind("Pod", "v1", "pods", true);
pub const NAMESPACE: &Kind = &kind("Namespace", "v1", "namespaces", false);
const ACCOUNT: &Kind = &kind("ServiceAccount", "v1", "serviceaccounts", true);
const CLASS: &Kind = &kind("PriorityClass", "scheduling.k8s.io/v1", "priorityclasses", false);
const NAMESPACED: [&Kind; 5] = [
    POD,
    &kind("ConfigMap", "v1", "configmaps", true),
    &kind("Secret", "v1", "secrets", true),
    ACCOUNT,
    &kind("Lease", "coordination.k8s.io/v1", "leases", true),
];

/// Namespaces that objects lie in; all but the first come and go as objects themselves.
const NAMESPACES: [&str; 3] = ["default", "shop", "lab"];
const NAMES: [&str; 2] = ["a", "b"];

/// Which object.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Subject {
    pub kind: &'static Kind,
    pub namespace: Option<&'static str>,
    pub name: &'static str,
}

impl Subject {
    /// Every object that there may be.
    pub fn all() -> Vec<Subject> {
        let mut all: Vec<Subject> = NAMESPACES[1..]
            .iter()
            .map(|name| Subject::global(NAMESPACE, name))
            .collect();
        all.extend(NAMES.iter().map(|name| Subject::global(CLASS, name)));
        for namespace in NAMESPACES {
            for kind in NAMESPACED {
                all.extend(NAMES.iter().map(|name| Subject {
                    kind,
                    namespace: Some(namespace),
                    name,
                }));
            }
        }
        all
    }

    fn global(kind: &'static Kind, name: &'static str) -> Subject {
        Subject {
            kind,
            namespace: None,
            name,
        }
    }

    /// Where its kind's objects are created.
    pub fn collection(&self) -> String {
        let group = match self.kind.api_version {
            "v1" => "/api/v1".to_owned(),
            other => format!("/apis/{other}"),
        };
        match self.namespace {
            Some(namespace) => format!("{group}/namespaces/{namespace}/{}", self.kind.plural),
            None => format!("{group}/{}", self.kind.plural),
        }
    }

    pub fn path(&self) -> String {
        format!("{}/{}", self.collection(), self.name)
    }

    /// Its key in the store.
    pub fn key(&self) -> String {
        store_key(self.kind.plural, self.namespace, self.name)
    }
}

/// Where the store keeps an object.
pub fn store_key(plural: &str, namespace: Option<&str>, name: &str) -> String {
    match namespace {
        Some(namespace) => format!("/registry/{plural}/{namespace}/{name}"),
        None => format!("/registry/{plural}/{name}"),
    }
}

/// What an object says, each number one of a few: labels, what may change in place, what may not, an image.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shape {
    pub labels: u8,
    pub data: u8,
    pub fixed: u8,
    pub image: u8,
}

/// The object as a person would write it.
pub fn manifest(subject: &Subject, shape: Shape) -> Value {
    let Shape {
        labels,
        data,
        fixed,
        image,
    } = shape;
    let mut object = json!({
        "apiVersion": subject.kind.api_version,
        "kind": subject.kind.name,
        "metadata": {"name": subject.name},
    });
    if let Some(namespace) = subject
        .namespace
        .filter(|namespace| *namespace != "default" || labels == 0)
    {
        object["metadata"]["namespace"] = json!(namespace);
    }
    // Of half the objects, whatever becomes of them, drift is only told.
    let is_reported = subject.name == "b";
    match labels {
        0 => {}
        1 => object["metadata"]["labels"] = json!({"app": "one"}),
        _ => {
            object["metadata"]["labels"] = json!({"app": "two", "tier": "x"});
            object["metadata"]["annotations"] = json!({"example.com/note": "hello"});
        }
    }
    if is_reported {
        object["metadata"]["annotations"]["reconcile.dev/drift"] = json!("report");
    }
    let content = match subject.kind.name {
        "Pod" => json!({"spec": pod_spec(data, fixed, image)}),
        "ConfigMap" if fixed == 2 => json!({"data": {"key": data.to_string()}, "immutable": true}),
        "ConfigMap" if data == 2 => json!({"data": {"other": "x"}, "binaryData": {"raw": "AAE="}}),
        "ConfigMap" => json!({"data": {"key": data.to_string()}}),
        "Secret" if image == 1 => json!({"stringData": {"key": data.to_string()}}),
        "Secret" => {
            json!({"type": format!("example.com/{fixed}"), "data": {"key": "MQ==", format!("key-{data}"): "Mg=="}})
        }
        "ServiceAccount" if data == 0 => json!({}),
        "ServiceAccount" => {
            json!({"automountServiceAccountToken": fixed == 1, "imagePullSecrets": [{"name": format!("pull-{data}")}]})
        }
        "PriorityClass" => {
            let value = (i64::from(fixed) + 1) * 1000;
            json!({"value": value, "description": format!("number {data}")})
        }
        "Lease" => json!({"spec": {"holderIdentity": format!("holder-{data}"), "leaseDurationSeconds": fixed + 1}}),
        _ => json!({}),
    };
    for (key, value) in content.as_object().into_iter().flatten() {
        object[key] = value.clone();
    }
    object
}

fn pod_spec(data: u8, fixed: u8, image: u8) -> Value {
    let mut spec = json!({
        "terminationGracePeriodSeconds": 1,
        "containers": [{
            "name": "main",
            "image": format!("busybox:1.{}", 36 + image),
            "env": [{"name": "GREETING", "value": format!("greeting {fixed}")}],
        }],
    });
    match data {
        // What it refers to may be in the repository, in the cluster, or nowhere.
        1 => spec["priorityClassName"] = json!("a"),
        2 => spec["serviceAccountName"] = json!("a"),
        _ => {}
    }
    if fixed == 2 {
        spec["containers"][0]["command"] = json!(["sleep", "1000"]);
        spec["containers"][0]["resources"] = json!({"requests": {"cpu": "10m"}, "limits": {"memory": "0.5Gi"}});
    }
    spec
}
