//! Others in the cluster: they change, protect, take over, hold back or end what the source owns.

use std::sync::Arc;

use reconcile::store::Embedded;
use serde_json::json;

use super::{Case, files, write_all};
use crate::gitops::elsewhere;
use crate::gitops::harness::{World, actions, config_map, eventually, problems};
use crate::gitops::state::let_go;

#[tokio::test]
async fn another_manager_has_our_fields() {
    let case = Case::new().await;
    let theirs = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "one", "labels": {"theirs": "x"}}, "data": {"key": "theirs"}});
    let request = http::Request::patch("/api/v1/namespaces/default/configmaps/one?fieldManager=helm&force=true")
        .header("content-type", "application/apply-patch+yaml")
        .body(theirs.to_string().into_bytes())
        .expect("a request");
    case.world
        .client
        .request::<serde_json::Value>(request)
        .await
        .expect("applied");
    let plan = case.world.dry_run().await;
    assert_eq!(actions(&plan), ["update configmap/one"]);
    assert_eq!(plan.entries[0].reasons, ["fields are taken over from helm"]);
    case.goes_wrong("another manager", &[]).await;
    case.holds("another manager", "one", "1").await;
    let one = case.world.get("ConfigMap", "one").await.expect("one");
    assert_eq!(
        one["metadata"]["labels"]["theirs"], "x",
        "what we never named stays theirs"
    );
    case.recovers("another manager").await;
}

#[tokio::test]
async fn an_object_of_another_source() {
    let case = Case::new().await;
    let label = |value| json!({"metadata": {"labels": {"applyset.kubernetes.io/part-of": value}}});
    case.world
        .merge("ConfigMap", "one", label(json!("applyset-other-v1")))
        .await;
    case.goes_wrong(
        "taken over",
        &["one.yaml:1:1: ConfigMap default/one: it belongs to another source"],
    )
    .await;
    // What is wrong in our file is told in the same pass, not once the other source has let go.
    let wrong = config_map("one", "1").replace("  name: one", "  name: one\n  annotations: {\"a b\": x}");
    case.world.write("one.yaml", &wrong);
    case.goes_wrong(
        "taken over and wrong",
        &[
            "one.yaml:1:1: ConfigMap default/one: it belongs to another source",
            "one.yaml:5:3: ConfigMap default/one: metadata.annotations: Invalid value: \"a b\"",
        ],
    )
    .await;
    // Out of our source it may go without going from the cluster.
    case.world.remove("one.yaml");
    case.goes_wrong("taken over and left", &[]).await;
    case.restore();
    case.world.merge("ConfigMap", "one", label(json!(null))).await;
    case.recovers("given back").await;
}

#[tokio::test]
async fn objects_that_left_and_are_protected_released_or_not_to_be_pruned() {
    let case = Case::new().await;
    let annotation = json!({"metadata": {"annotations": {"reconcile.dev/prune": "disabled"}}});
    case.world.merge("ConfigMap", "one", annotation).await;
    case.world.remove("one.yaml");
    case.goes_wrong("protected", &[]).await;
    let release = json!({"metadata": {"labels": {"applyset.kubernetes.io/part-of": null}}});
    case.world.merge("ConfigMap", "two", release).await;
    case.world.write(
        "two.yaml",
        files()["two.yaml"].split_once("---\n").expect("documents").1,
    );
    case.goes_wrong("released", &[]).await;
    let mut config = case.world.config();
    config.prune = false;
    std::fs::remove_dir_all(case.world.source().join("sub")).expect("removed");
    let outcome = case.world.sync_with(&config).await;
    assert_eq!((outcome.counts.delete, outcome.counts.keep), (0, 3), "{outcome:?}");
    case.unharmed("not to be pruned").await;
    case.restore();
    case.recovers("and back").await;
}

#[tokio::test]
async fn a_namespace_that_is_missing() {
    let case = Case::new().await;
    let text = config_map("astray", "1").replace("  name: astray\n", "  name: astray\n  namespace: nowhere\n");
    case.world.write("astray.yaml", &text);
    case.goes_wrong(
        "missing",
        &["astray.yaml:5:3: ConfigMap nowhere/astray: namespace nowhere does not exist"],
    )
    .await;
    case.world.remove("astray.yaml");
    case.recovers("missing").await;
}

#[tokio::test]
async fn a_namespace_whose_manifest_is_wrong() {
    let case = Case::new().await;
    let namespace = "apiVersion: v1\nkind: Namespace\nmetadata:\n  name: Bad!\n---\n".to_owned();
    let text = config_map("astray", "1").replace("  name: astray\n", "  name: astray\n  namespace: Bad!\n");
    case.world.write("astray.yaml", &(namespace + &text));
    // What lies in it is refused with it, before anything is written.
    case.goes_wrong(
        "wrong",
        &[
            "astray.yaml:4:3: Namespace Bad!",
            "astray.yaml:10:3: ConfigMap Bad!/astray",
        ],
    )
    .await;
    case.world.remove("astray.yaml");
    case.recovers("wrong").await;
}

#[tokio::test]
async fn a_namespace_that_ends() {
    let root = tempfile::tempdir().expect("a directory");
    let store = Embedded::open(&root.path().join("state")).expect("a store");
    let world = World::on(root, Arc::new(store)).await;
    write_all(&world);
    let config = world.config();
    let mut case = Case::of(world, config).await;
    // Nothing empties it there, so it stays on its way out.
    case.world.delete_namespace("shop").await;
    case.uids.retain(|key, _| !key.contains("shop"));
    let news = case.news();
    let plan = case.world.dry_run().await;
    let shown = actions(&plan);
    assert!(
        shown.contains(&"replace namespace/shop".to_owned()) && shown.contains(&"replace configmap/stock".to_owned()),
        "{shown:?}"
    );
    assert_eq!(problems(&plan.problems), [""; 0]);
    let following = case.world.follow();
    following.said("it stops, and is then made again").await;
    case.holds("ending", "news", &news).await;
    case.unharmed("ending").await;
    // It ends, as the namespace controller lets it.
    assert!(let_go(case.world.store.as_ref()).await);
    eventually("made again", async || {
        match case.world.get_in("ConfigMap", Some("shop"), "stock").await {
            Some(_) => Ok(()),
            None => Err(following.text()),
        }
    })
    .await;
    following.stop().await;
    case.recovers("ended").await;
}

#[tokio::test]
async fn a_namespace_that_is_emptied_meanwhile() {
    let mut case = Case::new().await;
    let stock = async || case.world.get_in("ConfigMap", Some("shop"), "stock").await;
    let before = stock().await.expect("there is stock")["metadata"]["uid"].clone();
    let following = case.world.follow();
    following.said("unchanged").await;
    case.world.delete_namespace("shop").await;
    case.uids.retain(|key, _| !key.contains("shop"));
    eventually("made again", async || {
        // As the namespace controller does, where there is none.
        if !elsewhere::is_wanted() {
            let_go(case.world.store.as_ref()).await;
        }
        match stock().await {
            Some(now) if now["metadata"]["uid"] != before && now["metadata"]["deletionTimestamp"].is_null() => Ok(()),
            other => Err(format!("{other:?}\n{}", following.text())),
        }
    })
    .await;
    following.stop().await;
    case.recovers("emptied").await;
}

#[tokio::test]
async fn deleted_by_another_hand() {
    let mut case = Case::new().await;
    case.world.delete("ConfigMap", "one").await;
    case.uids.retain(|key, _| !key.ends_with("/one"));
    case.goes_wrong("deleted", &[]).await;
    case.holds("deleted", "one", "1").await;
    // The books too.
    case.world.delete_inventory().await;
    case.goes_wrong("without books", &[]).await;
    case.world.remove("two.yaml");
    let outcome = case.world.sync().await;
    assert_eq!(
        (outcome.counts.delete, outcome.problems.len()),
        (3, 0),
        "the books were made again: {outcome:?}"
    );
}
