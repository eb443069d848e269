//! The API server over each store: creating 5,000 pods, and listing them. The floor is the store alone, with the same
//! values written by as many writers.

use std::future::Future;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use futures::{StreamExt, stream};
use http::Request;
use k8s_openapi::api::core::v1::Pod;
use kube::Client;
use kube::api::{Api, PostParams};
use reconcile::store::{Embedded, Etcd, ListOptions, Store};

use crate::pods::{client, pod};
use crate::report::{Row, median};
use crate::support::cluster::{Backend, Cluster};
use crate::support::etcd;

/// Objects created, and then listed.
const OBJECTS: usize = 5000;
/// Requests under way at once.
const WRITERS: usize = 32;
/// Rounds of listing.
const LISTS: usize = 9;

/// Over the embedded store.
pub fn embedded() -> Vec<Row> {
    measure(Backend::Embedded, "embedded store", || async {
        let directory = tempfile::tempdir().expect("a directory");
        let store = Embedded::open(&directory.path().join("store.redb")).expect("a store");
        floor(store, directory).await
    })
}

/// Over etcd.
pub fn etcd() -> Vec<Row> {
    measure(Backend::Etcd, "etcd", || async {
        let server = etcd::Etcd::start();
        let store = Etcd::connect(&[server.url()]).await.expect("a store");
        floor(store, server).await
    })
}

fn measure<F: Future<Output = Measured>>(backend: Backend, name: &str, floor: impl FnOnce() -> F) -> Vec<Row> {
    let mut cluster = Cluster::new("api", backend);
    cluster.start_apiserver();
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let ours = runtime.block_on(over_http(&cluster));
    cluster.stop();
    let floor = runtime.block_on(floor());
    vec![
        Row::rates(
            &format!("{name}: creates, {WRITERS} at once"),
            ours.rate(),
            "the store alone",
            floor.rate(),
        ),
        Row::times(
            &format!("{name}: list of 5,000 pods"),
            ours.list,
            "the store alone",
            floor.list,
            None,
        ),
        Row::times(
            &format!("{name}: page of 500"),
            ours.page,
            "the store alone",
            floor.page,
            None,
        ),
    ]
}

struct Measured {
    creates: Duration,
    list: Duration,
    page: Duration,
}

impl Measured {
    fn rate(&self) -> f64 {
        OBJECTS as f64 / self.creates.as_secs_f64()
    }
}

async fn over_http(cluster: &Cluster) -> Measured {
    let client = client(cluster).await;
    let pods: Api<Pod> = Api::default_namespaced(client.clone());
    let began = Instant::now();
    stream::iter(0..OBJECTS)
        .for_each_concurrent(WRITERS, |number| {
            let pods = pods.clone();
            async move {
                let pod = pod(&format!("pod-{number}"));
                pods.create(&PostParams::default(), &pod).await.expect("created");
            }
        })
        .await;
    let creates = began.elapsed();
    let path = "/api/v1/namespaces/default/pods";
    Measured {
        creates,
        list: repeated(|| read(client.clone(), path.to_owned())).await,
        page: repeated(|| read(client.clone(), format!("{path}?limit=500"))).await,
    }
}

/// Reads the whole answer as text; what it says is not taken apart, for that is the client's time.
async fn read(client: Client, path: String) {
    let request = Request::get(path).body(Vec::new()).expect("a request");
    let text = client.request_text(request).await.expect("listed");
    assert!(text.len() > 100_000, "the list is complete: {}", text.len());
}

/// The store without an API server; `_keep` is what it lies on.
async fn floor<K>(store: impl Store, _keep: K) -> Measured {
    let store = Arc::new(store);
    // As large as a pod with its defaults.
    let value = Bytes::from(vec![b'x'; 1500]);
    let began = Instant::now();
    stream::iter(0..OBJECTS)
        .for_each_concurrent(WRITERS, |number| {
            let (store, value) = (Arc::clone(&store), value.clone());
            async move {
                let key = format!("/registry/pods/default/pod-{number}");
                store.create(&key, value).await.expect("created");
            }
        })
        .await;
    let creates = began.elapsed();
    let list = |limit: usize| {
        let store = Arc::clone(&store);
        async move {
            let options = ListOptions {
                limit,
                ..ListOptions::default()
            };
            let page = store.list("/registry/pods/", options).await.expect("listed");
            assert_eq!(page.items.len(), if limit == 0 { OBJECTS } else { limit });
        }
    };
    Measured {
        creates,
        list: repeated(|| list(0)).await,
        page: repeated(|| list(500)).await,
    }
}

async fn repeated<F: Future<Output = ()>>(once: impl Fn() -> F) -> Duration {
    let mut times = Vec::new();
    for _ in 0..LISTS {
        let began = Instant::now();
        once().await;
        times.push(began.elapsed());
    }
    median(times)
}
