//! Patches over HTTP; what each does to values is tested where it is computed.

use serde_json::{Value, json};

use super::on_both_stores;
use super::world::{PODS, World, config_map_path, pod, pod_path, version};

fn a_patch_that_changes_nothing_writes_nothing(world: &World) {
    let made = world.create_config_map("a", &json!({"l": "x"}));
    for (kind, patch) in [
        ("merge", json!({"data": {"k": "v"}})),
        ("strategic-merge", json!({"metadata": {"labels": {"l": "x"}}})),
        ("json", json!([{"op": "test", "path": "/data/k", "value": "v"}])),
    ] {
        let after = world.patch(&config_map_path("a"), kind, &patch).of(200);
        assert_eq!(after, made, "{kind}");
    }
}

fn a_patch_that_names_a_version_must_meet_it(world: &World) {
    let made = world.create_config_map("a", &json!({}));
    let patch = |version: Value| json!({"metadata": {"resourceVersion": version}, "data": {"k": "w"}});
    world
        .patch(&config_map_path("a"), "merge", &patch(json!("1")))
        .refused(409, "Conflict");
    let after = world
        .patch(
            &config_map_path("a"),
            "merge",
            &patch(made["metadata"]["resourceVersion"].clone()),
        )
        .of(200);
    assert!(version(&after) > version(&made));
}

/// Trap 9, as far as HTTP goes.
fn a_strategic_merge_keeps_what_it_does_not_name(world: &World) {
    let mut sent = pod("p");
    sent["spec"]["containers"] = json!([
        {"name": "a", "image": "x:1", "env": [{"name": "A", "value": "1"}, {"name": "B", "value": "2"}]},
        {"name": "b", "image": "y:1"},
    ]);
    world.post(PODS, &sent).of(201);
    let patch = json!({"spec": {"containers": [{"name": "b", "image": "y:2"}]}, "metadata": {"labels": {"n": "m"}}});
    let after = world.patch(&pod_path("p"), "strategic-merge", &patch).of(200);
    let images: Vec<&Value> = after["spec"]["containers"]
        .as_array()
        .expect("a list")
        .iter()
        .map(|container| &container["image"])
        .collect();
    assert_eq!(images, [&json!("x:1"), &json!("y:2")]);
    assert_eq!(after["spec"]["containers"][0]["env"].as_array().map(Vec::len), Some(2));
}

/// Trap 10.
fn a_wrong_json_patch_is_refused(world: &World) {
    world.post(PODS, &pod("p")).of(201);
    let cases = [
        (
            "index past the end",
            json!([{"op": "remove", "path": "/spec/containers/7"}]),
            422,
        ),
        (
            "negative index",
            json!([{"op": "replace", "path": "/spec/containers/-1/image", "value": "x"}]),
            422,
        ),
        (
            "missing path",
            json!([{"op": "replace", "path": "/spec/nothing/here", "value": 1}]),
            422,
        ),
        (
            "failing test",
            json!([{"op": "test", "path": "/metadata/name", "value": "q"}]),
            422,
        ),
        ("unknown operation", json!([{"op": "explode", "path": "/spec"}]), 422),
        ("not a list", json!({"op": "remove", "path": "/spec"}), 400),
        (
            "the whole object",
            json!([{"op": "replace", "path": "", "value": 5}]),
            422,
        ),
        (
            "another name",
            json!([{"op": "replace", "path": "/metadata/name", "value": "q"}]),
            400,
        ),
    ];
    for (name, patch, code) in cases {
        let answer = world.patch(&pod_path("p"), "json", &patch);
        assert_eq!(answer.code, code, "{name}: {}", answer.text);
        assert_eq!(answer.body["kind"], "Status", "{name}");
    }
}

fn patches_are_refused_where_they_do_not_fit(world: &World) {
    world.create_config_map("a", &json!({}));
    let path = config_map_path("a");
    world
        .patch(&path, "nonsense", &json!({}))
        .refused(415, "UnsupportedMediaType");
    world.patch(&path, "merge", &json!([1])).refused(422, "Invalid");
    world
        .patch(&path, "merge", &json!({"data": {"k": 5}}))
        .refused(422, "Invalid");
    world
        .patch(&format!("{path}?force=true"), "merge", &json!({}))
        .refused(422, "Invalid");
    world
        .patch(&path, "merge", &json!({"metadata": {"uid": "another"}}))
        .refused(422, "Invalid");
    world
        .patch(&config_map_path("none"), "merge", &json!({}))
        .refused(404, "NotFound");
    world
        .patch(&format!("{path}?fieldValidation=Strict"), "merge", &json!({"nope": 1}))
        .refused(422, "Invalid");
    let warned = world.patch(&path, "merge", &json!({"nope": 1, "data": {"k": "w"}}));
    assert_eq!(warned.warnings, ["299 - \"unknown field \\\"nope\\\"\""]);
    assert_eq!(warned.of(200)["data"]["k"], "w");
}

on_both_stores!(
    a_patch_that_changes_nothing_writes_nothing,
    a_patch_that_names_a_version_must_meet_it,
    a_strategic_merge_keeps_what_it_does_not_name,
    a_wrong_json_patch_is_refused,
    patches_are_refused_where_they_do_not_fit,
);
