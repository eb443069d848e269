//! Volumes, claims and storage classes: what they are given, how they are shown, and how they go.

use serde_json::{Value, json};

use super::kubectl::{assert_contains, under_each};
use super::on_both_stores;
use super::world::World;

const VOLUMES: &str = "/api/v1/persistentvolumes";
const CLAIMS: &str = "/api/v1/namespaces/default/persistentvolumeclaims";
const CLASSES: &str = "/apis/storage.k8s.io/v1/storageclasses";

fn volume(name: &str) -> Value {
    json!({"apiVersion": "v1", "kind": "PersistentVolume", "metadata": {"name": name}, "spec": {
        "capacity": {"storage": "5Gi"}, "accessModes": ["ReadWriteOnce"], "storageClassName": "local",
        "hostPath": {"path": "/data"}}})
}

fn claim(name: &str, class: Option<&str>) -> Value {
    json!({"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": {"name": name}, "spec": {
        "accessModes": ["ReadWriteOnce"], "storageClassName": class, "resources": {"requests": {"storage": "1Gi"}}}})
}

fn class(name: &str, is_default: bool) -> Value {
    json!({"apiVersion": "storage.k8s.io/v1", "kind": "StorageClass", "provisioner": "kubernetes.io/no-provisioner",
        "metadata": {"name": name,
            "annotations": {"storageclass.kubernetes.io/is-default-class": is_default.to_string()}}})
}

fn a_claim_that_names_no_class_is_of_the_default_one(world: &World) {
    let class_of = |name: &str, named: Option<&str>| {
        let made = world.post(CLAIMS, &claim(name, named)).of(201);
        made["spec"].get("storageClassName").cloned()
    };
    world.post(CLASSES, &class("plain", false)).of(201);
    assert_eq!(class_of("early", None), None, "there is no default yet");
    world.post(CLASSES, &class("usual", true)).of(201);
    assert_eq!(class_of("late", None), Some(json!("usual")));
    assert_eq!(class_of("another", Some("plain")), Some(json!("plain")));
    assert_eq!(class_of("of-none", Some("")), Some(json!("")));
}

fn what_is_in_use_is_protected(world: &World) {
    for (path, object, finalizer) in [
        (VOLUMES, volume("v"), "kubernetes.io/pv-protection"),
        (CLAIMS, claim("c", None), "kubernetes.io/pvc-protection"),
    ] {
        let made = world.post(path, &object).of(201);
        assert_eq!(made["metadata"]["finalizers"], json!([finalizer]), "{path}");
        assert_eq!(made["status"], json!({"phase": "Pending"}), "{path}");
        let name = made["metadata"]["name"].as_str().expect("a name");
        let one = format!("{path}/{name}");
        let going = world.delete(&one).of(200);
        assert!(going["metadata"]["deletionTimestamp"].is_string(), "{path}: {going}");
        world
            .patch(&one, "merge", &json!({"metadata": {"finalizers": null}}))
            .of(200);
        world.get(&one).of(404);
    }
}

fn a_status_is_written_apart(world: &World) {
    let made = world.post(VOLUMES, &volume("v")).of(201);
    let bound = json!({"status": {"phase": "Bound"}, "spec": {"storageClassName": "other"}});
    let written = world.patch(&format!("{VOLUMES}/v/status"), "merge", &bound).of(200);
    assert_eq!(
        (&written["status"]["phase"], &written["spec"]),
        (&json!("Bound"), &made["spec"])
    );
    let moved = json!({"spec": {"hostPath": {"path": "/other"}}});
    let refused = world.patch(&format!("{VOLUMES}/v"), "merge", &moved).of(422);
    assert_eq!(
        refused["message"],
        "PersistentVolume \"v\" is invalid: spec.persistentvolumesource: Forbidden: spec.persistentvolumesource is \
         immutable after creation"
    );
}

fn kubectl_shows_them(world: &World) {
    world.post(VOLUMES, &volume("v")).of(201);
    world.post(CLAIMS, &claim("c", Some("local"))).of(201);
    world.post(CLASSES, &class("usual", true)).of(201);
    under_each(world, |kubectl, _| {
        assert_contains(
            &kubectl.ok(&["get", "pv"]),
            &[
                "NAME   CAPACITY   ACCESS MODES   RECLAIM POLICY   STATUS    CLAIM   STORAGECLASS   VOLUMEATTRIBUTESCLASS   REASON   AGE",
                "v      5Gi        RWO            Retain           Pending           local          <unset>",
            ],
        );
        assert_contains(
            &kubectl.ok(&["get", "pvc"]),
            &[
                "NAME   STATUS    VOLUME   CAPACITY   ACCESS MODES   STORAGECLASS   VOLUMEATTRIBUTESCLASS   AGE",
                "c      Pending",
            ],
        );
        assert_contains(
            &kubectl.ok(&["get", "sc"]),
            &["usual (default)   kubernetes.io/no-provisioner   Delete          Immediate           false"],
        );
        assert_contains(&kubectl.ok(&["describe", "pv", "v"]), &["HostPath", "/data", "5Gi"]);
        assert_contains(
            &kubectl.ok(&["describe", "pvc", "c"]),
            &["StorageClass:  local", "Pending"],
        );
        assert_contains(&kubectl.ok(&["explain", "pv.spec.local"]), &["path"]);
    });
}

on_both_stores!(
    a_claim_that_names_no_class_is_of_the_default_one,
    what_is_in_use_is_protected,
    a_status_is_written_apart,
    kubectl_shows_them,
);
