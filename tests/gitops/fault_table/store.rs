//! What lies under the API server: it restarts, its store goes away or is full, its clock jumps.

use std::process::Command;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::body::Body;
use axum::extract::Request;
use axum::response::Response;
use reconcile::apiserver::{self, ApiServer, User};
use reconcile::store::{Embedded, Etcd, Store};
use tower::ServiceExt as _;

use super::{Case, write_all};
use crate::gitops::harness::{World, config_map, eventually};
use crate::gitops::state::State;
use crate::support::etcd;

/// The API server that is reached just now; none while it restarts.
type Current = Arc<Mutex<Option<axum::Router>>>;

async fn start(store: Arc<dyn Store>) -> axum::Router {
    let server = ApiServer::start(apiserver::Config::new(store)).await.expect("a server");
    server.router_as(User::admin("test"))
}

/// Where requests go: to the API server that runs, or into a connection that breaks.
fn switchboard(current: Current) -> axum::Router {
    axum::Router::new().fallback(move |request: Request| {
        let router = current.lock().expect("unpoisoned").clone();
        async move {
            match router {
                Some(router) => router.oneshot(request).await.expect("a router answers"),
                None => {
                    let cut: Result<&str, _> = Err(std::io::Error::other("the connection was cut"));
                    Response::new(Body::from_stream(futures::stream::iter([cut])))
                }
            }
        }
    })
}

#[tokio::test]
async fn an_api_server_that_restarts_amid_a_sync() {
    let root = tempfile::tempdir().expect("a directory");
    let state = root.path().join("state");
    let current = Current::default();
    let store: Arc<dyn Store> = Arc::new(Embedded::open(&state).expect("a store"));
    *current.lock().expect("unpoisoned") = Some(start(Arc::clone(&store)).await);
    let world = World::here(root, store, |_| switchboard(Arc::clone(&current))).await;
    write_all(&world);
    let config = world.config();
    let case = Case::of(world, config).await;
    let following = case.world.follow();
    following.said("synced").await;
    for round in 0..8 {
        write_many(&case, round);
        // In the middle of it, by what is there.
        let written = format!("round {round} has begun");
        eventually(&written, async || match many(&case, round).await {
            0 => Err("not yet".to_owned()),
            _ => Ok(()),
        })
        .await;
        let running = current.lock().expect("unpoisoned").take();
        drop(running);
        tokio::task::yield_now().await;
        *current.lock().expect("unpoisoned") = Some(start(Arc::clone(&case.world.store)).await);
        eventually("all of them", async || match many(&case, round).await {
            30 => Ok(()),
            others => Err(format!("{others} of 30\n{}", following.text())),
        })
        .await;
        case.unharmed(&format!("round {round}")).await;
    }
    following.stop().await;
    case.recovers("restarts").await;
}

/// Saves thirty objects that say this round's number.
fn write_many(case: &Case, round: usize) {
    for number in 0..30 {
        let name = format!("many-{number}");
        case.world
            .write(&format!("{name}.yaml"), &config_map(&name, &round.to_string()));
    }
}

/// How many of them say this round's number.
async fn many(case: &Case, round: usize) -> usize {
    let (round, state) = (round.to_string(), State::of(case.world.store.as_ref()).await);
    let many = state
        .0
        .iter()
        .filter(|(key, _)| key.contains("/configmaps/default/many-"));
    many.filter(|(_, kept)| kept.object["data"]["key"] == round.as_str())
        .count()
}

#[tokio::test]
async fn an_etcd_that_dies_amid_a_sync() {
    let mut server = etcd::Etcd::start();
    let store = Etcd::connect(&[server.url()]).await.expect("a URL");
    let world = World::on(tempfile::tempdir().expect("a directory"), Arc::new(store)).await;
    write_all(&world);
    let config = world.config();
    let case = Case::of(world, config).await;
    let following = case.world.follow();
    following.said("synced").await;
    for round in 0..3 {
        write_many(&case, round);
        eventually("begun", async || match many(&case, round).await {
            0 => Err("not yet".to_owned()),
            _ => Ok(()),
        })
        .await;
        server = tokio::task::spawn_blocking(move || {
            server.kill();
            server.restart();
            server
        })
        .await
        .expect("restarted");
        eventually("all of them", async || match many(&case, round).await {
            30 => Ok(()),
            others => Err(format!("{others} of 30\n{}", following.text())),
        })
        .await;
        case.unharmed(&format!("round {round}")).await;
    }
    following.stop().await;
    case.recovers("etcd").await;
}

#[tokio::test]
async fn a_clock_that_jumps() {
    let case = Case::new().await;
    // As if everything had been written by a clock that was years ahead, and years behind.
    for year in ["2041-", "1999-"] {
        let state = State::of(case.world.store.as_ref()).await;
        for (key, kept) in &state.0 {
            let text = String::from_utf8(kept.bytes.to_vec()).expect("JSON is text");
            let moved = ["2026-", "2041-"].iter().fold(text, |text, now| {
                text.replace(&format!("\"{now}"), &format!("\"{year}"))
            });
            case.world
                .store
                .update(key, moved.into_bytes().into(), kept.revision)
                .await
                .expect("written");
        }
        let plan = case.world.dry_run().await;
        assert_eq!(plan.counts.changes(), 0, "{year}: {:?}", plan.entries);
        case.goes_wrong(year, &[]).await;
        case.recovers(year).await;
    }
}

/// A file system of a few megabytes; it goes with the value.
struct Small {
    path: std::path::PathBuf,
}

impl Small {
    fn mount(path: std::path::PathBuf) -> Small {
        std::fs::create_dir(&path).expect("made");
        let mounted = Command::new("mount")
            .args(["-t", "tmpfs", "-o", "size=64m", "tmpfs"])
            .arg(&path)
            .status();
        assert!(
            mounted.is_ok_and(|status| status.success()),
            "a small file system cannot be mounted; run the tests as root, or leave this one out: not test(disk)"
        );
        Small { path }
    }

    /// Takes all the room there is.
    fn fill(&self) {
        let mut file = std::fs::File::create(self.path.join("ballast")).expect("made");
        let chunk = vec![1_u8; 64 << 10];
        while std::io::Write::write_all(&mut file, &chunk).is_ok() {}
    }

    fn empty(&self) {
        std::fs::remove_file(self.path.join("ballast")).expect("removed");
    }
}

impl Drop for Small {
    fn drop(&mut self) {
        let gone = Command::new("umount").arg("-l").arg(&self.path).status();
        if !gone.is_ok_and(|status| status.success()) {
            eprintln!("{} is still mounted", self.path.display());
        }
    }
}

#[tokio::test]
async fn a_disk_that_is_full() {
    let root = tempfile::tempdir().expect("a directory");
    let small = Small::mount(root.path().join("small"));
    let store = Arc::new(Embedded::open(&small.path.join("state")).expect("a store"));
    let world = World::on(root, store).await;
    write_all(&world);
    let config = world.config();
    let case = Case::of(world, config).await;
    for round in 0..3 {
        let name = format!("full, round {round}");
        small.fill();
        // Until it is refused, each time something else.
        let mut refused = None;
        for number in 0..2000 {
            let text = format!("{number} {}", "x".repeat(100_000));
            case.world.write("large.yaml", &config_map("large", &text));
            match case.world.try_sync(&case.config).await {
                Ok(outcome) if outcome.problems.is_empty() => {}
                Ok(outcome) => refused = outcome.problems.first().map(ToString::to_string),
                Err(error) => refused = Some(error.to_string()),
            }
            if refused.is_some() {
                break;
            }
        }
        let refused = refused.unwrap_or_else(|| panic!("{name}: nothing was refused"));
        assert!(refused.contains("the disk is full"), "{name}: {refused}");
        // What is there can be read all the same.
        case.unharmed(&name).await;
        assert_eq!(case.world.dry_run().await.counts.delete, 0, "{name}");
        small.empty();
        eventually("there is room again", async || {
            match case.world.try_sync(&case.config).await {
                Ok(outcome) if outcome.problems.is_empty() => Ok(()),
                other => {
                    tokio::time::sleep(Duration::from_millis(100)).await;
                    Err(format!("{other:?}"))
                }
            }
        })
        .await;
        case.recovers(&name).await;
    }
}
