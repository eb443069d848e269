//! What is special about pods: bindings, what may change.

use serde_json::json;

use super::on_both_stores;
use super::world::{PODS, World, pod, pod_path};

fn a_pod_is_bound_once(world: &World) {
    let made = world.post(PODS, &pod("p")).of(201);
    let binding = |node: &str| json!({"apiVersion": "v1", "kind": "Binding", "metadata": {"name": "p"}, "target": {"kind": "Node", "name": node}});
    let path = format!("{}/binding", pod_path("p"));
    let mut other = binding("n1");
    other["metadata"]["uid"] = json!("another");
    world.post(&path, &other).refused(409, "Conflict");
    let status = world.post(&path, &binding("n1")).of(201);
    assert_eq!(
        (&status["kind"], &status["status"]),
        (&json!("Status"), &json!("Success"))
    );
    let bound = world.get(&pod_path("p")).of(200);
    assert_eq!(bound["spec"]["nodeName"], "n1");
    let condition = &bound["status"]["conditions"][0];
    assert_eq!(
        (&condition["type"], &condition["status"]),
        (&json!("PodScheduled"), &json!("True"))
    );
    assert_eq!(bound["metadata"]["uid"], made["metadata"]["uid"]);
    let message = world.post(&path, &binding("n2")).refused(409, "Conflict");
    assert!(message.contains("already assigned to node \"n1\""), "{message}");
    world
        .post(
            &format!("{}/binding", pod_path("none")),
            &json!({"metadata": {"name": "none"}, "target": {"name": "n"}}),
        )
        .refused(404, "NotFound");
    world.delete(&pod_path("p")).of(200);
    world.post(&path, &binding("n1")).refused(409, "Conflict");
    world.get(&path).refused(405, "MethodNotAllowed");
}

fn a_live_pods_image_may_change_and_its_command_not(world: &World) {
    world.post(PODS, &pod("p")).of(201);
    let image = json!({"spec": {"containers": [{"name": "c", "image": "busybox:2"}]}});
    let after = world.patch(&pod_path("p"), "strategic-merge", &image).of(200);
    assert_eq!(after["spec"]["containers"][0]["image"], "busybox:2");
    let command = json!({"spec": {"containers": [{"name": "c", "command": ["sh"]}]}});
    world
        .patch(&pod_path("p"), "strategic-merge", &command)
        .refused(422, "Invalid");
    world.put(&pod_path("none"), &pod("none")).refused(404, "NotFound");
}

on_both_stores!(a_pod_is_bound_once, a_live_pods_image_may_change_and_its_command_not);
