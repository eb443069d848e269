//! What a pod asks of a node's labels and name: the node selector and the required node affinity. Pure.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{NodeSelectorTerm, PodSpec};

use super::snapshot::NodeInfo;
use crate::object::node_selector::{self, Unmet};

/// What a node must be like.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct NodeRules {
    /// Labels that it must have.
    selector: BTreeMap<String, String>,
    /// Terms of which it must satisfy one; `None` where there are no terms to satisfy.
    terms: Option<Vec<NodeSelectorTerm>>,
}

impl NodeRules {
    /// The rules of a pod.
    pub fn read(spec: &PodSpec) -> Self {
        let affinity = spec
            .affinity
            .as_ref()
            .and_then(|affinity| affinity.node_affinity.as_ref());
        let required =
            affinity.and_then(|affinity| affinity.required_during_scheduling_ignored_during_execution.as_ref());
        Self {
            selector: spec.node_selector.clone().unwrap_or_default(),
            terms: required.map(|selector| selector.node_selector_terms.clone()),
        }
    }

    /// Whether every node will do.
    pub fn is_empty(&self) -> bool {
        self.selector.is_empty() && self.terms.is_none()
    }

    /// Whether the node has every label selected and satisfies any of the required terms.
    pub fn hold(&self, node: &NodeInfo) -> bool {
        self.missing_labels(node).next().is_none()
            && self
                .terms
                .as_ref()
                .is_none_or(|terms| terms.iter().any(|term| term_matches(term, node)))
    }

    /// The labels selected that the node has not, or not with that value.
    pub fn missing_labels<'a>(&'a self, node: &'a NodeInfo) -> impl Iterator<Item = (&'a String, &'a String)> {
        let selected = self.selector.iter();
        selected.filter(|(key, value)| node.labels.get(*key) != Some(*value))
    }

    /// What the node lacks of each required term, any of which would do; `None` where it satisfies one, or none is
    /// required. A term without requirements is left out: no node can satisfy it.
    pub fn unmet_terms<'a>(&'a self, node: &'a NodeInfo) -> Option<Vec<Vec<Unmet<'a>>>> {
        unmet_terms(self.terms.as_ref()?, node)
    }
}

/// The same of any terms; `None` where the node satisfies one.
pub fn unmet_terms<'a>(terms: &'a [NodeSelectorTerm], node: &'a NodeInfo) -> Option<Vec<Vec<Unmet<'a>>>> {
    if terms.iter().any(|term| term_matches(term, node)) {
        return None;
    }
    let unmet = terms
        .iter()
        .map(|term| node_selector::unmet(term, &node.labels, &node.name).collect::<Vec<_>>());
    Some(unmet.filter(|unmet| !unmet.is_empty()).collect())
}

/// Whether the node satisfies every requirement of the term; a term without any selects nothing.
pub fn term_matches(term: &NodeSelectorTerm, node: &NodeInfo) -> bool {
    node_selector::term_matches(term, &node.labels, &node.name)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn node() -> NodeInfo {
        NodeInfo {
            name: "n1".into(),
            labels: [("disk", "ssd"), ("gpu", "4")]
                .map(|(key, value)| (key.to_owned(), value.to_owned()))
                .into(),
            ..NodeInfo::default()
        }
    }

    fn rules(spec: Value) -> NodeRules {
        NodeRules::read(&serde_json::from_value(spec).expect("a pod's spec"))
    }

    #[test]
    fn every_operator_means_what_it_says() {
        let expression = |key: &str, operator: &str, values: &[&str]| json!({"matchExpressions": [{"key": key, "operator": operator, "values": values}]});
        for (name, term, wanted) in [
            ("in", expression("disk", "In", &["hdd", "ssd"]), true),
            ("not in the list", expression("disk", "In", &["hdd"]), false),
            ("in, label missing", expression("zone", "In", &["a"]), false),
            ("not in", expression("disk", "NotIn", &["hdd"]), true),
            ("not in, label missing", expression("zone", "NotIn", &["a"]), true),
            ("not in, but is", expression("disk", "NotIn", &["ssd"]), false),
            ("exists", expression("disk", "Exists", &[]), true),
            ("exists, missing", expression("zone", "Exists", &[]), false),
            ("does not exist", expression("zone", "DoesNotExist", &[]), true),
            (
                "does not exist, but does",
                expression("disk", "DoesNotExist", &[]),
                false,
            ),
            ("greater", expression("gpu", "Gt", &["3"]), true),
            ("not greater", expression("gpu", "Gt", &["4"]), false),
            ("greater, no number", expression("disk", "Gt", &["3"]), false),
            ("less", expression("gpu", "Lt", &["5"]), true),
            ("less, missing", expression("zone", "Lt", &["5"]), false),
            ("an unknown operator", expression("gpu", "Like", &["4"]), false),
            ("nothing selects nothing", json!({}), false),
            (
                "the name",
                json!({"matchFields": [{"key": "metadata.name", "operator": "In", "values": ["n1"]}]}),
                true,
            ),
            (
                "another name",
                json!({"matchFields": [{"key": "metadata.name", "operator": "In", "values": ["n2"]}]}),
                false,
            ),
        ] {
            let term = serde_json::from_value(term).expect("a term");
            assert_eq!(term_matches(&term, &node()), wanted, "{name}");
        }
    }

    #[test]
    fn selector_and_any_term_must_hold() {
        let affinity = |terms: Value| json!({"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": terms}}});
        let ssd = json!({"matchExpressions": [{"key": "disk", "operator": "In", "values": ["ssd"]}]});
        let hdd = json!({"matchExpressions": [{"key": "disk", "operator": "In", "values": ["hdd"]}]});
        for (name, spec, wanted) in [
            ("nothing asked", json!({"containers": []}), true),
            (
                "a label",
                json!({"containers": [], "nodeSelector": {"disk": "ssd"}}),
                true,
            ),
            (
                "two labels, one wrong",
                json!({"containers": [], "nodeSelector": {"disk": "ssd", "gpu": "1"}}),
                false,
            ),
            (
                "one of two terms",
                json!({"containers": [], "affinity": affinity(json!([hdd, ssd]))}),
                true,
            ),
            (
                "neither term",
                json!({"containers": [], "affinity": affinity(json!([hdd]))}),
                false,
            ),
            (
                "a term, but not the label",
                json!({"containers": [], "nodeSelector": {"gpu": "1"}, "affinity": affinity(json!([ssd]))}),
                false,
            ),
        ] {
            assert_eq!(rules(spec).hold(&node()), wanted, "{name}");
        }
    }
}
