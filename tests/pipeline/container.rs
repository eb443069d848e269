//! The Dockerfile's image, built for real, keeps a mounted directory's pods running through Docker's socket.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use super::manifest::pod;
use super::source::{Kind, Source};
use crate::support::cluster::{Backend, CHANGE, Cluster, text};
use crate::support::docker::{docker, try_docker};
use crate::support::images::BUSYBOX_2;
use crate::support::{docker as engine, eventually, process, unique};

/// Removes an image and the container made of it.
struct Built {
    tag: String,
    container: String,
}

impl Drop for Built {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("{}", try_docker(&["logs", &self.container]));
        }
        try_docker(&["rm", "-f", "-v", &self.container]);
        try_docker(&["rmi", "-f", &self.tag, &format!("{}-base", self.tag)]);
    }
}

#[test]
fn a_mounted_directory_is_kept_running() {
    let cluster = Cluster::new("container", Backend::Embedded);
    let source = Source::new(Kind::Directory, &cluster.path("source"));
    source.write("web.yaml", &pod("web").yaml());
    let name = unique("image");
    let built = Built {
        tag: format!("reconcile-test/{name}"),
        container: name,
    };
    build(&built.tag);
    // Pods' files are mounted by Docker on the host: the data directory has the same path inside and outside.
    let data = cluster.data_dir();
    std::fs::create_dir(&data).expect("a data directory");
    docker(&[
        "run",
        "-d",
        "--name",
        &built.container,
        "--label",
        "reconcile.test=container",
        "--network",
        "host",
        "-v",
        "/var/run/docker.sock:/var/run/docker.sock",
        "-v",
        &format!("{0}:{0}", data.display()),
        "-v",
        &format!("{}:/manifests:ro", source.files().display()),
        "-e",
        &format!("RECONCILE_DATA_DIR={}", data.display()),
        "-e",
        "RECONCILE_LISTEN=127.0.0.1:0",
        "-e",
        &format!("RECONCILE_NODE_NAME={}", cluster.node),
        &built.tag,
    ]);
    let before = cluster.running_pod("web", |_| Ok(()));

    // Saving a file outside is seen inside.
    source.write("web.yaml", &pod("web").image(BUSYBOX_2).yaml());
    let changed = cluster.running_pod("web", |pod| {
        if pod.image() == BUSYBOX_2 {
            Ok(())
        } else {
            Err(pod.image())
        }
    });
    assert_eq!(changed.uid(), before.uid());
    source.write(
        "second.yaml",
        &pod("second").spec("volumes: [{name: scratch, emptyDir: {}}]").yaml(),
    );
    cluster.running_pod("second", |_| Ok(()));
    let logs = eventually("the log", CHANGE, || {
        let logs = cluster.kubectl().run(&["logs", "web"]);
        if logs.stdout.is_empty() {
            Err(logs.to_string())
        } else {
            Ok(logs.stdout)
        }
    });
    assert_eq!(logs, "greeting: hello\n");

    // The container goes and comes back; the pods' containers stay the same.
    let running = ids(&cluster);
    docker(&["stop", "-t", "8", &built.container]);
    let code = docker(&["inspect", "-f", "{{.State.ExitCode}}", &built.container]);
    assert_eq!(code.trim(), "0", "stopped by itself on SIGTERM");
    assert_eq!(ids(&cluster), running, "pods go on without it");
    docker(&["start", &built.container]);
    cluster.wait_ready();
    cluster.running_pod("second", |_| Ok(()));
    assert_eq!(ids(&cluster), running, "and are adopted");
    source.remove("second.yaml");
    cluster.no_pod("second");
}

fn ids(cluster: &Cluster) -> Vec<String> {
    let mut ids: Vec<String> = engine::running(&cluster.node)
        .into_iter()
        .map(|container| container.id)
        .collect();
    ids.sort();
    ids
}

/// With the binary under test and a base of this machine's libraries: the image's own stages, nothing compiled twice.
fn build(tag: &str) {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("scripts/container-image");
    let mut command = Command::new(script);
    command.args([tag, text(Path::new(env!("CARGO_BIN_EXE_reconcile"))), "local"]);
    process::run(&mut command, Duration::from_secs(300)).ok();
}
