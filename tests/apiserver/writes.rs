//! Creates and updates: names, conflicts, rehearsals, statuses.

use serde_json::{Value, json};

use super::on_both_stores;
use super::world::{CONFIG_MAPS, PODS, World, config_map, config_map_path, pod, pod_path, version};

fn a_created_object_has_its_system_fields(world: &World) {
    let mut sent = config_map("a", &json!({}));
    sent["metadata"]["uid"] = json!("forged");
    sent["metadata"]["creationTimestamp"] = json!("1999-01-01T00:00:00Z");
    let made = world.post(CONFIG_MAPS, &sent).of(201);
    let metadata = &made["metadata"];
    assert_eq!(
        (&metadata["name"], &metadata["namespace"]),
        (&json!("a"), &json!("default"))
    );
    assert_ne!(metadata["uid"], "forged");
    assert!(metadata["creationTimestamp"].as_str().expect("a time") > "2020");
    assert!(version(&made) > 0);
    assert_eq!(world.get(&config_map_path("a")).of(200), made);
    let message = world.post(CONFIG_MAPS, &sent).refused(409, "AlreadyExists");
    assert_eq!(message, "configmaps \"a\" already exists");
    assert_eq!(
        world.get(&config_map_path("b")).refused(404, "NotFound"),
        "configmaps \"b\" not found"
    );
}

fn names_are_generated(world: &World) {
    let mut sent = config_map("", &json!({}));
    sent["metadata"] = json!({"generateName": "web-"});
    let names: Vec<String> = (0..5)
        .map(|_| {
            world.post(CONFIG_MAPS, &sent).of(201)["metadata"]["name"]
                .as_str()
                .expect("a name")
                .to_owned()
        })
        .collect();
    assert!(
        names.iter().all(|name| name.starts_with("web-") && name.len() == 9),
        "{names:?}"
    );
}

fn an_update_from_an_old_version_is_a_conflict(world: &World) {
    let first = world.create_config_map("a", &json!({}));
    let mut newer = first.clone();
    newer["data"]["k"] = json!("newer");
    let second = world.put(&config_map_path("a"), &newer).of(200);
    assert!(version(&second) > version(&first));
    let message = world.put(&config_map_path("a"), &first).refused(409, "Conflict");
    assert_eq!(
        message,
        "Operation cannot be fulfilled on configmaps \"a\": the object has been modified; please apply your changes to the latest \
         version and try again"
    );
    let unconditional = config_map("a", &json!({"now": "labelled"}));
    let third = world.put(&config_map_path("a"), &unconditional).of(200);
    assert_eq!(
        (&third["metadata"]["uid"], &third["data"]["k"]),
        (&first["metadata"]["uid"], &json!("v"))
    );
    let same = world.put(&config_map_path("a"), &unconditional).of(200);
    assert_eq!(version(&same), version(&third), "a write that changes nothing is none");
}

/// Trap 12.
fn preconditions_are_checked_in_the_write(world: &World) {
    let made = world.create_config_map("a", &json!({}));
    let mut other = made.clone();
    other["metadata"]["uid"] = json!("another");
    if let Some(metadata) = other["metadata"].as_object_mut() {
        metadata.remove("resourceVersion");
    }
    world.put(&config_map_path("a"), &other).refused(409, "Conflict");
    let path = config_map_path("a");
    let refuse = |preconditions: Value| {
        world
            .delete_with(&path, &json!({"preconditions": preconditions}))
            .refused(409, "Conflict")
    };
    assert!(refuse(json!({"uid": "another"})).contains("UID in precondition: another"));
    refuse(json!({"resourceVersion": "1"}));
    refuse(json!({"uid": made["metadata"]["uid"], "resourceVersion": "1"}));
    assert_eq!(world.get(&path).of(200), made, "nothing was changed");
    let right = json!({"uid": made["metadata"]["uid"], "resourceVersion": made["metadata"]["resourceVersion"]});
    world.delete_with(&path, &json!({"preconditions": right})).of(200);
    world.get(&path).refused(404, "NotFound");
}

fn a_rehearsal_goes_through_everything_and_writes_nothing(world: &World) {
    let before = world.runtime.block_on(world.store.revision()).expect("a revision");
    let made = world.post(&format!("{PODS}?dryRun=All"), &pod("p")).of(201);
    assert!(
        made["metadata"]["uid"].is_string() && made["spec"]["priority"] == 0,
        "{made}"
    );
    world.get(&pod_path("p")).refused(404, "NotFound");
    let mut wrong = pod("p");
    wrong["spec"]["containers"] = json!([]);
    world
        .post(&format!("{PODS}?dryRun=All"), &wrong)
        .refused(422, "Invalid");
    world
        .post(&format!("{PODS}?dryRun=Some"), &pod("p"))
        .refused(400, "BadRequest");
    assert_eq!(
        world.runtime.block_on(world.store.revision()).expect("a revision"),
        before
    );
    let real = world.create_config_map("a", &json!({}));
    world
        .post(&format!("{CONFIG_MAPS}?dryRun=All"), &config_map("a", &json!({})))
        .refused(409, "AlreadyExists");
    let before = world.runtime.block_on(world.store.revision()).expect("a revision");
    let patched = world
        .patch(
            &format!("{}?dryRun=All", config_map_path("a")),
            "merge",
            &json!({"data": {"k": "w"}}),
        )
        .of(200);
    assert_eq!(patched["data"]["k"], "w");
    world
        .put(
            &format!("{}?dryRun=All", config_map_path("a")),
            &config_map("a", &json!({"x": "y"})),
        )
        .of(200);
    world.delete(&format!("{}?dryRun=All", config_map_path("a"))).of(200);
    world
        .delete_with(&config_map_path("a"), &json!({"dryRun": ["All"]}))
        .of(200);
    assert_eq!(
        world.runtime.block_on(world.store.revision()).expect("a revision"),
        before
    );
    assert_eq!(world.get(&config_map_path("a")).of(200), real);
}

fn a_status_is_written_by_its_own_path_alone(world: &World) {
    world.post(PODS, &pod("p")).of(201);
    let status = json!({"metadata": {"labels": {"from": "status"}}, "spec": {"nodeName": "forged"}, "status": {"phase": "Running"}});
    let after = world
        .patch(&format!("{}/status", pod_path("p")), "merge", &status)
        .of(200);
    assert_eq!(
        (&after["status"]["phase"], after["spec"].get("nodeName")),
        (&json!("Running"), None)
    );
    let main = world
        .patch(
            &pod_path("p"),
            "merge",
            &json!({"status": {"phase": "Failed"}, "metadata": {"labels": {"a": "b"}}}),
        )
        .of(200);
    assert_eq!(
        (&main["status"]["phase"], &main["metadata"]["labels"]["a"]),
        (&json!("Running"), &json!("b"))
    );
    let mut put = main.clone();
    put["status"]["phase"] = json!("Succeeded");
    put["spec"]["containers"] = json!([]);
    let put = world.put(&format!("{}/status", pod_path("p")), &put).of(200);
    assert_eq!(
        (
            &put["status"]["phase"],
            put["spec"]["containers"].as_array().map(Vec::len)
        ),
        (&json!("Succeeded"), Some(1))
    );
    assert_eq!(world.get(&format!("{}/status", pod_path("p"))).of(200), put);
    world
        .get(&format!("{}/status", config_map_path("x")))
        .refused(404, "NotFound");
}

fn writers_are_recorded(world: &World) {
    let made = world
        .post(&format!("{CONFIG_MAPS}?fieldManager=me"), &config_map("a", &json!({})))
        .of(201);
    assert_eq!(made["metadata"]["managedFields"][0]["manager"], "me");
    assert_eq!(made["metadata"]["managedFields"][0]["operation"], "Update");
    let agent = world.post(CONFIG_MAPS, &config_map("b", &json!({}))).of(201);
    assert_eq!(
        agent["metadata"]["managedFields"][0]["manager"], "golden",
        "the program of the User-Agent"
    );
    world
        .post(
            &format!("{CONFIG_MAPS}?fieldManager={}", "x".repeat(129)),
            &config_map("c", &json!({})),
        )
        .refused(400, "BadRequest");
}

fn many_writers_of_one_object_all_succeed(world: &World) {
    world.create_config_map("a", &json!({}));
    let url = format!("{}{}", world.url, config_map_path("a"));
    world.runtime.block_on(async {
        let patches = (0..20).map(|index| {
            let patch = json!({"data": {format!("k{index}"): "v"}}).to_string();
            world
                .client()
                .patch(&url)
                .header("content-type", "application/merge-patch+json")
                .body(patch)
                .send()
        });
        for answer in futures::future::join_all(patches).await {
            assert_eq!(answer.expect("an answer").status().as_u16(), 200);
        }
    });
    let data = world.get(&config_map_path("a")).of(200)["data"].clone();
    assert_eq!(data.as_object().map(serde_json::Map::len), Some(21));
}

on_both_stores!(
    a_created_object_has_its_system_fields,
    names_are_generated,
    an_update_from_an_old_version_is_a_conflict,
    preconditions_are_checked_in_the_write,
    a_rehearsal_goes_through_everything_and_writes_nothing,
    a_status_is_written_by_its_own_path_alone,
    writers_are_recorded,
    many_writers_of_one_object_all_succeed,
);
