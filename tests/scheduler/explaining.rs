//! `reconcile explain`: the built binary against a real API server and what the scheduler says there.

use std::time::Duration;

use serde_json::{Value, json};

use super::harness::{Server, node, pod, tainted};
use crate::support::process::{self, Ended};
use crate::support::tools;

/// How long a command may take on a machine that is busy.
const PATIENCE: Duration = Duration::from_secs(60);

const REFUSAL: &str = "0/2 nodes are available: 1 Insufficient cpu, 1 node(s) had untolerated taint {dedicated: gpu}. \
                       preemption: 0/2 nodes are available: 1 No preemption victims found for incoming pod, \
                       1 Preemption is not helpful for scheduling.";

/// What lies behind `--server`, and a place where no other API server is known of.
struct Served {
    url: String,
    data: tempfile::TempDir,
}

impl Served {
    async fn start(server: &Server) -> Served {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("an address");
        let router = server.router();
        tokio::spawn(async move { axum::serve(listener, router).await });
        Served {
            url: format!("http://{address}"),
            data: tempfile::tempdir().expect("a directory"),
        }
    }

    async fn explain(&self, arguments: &[&str]) -> Ended {
        let mut command = tools::reconcile();
        command.arg("explain").args(arguments).args(["--server", &self.url]);
        command.arg("--data-dir").arg(self.data.path());
        tokio::task::spawn_blocking(move || process::run(&mut command, PATIENCE))
            .await
            .expect("no panic")
    }

    async fn data(&self, pod: &str) -> Value {
        let text = self.explain(&[pod, "-o", "json"]).await.ok();
        serde_json::from_str(&text).expect("one JSON document")
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn pods_are_explained_as_a_table_and_as_data() {
    let server = Server::start().await;
    let served = Served::start(&server).await;
    server.create_node(node("a", "2", "4Gi")).await;
    server
        .create_node(tainted(node("b", "2", "4Gi"), "dedicated", "gpu", "NoSchedule"))
        .await;
    let scheduler = server.scheduler();
    server.create_pod(&pod("first", "1500m", json!({}))).await;
    server.bound("first").await;

    let placed = served.explain(&["first", "-o", "table"]).await.ok();
    let expected = "pod         default/first is on node a\n\
                    decision    1/2 nodes are available: a would be chosen.\n";
    assert!(placed.starts_with(expected), "{placed}");
    assert!(placed.contains("\na *    "), "{placed}");
    assert!(placed.contains("NodeResourcesBalancedAllocation"), "{placed}");
    let placed = served.data("first").await;
    assert_eq!((&placed["state"], &placed["node"]), (&"placed".into(), &"a".into()));
    let scores = placed["nodes"][0]["scores"].as_array().expect("scores");
    let sum: i64 = scores.iter().filter_map(|score| score["product"].as_i64()).sum();
    assert_eq!(placed["nodes"][0]["total"], sum);
    for score in scores {
        let factors = score["score"].as_i64().zip(score["weight"].as_i64());
        assert_eq!(score["product"].as_i64(), factors.map(|(score, weight)| score * weight));
    }

    server.create_pod(&pod("second", "800m", json!({}))).await;
    server.refused("second", REFUSAL).await;
    let refused = served.explain(&["second", "--namespace", "default"]).await.ok();
    let expected = format!(
        "pod         default/second waits: it fitted nowhere when it was looked at\n\
         decision    {REFUSAL}\n\
         easiest     b: tolerate taint dedicated=gpu:NoSchedule\n\
         \n\
         NODE   REFUSED BY         REASON, AND WHAT WOULD HAVE TO CHANGE\n\
         b      TaintToleration    node(s) had untolerated taint {{dedicated: gpu}}\n\
         \x20                         → tolerate taint dedicated=gpu:NoSchedule\n\
         a      NodeResourcesFit   Insufficient cpu\n\
         \x20                         → needs 300m more cpu: free 500m of 2, asked 800m\n"
    );
    assert_eq!(refused, expected);
    let refused = served.data("second").await;
    assert_eq!(refused["state"], "refused");
    assert_eq!(
        (&refused["summary"], &refused["message"]),
        (&REFUSAL.into(), &REFUSAL.into())
    );
    assert_eq!(refused["nodes"][1]["changes"][0]["short"], "300m");
    assert_eq!(
        served.explain(&["second", "-o", "name"]).await.ok(),
        "",
        "it fits nowhere"
    );
    scheduler.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn pods_that_the_scheduler_leaves_alone_say_why() {
    let server = Server::start().await;
    let served = Served::start(&server).await;
    server.create_node(node("a", "2", "4Gi")).await;
    let gates = json!({"schedulingGates": [{"name": "example.com/wait"}]});
    server.create_pod(&pod("gated", "1", gates)).await;
    server
        .create_pod(&pod("theirs", "1", json!({"schedulerName": "theirs"})))
        .await;
    server.create_pod(&pod("new", "1", json!({}))).await;
    for (name, words) in [
        (
            "gated",
            "default/gated waits for its scheduling gates to go: example.com/wait\n",
        ),
        ("theirs", "default/theirs is for the scheduler theirs to place; "),
        ("new", "default/new waits, and nothing was decided on it yet "),
    ] {
        let text = served.explain(&[name]).await.ok();
        assert!(text.contains(words), "{text}");
        assert_eq!(served.explain(&[name, "-o", "name"]).await.ok(), "a\n");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pod_that_is_not_there_is_told_apart_from_a_failure() {
    let server = Server::start().await;
    let served = Served::start(&server).await;
    let missing = served.explain(&["web"]).await;
    assert_eq!(missing.code, Some(1), "{missing}");
    let said = (missing.stdout.as_str(), missing.stderr.as_str());
    assert_eq!(said, ("", "error: pods \"web\" not found\n"));
    let nowhere = Served {
        url: "http://127.0.0.1:1".to_owned(),
        ..served
    };
    let failed = nowhere.explain(&["web"]).await;
    assert_eq!(failed.code, Some(2), "{failed}");
}
