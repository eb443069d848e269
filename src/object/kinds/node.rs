//! Nodes: defaults, the admission of new ones, validation.

use std::collections::BTreeSet;

use k8s_openapi::api::core::v1::{Node, Taint};
use serde_json::{Value, json};

use super::Strategy;
use super::amounts::round_amounts;
use super::selectable::{Selectable, flag};
use crate::object::field_error::{FieldError, Path};
use crate::object::format;
use crate::object::kind::Part;
use crate::object::metadata::immutable;
use crate::object::table::{self, Table};
use crate::object::taint::NOT_READY;

/// Keeps pods off a new node until it is ready. The API server calls it on create, between `default` and `prepare_create`.
pub fn admit_not_ready(node: &mut Value) {
    let Some(spec) = node.pointer_mut("/spec").and_then(Value::as_object_mut) else {
        return;
    };
    let taints = spec.entry("taints").or_insert_with(|| json!([]));
    let Some(taints) = taints.as_array_mut() else { return };
    if !taints
        .iter()
        .any(|taint| taint["key"] == NOT_READY && taint["effect"] == "NoSchedule")
    {
        taints.push(json!({"key": NOT_READY, "effect": "NoSchedule"}));
    }
}

/// The rules of nodes.
pub(in crate::object) struct Nodes;

impl Strategy for Nodes {
    const TABLE: Table = table::NODES;

    type Object = Node;

    /// What a node does not keep for itself, pods may have. `podCIDR` is the first of `podCIDRs`.
    fn default(node: &mut Node) {
        if let Some(status) = &mut node.status {
            if status.allocatable.is_none() {
                status.allocatable.clone_from(&status.capacity);
            }
            [&mut status.capacity, &mut status.allocatable]
                .into_iter()
                .flatten()
                .for_each(round_amounts);
        }
        if let Some(spec) = &mut node.spec {
            let first = spec.pod_cidrs.as_ref().and_then(|ranges| ranges.first()).cloned();
            match (&spec.pod_cidr, first) {
                (Some(range), first) if Some(range) != first.as_ref() => spec.pod_cidrs = Some(vec![range.clone()]),
                (None, Some(first)) => spec.pod_cidr = Some(first),
                _ => {}
            }
        }
    }

    fn prepare_update(node: &mut Node, old: &Node, part: Part) {
        match part {
            Part::Main => node.status.clone_from(&old.status),
            Part::Status => node.spec.clone_from(&old.spec),
        }
    }

    fn validate_create(node: &Node, errors: &mut Vec<FieldError>) {
        validate_taints(node, errors);
    }

    fn validate_update(node: &Node, old: &Node, _part: Part, errors: &mut Vec<FieldError>) {
        validate_taints(node, errors);
        let (Some(spec), Some(before)) = (&node.spec, &old.spec) else {
            return;
        };
        // What was never set may be set once.
        if before.pod_cidrs.is_some() {
            immutable(&spec.pod_cidrs, &before.pod_cidrs, &Path::new("spec.podCIDRs"), errors);
        }
        if before.provider_id.is_some() {
            immutable(
                &spec.provider_id,
                &before.provider_id,
                &Path::new("spec.providerID"),
                errors,
            );
        }
    }

    fn selectable() -> &'static [Selectable] {
        const FIELDS: &[Selectable] = &[flag("spec.unschedulable", &["/spec/unschedulable"])];
        FIELDS
    }
}

/// Kubernetes names them as if they were metadata.
fn validate_taints(node: &Node, errors: &mut Vec<FieldError>) {
    let path = Path::new("metadata.taints");
    let mut pairs = BTreeSet::new();
    let taints = node.spec.iter().filter_map(|spec| spec.taints.as_ref()).flatten();
    for (index, Taint { key, value, effect, .. }) in taints.enumerate() {
        let at = path.index(index);
        let problems = format::qualified_name(key);
        errors.extend(
            problems
                .into_iter()
                .map(|why| FieldError::invalid(&at.child("key"), key, why)),
        );
        let value = value.as_deref().unwrap_or("");
        let problems = format::label_value(value);
        errors.extend(
            problems
                .into_iter()
                .map(|why| FieldError::invalid(&at.child("value"), value, why)),
        );
        let effects = ["NoSchedule", "PreferNoSchedule", "NoExecute"];
        match effect.as_str() {
            "" => errors.push(FieldError::required(&at.child("effect"), "")),
            effect if !effects.contains(&effect) => {
                errors.push(FieldError::not_supported(&at.child("effect"), effect, &effects));
            }
            _ => {}
        }
        if !pairs.insert((key, effect)) {
            errors.push(FieldError::duplicate(&at, format!("{key}:{effect}")));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::object::kind::Kind;

    #[test]
    fn a_new_node_is_not_ready_once() {
        let mut node = json!({"spec": {}});
        admit_not_ready(&mut node);
        admit_not_ready(&mut node);
        assert_eq!(
            node["spec"]["taints"],
            json!([{"key": NOT_READY, "effect": "NoSchedule"}])
        );
    }

    #[test]
    fn what_a_node_may_not_change() {
        let nodes = Kind::find("", "v1", "nodes").unwrap();
        let old = json!({"metadata": {"name": "n"}, "spec": {"podCIDR": "10.0.0.0/24"}, "status": {"capacity": {"cpu": "1"}}});
        for (name, spec, wanted) in [
            ("nothing", json!({"podCIDR": "10.0.0.0/24"}), vec![]),
            ("its range", json!({"podCIDR": "10.1.0.0/24"}), vec!["spec.podCIDRs"]),
            (
                "its provider for the first time",
                json!({"podCIDR": "10.0.0.0/24", "providerID": "x"}),
                vec![],
            ),
            (
                "taints",
                json!({"podCIDR": "10.0.0.0/24", "taints": [{"key": "a", "effect": "NoExecute"}, {"key": "a", "effect": "NoExecute"}]}),
                vec!["metadata.taints[1]"],
            ),
        ] {
            let mut old = nodes.decode(old.clone()).unwrap().object;
            nodes.default(&mut old);
            let mut new = nodes
                .decode(json!({"metadata": {"name": "n"}, "spec": spec}))
                .unwrap()
                .object;
            nodes.default(&mut new);
            nodes.prepare_update(&mut new, &old, Part::Main);
            let errors = nodes.validate_update(&new, &old, Part::Main);
            assert_eq!(
                errors.iter().map(|error| error.field.as_str()).collect::<Vec<_>>(),
                wanted,
                "{name}"
            );
            assert_eq!(new["status"], old["status"], "{name}");
        }
    }
}
