//! Sources that are objects of the cluster: followed while they are there, and told what became of them.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use reconcile::gitops::Neighbours;
use reconcile::gitops::manage::Sources;
use reconcile::gitops::manager::Manager;
use reconcile::gitops::telling::Telling;
use reconcile::gitops::webhook::Webhooks;
use reconcile::gitops::{Presence, Report, Reporter};
use serde_json::{Value, json};
use tokio_util::sync::{CancellationToken, DropGuard};

use super::harness::{World, config_map, eventually, pod};
use crate::support::git::Repository;

const PATIENCE: Duration = Duration::from_secs(20);

fn manage(world: &World, taken: &[&str]) -> DropGuard {
    manage_with(world, taken, &Telling::default())
}

pub fn manage_with(world: &World, taken: &[&str], telling: &Telling) -> DropGuard {
    let stop = CancellationToken::new();
    let manager = Manager {
        client: world.client.clone(),
        data_dir: world.path("data"),
        webhooks: Webhooks::default(),
        webhook_secret: None,
        neighbours: Neighbours::default(),
        telling: telling.clone(),
        presence: Presence::new("test"),
        taken: taken
            .iter()
            .map(|name| (*name).to_owned())
            .collect::<BTreeSet<String>>(),
        reporter: Arc::new(|_| -> Arc<dyn Reporter> { Arc::new(|_: Report| {}) }),
    };
    tokio::spawn(manager.run(stop.clone()));
    stop.drop_guard()
}

pub fn source(name: &str, folder: &Path, rest: Value) -> Value {
    let mut spec = json!({"source": folder});
    spec.as_object_mut()
        .expect("an object")
        .extend(rest.as_object().expect("an object").clone());
    json!({"apiVersion": "reconcile.dev/v1", "kind": "Source", "metadata": {"name": name}, "spec": spec})
}

pub fn folder(world: &World, name: &str, map: &str) -> std::path::PathBuf {
    let folder = world.path(name);
    std::fs::create_dir_all(&folder).expect("a folder");
    std::fs::write(folder.join("map.yaml"), config_map(map, "1")).expect("a manifest");
    folder
}

/// Writes a spec into the store as if another version of the API server had.
async fn rewrite(world: &World, name: &str, spec: Value) {
    let key = format!("/registry/sources/{name}");
    loop {
        let (item, _) = world.store.get(&key).await.expect("the store answers");
        let item = item.expect("it is there");
        let mut object: Value = serde_json::from_slice(&item.value).expect("JSON");
        object["spec"] = spec.clone();
        object["metadata"]["generation"] = json!(object["metadata"]["generation"].as_i64().expect("a generation") + 1);
        let value = serde_json::to_vec(&object).expect("JSON");
        if world.store.update(&key, value.into(), item.mod_revision).await.is_ok() {
            return;
        }
    }
}

/// Waits until the source's condition has that reason; returns the object.
pub async fn told(world: &World, name: &str, reason: &str) -> Value {
    eventually(&format!("{name}: {reason}"), async || {
        let found = world.get_in("Source", None, name).await.ok_or("it is not there")?;
        match found["status"]["conditions"][0]["reason"].as_str() {
            Some(told) if told == reason => Ok(found),
            _ => Err(found["status"].to_string()),
        }
    })
    .await
}

#[tokio::test]
async fn sources_are_followed_while_they_are_there() {
    let world = World::new().await;
    let _manager = manage(&world, &[]);
    let (one, two) = (folder(&world, "one", "a"), folder(&world, "two", "b"));
    world.create(source("one", &one, json!({}))).await;
    world.create(source("two", &two, json!({"pruneBudget": "none"}))).await;
    let first = told(&world, "one", "Synced").await;
    assert_eq!(first["status"]["objects"], 1);
    assert_eq!(first["status"]["conditions"][0]["status"], "True");
    told(&world, "two", "Synced").await;
    assert_eq!(world.names("ConfigMap").await, ["a", "b"]);
    // The spec changes: the source is another folder, and what the first one held leaves.
    let third = folder(&world, "three", "c");
    world.merge("Source", "two", json!({"spec": {"source": third}})).await;
    eventually("the other folder", async || match world.names("ConfigMap").await {
        names if names == ["a", "c"] => Ok(()),
        names => Err(format!("{names:?}")),
    })
    .await;
    // What goes is not followed any more, and deletes nothing.
    world.delete("Source", "one").await;
    let names = Sources::new(world.client.clone()).statuses(None).await.expect("known");
    assert_eq!(
        names.iter().map(|one| one.name.as_str()).collect::<Vec<_>>(),
        ["one", "two"]
    );
    std::fs::write(third.join("more.yaml"), config_map("d", "1")).expect("a manifest");
    eventually("what is left goes on", async || match world.names("ConfigMap").await {
        names if names == ["a", "c", "d"] => Ok(()),
        names => Err(format!("{names:?}")),
    })
    .await;
}

#[tokio::test]
async fn what_is_wrong_stands_in_the_status() {
    let world = World::new().await;
    let _manager = manage(&world, &["taken"]);
    world.create(source("lost", &world.path("nowhere"), json!({}))).await;
    let lost = told(&world, "lost", "Failed").await;
    let message = lost["status"]["conditions"][0]["message"].as_str().expect("a message");
    assert!(message.contains("no such file"), "{message}");
    let folder = folder(&world, "one", "a");
    world.create(source("taken", &folder, json!({}))).await;
    told(&world, "taken", "InvalidSpec").await;
    // Stored by a version that took it.
    let bad = source("bad", &folder, json!({"pruneBudget": "half"}));
    world.create(source("bad", &folder, json!({"suspend": true}))).await;
    told(&world, "bad", "Suspended").await;
    rewrite(&world, "bad", bad["spec"].clone()).await;
    let bad = told(&world, "bad", "InvalidSpec").await;
    let message = bad["status"]["conditions"][0]["message"].as_str().expect("a message");
    assert!(message.contains("spec.pruneBudget: \"half\""), "{message}");
    world
        .merge("Source", "bad", json!({"metadata": {"labels": {"still": "there"}}}))
        .await;
    assert_eq!(world.names("ConfigMap").await, Vec::<String>::new());
    world
        .merge("Source", "bad", json!({"spec": {"pruneBudget": "1"}}))
        .await;
    told(&world, "bad", "Synced").await;
    std::fs::write(folder.join("broken.yaml"), "\t").expect("written");
    let broken = told(&world, "bad", "Errors").await;
    let message = broken["status"]["conditions"][0]["message"]
        .as_str()
        .expect("a message");
    assert!(message.contains("broken.yaml:1:1"), "{message}");
    assert_eq!(broken["status"]["conditions"][0]["status"], "False");
}

#[tokio::test]
async fn a_spec_can_suspend() {
    let world = World::new().await;
    let _manager = manage(&world, &[]);
    let folder = folder(&world, "one", "a");
    world.create(source("one", &folder, json!({"suspend": true}))).await;
    told(&world, "one", "Suspended").await;
    assert_eq!(world.names("ConfigMap").await, Vec::<String>::new());
    let sources = Sources::new(world.client.clone());
    let patience = std::time::Duration::from_secs(20);
    for refused in [
        sources.suspend(Some("one"), false).await.map(drop),
        sources.sync(Some("one"), patience).await.map(drop),
    ] {
        let refused = refused.expect_err("its spec says so").to_string();
        assert!(refused.contains("set spec.suspend"), "{refused}");
    }
    world.merge("Source", "one", json!({"spec": {"suspend": false}})).await;
    told(&world, "one", "Synced").await;
    assert_eq!(world.names("ConfigMap").await, ["a"]);
}

#[tokio::test]
async fn a_source_waits_for_those_it_depends_on() {
    let world = World::new().await;
    let _manager = manage(&world, &[]);
    let (base, app) = (folder(&world, "base", "a"), folder(&world, "app", "b"));
    std::fs::write(base.join("db.yaml"), pod("db", "hello")).expect("a manifest");
    world.create(source("app", &app, json!({"dependsOn": ["base"]}))).await;
    let waits = told(&world, "app", "DependencyNotReady").await;
    let message = waits["status"]["conditions"][0]["message"].as_str().expect("a message");
    assert_eq!(message, "the source base comes first: it was not synced yet");
    world.create(source("base", &base, json!({}))).await;
    told(&world, "base", "Synced").await;
    let asked = Sources::new(world.client.clone())
        .sync(Some("app"), std::time::Duration::from_secs(20))
        .await
        .expect("answered");
    assert!(!asked.is_in_sync(), "{:?}", asked.record);
    assert_eq!(world.names("ConfigMap").await, ["a"], "the pod is not ready yet");
    let ready = json!({"phase": "Running", "conditions": [{"type": "Ready", "status": "True"}]});
    world.merge_status("db", ready).await;
    told(&world, "app", "Synced").await;
    assert_eq!(world.names("ConfigMap").await, ["a", "b"]);
}

#[tokio::test]
async fn the_api_server_refuses_what_could_not_be_followed_and_names_all_of_it() {
    let world = World::new().await;
    let own = folder(&world, "own", "a");
    let empty = json!({"apiVersion": "reconcile.dev/v1", "kind": "Source", "metadata": {"name": "x"}, "spec": {"interval": "0s"}});
    let refused = world.try_create(empty).await.expect_err("it follows nothing");
    let expected = "Source.reconcile.dev \"x\" is invalid: [spec.source: Required value, spec.interval: Invalid value: \"0s\": must be more than zero]";
    assert!(refused.contains(expected), "{refused}");
    let wrong = json!({
        "dependsOn": ["own"],
        "pruneBudget": "half",
        "windows": [{"kind": "allow", "schedule": "0 0 22 * * *", "duration": "1 foo"}],
        "verify": {"mode": "Commits", "files": ["/etc/passwd"]},
    });
    let expected = [
        "spec.pruneBudget: Invalid value: \"half\": write 50%, a number of objects, or none",
        "spec.dependsOn[0]: Invalid value: \"own\": a source cannot come before itself",
        "spec.windows[0].duration: Invalid value: \"1 foo\": write a duration as 30s, 5m or 1h30m",
        "spec.verify.files: Forbidden: is for files of --config; an object has secretRef",
        "spec.verify.secretRef: Required value",
    ];
    let refused = world.try_create(source("own", &own, wrong.clone())).await;
    let refused = refused.expect_err("refused");
    assert!(refused.contains(&expected.join(", ")), "{refused}");
    world.create(source("own", &own, json!({}))).await;
    let refused = world.try_merge("Source", "own", json!({"spec": wrong})).await;
    let refused = refused.expect_err("refused");
    assert!(refused.contains(&expected.join(", ")), "{refused}");
    // What was stored under other rules may be mended bit by bit, and nothing new may go wrong.
    rewrite(
        &world,
        "own",
        json!({"source": own, "pruneBudget": "half", "interval": "soon"}),
    )
    .await;
    let refused = world
        .try_merge("Source", "own", json!({"spec": {"healthTimeout": "never"}}))
        .await;
    let refused = refused.expect_err("refused");
    assert!(
        refused.contains("spec.healthTimeout") && !refused.contains("half"),
        "{refused}"
    );
    world.merge("Source", "own", json!({"spec": {"interval": "1m"}})).await;
}

#[tokio::test]
async fn a_rollback_stands_in_the_status() {
    let world = World::new().await;
    let _manager = manage(&world, &[]);
    let folder = world.path("apps");
    world.create(source("apps", &folder, json!({"rollback": true}))).await;
    told(&world, "apps", "Failed").await;
    std::fs::create_dir_all(&folder).expect("a folder");
    world
        .create(source(
            "files",
            &folder,
            json!({"rollback": true, "healthTimeout": "90s"}),
        ))
        .await;
    let refused = told(&world, "files", "InvalidSpec").await;
    let message = refused["status"]["conditions"][0]["message"]
        .as_str()
        .expect("a message");
    assert!(message.contains("is no git source"), "{message}");
    let refused = world
        .try_create(source("soon", &folder, json!({"healthTimeout": "soon"})))
        .await;
    assert!(refused.expect_err("no duration").contains("spec.healthTimeout"));
    let repository = Repository::init(&folder);
    for value in ["1", "2"] {
        std::fs::write(folder.join("map.yaml"), config_map("a", value)).expect("a manifest");
        repository.commit(value);
    }
    told(&world, "apps", "Synced").await;
    let sources = Sources::new(world.client.clone());
    let status = sources
        .rollback("HEAD~1", Some("apps"), PATIENCE)
        .await
        .expect("gone back");
    let quarantine = status.record.quarantine.expect("a quarantine");
    let there = told(&world, "apps", "RolledBack").await;
    let condition = &there["status"]["conditions"][0];
    let expected = format!(
        "rolled back to {}: by hand; the commit {} is quarantined until a newer one comes",
        &quarantine.instead.id[..7],
        quarantine.revision.short()
    );
    assert_eq!(
        (&condition["status"], &condition["message"]),
        (&json!("False"), &json!(expected))
    );
    eventually("the revision that is applied", async || {
        match world.get_in("Source", None, "apps").await {
            Some(there) if there["status"]["revision"] == quarantine.instead.id => Ok(()),
            other => Err(format!("{other:?}")),
        }
    })
    .await;
    sources.suspend(Some("apps"), false).await.expect("resumed");
    told(&world, "apps", "Synced").await;
}

#[tokio::test]
async fn sources_that_wait_for_each_other_say_so_and_no_more() {
    let world = World::new().await;
    let _manager = manage(&world, &[]);
    let (one, two) = (folder(&world, "one", "a"), folder(&world, "two", "b"));
    world.create(source("one", &one, json!({"dependsOn": ["two"]}))).await;
    world.create(source("two", &two, json!({"dependsOn": ["one"]}))).await;
    for (name, other) in [("one", "two"), ("two", "one")] {
        let expected = format!("the source {other} comes first: it waits for a source itself");
        eventually(expected.clone(), async || {
            let found = told(&world, name, "DependencyNotReady").await;
            let message = found["status"]["conditions"][0]["message"].clone();
            (message == expected.as_str()).then_some(()).ok_or(message.to_string())
        })
        .await;
    }
}
