//! Terms that name pods: who is meant, and where "near" ends. Pure.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use k8s_openapi::api::core::v1::{Affinity, PodAffinityTerm, WeightedPodAffinityTerm};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;
use kube::core::{Expression, Selector, SelectorExt};

use super::pod::PodInfo;

/// Labels by namespace: what a namespace selector is asked of.
pub type Namespaces = BTreeMap<String, BTreeMap<String, String>>;

/// A pod's wishes about other pods.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct PodTerms {
    /// Pods that must be near.
    pub near: Vec<Term>,
    /// Pods that must not be near.
    pub away: Vec<Term>,
    /// Pods that should be near, and how much that weighs; negative for those that should not be.
    pub preferred: Vec<(i64, Term)>,
}

/// Which pods are meant.
#[derive(Clone, Debug, PartialEq)]
pub struct Who {
    namespaces: Vec<String>,
    namespace_selector: Option<Selector>,
    /// `None` selects no pod at all.
    selector: Option<Selector>,
}

/// Which pods are meant and how near is near.
#[derive(Clone, Debug)]
pub struct Term {
    id: Arc<str>,
    /// Which pods are meant.
    pub who: Who,
    /// Nodes with the same value of this label are near each other.
    pub topology_key: String,
}

impl PartialEq for Term {
    fn eq(&self, other: &Self) -> bool {
        self.id == other.id
    }
}

impl PodTerms {
    /// The terms of a pod with these labels in that namespace; `None` where it has none.
    pub fn read(affinity: &Affinity, namespace: &str, labels: &BTreeMap<String, String>) -> Option<Self> {
        let term = |term: &PodAffinityTerm| Term::read(term, namespace, labels);
        let required = |terms: Option<&Vec<PodAffinityTerm>>| terms.into_iter().flatten().map(term).collect();
        let near = affinity.pod_affinity.as_ref();
        let away = affinity.pod_anti_affinity.as_ref();
        let mut preferred = Vec::new();
        let mut prefer = |terms: Option<&Vec<WeightedPodAffinityTerm>>, sign: i64| {
            for weighted in terms.into_iter().flatten() {
                preferred.push((sign * i64::from(weighted.weight), term(&weighted.pod_affinity_term)));
            }
        };
        prefer(
            near.and_then(|near| near.preferred_during_scheduling_ignored_during_execution.as_ref()),
            1,
        );
        prefer(
            away.and_then(|away| away.preferred_during_scheduling_ignored_during_execution.as_ref()),
            -1,
        );
        let terms = Self {
            near: required(near.and_then(|near| near.required_during_scheduling_ignored_during_execution.as_ref())),
            away: required(away.and_then(|away| away.required_during_scheduling_ignored_during_execution.as_ref())),
            preferred,
        };
        (terms != Self::default()).then_some(terms)
    }
}

impl Term {
    fn read(term: &PodAffinityTerm, namespace: &str, labels: &BTreeMap<String, String>) -> Self {
        let mut namespaces = term.namespaces.clone().unwrap_or_default();
        if namespaces.is_empty() && term.namespace_selector.is_none() {
            namespaces.push(namespace.to_owned());
        }
        let mut selector = term.label_selector.as_ref().and_then(selector);
        if let Some(selector) = &mut selector {
            selector.extend(alike(term.match_label_keys.as_ref(), labels, Expression::Equal));
            selector.extend(alike(term.mismatch_label_keys.as_ref(), labels, Expression::NotEqual));
        }
        let who = Who {
            namespaces,
            namespace_selector: term.namespace_selector.as_ref().and_then(self::selector),
            selector,
        };
        Self {
            id: format!("{} {who:?}", term.topology_key).into(),
            who,
            topology_key: term.topology_key.clone(),
        }
    }

    /// Tells this term from every other.
    pub fn id(&self) -> &Arc<str> {
        &self.id
    }
}

/// `app=web in default`.
impl fmt::Display for Who {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.selector {
            None => formatter.write_str("no pods")?,
            Some(selector) if selector.selects_all() => formatter.write_str("any pods")?,
            Some(selector) => write!(formatter, "{selector}")?,
        }
        match (&self.namespace_selector, &self.namespaces[..]) {
            (None, names) => write!(formatter, " in {}", names.join(", ")),
            (Some(selector), _) if selector.selects_all() => formatter.write_str(" in any namespace"),
            (Some(selector), []) => write!(formatter, " in namespaces with {selector}"),
            (Some(selector), names) => {
                write!(formatter, " in {} and namespaces with {selector}", names.join(", "))
            }
        }
    }
}

impl Who {
    /// Pods of that namespace with the labels that the selector asks for; without a selector, none.
    pub fn in_namespace(namespace: &str, selector: Option<Selector>) -> Self {
        Self {
            namespaces: vec![namespace.to_owned()],
            namespace_selector: None,
            selector,
        }
    }

    /// Whether this pod is meant.
    pub fn means(&self, pod: &PodInfo, namespaces: &Namespaces) -> bool {
        self.selector
            .as_ref()
            .is_some_and(|selector| selector.matches(&pod.labels))
            && self.means_namespace(&pod.namespace, namespaces)
    }

    /// Whether the answer depends on namespaces' labels.
    pub fn asks_namespaces(&self) -> bool {
        self.namespace_selector
            .as_ref()
            .is_some_and(|selector| !selector.selects_all())
    }

    fn means_namespace(&self, namespace: &str, namespaces: &Namespaces) -> bool {
        if self.namespaces.iter().any(|name| name == namespace) {
            return true;
        }
        let Some(selector) = &self.namespace_selector else {
            return false;
        };
        selector.selects_all() || namespaces.get(namespace).is_some_and(|labels| selector.matches(labels))
    }
}

/// One expression for each of these keys that the pod itself has, with its own value.
pub fn alike(
    keys: Option<&Vec<String>>,
    labels: &BTreeMap<String, String>,
    expression: fn(String, String) -> Expression,
) -> Vec<Expression> {
    let keys = keys.into_iter().flatten();
    keys.filter_map(|key| Some(expression(key.clone(), labels.get(key)?.clone())))
        .collect()
}

/// A label selector made ready; one that cannot be read selects nothing, as the API refuses those.
pub fn selector(selector: &LabelSelector) -> Option<Selector> {
    selector.clone().try_into().ok()
}
