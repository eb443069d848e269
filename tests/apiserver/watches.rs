//! What watches deliver, and never skip.

use serde_json::{Value, json};

use super::on_both_stores;
use super::world::{CONFIG_MAPS, World, config_map, config_map_path, version};

/// Type, name and revision of an event.
fn event(kind: &str, name: &str, revision: u64) -> (String, String, u64) {
    (kind.to_owned(), name.to_owned(), revision)
}

/// The revision that a watch starts after to see everything from now on.
fn now(world: &World) -> u64 {
    version(&world.get(CONFIG_MAPS).of(200))
}

/// Trap 1.
fn a_slow_watcher_is_ended_or_complete_but_never_skipped_ahead(world: &World) {
    let start = now(world);
    let mut slow = world.watch(&format!("{CONFIG_MAPS}?watch=true&resourceVersion={start}"));
    let filler = "x".repeat(20_000);
    let count = 300;
    for index in 0..count {
        let mut object = config_map(&format!("c-{index:04}"), &json!({}));
        object["data"]["filler"] = json!(filler);
        world.post(CONFIG_MAPS, &object).of(201);
    }
    let mut seen = 0;
    let mut last = start;
    while seen < count {
        match slow.next() {
            Some(event) if event["type"] == "ADDED" => {
                assert_eq!(
                    event["object"]["metadata"]["name"],
                    format!("c-{seen:04}"),
                    "in order, none missing"
                );
                last = version(&event["object"]);
                seen += 1;
            }
            Some(event) => assert_eq!(event["object"]["code"], 410, "{event}"),
            None => slow = world.watch(&format!("{CONFIG_MAPS}?watch=true&resourceVersion={last}")),
        }
    }
}

/// Trap 2.
fn more_than_256_initial_objects_all_arrive(world: &World) {
    for index in 0..300 {
        world.create_config_map(&format!("c-{index:04}"), &json!({"of": "many"}));
    }
    let mut watch = world.watch(&format!("{CONFIG_MAPS}?watch=true&labelSelector=of%3Dmany"));
    for index in 0..300 {
        let (kind, name, _) = watch.event();
        assert_eq!((kind.as_str(), name), ("ADDED", format!("c-{index:04}")));
    }
    let live = world.create_config_map("live", &json!({"of": "many"}));
    assert_eq!(watch.event(), event("ADDED", "live", version(&live)));
}

/// Trap 3.
fn a_bookmark_never_runs_ahead_of_delivered_events(world: &World) {
    let start = now(world);
    let mut watch = world.watch(&format!(
        "{CONFIG_MAPS}?watch=true&resourceVersion={start}&allowWatchBookmarks=true&timeoutSeconds=8"
    ));
    let made: Vec<u64> = (0..20)
        .map(|index| version(&world.create_config_map(&format!("c-{index:02}"), &json!({}))))
        .collect();
    let mut delivered = Vec::new();
    let mut bookmark = 0;
    while let Some(event) = watch.next() {
        let revision = version(&event["object"]);
        if event["type"] == "BOOKMARK" {
            bookmark = revision;
        } else {
            assert!(revision > bookmark, "nothing at or before a bookmark comes after it");
            delivered.push(revision);
        }
    }
    assert_eq!(delivered, made);
    assert!(
        bookmark >= *made.last().expect("some"),
        "the watch ends with a bookmark"
    );
    let after = world.create_config_map("after", &json!({}));
    let mut resumed = world.watch(&format!("{CONFIG_MAPS}?watch=true&resourceVersion={bookmark}"));
    assert_eq!(resumed.event(), event("ADDED", "after", version(&after)));
}

/// Trap 4.
fn deleted_carries_the_deletions_revision_and_is_replayed(world: &World) {
    let made = version(&world.create_config_map("gone", &json!({})));
    let mut watch = world.watch(&format!("{CONFIG_MAPS}?watch=true&resourceVersion={made}"));
    world.delete(&config_map_path("gone")).of(200);
    let (kind, name, deleted) = watch.event();
    assert_eq!((kind.as_str(), name.as_str()), ("DELETED", "gone"));
    assert!(deleted > made);
    assert_eq!(deleted, now(world), "the deletion is the newest revision");
    let mut again = world.watch(&format!("{CONFIG_MAPS}?watch=true&resourceVersion={}", deleted - 1));
    assert_eq!(again.event(), event("DELETED", "gone", deleted));
    let next = world.create_config_map("next", &json!({}));
    let mut past = world.watch(&format!("{CONFIG_MAPS}?watch=true&resourceVersion={deleted}"));
    assert_eq!(
        past.event(),
        event("ADDED", "next", version(&next)),
        "resuming at it does not replay it"
    );
}

/// Trap 5, labels.
fn a_change_into_or_out_of_a_label_selector_is_added_or_deleted(world: &World) {
    let start = now(world);
    let mut watch = world.watch(&format!(
        "{CONFIG_MAPS}?watch=true&resourceVersion={start}&labelSelector=a%3Db"
    ));
    let relabel = |name: &str, value: Value| {
        version(
            &world
                .patch(
                    &config_map_path(name),
                    "merge",
                    &json!({"metadata": {"labels": {"a": value}}}),
                )
                .of(200),
        )
    };
    world.create_config_map("never", &json!({"a": "x"}));
    world.create_config_map("one", &json!({"a": "x"}));
    let into = relabel("one", json!("b"));
    let within = version(
        &world
            .patch(&config_map_path("one"), "merge", &json!({"data": {"k": "w"}}))
            .of(200),
    );
    let out = relabel("one", Value::Null);
    world.delete(&config_map_path("one")).of(200);
    relabel("never", json!("y"));
    let last = version(&world.create_config_map("last", &json!({"a": "b"})));
    assert_eq!(watch.event(), event("ADDED", "one", into));
    assert_eq!(watch.event(), event("MODIFIED", "one", within));
    let deleted = watch.next().expect("an event");
    assert_eq!(
        (&deleted["type"], version(&deleted["object"])),
        (&json!("DELETED"), out)
    );
    assert_eq!(
        deleted["object"]["metadata"]["labels"]["a"], "b",
        "its last state that matched"
    );
    assert_eq!(
        watch.event(),
        event("ADDED", "last", last),
        "what never matched, and what no longer does, stays silent"
    );
}

/// Trap 5, fields.
fn a_change_into_or_out_of_a_field_selector_is_added_or_deleted(world: &World) {
    use super::world::{PODS, pod, pod_path};
    let start = now(world);
    let mut pending = world.watch(&format!(
        "{PODS}?watch=true&resourceVersion={start}&fieldSelector=spec.nodeName%3D"
    ));
    let mut bound = world.watch(&format!(
        "{PODS}?watch=true&resourceVersion={start}&fieldSelector=spec.nodeName%3Dn1"
    ));
    let made = version(&world.post(PODS, &pod("p")).of(201));
    let binding = json!({"apiVersion": "v1", "kind": "Binding", "metadata": {"name": "p"}, "target": {"kind": "Node", "name": "n1"}});
    world.post(&format!("{}/binding", pod_path("p")), &binding).of(201);
    let bind = version(&world.get(&pod_path("p")).of(200));
    assert_eq!(pending.event(), event("ADDED", "p", made));
    assert_eq!(pending.event(), event("DELETED", "p", bind));
    assert_eq!(bound.event(), event("ADDED", "p", bind));
}

/// Trap 6.
fn a_closed_watch_resumes_from_the_last_revision_without_a_gap(world: &World) {
    let start = now(world);
    let mut first = world.watch(&format!("{CONFIG_MAPS}?watch=true&resourceVersion={start}"));
    world.create_config_map("one", &json!({}));
    let (_, _, last) = first.event();
    drop(first);
    let two = version(&world.create_config_map("two", &json!({})));
    let three = version(&world.create_config_map("three", &json!({})));
    let mut second = world.watch(&format!("{CONFIG_MAPS}?watch=true&resourceVersion={last}"));
    assert_eq!(second.event(), event("ADDED", "two", two));
    assert_eq!(second.event(), event("ADDED", "three", three));
}

/// Trap 7.
fn a_compacted_revision_is_410_expired(world: &World) {
    let first = version(&world.create_config_map("one", &json!({})));
    let second = version(&world.create_config_map("two", &json!({})));
    world.create_config_map("three", &json!({}));
    world.runtime.block_on(world.store.compact(second)).expect("compacts");
    let mut watch = world.watch(&format!("{CONFIG_MAPS}?watch=true&resourceVersion={}", first - 1));
    let told = watch.next().expect("an event");
    assert_eq!(
        (&told["type"], &told["object"]["code"], &told["object"]["reason"]),
        (&json!("ERROR"), &json!(410), &json!("Expired"))
    );
    assert_eq!(watch.next(), None, "the watch is over");
    let query = format!("{CONFIG_MAPS}?resourceVersion={first}&resourceVersionMatch=Exact");
    world.get(&query).refused(410, "Expired");
}

fn a_watch_of_one_name_begins_with_the_object(world: &World) {
    world.create_config_map("one-more", &json!({}));
    for version_query in ["", "&resourceVersion=0"] {
        let made = version(&world.create_config_map("one", &json!({})));
        let mut watch = world.watch(&format!(
            "{CONFIG_MAPS}?watch=true&fieldSelector=metadata.name%3Done{version_query}"
        ));
        assert_eq!(watch.event(), event("ADDED", "one", made));
        world
            .patch(
                &config_map_path("one-more"),
                "merge",
                &json!({"data": {"k": version_query}}),
            )
            .of(200);
        let changed = world
            .patch(&config_map_path("one"), "merge", &json!({"data": {"k": "changed"}}))
            .of(200);
        assert_eq!(watch.event(), event("MODIFIED", "one", version(&changed)));
        world.delete(&config_map_path("one")).of(200);
        assert_eq!(watch.event().0, "DELETED");
    }
}

fn initial_events_end_with_a_marked_bookmark(world: &World) {
    world.create_config_map("one", &json!({"x": "y"}));
    let query = "watch=true&sendInitialEvents=true&resourceVersionMatch=NotOlderThan&allowWatchBookmarks=true&labelSelector=x%3Dy";
    let mut watch = world.watch(&format!("{CONFIG_MAPS}?{query}"));
    assert_eq!(watch.event().0, "ADDED");
    let end = watch.next().expect("a bookmark");
    assert_eq!(
        (&end["type"], &end["object"]["kind"]),
        (&json!("BOOKMARK"), &json!("ConfigMap"))
    );
    assert_eq!(
        end["object"]["metadata"]["annotations"]["k8s.io/initial-events-end"],
        "true"
    );
    assert_eq!(version(&end["object"]), now(world));
    let live = world.create_config_map("two", &json!({"x": "y"}));
    assert_eq!(watch.event(), event("ADDED", "two", version(&live)));
    world
        .get(&format!("{CONFIG_MAPS}?watch=true&sendInitialEvents=true"))
        .refused(400, "BadRequest");
}

fn a_watch_ends_at_its_timeout_and_at_shutdown(world: &World) {
    let mut short = world.watch(&format!(
        "{CONFIG_MAPS}?watch=true&timeoutSeconds=1&resourceVersion={}",
        now(world)
    ));
    assert_eq!(short.next(), None);
    let mut long = world.watch(&format!("{CONFIG_MAPS}?watch=true&resourceVersion={}", now(world)));
    world.shut_down();
    assert_eq!(long.next(), None);
}

fn tables_are_watched_with_columns_once(world: &World) {
    world.create_config_map("one", &json!({}));
    let url = format!(
        "{}{CONFIG_MAPS}?watch=true&fieldSelector=metadata.name%3Done",
        world.url
    );
    let accept = "application/json;as=Table;v=v1;g=meta.k8s.io,application/json";
    let mut body = world.runtime.block_on(async {
        world
            .client()
            .get(url)
            .header("accept", accept)
            .send()
            .await
            .expect("an answer")
    });
    let mut line = || {
        let chunk = world
            .runtime
            .block_on(async { body.chunk().await.expect("a chunk").expect("more") });
        serde_json::from_slice::<Value>(&chunk).expect("one event")
    };
    let first = line();
    assert_eq!(
        (&first["type"], &first["object"]["kind"]),
        (&json!("ADDED"), &json!("Table"))
    );
    assert_eq!(first["object"]["columnDefinitions"][0]["name"], "Name");
    assert_eq!(first["object"]["rows"][0]["cells"][0], "one");
    assert_eq!(first["object"]["rows"][0]["object"]["kind"], "PartialObjectMetadata");
    world
        .patch(&config_map_path("one"), "merge", &json!({"data": {"z": "z"}}))
        .of(200);
    let second = line();
    assert_eq!(second["type"], "MODIFIED");
    assert!(second["object"].get("columnDefinitions").is_none(), "{second}");
}

on_both_stores!(
    a_slow_watcher_is_ended_or_complete_but_never_skipped_ahead,
    more_than_256_initial_objects_all_arrive,
    a_bookmark_never_runs_ahead_of_delivered_events,
    deleted_carries_the_deletions_revision_and_is_replayed,
    a_change_into_or_out_of_a_label_selector_is_added_or_deleted,
    a_change_into_or_out_of_a_field_selector_is_added_or_deleted,
    a_closed_watch_resumes_from_the_last_revision_without_a_gap,
    a_compacted_revision_is_410_expired,
    a_watch_of_one_name_begins_with_the_object,
    initial_events_end_with_a_marked_bookmark,
    a_watch_ends_at_its_timeout_and_at_shutdown,
    tables_are_watched_with_columns_once,
);
