//! From a pod's creation to Ready, against `docker run -d` of the same image and command.

use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use futures::StreamExt;
use k8s_openapi::api::core::v1::Pod;
use kube::api::{Api, DeleteParams, ListParams, PostParams, WatchEvent, WatchParams};
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Client, Config};

use crate::report::{Row, median};
use crate::support::cluster::{Backend, Cluster, text};
use crate::support::images::BUSYBOX;
use crate::support::{docker, tools, unique};

/// Rounds of one pod; ours and the peer's take turns, so that a slow minute slows both.
const ROUNDS: usize = 9;
/// Rounds of fifty pods.
const LARGE_ROUNDS: usize = 3;
/// Pods at once.
const MANY: usize = 50;
/// No pod takes longer.
const TIMEOUT: Duration = Duration::from_secs(180);
/// What the containers run; it ends at once when told to, so that cleaning up is quick.
const SCRIPT: &str = "trap 'exit 0' TERM; sleep 100000 & wait";

/// A client of that cluster.
pub async fn client(cluster: &Cluster) -> Client {
    let kubeconfig = Kubeconfig::read_from(cluster.kubeconfig()).expect("a kubeconfig");
    let config = Config::from_custom_kubeconfig(kubeconfig, &KubeConfigOptions::default()).await;
    Client::try_from(config.expect("a complete kubeconfig")).expect("a client")
}

/// A cluster in one process that follows an empty directory.
pub fn start(what: &str) -> Cluster {
    let mut cluster = Cluster::new(what, Backend::Embedded);
    let source = cluster.path("source");
    std::fs::create_dir(&source).expect("a directory");
    // It deletes nearly all of its pods on purpose.
    cluster.start(&[text(&source), "--prune-budget", "none"]);
    let wait = ["wait", "--for=condition=Ready", "node", &cluster.node, "--timeout=30s"];
    cluster.kubectl().ok(&wait);
    cluster
}

/// A pod that runs until told to stop.
pub fn pod(name: &str) -> Pod {
    let pod = serde_json::json!({
        "apiVersion": "v1", "kind": "Pod", "metadata": {"name": name},
        "spec": {
            "terminationGracePeriodSeconds": 5,
            "containers": [{"name": "main", "image": BUSYBOX, "command": ["sh", "-c", SCRIPT]}],
        },
    });
    serde_json::from_value(pod).expect("a pod")
}

/// One pod after another: created, Ready, deleted.
pub fn one() -> Vec<Row> {
    let cluster = start("one");
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let mut ours = Vec::new();
    let mut theirs = Vec::new();
    for round in 0..ROUNDS {
        theirs.push(docker_run(1));
        ours.push(runtime.block_on(async {
            let pods: Api<Pod> = Api::default_namespaced(client(&cluster).await);
            let name = format!("one-{round}");
            let began = Instant::now();
            pods.create(&PostParams::default(), &pod(&name)).await.expect("created");
            ready(&pods, 1).await;
            let took = began.elapsed();
            pods.delete(&name, &DeleteParams::default()).await.expect("deleted");
            gone(&pods).await;
            took
        }));
    }
    vec![Row::times(
        "one pod, create → Ready",
        median(ours),
        "docker run -d",
        median(theirs),
        Some(2.0),
    )]
}

/// Fifty pods saved in one file of the directory that is followed, until all are Ready.
pub fn fifty() -> Vec<Row> {
    let cluster = start("fifty");
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let mut ours = Vec::new();
    let mut theirs = Vec::new();
    let source = cluster.path("source");
    std::fs::write(source.join("stays.json"), STAYS).expect("a manifest");
    for _ in 0..LARGE_ROUNDS {
        theirs.push(docker_run(MANY));
        ours.push(runtime.block_on(async {
            let pods: Api<Pod> = Api::default_namespaced(client(&cluster).await);
            let began = Instant::now();
            save_pods(&source, MANY);
            ready(&pods, MANY).await;
            let took = began.elapsed();
            std::fs::remove_file(source.join("pods.json")).expect("the manifest is removed");
            gone(&pods).await;
            took
        }));
    }
    let what = "50 pods, saved in the source → all Ready";
    vec![Row::times(
        what,
        median(ours),
        "50 docker run -d at once",
        median(theirs),
        Some(2.5),
    )]
}

/// Keeps the source from being empty, which deletes nothing.
const STAYS: &str = r#"{"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "stays"}}"#;

/// Saves that many pods as one List, at once.
pub fn save_pods(source: &Path, count: usize) {
    let items: Vec<Pod> = (0..count).map(|number| pod(&format!("many-{number}"))).collect();
    let list = serde_json::json!({"apiVersion": "v1", "kind": "List", "items": items});
    let draft = source.join(".draft");
    std::fs::write(&draft, list.to_string()).expect("a manifest");
    std::fs::rename(draft, source.join("pods.json")).expect("the manifest is in place");
}

/// Waits until that many pods are Ready.
pub async fn ready(pods: &Api<Pod>, count: usize) {
    let is_ready = |pod: &Pod| {
        let conditions = pod.status.as_ref().and_then(|status| status.conditions.as_ref());
        conditions.is_some_and(|all| all.iter().any(|one| one.type_ == "Ready" && one.status == "True"))
    };
    until(pods, |all| all.iter().filter(|pod| is_ready(pod)).count() == count).await;
}

/// Waits until there are no pods.
async fn gone(pods: &Api<Pod>) {
    until(pods, |all| all.is_empty()).await;
}

/// Watches all pods until they are as wanted.
async fn until(pods: &Api<Pod>, wanted: impl Fn(&[Pod]) -> bool) {
    let watching = async {
        let list = pods.list(&ListParams::default()).await.expect("listed");
        let mut all = list.items;
        let from = list.metadata.resource_version.expect("a list has a revision");
        let mut events = Box::pin(pods.watch(&WatchParams::default(), &from).await.expect("watched"));
        while !wanted(&all) {
            let event = events.next().await.expect("the watch goes on").expect("an event");
            let (changed, stays) = match event {
                WatchEvent::Added(pod) | WatchEvent::Modified(pod) => (pod, true),
                WatchEvent::Deleted(pod) => (pod, false),
                WatchEvent::Bookmark(_) => continue,
                WatchEvent::Error(status) => panic!("the watch failed: {status:?}"),
            };
            all.retain(|pod| pod.metadata.name != changed.metadata.name);
            if stays {
                all.push(changed);
            }
        }
    };
    tokio::time::timeout(TIMEOUT, watching)
        .await
        .expect("within the time a pod may take");
}

/// The same number of containers with the docker command, all at once.
fn docker_run(count: usize) -> Duration {
    let program = tools::installed("docker", "docker.io");
    let name = unique("bench");
    let began = Instant::now();
    let runs: Vec<_> = (0..count)
        .map(|number| {
            let mut command = Command::new(&program);
            command.args([
                "run",
                "-d",
                "--label",
                "reconcile.test=bench",
                "--name",
                &format!("{name}-{number}"),
            ]);
            command.args([BUSYBOX, "sh", "-c", SCRIPT]);
            command
                .stdout(std::process::Stdio::null())
                .spawn()
                .expect("docker starts")
        })
        .collect();
    let ended: Vec<_> = runs
        .into_iter()
        .map(|mut run| run.wait().expect("docker ends"))
        .collect();
    let took = began.elapsed();
    let mut remove = vec!["rm".to_owned(), "-f".to_owned(), "-v".to_owned()];
    remove.extend((0..count).map(|number| format!("{name}-{number}")));
    docker::docker(&remove.iter().map(String::as_str).collect::<Vec<_>>());
    assert!(
        ended.iter().all(std::process::ExitStatus::success),
        "every docker run succeeded"
    );
    took
}
