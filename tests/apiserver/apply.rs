//! Server-side apply over HTTP (trap 11).

use serde_json::{Value, json};

use super::on_both_stores;
use super::world::{World, config_map_path, version};

fn apply(world: &World, manager: &str, more: &str, data: Value) -> super::world::Answer {
    let object = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a"}, "data": data});
    world.patch(
        &format!("{}?fieldManager={manager}{more}", config_map_path("a")),
        "apply",
        &object,
    )
}

fn fields_are_owned_contested_forced_and_dropped(world: &World) {
    let made = apply(world, "one", "", json!({"x": "1", "y": "1"})).of(201);
    assert_eq!(made["metadata"]["managedFields"][0]["operation"], "Apply");
    let same = apply(world, "one", "", json!({"x": "1", "y": "1"})).of(200);
    assert_eq!(version(&same), version(&made), "applying the same again writes nothing");
    let answer = apply(world, "two", "", json!({"x": "2"}));
    assert_eq!(answer.body["details"]["causes"][0]["reason"], "FieldManagerConflict");
    assert_eq!(answer.body["details"]["causes"][0]["field"], ".data.x");
    let message = answer.refused(409, "Conflict");
    assert_eq!(message, "Apply failed with 1 conflict: conflict with \"one\": .data.x");
    let forced = apply(world, "two", "&force=true", json!({"x": "2"})).of(200);
    assert_eq!(forced["data"], json!({"x": "2", "y": "1"}));
    let dropped = apply(world, "one", "", json!({})).of(200);
    assert_eq!(
        dropped["data"],
        json!({"x": "2"}),
        "what one owned alone is gone, what two took over stays"
    );
}

fn wrong_configurations_are_refused(world: &World) {
    let object = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a"}});
    world
        .patch(&config_map_path("a"), "apply", &object)
        .refused(422, "Invalid");
    let path = format!("{}?fieldManager=one", config_map_path("a"));
    world
        .patch(&path, "apply", &json!({"kind": "ConfigMap", "metadata": {"name": "a"}}))
        .refused(400, "BadRequest");
    let mut other = object.clone();
    other["metadata"]["name"] = json!("b");
    world.patch(&path, "apply", &other).refused(400, "BadRequest");
    let mut managed = object.clone();
    managed["metadata"]["managedFields"] = json!([{"manager": "x", "operation": "Apply", "apiVersion": "v1"}]);
    world.patch(&path, "apply", &managed).refused(400, "BadRequest");
    world
        .patch(
            &format!("{}?fieldManager=one", "/api/v1/namespaces/none/configmaps/a"),
            "apply",
            &object,
        )
        .refused(404, "NotFound");
    assert_eq!(world.get(&config_map_path("a")).code, 404, "nothing was made");
}

fn an_apply_from_an_old_version_is_a_conflict(world: &World) {
    apply(world, "one", "", json!({"x": "1"})).of(201);
    let mut object = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a", "resourceVersion": "1"}, "data": {"x": "2"}});
    let path = format!("{}?fieldManager=one", config_map_path("a"));
    world.patch(&path, "apply", &object).refused(409, "Conflict");
    object["metadata"]["resourceVersion"] =
        world.get(&config_map_path("a")).of(200)["metadata"]["resourceVersion"].clone();
    assert_eq!(world.patch(&path, "apply", &object).of(200)["data"]["x"], "2");
}

fn an_apply_creates_what_others_delete_meanwhile(world: &World) {
    const ROUNDS: usize = 100;
    std::thread::scope(|scope| {
        let deleting = scope.spawn(|| {
            let codes = (0..ROUNDS).map(|_| world.delete(&config_map_path("a")).code);
            codes.filter(|code| *code == 200).count()
        });
        for round in 0..ROUNDS {
            let answer = apply(world, "one", "", json!({"x": round.to_string()}));
            assert!([200, 201].contains(&answer.code), "{answer:?}");
        }
        assert!(deleting.join().expect("deleted") > 0);
    });
}

on_both_stores!(
    fields_are_owned_contested_forced_and_dropped,
    wrong_configurations_are_refused,
    an_apply_from_an_old_version_is_a_conflict,
    an_apply_creates_what_others_delete_meanwhile,
);
