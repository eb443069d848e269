//! What is special about pods: bindings, what may change, what holds them back.

use serde_json::{Value, json};

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

fn gates_hold_a_pod_back(world: &World) {
    let gate = |name: &str| json!({"name": name});
    let mut gated = pod("p");
    gated["spec"]["schedulingGates"] = json!([gate("a"), gate("a/b c")]);
    gated["spec"]["nodeName"] = json!("n");
    let refused = world.post(PODS, &gated).of(422);
    let fields: Vec<&Value> = causes(&refused).map(|cause| &cause["field"]).collect();
    assert_eq!(fields, ["spec.schedulingGates[1]", "spec.nodeName"]);
    gated["spec"]["schedulingGates"] = json!([gate("a"), gate("b")]);
    gated["spec"]["nodeName"] = Value::Null;
    let made = world.post(PODS, &gated).of(201);
    let condition = json!({"type": "PodScheduled", "status": "False", "reason": "SchedulingGated",
        "message": "Scheduling is blocked due to non-empty scheduling gates", "lastProbeTime": null,
        "lastTransitionTime": null});
    assert_eq!(made["status"]["conditions"], json!([condition]));
    let accept = "application/json;as=Table;v=v1;g=meta.k8s.io";
    let table = world.get_as(&pod_path("p"), accept).of(200);
    assert_eq!(table["rows"][0]["cells"][2], "SchedulingGated");
    let path = format!("{}/binding", pod_path("p"));
    let binding = json!({"metadata": {"name": "p"}, "target": {"kind": "Node", "name": "n"}});
    assert_eq!(
        world.post(&path, &binding).refused(409, "Conflict"),
        "Operation cannot be fulfilled on pods/binding \"p\": pod p has non-empty .spec.schedulingGates"
    );
    let more = json!({"spec": {"schedulingGates": [gate("c")]}});
    world
        .patch(&pod_path("p"), "strategic-merge", &more)
        .refused(422, "Invalid");
    let narrower = json!({"spec": {"nodeSelector": {"disk": "ssd"}}});
    world.patch(&pod_path("p"), "merge", &narrower).of(200);
    let wider = json!({"spec": {"nodeSelector": {"disk": null}}});
    world.patch(&pod_path("p"), "merge", &wider).refused(422, "Invalid");
    let open = json!({"spec": {"schedulingGates": null}});
    let after = world.patch(&pod_path("p"), "merge", &open).of(200);
    assert_eq!(after["status"], made["status"], "the scheduler says what comes next");
    let other = json!({"spec": {"nodeSelector": {"size": "large"}}});
    world.patch(&pod_path("p"), "merge", &other).refused(422, "Invalid");
    world.post(&path, &binding).of(201);
}

fn causes(status: &Value) -> impl Iterator<Item = &Value> {
    status["details"]["causes"].as_array().into_iter().flatten()
}

fn a_nominated_node_stays_until_the_pod_is_bound(world: &World) {
    world.post(PODS, &pod("p")).of(201);
    let status = format!("{}/status", pod_path("p"));
    let nominate = |node: Value| json!({"status": {"nominatedNodeName": node}});
    world
        .patch(&status, "merge", &nominate(json!("no node")))
        .refused(422, "Invalid");
    world.patch(&status, "strategic-merge", &nominate(json!("n1"))).of(200);
    let label = json!({"metadata": {"labels": {"a": "b"}}, "status": {"nominatedNodeName": "n2"}});
    let labelled = world.patch(&pod_path("p"), "merge", &label).of(200);
    assert_eq!(
        labelled["status"]["nominatedNodeName"], "n1",
        "only status writers change it"
    );
    let accept = "application/json;as=Table;v=v1;g=meta.k8s.io";
    let table = world.get_as(&pod_path("p"), accept).of(200);
    let columns = table["columnDefinitions"].as_array().expect("columns");
    let place = columns
        .iter()
        .position(|column| column["name"] == "Nominated Node")
        .expect("the column");
    assert_eq!(table["rows"][0]["cells"][place], "n1");
    let all = world
        .get(&format!("{PODS}?fieldSelector=status.nominatedNodeName=n1"))
        .of(200);
    assert_eq!(all["items"].as_array().map(Vec::len), Some(1));
    let binding = json!({"metadata": {"name": "p"}, "target": {"kind": "Node", "name": "n2"}});
    world.post(&format!("{}/binding", pod_path("p")), &binding).of(201);
    let bound = world.get(&pod_path("p")).of(200);
    assert!(bound["status"].get("nominatedNodeName").is_none(), "{bound}");
}

on_both_stores!(
    a_pod_is_bound_once,
    a_live_pods_image_may_change_and_its_command_not,
    gates_hold_a_pod_back,
    a_nominated_node_stays_until_the_pod_is_bound,
);
