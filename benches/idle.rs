//! What the whole costs while nothing happens: memory and processor time with ten pods running.

use std::fs;
use std::time::{Duration, Instant};

use k8s_openapi::api::core::v1::Pod;
use kube::api::Api;

use crate::pods::{client, ready, save_pods, start};
use crate::report::{Row, goal};

/// How many pods run.
const PODS: usize = 10;
/// Settling after the start, not measured.
const SETTLE: Duration = Duration::from_secs(10);
/// Over which processor time is counted: 1 % of a core is 40 of the kernel's ticks.
const MEASURE: Duration = Duration::from_secs(40);
/// The kernel counts processor time in hundredths of a second.
const TICKS_PER_SECOND: f64 = 100.0;

/// Memory at the end and processor time over the whole of a quiet time.
pub fn idle() -> Vec<Row> {
    let mut cluster = start("idle");
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    runtime.block_on(async {
        let pods: Api<Pod> = Api::default_namespaced(client(&cluster).await);
        save_pods(&cluster.path("source"), PODS);
        ready(&pods, PODS).await;
    });
    let process = cluster.reconciler().id();
    let dockerd = daemon();
    std::thread::sleep(SETTLE);
    let before = (ticks(process), dockerd.map(ticks), Instant::now());
    std::thread::sleep(MEASURE);
    let seconds = before.2.elapsed().as_secs_f64();
    let percent = |now: f64, then: f64| (now - then) / TICKS_PER_SECOND / seconds * 100.0;
    let ours = percent(ticks(process), before.0);
    let theirs = dockerd.map(|id| percent(ticks(id), before.1.unwrap_or_default()));
    let (resident, proportional) = memory(process);
    let beside_memory = dockerd.map(|id| format!("dockerd: {:.0} MB", memory(id).0));
    vec![
        Row {
            what: "idle with 10 pods, memory (RSS)".into(),
            ours: format!("{resident:.0} MB (PSS {proportional:.0} MB)"),
            beside: beside_memory.unwrap_or_default(),
            ratio: dockerd.map(|id| resident / memory(id).0),
            goal: goal("≤ 50 MB", resident <= 50.0),
        },
        Row {
            what: "idle with 10 pods, share of a core".into(),
            ours: format!("{ours:.2} %"),
            beside: theirs
                .map(|theirs| format!("dockerd: {theirs:.2} %"))
                .unwrap_or_default(),
            ratio: None,
            goal: goal("≤ 1 %", ours <= 1.0),
        },
    ]
}

/// The Docker daemon's process, where it runs on this machine and can be seen.
fn daemon() -> Option<u32> {
    let processes = fs::read_dir("/proc").ok()?;
    let ids = processes.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok());
    let is_daemon = |id: &u32| fs::read_to_string(format!("/proc/{id}/comm")).is_ok_and(|name| name == "dockerd\n");
    let mut found = ids.filter(is_daemon);
    found.next()
}

/// Processor time used so far, in ticks.
fn ticks(process: u32) -> f64 {
    let line = fs::read_to_string(format!("/proc/{process}/stat")).expect("a process that runs");
    // The name in parentheses may hold spaces; user and system time are the 12th and 13th fields behind it.
    let behind = line.rsplit_once(')').expect("a name in parentheses").1;
    let fields: Vec<&str> = behind.split_whitespace().collect();
    fields[11].parse::<f64>().expect("a number") + fields[12].parse::<f64>().expect("a number")
}

/// Resident and proportional set size in MB.
pub fn memory(process: u32) -> (f64, f64) {
    let rollup = fs::read_to_string(format!("/proc/{process}/smaps_rollup")).expect("a process of this user");
    let megabytes = |name: &str| {
        let line = rollup
            .lines()
            .find_map(|line| line.strip_prefix(name))
            .expect("smaps_rollup has it");
        line.trim()
            .trim_end_matches(" kB")
            .parse::<f64>()
            .expect("a number of kB")
            / 1024.0
    };
    (megabytes("Rss:"), megabytes("Pss:"))
}
