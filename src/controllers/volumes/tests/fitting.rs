//! Which volume a claim gets.

use super::super::shelf::{Misfit, Shelf, misfit};
use super::{claim, from, volume, world};
use k8s_openapi::api::core::v1::PersistentVolume;
use serde_json::{Value, json};

#[test]
fn what_keeps_a_volume_from_a_claim() {
    let asks = |storage: &str| json!({"spec": {"resources": {"requests": {"storage": storage}}}});
    let of_class = |class: &str| json!({"spec": {"storageClassName": class}});
    let access = |modes: &[&str]| json!({"spec": {"accessModes": modes}});
    let block = json!({"spec": {"volumeMode": "Block"}});
    let beta = json!({"metadata": {"annotations": {"volume.beta.kubernetes.io/storage-class": "fast"}}});
    let none = || json!({});
    for (name, of_volume, of_claim, wanted) in [
        ("it fits", none(), none(), None),
        ("exactly", none(), asks("5Gi"), None),
        ("in another notation", none(), asks("5368709120"), None),
        ("a byte short", none(), asks("5368709121"), Some(Misfit::TooSmall)),
        (
            "of no size",
            json!({"spec": {"capacity": null}}),
            none(),
            Some(Misfit::TooSmall),
        ),
        ("the same class", of_class("fast"), of_class("fast"), None),
        ("another class", of_class("fast"), of_class("slow"), Some(Misfit::Class)),
        ("a class and none", of_class("fast"), none(), Some(Misfit::Class)),
        ("none and a class", none(), of_class("fast"), Some(Misfit::Class)),
        ("none written twice", none(), of_class(""), None),
        ("a class as it was once written", beta, of_class("fast"), None),
        ("a device for files", block.clone(), none(), Some(Misfit::Mode)),
        (
            "a file system written out",
            json!({"spec": {"volumeMode": "Filesystem"}}),
            none(),
            None,
        ),
        ("devices both", block.clone(), block, None),
        (
            "one way of two",
            access(&["ReadWriteOnce", "ReadOnlyMany"]),
            access(&["ReadOnlyMany"]),
            None,
        ),
        (
            "two ways of one",
            none(),
            access(&["ReadWriteOnce", "ReadWriteMany"]),
            Some(Misfit::Access),
        ),
    ] {
        assert_eq!(misfit(&volume("v", of_volume), &claim("c", of_claim)), wanted, "{name}");
    }
}

fn sized(name: &str, size: &str, more: Value) -> PersistentVolume {
    let mut volume = volume(name, more);
    let capacity = from(json!({"storage": size}));
    volume.spec.as_mut().expect("a spec").capacity = Some(capacity);
    volume
}

#[test]
fn the_smallest_that_fits_is_found() {
    let label = |tier: &str| json!({"metadata": {"labels": {"tier": tier}}});
    let world = world(
        vec![
            sized("a-large", "100Gi", label("front")),
            sized("b-middle", "10Gi", label("back")),
            sized("c-small", "2Gi", label("back")),
            sized("d-tiny", "1Gi", json!({"status": {"phase": "Released"}})),
            sized(
                "e-going",
                "1Gi",
                json!({"metadata": {"deletionTimestamp": "2026-01-01T00:00:00Z"}}),
            ),
            sized(
                "f-mine",
                "1Gi",
                json!({"spec": {"claimRef": {"namespace": "default", "name": "other"}}}),
            ),
        ],
        vec![],
    );
    let mut shelf = Shelf::new(&world.volumes);
    let name = |volume: Option<&PersistentVolume>| volume.and_then(|volume| volume.metadata.name.clone());
    let selecting = |selector: Value| claim("c", json!({"spec": {"selector": selector}}));
    for (case, wants, wanted) in [
        ("any", claim("c", json!({})), Some("c-small")),
        (
            "front",
            selecting(json!({"matchLabels": {"tier": "front"}})),
            Some("a-large"),
        ),
        (
            "not back",
            selecting(json!({"matchExpressions": [{"key": "tier", "operator": "NotIn", "values": ["back"]}]})),
            Some("a-large"),
        ),
        (
            "nothing such",
            selecting(json!({"matchLabels": {"tier": "side"}})),
            None,
        ),
    ] {
        assert_eq!(name(shelf.smallest(&wants)).as_deref(), wanted, "{case}");
    }
    shelf.take(world.volume("c-small"));
    assert_eq!(
        name(shelf.smallest(&claim("c", json!({})))).as_deref(),
        Some("b-middle")
    );
}

#[test]
fn what_is_set_aside_for_a_claim_is_found_first() {
    let of = |uid: &str| json!({"spec": {"claimRef": {"namespace": "default", "name": "c", "uid": uid}}});
    let any = json!({"spec": {"claimRef": {"namespace": "default", "name": "c"}, "storageClassName": "other"}});
    let elsewhere = json!({"spec": {"claimRef": {"namespace": "other", "name": "c"}}});
    let small = json!({"spec": {"capacity": {"storage": "1Mi"}, "claimRef": {"namespace": "default", "name": "c"}}});
    for (case, volumes, wanted) in [
        (
            "by its uid",
            vec![volume("a", any.clone()), volume("b", of("uid-c"))],
            Some("b"),
        ),
        ("by its name, of whatever class", vec![volume("a", any)], Some("a")),
        ("for one before it", vec![volume("a", of("uid-old"))], None),
        ("in another namespace", vec![volume("a", elsewhere)], None),
        ("too small", vec![volume("a", small)], None),
    ] {
        let world = world(volumes, vec![]);
        let found = Shelf::new(&world.volumes).reserved(&claim("c", json!({})));
        assert_eq!(
            found.and_then(|volume| volume.metadata.name.as_deref()),
            wanted,
            "{case}"
        );
    }
}
