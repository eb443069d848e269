//! The running reconciler: saved files, drift by other hands, schedules, and how it ends.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::extract::Request;
use axum::middleware::{Next, from_fn};
use http::Method;
use tokio::sync::Notify;

use serde_json::json;

use super::harness::{World, config_map, eventually, pod};

#[tokio::test]
async fn every_way_of_saving_is_seen() {
    let world = World::new().await;
    world.write("a.yaml", &config_map("a", "1"));
    let following = world.follow();
    following.said("synced").await;
    let value = async |expected: &str| match world.get("ConfigMap", "a").await {
        Some(object) if object["data"]["key"] == expected => Ok(()),
        other => Err(format!("{other:?}\n{}", following.text())),
    };
    let started = std::time::Instant::now();
    world.write("a.yaml", &config_map("a", "written"));
    eventually("written in place", || value("written")).await;
    println!("saved file applied after {:?}", started.elapsed());
    world.write("a.yaml.tmp", &config_map("a", "renamed"));
    std::fs::rename(world.source().join("a.yaml.tmp"), world.source().join("a.yaml")).expect("renamed");
    eventually("renamed over", || value("renamed")).await;
    // As a mounted ConfigMap is changed: a link to a folder is switched.
    world.remove("a.yaml");
    world.write("..1/a.yaml", &config_map("a", "mounted"));
    std::os::unix::fs::symlink("..1", world.source().join("..data")).expect("linked");
    std::os::unix::fs::symlink("..data/a.yaml", world.source().join("a.yaml")).expect("linked");
    eventually("mounted", || value("mounted")).await;
    world.write("..2/a.yaml", &config_map("a", "switched"));
    std::os::unix::fs::symlink("..2", world.source().join("..tmp")).expect("linked");
    std::fs::rename(world.source().join("..tmp"), world.source().join("..data")).expect("switched");
    eventually("switched", || value("switched")).await;
    // The whole directory is replaced by another.
    std::fs::create_dir(world.path("next")).expect("made");
    std::fs::write(world.path("next/a.yaml"), config_map("a", "next")).expect("written");
    std::fs::rename(world.source(), world.path("old")).expect("moved");
    std::fs::rename(world.path("next"), world.source()).expect("moved");
    eventually("the next directory", || value("next")).await;
    world.write("a.yaml", &config_map("a", "again"));
    eventually("watched again", || value("again")).await;
    following.stop().await;
}

#[tokio::test]
async fn a_removed_file_deletes_its_objects_once_the_directory_is_quiet() {
    let world = World::new().await;
    world.write("a.yaml", &config_map("a", "1"));
    world.write("b.yaml", &config_map("b", "1"));
    let following = world.follow();
    following.said("synced").await;
    // Gone for a moment only, as some tools save: nothing may happen to b.
    let before = world.get("ConfigMap", "b").await.expect("b");
    world.remove("b.yaml");
    tokio::time::sleep(Duration::from_millis(200)).await;
    world.write("b.yaml", &config_map("b", "1"));
    world.remove("a.yaml");
    eventually("a is gone", async || match world.get("ConfigMap", "a").await {
        None => Ok(()),
        Some(_) => Err(following.text()),
    })
    .await;
    assert_eq!(world.get("ConfigMap", "b").await.expect("b"), before);
    following.stop().await;
}

#[tokio::test]
async fn drift_is_repaired_at_once_and_says_whose_it_was() {
    let world = World::new().await;
    world.write("a.yaml", &config_map("a", "1"));
    world.write("web.yaml", &pod("web", "hello"));
    let following = world.follow();
    following.said("synced").await;
    let started = std::time::Instant::now();
    world.merge("ConfigMap", "a", json!({"data": {"key": "changed"}})).await;
    eventually("changed back", async || match world.get("ConfigMap", "a").await {
        Some(object) if object["data"]["key"] == "1" => Ok(()),
        other => Err(format!("{other:?}\n{}", following.text())),
    })
    .await;
    println!("drift repaired after {:?}", started.elapsed());
    following.said("another-hand").await;
    let uid = world.get("Pod", "web").await.expect("web")["metadata"]["uid"].clone();
    world.delete("Pod", "web").await;
    eventually("made again", async || match world.get("Pod", "web").await {
        Some(pod) if pod["metadata"]["uid"] != uid => Ok(()),
        other => Err(format!("{other:?}\n{}", following.text())),
    })
    .await;
    following.stop().await;
}

#[tokio::test]
async fn status_and_finished_pods_are_no_drift() {
    let world = World::new().await;
    world.write("job.yaml", &pod("job", "hello"));
    let following = world.follow();
    following.said("synced").await;
    let uid = world.get("Pod", "job").await.expect("job")["metadata"]["uid"].clone();
    for phase in ["Running", "Failed"] {
        world.merge_status("job", json!({"phase": phase})).await;
    }
    // A change that is drift comes after: once it is repaired, the status was looked at as well.
    world
        .merge("Pod", "job", json!({"metadata": {"labels": {"app": "x"}}}))
        .await;
    eventually("the label is back", async || match world.get("Pod", "job").await {
        Some(pod) if pod["metadata"]["labels"]["app"] == "job" => Ok(()),
        other => Err(format!("{other:?}")),
    })
    .await;
    let job = world.get("Pod", "job").await.expect("job");
    assert_eq!(
        (&job["metadata"]["uid"], &job["status"]["phase"]),
        (&uid, &json!("Failed"))
    );
    following.stop().await;
}

#[tokio::test]
async fn a_replaced_pod_waits_for_the_old_one_without_holding_up_the_rest() {
    let world = World::new().await;
    world.write("web.yaml", &pod("web", "hello"));
    let following = world.follow();
    following.said("synced").await;
    // A pod on a node is deleted gracefully: it stays until its kubelet says otherwise, and here there is none.
    let binding = json!({"apiVersion": "v1", "kind": "Binding", "metadata": {"name": "web"}, "target": {"kind": "Node", "name": "n"}});
    let request = http::Request::post("/api/v1/namespaces/default/pods/web/binding")
        .header("content-type", "application/json")
        .body(serde_json::to_vec(&binding).expect("JSON"))
        .expect("a request");
    world.client.request::<serde_json::Value>(request).await.expect("bound");
    let old = world.get("Pod", "web").await.expect("web");
    world.write("web.yaml", &pod("web", "goodbye"));
    eventually("being deleted", async || match world.get("Pod", "web").await {
        Some(pod) if pod["metadata"].get("deletionTimestamp").is_some() => Ok(()),
        other => Err(format!("{other:?}\n{}", following.text())),
    })
    .await;
    following.said("\"type\":\"waiting\"").await;
    following.said("\"waiting\":1").await;
    world.write("a.yaml", &config_map("a", "1"));
    eventually("a is there", async || {
        world.get("ConfigMap", "a").await.ok_or_else(|| following.text())
    })
    .await;
    let now = world.get("Pod", "web").await.expect("web");
    assert_eq!(now["metadata"]["uid"], old["metadata"]["uid"], "still the old one");
    let options = json!({"gracePeriodSeconds": 0});
    let request = http::Request::delete("/api/v1/namespaces/default/pods/web")
        .header("content-type", "application/json")
        .body(serde_json::to_vec(&options).expect("JSON"))
        .expect("a request");
    world.client.request::<serde_json::Value>(request).await.expect("gone");
    eventually("the new one", async || match world.get("Pod", "web").await {
        Some(pod) if pod["metadata"]["uid"] != old["metadata"]["uid"] => Ok(()),
        other => Err(format!("{other:?}\n{}", following.text())),
    })
    .await;
    following.said("\"action\":\"replace\"").await;
    following.stop().await;
}

#[tokio::test]
async fn a_schedule_decides_when_and_drift_is_repaired_meanwhile() {
    let world = World::new().await;
    world.write("a.yaml", &config_map("a", "1"));
    let mut config = world.config();
    config.schedules = vec!["0 0 0 1 1 * 2099".into()];
    let following = world.follow_with(config.clone());
    following.said("synced").await;
    world.write("b.yaml", &config_map("b", "1"));
    world.write("a.yaml", &config_map("a", "2"));
    world.delete("ConfigMap", "a").await;
    let a = eventually("a is back", async || {
        world.get("ConfigMap", "a").await.ok_or_else(|| following.text())
    })
    .await;
    assert_eq!(a["data"]["key"], "1", "as last synced");
    assert!(world.get("ConfigMap", "b").await.is_none(), "not yet");
    following.stop().await;
    config.schedules = vec!["* * * * * *".into()];
    let following = world.follow_with(config);
    eventually("b is there", async || {
        world.get("ConfigMap", "b").await.ok_or_else(|| following.text())
    })
    .await;
    world.write("c.yaml", &config_map("c", "1"));
    eventually("c is there", async || {
        world.get("ConfigMap", "c").await.ok_or_else(|| following.text())
    })
    .await;
    following.stop().await;
}

#[tokio::test]
async fn a_standing_problem_is_told_once_and_healed_when_mended() {
    let world = World::new().await;
    world.write("a.yaml", &config_map("a", "1"));
    world.write("broken.yaml", "a: [");
    let following = world.follow();
    following.said("broken.yaml").await;
    following.said("synced").await;
    for value in ["2", "3"] {
        world.write("a.yaml", &config_map("a", value));
        eventually("changed", async || match world.get("ConfigMap", "a").await {
            Some(object) if object["data"]["key"] == value => Ok(()),
            other => Err(format!("{other:?}")),
        })
        .await;
    }
    let problems = following.text().matches("\"type\":\"problem\"").count();
    assert_eq!(problems, 1, "{}", following.text());
    world.write("broken.yaml", &config_map("broken", "no more"));
    eventually("mended", async || {
        world.get("ConfigMap", "broken").await.ok_or_else(|| following.text())
    })
    .await;
    following.said("\"problems\":0").await;
    following.stop().await;
}

#[tokio::test]
async fn a_source_that_goes_and_comes_back_deletes_nothing() {
    let world = World::new().await;
    world.write("a.yaml", &config_map("a", "1"));
    let following = world.follow();
    following.said("synced").await;
    let before = world.get("ConfigMap", "a").await.expect("a");
    std::fs::rename(world.source(), world.path("away")).expect("moved");
    following.said("retrying").await;
    assert_eq!(world.get("ConfigMap", "a").await.expect("a"), before);
    std::fs::rename(world.path("away"), world.source()).expect("moved");
    world.write("b.yaml", &config_map("b", "1"));
    eventually("b is there", async || {
        world.get("ConfigMap", "b").await.ok_or_else(|| following.text())
    })
    .await;
    following.stop().await;
}

#[tokio::test]
async fn a_fight_over_an_object_is_broken_off_for_a_while() {
    let world = World::new().await;
    world.write("a.yaml", &config_map("a", "1"));
    world.write("b.yaml", &config_map("b", "1"));
    let following = world.follow();
    following.said("synced").await;
    let value = async |name: &str| world.get("ConfigMap", name).await.expect("it is there")["data"]["key"].clone();
    let repaired = async |name: &'static str| {
        eventually(format!("{name} is repaired"), async || match value(name).await {
            value if value == "1" => Ok(()),
            value => Err(format!("{value}\n{}", following.text())),
        })
        .await;
    };
    for round in 0..6 {
        let other = format!("other-{round}");
        world.merge("ConfigMap", "a", json!({"data": {"key": other}})).await;
        repaired("a").await;
    }
    world.merge("ConfigMap", "a", json!({"data": {"key": "theirs"}})).await;
    following
        .said("changes it as often as it is repaired; left so for 10 s")
        .await;
    // Others are repaired meanwhile, and the source itself still has its say.
    world.merge("ConfigMap", "b", json!({"data": {"key": "other"}})).await;
    repaired("b").await;
    assert_eq!(value("a").await, "theirs");
    world.write("a.yaml", &config_map("a", "2"));
    eventually("the source's new value", async || match value("a").await {
        value if value == "2" => Ok(()),
        value => Err(format!("{value}\n{}", following.text())),
    })
    .await;
    following.stop().await;
}

#[tokio::test]
async fn what_a_round_wrote_is_told_though_news_ends_it() {
    // The answer to the first write is held back until the reconciler asks for anything else, which it should not.
    let (place, went_on) = (
        Arc::new(Mutex::new(None::<std::path::PathBuf>)),
        Arc::new(Notify::new()),
    );
    let (file, note) = (Arc::clone(&place), Arc::clone(&went_on));
    let world = World::behind(|router| {
        router.layer(from_fn(move |request: Request, next: Next| {
            let (place, went_on) = (Arc::clone(&file), Arc::clone(&note));
            async move {
                let query = request.uri().query().unwrap_or_default();
                let is_write = request.method() == Method::PATCH && !query.contains("dryRun");
                let is_ours = request.uri().path().ends_with("/configmaps/a");
                let response = next.run(request).await;
                let file = (is_write && is_ours)
                    .then(|| place.lock().expect("unpoisoned").take())
                    .flatten();
                match file {
                    Some(file) => {
                        std::fs::write(file, config_map("b", "1")).expect("written");
                        let more = tokio::time::timeout(Duration::from_secs(1), went_on.notified());
                        eprintln!("it went on: {}", more.await.is_ok());
                    }
                    None => went_on.notify_waiters(),
                }
                response
            }
        }))
    })
    .await;
    world.write("a.yaml", &config_map("a", "1"));
    *place.lock().expect("unpoisoned") = Some(world.source().join("b.yaml"));
    let following = world.follow();
    eventually("both are told", async || {
        let created = |name: &str| {
            let part = format!("\"action\":\"create\",\"object\":{{\"kind\":\"ConfigMap\",\"namespace\":\"default\",\"name\":\"{name}\"");
            following.text().contains(&part)
        };
        match created("a") && created("b") {
            true => Ok(()),
            false => Err(following.text()),
        }
    })
    .await;
    following.stop().await;
}
