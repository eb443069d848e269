//! Lists: pages at one revision, selectors, versions, shapes.

use serde_json::{Value, json};

use super::on_both_stores;
use super::world::{CONFIG_MAPS, World, config_map_path, version};

const OF_MANY: &str = "labelSelector=of%3Dmany";

fn names(list: &Value) -> Vec<String> {
    let items = list["items"].as_array().expect("items");
    items
        .iter()
        .map(|item| item["metadata"]["name"].as_str().expect("a name").to_owned())
        .collect()
}

fn numbered(range: std::ops::Range<usize>) -> Vec<String> {
    range.map(|index| format!("c-{index:02}")).collect()
}

fn make(world: &World, count: usize) {
    for name in numbered(0..count) {
        world.create_config_map(&name, &json!({"of": "many"}));
    }
}

/// Trap 8.
fn pages_and_their_revision_come_from_one_snapshot(world: &World) {
    make(world, 10);
    let first = world.get(&format!("{CONFIG_MAPS}?limit=4")).of(200);
    assert_eq!(names(&first), numbered(0..4));
    assert_eq!(first["metadata"]["remainingItemCount"], 6);
    world.delete(&config_map_path("c-05")).of(200);
    world.create_config_map("c-04a", &json!({}));
    let token = first["metadata"]["continue"].as_str().expect("a token");
    let second = world.get(&format!("{CONFIG_MAPS}?limit=4&continue={token}")).of(200);
    assert_eq!(names(&second), numbered(4..8), "as it was when the list began");
    assert_eq!(version(&second), version(&first));
    let token = second["metadata"]["continue"].as_str().expect("a token");
    let third = world.get(&format!("{CONFIG_MAPS}?limit=4&continue={token}")).of(200);
    assert_eq!(names(&third), numbered(8..10));
    assert!(third["metadata"].get("continue").is_none() && third["metadata"].get("remainingItemCount").is_none());
    let fresh = world.get(CONFIG_MAPS).of(200);
    assert!(names(&fresh).contains(&"c-04a".to_owned()) && !names(&fresh).contains(&"c-05".to_owned()));
}

fn pages_under_a_selector_are_full_and_complete(world: &World) {
    for index in 0..30 {
        world.create_config_map(&format!("c-{index:02}"), &json!({"odd": (index % 2 == 1).to_string()}));
    }
    let mut found = Vec::new();
    let mut query = format!("{CONFIG_MAPS}?limit=4&labelSelector=odd%3Dtrue");
    let base = query.clone();
    loop {
        let page = world.get(&query).of(200);
        assert!(
            page["metadata"].get("remainingItemCount").is_none(),
            "unknown under a selector"
        );
        found.extend(names(&page));
        match page["metadata"]["continue"].as_str() {
            Some(token) => {
                assert_eq!(page["items"].as_array().map(Vec::len), Some(4));
                query = format!("{base}&continue={token}");
            }
            None => break,
        }
    }
    let odd: Vec<String> = (0..30)
        .filter(|index| index % 2 == 1)
        .map(|index| format!("c-{index:02}"))
        .collect();
    assert_eq!(found, odd);
}

fn an_expired_continue_is_410_with_a_token_to_go_on(world: &World) {
    make(world, 6);
    let first = world.get(&format!("{CONFIG_MAPS}?limit=4")).of(200);
    let token = first["metadata"]["continue"].as_str().expect("a token");
    world.create_config_map("c-05a", &json!({}));
    let newest = version(&world.get(CONFIG_MAPS).of(200));
    world.runtime.block_on(world.store.compact(newest)).expect("compacts");
    let answer = world.get(&format!("{CONFIG_MAPS}?limit=4&continue={token}"));
    assert_eq!(answer.body["reason"], "Expired", "{}", answer.text);
    let refused = answer.of(410);
    let fresh = refused["metadata"]["continue"].as_str().expect("a fresh token");
    let rest = world.get(&format!("{CONFIG_MAPS}?limit=4&continue={fresh}")).of(200);
    assert_eq!(
        names(&rest),
        ["c-04", "c-05", "c-05a"],
        "the rest, at the newest revision"
    );
}

fn versions_are_honoured(world: &World) {
    make(world, 1);
    let old = version(&world.get(CONFIG_MAPS).of(200));
    world.create_config_map("new", &json!({"of": "many"}));
    let newest = version(&world.get(CONFIG_MAPS).of(200));
    let exact = world
        .get(&format!(
            "{CONFIG_MAPS}?{OF_MANY}&resourceVersion={old}&resourceVersionMatch=Exact"
        ))
        .of(200);
    assert_eq!((names(&exact), version(&exact)), (vec!["c-00".to_owned()], old));
    for query in [
        "resourceVersion=0".to_owned(),
        format!("resourceVersion={old}"),
        format!("resourceVersion={old}&resourceVersionMatch=NotOlderThan"),
    ] {
        assert_eq!(
            names(&world.get(&format!("{CONFIG_MAPS}?{OF_MANY}&{query}")).of(200)),
            ["c-00", "new"],
            "{query}"
        );
    }
    let future = world.get(&format!("{CONFIG_MAPS}?resourceVersion={}", newest + 1000));
    assert_eq!(future.body["details"]["causes"][0]["reason"], "ResourceVersionTooLarge");
    assert!(future.refused(504, "Timeout").starts_with("Too large resource version"));
    world
        .get(&format!("{}?resourceVersion={}", config_map_path("new"), newest + 1000))
        .refused(504, "Timeout");
    world
        .get(&format!("{CONFIG_MAPS}?resourceVersion=abc"))
        .refused(400, "BadRequest");
    world
        .get(&format!("{CONFIG_MAPS}?resourceVersionMatch=Exact"))
        .refused(400, "BadRequest");
}

fn selectors(world: &World) {
    world.create_config_map("a", &json!({"app": "web", "tier": "front"}));
    world.create_config_map("b", &json!({"app": "web"}));
    world.create_config_map("c", &json!({"app": "db"}));
    let cases: [(&str, &[&str]); 8] = [
        ("labelSelector=app%3Dweb", &["a", "b"]),
        ("labelSelector=app%3Dweb,tier", &["a"]),
        ("labelSelector=app%20in%20(web,db),!tier", &["b", "c"]),
        ("labelSelector=app%20notin%20(web),app", &["c"]),
        ("fieldSelector=metadata.name%3Db", &["b"]),
        ("fieldSelector=metadata.name%3Dnone", &[]),
        ("labelSelector=app&fieldSelector=metadata.name!%3Db", &["a", "c"]),
        ("labelSelector=app&fieldSelector=metadata.namespace%3Dother", &[]),
    ];
    for (query, expected) in cases {
        assert_eq!(
            names(&world.get(&format!("{CONFIG_MAPS}?{query}")).of(200)),
            expected,
            "{query}"
        );
        let everywhere = world.get(&format!("/api/v1/configmaps?{query}")).of(200);
        assert_eq!(names(&everywhere), expected, "{query} over all namespaces");
    }
    world
        .get(&format!("{CONFIG_MAPS}?labelSelector=(("))
        .refused(400, "BadRequest");
    let message = world
        .get(&format!("{CONFIG_MAPS}?fieldSelector=spec.foo%3Dx"))
        .refused(400, "BadRequest");
    assert!(message.contains("field label not supported: spec.foo"), "{message}");
}

fn shapes(world: &World) {
    world.create_config_map("a", &json!({}));
    let table = world
        .get_as(CONFIG_MAPS, "application/json;as=Table;v=v1;g=meta.k8s.io")
        .of(200);
    assert_eq!(
        (&table["kind"], &table["apiVersion"]),
        (&json!("Table"), &json!("meta.k8s.io/v1"))
    );
    assert_eq!(
        table["columnDefinitions"].as_array().map(Vec::len),
        table["rows"][0]["cells"].as_array().map(Vec::len)
    );
    assert!(version(&table) > 0);
    let one = world
        .get_as(
            &config_map_path("a"),
            "application/json;as=Table;v=v1beta1;g=meta.k8s.io",
        )
        .of(200);
    assert_eq!(
        (&one["apiVersion"], &one["rows"][0]["cells"][0]),
        (&json!("meta.k8s.io/v1beta1"), &json!("a"))
    );
    let rows = |include: &str| {
        let path = format!("{CONFIG_MAPS}?includeObject={include}");
        world
            .get_as(&path, "application/json;as=Table;v=v1;g=meta.k8s.io")
            .of(200)["rows"][0]["object"]
            .clone()
    };
    assert_eq!(rows("None"), Value::Null);
    assert_eq!(rows("Metadata")["kind"], "PartialObjectMetadata");
    assert_eq!(rows("Object")["data"]["k"], "v");
    let partial = world
        .get_as(
            CONFIG_MAPS,
            "application/json;as=PartialObjectMetadataList;v=v1;g=meta.k8s.io",
        )
        .of(200);
    assert_eq!(
        (&partial["kind"], partial["items"][0].get("data")),
        (&json!("PartialObjectMetadataList"), None)
    );
    let protobuf = "application/vnd.kubernetes.protobuf";
    assert_eq!(
        world
            .get_as(CONFIG_MAPS, &format!("{protobuf},application/json"))
            .of(200)["kind"],
        "ConfigMapList"
    );
    world.get_as(CONFIG_MAPS, protobuf).refused(406, "NotAcceptable");
}

on_both_stores!(
    pages_and_their_revision_come_from_one_snapshot,
    pages_under_a_selector_are_full_and_complete,
    an_expired_continue_is_410_with_a_token_to_go_on,
    versions_are_honoured,
    selectors,
    shapes,
);
