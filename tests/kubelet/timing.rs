//! How long a pod takes beside `docker run -d` of the same image. Run with
//! `cargo nextest run --run-ignored only kubelet::timing --no-capture`; numbers are printed, not judged.

use std::time::Instant;

use futures::future::join_all;
use serde_json::json;

use super::harness::{Cluster, idle};
use crate::support::{docker, images};

/// Enough for a median.
const ROUNDS: usize = 8;
const MANY: usize = 50;

fn docker_run(node: &str) {
    let label = format!("{}={node}", docker::NODE_LABEL);
    let script = "trap 'exit 0' TERM; echo ready; while true; do sleep 0.1; done";
    docker::docker(&["run", "-d", "--label", &label, images::BUSYBOX, "sh", "-c", script]);
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "a measurement, for a quiet machine"]
async fn one_pod() {
    let cluster = Cluster::start().await;
    cluster.create("warm", json!({"containers": [idle("c")]})).await;
    cluster.until_ready("warm").await;
    let (mut runs, mut pods) = (Vec::new(), Vec::new());
    for round in 0..ROUNDS {
        let begun = Instant::now();
        docker_run(cluster.node());
        runs.push(begun.elapsed().as_secs_f64());
        let name = format!("pod-{round}");
        let begun = Instant::now();
        cluster.create(&name, json!({"containers": [idle("c")]})).await;
        cluster.until_ready(&name).await;
        pods.push(begun.elapsed().as_secs_f64());
    }
    let (run, pod) = (median(runs), median(pods));
    println!(
        "one: docker run -d {run:.3} s, bind to Ready {pod:.3} s, ratio {:.2}",
        pod / run
    );
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "a measurement, for a quiet machine"]
async fn many_pods() {
    let cluster = Cluster::start().await;
    cluster.create("warm", json!({"containers": [idle("c")]})).await;
    cluster.until_ready("warm").await;
    let sleeper = || json!({"name": "c", "image": images::BUSYBOX, "command": ["sleep", "1000"]});
    let begun = Instant::now();
    let node = cluster.node().to_owned();
    let threads = (0..MANY).map(|_| {
        let label = format!("{}={node}", docker::NODE_LABEL);
        std::thread::spawn(move || docker::docker(&["run", "-d", "--label", &label, images::BUSYBOX, "sleep", "1000"]))
    });
    for thread in threads.collect::<Vec<_>>() {
        thread.join().expect("docker run");
    }
    let run = begun.elapsed().as_secs_f64();
    let label = format!("label={}={node}", docker::NODE_LABEL);
    let ids = docker::docker(&["ps", "-aq", "--filter", &label, "--filter", "name=^[a-z]+_[a-z]+$"]);
    let mut remove = vec!["rm", "-f"];
    remove.extend(ids.split_whitespace());
    docker::docker(&remove);
    let begun = Instant::now();
    let names = (0..MANY).map(|index| format!("pod-{index}")).collect::<Vec<_>>();
    join_all(
        names
            .iter()
            .map(|name| cluster.create(name, json!({"containers": [sleeper()]}))),
    )
    .await;
    join_all(names.iter().map(|name| cluster.until_ready(name))).await;
    let pods = begun.elapsed().as_secs_f64();
    println!(
        "{MANY}: parallel docker run -d {run:.2} s, bind to Ready {pods:.2} s, ratio {:.2}",
        pods / run
    );
}
