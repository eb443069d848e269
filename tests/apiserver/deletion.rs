//! Deletion: finalizers, a pod's grace, collections, namespaces.

use serde_json::{Value, json};

use super::on_both_stores;
use super::world::{CONFIG_MAPS, PODS, World, config_map, config_map_path, pod, pod_path, version};

fn bound_pod(world: &World, name: &str) -> Value {
    world.post(PODS, &pod(name)).of(201);
    let binding = json!({"apiVersion": "v1", "kind": "Binding", "metadata": {"name": name}, "target": {"kind": "Node", "name": "n"}});
    world.post(&format!("{}/binding", pod_path(name)), &binding).of(201);
    world.get(&pod_path(name)).of(200)
}

fn a_deletion_tells_the_uid(world: &World) {
    let made = world.create_config_map("a", &json!({}));
    let status = world.delete(&config_map_path("a")).of(200);
    assert_eq!(
        (&status["kind"], &status["status"]),
        (&json!("Status"), &json!("Success"))
    );
    assert_eq!(
        (&status["details"]["uid"], &status["details"]["kind"]),
        (&made["metadata"]["uid"], &json!("configmaps"))
    );
    assert_eq!(
        world.delete(&config_map_path("a")).refused(404, "NotFound"),
        "configmaps \"a\" not found"
    );
}

fn an_object_goes_with_its_last_finalizer(world: &World) {
    let mut sent = config_map("a", &json!({}));
    sent["metadata"]["finalizers"] = json!(["example.com/one", "example.com/two"]);
    world.post(CONFIG_MAPS, &sent).of(201);
    let marked = world.delete(&config_map_path("a")).of(200);
    assert!(marked["metadata"]["deletionTimestamp"].is_string(), "{marked}");
    let again = world.delete(&config_map_path("a")).of(200);
    assert_eq!(
        again["metadata"]["deletionTimestamp"],
        marked["metadata"]["deletionTimestamp"]
    );
    let drop_to = |left: Value| {
        world
            .patch(
                &config_map_path("a"),
                "merge",
                &json!({"metadata": {"finalizers": left}}),
            )
            .of(200)
    };
    drop_to(json!(["example.com/two"]));
    assert!(world.get(&config_map_path("a")).of(200)["metadata"]["deletionTimestamp"].is_string());
    drop_to(Value::Null);
    world.get(&config_map_path("a")).refused(404, "NotFound");
}

/// Trap 13, the server's part.
fn a_running_pod_is_marked_and_goes_when_its_kubelet_says_so(world: &World) {
    let made = bound_pod(world, "p");
    let marked = world.delete(&pod_path("p")).of(200);
    assert_eq!(marked["metadata"]["deletionGracePeriodSeconds"], 30);
    let deadline = marked["metadata"]["deletionTimestamp"].clone();
    let longer = world
        .delete_with(&pod_path("p"), &json!({"gracePeriodSeconds": 60}))
        .of(200);
    assert_eq!(
        (version(&longer), &longer["metadata"]["deletionTimestamp"]),
        (version(&marked), &deadline)
    );
    let shorter = world.delete(&format!("{}?gracePeriodSeconds=5", pod_path("p"))).of(200);
    assert_eq!(shorter["metadata"]["deletionGracePeriodSeconds"], 5);
    assert!(shorter["metadata"]["deletionTimestamp"].as_str() < deadline.as_str());
    let other = json!({"gracePeriodSeconds": 0, "preconditions": {"uid": "another"}});
    world.delete_with(&pod_path("p"), &other).refused(409, "Conflict");
    let last = json!({"gracePeriodSeconds": 0, "preconditions": {"uid": made["metadata"]["uid"]}});
    assert_eq!(world.delete_with(&pod_path("p"), &last).of(200)["kind"], "Pod");
    world.get(&pod_path("p")).refused(404, "NotFound");
    let again = bound_pod(world, "p");
    assert_ne!(
        again["metadata"]["uid"], made["metadata"]["uid"],
        "the name is free again"
    );
    world.delete_with(&pod_path("p"), &last).refused(409, "Conflict");
}

fn a_pod_that_runs_nothing_goes_at_once(world: &World) {
    world.post(PODS, &pod("pending")).of(201);
    world.delete(&pod_path("pending")).of(200);
    world.get(&pod_path("pending")).refused(404, "NotFound");
    bound_pod(world, "ended");
    world
        .patch(
            &format!("{}/status", pod_path("ended")),
            "merge",
            &json!({"status": {"phase": "Succeeded"}}),
        )
        .of(200);
    world.delete(&pod_path("ended")).of(200);
    world.get(&pod_path("ended")).refused(404, "NotFound");
    bound_pod(world, "forced");
    world
        .delete(&format!("{}?gracePeriodSeconds=0", pod_path("forced")))
        .of(200);
    world.get(&pod_path("forced")).refused(404, "NotFound");
}

fn an_evicted_pod_is_deleted(world: &World) {
    bound_pod(world, "p");
    let eviction = json!({"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": "p", "namespace": "default"}, "deleteOptions": {"gracePeriodSeconds": 7}});
    world.post(&format!("{}/eviction", pod_path("p")), &eviction).of(201);
    assert_eq!(
        world.get(&pod_path("p")).of(200)["metadata"]["deletionGracePeriodSeconds"],
        7
    );
    world
        .post(
            &format!("{}/eviction", pod_path("none")),
            &json!({"kind": "Eviction", "metadata": {"name": "none"}}),
        )
        .refused(404, "NotFound");
    let broken = json!({"kind": "Eviction", "metadata": "text"});
    world
        .post(&format!("{}/eviction", pod_path("p")), &broken)
        .refused(400, "BadRequest");
}

fn a_collection_is_deleted_by_selector(world: &World) {
    for (name, label) in [("a", "x"), ("b", "x"), ("c", "y")] {
        world.create_config_map(name, &json!({"l": label}));
    }
    let deleted = world.delete(&format!("{CONFIG_MAPS}?labelSelector=l%3Dx")).of(200);
    assert_eq!(
        (&deleted["kind"], deleted["items"].as_array().map(Vec::len)),
        (&json!("ConfigMapList"), Some(2))
    );
    world.get(&config_map_path("a")).refused(404, "NotFound");
    world.get(&config_map_path("c")).of(200);
    world.delete("/api/v1/configmaps").refused(405, "MethodNotAllowed");
    world.delete("/api/v1/namespaces").refused(405, "MethodNotAllowed");
}

fn a_namespace_ends_in_two_steps(world: &World) {
    let namespace = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "team"}});
    let made = world.post("/api/v1/namespaces", &namespace).of(201);
    assert_eq!(
        (&made["status"]["phase"], &made["spec"]["finalizers"]),
        (&json!("Active"), &json!(["kubernetes"]))
    );
    let inside = "/api/v1/namespaces/team/configmaps";
    world.post(inside, &config_map("a", &json!({}))).of(201);
    let ending = world.delete("/api/v1/namespaces/team").of(200);
    assert_eq!(ending["status"]["phase"], "Terminating");
    let answer = world.post(inside, &config_map("b", &json!({})));
    assert_eq!(answer.body["details"]["causes"][0]["reason"], "NamespaceTerminating");
    assert_eq!(
        answer.refused(403, "Forbidden"),
        "configmaps \"b\" is forbidden: unable to create new content in namespace team because it is being terminated"
    );
    world.put("/api/v1/namespaces/team", &ending).of(200);
    assert_eq!(
        world.get("/api/v1/namespaces/team").of(200)["spec"]["finalizers"],
        json!(["kubernetes"]),
        "not by an update"
    );
    let mut finalize = ending.clone();
    finalize["spec"]["finalizers"] = json!([]);
    world.put("/api/v1/namespaces/team/finalize", &finalize).of(200);
    world.get("/api/v1/namespaces/team").refused(404, "NotFound");
    let message = world
        .post(inside, &config_map("c", &json!({})))
        .refused(404, "NotFound");
    assert_eq!(message, "namespaces \"team\" not found");
    world.delete("/api/v1/namespaces/default").refused(403, "Forbidden");
}

on_both_stores!(
    a_deletion_tells_the_uid,
    an_object_goes_with_its_last_finalizer,
    a_running_pod_is_marked_and_goes_when_its_kubelet_says_so,
    a_pod_that_runs_nothing_goes_at_once,
    an_evicted_pod_is_deleted,
    a_collection_is_deleted_by_selector,
    a_namespace_ends_in_two_steps,
);
