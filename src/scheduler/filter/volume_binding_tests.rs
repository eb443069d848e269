//! Claims in every state, and what they leave of two nodes.

use serde_json::{Value, json};

use super::*;
use crate::scheduler::pod::pending;
use crate::scheduler::schedule;

fn volume(name: &str, node: &str, size: &str, more: Value) -> Value {
    let mut volume = json!({
        "metadata": {"name": name, "resourceVersion": "1"},
        "spec": {"capacity": {"storage": size}, "accessModes": ["ReadWriteOnce"], "storageClassName": "local",
            "nodeAffinity": {"required": {"nodeSelectorTerms": [{"matchExpressions": [
                {"key": "kubernetes.io/hostname", "operator": "In", "values": [node]}]}]}}},
        "status": {"phase": "Available"},
    });
    for (field, value) in more.as_object().into_iter().flatten() {
        volume["spec"][field] = value.clone();
    }
    volume
}

/// A claim of this class; bound to this volume, if any.
fn claim(name: &str, class: &str, bound_to: Option<&str>) -> Value {
    let bound = bound_to.map(|_| json!({volume::BIND_COMPLETED: "yes"}));
    json!({
        "metadata": {"namespace": "default", "name": name, "uid": format!("uid-{name}"), "annotations": bound},
        "spec": {"accessModes": ["ReadWriteOnce"], "storageClassName": class, "volumeName": bound_to,
            "resources": {"requests": {"storage": "1Gi"}}},
    })
}

fn class(name: &str, mode: &str, provisioner: &str) -> Value {
    json!({"metadata": {"name": name}, "volumeBindingMode": mode, "provisioner": provisioner})
}

fn from<T: serde::de::DeserializeOwned>(value: Value) -> T {
    serde_json::from_value(value).expect("it is written right")
}

/// Nodes a and b, and four classes.
fn cluster(volumes: Vec<Value>, claims: Vec<Value>) -> Snapshot {
    let mut snapshot = Snapshot::default();
    for name in ["a", "b"] {
        let labels = json!({"kubernetes.io/hostname": name});
        let node = json!({"metadata": {"name": name, "labels": labels}, "status": {"allocatable": {"pods": "9"}}});
        snapshot.set_node(&from(node));
    }
    let known = snapshot.volumes_mut();
    known.set_class(from(class("local", "WaitForFirstConsumer", volume::NO_PROVISIONER)));
    known.set_class(from(class("made", "WaitForFirstConsumer", "example.com/disks")));
    known.set_class(from(class("now", "Immediate", "example.com/disks")));
    let mut of_one_node = class("of-b", "WaitForFirstConsumer", "example.com/disks");
    of_one_node["allowedTopologies"] =
        json!([{"matchLabelExpressions": [{"key": "kubernetes.io/hostname", "values": ["b", "c"]}]}]);
    known.set_class(from(of_one_node));
    volumes.into_iter().for_each(|volume| known.set_volume(from(volume)));
    claims.into_iter().for_each(|claim| known.set_claim(from(claim)));
    snapshot
}

fn pod(claims: &[&str]) -> PendingPod {
    let volumes = claims
        .iter()
        .map(|claim| json!({"name": claim, "persistentVolumeClaim": {"claimName": claim}}));
    let volumes: Vec<Value> = volumes.collect();
    pending(&from(json!({
        "metadata": {"namespace": "default", "name": "p", "uid": "p"},
        "spec": {"containers": [], "volumes": volumes},
    })))
}

/// The nodes that take the pod, or why none does.
fn decided(pod: &PendingPod, snapshot: &Snapshot) -> String {
    match schedule(pod, snapshot, 0, 0) {
        Ok(_) => {
            let nodes = crate::scheduler::feasible(pod, snapshot);
            nodes.iter().map(|node| &*node.name).collect::<Vec<_>>().join(" ")
        }
        Err(refused) => refused.to_string(),
    }
}

#[test]
fn a_pod_goes_where_its_volumes_are_or_can_be() {
    let bound_a = || volume("va", "a", "1Gi", Value::Null);
    let mut lost = claim("c", "local", Some("va"));
    lost["status"]["phase"] = json!("Lost");
    let mut going = claim("c", "local", Some("va"));
    going["metadata"]["deletionTimestamp"] = json!("2026-01-01T00:00:00Z");
    let mut chosen = claim("c", "made", None);
    chosen["metadata"]["annotations"] = json!({volume::SELECTED_NODE: "b"});
    let mut named = claim("c", "local", None);
    named["spec"]["volumeName"] = json!("va");
    let own = json!({"claimRef": {"namespace": "default", "name": "c", "uid": "uid-c"}});
    let anothers = json!({"claimRef": {"namespace": "default", "name": "d", "uid": "uid-d"}});
    for (name, volumes, claims, wanted) in [
        ("bound", vec![bound_a()], vec![claim("c", "local", Some("va"))], "a"),
        (
            "bound to what is gone",
            vec![],
            vec![claim("c", "local", Some("va"))],
            "0/2 nodes are available: 2 node(s) unavailable due to one or more pvc(s) bound to non-existent pv(s).",
        ),
        (
            "bound to where no node is",
            vec![volume("va", "z", "1Gi", Value::Null)],
            vec![claim("c", "local", Some("va"))],
            "0/2 nodes are available: 2 node(s) didn't match PersistentVolume's node affinity.",
        ),
        (
            "no claim",
            vec![],
            vec![],
            "0/2 nodes are available: persistentvolumeclaim \"c\" not found.",
        ),
        (
            "lost",
            vec![],
            vec![lost],
            "0/2 nodes are available: persistentvolumeclaim \"c\" bound to non-existent persistentvolume \"va\".",
        ),
        (
            "on its way out",
            vec![bound_a()],
            vec![going],
            "0/2 nodes are available: persistentvolumeclaim \"c\" is being deleted.",
        ),
        (
            "not to wait",
            vec![],
            vec![claim("c", "now", None)],
            "0/2 nodes are available: pod has unbound immediate PersistentVolumeClaims.",
        ),
        (
            "of an unknown class",
            vec![],
            vec![claim("c", "nope", None)],
            "0/2 nodes are available: pod has unbound immediate PersistentVolumeClaims.",
        ),
        (
            "with a volume of a person's choice",
            vec![bound_a()],
            vec![named],
            "0/2 nodes are available: pod has unbound immediate PersistentVolumeClaims.",
        ),
        (
            "a free one",
            vec![volume("vb", "b", "2Gi", Value::Null)],
            vec![claim("c", "local", None)],
            "b",
        ),
        (
            "made for it",
            vec![volume("vb", "b", "2Gi", own), bound_a()],
            vec![claim("c", "local", None)],
            "b",
        ),
        (
            "another's",
            vec![volume("vb", "b", "2Gi", anothers)],
            vec![claim("c", "local", None)],
            "0/2 nodes are available: 2 node(s) didn't find available persistent volumes to bind.",
        ),
        (
            "too small",
            vec![volume("vb", "b", "1Mi", Value::Null)],
            vec![claim("c", "local", None)],
            "0/2 nodes are available: 2 node(s) didn't find available persistent volumes to bind.",
        ),
        ("to be made", vec![], vec![claim("c", "made", None)], "a b"),
        ("to be made for some nodes", vec![], vec![claim("c", "of-b", None)], "b"),
        ("being made", vec![], vec![chosen], "b"),
    ] {
        assert_eq!(decided(&pod(&["c"]), &cluster(volumes, claims)), wanted, "{name}");
    }
}

#[test]
fn two_claims_take_two_volumes_and_the_smallest_that_do() {
    let volumes = |second: &str| {
        let free = |name: &str, node: &str, size: &str| volume(name, node, size, Value::Null);
        vec![
            free("large", "a", "9Gi"),
            free("small", "a", second),
            free("alone", "b", "1Gi"),
        ]
    };
    let mut large = claim("x", "local", None);
    large["spec"]["resources"]["requests"]["storage"] = json!("5Gi");
    let claims = vec![large, claim("y", "local", None)];
    let pod = pod(&["x", "y"]);
    let snapshot = cluster(volumes("2Gi"), claims.clone());
    assert_eq!(decided(&pod, &snapshot), "a");
    let needs = Needs::new(&pod, &snapshot).expect("some node will do");
    let bindings = needs.bindings(snapshot.node("a").expect("it exists")).expect("it fits");
    let taken = bindings.volumes.iter().map(|volume| {
        let claim = volume::claim_ref(volume).and_then(|claim| claim.uid.clone());
        let ours = volume::has_annotation(volume.metadata.annotations.as_ref(), volume::BOUND_BY_CONTROLLER);
        (
            volume.metadata.name.clone().expect("a name"),
            claim.expect("a uid"),
            ours,
        )
    });
    let wanted = [("small", "uid-y", true), ("large", "uid-x", true)];
    assert_eq!(
        taken.collect::<Vec<_>>(),
        wanted.map(|(volume, claim, ours)| (volume.into(), claim.into(), ours))
    );
    let refused = decided(&pod, &cluster(volumes("1Mi"), claims));
    assert!(refused.contains("2 node(s) didn't find available"), "{refused}");
}

#[test]
fn a_volume_that_a_person_set_aside_for_a_claim_stays_so() {
    let aside = json!({"claimRef": {"namespace": "default", "name": "c"}});
    let snapshot = cluster(vec![volume("va", "a", "1Gi", aside)], vec![claim("c", "local", None)]);
    let pod = pod(&["c"]);
    let needs = Needs::new(&pod, &snapshot).expect("some node will do");
    let bindings = needs.bindings(snapshot.node("a").expect("it exists")).expect("it fits");
    let volume = &bindings.volumes[0];
    let uid = volume::claim_ref(volume).and_then(|claim| claim.uid.as_deref());
    assert_eq!(uid, Some("uid-c"), "it names the very claim now");
    let annotations = volume.metadata.annotations.as_ref();
    assert!(!volume::has_annotation(annotations, volume::BOUND_BY_CONTROLLER));
}

#[test]
fn a_claim_whose_volume_is_to_be_made_gets_its_node() {
    let snapshot = cluster(vec![], vec![claim("c", "made", None)]);
    let pod = pod(&["c"]);
    let needs = Needs::new(&pod, &snapshot).expect("some node will do");
    let bindings = needs.bindings(snapshot.node("b").expect("it exists")).expect("it fits");
    let annotations = bindings.claims[0].metadata.annotations.as_ref().expect("some");
    assert_eq!(annotations.get(volume::SELECTED_NODE).map(String::as_str), Some("b"));
    assert!(bindings.volumes.is_empty() && bindings.waits);
}

#[test]
fn a_claim_of_the_pods_own_must_have_been_made_for_it() {
    let template = json!({"spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}}});
    let pod = pending(&from(json!({
        "metadata": {"namespace": "default", "name": "p", "uid": "u"},
        "spec": {"containers": [], "volumes": [{"name": "v", "ephemeral": {"volumeClaimTemplate": template}}]},
    })));
    let owned = |uid: &str| {
        let mut claim = claim("p-v", "made", None);
        claim["metadata"]["ownerReferences"] =
            json!([{"apiVersion": "v1", "kind": "Pod", "name": "p", "uid": uid, "controller": true}]);
        claim
    };
    for (name, claims, wanted) in [
        (
            "not yet",
            vec![],
            "0/2 nodes are available: waiting for ephemeral volume controller to create the persistentvolumeclaim \"p-v\".",
        ),
        (
            "an earlier pod's",
            vec![owned("t")],
            "0/2 nodes are available: PVC default/p-v was not created for pod default/p (pod is not owner).",
        ),
        ("its own", vec![owned("u")], "a b"),
    ] {
        assert_eq!(decided(&pod, &cluster(vec![], claims)), wanted, "{name}");
    }
}

#[test]
fn what_one_pod_alone_may_use_is_not_had_by_two() {
    let mut only = claim("c", "local", Some("va"));
    only["spec"]["accessModes"] = json!(["ReadWriteOncePod"]);
    let mut snapshot = cluster(vec![volume("va", "a", "1Gi", Value::Null)], vec![only]);
    let first = pod(&["c"]);
    let other = pending(&from(json!({
        "metadata": {"namespace": "default", "name": "q", "uid": "q"},
        "spec": {"containers": [], "volumes": [{"name": "c", "persistentVolumeClaim": {"claimName": "c"}}]},
    })));
    assert_eq!(decided(&first, &snapshot), "a");
    snapshot.set_pod(other.info.clone(), &"a".into());
    assert_eq!(
        decided(&first, &snapshot),
        "0/2 nodes are available: 2 node has pod using PersistentVolumeClaim with the same name and ReadWriteOncePod \
         access mode."
    );
    snapshot.remove_pod("q");
    assert_eq!(decided(&first, &snapshot), "a");
}
