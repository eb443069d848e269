//! What may change of a pod that is not ready to be scheduled: which nodes it may go to, and only to fewer of them
//! (KEP-3838). Changes nothing.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{Affinity, NodeAffinity, NodeSelectorTerm, PodSpec};

use super::affinity;
use crate::object::field_error::{FieldError, Path};
use crate::object::metadata;

/// Whether the pod waits for its gates to go.
pub(super) fn is_gated(spec: &PodSpec) -> bool {
    spec.scheduling_gates.as_ref().is_some_and(|gates| !gates.is_empty())
}

/// Everything wrong with how a gated pod chooses its nodes now; puts back in `masked`, the new spec as it is compared
/// with the old one, what this has judged.
pub(super) fn validate(new: &PodSpec, old: &PodSpec, masked: &mut PodSpec, errors: &mut Vec<FieldError>) {
    let path = Path::new("spec");
    if new.node_selector != old.node_selector {
        let field = path.child("nodeSelector");
        metadata::validate_labels(new.node_selector.as_ref(), &field, errors);
        validate_selector(new.node_selector.as_ref(), old.node_selector.as_ref(), &field, errors);
        masked.node_selector.clone_from(&old.node_selector);
    }
    let (now, before) = (node_affinity(new), node_affinity(old));
    if now != before {
        let field = path.child("affinity.nodeAffinity");
        if let Some(now) = now {
            affinity::validate_node(now, &field, errors);
        }
        validate_affinity(now, before, &field, errors);
        put_back(masked, old);
    }
}

fn node_affinity(spec: &PodSpec) -> Option<&NodeAffinity> {
    spec.affinity
        .as_ref()
        .and_then(|affinity| affinity.node_affinity.as_ref())
}

/// Gives the spec the old node affinity. An affinity that came with nothing else goes as it came.
fn put_back(masked: &mut PodSpec, old: &PodSpec) {
    let affinity = masked.affinity.get_or_insert_default();
    affinity.node_affinity = node_affinity(old).cloned();
    if *affinity == Affinity::default() && old.affinity.is_none() {
        masked.affinity = None;
    }
}

/// Labels may be added.
fn validate_selector(
    new: Option<&BTreeMap<String, String>>,
    old: Option<&BTreeMap<String, String>>,
    field: &Path,
    errors: &mut Vec<FieldError>,
) {
    let kept = |(key, value): (&String, &String)| new.and_then(|new| new.get(key)) == Some(value);
    if !old.into_iter().flatten().all(kept) {
        let why = "only additions to spec.nodeSelector are allowed (no mutations or deletions)";
        errors.push(FieldError::invalid(field, new, why));
    }
}

/// Where nothing was required anything may be; else each term may ask for more, and none comes or goes, for they are
/// alternatives. What is only preferred may change at will.
fn validate_affinity(
    new: Option<&NodeAffinity>,
    old: Option<&NodeAffinity>,
    field: &Path,
    errors: &mut Vec<FieldError>,
) {
    let (new, old) = (terms(new), terms(old));
    let field = field.child("requiredDuringSchedulingIgnoredDuringExecution.nodeSelectorTerms");
    if old.is_empty() {
        return;
    }
    if new.len() != old.len() {
        let why = "no additions/deletions to non-empty NodeSelectorTerms list are allowed";
        errors.push(FieldError::invalid(&field, new, why));
        return;
    }
    for (index, (new, old)) in new.iter().zip(old).enumerate() {
        if !only_adds(new, old) {
            let why = "only additions are allowed (no mutations or deletions)";
            errors.push(FieldError::invalid(&field.index(index), new, why));
        }
    }
}

fn terms(affinity: Option<&NodeAffinity>) -> &[NodeSelectorTerm] {
    let required = affinity.and_then(|affinity| affinity.required_during_scheduling_ignored_during_execution.as_ref());
    required.map_or(&[], |selector| &selector.node_selector_terms)
}

/// Whether the new term begins as the old one. One that asks for nothing matches no node: asking for something would
/// let it match some.
fn only_adds(new: &NodeSelectorTerm, old: &NodeSelectorTerm) -> bool {
    fn list<T>(items: &Option<Vec<T>>) -> &[T] {
        items.as_deref().unwrap_or_default()
    }
    let (expressions, fields) = (list(&old.match_expressions), list(&old.match_fields));
    if expressions.is_empty() && fields.is_empty() {
        return list(&new.match_expressions).is_empty() && list(&new.match_fields).is_empty();
    }
    list(&new.match_expressions).starts_with(expressions) && list(&new.match_fields).starts_with(fields)
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use crate::object::kind::{Kind, Part};

    /// A pod of these scheduling terms, as it is stored.
    fn pod(gates: Value, terms: &Value) -> Value {
        let mut spec = json!({"containers": [{"name": "c", "image": "x"}], "schedulingGates": gates});
        spec.as_object_mut()
            .expect("a spec")
            .extend(terms.as_object().expect("terms").clone());
        let pods = Kind::find("", "v1", "pods").expect("pods");
        let body = json!({"metadata": {"name": "a", "namespace": "default"}, "spec": spec});
        let mut object = pods.decode(body).expect("a pod").object;
        pods.default(&mut object);
        object
    }

    fn refused(old: &Value, new: &Value) -> Vec<String> {
        let pods = Kind::find("", "v1", "pods").expect("pods");
        let mut new = new.clone();
        pods.prepare_update(&mut new, old, Part::Main);
        let errors = pods.validate_update(&new, old, Part::Main);
        errors.into_iter().map(|error| error.field).collect()
    }

    fn required(terms: &[Value]) -> Value {
        json!({"affinity": {"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution":
            {"nodeSelectorTerms": terms}}}})
    }

    fn exists(keys: &[&str]) -> Value {
        let expressions: Vec<Value> = keys
            .iter()
            .map(|key| json!({"key": key, "operator": "Exists"}))
            .collect();
        json!({"matchExpressions": expressions})
    }

    #[test]
    fn a_gated_pod_may_only_go_to_fewer_nodes() {
        let list = "spec.affinity.nodeAffinity.requiredDuringSchedulingIgnoredDuringExecution.nodeSelectorTerms";
        let item = format!("{list}[0]");
        let preferred = |weight: i32| {
            json!({"affinity": {"nodeAffinity": {"preferredDuringSchedulingIgnoredDuringExecution":
                [{"weight": weight, "preference": exists(&["a"])}]}}})
        };
        let named = json!({"matchExpressions": [{"key": "a", "operator": "Exists"}],
            "matchFields": [{"key": "metadata.name", "operator": "In", "values": ["n"]}]});
        let near = json!({"podAffinity": {"requiredDuringSchedulingIgnoredDuringExecution":
            [{"topologyKey": "zone", "labelSelector": {}}]}});
        let selector = |labels: Value| json!({"nodeSelector": labels});
        for (name, old, new, wanted) in [
            ("label set", json!({}), selector(json!({"a": "1"})), None),
            (
                "label added",
                selector(json!({"a": "1"})),
                selector(json!({"a": "1", "b": ""})),
                None,
            ),
            (
                "label changed",
                selector(json!({"a": "1"})),
                selector(json!({"a": "2"})),
                Some("spec.nodeSelector"),
            ),
            (
                "label gone",
                selector(json!({"a": "1"})),
                json!({}),
                Some("spec.nodeSelector"),
            ),
            (
                "no label",
                json!({}),
                selector(json!({"a b": ""})),
                Some("spec.nodeSelector"),
            ),
            (
                "terms set",
                json!({}),
                required(&[exists(&["a"]), exists(&["b"])]),
                None,
            ),
            (
                "term narrower",
                required(&[exists(&["a"])]),
                required(&[exists(&["a", "b"])]),
                None,
            ),
            ("field added", required(&[exists(&["a"])]), required(&[named]), None),
            (
                "term wider",
                required(&[exists(&["a", "b"])]),
                required(&[exists(&["a"])]),
                Some(item.as_str()),
            ),
            (
                "term reordered",
                required(&[exists(&["a"])]),
                required(&[exists(&["b", "a"])]),
                Some(&item),
            ),
            (
                "another term",
                required(&[exists(&["a"])]),
                required(&[exists(&["a"]), exists(&["b"])]),
                Some(list),
            ),
            ("no terms", required(&[exists(&["a"])]), json!({}), Some(list)),
            (
                "a term of nothing",
                required(&[exists(&[])]),
                required(&[exists(&["a"])]),
                Some(&item),
            ),
            (
                "no expression",
                json!({}),
                required(&[json!({"matchExpressions": [{"key": "a", "operator": "Near"}]})]),
                Some(
                    "spec.affinity.nodeAffinity.requiredDuringSchedulingIgnoredDuringExecution.nodeSelectorTerms[0].matchExpressions[0].operator",
                ),
            ),
            ("preference changed", preferred(1), preferred(2), None),
            ("preference gone", preferred(1), json!({}), None),
            ("pods named", json!({}), json!({"affinity": near}), Some("spec")),
        ] {
            let gates = json!([{"name": "g"}]);
            let before = pod(gates.clone(), &old);
            let wanted: Vec<&str> = wanted.into_iter().collect();
            assert_eq!(refused(&before, &pod(gates, &new)), wanted, "{name}");
            let last = pod(json!([]), &new);
            assert_eq!(refused(&before, &last), wanted, "{name}, with the last gate");
        }
    }

    #[test]
    fn a_pod_without_gates_keeps_its_choice() {
        let open = json!([]);
        for terms in [json!({"nodeSelector": {"a": "1"}}), required(&[exists(&["a"])])] {
            let (old, new) = (pod(open.clone(), &json!({})), pod(open.clone(), &terms));
            assert_eq!(refused(&old, &new), ["spec"], "{terms}");
        }
    }
}
