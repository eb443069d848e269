//! Figures, not tests: `cargo test --release -- --ignored --nocapture store::speed`.

use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use futures::future::join_all;
use reconcile::store::{ListOptions, Store};

use super::fixture::Fixture;

const VALUE_BYTES: usize = 1500;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "measures"]
async fn embedded() {
    measure("embedded", Fixture::embedded().await).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "measures"]
async fn etcd() {
    measure("etcd", Fixture::etcd().await).await;
}

async fn measure(name: &str, fixture: Fixture) {
    let store = &fixture.store;
    let start = memory();
    println!("{name}: memory at the start {start} kB");
    let alone = creates(store, "alone", 1, 1000).await;
    let together = creates(store, "pods", 64, 5000).await;
    println!("{name}: creates a second: {alone:.0} by one writer, {together:.0} by 64");
    let prefix = "/registry/pods/";
    let mut lists = Vec::new();
    for _ in 0..20 {
        let started = Instant::now();
        let page = store.list(prefix, ListOptions::default()).await.unwrap();
        lists.push(started.elapsed());
        assert_eq!(page.items.len(), 5000);
    }
    println!("{name}: list of 5000: {:?} (median)", median(lists));
    let started = Instant::now();
    let mut options = ListOptions {
        limit: 500,
        ..ListOptions::default()
    };
    loop {
        let page = store.list(prefix, options.clone()).await.unwrap();
        if page.remaining == 0 {
            break;
        }
        options.at = Some(page.revision);
        options.after = page.items.last().map(|item| item.key.clone());
    }
    println!("{name}: the same in pages of 500: {:?}", started.elapsed());
    let mut gets = Vec::new();
    for n in 0..5000 {
        let started = Instant::now();
        store.get(&format!("{prefix}{n:05}")).await.unwrap();
        gets.push(started.elapsed());
    }
    println!(
        "{name}: get: {:?} (median), {:?} (longest)",
        median(gets.clone()),
        gets.iter().max()
    );
    println!(
        "{name}: memory at the end {} kB, at most {} kB",
        memory(),
        peak_memory()
    );
    let started = Instant::now();
    let fixture = fixture.reopen().await;
    let revision = fixture.store.revision().await.unwrap();
    let took = started.elapsed();
    println!(
        "{name}: opened again at revision {revision} in {took:?}, memory {} kB",
        memory()
    );
}

/// Creates a second, by so many writers at once.
async fn creates(store: &Arc<dyn Store>, plural: &str, writers: usize, count: usize) -> f64 {
    let started = Instant::now();
    let write = |writer: usize| {
        let store = Arc::clone(store);
        let plural = plural.to_owned();
        tokio::spawn(async move {
            for n in (writer..count).step_by(writers) {
                let value = Bytes::from(vec![b'x'; VALUE_BYTES]);
                store
                    .create(&format!("/registry/{plural}/{n:05}"), value)
                    .await
                    .unwrap();
            }
        })
    };
    join_all((0..writers).map(write))
        .await
        .into_iter()
        .for_each(Result::unwrap);
    count as f64 / started.elapsed().as_secs_f64()
}

fn median(mut times: Vec<Duration>) -> Duration {
    times.sort();
    times[times.len() / 2]
}

fn memory() -> u64 {
    status("VmRSS:")
}

fn peak_memory() -> u64 {
    status("VmHWM:")
}

fn status(name: &str) -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix(name)).unwrap();
    line.trim().trim_end_matches(" kB").parse().unwrap()
}
