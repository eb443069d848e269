//! What becomes of claims and volumes, to the end.

use super::super::decide::{Action, Condition, decide};
use super::super::world::World;
use super::{bound_at, bound_to, claim, class, of_claim, outcome, over, pod, volume, world};
use serde_json::json;

const NO_CLASS: &str = "FailedBinding: no persistent volumes available for this claim and no storage class is set";
const FIRST_CONSUMER: &str = "WaitForFirstConsumer: waiting for first consumer to be created before binding";
const GONE: &str = "ClaimLost: Bound claim has lost its PersistentVolume. Data on the volume is lost!";

/// Settles the world, wherever it is broken off, and looks at what is told and how all ends.
fn settles(name: &str, mut world: World, told: &[&str], wanted: &[&str]) {
    assert_eq!(world.settle(), told, "{name}");
    assert_eq!(outcome(&world), wanted, "{name}");
}

#[test]
fn claims_find_their_volumes() {
    let names = |volume: &str| json!({"spec": {"volumeName": volume}});
    let for_claim = |claim: &str| json!({"spec": {"claimRef": {"namespace": "default", "name": claim}}});
    let fresh = json!({"status": null});
    let v = || volume("v", json!({}));
    for (name, volumes, claims, told, wanted) in [
        (
            "any volume",
            vec![v()],
            vec![claim("c", json!({}))],
            vec![],
            vec!["v Bound c", "c Bound v"],
        ),
        (
            "neither has a status yet",
            vec![volume("v", fresh.clone())],
            vec![claim("c", fresh.clone())],
            vec![],
            vec!["v Bound c", "c Bound v"],
        ),
        (
            "no volume",
            vec![],
            vec![claim("c", fresh)],
            vec![NO_CLASS],
            vec!["c Pending"],
        ),
        (
            "by name",
            vec![v()],
            vec![claim("c", names("v"))],
            vec![],
            vec!["v Bound c", "c Bound v"],
        ),
        (
            "by a name that is not there",
            vec![v()],
            vec![claim("c", names("w"))],
            vec![],
            vec!["v Available", "c Pending w"],
        ),
        (
            "set aside",
            vec![volume("v", for_claim("c"))],
            vec![claim("c", json!({}))],
            vec![],
            vec!["v Bound c", "c Bound v"],
        ),
        (
            "set aside for another",
            vec![volume("v", for_claim("d"))],
            vec![claim("c", json!({}))],
            vec![NO_CLASS],
            vec!["v Available d", "c Pending"],
        ),
        (
            "named and set aside for another",
            vec![volume("v", for_claim("d"))],
            vec![claim("c", names("v"))],
            vec!["FailedBinding: volume \"v\" already bound to a different claim."],
            vec!["v Available d", "c Pending v"],
        ),
        (
            "named and of another class",
            vec![volume("v", json!({"spec": {"storageClassName": "fast"}}))],
            vec![claim("c", names("v"))],
            vec!["VolumeMismatch: Cannot bind to requested volume \"v\": storageClassName does not match"],
            vec!["v Available", "c Pending v"],
        ),
        (
            "who names it has it, whoever came first",
            vec![v()],
            vec![
                claim("a", json!({"metadata": {"creationTimestamp": "2026-01-01T00:00:00Z"}})),
                claim("c", names("v")),
            ],
            vec![NO_CLASS],
            vec!["v Bound c", "a Pending", "c Bound v"],
        ),
        (
            "the older is first",
            vec![v()],
            vec![
                claim("a", json!({"metadata": {"creationTimestamp": "2026-01-02T00:00:00Z"}})),
                claim("b", json!({"metadata": {"creationTimestamp": "2026-01-01T00:00:00Z"}})),
            ],
            vec![NO_CLASS],
            vec!["v Bound b", "a Pending", "b Bound v"],
        ),
    ] {
        settles(name, world(volumes, claims), &told, &wanted);
    }
}

#[test]
fn a_class_says_how_a_claim_waits() {
    let of_class = |name: &str| json!({"spec": {"storageClassName": name}});
    let later = || class("later", "kubernetes.io/no-provisioner", "WaitForFirstConsumer");
    let one = |more| {
        world(
            vec![volume("v", of_class("later"))],
            vec![claim("c", over(of_class("later"), more))],
        )
    };
    let aside = || json!({"spec": {"storageClassName": "later", "claimRef": {"namespace": "default", "name": "c"}}});
    let left = ["v Available", "c Pending"];
    settles(
        "a volume that is left to the scheduler",
        one(json!({})).with_class(later()),
        &[FIRST_CONSUMER],
        &left,
    );
    let selected = json!({"metadata": {"annotations": {"volume.kubernetes.io/selected-node": "n"}}});
    let none_made = "FailedBinding: no persistent volumes available for this claim, and its storage class \"later\" \
                     provisions none";
    settles(
        "a node is selected",
        one(selected).with_class(later()),
        &[none_made],
        &left,
    );
    let waiting = pod("p", "", "Pending", of_claim("c"));
    let told = "WaitForPodScheduled: waiting for pod p to be scheduled";
    settles(
        "a pod waits",
        one(json!({})).with_class(later()).with_pod(&waiting),
        &[told],
        &left,
    );
    let set_aside = world(vec![volume("v", aside())], vec![claim("c", of_class("later"))]).with_class(later());
    settles(
        "the scheduler set one aside",
        set_aside,
        &[],
        &["v Bound c", "c Bound v"],
    );

    let soon = class("later", "kubernetes.io/no-provisioner", "Immediate");
    settles(
        "at once",
        one(json!({})).with_class(soon),
        &[],
        &["v Bound c", "c Bound v"],
    );
    settles(
        "a class that is not there, with a volume",
        one(json!({})),
        &[],
        &["v Bound c", "c Bound v"],
    );
    let lonely = |provisioner: Option<&str>| {
        let world = world(vec![], vec![claim("c", of_class("later"))]);
        match provisioner {
            Some(provisioner) => world.with_class(class("later", provisioner, "Immediate")),
            None => world,
        }
    };
    let told = "ProvisioningFailed: storageclass.storage.k8s.io \"later\" not found";
    settles("a class that is not there", lonely(None), &[told], &["c Pending"]);
    let told = "ProvisioningFailed: no volume plugin matched name: kubernetes.io/aws-ebs";
    settles(
        "one that nobody has",
        lonely(Some("kubernetes.io/aws-ebs")),
        &[told],
        &["c Pending"],
    );
    let mut asked = lonely(Some("example.com/disks"));
    let told = asked.settle();
    assert!(
        told[0].starts_with("ExternalProvisioning: Waiting for a volume"),
        "{told:?}"
    );
    let marks = asked.claim("c").metadata.annotations.clone().expect("annotations");
    assert_eq!(marks["volume.kubernetes.io/storage-provisioner"], "example.com/disks");
}

#[test]
fn what_was_bound_and_is_no_more() {
    let policy = |policy: &str| {
        over(
            bound_to("c"),
            json!({"spec": {"persistentVolumeReclaimPolicy": policy}}),
        )
    };
    let by = |name: &str| json!({"metadata": {"annotations": {"pv.kubernetes.io/provisioned-by": name}}});
    let no_deleter = "VolumeFailedDelete: error getting deleter volume plugin for volume \"v\": no deletable volume \
                      plugin matched";
    let no_recycler = "VolumeFailedRecycle: No recycler plugin found for the volume!";
    let old = json!({"metadata": {"uid": "uid-new"}, "spec": {"volumeName": "w"}});
    let bound = || claim("c", bound_at("v"));
    let other = json!({"spec": {"claimRef": {"namespace": "default", "name": "d", "uid": "uid-d"}}});
    let other = || volume("v", over(other.clone(), json!({"status": {"phase": "Bound"}})));
    for (name, volumes, claims, told, wanted) in [
        (
            "kept",
            vec![volume("v", policy("Retain"))],
            vec![],
            vec![],
            vec!["v Released c"],
        ),
        (
            "nobody deletes it",
            vec![volume("v", policy("Delete"))],
            vec![],
            vec![no_deleter],
            vec!["v Failed c"],
        ),
        (
            "nobody wipes it",
            vec![volume("v", policy("Recycle"))],
            vec![],
            vec![no_recycler],
            vec!["v Failed c"],
        ),
        (
            "its provisioner deletes it",
            vec![volume("v", over(policy("Delete"), by("example.com/disks")))],
            vec![],
            vec![],
            vec!["v Released c"],
        ),
        (
            "another claim of that name",
            vec![volume("v", policy("Retain"))],
            vec![claim("c", old)],
            vec![],
            vec!["v Released c", "c Pending w"],
        ),
        (
            "the volume is gone",
            vec![],
            vec![bound()],
            vec![GONE],
            vec!["c Lost v"],
        ),
        (
            "the volume is another's",
            vec![other()],
            vec![bound(), claim("d", bound_at("v"))],
            vec!["ClaimMisbound: Two claims are bound to the same volume, this one is bound incorrectly"],
            vec!["v Bound d", "c Lost v", "d Bound v"],
        ),
        (
            "the volume forgot its claim",
            vec![volume("v", json!({}))],
            vec![bound()],
            vec![],
            vec!["v Bound c", "c Bound v"],
        ),
        (
            "a lost claim's volume came back",
            vec![volume("v", bound_to("c"))],
            vec![claim("c", over(bound_at("v"), json!({"status": {"phase": "Lost"}})))],
            vec![],
            vec!["v Bound c", "c Bound v"],
        ),
    ] {
        settles(name, world(volumes, claims), &told, &wanted);
    }
}

#[test]
fn a_second_volume_for_one_claim_is_let_go() {
    let ours = over(
        bound_to("c"),
        json!({"metadata": {"annotations": {"pv.kubernetes.io/bound-by-controller": "yes"}}}),
    );
    for (name, second, wanted) in [
        ("ours", ours, "w Available"),
        ("a person's", bound_to("c"), "w Available c"),
    ] {
        let volumes = vec![volume("v", bound_to("c")), volume("w", second)];
        settles(
            name,
            world(volumes, vec![claim("c", bound_at("v"))]),
            &[],
            &["v Bound c", wanted, "c Bound v"],
        );
    }
}

#[test]
fn what_is_used_is_kept() {
    let going = |more| {
        let doomed = json!({"metadata": {"deletionTimestamp": "2026-01-01T00:00:00Z", "finalizers": ["other", "kubernetes.io/pvc-protection"]}});
        world(
            vec![volume("v", bound_to("c"))],
            vec![claim("c", over(over(bound_at("v"), doomed), more))],
        )
    };
    let kept = |world: &World| {
        let finalizers = world.claim("c").metadata.finalizers.clone();
        finalizers.is_some_and(|finalizers| finalizers.iter().any(|one| one.ends_with("pvc-protection")))
    };
    for (name, node, phase, claim, wanted) in [
        ("a pod runs", "n", "Running", "c", true),
        ("it is about to start", "n", "Pending", "c", true),
        ("it ended", "n", "Succeeded", "c", false),
        ("it failed", "n", "Failed", "c", false),
        ("it has no node", "", "Pending", "c", false),
        ("it uses another claim", "n", "Running", "d", false),
    ] {
        let mut world = going(json!({})).with_pod(&pod("p", node, phase, of_claim(claim)));
        world.settle();
        assert_eq!(kept(&world), wanted, "{name}");
    }
    let mut staying = going(json!({"metadata": {"deletionTimestamp": null}}));
    staying.settle();
    assert!(kept(&staying), "it is not being deleted");
}

#[test]
fn a_volume_is_kept_while_it_is_bound() {
    let doomed = json!({"metadata": {"deletionTimestamp": "2026-01-01T00:00:00Z", "finalizers": ["kubernetes.io/pv-protection"]}});
    for (name, more, claims, wanted) in [
        ("bound", bound_to("c"), vec![claim("c", bound_at("v"))], 1),
        ("nobody's", json!({}), vec![claim("c", json!({}))], 0),
        ("let go", bound_to("c"), vec![], 0),
    ] {
        let mut world = world(vec![volume("v", over(doomed.clone(), more))], claims);
        world.settle();
        let finalizers = world.volume("v").metadata.finalizers.clone().unwrap_or_default();
        assert_eq!(finalizers.len(), wanted, "{name}");
    }
}

#[test]
fn what_is_only_not_seen_is_asked_for_again() {
    let only_if = |world: &World| match decide(world).as_slice() {
        [Action::Write { only_if, .. }] => only_if.clone(),
        other => panic!("{other:?}"),
    };
    let lost = world(vec![], vec![claim("c", bound_at("v"))]);
    assert_eq!(only_if(&lost), Condition::NoVolume("v".to_owned()));
    let released = world(vec![volume("v", bound_to("c"))], vec![]);
    let key = ("default".to_owned(), "c".to_owned());
    assert_eq!(only_if(&released), Condition::NoClaim(key, "uid-c".to_owned()));
}
