//! Everything is killed at random moments, again and again; what was acknowledged and what runs survives it.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use super::manifest::{config_map, pod};
use super::source::{Kind, Source};
use crate::support::cluster::{Backend, CHANGE, Cluster, PodView};
use crate::support::{docker, eventually};

/// How often everything is killed.
const KILLS: u32 = 20;
/// A kill comes at a random moment of this time after the start: before it serves, while it syncs, when all is calm.
const LATEST_MILLIS: u64 = 2500;
/// The pods that are there from the beginning and never change.
const STEADY: [&str; 3] = ["steady-a", "steady-b", "steady-c"];

#[test]
fn twenty_times_on_the_embedded_store() {
    twenty_times(Backend::Embedded);
}

#[test]
fn twenty_times_on_etcd() {
    twenty_times(Backend::Etcd);
}

fn twenty_times(backend: Backend) {
    let mut cluster = Cluster::new("killed", backend);
    let source = Source::new(Kind::Directory, &cluster.path("source"));
    for name in STEADY {
        source.write(&format!("{name}.yaml"), &pod(name).yaml());
    }
    source.write("crashing.yaml", &pod("crashing").script("echo crashing; exit 1").yaml());
    cluster.start(&source.arguments());
    let steady = STEADY.map(|name| identity(&cluster.running_pod(name, |_| Ok(()))));
    let mut ledger = Ledger::default();
    let mut random = Random(u64::from(std::process::id()) << 16 | 1);
    eprintln!("the random numbers start from {}", random.0);

    for round in 0..KILLS {
        let moment = Duration::from_millis(random.next() % LATEST_MILLIS);
        let started = Instant::now();
        change_source(&source, round);
        while started.elapsed() < moment {
            ledger.write_something(&cluster, round);
            ledger.look(&cluster);
        }
        let output = cluster.kill();
        assert!(!output.contains("panicked"), "round {round}:\n{output}");
        if backend == Backend::Etcd && random.next().is_multiple_of(2) {
            cluster.etcd.as_mut().expect("started on etcd").restart();
        }
        no_container_twice(&cluster);
        cluster.launch(&source.arguments());
    }

    cluster.wait_ready();
    for (name, before) in STEADY.iter().zip(&steady) {
        let after = identity(&cluster.running_pod(name, |_| Ok(())));
        assert_eq!(&after, before, "{name} ran on through it all");
    }
    for round in 0..KILLS {
        if kept(round) {
            cluster.running_pod(&extra(round), |_| Ok(()));
        } else {
            cluster.no_pod(&extra(round));
        }
    }
    ledger.look(&cluster);
    assert!(
        ledger.restarts.values().any(|restarts| *restarts > 0),
        "the crashing pod was started again"
    );
    ledger.everything_acknowledged_is_there(&cluster);
    no_container_twice(&cluster);
    as_many_containers_as_pods(&cluster);
    cluster.stop();
}

/// Each round a pod comes, and every other round the one of the round before goes.
fn change_source(source: &Source, round: u32) {
    source.write(&format!("extra-{round}.yaml"), &pod(&extra(round)).yaml());
    if round > 0 && !kept(round - 1) {
        source.remove(&format!("extra-{}.yaml", round - 1));
    }
    if round + 1 == KILLS && !kept(round) {
        source.remove(&format!("extra-{round}.yaml"));
    }
}

fn extra(round: u32) -> String {
    format!("extra-{round}")
}

fn kept(round: u32) -> bool {
    round.is_multiple_of(4)
}

/// What must not change of a pod that nobody touches.
fn identity(pod: &PodView) -> (String, String, i64) {
    (pod.uid(), pod.container_id(), pod.restarts())
}

fn no_container_twice(cluster: &Cluster) {
    let running = docker::running(&cluster.node);
    let mut seen = BTreeSet::new();
    for container in &running {
        let key = (container.pod.clone(), container.name.clone());
        assert!(seen.insert(key), "{} runs twice: {running:#?}", container.pod);
    }
}

fn as_many_containers_as_pods(cluster: &Cluster) {
    let mut wanted: BTreeSet<String> = STEADY.iter().map(|name| (*name).to_owned()).collect();
    wanted.extend((0..KILLS).filter(|round| kept(*round)).map(extra));
    eventually("each pod has its container and nothing else runs", CHANGE, || {
        let running = docker::running(&cluster.node)
            .into_iter()
            .map(|container| container.pod);
        let found: BTreeSet<String> = running.filter(|pod| pod != "crashing").collect();
        if found == wanted {
            Ok(())
        } else {
            Err(format!("{found:?}, not {wanted:?}"))
        }
    });
}

/// What the API server acknowledged, and the restarts it has shown.
#[derive(Default)]
struct Ledger {
    acknowledged: Vec<String>,
    /// By uid and container.
    restarts: BTreeMap<(String, String), i64>,
}

impl Ledger {
    /// Creates an object; only what was acknowledged counts.
    fn write_something(&mut self, cluster: &Cluster, round: u32) {
        let name = format!("written-{round}-{}", self.acknowledged.len());
        let value = format!("--from-literal=value={name}");
        if cluster.kubectl().run(&["create", "configmap", &name, &value]).code == Some(0) {
            self.acknowledged.push(name);
        }
    }

    /// Reads the restart counts, where anything answers; none may be lower than one seen before.
    fn look(&mut self, cluster: &Cluster) {
        let Ok(pods) = cluster.kubectl().json(&["pods"]) else {
            return;
        };
        for pod in pods["items"].as_array().expect("a list has items") {
            let uid = pod["metadata"]["uid"].as_str().expect("a pod has a uid");
            for status in pod["status"]["containerStatuses"].as_array().into_iter().flatten() {
                let name = status["name"].as_str().expect("a status has a name");
                let restarts = status["restartCount"].as_i64().expect("a status counts restarts");
                let highest = self.restarts.entry((uid.to_owned(), name.to_owned())).or_default();
                assert!(
                    restarts >= *highest,
                    "restarts fell from {highest} to {restarts}: {pod}"
                );
                *highest = restarts;
            }
        }
    }

    fn everything_acknowledged_is_there(&self, cluster: &Cluster) {
        let found = cluster.kubectl().ok(&["get", "configmaps", "-o", "name"]);
        let found: BTreeSet<&str> = found.lines().collect();
        assert!(
            !self.acknowledged.is_empty(),
            "something was acknowledged between the kills"
        );
        for name in &self.acknowledged {
            assert!(
                found.contains(format!("configmap/{name}").as_str()),
                "{name} was acknowledged and is lost"
            );
        }
    }
}

/// A small xorshift generator: the numbers need to be spread, not secret, and a seed must give them again.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }
}

#[test]
fn config_maps_are_not_lost_to_a_kill_in_the_middle_of_writes() {
    let mut cluster = Cluster::new("torn", Backend::Embedded);
    let source = Source::new(Kind::Directory, &cluster.path("source"));
    for number in 0..200 {
        source.write(
            &format!("map-{number}.yaml"),
            &config_map(&format!("map-{number}"), "1"),
        );
    }
    cluster.launch(&source.arguments());
    cluster.reconciler().line_with("export KUBECONFIG=", CHANGE);
    cluster.wait_ready();
    cluster.kill();
    cluster.start(&source.arguments());
    eventually("all of them are there", CHANGE, || {
        let found = cluster.kubectl().ok(&["get", "configmaps", "-o", "name"]);
        let count = found.lines().filter(|name| name.starts_with("configmap/map-")).count();
        if count == 200 {
            Ok(())
        } else {
            Err(format!("{count} of 200"))
        }
    });
    cluster.stop();
}
