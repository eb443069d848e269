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
pub mod signing;
pub mod sshd;
pub mod tools;
pub mod web;
pub mod wire;

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
