//! Messages over HTTP about what happens to a source: what they say, their order, and what becomes of them.

use std::io::Write;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use axum::extract::Request;
use axum::middleware::{Next, from_fn};
use http::{Method, StatusCode};
use reconcile::gitops::telling::{Patience, Receiver, Telling};
use reconcile::gitops::webhook::Secret;
use reconcile::gitops::{self, Config};
use reconcile::object::source::Notification;
use serde_json::{Value, json};
use tokio::sync::Notify;
use tracing_subscriber::fmt::MakeWriter;

use super::harness::{World, config_map};
use super::receiver::Receiving;
use super::sources;
use crate::support::git::Repository;

/// No test waits long for a second try.
const PATIENCE: Patience = Patience {
    first: Duration::from_millis(10),
    longest: Duration::from_millis(50),
    longest_asked: Duration::from_secs(2),
    total: Duration::from_secs(20),
};

fn notification(type_: &str) -> Notification {
    Notification {
        type_: type_.into(),
        ..Notification::default()
    }
}

fn receiver(spec: &Notification, url: &str) -> Receiver {
    let url = Secret::new(url).expect("not empty");
    Receiver::new("notifications[0]", spec, &url, None).expect("valid")
}

/// Follows the world's source and tells those.
fn config(world: &World, receivers: Vec<Receiver>) -> Config {
    let mut config = world.config();
    config.telling.patience = PATIENCE;
    config.receivers = receivers;
    config
}

#[tokio::test]
async fn a_program_is_told_all_there_is() {
    let world = World::new().await;
    let repository = Repository::init(&world.path("apps"));
    let save = |name: &str, text: &str| std::fs::write(repository.path.join(name), text).expect("written");
    save("a.yaml", &config_map("a", "1"));
    repository.commit("Serve it\n\nand more");
    let receiving = Receiving::start().await;
    let url = Secret::new(receiving.url("/hook")).expect("not empty");
    let token = Secret::new("sesame").expect("not empty");
    let generic = Receiver::new("n", &notification("generic"), &url, Some(&token)).expect("valid");
    let mut config = config(&world, vec![generic]);
    config.source = repository.path.to_str().expect("text").to_owned();
    let following = world.follow_with(config);
    let first = receiving.count(1).await.remove(0);
    let Value::Object(mut body) = first.body.clone() else {
        panic!("an object: {first:?}");
    };
    assert_eq!(
        (first.path.as_str(), &first.headers["authorization"]),
        ("/hook", &"Bearer sesame".parse().expect("a value"))
    );
    assert_eq!(first.headers["content-type"], "application/json");
    let author = body["revision"]["author"].as_str().expect("an author");
    assert_eq!(author, repository.git(&["log", "-1", "--format=%an"]).trim());
    let commit = repository.git(&["rev-parse", "HEAD"]).trim().to_owned();
    assert_eq!(body["revision"]["commit"], *commit);
    assert_eq!(body["revision"]["subject"], "Serve it");
    assert_eq!(body["counts"]["create"], 1);
    let time = body.remove("time").expect("a time");
    time.as_str()
        .expect("text")
        .parse::<jiff::Timestamp>()
        .expect("RFC 3339");
    let text = body["text"].as_str().expect("text");
    assert!(text.contains("Serve it: 1 created"), "{text}");
    assert_eq!(
        (&body["source"], &body["event"], &body["level"], &body["problems"]),
        (&json!("apps"), &json!("Synced"), &json!("info"), &json!([]))
    );

    save("bad.yaml", "\t");
    repository.commit("Break it");
    let problem = receiving.count(2).await.remove(1).body;
    assert_eq!(
        (&problem["event"], &problem["level"]),
        (&json!("Problem"), &json!("error"))
    );
    assert_eq!(problem["problems"][0]["place"]["path"], "bad.yaml");
    std::fs::remove_file(repository.path.join("bad.yaml")).expect("removed");
    // Drift is told only where it is asked for.
    world.merge("ConfigMap", "a", json!({"data": {"key": "other"}})).await;
    following.said("drift").await;
    repository.commit("Mend it");
    let mended = receiving.count(3).await.remove(2).body;
    assert_eq!(
        (&mended["event"], &mended["revision"]["subject"]),
        (&json!("Synced"), &json!("Mend it"))
    );
    following.stop().await;
    assert_eq!(receiving.came().len(), 3, "{:#?}", receiving.came());
}

#[tokio::test]
async fn what_was_recorded_is_told_though_more_comes_meanwhile() {
    // The answer to the first record of a revision is held back until the reconciler asks for anything else.
    let (held, went_on) = (Arc::new(Mutex::new(false)), Arc::new(Notify::new()));
    let more = Arc::new(Mutex::new(None::<std::path::PathBuf>));
    let (hold, note, file) = (Arc::clone(&held), Arc::clone(&went_on), Arc::clone(&more));
    let world = World::behind(|router| {
        router.layer(from_fn(move |request: Request, next: Next| {
            let (held, went_on, more) = (Arc::clone(&hold), Arc::clone(&note), Arc::clone(&file));
            async move {
                let is_record =
                    request.method() != Method::GET && request.uri().path().contains("/kube-system/configmaps");
                let (head, body) = request.into_parts();
                let body = axum::body::to_bytes(body, usize::MAX).await.expect("a whole body");
                let says_it = is_record && String::from_utf8_lossy(&body).contains("\\\"revision\\\"");
                let response = next.run(Request::from_parts(head, body.into())).await;
                let is_first = says_it && !std::mem::replace(&mut *held.lock().expect("unpoisoned"), true);
                if is_first {
                    let file = more.lock().expect("unpoisoned").take().expect("a place for more");
                    std::fs::write(file, config_map("more", "1")).expect("written");
                    // Nothing more is asked where the reconciler waits for this answer, as it should.
                    let superseded = tokio::time::timeout(Duration::from_secs(1), went_on.notified());
                    eprintln!("it went on: {}", superseded.await.is_ok());
                } else {
                    went_on.notify_waiters();
                }
                response
            }
        }))
    })
    .await;
    world.write("a.yaml", &config_map("a", "1"));
    *more.lock().expect("unpoisoned") = Some(world.source().join("more.yaml"));
    let receiving = Receiving::start().await;
    let all = receiver(&notification("generic"), &receiving.url("/hook"));
    let following = world.follow_with(config(&world, vec![all]));
    let came = receiving.count(2).await;
    let created: Vec<&Value> = came.iter().map(|one| &one.body["counts"]["create"]).collect();
    assert_eq!(created, [&json!(1), &json!(1)], "{came:#?}");
    assert!(*held.lock().expect("unpoisoned"), "a record was held back");
    following.stop().await;
}

#[tokio::test]
async fn each_is_told_what_it_asks_for() {
    let world = World::new().await;
    world.write("a.yaml", &config_map("a", "1"));
    let (all, errors, drift) = (
        Receiving::start().await,
        Receiving::start().await,
        Receiving::start().await,
    );
    let only_errors = Notification {
        minimum_level: Some("error".into()),
        ..notification("discord")
    };
    let only_drift = Notification {
        events: Some(vec!["DriftRepaired".into()]),
        ..notification("mattermost")
    };
    let receivers = vec![
        receiver(&notification("slack"), &all.url("/services/1")),
        receiver(&only_errors, &errors.url("/")),
        receiver(&only_drift, &drift.url("/")),
    ];
    let following = world.follow_with(config(&world, receivers));
    let text = all.count(1).await.remove(0).body["text"].clone();
    let text = text.as_str().expect("text");
    assert!(
        text.starts_with("[source] Synced: ") && text.ends_with(": 1 created"),
        "{text}"
    );
    world.merge("ConfigMap", "a", json!({"data": {"key": "other"}})).await;
    let told = drift.count(1).await.remove(0).body["text"].clone();
    let told = told.as_str().expect("text");
    assert!(
        told.contains("ConfigMap default/a was changed by another-hand"),
        "{told}"
    );
    world.write("bad.yaml", "\t");
    let told = errors.count(1).await.remove(0).body["content"].clone();
    assert!(told.as_str().expect("text").contains("bad.yaml:1:1"), "{told}");
    // A problem that stands is told once, however often it is met.
    world.write("b.yaml", &config_map("b", "1"));
    let came = all.count(3).await;
    let texts: Vec<&str> = came.iter().filter_map(|one| one.body["text"].as_str()).collect();
    assert!(
        texts[1].contains("Problem") && texts[2].contains("1 created, 1 wrong"),
        "{texts:#?}"
    );
    following.stop().await;
    assert_eq!((all.came().len(), errors.came().len(), drift.came().len()), (3, 1, 1));
}

#[tokio::test]
async fn what_is_refused_for_now_is_tried_again_in_its_order() {
    let world = World::new().await;
    world.write("a.yaml", &config_map("a", "1"));
    let receiving = Receiving::start().await;
    receiving.answers([
        (StatusCode::SERVICE_UNAVAILABLE, None),
        (StatusCode::INTERNAL_SERVER_ERROR, None),
        (StatusCode::TOO_MANY_REQUESTS, Some(("retry-after", "1".into()))),
    ]);
    let following = world.follow_with(config(
        &world,
        vec![receiver(&notification("generic"), &receiving.url("/"))],
    ));
    following.said("synced").await;
    world.write("bad.yaml", "\t");
    let came = receiving.count(5).await;
    let events: Vec<&str> = came.iter().filter_map(|one| one.body["event"].as_str()).collect();
    assert_eq!(events, ["Synced", "Synced", "Synced", "Synced", "Problem"]);
    let asked = came[3].at.duration_since(came[2].at);
    assert!(asked >= Duration::from_secs(1), "tried again after {asked:?}");
    following.stop().await;
    assert_eq!(receiving.came().len(), 5, "nothing came twice once it was taken");
}

#[tokio::test]
async fn nobody_is_followed_elsewhere() {
    let world = World::new().await;
    world.write("a.yaml", &config_map("a", "1"));
    let (receiving, elsewhere) = (Receiving::start().await, Receiving::start().await);
    receiving.answers([(StatusCode::TEMPORARY_REDIRECT, Some(("location", elsewhere.url("/"))))]);
    let following = world.follow_with(config(
        &world,
        vec![receiver(&notification("slack"), &receiving.url("/"))],
    ));
    following.said("the answer was 307 Temporary Redirect").await;
    world.write("b.yaml", &config_map("b", "1"));
    following.said("notifications[0] (slack): messages arrive again").await;
    following.stop().await;
    assert_eq!((receiving.came().len(), elsewhere.came().len()), (2, 0));
}

/// All that is logged.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl Write for Log {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().expect("unpoisoned").extend(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl MakeWriter<'_> for Log {
    type Writer = Log;

    fn make_writer(&self) -> Log {
        self.clone()
    }
}

#[tokio::test]
async fn an_address_is_never_shown() {
    let log = Log::default();
    tracing_subscriber::fmt()
        .with_max_level(tracing::Level::TRACE)
        .with_writer(log.clone())
        .init();
    let world = World::new().await;
    world.write("a.yaml", &config_map("a", "1"));
    let receiving = Receiving::start().await;
    let down = receiving.url("/open-sesame?sesame=1");
    drop(receiving);
    let up = Receiving::start().await;
    up.answers([(StatusCode::NOT_FOUND, None)]);
    let receivers = vec![
        receiver(&notification("slack"), &down),
        receiver(&notification("discord"), &up.url("/sesame")),
    ];
    let mut config = config(&world, receivers);
    config.telling.patience.total = Duration::from_millis(100);
    let shown = format!("{config:?}");
    let following = world.follow_with(config);
    following
        .said("(slack): a message was not delivered: no connection")
        .await;
    following
        .said("(discord): a message was not delivered: the answer was 404 Not Found")
        .await;
    // Once, however many follow.
    world.write("b.yaml", &config_map("b", "1"));
    following.said("messages arrive again").await;
    let text = following.text();
    assert_eq!(text.matches("(slack): a message").count(), 1, "{text}");
    following.stop().await;
    let log = String::from_utf8(log.0.lock().expect("unpoisoned").clone()).expect("text");
    assert!(log.contains("a message is tried again"), "all is logged");
    let secrets = |text: &str| {
        text.lines()
            .filter(|line| line.contains("sesame"))
            .map(str::to_owned)
            .collect::<Vec<_>>()
    };
    assert_eq!(
        [secrets(&log), secrets(&text), secrets(&shown)].concat(),
        Vec::<String>::new()
    );
}

#[tokio::test]
async fn who_hangs_holds_nobody_up() {
    let world = World::new().await;
    world.write("a.yaml", &config_map("a", "1"));
    let (hanging, other) = (Receiving::hanging().await, Receiving::start().await);
    let receivers = vec![
        receiver(&notification("generic"), &hanging.url("/")),
        receiver(&notification("generic"), &other.url("/")),
    ];
    let started = Instant::now();
    let following = world.follow_with(config(&world, receivers));
    hanging.count(1).await;
    for number in 1..=3 {
        world.write("a.yaml", &config_map("a", &format!("again {number}")));
        other.count(number + 1).await;
    }
    following.stop().await;
    let took = started.elapsed();
    assert!(
        took < Duration::from_secs(10),
        "less than one exchange may take: {took:?}"
    );
    assert_eq!(hanging.came().len(), 1, "one after the other");
}

#[tokio::test]
async fn a_source_object_names_its_receivers_or_hears_what_is_wrong() {
    let world = World::new().await;
    let receiving = Receiving::start().await;
    let telling = Telling {
        patience: PATIENCE,
        ..Telling::default()
    };
    let _manager = sources::manage_with(&world, &[], &telling);
    let folder = sources::folder(&world, "one", "a");
    let spec = |rest: Value| {
        let mut notification = json!({"type": "generic", "secretRef": {"name": "hook", "namespace": "default"}});
        let rest = rest.as_object().expect("an object").clone();
        notification.as_object_mut().expect("an object").extend(rest);
        json!({"notifications": [notification]})
    };
    for (wrong, part) in [
        (
            json!({"type": "pager"}),
            "spec.notifications[0].type: Unsupported value",
        ),
        (json!({"minimumLevel": "loud"}), "spec.notifications[0].minimumLevel"),
        (json!({"urlFile": "/etc/passwd"}), "an object has secretRef"),
    ] {
        let refused = world.try_create(sources::source("apps", &folder, spec(wrong))).await;
        let refused = refused.expect_err(part);
        assert!(refused.contains(part), "{refused}");
    }
    world.create(sources::source("apps", &folder, spec(json!({})))).await;
    let wait = async |reason: &str, part: &str| {
        let told = sources::told(&world, "apps", reason).await;
        let message = told["status"]["conditions"][0]["message"]
            .as_str()
            .expect("a message")
            .to_owned();
        assert!(message.contains(part), "{message}");
    };
    wait("Failed", "Secret default/hook cannot be read").await;
    world
        .create(json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "hook"}, "stringData": {"url": "nowhere/sesame"}}))
        .await;
    wait("InvalidSpec", "spec.notifications[0].url").await;
    assert!(receiving.came().is_empty());
    let url = receiving.url("/sesame");
    world.merge("Secret", "hook", json!({"stringData": {"url": url}})).await;
    sources::told(&world, "apps", "Synced").await;
    let first = receiving.count(1).await.remove(0);
    assert_eq!(
        (&first.body["source"], first.path.as_str()),
        (&json!("apps"), "/sesame")
    );
}

#[tokio::test]
async fn a_file_names_the_field_that_is_wrong() {
    let world = World::new().await;
    std::fs::write(world.path("url"), "https://hooks.example/sesame\n").expect("written");
    let url_file = Some(world.path("url").to_str().expect("text").to_owned());
    let good = Notification {
        url_file: url_file.clone(),
        ..notification("slack")
    };
    Receiver::of_files("n", std::slice::from_ref(&good)).expect("valid");
    let lost = Notification {
        url_file: Some("/nowhere/url".into()),
        ..notification("slack")
    };
    let secret = Notification {
        secret_ref: Some(Default::default()),
        ..good.clone()
    };
    for (spec, part) in [
        (notification("slack"), "n[1].urlFile: give a file"),
        (lost, "n[1].urlFile /nowhere/url: No such file"),
        (secret, "n[1].secretRef: is for objects"),
        (
            Notification {
                url_file,
                ..notification("pager")
            },
            "n[1].type",
        ),
    ] {
        let error: gitops::Error = Receiver::of_files("n", &[good.clone(), spec]).expect_err(part);
        let error = error.to_string();
        assert!(error.contains(part) && !error.contains("sesame"), "{error}");
    }
}
