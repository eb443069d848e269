//! The reconciler's process ends at random points of its syncs while commits go on, and is started again. In the end
//! everything is as the last commit says, and nothing carries our label that no book and no file names.
//!
//! `RECONCILE_KILLS` says how often.

use std::collections::BTreeSet;
use std::path::Path;
use std::time::Duration;

use kube::Client;
use kube::api::{Api, DynamicObject, ListParams};
use kube::core::{ApiResource, GroupVersionKind};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

use super::elsewhere;
use super::harness::{config_map, pod};
use crate::support::etcd;
use crate::support::git::Repository;
use crate::support::process::{self, Process};
use crate::support::tools;

/// Kills of a run where nothing else is asked for, on both stores together.
const KILLS: usize = 50;
/// How many points a sync passes at most: a kill comes at one of that many.
const POINTS: usize = 40;
/// Names that objects of the source have; few, so that they come back.
const NAMES: usize = 8;
/// How long anything may take on a machine that is busy.
const PATIENCE: Duration = Duration::from_secs(60);
/// Commits while one process runs; should it still run then, it is ended from outside.
const COMMITS: usize = 40;

/// The source's content: which objects there are and what they say.
struct Content {
    random: StdRng,
    count: u32,
    maps: BTreeSet<usize>,
    pods: BTreeSet<usize>,
}

impl Content {
    /// A few changes and their commit.
    fn commit(&mut self, repository: &Repository) {
        self.count += 1;
        let count = self.count;
        for _ in 0..self.random.random_range(1..6) {
            let name = self.random.random_range(0..NAMES);
            let (there, file, text) = match self.random.random_bool(0.5) {
                true => (
                    &mut self.maps,
                    format!("map-{name}.yaml"),
                    config_map(&format!("map-{name}"), &count.to_string()),
                ),
                // A pod's environment cannot change in place.
                false => (
                    &mut self.pods,
                    format!("pod-{name}.yaml"),
                    pod(&format!("pod-{name}"), &format!("commit-{count}")),
                ),
            };
            if there.contains(&name) && self.random.random_bool(0.4) {
                there.remove(&name);
                std::fs::remove_file(repository.path.join(file)).expect("removed");
            } else {
                there.insert(name);
                std::fs::write(repository.path.join(file), text).expect("written");
            }
        }
        repository.commit(&format!("commit {count}"));
    }

    /// The objects that the last commit names.
    fn names(&self) -> BTreeSet<String> {
        let maps = self.maps.iter().map(|name| format!("ConfigMap map-{name}"));
        let pods = self.pods.iter().map(|name| format!("Pod pod-{name}"));
        maps.chain(pods).chain(["ConfigMap anchor".to_owned()]).collect()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn on_the_embedded_store() {
    at_every_point_of_a_sync(None).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn on_etcd() {
    at_every_point_of_a_sync(Some(etcd::Etcd::start())).await;
}

async fn at_every_point_of_a_sync(etcd: Option<etcd::Etcd>) {
    let kills = std::env::var("RECONCILE_KILLS").map_or(KILLS, |text| text.parse().expect("a number")) / 2;
    let root = tempfile::tempdir().expect("a directory");
    let data = root.path().join("server");
    let server = elsewhere::serve(&data, etcd.as_ref());
    let kubeconfig = elsewhere::kubeconfig(&data);
    let client = elsewhere::client(&kubeconfig).await;
    let repository = Repository::init(&root.path().join("source"));
    std::fs::write(repository.path.join("anchor.yaml"), config_map("anchor", "1")).expect("written");
    let seed = rand::random();
    println!("the random numbers start from {seed}");
    let mut content = Content {
        random: StdRng::seed_from_u64(seed),
        count: 0,
        maps: BTreeSet::new(),
        pods: BTreeSet::new(),
    };
    content.commit(&repository);
    let mut died = 0;
    let mut anchor = None;
    for kill in 0..kills {
        let point = content.random.random_range(1..=POINTS);
        let mut reconciler = Process::start(
            command(root.path(), &repository, &kubeconfig).env("RECONCILE_FAIL_POINT", format!("any:{point}")),
        );
        for _ in 0..COMMITS {
            if !reconciler.is_running() {
                break;
            }
            content.commit(&repository);
        }
        died += usize::from(!reconciler.is_running());
        let ended = reconciler.kill();
        assert!(!ended.stderr.contains("panicked"), "kill {kill}: {ended}");
        // What no commit touched was not touched either.
        let uid = uid(&client, "anchor").await;
        anchor = anchor.or(uid.clone());
        assert_eq!(uid, anchor, "kill {kill}: the anchor was made anew");
    }
    assert!(died * 2 > kills, "only {died} of {kills} processes came to their point");

    let ended = process::run(
        command(root.path(), &repository, &kubeconfig).args(["--once", "--timeout", "1s"]),
        PATIENCE,
    );
    assert!(ended.all().contains("synced"), "{ended}");
    let labelled = members(&client).await;
    assert_eq!(
        labelled,
        content.names(),
        "what carries our label is what the last commit names\n{ended}"
    );
    assert_eq!(books(&client).await, labelled, "and what the books name");
    let again = process::run(
        command(root.path(), &repository, &kubeconfig).arg("--dry-run"),
        PATIENCE,
    );
    assert_eq!(again.code, Some(0), "{again}");
    server.terminate(PATIENCE);
}

fn command(root: &Path, repository: &Repository, kubeconfig: &Path) -> std::process::Command {
    let mut command = tools::reconcile();
    command.arg(&repository.path).arg("--kubeconfig").arg(kubeconfig);
    command
        .args(["--ref", "main", "--prune-budget", "none"])
        .arg("--data-dir")
        .arg(root.join("reconciler"));
    command
}

fn api(client: &Client, namespace: &str, kind: &str) -> Api<DynamicObject> {
    let resource = ApiResource::from_gvk(&GroupVersionKind::gvk("", "v1", kind));
    Api::namespaced_with(client.clone(), namespace, &resource)
}

async fn uid(client: &Client, name: &str) -> Option<String> {
    let found = api(client, "default", "ConfigMap")
        .get_opt(name)
        .await
        .expect("an answer");
    found.and_then(|object| object.metadata.uid)
}

/// Everything that carries the label of a source.
async fn members(client: &Client) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    for kind in ["ConfigMap", "Pod"] {
        let labelled = ListParams::default().labels("applyset.kubernetes.io/part-of");
        let list = api(client, "default", kind).list(&labelled).await.expect("a list");
        found.extend(
            list.items
                .into_iter()
                .map(|item| format!("{kind} {}", item.metadata.name.expect("a name"))),
        );
    }
    found
}

/// Everything that the inventory names.
async fn books(client: &Client) -> BTreeSet<String> {
    let books = ListParams::default().labels("applyset.kubernetes.io/id");
    let list = api(client, "kube-system", "ConfigMap")
        .list(&books)
        .await
        .expect("a list");
    assert_eq!(list.items.len(), 1, "one source, one inventory");
    let data = list.items[0].data["data"].clone();
    let mut found = BTreeSet::new();
    for (key, lines) in data.as_object().into_iter().flatten() {
        // Kinds are written with their versions; what has none is the record.
        let Some((kind, _)) = key.split_once('.') else { continue };
        for line in lines.as_str().expect("a text").lines() {
            let name = line.split([' ', '/']).nth(1).expect("a name");
            found.insert(format!("{kind} {name}"));
        }
    }
    found
}
