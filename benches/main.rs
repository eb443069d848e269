//! Measures `reconcile` against a peer or a floor in the same run, and prints a table. Run it with `make bench`;
//! arguments choose measurements by name (`make bench ARGS="one fifty"`).

#[path = "../tests/support/mod.rs"]
mod support;

mod api;
mod gitops;
mod idle;
mod pods;
mod report;
mod scheduler;

use report::Row;

/// That of the binary: an API server and a scheduler within this process are measured as users run them.
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

/// A measurement's name and what carries it out.
type Measurement = (&'static str, fn() -> Vec<Row>);

const MEASUREMENTS: &[Measurement] = &[
    ("one", pods::one),
    ("fifty", pods::fifty),
    ("idle", idle::idle),
    ("embedded", api::embedded),
    ("etcd", api::etcd),
    ("gitops-embedded", gitops::embedded),
    ("gitops-etcd", gitops::etcd),
    ("scale", gitops::scale),
    ("scheduler", scheduler::decisions),
    ("scheduler-embedded", scheduler::embedded),
    ("scheduler-etcd", scheduler::over_etcd),
];

fn main() {
    rustls::crypto::ring::default_provider()
        .install_default()
        .expect("installed once");
    let chosen: Vec<String> = std::env::args()
        .skip(1)
        .filter(|argument| !argument.starts_with('-'))
        .collect();
    let mut rows = Vec::new();
    for (name, measure) in MEASUREMENTS {
        if chosen.is_empty() || chosen.iter().any(|one| one == name) {
            eprintln!("measuring {name} …");
            rows.extend(measure());
        }
    }
    assert!(!rows.is_empty(), "no measurement is called {chosen:?}");
    println!("{}", report::machine());
    println!("{}", report::table(&rows));
}
