//! Turns `matchLabelKeys` into the selectors they stand for, once, when the pod is made: its own labels at that time.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{Pod, PodAffinityTerm};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{LabelSelector, LabelSelectorRequirement};

/// Of pod affinity and topology spread constraints.
pub(super) fn merge(pod: &mut Pod) {
    let labels = pod.metadata.labels.clone().unwrap_or_default();
    let Some(spec) = &mut pod.spec else { return };
    for constraint in spec.topology_spread_constraints.iter_mut().flatten() {
        let keys = constraint.match_label_keys.as_deref();
        select(constraint.label_selector.as_mut(), keys, "In", &labels);
    }
    let Some(affinity) = &mut spec.affinity else { return };
    if let Some(pods) = &mut affinity.pod_affinity {
        let preferred = pods
            .preferred_during_scheduling_ignored_during_execution
            .iter_mut()
            .flatten();
        let required = pods
            .required_during_scheduling_ignored_during_execution
            .iter_mut()
            .flatten();
        required
            .chain(preferred.map(|term| &mut term.pod_affinity_term))
            .for_each(|term| merge_term(term, &labels));
    }
    if let Some(pods) = &mut affinity.pod_anti_affinity {
        let preferred = pods
            .preferred_during_scheduling_ignored_during_execution
            .iter_mut()
            .flatten();
        let required = pods
            .required_during_scheduling_ignored_during_execution
            .iter_mut()
            .flatten();
        required
            .chain(preferred.map(|term| &mut term.pod_affinity_term))
            .for_each(|term| merge_term(term, &labels));
    }
}

fn merge_term(term: &mut PodAffinityTerm, labels: &BTreeMap<String, String>) {
    select(
        term.label_selector.as_mut(),
        term.match_label_keys.as_deref(),
        "In",
        labels,
    );
    select(
        term.label_selector.as_mut(),
        term.mismatch_label_keys.as_deref(),
        "NotIn",
        labels,
    );
}

/// Adds a requirement for each key that the pod has a label of.
fn select(
    selector: Option<&mut LabelSelector>,
    keys: Option<&[String]>,
    operator: &str,
    labels: &BTreeMap<String, String>,
) {
    let Some(selector) = selector else { return };
    for key in keys.unwrap_or_default() {
        if let Some(value) = labels.get(key) {
            selector
                .match_expressions
                .get_or_insert_default()
                .push(LabelSelectorRequirement {
                    key: key.clone(),
                    operator: operator.to_owned(),
                    values: Some(vec![value.clone()]),
                });
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn keys_become_requirements() {
        let selector = || json!({"matchLabels": {"a": "b"}});
        let mut pod: Pod = serde_json::from_value(json!({
            "metadata": {"labels": {"hash": "1", "tenant": "x"}},
            "spec": {
                "containers": [],
                "topologySpreadConstraints": [{"maxSkew": 1, "topologyKey": "t", "whenUnsatisfiable": "DoNotSchedule",
                    "labelSelector": selector(), "matchLabelKeys": ["hash", "missing"]}],
                "affinity": {"podAntiAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": [{"topologyKey": "t",
                    "labelSelector": selector(), "matchLabelKeys": ["hash"], "mismatchLabelKeys": ["tenant"]}]}},
            },
        }))
        .unwrap();
        merge(&mut pod);
        let pod = serde_json::to_value(&pod).unwrap();
        let hash = json!({"key": "hash", "operator": "In", "values": ["1"]});
        let spread = &pod["spec"]["topologySpreadConstraints"][0]["labelSelector"]["matchExpressions"];
        assert_eq!(*spread, json!([hash]));
        let term = &pod["spec"]["affinity"]["podAntiAffinity"]["requiredDuringSchedulingIgnoredDuringExecution"][0];
        let tenant = json!({"key": "tenant", "operator": "NotIn", "values": ["x"]});
        assert_eq!(term["labelSelector"]["matchExpressions"], json!([hash, tenant]));
    }
}
