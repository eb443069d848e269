//! What a plan makes before other objects of the same plan. Asks nobody.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use serde_json::Value;

use super::{Prediction, Refusal};
use crate::gitops::health::is_going;
use crate::gitops::manifests::Manifests;
use crate::gitops::report::ObjectKey;

/// The account of pods that name none; every namespace gets one.
const DEFAULT_ACCOUNT: &str = "default";

/// What the same plan makes or changes before other objects, so that the API server cannot be asked about it yet.
#[derive(Debug, Default)]
pub struct Upcoming {
    /// Namespaces that do not exist yet, or are on their way out and are made again.
    pub namespaces: BTreeSet<String>,
    /// Service accounts by namespace and name, and priority classes: what a new pod gets depends on them.
    accounts: BTreeSet<(String, String)>,
    classes: BTreeSet<String>,
}

impl Upcoming {
    /// Before anything was predicted.
    pub fn of(manifests: &Manifests, live: &BTreeMap<ObjectKey, Arc<Value>>) -> Self {
        let namespaces = manifests
            .objects
            .keys()
            .filter(|key| key.kind == "Namespace" && key.group.is_empty())
            .filter(|key| live.get(key).is_none_or(|live| is_going(live)))
            .map(|key| key.name.clone());
        Self {
            namespaces: namespaces.collect(),
            ..Self::default()
        }
    }

    /// Takes in what was predicted for an earlier stage.
    pub fn learn(&mut self, predictions: &BTreeMap<ObjectKey, Prediction>) {
        for (key, prediction) in predictions {
            let changes = match prediction {
                Prediction::Same => false,
                Prediction::Absent(_) | Prediction::Changed(_) | Prediction::Replace(..) => true,
                Prediction::Refused(_) => {
                    if key.kind == "Namespace" && key.group.is_empty() {
                        self.namespaces.remove(&key.name);
                    }
                    false
                }
            };
            match (key.group.as_str(), key.kind.as_str(), &key.namespace) {
                ("", "ServiceAccount", Some(namespace)) if changes => {
                    self.accounts.insert((namespace.clone(), key.name.clone()));
                }
                ("scheduling.k8s.io", "PriorityClass", _) if changes => {
                    self.classes.insert(key.name.clone());
                }
                _ => {}
            }
        }
    }

    /// Whether the namespace is one of them.
    pub fn has_namespace(&self, namespace: Option<&str>) -> bool {
        namespace.is_some_and(|namespace| self.namespaces.contains(namespace))
    }

    /// Takes out of a new pod what cannot be asked about yet; whether there was anything. An account that will not be
    /// there either is refused.
    pub(super) fn without_references(&self, key: &ObjectKey, pod: &mut Value) -> Result<bool, Vec<Refusal>> {
        let (true, Some(namespace)) = (key.kind == "Pod" && key.group.is_empty(), &key.namespace) else {
            return Ok(false);
        };
        let mut unknown = self.namespaces.contains(namespace);
        let Some(spec) = pod["spec"].as_object_mut() else {
            return Ok(unknown);
        };
        let named = |field: &str| spec.get(field).and_then(Value::as_str).filter(|name| !name.is_empty());
        let account = named("serviceAccountName").or_else(|| named("serviceAccount"));
        let account = account.unwrap_or(DEFAULT_ACCOUNT).to_owned();
        let class = named("priorityClassName").map(str::to_owned);
        let upcoming = self.accounts.contains(&(namespace.clone(), account.clone()));
        if unknown && !upcoming && account != DEFAULT_ACCOUNT {
            return Err(vec![Refusal {
                field: Some("spec.serviceAccountName".into()),
                message: format!(
                    "service account {namespace}/{account} does not exist; add a manifest for it, or create it"
                ),
            }]);
        }
        if unknown || upcoming {
            unknown = true;
            spec.remove("serviceAccountName");
            spec.remove("serviceAccount");
        }
        if class.is_some_and(|class| self.classes.contains(&class)) {
            unknown = true;
            spec.remove("priorityClassName");
        }
        Ok(unknown)
    }
}
