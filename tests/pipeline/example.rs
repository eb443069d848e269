//! The example repository runs as the README shows it.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use crate::support::cluster::{Backend, CHANGE, Cluster, text};
use crate::support::{eventually, process};

#[test]
fn the_example_runs_as_the_readme_shows() {
    let repository = Path::new(env!("CARGO_MANIFEST_DIR"));
    let example = repository.join("example-repo");
    let mut images = Command::new(repository.join("scripts/images"));
    process::run(images.arg(&example), Duration::from_secs(120)).ok();
    let mut cluster = Cluster::new("example", Backend::Embedded);
    cluster.start(&[text(&example)]);
    let kubectl = cluster.kubectl();
    eventually("the pods are as the README shows them", CHANGE, || {
        let pods = kubectl.ok(&["get", "pods", "--no-headers"]);
        let rows = pods
            .lines()
            .map(|line| line.split_whitespace().take(4).collect::<Vec<_>>().join(" "));
        let rows: Vec<String> = rows.collect();
        let wanted = ["clock 1/1 Running 0", "hello 0/1 Completed 0", "web 1/1 Running 0"];
        if rows == wanted { Ok(()) } else { Err(pods) }
    });
    assert_eq!(kubectl.ok(&["logs", "hello"]), "Hello from the environment\n");
    let clock = kubectl.ok(&["logs", "clock", "-c", "clock"]);
    assert!(
        clock.starts_with("prepared by the init container\nclock on "),
        "{clock}"
    );
    let address = cluster.pod("web").expect("the web pod").0["status"]["podIP"].clone();
    let address = format!("{}:8080", address.as_str().expect("it has an address"));
    let page = process::http_get(&address, "/").expect("the pod's web server answers");
    assert!(page.contains("<h1>Hello from a commit</h1>"), "{page}");
    let dry = cluster.run(&[text(&example), "--dry-run"]);
    assert_eq!(dry.code, Some(0), "{dry}");
    cluster.stop();
}
