//! Bad input gets a clear error and changes nothing.

use std::fs;
use std::net::TcpListener;
use std::time::{Duration, Instant};

use super::manifest::{config_map, pod};
use super::source::{Kind, Source};
use crate::support::cluster::{Backend, CHANGE, Cluster, text};
use crate::support::process::{Ended, Process};
use crate::support::{docker, eventually};

/// A cluster that was not started, and a directory with one ConfigMap.
fn with_settings(what: &str, backend: Backend) -> (Cluster, Source) {
    let cluster = Cluster::new(what, backend);
    let source = Source::new(Kind::Directory, &cluster.path("source"));
    source.write("settings.yaml", &config_map("settings", "1"));
    (cluster, source)
}

#[track_caller]
fn refused(ended: &Ended, reasons: &[&str]) {
    assert_eq!(ended.code, Some(2), "{ended}");
    for reason in reasons {
        assert!(ended.stderr.contains(reason), "{reason:?} in {ended}");
    }
    assert!(!ended.all().contains("panicked"), "{ended}");
}

fn applied(cluster: &Cluster, name: &str) {
    eventually(&format!("{name} is applied"), CHANGE, || {
        cluster.kubectl().json(&["configmap", name])
    });
}

#[test]
fn unknown_flags() {
    let (cluster, source) = with_settings("flags", Backend::Embedded);
    let source = source.arguments()[0];
    refused(&cluster.run(&[source, "--frobnicate"]), &["--frobnicate"]);
    refused(&cluster.run(&[source, "--interval", "soon"]), &["--interval", "soon"]);
    refused(&cluster.run(&[source, "--dry-run", "--once"]), &["--dry-run", "--once"]);
    assert!(!cluster.data_dir().exists(), "nothing was made");
}

#[test]
fn a_source_that_does_not_exist() {
    let (cluster, _) = with_settings("nosource", Backend::Embedded);
    let missing = cluster.path("nowhere");
    for mode in [None, Some("--dry-run"), Some("--once")] {
        let mut arguments = vec![text(&missing)];
        arguments.extend(mode);
        refused(&cluster.run(&arguments), &[text(&missing)]);
    }
    let none = format!("file://{}", missing.display());
    refused(&cluster.run(&[&none, "--dry-run"]), &["nowhere"]);
    let source = Source::new(Kind::WorkTree, &cluster.path("git"));
    source.write("settings.yaml", &config_map("settings", "1"));
    source.publish("begin");
    let files = source.arguments()[0];
    refused(
        &cluster.run(&[files, "--dry-run", "--ref", "no-such-branch"]),
        &["no-such-branch"],
    );
    refused(
        &cluster.run(&[files, "--dry-run", "--path", "no-such-folder"]),
        &["no-such-folder"],
    );
}

#[test]
fn a_corrupt_store_file() {
    let (mut cluster, source) = with_settings("corrupt", Backend::Embedded);
    cluster.start(&source.arguments());
    applied(&cluster, "settings");
    cluster.stop();
    let store = cluster.data_dir().join("store.redb");
    let whole = fs::read(&store).expect("the embedded store is a file");
    for (what, bytes) in [
        ("garbage", vec![0x5a; whole.len()]),
        ("cut short", whole[..whole.len() / 3].to_vec()),
        ("empty of sense", b"not a database".to_vec()),
    ] {
        fs::write(&store, &bytes).expect("the file is written");
        let ended = cluster.run(&source.arguments());
        refused(&ended, &["store.redb"]);
        assert_eq!(
            fs::read(&store).expect("still there"),
            bytes,
            "{what}: the file is left as it was found"
        );
    }
    fs::write(&store, &whole).expect("the file is written");
    cluster.start(&source.arguments());
    cluster.kubectl().ok(&["get", "configmap", "settings"]);
    cluster.stop();
}

#[test]
fn a_port_in_use() {
    let (cluster, source) = with_settings("port", Backend::Embedded);
    let taken = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = taken.local_addr().expect("a bound socket has an address").to_string();

    let mut command = crate::support::tools::reconcile();
    command
        .arg("--data-dir")
        .arg(cluster.data_dir())
        .args(["--node-name", &cluster.node, "--listen", &address]);
    let ended = crate::support::process::run(command.args(source.arguments()), Duration::from_secs(30));
    refused(&ended, &[&address]);
}

#[test]
fn docker_not_running() {
    let (mut cluster, source) = with_settings("nodocker", Backend::Embedded);
    cluster
        .environment
        .push(("DOCKER_HOST".into(), "unix:///nonexistent/docker.sock".into()));
    source.write("web.yaml", &pod("web").yaml());
    cluster.start(&source.arguments());
    applied(&cluster, "settings");
    let condition = eventually("the node says why it is not ready", CHANGE, || {
        let node = cluster.kubectl().json(&["node", &cluster.node])?;
        let conditions = node["status"]["conditions"].as_array().cloned().unwrap_or_default();
        let ready = conditions.into_iter().find(|condition| condition["type"] == "Ready");
        ready.filter(|ready| ready["status"] != "True").ok_or(node.to_string())
    });
    let reason = condition["message"]
        .as_str()
        .expect("a condition has a message")
        .to_owned();
    assert!(reason.to_lowercase().contains("docker"), "{condition}");
    let nodes = cluster.kubectl().ok(&["get", "nodes"]);
    assert!(nodes.contains("NotReady"), "{nodes}");
    assert_eq!(cluster.pod("web").expect("the pod is applied").phase(), "Pending");
    assert!(cluster.all_running(), "it goes on without Docker");
    let logs = cluster.kubectl().run(&["logs", "web"]);
    assert_eq!(logs.code, Some(1), "{logs}");
    cluster.stop();
}

#[test]
fn docker_comes_later() {
    let (mut cluster, source) = with_settings("docker-later", Backend::Embedded);
    let socket = cluster.path("docker.sock");
    cluster
        .environment
        .push(("DOCKER_HOST".into(), format!("unix://{}", socket.display())));
    source.write("web.yaml", &pod("web").yaml());
    cluster.start(&source.arguments());
    applied(&cluster, "settings");
    std::os::unix::fs::symlink("/var/run/docker.sock", &socket).expect("the socket appears");
    cluster.running_pod("web", |_| Ok(()));
    cluster.stop();
}

#[test]
fn etcd_unreachable() {
    let (mut cluster, source) = with_settings("noetcd", Backend::Etcd);
    cluster.start(&source.arguments());
    applied(&cluster, "settings");
    cluster.etcd.as_mut().expect("started on etcd").kill();
    let answer = eventually("/readyz fails", CHANGE, || {
        let answer = cluster.kubectl().run(&["get", "--raw", "/readyz"]);
        if answer.code == Some(0) {
            Err(answer.to_string())
        } else {
            Ok(answer.all())
        }
    });
    assert!(answer.to_lowercase().contains("etcd"), "with the reason: {answer}");
    assert!(cluster.all_running(), "it keeps trying");
    cluster.etcd.as_mut().expect("started on etcd").restart();
    cluster.wait_ready();
    source.write("more.yaml", &config_map("more", "1"));
    applied(&cluster, "more");
    cluster.stop();
}

#[test]
fn etcd_that_comes_later() {
    let (mut cluster, source) = with_settings("etcd-later", Backend::Etcd);
    cluster.etcd.as_mut().expect("made with etcd").kill();
    cluster.launch(&source.arguments());
    let url = cluster.etcd.as_ref().expect("made with etcd").url();
    // It says what it waits for, and waits.
    cluster
        .reconciler()
        .line_with(url.trim_start_matches("http://"), CHANGE);
    assert!(cluster.all_running(), "it keeps trying");
    cluster.etcd.as_mut().expect("made with etcd").restart();
    cluster.reconciler().line_with("export KUBECONFIG=", CHANGE);
    applied(&cluster, "settings");
    cluster.stop();
}

#[test]
fn a_second_one_on_the_same_data_directory() {
    let (mut cluster, source) = with_settings("second", Backend::Embedded);
    cluster.start(&source.arguments());
    let data = cluster.data_dir().display().to_string();
    let second = cluster.run(&source.arguments());
    refused(&second, &[&data]);
    assert!(cluster.all_running(), "the first goes on");
    cluster.wait_ready();
    cluster.stop();
}

/// Files that cannot be applied, with what must be said of each.
fn bad_files() -> Vec<(&'static str, String, Vec<&'static str>)> {
    vec![
        (
            "tabs.yaml",
            "apiVersion: v1\nkind: ConfigMap\nmetadata:\n\tname: tabs\n".into(),
            vec!["tabs.yaml:4:1"],
        ),
        ("laughs.yaml", billion_laughs(), vec!["laughs.yaml"]),
        ("huge.yaml", huge(), vec!["huge.yaml", "at most"]),
        (
            "unserved.yaml",
            "apiVersion: example.com/v1\nkind: Widget\nmetadata:\n  name: w\n".into(),
            vec!["unserved.yaml", "Widget"],
        ),
        (
            "misspelt.yaml",
            pod("misspelt").yaml().replace("    image:", "    imge:"),
            vec!["misspelt.yaml", "imge"],
        ),
        (
            "invalid.yaml",
            config_map("Not_A_Name", "1"),
            vec!["invalid.yaml", "Not_A_Name"],
        ),
        ("binary.yaml", "\u{0}\u{1}\u{2}".into(), vec!["binary.yaml"]),
    ]
}

/// Nine levels of nine references each.
fn billion_laughs() -> String {
    let mut text = String::from(
        "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: laughs}\na: &a [lol, lol, lol, lol, lol, lol, lol, lol, lol]\n",
    );
    for (name, of) in ["b", "c", "d", "e", "f", "g", "h", "i"]
        .iter()
        .zip(["a", "b", "c", "d", "e", "f", "g", "h"])
    {
        let references = vec![format!("*{of}"); 9].join(", ");
        text.push_str(&format!("{name}: &{name} [{references}]\n"));
    }
    text
}

/// A ConfigMap of 100 MB.
fn huge() -> String {
    let line = format!("  key: {}\n", "x".repeat(1000));
    let mut text = String::from("apiVersion: v1\nkind: ConfigMap\nmetadata: {name: huge}\ndata:\n");
    for number in 0..100_000 {
        text.push_str(&line.replace("key", &format!("key{number}")));
    }
    text
}

#[test]
fn manifests_that_cannot_be_applied() {
    let (mut cluster, source) = with_settings("manifests", Backend::Embedded);
    cluster.start(&source.arguments());
    applied(&cluster, "settings");
    for (number, (name, content, said)) in bad_files().into_iter().enumerate() {
        let mark = cluster.reconciler().line_count();
        source.write(name, &content);
        let neighbour = format!("neighbour-{number}");
        source.write("neighbour.yaml", &config_map(&neighbour, "1"));
        let began = Instant::now();
        for said in &said {
            cluster.reconciler().line_after(mark, said, CHANGE);
        }
        applied(&cluster, &neighbour);
        assert!(
            began.elapsed() < Duration::from_secs(30),
            "{name} took {:?}",
            began.elapsed()
        );
        cluster.kubectl().ok(&["get", "configmap", "settings"]);
        let dry = cluster.run(&[source.arguments()[0], "--dry-run"]);
        assert_eq!(dry.code, Some(2), "{name}: {dry}");
        for said in &said {
            assert!(dry.all().contains(said), "{name}: {said:?} in {dry}");
        }
        source.remove(name);
    }
    assert!(
        peak_megabytes(cluster.reconciler()) < 400,
        "what is too large is not read"
    );
    assert_eq!(docker::containers(&cluster.node), [], "nothing was started");
    cluster.stop();
}

/// The most memory the process has had.
fn peak_megabytes(process: &Process) -> u64 {
    let status = fs::read_to_string(format!("/proc/{}/status", process.id())).expect("a running process has a status");
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("VmHWM:"))
        .expect("a status has VmHWM");
    let kilobytes = line
        .trim()
        .trim_end_matches(" kB")
        .parse::<u64>()
        .expect("a number of kB");
    kilobytes / 1024
}
