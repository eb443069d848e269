//! Starting, stopping, starting again, once, and going down: what a person sees and what keeps running.

use std::os::unix::fs::PermissionsExt;
use std::time::{Duration, Instant};

use super::manifest::{config_map, pod};
use super::source::{Kind, Source};
use crate::support::cluster::{Backend, CHANGE, Cluster};
use crate::support::process::{self, http_get};
use crate::support::{docker, eventually, free_port, tools, unique};

fn directory_with_a_pod(cluster: &Cluster) -> Source {
    let source = Source::new(Kind::Directory, &cluster.path("source"));
    source.write("web.yaml", &pod("web").yaml());
    source
}

#[test]
fn a_stop_leaves_containers_running_and_a_start_adopts_them() {
    for backend in [Backend::Embedded, Backend::Etcd] {
        let mut cluster = Cluster::new("adopts", backend);
        let source = directory_with_a_pod(&cluster);
        cluster.start(&source.arguments());
        let before = cluster.running_pod("web", |_| Ok(()));
        // A log that is being followed must not hold the stop up.
        let kubectl = cluster.kubectl();
        let mut following = process::Process::start(&mut kubectl.command(&["logs", "-f", "web"]));
        following.line_with("greeting", CHANGE);
        let stopping = Instant::now();
        cluster.stop();
        assert!(stopping.elapsed() < Duration::from_secs(8), "{:?}", stopping.elapsed());
        assert_eq!(docker::running(&cluster.node).len(), 1, "the container goes on");

        cluster.start(&source.arguments());
        let after = cluster.running_pod("web", |_| Ok(()));
        assert_eq!(after.uid(), before.uid());
        assert_eq!(after.container_id(), before.container_id());
        assert_eq!(after.restarts(), 0);
        cluster.stop();
    }
}

#[test]
fn the_start_says_what_a_person_needs_next() {
    let mut cluster = Cluster::new("says", Backend::Embedded);
    let source = Source::new(Kind::WorkTree, &cluster.path("source"));
    source.write("web.yaml", &pod("web").yaml());
    source.publish("begin");
    cluster.start(&source.arguments());
    cluster.running_pod("web", |_| Ok(()));
    let head = crate::support::git::Repository {
        path: source.files().to_owned(),
    }
    .git(&["rev-parse", "HEAD"]);
    let server = cluster
        .kubectl()
        .ok(&["config", "view", "-o", "jsonpath={.clusters[0].cluster.server}"]);
    let server = server.trim();
    let kubeconfig = format!("export KUBECONFIG={}", cluster.kubeconfig().display());
    let data = cluster.data_dir().display().to_string();
    for wanted in ["files", &head[..7], &data, server, &kubeconfig, "web"] {
        cluster.reconciler().line_with(wanted, CHANGE);
    }
    let mode = std::fs::metadata(cluster.kubeconfig())
        .expect("a kubeconfig")
        .permissions()
        .mode();
    assert_eq!(mode & 0o777, 0o600, "only its owner reads the kubeconfig");

    let mark = cluster.reconciler().line_count();
    source.remove("web.yaml");
    source.write("later.yaml", &pod("later").yaml());
    source.publish("another");
    for wanted in ["web", "later"] {
        cluster.reconciler().line_after(mark, wanted, CHANGE);
    }
    cluster.stop();
}

#[test]
fn health_and_version_answer_on_both_ports() {
    let mut cluster = Cluster::new("health", Backend::Embedded);
    let source = Source::new(Kind::Directory, &cluster.path("source"));
    source.write("settings.yaml", &config_map("settings", "1"));
    let port = free_port().to_string();
    let mut arguments = source.arguments();
    arguments.extend(["--insecure-port", &port]);
    cluster.start(&arguments);
    for path in ["/readyz", "/livez", "/healthz"] {
        assert!(
            cluster.kubectl().ok(&["get", "--raw", path]).starts_with("ok"),
            "{path}"
        );
        let plain = http_get(&format!("127.0.0.1:{port}"), path).expect("the plain port answers");
        assert!(
            plain.starts_with("HTTP/1.1 200") && plain.ends_with("ok"),
            "{path}: {plain}"
        );
    }
    let version = cluster.kubectl().ok(&["get", "--raw", "/version"]);
    let version: serde_json::Value = serde_json::from_str(&version).expect("a version is JSON");
    assert!(
        version["gitVersion"]
            .as_str()
            .is_some_and(|version| version.starts_with('v')),
        "{version}"
    );
    cluster.stop();
}

#[test]
fn flags_have_environment_variables() {
    let mut cluster = Cluster::new("environment", Backend::Embedded);
    let source = directory_with_a_pod(&cluster);
    let mut command = tools::reconcile();
    command
        .env("RECONCILE_DATA_DIR", cluster.data_dir())
        .env("RECONCILE_NODE_NAME", &cluster.node)
        .env("RECONCILE_LISTEN", "127.0.0.1:0")
        .current_dir(source.files());
    let mut process = process::Process::start(&mut command);
    process.line_with("export KUBECONFIG=", CHANGE);
    let running = cluster.running_pod("web", |_| Ok(()));
    assert_eq!(running.0["spec"]["nodeName"], cluster.node.as_str());
    process.terminate(crate::support::cluster::STOP);
    cluster.stop();
}

#[test]
fn once_ends_when_all_is_healthy_and_leaves_it_running() {
    let cluster = Cluster::new("once", Backend::Embedded);
    let source = directory_with_a_pod(&cluster);
    let mut arguments = source.arguments();
    arguments.extend(["--once", "--timeout", "50s"]);
    let ended = cluster.run(&arguments);
    assert_eq!(ended.code, Some(0), "{ended}");
    let running = docker::running(&cluster.node);
    assert_eq!(running.len(), 1, "{running:?}\n{ended}");

    source.write("broken.yaml", &pod("broken").image("127.0.0.1:1/nothing:1").yaml());
    let mut arguments = source.arguments();
    arguments.extend(["--once", "--timeout", "6s"]);
    let ended = cluster.run(&arguments);
    assert_eq!(ended.code, Some(2), "{ended}");
    assert!(ended.all().contains("broken"), "what is not healthy is named: {ended}");
    assert_eq!(docker::running(&cluster.node), running, "the other goes on untouched");
}

#[test]
fn down_removes_this_nodes_containers_and_no_others() {
    let mut cluster = Cluster::new("down", Backend::Embedded);
    let mut neighbour = Cluster::new("neighbour", Backend::Embedded);
    for cluster in [&mut cluster, &mut neighbour] {
        let source = directory_with_a_pod(cluster);
        cluster.start(&source.arguments());
        cluster.running_pod("web", |_| Ok(()));
    }
    let refused = cluster.down();
    assert_eq!(refused.code, Some(2), "{refused}");
    assert!(
        refused.stderr.contains("is in use by another reconcile (process "),
        "{refused}"
    );
    assert_eq!(docker::running(&cluster.node).len(), 1, "what is in use stays");
    cluster.stop();
    let ended = cluster.down();
    assert_eq!(ended.code, Some(0), "{ended}");
    assert_eq!(
        docker::with_sandboxes(&cluster.node),
        [],
        "containers and sandboxes are gone"
    );
    assert_eq!(docker::running(&neighbour.node).len(), 1, "another node's stay");
    let again = cluster.down();
    assert_eq!(again.code, Some(0), "nothing left to do is no error: {again}");
    neighbour.stop();
}

#[test]
fn nothing_is_deleted_without_prune_or_from_an_empty_source() {
    let mut cluster = Cluster::new("prune", Backend::Embedded);
    let source = Source::new(Kind::Directory, &cluster.path("source"));
    source.write("one.yaml", &config_map("one", "1"));
    source.write("two.yaml", &config_map("two", "1"));
    let mut arguments = source.arguments();
    arguments.push("--no-prune");
    cluster.start(&arguments);
    applied(&cluster, "two");
    source.remove("two.yaml");
    source.write("three.yaml", &config_map("three", "1"));
    applied(&cluster, "three");
    cluster.kubectl().ok(&["get", "configmap", "two"]);
    cluster.stop();

    cluster.start(&source.arguments());
    eventually("what left the source is pruned", CHANGE, || {
        let gone = cluster.kubectl().run(&["get", "configmap", "two"]);
        if gone.code == Some(1) {
            Ok(())
        } else {
            Err(gone.to_string())
        }
    });
    let mark = cluster.reconciler().line_count();
    source.remove("one.yaml");
    source.remove("three.yaml");
    // It says that it deletes nothing, which shows that it has looked.
    cluster.reconciler().line_after(mark, "delete", CHANGE);
    cluster.kubectl().ok(&["get", "configmap", "one", "three"]);
    std::fs::remove_dir_all(source.files()).expect("the directory goes");
    let dry = {
        let mut arguments = source.arguments();
        arguments.push("--dry-run");
        cluster.run(&arguments)
    };
    assert_eq!(dry.code, Some(2), "a source that vanished is an error: {dry}");
    cluster.kubectl().ok(&["get", "configmap", "one", "three"]);
    cluster.stop();
}

fn applied(cluster: &Cluster, name: &str) {
    eventually(&format!("{name} is applied"), CHANGE, || {
        cluster.kubectl().json(&["configmap", name])
    });
}

#[test]
fn a_schedule_says_when_to_sync() {
    let mut cluster = Cluster::new("schedule", Backend::Embedded);
    let source = Source::new(Kind::Directory, &cluster.path("source"));
    source.write("one.yaml", &config_map("one", "1"));
    let mut arguments = source.arguments();
    arguments.extend(["--schedule", "*/2 * * * * *"]);
    cluster.start(&arguments);
    applied(&cluster, "one");
    source.write("two.yaml", &config_map("two", "1"));
    applied(&cluster, "two");
    cluster.stop();
    let wrong = cluster.run(&[source.arguments()[0], "--schedule", "every day"]);
    assert_eq!(wrong.code, Some(2), "{wrong}");
    assert!(wrong.stderr.contains("every day"), "{wrong}");
}

#[test]
fn names_of_tests_are_fit_for_nodes() {
    let name = unique("what");
    assert!(
        name.len() <= 63
            && name
                .bytes()
                .all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-')
    );
}
