//! What tests share: tools, servers, images, the built binary as a process, and waiting on state.
//!
//! Each test has its own data directory, ports, node name and Docker labels, and its guards remove them on the way
//! out, also where the test fails. A missing tool panics with the command that installs it.

// Each of the binaries that use this module needs only a part of it.
#![allow(dead_code, unreachable_pub)]

pub mod cluster;
pub mod docker;
pub mod etcd;
pub mod git;
pub mod images;
pub mod kubectl;
pub mod process;
pub mod registry;
pub mod tools;

use std::net::TcpListener;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// How often a condition is looked at: often enough not to add to what is waited for, seldom enough that looking
/// (which starts a process) leaves a small machine to the thing looked at.
const POLL: Duration = Duration::from_millis(50);

/// Looks at a condition until it holds and returns what it found; past the time it panics with what was wrong last.
#[track_caller]
pub fn eventually<T>(what: &str, timeout: Duration, mut condition: impl FnMut() -> Result<T, String>) -> T {
    let started = Instant::now();
    loop {
        let wrong = match condition() {
            Ok(found) => return found,
            Err(wrong) => wrong,
        };
        assert!(
            started.elapsed() < timeout,
            "not within {timeout:?}: {what}; last seen: {wrong}"
        );
        std::thread::sleep(POLL);
    }
}

/// Looks at a condition for a while; it must hold every time.
#[track_caller]
pub fn stays(what: &str, duration: Duration, mut condition: impl FnMut() -> Result<(), String>) {
    let started = Instant::now();
    while started.elapsed() < duration {
        if let Err(wrong) = condition() {
            panic!("after {:?} no longer so: {what}; seen: {wrong}", started.elapsed());
        }
        std::thread::sleep(POLL);
    }
}

/// A name that no other test uses, on this machine or in this run: `test-<what>-<hex>`; fit for a node or label.
pub fn unique(what: &str) -> String {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    let nanos = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .expect("a clock past 1970")
        .subsec_nanos();
    let count = COUNT.fetch_add(1, Ordering::Relaxed);
    format!("test-{what}-{:x}-{count:x}{nanos:x}", std::process::id())
}

/// A loopback port that was free just now. For servers that cannot be told to choose one themselves.
pub fn free_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free loopback port");
    listener.local_addr().expect("the port of a bound socket").port()
}

/// The harness itself, so that a failure elsewhere is not looked for here.
#[cfg(test)]
mod tests {
    use super::*;

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
}
