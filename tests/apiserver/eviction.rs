//! Evictions: what disruption budgets allow, and what comes of asking.

use futures::future::join_all;
use serde_json::{Value, json};

use super::on_both_stores;
use super::world::{Answer, PODS, World, pod, pod_path, version};

pub const BUDGETS: &str = "/apis/policy/v1/namespaces/default/poddisruptionbudgets";

/// A budget for pods of that app.
pub fn budget(name: &str, app: &str) -> Value {
    json!({
        "apiVersion": "policy/v1", "kind": "PodDisruptionBudget", "metadata": {"name": name},
        "spec": {"minAvailable": 1, "selector": {"matchLabels": {"app": app}}},
    })
}

/// Writes a budget's status as its controller would.
#[track_caller]
pub fn count(world: &World, name: &str, status: &Value) -> Value {
    let path = format!("{BUDGETS}/{name}/status");
    world.patch(&path, "merge", &json!({"status": status})).of(200)
}

/// Makes a pod of that app that runs on a node, ready or not.
#[track_caller]
pub fn running(world: &World, name: &str, app: &str, ready: bool) -> Value {
    let mut new = pod(name);
    new["metadata"]["labels"] = json!({"app": app});
    new["spec"]["nodeName"] = json!("n");
    world.post(PODS, &new).of(201);
    let ready = if ready { "True" } else { "False" };
    let status = json!({"status": {"phase": "Running", "conditions": [{"type": "Ready", "status": ready}]}});
    world
        .patch(&format!("{}/status", pod_path(name)), "strategic-merge", &status)
        .of(200)
}

fn eviction(name: &str, options: Value) -> Value {
    json!({"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": name}, "deleteOptions": options})
}

fn evict_with(world: &World, name: &str, options: Value) -> Answer {
    world.post(&format!("{}/eviction", pod_path(name)), &eviction(name, options))
}

fn evict(world: &World, name: &str) -> Answer {
    evict_with(world, name, Value::Null)
}

#[track_caller]
fn is_going(world: &World, name: &str) -> Value {
    let pod = world.get(&pod_path(name)).of(200);
    assert!(pod["metadata"]["deletionTimestamp"].is_string(), "{pod}");
    let conditions = pod["status"]["conditions"].as_array().expect("conditions");
    let target = conditions
        .iter()
        .find(|condition| condition["type"] == "DisruptionTarget");
    let target = target.expect("it says why it goes").clone();
    assert_eq!(
        (&target["status"], &target["reason"]),
        (&json!("True"), &json!("EvictionByEvictionAPI"))
    );
    pod
}

#[track_caller]
fn is_staying(world: &World, name: &str) {
    let pod = world.get(&pod_path(name)).of(200);
    assert!(pod["metadata"].get("deletionTimestamp").is_none(), "{pod}");
    assert!(!pod["status"].to_string().contains("DisruptionTarget"), "{pod}");
}

/// The cause of a refusal, where it is the budget's.
#[track_caller]
fn cause(answer: Answer) -> (String, Value) {
    let body = answer.of(429);
    assert_eq!(body["reason"], "TooManyRequests");
    assert_eq!(
        body["message"],
        "Cannot evict pod as it would violate the pod's disruption budget."
    );
    let cause = &body["details"]["causes"][0];
    assert_eq!(cause["reason"], "DisruptionBudget");
    let text = cause["message"].as_str().expect("a message").to_owned();
    (text, body["details"]["retryAfterSeconds"].clone())
}

fn a_budget_is_spent_until_nothing_is_left(world: &World) {
    let made = world.post(BUDGETS, &budget("b", "web")).of(201);
    assert_eq!(
        (&made["metadata"]["generation"], &made["status"]["disruptionsAllowed"]),
        (&json!(1), &json!(0))
    );
    for name in ["a", "b", "c"] {
        running(world, name, "web", true);
    }
    let behind = "The disruption budget b is still being processed by the server.";
    assert_eq!(
        cause(evict(world, "a")),
        (behind.to_owned(), json!(10)),
        "nobody has counted"
    );
    let counted = json!({"observedGeneration": 1, "disruptionsAllowed": 1, "currentHealthy": 3, "desiredHealthy": 2,
        "expectedPods": 3});
    count(world, "b", &counted);
    let status = evict(world, "a").of(201);
    assert_eq!(
        (&status["kind"], &status["status"]),
        (&json!("Status"), &json!("Success"))
    );
    is_going(world, "a");
    let spent = world.get(&format!("{BUDGETS}/b")).of(200);
    assert_eq!(spent["status"]["disruptionsAllowed"], 0);
    assert!(spent["status"]["disruptedPods"]["a"].is_string(), "{spent}");
    assert_eq!(spent["status"]["conditions"][0]["reason"], "InsufficientPods");
    assert_eq!(spent["metadata"]["generation"], 1, "a status is no change of the spec");
    let full = "The disruption budget b needs 2 healthy pods and has 3 currently";
    assert_eq!(cause(evict(world, "b")), (full.to_owned(), Value::Null));
    is_staying(world, "b");
    evict(world, "a").of(201);
    evict(world, "none").refused(404, "NotFound");
    let wider = json!({"spec": {"minAvailable": 0}});
    let changed = world.patch(&format!("{BUDGETS}/b"), "merge", &wider).of(200);
    assert_eq!(changed["metadata"]["generation"], 2);
    assert_eq!(cause(evict(world, "b")).0, behind, "that was counted on other terms");
}

fn pods_that_disturb_nobody_go_in_spite_of_a_full_budget(world: &World) {
    world.post(BUDGETS, &budget("b", "web")).of(201);
    let full = json!({"observedGeneration": 1, "currentHealthy": 2, "desiredHealthy": 2});
    let before = version(&count(world, "b", &full));
    let mut waiting = pod("waiting");
    waiting["metadata"]["labels"] = json!({"app": "web"});
    world.post(PODS, &waiting).of(201);
    evict(world, "waiting").of(201);
    assert_eq!(world.get(&pod_path("waiting")).code, 404, "it never ran");
    running(world, "done", "web", false);
    let done = json!({"status": {"phase": "Succeeded"}});
    world
        .patch(&format!("{}/status", pod_path("done")), "merge", &done)
        .of(200);
    evict(world, "done").of(201);
    running(world, "other", "db", true);
    evict(world, "other").of(201);
    is_going(world, "other");
    running(world, "ill", "web", false);
    evict(world, "ill").of(201);
    is_going(world, "ill");
    assert_eq!(
        version(&world.get(&format!("{BUDGETS}/b")).of(200)),
        before,
        "nothing was spent"
    );
}

fn pods_that_are_not_ready_go_as_the_policy_has_it(world: &World) {
    world.post(BUDGETS, &budget("b", "web")).of(201);
    count(
        world,
        "b",
        &json!({"observedGeneration": 1, "currentHealthy": 1, "desiredHealthy": 2}),
    );
    running(world, "ill", "web", false);
    let needs = "The disruption budget b needs 2 healthy pods and has 1 currently";
    assert_eq!(cause(evict(world, "ill")).0, needs, "it may be about to get well");
    let always = json!({"spec": {"unhealthyPodEvictionPolicy": "AlwaysAllow"}});
    world.patch(&format!("{BUDGETS}/b"), "merge", &always).of(200);
    evict(world, "ill").of(201);
    is_going(world, "ill");
}

fn two_budgets_for_a_pod_are_an_error(world: &World) {
    for name in ["a", "b"] {
        world.post(BUDGETS, &budget(name, "web")).of(201);
    }
    running(world, "p", "web", true);
    let answer = evict(world, "p").of(500);
    assert_eq!(
        answer["message"],
        "This pod has more than one PodDisruptionBudget, which the eviction subresource does not support."
    );
    is_staying(world, "p");
    let elsewhere = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "team"}});
    world.post("/api/v1/namespaces", &elsewhere).of(201);
    world.delete(&format!("{BUDGETS}/a")).of(200);
    world.delete(&format!("{BUDGETS}/b")).of(200);
    let of_others = BUDGETS.replace("default", "team");
    world.post(&of_others, &budget("b", "web")).of(201);
    evict(world, "p").of(201);
}

fn a_rehearsal_spends_nothing_and_is_refused_alike(world: &World) {
    world.post(BUDGETS, &budget("b", "web")).of(201);
    running(world, "p", "web", true);
    for (allowed, code) in [(1, 201), (0, 429)] {
        let status = json!({"observedGeneration": 1, "disruptionsAllowed": allowed});
        let before = version(&count(world, "b", &status));
        evict_with(world, "p", json!({"dryRun": ["All"]})).of(code);
        let path = format!("{}/eviction?dryRun=All", pod_path("p"));
        world.post(&path, &eviction("p", Value::Null)).of(code);
        is_staying(world, "p");
        assert_eq!(version(&world.get(&format!("{BUDGETS}/b")).of(200)), before);
    }
}

fn another_pod_than_the_one_meant_costs_nothing(world: &World) {
    world.post(BUDGETS, &budget("b", "web")).of(201);
    let before = version(&count(
        world,
        "b",
        &json!({"observedGeneration": 1, "disruptionsAllowed": 1}),
    ));
    running(world, "p", "web", true);
    for preconditions in [json!({"uid": "another"}), json!({"resourceVersion": "1"})] {
        evict_with(world, "p", json!({"preconditions": preconditions})).refused(409, "Conflict");
        is_staying(world, "p");
    }
    assert_eq!(version(&world.get(&format!("{BUDGETS}/b")).of(200)), before);
    let pod = world.get(&pod_path("p")).of(200);
    let meant = json!({"uid": pod["metadata"]["uid"], "resourceVersion": pod["metadata"]["resourceVersion"]});
    evict_with(world, "p", json!({"preconditions": meant, "gracePeriodSeconds": 7})).of(201);
    assert_eq!(is_going(world, "p")["metadata"]["deletionGracePeriodSeconds"], 7);
}

fn evictions_at_once_never_spend_more_than_there_is(world: &World) {
    let (pods, allowed) = (12, 5);
    world.post(BUDGETS, &budget("b", "web")).of(201);
    for index in 0..pods {
        running(world, &format!("p{index}"), "web", true);
    }
    count(
        world,
        "b",
        &json!({"observedGeneration": 1, "disruptionsAllowed": allowed}),
    );
    let requests = (0..pods).map(|index| {
        let name = format!("p{index}");
        let url = format!("{}{}/eviction", world.url, pod_path(&name));
        world.client().post(url).json(&eviction(&name, Value::Null)).send()
    });
    let answers = world.runtime.block_on(join_all(requests));
    let codes: Vec<u16> = answers
        .into_iter()
        .map(|answer| answer.expect("an answer").status().as_u16())
        .collect();
    let told = |code: u16| codes.iter().filter(|got| **got == code).count();
    assert_eq!((told(201), told(429)), (allowed, pods - allowed), "{codes:?}");
    let all = world.get(PODS).of(200);
    let going = all["items"].as_array().expect("items").iter();
    let going = going
        .filter(|pod| pod["metadata"]["deletionTimestamp"].is_string())
        .count();
    assert_eq!(going, allowed);
}

fn a_budget_is_an_object_like_others(world: &World) {
    let mut both = budget("b", "web");
    both["spec"]["maxUnavailable"] = json!("50%");
    let message = world.post(BUDGETS, &both).refused(422, "Invalid");
    assert!(
        message.contains("minAvailable and maxUnavailable cannot be both set"),
        "{message}"
    );
    world.post(BUDGETS, &budget("b", "web")).of(201);
    let path = format!("{BUDGETS}/b");
    let message = world.get(&format!("{BUDGETS}/none")).refused(404, "NotFound");
    assert_eq!(message, "poddisruptionbudgets.policy \"none\" not found");
    // The selector is one value to every kind of patch that knows the type.
    let other = json!({"spec": {"selector": {"matchLabels": {"tier": "front"}}}});
    let after = world.patch(&path, "strategic-merge", &other).of(200);
    assert_eq!(after["spec"]["selector"], json!({"matchLabels": {"tier": "front"}}));
    let below = json!({"status": {"disruptionsAllowed": -1}});
    world
        .patch(&format!("{path}/status"), "merge", &below)
        .refused(422, "Invalid");
    let accept = "application/json;as=Table;v=v1;g=meta.k8s.io";
    let table = world.get_as(BUDGETS, accept).of(200);
    let names: Vec<&Value> = table["columnDefinitions"]
        .as_array()
        .expect("columns")
        .iter()
        .map(|one| &one["name"])
        .collect();
    assert_eq!(
        names,
        ["Name", "Min Available", "Max Unavailable", "Allowed Disruptions", "Age"]
    );
    assert_eq!(
        table["rows"][0]["cells"].as_array().expect("cells")[..4],
        [json!("b"), json!("1"), json!("N/A"), json!(0)]
    );
}

on_both_stores!(
    a_budget_is_spent_until_nothing_is_left,
    pods_that_disturb_nobody_go_in_spite_of_a_full_budget,
    pods_that_are_not_ready_go_as_the_policy_has_it,
    two_budgets_for_a_pod_are_an_error,
    a_rehearsal_spends_nothing_and_is_refused_alike,
    another_pod_than_the_one_meant_costs_nothing,
    evictions_at_once_never_spend_more_than_there_is,
    a_budget_is_an_object_like_others,
);
