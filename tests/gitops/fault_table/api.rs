//! An API server that refuses, breaks off, talks nonsense or says nothing, at each write of a sync in turn.

use std::sync::{Arc, Mutex};

use axum::body::Body;
use axum::extract::Request;
use axum::middleware::{Next, from_fn};
use axum::response::Response;
use http::{Method, StatusCode};
use serde_json::json;

use super::{Case, OBJECTS, files, write_all};
use crate::gitops::harness::{World, config_map, problems};

/// What becomes of a write.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Fate {
    /// Not carried out; this status.
    Refused(u16),
    /// Not carried out; the connection ends.
    Cut,
    /// Carried out; the connection ends before the answer does.
    AnswerCut,
    /// Carried out; the answer is no JSON.
    Nonsense,
    /// Not carried out; never answered.
    Silence,
}

/// Which write fares how.
#[derive(Default)]
struct Weather {
    /// Writes until then, and what becomes of that one.
    ahead: Option<(usize, Fate)>,
}

type Shared = Arc<Mutex<Weather>>;

/// A cluster whose writes fare as the weather says.
async fn world(weather: Shared) -> World {
    World::behind(|router| {
        router.layer(from_fn(move |request: Request, next: Next| {
            let fate = fate(&weather, &request);
            async move { fare(fate, request, next).await }
        }))
    })
    .await
}

fn fate(weather: &Shared, request: &Request) -> Option<Fate> {
    let dry = request.uri().query().is_some_and(|query| query.contains("dryRun"));
    if request.method() == Method::GET || dry {
        return None;
    }
    let mut weather = weather.lock().expect("unpoisoned");
    let (left, fate) = weather.ahead.take()?;
    if left == 0 {
        return Some(fate);
    }
    weather.ahead = Some((left - 1, fate));
    None
}

async fn fare(fate: Option<Fate>, request: Request, next: Next) -> Response {
    let cut = || {
        let pieces = [Ok("{\"kind\":"), Err(std::io::Error::other("the connection was cut"))];
        Response::new(Body::from_stream(futures::stream::iter(pieces)))
    };
    match fate {
        None => next.run(request).await,
        Some(Fate::Refused(code)) => {
            let status = json!({"kind": "Status", "apiVersion": "v1", "status": "Failure", "code": code, "message": "not now", "reason": "Trouble"});
            let mut response = Response::new(Body::from(status.to_string()));
            *response.status_mut() = StatusCode::from_u16(code).expect("a status");
            response
        }
        Some(Fate::Cut) => cut(),
        Some(Fate::AnswerCut) => {
            next.run(request).await;
            cut()
        }
        Some(Fate::Nonsense) => {
            next.run(request).await;
            Response::new(Body::from("<html>gateway</html>"))
        }
        Some(Fate::Silence) => std::future::pending().await,
    }
}

/// Everything a sync does, in one change: creates, changes, replaces, deletes.
fn change(world: &World, round: usize) {
    world.write("news.yaml", &config_map("news", &round.to_string()));
    world.write("one.yaml", &config_map("one", &round.to_string()));
    world.write("goer.yaml", &config_map(&format!("goer-{round}"), "1"));
    let web = files()["web.yaml"].replace("value: hello", &format!("value: round-{round}"));
    world.write("web.yaml", &web);
}

/// Each write in turn fares so; after each, one sync makes all right.
async fn every_write(fate: Fate) {
    let weather = Shared::default();
    let world = world(Arc::clone(&weather)).await;
    write_all(&world);
    world.write("goer.yaml", &config_map("goer-0", "1"));
    let config = world.config();
    let mut case = Case::with(world, config, OBJECTS + 1).await;
    // What is meant to be replaced or deleted.
    case.uids
        .retain(|key, _| !key.ends_with("/web") && !key.contains("/goer-"));
    for round in 1.. {
        assert!(round < 30, "{fate:?}: a sync does not take that many writes");
        change(&case.world, round);
        let name = format!("{fate:?} at write {round}");
        weather.lock().expect("unpoisoned").ahead = Some((round - 1, fate));
        let failed = match case.world.try_sync(&case.config).await {
            Ok(outcome) => problems(&outcome.problems)
                .iter()
                .any(|problem| !problem.contains("not healthy in time")),
            Err(_) => true,
        };
        case.unharmed(&name).await;
        let met = weather.lock().expect("unpoisoned").ahead.take().is_none();
        // An answer that is lost tells nothing; one that a second look makes up for need not be told.
        assert!(failed || !met || fate == Fate::Refused(409), "{name}: nothing was told");
        let again = case.world.sync_with(&case.config).await;
        let told: Vec<String> = problems(&again.problems)
            .into_iter()
            .filter(|problem| !problem.contains("Pod default/web"))
            .collect();
        assert_eq!(told, [""; 0], "{name}: and back");
        case.unharmed(&name).await;
        case.holds(&name, "news", &round.to_string()).await;
        case.holds(&name, "one", &round.to_string()).await;
        let goers: Vec<String> = (case.world.names("ConfigMap").await.into_iter())
            .filter(|name| name.starts_with("goer"))
            .collect();
        assert_eq!(goers, [format!("goer-{round}")], "{name}");
        let web = case.world.get("Pod", "web").await.expect("web");
        assert_eq!(
            web["spec"]["containers"][0]["env"][0]["value"],
            format!("round-{round}"),
            "{name}"
        );
        let plan = case.world.dry_run_with(&case.config).await;
        assert_eq!(plan.counts.changes(), 0, "{name}: {:?}", plan.entries);
        if !met {
            assert!(round > 7, "{fate:?}: only {round} writes were met");
            return;
        }
    }
}

#[tokio::test]
async fn forbidden() {
    every_write(Fate::Refused(403)).await;
}

#[tokio::test]
async fn conflicting() {
    every_write(Fate::Refused(409)).await;
}

#[tokio::test]
async fn too_many_requests() {
    every_write(Fate::Refused(429)).await;
}

#[tokio::test]
async fn broken_inside() {
    every_write(Fate::Refused(500)).await;
}

#[tokio::test]
async fn unavailable() {
    every_write(Fate::Refused(503)).await;
}

#[tokio::test]
async fn cut_before() {
    every_write(Fate::Cut).await;
}

#[tokio::test]
async fn cut_after() {
    every_write(Fate::AnswerCut).await;
}

#[tokio::test]
async fn talking_nonsense() {
    every_write(Fate::Nonsense).await;
}

/// Takes as long as an answer may take.
#[tokio::test]
async fn never_answering() {
    let weather = Shared::default();
    let world = world(Arc::clone(&weather)).await;
    write_all(&world);
    let config = world.config();
    let case = Case::of(world, config).await;
    let news = case.news();
    weather.lock().expect("unpoisoned").ahead = Some((1, Fate::Silence));
    let error = case
        .world
        .try_sync(&case.config)
        .await
        .expect_err("no answer")
        .to_string();
    assert!(error.contains("did not answer within 30 s"), "{error}");
    case.recovers("never answering").await;
    case.holds("never answering", "news", &news).await;
}
