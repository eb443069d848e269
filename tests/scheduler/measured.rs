//! What the scheduler measures, as a scraper reads it.

use std::collections::BTreeMap;

use axum::body::Body;
use http::{Request, StatusCode};
use http_body_util::BodyExt as _;
use reconcile::exposition;
use reconcile::scheduler::Config;
use reconcile::scheduler::metrics::Metrics;
use serde_json::json;
use tower::ServiceExt as _;

use super::harness::{Server, eventually, node, pod};

/// Every sample by its name and labels, as written.
async fn samples(metrics: &Metrics) -> BTreeMap<String, f64> {
    let request = Request::get("/metrics").body(Body::empty()).expect("a request");
    let router = exposition::router(vec![metrics.registry()]);
    let answer = router.oneshot(request).await.expect("an answer");
    assert_eq!(answer.status(), StatusCode::OK);
    let body = answer.into_body().collect().await.expect("a body").to_bytes();
    let text = String::from_utf8(body.to_vec()).expect("a text");
    let lines = text.lines().filter(|line| !line.starts_with('#'));
    let sample = |line: &str| {
        let (name, value) = line.rsplit_once(' ').expect("a name and a value");
        (name.to_owned(), value.parse().expect("a number"))
    };
    lines.map(sample).collect()
}

/// Waits until these samples have these values.
async fn shows(metrics: &Metrics, wanted: &[(&str, f64)]) {
    for (name, value) in wanted {
        eventually(&format!("{name} is {value}"), || async {
            let samples = samples(metrics).await;
            match samples.get(*name) {
                Some(found) if found == value => Ok(()),
                _ => Err(format!("{samples:#?}")),
            }
        })
        .await;
    }
}

#[tokio::test]
async fn what_becomes_of_pods_is_counted_under_kube_schedulers_names() {
    let server = Server::start().await;
    let metrics = Metrics::default();
    let scheduler = server.scheduler_with(Config {
        metrics: metrics.clone(),
        ..Config::default()
    });
    server.create_node(node("n", "2", "10Gi")).await;
    server.create_pod(&pod("low", "2", json!({}))).await;
    server.bound("low").await;
    server.create_pod(&pod("full", "1", json!({}))).await;
    let gates = json!({"schedulingGates": [{"name": "later"}]});
    server.create_pod(&pod("gated", "1", gates)).await;
    shows(
        &metrics,
        &[
            (r#"scheduler_schedule_attempts_total{profile="default-scheduler",result="scheduled"}"#, 1.0),
            (r#"scheduler_schedule_attempts_total{profile="default-scheduler",result="unschedulable"}"#, 1.0),
            (r#"scheduler_scheduling_attempt_duration_seconds_count{profile="default-scheduler",result="scheduled"}"#, 1.0),
            ("scheduler_scheduling_algorithm_duration_seconds_count", 1.0),
            (r#"scheduler_pod_scheduling_attempts_bucket{le="1.0"}"#, 1.0),
            (r#"scheduler_pod_scheduling_sli_duration_seconds_count{attempts="1"}"#, 1.0),
            (r#"scheduler_pending_pods{queue="active"}"#, 0.0),
            (r#"scheduler_pending_pods{queue="unschedulable"}"#, 1.0),
            (r#"scheduler_pending_pods{queue="gated"}"#, 1.0),
            (r#"scheduler_queue_incoming_pods_total{event="PodAdd",queue="active"}"#, 2.0),
            (r#"scheduler_queue_incoming_pods_total{event="ScheduleAttemptFailure",queue="unschedulable"}"#, 1.0),
            (r#"scheduler_unschedulable_pods{plugin="NodeResourcesFit",profile="default-scheduler"}"#, 1.0),
            ("scheduler_preemption_attempts_total", 1.0),
            ("scheduler_preemption_victims_count", 0.0),
            (r#"scheduler_cache_size{type="nodes"}"#, 1.0),
            (r#"scheduler_cache_size{type="pods"}"#, 1.0),
            (r#"scheduler_cache_size{type="assumed_pods"}"#, 0.0),
        ],
    )
    .await;

    server.delete_pod("low").await;
    server.bound("full").await;
    server.delete_pod("gated").await;
    shows(
        &metrics,
        &[
            (
                r#"scheduler_unschedulable_pods{plugin="NodeResourcesFit",profile="default-scheduler"}"#,
                0.0,
            ),
            (
                r#"scheduler_pod_scheduling_sli_duration_seconds_count{attempts="2"}"#,
                1.0,
            ),
            (r#"scheduler_pending_pods{queue="unschedulable"}"#, 0.0),
            (r#"scheduler_pending_pods{queue="gated"}"#, 0.0),
        ],
    )
    .await;
    scheduler.stop().await;
}
