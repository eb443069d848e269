//! The reconciler beside an API server of its own process: how soon a change is stored, and what many objects cost. The
//! floor of a latency is the same write by a client, from its request until its watch shows it.

use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use futures::stream::BoxStream;
use futures::{StreamExt, TryStreamExt};
use k8s_openapi::api::core::v1::ConfigMap;
use kube::api::{Api, ListParams, Patch, PatchParams, PostParams, WatchEvent, WatchParams};
use serde_json::json;

use crate::idle::memory;
use crate::pods::client;
use crate::report::{Row, goal, median};
use crate::support::cluster::{Backend, Cluster, text};
use crate::support::git::Repository;

/// Changes of each kind that are timed.
const CHANGES: usize = 200;
/// Pushes that are timed; each is a commit by git.
const PUSHES: usize = 50;
/// Applications of a cold start, of four objects each.
const APPS: usize = 1000;
/// Objects of a cluster in which nothing changes.
const MANY: usize = 10_000;
/// Passes over them that are timed.
const PASSES: usize = 20;
/// Nothing takes longer.
const PATIENCE: Duration = Duration::from_secs(300);

const SECRET: &str = "only-for-this-benchmark";

/// Saved, pushed, and drifted, over the embedded store.
pub fn embedded() -> Vec<Row> {
    latencies(Backend::Embedded, "embedded store")
}

/// The same over etcd.
pub fn etcd() -> Vec<Row> {
    latencies(Backend::Etcd, "etcd")
}

/// A cold start with many applications, and a cluster of many objects in which nothing changes.
pub fn scale() -> Vec<Row> {
    let mut rows = cold(Backend::Embedded, "embedded store");
    rows.extend(cold(Backend::Etcd, "etcd"));
    rows.extend(quiet(Backend::Embedded, "embedded store"));
    rows.extend(quiet(Backend::Etcd, "etcd"));
    rows
}

fn latencies(backend: Backend, name: &str) -> Vec<Row> {
    let mut cluster = Cluster::new("latency", backend);
    cluster.start_apiserver();
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let source = cluster.path("source");
    fs::create_dir(&source).expect("a directory");
    save(&source, "stays", "0");
    follow(&mut cluster, &[text(&source)]);
    let (floor, saved, drifted) = runtime.block_on(async {
        let mut watched = Watched::start(&cluster).await;
        let mut floor = Vec::new();
        let mut saved = Vec::new();
        let mut drifted = Vec::new();
        for number in 0..CHANGES {
            let name = format!("change-{number}");
            floor.push(watched.created(&format!("floor-{number}")).await);
            let began = Instant::now();
            save(&source, &name, "as-wanted");
            saved.push(watched.until(began, &name, "as-wanted").await);
        }
        for number in 0..CHANGES {
            let name = format!("change-{number}");
            watched.patch(&name, &format!("other-{number}")).await;
            let began = Instant::now();
            drifted.push(watched.until(began, &name, "as-wanted").await);
        }
        (floor, saved, drifted)
    });
    cluster.stop_last();
    let pushed = runtime.block_on(pushes(&mut cluster));
    cluster.stop();
    let row = |what: &str, times, most| Row::latency(&format!("{name}: {what}"), times, "create", &floor, most);
    vec![
        row("file saved → stored", saved, Duration::from_millis(100)),
        row("webhook → stored", pushed, Duration::from_millis(250)),
        row("drift → repaired", drifted, Duration::from_millis(200)),
    ]
}

/// Commits to a repository that is remote, each told of by a webhook.
async fn pushes(cluster: &mut Cluster) -> Vec<Duration> {
    let bare = Repository::init_bare(&cluster.path("bare.git"));
    let work = Repository::init(&cluster.path("work"));
    work.git(&["remote", "add", "origin", text(&bare.path)]);
    let push = |name: &str| {
        save(&work.path, name, "pushed");
        work.commit(name);
        work.git(&["push", "-q", "origin", "main"]);
    };
    push("first");
    let secret = cluster.path("secret");
    fs::write(&secret, SECRET).expect("a secret");
    let url = format!("file://{}", text(&bare.path));
    let listen = ["--webhook-listen", "127.0.0.1:0", "--webhook-secret", text(&secret)];
    follow(cluster, &[&[&*url, "--interval", "1h"], &listen[..]].concat());
    let line = cluster.reconciler().line_with("webhooks", PATIENCE);
    let address = line
        .split(|letter: char| letter.is_whitespace() || letter == '/')
        .find(|word| {
            let parsed = word.trim_end_matches([',', ';', '.']).parse::<std::net::SocketAddr>();
            parsed.is_ok()
        });
    let address = address.unwrap_or_else(|| panic!("no address in {line:?}")).to_owned();
    let mut watched = Watched::start(cluster).await;
    let mut times = Vec::new();
    for number in 0..PUSHES {
        let name = format!("pushed-{number}");
        push(&name);
        let began = Instant::now();
        deliver(&address, number);
        times.push(watched.until(began, &name, "pushed").await);
    }
    times
}

/// As GitLab does.
fn deliver(address: &str, number: usize) {
    use std::io::{Read as _, Write as _};
    let body = format!(r#"{{"ref":"refs/heads/main","number":{number},"project":{{"default_branch":"main"}}}}"#);
    let mut stream = std::net::TcpStream::connect(address).expect("the reconciler listens");
    write!(
        stream,
        "POST /webhook/default HTTP/1.1\r\nHost: bench\r\nConnection: close\r\nContent-Type: application/json\r\n\
         X-Gitlab-Token: {SECRET}\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    )
    .expect("sent");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("answered");
    assert!(answer.starts_with("HTTP/1.1 202"), "{answer}");
}

/// From the start of the reconciler until all is stored and recorded. The floor is a client that creates as much.
fn cold(backend: Backend, name: &str) -> Vec<Row> {
    let mut cluster = Cluster::new("cold", backend);
    cluster.start_apiserver();
    let source = cluster.path("source");
    fs::create_dir(&source).expect("a directory");
    for number in 0..APPS {
        fs::write(source.join(format!("app-{number}.yaml")), app(&format!("app-{number}"))).expect("a manifest");
    }
    let began = Instant::now();
    follow(&mut cluster, &[text(&source)]);
    let took = began.elapsed();
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let floor = runtime.block_on(async {
        let maps: Api<ConfigMap> = Api::default_namespaced(client(&cluster).await);
        let stored = maps.list(&ListParams::default()).await.expect("listed").items.len();
        assert!(stored >= APPS, "all is stored: {stored}");
        let began = Instant::now();
        futures::stream::iter(0..4 * APPS)
            .for_each_concurrent(32, |number| {
                let maps = maps.clone();
                async move {
                    let map = config_map(&format!("floor-{number}"), "1");
                    maps.create(&PostParams::default(), &map).await.expect("created");
                }
            })
            .await;
        began.elapsed()
    });
    cluster.stop();
    let mut row = Row::times(
        &format!("{name}: {APPS} apps of 4 objects, cold start"),
        took,
        "4,000 creates",
        floor,
        None,
    );
    row.goal = goal("≤ 5 s", took <= Duration::from_secs(5));
    vec![row]
}

/// Memory and the time of a pass where nothing changes, and that nothing is written.
fn quiet(backend: Backend, name: &str) -> Vec<Row> {
    let mut cluster = Cluster::new("quiet", backend);
    cluster.start_apiserver();
    let empty = cluster.path("empty");
    fs::create_dir(&empty).expect("a directory");
    save(&empty, "stays", "0");
    follow(&mut cluster, &[text(&empty)]);
    let (idle, _) = memory(cluster.reconciler().id());
    cluster.stop_last();

    let source = cluster.path("source");
    fs::create_dir(&source).expect("a directory");
    for file in 0..MANY / 10 {
        let maps: Vec<String> = (0..10)
            .map(|number| serde_json::to_string(&config_map(&format!("map-{file}-{number}"), "1")).expect("JSON"))
            .collect();
        fs::write(source.join(format!("maps-{file}.yaml")), maps.join("\n---\n")).expect("a manifest");
    }
    cluster
        .environment
        .push(("RECONCILE_LOG".into(), "reconcile::gitops::run=debug".into()));
    follow(&mut cluster, &[text(&source), "--interval", "1s"]);
    let passes: Vec<Duration> = (0..PASSES)
        .map(|_| {
            let process = cluster.reconciler();
            let mark = process.line_count();
            let line = process.line_after(mark, "nothing to do", PATIENCE);
            let text = line
                .split("elapsed_us=")
                .nth(1)
                .and_then(|text| text.split_whitespace().next());
            let micros = text.and_then(|text| text.parse().ok());
            Duration::from_micros(micros.unwrap_or_else(|| panic!("no time in {line:?}")))
        })
        .collect();
    let revision = cluster.revision("configmaps");
    let mark = cluster.reconciler().line_count();
    cluster.reconciler().line_after(mark, "nothing to do", PATIENCE);
    let writes = cluster.revision("configmaps") != revision;
    let (resident, _) = memory(cluster.reconciler().id());
    cluster.stop();
    let took = median(passes);
    vec![
        Row {
            what: format!("{name}: a pass over {MANY} objects without news"),
            ours: format!(
                "{:.0} ms, {} writes",
                took.as_secs_f64() * 1000.0,
                if writes { "some" } else { "0" }
            ),
            beside: String::new(),
            ratio: None,
            goal: goal("≤ 100 ms, 0 writes", took <= Duration::from_millis(100) && !writes),
        },
        Row {
            what: format!("{name}: memory with {MANY} objects"),
            ours: format!("{resident:.0} MB"),
            beside: format!("with one object: {idle:.0} MB"),
            ratio: Some(resident / idle),
            goal: goal("≤ 60 MB more", resident - idle <= 60.0),
        },
    ]
}

/// Starts the reconciler and waits until it has synced.
fn follow(cluster: &mut Cluster, arguments: &[&str]) {
    cluster.start_reconciler(arguments);
    cluster.reconciler().line_with("synced", PATIENCE);
}

fn config_map(name: &str, value: &str) -> ConfigMap {
    let map = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}, "data": {"key": value}});
    serde_json::from_value(map).expect("a ConfigMap")
}

fn save(directory: &Path, name: &str, value: &str) {
    let draft = directory.join(".draft");
    let text = serde_json::to_string(&config_map(name, value)).expect("JSON");
    fs::write(&draft, text).expect("a manifest");
    fs::rename(draft, directory.join(format!("{name}.yaml"))).expect("the manifest is in place");
}

/// A pod and what it lives from.
fn app(name: &str) -> String {
    let meta = json!({"name": name, "labels": {"app": name}});
    [
        json!({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": meta}),
        json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": meta, "data": {"greeting": "hello"}}),
        json!({"apiVersion": "v1", "kind": "Secret", "metadata": meta, "stringData": {"password": name}}),
        json!({"apiVersion": "v1", "kind": "Pod", "metadata": meta, "spec": {
            "serviceAccountName": name,
            "containers": [{"name": "main", "image": "busybox:1.37", "envFrom": [{"configMapRef": {"name": name}}]}],
        }}),
    ]
    .map(|object| object.to_string())
    .join("\n---\n")
}

/// ConfigMaps as a watch shows them.
struct Watched {
    maps: Api<ConfigMap>,
    events: BoxStream<'static, kube::Result<WatchEvent<ConfigMap>>>,
}

impl Watched {
    async fn start(cluster: &Cluster) -> Watched {
        let maps: Api<ConfigMap> = Api::default_namespaced(client(cluster).await);
        let list = maps.list(&ListParams::default()).await.expect("listed");
        let from = list.metadata.resource_version.expect("a list has a revision");
        let params = WatchParams::default().timeout(290);
        let events = maps.watch(&params, &from).await.expect("watched").boxed();
        Watched { maps, events }
    }

    /// How long since `began` until the ConfigMap of that name has that value.
    async fn until(&mut self, began: Instant, name: &str, value: &str) -> Duration {
        let seen = async {
            while let Some(event) = self.events.try_next().await.expect("the watch goes on") {
                let (WatchEvent::Added(map) | WatchEvent::Modified(map)) = event else {
                    continue;
                };
                let data = map.data.unwrap_or_default();
                if map.metadata.name.as_deref() == Some(name) && data.get("key").map(String::as_str) == Some(value) {
                    return began.elapsed();
                }
            }
            panic!("the watch ended");
        };
        tokio::time::timeout(PATIENCE, seen).await.expect("seen in time")
    }

    async fn created(&mut self, name: &str) -> Duration {
        let began = Instant::now();
        let map = config_map(name, "floor");
        self.maps.create(&PostParams::default(), &map).await.expect("created");
        self.until(began, name, "floor").await
    }

    /// As another hand does.
    async fn patch(&mut self, name: &str, value: &str) {
        let patch = Patch::Merge(json!({"data": {"key": value}}));
        self.maps
            .patch(name, &PatchParams::default(), &patch)
            .await
            .expect("patched");
    }
}
