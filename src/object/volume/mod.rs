//! What volumes, claims and storage classes mean to one another. Pure; writes nothing.

pub mod admit;
pub mod claims;
pub mod matching;

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{ObjectReference, PersistentVolume, PersistentVolumeClaim};
use k8s_openapi::api::storage::v1::StorageClass;
use k8s_openapi::apimachinery::pkg::api::resource::Quantity as Amount;

use super::quantity::Quantity;

/// Keeps a volume until no claim has it.
pub const VOLUME_PROTECTION: &str = "kubernetes.io/pv-protection";
/// Keeps a claim until no pod uses it.
pub const CLAIM_PROTECTION: &str = "kubernetes.io/pvc-protection";
/// The annotation of the class of claims that name none.
pub const DEFAULT_CLASS: &str = "storageclass.kubernetes.io/is-default-class";
/// On a volume: our choice of claim, not a person's. On a claim: of volume.
pub const BOUND_BY_CONTROLLER: &str = "pv.kubernetes.io/bound-by-controller";
/// On a claim: both sides have been written.
pub const BIND_COMPLETED: &str = "pv.kubernetes.io/bind-completed";
/// On a claim: the node that its first pod was placed on.
pub const SELECTED_NODE: &str = "volume.kubernetes.io/selected-node";
/// The provisioner of classes whose volumes people make.
pub const NO_PROVISIONER: &str = "kubernetes.io/no-provisioner";
/// The access mode of one pod alone.
pub const ONE_POD: &str = "ReadWriteOncePod";

/// What a volume is where nothing else is said.
pub const FILESYSTEM: &str = "Filesystem";

/// The class that a claim named before its spec could.
const OLD_CLASS: &str = "volume.beta.kubernetes.io/storage-class";
const OLD_DEFAULT_CLASS: &str = "storageclass.beta.kubernetes.io/is-default-class";
/// The resource that volumes are made of.
pub const STORAGE: &str = "storage";

/// The class that the claim names; `None` where it says nothing, which is not the same as the empty one.
pub fn class_named(claim: &PersistentVolumeClaim) -> Option<&str> {
    let old = claim.metadata.annotations.as_ref().and_then(|all| all.get(OLD_CLASS));
    let named = claim.spec.as_ref().and_then(|spec| spec.storage_class_name.as_ref());
    old.or(named).map(String::as_str)
}

/// The claim's class, empty for none.
pub fn claim_class(claim: &PersistentVolumeClaim) -> &str {
    class_named(claim).unwrap_or_default()
}

/// The volume's class, empty for none.
pub fn volume_class(volume: &PersistentVolume) -> &str {
    let old = volume.metadata.annotations.as_ref().and_then(|all| all.get(OLD_CLASS));
    let named = volume.spec.as_ref().and_then(|spec| spec.storage_class_name.as_ref());
    old.or(named).map_or("", String::as_str)
}

/// Whether claims that name no class are of this one.
pub fn is_default(class: &StorageClass) -> bool {
    let annotations = class.metadata.annotations.as_ref();
    let says = |key: &str| {
        annotations
            .and_then(|all| all.get(key))
            .is_some_and(|value| value == "true")
    };
    says(DEFAULT_CLASS) || says(OLD_DEFAULT_CLASS)
}

/// The class of claims that name none: the newest of those marked, the first by name of equally new ones.
pub fn default_class<'a>(classes: impl IntoIterator<Item = &'a StorageClass>) -> Option<&'a StorageClass> {
    let marked = classes.into_iter().filter(|class| is_default(class));
    marked.min_by_key(|class| {
        let created = class.metadata.creation_timestamp.as_ref().map(|time| time.0);
        (std::cmp::Reverse(created), &class.metadata.name)
    })
}

/// Whether volumes of this class are chosen only once a pod that needs them is placed.
pub fn waits_for_consumer(class: &StorageClass) -> bool {
    class.volume_binding_mode.as_deref() == Some("WaitForFirstConsumer")
}

/// Whether somebody makes volumes of this class.
pub fn is_provisioned(class: &StorageClass) -> bool {
    class.provisioner != NO_PROVISIONER
}

/// The volume that the claim names, be it bound to it already or not.
pub fn volume_name(claim: &PersistentVolumeClaim) -> Option<&str> {
    let name = claim.spec.as_ref()?.volume_name.as_deref()?;
    (!name.is_empty()).then_some(name)
}

/// The claim that the volume is for.
pub fn claim_ref(volume: &PersistentVolume) -> Option<&ObjectReference> {
    volume.spec.as_ref()?.claim_ref.as_ref()
}

/// Whether the volume is for that claim; for one of its name where it does not say which.
pub fn is_for(volume: &PersistentVolume, claim: &PersistentVolumeClaim) -> bool {
    claim_ref(volume).is_some_and(|reference| means(reference, claim))
}

/// Whether the reference means that claim.
pub fn means(reference: &ObjectReference, claim: &PersistentVolumeClaim) -> bool {
    let meta = &claim.metadata;
    let uid = reference.uid.as_deref().unwrap_or_default();
    reference.name == meta.name
        && reference.namespace == meta.namespace
        && (uid.is_empty() || Some(uid) == meta.uid.as_deref())
}

/// Whether the claim has its volume, both sides written.
pub fn is_fully_bound(claim: &PersistentVolumeClaim) -> bool {
    volume_name(claim).is_some() && has_annotation(claim.metadata.annotations.as_ref(), BIND_COMPLETED)
}

/// Whether there is such an annotation, whatever it says.
pub fn has_annotation(annotations: Option<&BTreeMap<String, String>>, key: &str) -> bool {
    annotations.is_some_and(|all| all.contains_key(key))
}

/// How much the volume holds.
pub fn capacity(volume: &PersistentVolume) -> Quantity {
    storage(volume.spec.as_ref().and_then(|spec| spec.capacity.as_ref()))
}

/// How much the claim asks for.
pub fn request(claim: &PersistentVolumeClaim) -> Quantity {
    let resources = claim.spec.as_ref().and_then(|spec| spec.resources.as_ref());
    storage(resources.and_then(|resources| resources.requests.as_ref()))
}

/// An amount that cannot be read is none; the API refuses it.
fn storage(amounts: Option<&BTreeMap<String, Amount>>) -> Quantity {
    let amount = amounts.and_then(|amounts| amounts.get(STORAGE));
    amount
        .and_then(|amount| amount.0.parse().ok())
        .unwrap_or_else(|| Quantity::from_units(0))
}

/// Whether the volume holds as much as the claim asks for.
pub fn is_large_enough(volume: &PersistentVolume, claim: &PersistentVolumeClaim) -> bool {
    capacity(volume) >= request(claim)
}

/// Whether both are file systems, or both are devices.
pub fn is_of_mode(volume: &PersistentVolume, claim: &PersistentVolumeClaim) -> bool {
    let has = volume.spec.as_ref().and_then(|spec| spec.volume_mode.as_deref());
    let asks = claim.spec.as_ref().and_then(|spec| spec.volume_mode.as_deref());
    has.unwrap_or(FILESYSTEM) == asks.unwrap_or(FILESYSTEM)
}

/// Whether the volume can be used in all the ways that the claim asks for.
pub fn offers_ways(volume: &PersistentVolume, claim: &PersistentVolumeClaim) -> bool {
    let has = volume.spec.as_ref().and_then(|spec| spec.access_modes.as_deref());
    let asks = claim.spec.as_ref().and_then(|spec| spec.access_modes.as_deref());
    let (has, asks) = (has.unwrap_or_default(), asks.unwrap_or_default());
    asks.iter().all(|way| has.contains(way))
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn class(name: &str, created: &str, default: bool) -> StorageClass {
        let class = json!({"metadata": {"name": name, "creationTimestamp": created,
            "annotations": {DEFAULT_CLASS: default.to_string()}}, "provisioner": "x"});
        serde_json::from_value(class).expect("a class")
    }

    #[test]
    fn the_newest_class_that_is_marked_is_the_default() {
        let (old, new) = ("2026-01-01T00:00:00Z", "2026-02-01T00:00:00Z");
        for (name, classes, wanted) in [
            ("none", vec![class("a", old, false)], None),
            ("one", vec![class("a", old, false), class("b", old, true)], Some("b")),
            (
                "the newest",
                vec![class("a", old, true), class("b", new, true)],
                Some("b"),
            ),
            (
                "of one age",
                vec![class("b", new, true), class("a", new, true)],
                Some("a"),
            ),
        ] {
            let found = default_class(&classes).and_then(|class| class.metadata.name.as_deref());
            assert_eq!(found, wanted, "{name}");
        }
    }

    #[test]
    fn a_claim_without_a_class_and_one_of_the_empty_class_are_two_things() {
        for (name, claim, wanted) in [
            ("says nothing", json!({"spec": {}}), None),
            ("of none", json!({"spec": {"storageClassName": ""}}), Some("")),
            ("of one", json!({"spec": {"storageClassName": "a"}}), Some("a")),
            (
                "as of old",
                json!({"metadata": {"annotations": {OLD_CLASS: "b"}}, "spec": {"storageClassName": "a"}}),
                Some("b"),
            ),
        ] {
            let claim = serde_json::from_value(claim).expect("a claim");
            assert_eq!(class_named(&claim), wanted, "{name}");
        }
    }

    #[test]
    fn a_volume_is_for_a_claim_by_name_and_where_it_says_so_by_uid() {
        let claim = json!({"metadata": {"namespace": "n", "name": "c", "uid": "u"}});
        let claim: PersistentVolumeClaim = serde_json::from_value(claim).expect("a claim");
        for (name, reference, wanted) in [
            ("nobody's", Value::Null, false),
            ("by name", json!({"namespace": "n", "name": "c"}), true),
            ("by uid", json!({"namespace": "n", "name": "c", "uid": "u"}), true),
            (
                "an earlier one's",
                json!({"namespace": "n", "name": "c", "uid": "t"}),
                false,
            ),
            ("of elsewhere", json!({"namespace": "m", "name": "c"}), false),
        ] {
            let volume = serde_json::from_value(json!({"spec": {"claimRef": reference}})).expect("a volume");
            assert_eq!(is_for(&volume, &claim), wanted, "{name}");
        }
    }
}
