//! Metrics as a scraper reads them, before and after what they count.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;

use reconcile::exposition;
use reconcile::gitops::manage::Sources;
use reconcile::gitops::telling::Telling;
use reconcile::gitops::telling::metrics::Metrics;
use reconcile::plain_http;
use serde_json::json;
use tokio::net::TcpListener;
use tokio_util::sync::{CancellationToken, DropGuard};

use super::harness::{World, config_map, eventually};
use super::sources;
use crate::support::process::http_get;

/// Metrics that are served on a real socket.
pub struct Scraped {
    address: SocketAddr,
    _stop: DropGuard,
}

/// Every sample by its name and labels, as written.
pub type Samples = BTreeMap<String, f64>;

impl Scraped {
    pub async fn of(metrics: &Metrics) -> Scraped {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("an address");
        let stop = CancellationToken::new();
        let router = exposition::router(vec![metrics.registry()]);
        tokio::spawn(plain_http::serve(listener, router, stop.clone()));
        Scraped {
            address,
            _stop: stop.drop_guard(),
        }
    }

    async fn get(&self, path: &'static str) -> String {
        let address = self.address.to_string();
        let asked = tokio::task::spawn_blocking(move || http_get(&address, path).expect("an answer"));
        asked.await.expect("asked")
    }

    pub async fn samples(&self) -> Samples {
        let answer = self.get("/metrics").await;
        let (head, body) = answer.split_once("\r\n\r\n").expect("a head and a body");
        assert!(head.starts_with("HTTP/1.1 200 OK"), "{head}");
        assert!(
            head.to_lowercase().contains("content-type: text/plain; version=0.0.4"),
            "{head}"
        );
        parse(body)
    }

    /// Waits until the sample is at least that.
    async fn reaches(&self, sample: &str, value: f64) -> Samples {
        eventually(format!("{sample} is at least {value}"), async || {
            let samples = self.samples().await;
            match samples.get(sample) {
                Some(found) if *found >= value => Ok(samples),
                _ => Err(format!("{samples:#?}")),
            }
        })
        .await
    }

    /// Waits until the sample has that value.
    async fn shows(&self, sample: &str, value: f64) {
        eventually(format!("{sample} is {value}"), async || {
            let samples = self.samples().await;
            match samples.get(sample) {
                Some(found) if *found == value => Ok(()),
                _ => Err(format!("{samples:#?}")),
            }
        })
        .await;
    }
}

/// Reads the text format 0.0.4 as strictly as its description is written.
fn parse(text: &str) -> Samples {
    let (mut samples, mut families, mut helped) = (Samples::new(), BTreeSet::new(), None);
    let mut family: Option<(String, String)> = None;
    assert!(text.ends_with('\n'), "the last line ends");
    for line in text.lines() {
        if let Some(help) = line.strip_prefix("# HELP ") {
            let (name, text) = help.split_once(' ').expect("a name and a text");
            assert!(!text.is_empty(), "{line}");
            helped = Some(name.to_owned());
            family = None;
        } else if let Some(kind) = line.strip_prefix("# TYPE ") {
            let (name, kind) = kind.split_once(' ').expect("a name and a type");
            assert!(["counter", "gauge", "histogram"].contains(&kind), "{line}");
            assert_eq!(helped.as_deref(), Some(name), "help and type are of one name");
            assert!(name.starts_with("reconcile_"), "{line}");
            assert_eq!(kind == "counter", name.ends_with("_total"), "{line}");
            assert!(families.insert(name.to_owned()), "twice: {line}");
            family = Some((name.to_owned(), kind.to_owned()));
        } else {
            let (series, value) = line.rsplit_once(' ').expect("a series and a value");
            let name = series.split('{').next().expect("a name");
            let (known, kind) = family.as_ref().unwrap_or_else(|| panic!("no type: {line}"));
            let of_family = match kind.as_str() {
                "histogram" => ["_bucket", "_sum", "_count"]
                    .iter()
                    .any(|end| name == format!("{known}{end}")),
                _ => name == known,
            };
            assert!(of_family, "{line} stands below {known}");
            let labels = series.strip_prefix(name).expect("what follows");
            assert!(
                labels.is_empty() || labels.starts_with('{') && labels.ends_with("\"}"),
                "{line}"
            );
            let value: f64 = value.parse().unwrap_or_else(|_| panic!("no number: {line}"));
            assert!(samples.insert(series.to_owned(), value).is_none(), "twice: {line}");
        }
    }
    samples
}

#[tokio::test]
async fn what_goes_on_is_counted() {
    let world = World::new().await;
    world.write("a.yaml", &config_map("a", "1"));
    let config = world.config();
    let scraped = Scraped::of(&config.telling.metrics).await;
    let build = format!("reconcile_build_info{{version=\"{}\"}}", env!("CARGO_PKG_VERSION"));
    assert_eq!(scraped.samples().await, BTreeMap::from([(build, 1.0)]));
    assert!(scraped.get("/healthz").await.ends_with("\r\n\r\nok\n"));

    let following = world.follow_with(config);
    let successes = "reconcile_syncs_total{source=\"source\",result=\"success\"}";
    let samples = scraped.reaches(successes, 1.0).await;
    for (sample, value) in [
        ("reconcile_changes_total{source=\"source\",action=\"create\"}", 1.0),
        ("reconcile_changes_total{source=\"source\",action=\"delete\"}", 0.0),
        ("reconcile_syncs_total{source=\"source\",result=\"failure\"}", 0.0),
        ("reconcile_objects{source=\"source\"}", 1.0),
        ("reconcile_problems{source=\"source\"}", 0.0),
        ("reconcile_suspended{source=\"source\"}", 0.0),
        ("reconcile_drift_repairs_total{source=\"source\"}", 0.0),
    ] {
        assert_eq!(samples.get(sample), Some(&value), "{sample} in {samples:#?}");
    }
    let count = samples["reconcile_sync_duration_seconds_count{source=\"source\"}"];
    let all = samples["reconcile_sync_duration_seconds_bucket{le=\"+Inf\",source=\"source\"}"];
    assert!(count >= 1.0 && all == count, "{samples:#?}");
    let last = samples["reconcile_last_sync_timestamp_seconds{source=\"source\"}"];
    assert!(last > 1.7e9, "unix seconds: {last}");

    world.merge("ConfigMap", "a", json!({"data": {"key": "other"}})).await;
    scraped
        .shows("reconcile_drift_repairs_total{source=\"source\"}", 1.0)
        .await;
    world.write("bad.yaml", "\t");
    scraped.shows("reconcile_problems{source=\"source\"}", 1.0).await;
    let problems = "reconcile_syncs_total{source=\"source\",result=\"problems\"}";
    scraped.reaches(problems, 1.0).await;
    world.remove("bad.yaml");
    scraped.shows("reconcile_problems{source=\"source\"}", 0.0).await;
    let sources = Sources::new(world.client.clone());
    sources.suspend(None, true).await.expect("suspended");
    scraped.shows("reconcile_suspended{source=\"source\"}", 1.0).await;
    following.stop().await;
    assert_eq!(scraped.samples().await.len(), 1, "nothing is followed any more");
}

#[tokio::test]
async fn deletes_that_wait_are_shown() {
    let mut world = World::new().await;
    world.budget = "1".parse().expect("a budget");
    for name in ["a", "b", "c"] {
        world.write(&format!("{name}.yaml"), &config_map(name, "1"));
    }
    let config = world.config();
    let scraped = Scraped::of(&config.telling.metrics).await;
    let following = world.follow_with(config);
    scraped.shows("reconcile_objects{source=\"source\"}", 3.0).await;
    world.remove("a.yaml");
    world.remove("b.yaml");
    let waiting = "reconcile_deletes_waiting_for_approval{source=\"source\"}";
    scraped.shows(waiting, 2.0).await;
    let sources = Sources::new(world.client.clone());
    sources.approve(None).await.expect("approved");
    scraped.shows(waiting, 0.0).await;
    scraped
        .shows("reconcile_changes_total{source=\"source\",action=\"delete\"}", 2.0)
        .await;
    following.stop().await;
}

#[tokio::test]
async fn a_remote_that_cannot_be_asked_is_counted() {
    let world = World::new().await;
    let mut config = world.config();
    config.source = format!("file://{}", world.path("nowhere.git").display());
    let scraped = Scraped::of(&config.telling.metrics).await;
    let following = world.follow_with(config);
    let failures = "reconcile_fetches_total{source=\"nowhere\",result=\"failure\"}";
    scraped.reaches(failures, 1.0).await;
    following.stop().await;
}

#[tokio::test]
async fn a_source_object_is_measured_while_it_is_followed() {
    let world = World::new().await;
    let telling = Telling::default();
    let scraped = Scraped::of(&telling.metrics).await;
    let _manager = sources::manage_with(&world, &[], &telling);
    let folder = sources::folder(&world, "one", "a");
    world.create(sources::source("apps", &folder, json!({}))).await;
    scraped.shows("reconcile_objects{source=\"apps\"}", 1.0).await;
    // A new spec begins anew, and leaves its series there.
    world.merge("Source", "apps", json!({"spec": {"suspend": true}})).await;
    scraped.shows("reconcile_suspended{source=\"apps\"}", 1.0).await;
    world.delete("Source", "apps").await;
    eventually("its series go", async || {
        let samples = scraped.samples().await;
        let left = samples.keys().any(|series| series.contains("apps"));
        if left { Err(format!("{samples:#?}")) } else { Ok(()) }
    })
    .await;
}
