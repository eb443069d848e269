//! `--dry-run` says what would change, in its output and its exit code, and changes nothing.

use super::manifest::{config_map, pod};
use super::source::{Kind, Source};
use crate::support::cluster::{Backend, CHANGE, Cluster};
use crate::support::eventually;
use crate::support::process::Ended;

#[test]
fn each_state_on_the_embedded_store() {
    each_state(Backend::Embedded);
}

#[test]
fn each_state_on_etcd() {
    each_state(Backend::Etcd);
}

const SECRET: &str = "apiVersion: v1\nkind: Secret\nmetadata:\n  name: keys\nstringData:\n  password: PASSWORD\n";

/// Only an API server runs, and the reconciler for a while: nothing else counts the revision up.
fn each_state(backend: Backend) {
    let mut cluster = Cluster::new("dryrun", backend);
    let source = Source::new(Kind::WorkTree, &cluster.path("source"));
    source.write("settings.yaml", &config_map("settings", "one"));
    source.write("leaving.yaml", &config_map("leaving", "x"));
    source.write("web.yaml", &pod("web").yaml());
    source.write("keys.yaml", &SECRET.replace("PASSWORD", "hunter2-old"));
    source.publish("begin");
    cluster.start_apiserver();

    let all = changes_nothing(&cluster, &source, 1);
    assert!(
        all.stdout
            .contains("4 to create, 0 to change, 0 to replace, 0 to delete"),
        "{all}"
    );
    assert!(all.stdout.contains("+  name: web"), "a unified diff: {all}");

    apply(&mut cluster, &source);
    let same = changes_nothing(&cluster, &source, 0);
    assert!(
        same.stdout
            .contains("0 to create, 0 to change, 0 to replace, 0 to delete"),
        "{same}"
    );

    source.write("settings.yaml", &config_map("settings", "two"));
    source.remove("leaving.yaml");
    source.write("arriving.yaml", &config_map("arriving", "y"));
    source.write("web.yaml", &pod("web").greeting("good day").yaml());
    source.write("keys.yaml", &SECRET.replace("PASSWORD", "hunter2-new"));
    let changes = changes_nothing(&cluster, &source, 1);
    assert!(
        changes
            .stdout
            .contains("1 to create, 2 to change, 1 to replace, 1 to delete"),
        "{changes}"
    );
    for line in [
        "-  value: one",
        "+  value: two",
        "-      value: hello",
        "+      value: good day",
    ] {
        assert!(
            changes.stdout.lines().any(|found| found.trim_end() == line),
            "{line:?} in {changes}"
        );
    }
    assert!(
        !changes.stdout.contains("terminationMessagePath"),
        "defaulted fields are left out: {changes}"
    );
    for secret in ["hunter2", "aHVudGVyMi"] {
        assert!(
            !changes.all().contains(secret),
            "a Secret's values are masked: {changes}"
        );
    }
    names_the_source(&changes, &source);

    source.write("arriving.yaml", "kind: ConfigMap\n\tname: tabs\n");
    let broken = changes_nothing(&cluster, &source, 2);
    assert!(broken.all().contains("arriving.yaml:2:1"), "{broken}");
    assert!(
        broken.all().contains("value: two"),
        "the rest is shown all the same: {broken}"
    );
    cluster.stop();
}

/// Dry runs with that exit code; asks the API server, and where that is etcd also etcd, whether anything was written.
fn changes_nothing(cluster: &Cluster, source: &Source, code: i32) -> Ended {
    let revision = || {
        (
            cluster.revision("configmaps"),
            cluster.etcd.as_ref().map(|etcd| etcd.revision()),
        )
    };
    let before = revision();
    let mut arguments = source.arguments();
    arguments.push("--dry-run");
    let ended = cluster.run(&arguments);
    assert_eq!(ended.code, Some(code), "{ended}");
    assert_eq!(revision(), before, "a dry run writes nothing");
    ended
}

/// Has the reconciler bring the API server to the source's state, and ends it.
fn apply(cluster: &mut Cluster, source: &Source) {
    cluster.start_reconciler(&source.arguments());
    eventually("everything is applied", CHANGE, || {
        let mut arguments = source.arguments();
        arguments.push("--dry-run");
        let ended = cluster.run(&arguments);
        if ended.code == Some(0) {
            Ok(())
        } else {
            Err(ended.to_string())
        }
    });
    cluster.stop_last();
}

/// The first line names the source, the revision and what is not committed.
fn names_the_source(ended: &Ended, source: &Source) {
    let first = ended.all().lines().next().unwrap_or_default().to_owned();
    let head = crate::support::git::Repository {
        path: source.files().to_owned(),
    }
    .git(&["rev-parse", "HEAD"]);
    assert!(first.contains(&head[..7]), "the commit {head} in {first:?}");
    assert!(first.contains("files"), "the source in {first:?}");
    assert!(first.contains("uncommitted"), "uncommitted files in {first:?}");
}

#[test]
fn a_store_that_nobody_serves_embedded() {
    unserved(Backend::Embedded);
}

#[test]
fn a_store_that_nobody_serves_etcd() {
    unserved(Backend::Etcd);
}

fn unserved(backend: Backend) {
    let mut cluster = Cluster::new("unserved", backend);
    let source = Source::new(Kind::Directory, &cluster.path("source"));
    source.write("settings.yaml", &config_map("settings", "one"));
    let mut arguments = source.arguments();
    arguments.push("--dry-run");

    let empty = cluster.run(&arguments);
    assert_eq!(
        empty.code,
        Some(1),
        "an empty store shows everything as to be created: {empty}"
    );
    assert!(empty.stdout.contains("1 to create"), "{empty}");
    assert!(
        !cluster.data_dir().join("store.redb").exists(),
        "a dry run makes no store"
    );
    if let Some(etcd) = &cluster.etcd {
        assert_eq!(etcd.keys(), Vec::<String>::new(), "a dry run writes nothing");
    }

    cluster.start(&source.arguments());
    eventually("the source is applied", CHANGE, || {
        cluster.kubectl().json(&["configmap", "settings"])
    });
    cluster.stop();

    let revision = cluster.etcd.as_ref().map(|etcd| etcd.revision());
    let same = cluster.run(&arguments);
    assert_eq!(same.code, Some(0), "{same}");
    source.write("settings.yaml", &config_map("settings", "two"));
    let differs = cluster.run(&arguments);
    assert_eq!(differs.code, Some(1), "{differs}");
    assert!(differs.stdout.contains("0 to create, 1 to change"), "{differs}");
    assert_eq!(
        cluster.etcd.as_ref().map(|etcd| etcd.revision()),
        revision,
        "a dry run writes nothing"
    );
}
