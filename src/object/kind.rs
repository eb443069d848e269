//! The table of kinds served: a kind is a row here plus its defaults, validation and columns.

use serde_json::Value;

use super::selector::{FieldSelector, SelectorError};
use super::{FieldError, kinds, source};

/// A kind of object: its names, its place in the API and the rules of its own.
pub struct Kind {
    /// API group, empty for core.
    pub group: &'static str,
    /// API version, e.g. `v1`.
    pub version: &'static str,
    /// e.g. `Pod`.
    pub kind: &'static str,
    /// e.g. `pods`; also the resource's name in paths and keys.
    pub plural: &'static str,
    /// e.g. `pod`.
    pub singular: &'static str,
    /// e.g. `po`.
    pub short_names: &'static [&'static str],
    /// e.g. `all`.
    pub categories: &'static [&'static str],
    /// Whether objects live in a namespace.
    pub namespaced: bool,
    /// Whether `/status` is a subresource, so that other writes leave the status alone.
    pub status: bool,
    /// Its own defaults, preparation, validation and selectable fields.
    pub(super) rules: &'static dyn kinds::Rules,
}

/// A body that was read into the shape of its kind.
#[derive(Clone, Debug)]
pub struct Decoded {
    /// The object in canonical form (quantities, no unknown fields, apiVersion and kind set).
    pub object: Value,
    /// Paths of the fields that the kind does not have, e.g. `spec.containers[0].imge`.
    pub unknown: Vec<String>,
}

/// A body that does not fit its kind's types (HTTP 400).
#[derive(Clone, Debug, thiserror::Error)]
#[error("{0}")]
pub struct DecodeError(pub String);

/// Which part of an object a write may change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// Everything but the status, where the kind has a status subresource.
    Main,
    /// Only the status (and metadata as Kubernetes lets `/status` writes change it).
    Status,
}

impl Kind {
    /// Every kind served.
    pub fn all() -> &'static [Kind] {
        KINDS
    }

    /// The kind of that group, version and plural name.
    pub fn find(group: &str, version: &str, plural: &str) -> Option<&'static Kind> {
        Self::all()
            .iter()
            .find(|kind| kind.group == group && kind.version == version && kind.plural == plural)
    }

    /// The kind of that `apiVersion` and `kind`.
    pub fn of(api_version: &str, name: &str) -> Option<&'static Kind> {
        Self::all()
            .iter()
            .find(|kind| kind.kind == name && kind.api_version() == api_version)
    }

    /// `v1`, `coordination.k8s.io/v1`.
    pub fn api_version(&self) -> String {
        match self.group {
            "" => self.version.to_owned(),
            group => format!("{group}/{}", self.version),
        }
    }

    /// Reads a body: types checked, quantities made canonical, unknown fields dropped and listed.
    /// A body without `apiVersion` and `kind` takes this kind's.
    ///
    /// # Errors
    /// Where the body is of another kind or a field has the wrong type, naming it.
    pub fn decode(&self, mut body: Value) -> Result<Decoded, DecodeError> {
        let Some(map) = body.as_object_mut() else {
            return Err(self.refuse(self.kind, "an object must be a JSON object"));
        };
        let api_version = self.api_version();
        for (field, wanted) in [("kind", self.kind), ("apiVersion", &api_version)] {
            match map.get(field) {
                None | Some(Value::Null) => {}
                Some(Value::String(text)) if text.is_empty() || text == wanted => {}
                Some(Value::String(_)) => {
                    let text = |key: &str, own: &str| map.get(key).and_then(Value::as_str).unwrap_or(own).to_owned();
                    let (kind, version) = (text("kind", self.kind), text("apiVersion", &api_version));
                    return Err(self.refuse(&kind, &format!("it is of kind \"{kind}\" of \"{version}\"")));
                }
                Some(_) => return Err(self.refuse(self.kind, &format!("{field} must be a string"))),
            }
            map.insert(field.to_owned(), Value::from(wanted));
        }
        self.rules
            .decode(&body)
            .map_err(|error| self.refuse(self.kind, &error.0))
    }

    fn refuse(&self, found: &str, why: &str) -> DecodeError {
        DecodeError(format!(
            "{found} in version \"{}\" cannot be handled as a {}: {why}",
            self.version, self.kind
        ))
    }

    /// Fills in what Kubernetes fills in for fields left out.
    pub fn default(&self, object: &mut Value) {
        self.rules.default(object);
    }

    /// Resets what a creator may not set (status, deletion) and sets what creation decides (phase, QoS class).
    /// Leaves uid, creationTimestamp, namespace and managedFields to the server.
    pub fn prepare_create(&self, object: &mut Value) {
        self.rules.prepare_create(object);
    }

    /// Carries over from `old` what a write of this part may not change; counts `generation` where the kind has one.
    pub fn prepare_update(&self, object: &mut Value, old: &Value, part: Part) {
        self.rules.prepare_update(object, old, part);
    }

    /// Everything wrong with a new object (metadata's rules included).
    pub fn validate_create(&self, object: &Value) -> Vec<FieldError> {
        self.rules.validate_create(object, self.namespaced)
    }

    /// Everything wrong with this change of an object.
    pub fn validate_update(&self, object: &Value, old: &Value, part: Part) -> Vec<FieldError> {
        self.rules.validate_update(object, old, part, self.namespaced)
    }

    /// The fields that a field selector may name, with their values in this object.
    pub fn selectable_fields(&self, object: &Value) -> Vec<(&'static str, String)> {
        kinds::selectable::fields(self.rules.selectable(), self.namespaced, object)
    }

    /// Reads as much of a stored object as [`Kind::selectable_fields`] looks at.
    ///
    /// # Errors
    /// Where it is no JSON.
    pub fn read_selectable(&self, json: &[u8]) -> serde_json::Result<Value> {
        kinds::selectable::read(self.rules.selectable(), self.namespaced, json)
    }

    /// Whether this kind has every field that the selector names.
    ///
    /// # Errors
    /// Naming the first field that cannot be selected by (HTTP 400).
    pub fn check_field_selector(&self, selector: &FieldSelector) -> Result<(), SelectorError> {
        let known = self.selectable_fields(&Value::Null);
        match selector
            .terms
            .iter()
            .find(|(path, _, _)| !known.iter().any(|(name, _)| name == path))
        {
            None => Ok(()),
            Some((path, _, _)) => Err(SelectorError(format!("field label not supported: {path}"))),
        }
    }
}

/// One row a kind; the order is that of discovery.
static KINDS: &[Kind] = &[
    Kind {
        group: "",
        version: "v1",
        kind: "ConfigMap",
        plural: "configmaps",
        singular: "configmap",
        short_names: &["cm"],
        categories: &[],
        namespaced: true,
        status: false,
        rules: &kinds::ConfigMaps,
    },
    Kind {
        group: "",
        version: "v1",
        kind: "Event",
        plural: "events",
        singular: "event",
        short_names: &["ev"],
        categories: &[],
        namespaced: true,
        status: false,
        rules: &kinds::Events,
    },
    Kind {
        group: "",
        version: "v1",
        kind: "Namespace",
        plural: "namespaces",
        singular: "namespace",
        short_names: &["ns"],
        categories: &[],
        namespaced: false,
        status: true,
        rules: &kinds::Namespaces,
    },
    Kind {
        group: "",
        version: "v1",
        kind: "Node",
        plural: "nodes",
        singular: "node",
        short_names: &["no"],
        categories: &[],
        namespaced: false,
        status: true,
        rules: &kinds::Nodes,
    },
    Kind {
        group: "",
        version: "v1",
        kind: "PersistentVolume",
        plural: "persistentvolumes",
        singular: "persistentvolume",
        short_names: &["pv"],
        categories: &[],
        namespaced: false,
        status: true,
        rules: &kinds::PersistentVolumes,
    },
    Kind {
        group: "",
        version: "v1",
        kind: "PersistentVolumeClaim",
        plural: "persistentvolumeclaims",
        singular: "persistentvolumeclaim",
        short_names: &["pvc"],
        categories: &[],
        namespaced: true,
        status: true,
        rules: &kinds::PersistentVolumeClaims,
    },
    Kind {
        group: "",
        version: "v1",
        kind: "Pod",
        plural: "pods",
        singular: "pod",
        short_names: &["po"],
        categories: &["all"],
        namespaced: true,
        status: true,
        rules: &kinds::Pods,
    },
    Kind {
        group: "",
        version: "v1",
        kind: "Secret",
        plural: "secrets",
        singular: "secret",
        short_names: &[],
        categories: &[],
        namespaced: true,
        status: false,
        rules: &kinds::Secrets,
    },
    Kind {
        group: "",
        version: "v1",
        kind: "ServiceAccount",
        plural: "serviceaccounts",
        singular: "serviceaccount",
        short_names: &["sa"],
        categories: &[],
        namespaced: true,
        status: false,
        rules: &kinds::ServiceAccounts,
    },
    Kind {
        group: "coordination.k8s.io",
        version: "v1",
        kind: "Lease",
        plural: "leases",
        singular: "lease",
        short_names: &[],
        categories: &[],
        namespaced: true,
        status: false,
        rules: &kinds::Leases,
    },
    Kind {
        group: "policy",
        version: "v1",
        kind: "PodDisruptionBudget",
        plural: "poddisruptionbudgets",
        singular: "poddisruptionbudget",
        short_names: &["pdb"],
        categories: &[],
        namespaced: true,
        status: true,
        rules: &kinds::PodDisruptionBudgets,
    },
    Kind {
        group: "scheduling.k8s.io",
        version: "v1",
        kind: "PriorityClass",
        plural: "priorityclasses",
        singular: "priorityclass",
        short_names: &["pc"],
        categories: &[],
        namespaced: false,
        status: false,
        rules: &kinds::PriorityClasses,
    },
    Kind {
        group: "storage.k8s.io",
        version: "v1",
        kind: "StorageClass",
        plural: "storageclasses",
        singular: "storageclass",
        short_names: &["sc"],
        categories: &[],
        namespaced: false,
        status: false,
        rules: &kinds::StorageClasses,
    },
    Kind {
        group: source::GROUP,
        version: "v1",
        kind: "Source",
        plural: "sources",
        singular: "source",
        short_names: &["src"],
        categories: &[],
        namespaced: false,
        status: true,
        rules: &kinds::Sources,
    },
];

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn decode_takes_its_own_kind_only() {
        let pods = Kind::find("", "v1", "pods").unwrap();
        for (name, body, wanted) in [
            ("own", json!({"apiVersion": "v1", "kind": "Pod"}), None),
            ("unnamed", json!({}), None),
            (
                "other kind",
                json!({"apiVersion": "v1", "kind": "Nope"}),
                Some("Nope in version \"v1\" cannot be handled as a Pod"),
            ),
            (
                "other group",
                json!({"apiVersion": "apps/v1", "kind": "Pod"}),
                Some("kind \"Pod\" of \"apps/v1\""),
            ),
            ("not an object", json!([]), Some("must be a JSON object")),
            ("kind is a number", json!({"kind": 1}), Some("kind must be a string")),
            (
                "wrong type",
                json!({"spec": {"priority": "x"}}),
                Some("field spec.priority of type int32"),
            ),
        ] {
            match (pods.decode(body), wanted) {
                (Ok(decoded), None) => assert_eq!(decoded.object["kind"], "Pod", "{name}"),
                (Err(error), Some(wanted)) => assert!(error.0.contains(wanted), "{name}: {error}"),
                (result, _) => panic!("{name}: {result:?}"),
            }
        }
    }

    #[test]
    fn field_selectors_name_known_fields() {
        for (plural, text, wanted) in [
            (
                "pods",
                "spec.nodeName=a,status.phase!=Failed,metadata.namespace=b",
                true,
            ),
            ("pods", "spec.nope=a", false),
            ("events", "involvedObject.name=a,source=kubelet", true),
            ("nodes", "metadata.name=a,spec.unschedulable=true", true),
            ("nodes", "metadata.namespace=a", false),
            ("configmaps", "metadata.name=a", true),
            ("configmaps", "data=a", false),
        ] {
            let kind = Kind::all().iter().find(|kind| kind.plural == plural).unwrap();
            assert_eq!(
                kind.check_field_selector(&FieldSelector::parse(text).unwrap()).is_ok(),
                wanted,
                "{plural} {text}"
            );
        }
    }
}
