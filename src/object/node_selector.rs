//! What a node selector's terms ask of a node: what pods require, and where volumes are. Pure.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{NodeSelectorRequirement, NodeSelectorTerm};

/// A requirement that a node does not satisfy.
#[derive(Clone, Copy, Debug)]
pub struct Unmet<'a> {
    /// What is required.
    pub requirement: &'a NodeSelectorRequirement,
    /// What the node has; `None` for nothing.
    pub actual: Option<&'a str>,
}

/// Whether a node of these labels and that name satisfies every requirement of the term; a term without any selects
/// nothing.
pub fn term_matches(term: &NodeSelectorTerm, labels: &BTreeMap<String, String>, name: &str) -> bool {
    let requires = |list: &Option<Vec<_>>| list.as_ref().is_some_and(|list| !list.is_empty());
    (requires(&term.match_expressions) || requires(&term.match_fields)) && unmet(term, labels, name).next().is_none()
}

/// The requirements of the term that such a node does not satisfy.
pub fn unmet<'a>(
    term: &'a NodeSelectorTerm,
    labels: &'a BTreeMap<String, String>,
    name: &'a str,
) -> impl Iterator<Item = Unmet<'a>> {
    let expressions = term.match_expressions.iter().flatten();
    let fields = term.match_fields.iter().flatten();
    let of_labels = expressions.map(|requirement| Unmet {
        requirement,
        actual: labels.get(&requirement.key).map(String::as_str),
    });
    // The name is the one field that the API allows here.
    let of_fields = fields.map(move |requirement| Unmet {
        requirement,
        actual: (requirement.key == "metadata.name").then_some(name),
    });
    of_labels
        .chain(of_fields)
        .filter(|Unmet { requirement, actual }| !holds(requirement, *actual))
}

fn holds(requirement: &NodeSelectorRequirement, actual: Option<&str>) -> bool {
    let values = requirement.values.as_deref().unwrap_or_default();
    let listed = actual.is_some_and(|actual| values.iter().any(|value| value == actual));
    match requirement.operator.as_str() {
        "In" => listed,
        "NotIn" => !listed,
        "Exists" => actual.is_some(),
        "DoesNotExist" => actual.is_none(),
        "Gt" => numbers(actual, values).is_some_and(|(actual, limit)| actual > limit),
        "Lt" => numbers(actual, values).is_some_and(|(actual, limit)| actual < limit),
        _ => false,
    }
}

fn numbers(actual: Option<&str>, values: &[String]) -> Option<(i64, i64)> {
    let [limit] = values else { return None };
    Some((actual?.parse().ok()?, limit.parse().ok()?))
}
