//! Which volumes fit a claim, the best first. Pure.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{PersistentVolume, PersistentVolumeClaim};

use super::{capacity, claim_class, claim_ref, is_for, is_large_enough, is_of_mode, offers_ways, volume_class};
use crate::object::selector::LabelSelector;

/// The volumes that would do for the claim: the one that was made for it and no other, else all that nobody has, the
/// smallest first.
pub fn candidates<'a>(
    claim: &PersistentVolumeClaim,
    volumes: impl IntoIterator<Item = &'a PersistentVolume>,
) -> Vec<&'a PersistentVolume> {
    let selector = claim.spec.as_ref().and_then(|spec| spec.selector.as_ref());
    // A selector that cannot be read, which the API refuses, selects nothing.
    let selector = selector.map(|selector| LabelSelector::from_spec(selector).ok());
    let selects = |volume: &PersistentVolume| {
        let none = BTreeMap::new();
        let labels = volume.metadata.labels.as_ref().unwrap_or(&none);
        let Some(selector) = &selector else { return true };
        selector.as_ref().is_some_and(|selector| selector.matches(labels))
    };
    let mut free = Vec::new();
    for volume in volumes.into_iter().filter(|volume| can_hold(volume, claim)) {
        if is_for(volume, claim) {
            return vec![volume];
        }
        if is_free(volume) && volume_class(volume) == claim_class(claim) && selects(volume) {
            free.push((capacity(volume), volume));
        }
    }
    free.sort_by(|(one, first), (other, second)| {
        let names = || first.metadata.name.cmp(&second.metadata.name);
        one.cmp(other).then_with(names)
    });
    free.into_iter().map(|(_, volume)| volume).collect()
}

/// Whether the claim's data could be there at all: room enough, of its kind, not on its way out.
pub fn can_hold(volume: &PersistentVolume, claim: &PersistentVolumeClaim) -> bool {
    let has = volume.spec.as_ref();
    let has = has.and_then(|spec| spec.volume_attributes_class_name.as_deref());
    let asks = claim.spec.as_ref();
    let asks = asks.and_then(|spec| spec.volume_attributes_class_name.as_deref());
    volume.metadata.deletion_timestamp.is_none()
        && is_large_enough(volume, claim)
        && is_of_mode(volume, claim)
        && offers_ways(volume, claim)
        && has.unwrap_or_default() == asks.unwrap_or_default()
}

/// Whether the volume is nobody's, and usable.
fn is_free(volume: &PersistentVolume) -> bool {
    let phase = volume.status.as_ref().and_then(|status| status.phase.as_deref());
    claim_ref(volume).is_none() && phase == Some("Available")
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn volume(name: &str, size: &str, more: Value) -> PersistentVolume {
        let mut volume = json!({
            "metadata": {"name": name, "labels": {"disk": name}},
            "spec": {"capacity": {"storage": size}, "accessModes": ["ReadWriteOnce", "ReadOnlyMany"],
                "storageClassName": "local"},
            "status": {"phase": "Available"},
        });
        for (pointer, value) in more.as_object().into_iter().flatten() {
            let (parent, field) = pointer.rsplit_once('/').expect("a path");
            volume.pointer_mut(parent).expect("it is there")[field] = value.clone();
        }
        serde_json::from_value(volume).expect("a volume")
    }

    fn claim(more: Value) -> PersistentVolumeClaim {
        let mut spec = json!({"accessModes": ["ReadWriteOnce"], "storageClassName": "local",
            "resources": {"requests": {"storage": "2Gi"}}});
        for (field, value) in more.as_object().expect("fields") {
            spec[field] = value.clone();
        }
        let claim = json!({"metadata": {"namespace": "n", "name": "c", "uid": "u"}, "spec": spec});
        serde_json::from_value(claim).expect("a claim")
    }

    #[test]
    fn the_smallest_that_does_comes_first_and_one_made_for_the_claim_alone() {
        let large = || volume("large", "10Gi", json!({}));
        let other = |pointer: &str, value: Value| volume("other", "3Gi", json!({pointer: value}));
        let reference = |uid: &str| json!({"namespace": "n", "name": "c", "uid": uid});
        for (name, other, asks, wanted) in [
            ("smaller", other("/spec/x", json!(1)), json!({}), vec!["other", "large"]),
            (
                "just enough",
                volume("other", "2Gi", json!({})),
                json!({}),
                vec!["other", "large"],
            ),
            (
                "too small",
                volume("other", "2047Mi", json!({})),
                json!({}),
                vec!["large"],
            ),
            (
                "of one size",
                volume("other", "10Gi", json!({})),
                json!({}),
                vec!["large", "other"],
            ),
            (
                "of another class",
                other("/spec/storageClassName", json!("x")),
                json!({}),
                vec!["large"],
            ),
            (
                "a device",
                other("/spec/volumeMode", json!("Block")),
                json!({}),
                vec!["large"],
            ),
            (
                "to be read",
                other("/spec/accessModes", json!(["ReadOnlyMany"])),
                json!({}),
                vec!["large"],
            ),
            (
                "of other attributes",
                other("/spec/volumeAttributesClassName", json!("gold")),
                json!({}),
                vec!["large"],
            ),
            (
                "of none, for one that says so",
                other("/spec/volumeAttributesClassName", json!("")),
                json!({"volumeAttributesClassName": ""}),
                vec!["other", "large"],
            ),
            (
                "not ready",
                other("/status/phase", json!("Pending")),
                json!({}),
                vec!["large"],
            ),
            (
                "going",
                other("/metadata/deletionTimestamp", json!("2026-01-01T00:00:00Z")),
                json!({}),
                vec!["large"],
            ),
            (
                "another's",
                other("/spec/claimRef", json!({"name": "d", "namespace": "n"})),
                json!({}),
                vec!["large"],
            ),
            (
                "its own",
                other("/spec/claimRef", reference("u")),
                json!({}),
                vec!["other"],
            ),
            (
                "an earlier one's",
                other("/spec/claimRef", reference("t")),
                json!({}),
                vec!["large"],
            ),
            (
                "selected",
                other("/spec/x", json!(1)),
                json!({"selector": {"matchLabels": {"disk": "large"}}}),
                vec!["large"],
            ),
            (
                "in two ways",
                other("/spec/accessModes", json!(["ReadWriteOnce"])),
                json!({"accessModes": ["ReadWriteOnce", "ReadOnlyMany"]}),
                vec!["large"],
            ),
        ] {
            let (large, claim) = (large(), claim(asks));
            let found = candidates(&claim, [&large, &other]);
            let names: Vec<_> = found
                .iter()
                .filter_map(|volume| volume.metadata.name.as_deref())
                .collect();
            assert_eq!(names, wanted, "{name}");
        }
    }
}
