//! The harness itself, so that a failure elsewhere is not looked for here.

use std::time::Duration;

use crate::support::*;

#[test]
fn etcd_comes_back_with_its_data_and_port() {
    let mut etcd = etcd::Etcd::start();
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    runtime.block_on(async {
        let mut client = etcd_client::Client::connect([etcd.url()], None)
            .await
            .expect("etcd answers");
        client.put("/registry/x", "1", None).await.expect("etcd writes");
    });
    let revision = etcd.revision();
    etcd.restart();
    assert_eq!(
        (etcd.keys(), etcd.revision()),
        (vec!["/registry/x".to_owned()], revision)
    );
}

#[test]
fn an_image_of_the_registry_has_to_be_pulled() {
    images::ensure(images::BUSYBOX);
    let registry = registry::Registry::start();
    let name = registry.publish(images::BUSYBOX, "tool:1");
    assert_ne!(
        docker::try_docker(&["image", "inspect", &name]).code,
        Some(0),
        "not there before"
    );
    docker::docker(&["pull", "-q", &name]);
    docker::docker(&["rmi", &name]);
}

#[test]
fn a_process_is_read_line_by_line_and_stopped() {
    let mut command = std::process::Command::new("sh");
    command.args([
        "-c",
        "trap 'echo bye >&2; exit 3' TERM; echo hello; while true; do sleep 0.01; done",
    ]);
    let mut process = process::Process::start(&mut command);
    assert_eq!(process.line_with("hel", Duration::from_secs(10)), "hello");
    let ended = process.terminate(Duration::from_secs(10));
    assert_eq!(
        (ended.code, ended.stdout.as_str(), ended.stderr.as_str()),
        (Some(3), "hello\n", "bye\n")
    );
}

#[test]
#[should_panic(expected = "never so; last seen: it is 3")]
fn what_does_not_come_about_is_said() {
    let mut looks = 0;
    eventually("never so", Duration::from_millis(120), || {
        looks += 1;
        if looks > 3 {
            Err("it is 3".to_owned())
        } else {
            Err::<(), _>(looks.to_string())
        }
    });
}
