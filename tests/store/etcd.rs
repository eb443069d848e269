//! What is particular to etcd: another process, which may be gone for a while.

use std::time::{Duration, Instant};

use etcd_client::{Client, Txn, TxnOp};
use reconcile::store::{Etcd, Event, Store, StoreError};

use super::etcd_server::EtcdServer;
use super::fixture::{Watcher, bytes};

/// How long a store may need to find an etcd that is back.
const RECOVERY: Duration = Duration::from_secs(30);

/// Creates a key as soon as etcd takes it.
async fn create_eventually(store: &Etcd, key: &str) -> u64 {
    let started = Instant::now();
    loop {
        match store.create(key, bytes("one")).await {
            Ok(revision) => return revision,
            // The answer to an earlier try was lost, not the write.
            Err(StoreError::Conflict { current: Some(current) }) => return current.mod_revision,
            Err(StoreError::Unavailable(reason)) => {
                assert!(started.elapsed() < RECOVERY, "etcd is back, the store is not: {reason}");
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
            Err(error) => panic!("{error}"),
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_watch_goes_on_without_a_gap_over_restarts() {
    let mut server = EtcdServer::start();
    let store = Etcd::connect(&[server.endpoint()]).await.unwrap();
    let start = store.revision().await.unwrap();
    let mut watch = Watcher(store.watch("/registry/pods/", start + 1).await.unwrap());
    for round in 0..3 {
        let before = create_eventually(&store, &format!("/registry/pods/{round}-before")).await;
        assert_eq!(watch.event().await.revision(), before, "round {round}");
        server.kill();
        let error = store.revision().await.unwrap_err();
        assert!(matches!(error, StoreError::Unavailable(_)), "round {round}: {error:?}");
        // Written while the watch cannot find its way back.
        let elsewhere = Etcd::connect(&[server.restart_elsewhere()]).await.unwrap();
        let away = create_eventually(&elsewhere, &format!("/registry/pods/{round}-away")).await;
        drop(elsewhere);
        server.kill();
        server.restart();
        let after = create_eventually(&store, &format!("/registry/pods/{round}-after")).await;
        let events = watch.events_to(after).await;
        assert_eq!(
            events.iter().map(Event::revision).collect::<Vec<_>>(),
            [away, after],
            "round {round}"
        );
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_etcd_that_is_not_there_is_unavailable_until_it_is() {
    let mut server = EtcdServer::prepared();
    let store = Etcd::connect(&[server.endpoint()]).await.unwrap();
    let started = Instant::now();
    let answers = [
        ("revision", store.revision().await.err()),
        ("get", store.get("/registry/pods/a").await.err()),
        ("create", store.create("/registry/pods/a", bytes("one")).await.err()),
        ("watch", store.watch("/registry/pods/", 1).await.err()),
    ];
    for (name, error) in answers {
        let Some(StoreError::Unavailable(reason)) = error else {
            panic!("{name}: {error:?}")
        };
        assert!(
            reason.contains(&server.endpoint()) && reason.contains("refused"),
            "{name}: {reason}"
        );
    }
    assert!(
        started.elapsed() < Duration::from_secs(15),
        "refusals take {:?}",
        started.elapsed()
    );
    server.restart();
    let revision = create_eventually(&store, "/registry/pods/a").await;
    let event = Watcher(store.watch("/registry/pods/", revision).await.unwrap())
        .event()
        .await;
    assert_eq!(event.revision(), revision);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_member_that_is_down_does_not_matter() {
    let (server, down) = (EtcdServer::start(), EtcdServer::prepared());
    let store = Etcd::connect(&[down.endpoint(), server.endpoint()]).await.unwrap();
    for n in 0..50 {
        let key = format!("/registry/pods/{n}");
        store
            .create(&key, bytes("one"))
            .await
            .unwrap_or_else(|error| panic!("{key}: {error}"));
    }
    assert_eq!(
        store.list("/registry/", Default::default()).await.unwrap().items.len(),
        50
    );
}

#[tokio::test]
async fn an_address_that_makes_no_sense_is_an_error() {
    for endpoint in ["http://", "http://a b"] {
        let error = Etcd::connect(&[endpoint.to_owned()]).await.err();
        assert!(matches!(error, Some(StoreError::Failed(_))), "{endpoint}: {error:?}");
    }
    assert!(
        matches!(Etcd::connect(&[]).await.err(), Some(StoreError::Failed(_))),
        "no address at all"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_stores_of_one_etcd_see_each_other() {
    let server = EtcdServer::start();
    let one = Etcd::connect(&[server.endpoint()]).await.unwrap();
    let two = Etcd::connect(&[server.endpoint()]).await.unwrap();
    let start = one.revision().await.unwrap();
    let mut watch = Watcher(two.watch("/registry/pods/", start + 1).await.unwrap());
    let created = one.create("/registry/pods/a", bytes("one")).await.unwrap();
    assert_eq!(watch.event().await.revision(), created);
    let updated = two.update("/registry/pods/a", bytes("two"), created).await.unwrap();
    let conflict = one.update("/registry/pods/a", bytes("three"), created).await;
    let Err(StoreError::Conflict { current: Some(current) }) = conflict else {
        panic!("{conflict:?}")
    };
    assert_eq!((current.mod_revision, current.value), (updated, bytes("two")));
}

/// What a store has not been told before it reads: many at once, also more than one answer of etcd holds.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_store_that_just_began_tells_what_was_there_before() {
    const KEYS: usize = 120;
    let server = EtcdServer::start();
    let mut foreign = Client::connect([server.endpoint()], None).await.unwrap();
    for (prefix, len) in [("/registry/small/", 1), ("/registry/large/", 200 * 1024)] {
        let key = |number: usize| format!("{prefix}{number:03}");
        let mut written = Vec::new();
        for number in 0..KEYS {
            let put = foreign.put(key(number), vec![b'x'; len], None).await.unwrap();
            written.push(put.header().unwrap().revision() as u64);
        }
        let store = Etcd::connect(&[server.endpoint()]).await.unwrap();
        let start = store.revision().await.unwrap();
        let mut watch = Watcher(store.watch(prefix, start + 1).await.unwrap());
        let change = |number| match number % 2 {
            0 => TxnOp::put(key(number), "new", None),
            _ => TxnOp::delete(key(number), None),
        };
        let all = Txn::new().and_then((0..KEYS).map(change).collect::<Vec<_>>());
        assert!(foreign.txn(all).await.unwrap().succeeded());
        for (number, revision) in written.into_iter().enumerate() {
            let event = watch.event().await;
            let (Event::Put {
                previous: Some(previous),
                ..
            }
            | Event::Delete { previous, .. }) = &event
            else {
                panic!("{number}: {event:?}")
            };
            assert_eq!((&previous.key, previous.mod_revision), (&key(number), revision));
            assert_eq!(previous.value.len(), len, "{number}");
            assert_eq!(matches!(event, Event::Delete { .. }), number % 2 == 1, "{number}");
        }
    }
}

/// What was told last is not what was there before, where changes were missed since.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_told_before_changes_were_missed_is_forgotten() {
    const KEY: &str = "/registry/pods/a";
    let mut server = EtcdServer::start();
    let store = Etcd::connect(&[server.endpoint()]).await.unwrap();
    let start = store.revision().await.unwrap();
    let mut watch = Watcher(store.watch(KEY, start + 1).await.unwrap());
    let one = store.create(KEY, bytes("one")).await.unwrap();
    assert_eq!(watch.event().await.revision(), one, "it was told");
    server.kill();
    let elsewhere = Etcd::connect(&[server.restart_elsewhere()]).await.unwrap();
    let two = elsewhere.update(KEY, bytes("two"), one).await.unwrap();
    let last = elsewhere.create("/registry/pods/b", bytes("one")).await.unwrap();
    elsewhere.compact(last).await.unwrap();
    drop(elsewhere);
    server.kill();
    server.restart();
    // Ends once the store has found that what it missed is gone.
    let (missed, error) = watch.end().await;
    assert!(missed.is_empty(), "{missed:?}");
    assert!(matches!(error, StoreError::Behind), "{error}");
    let mut watch = Watcher(store.watch(KEY, last + 1).await.unwrap());
    let three = store.update(KEY, bytes("three"), two).await.unwrap();
    let Event::Put {
        current,
        previous: Some(previous),
    } = watch.event().await
    else {
        panic!("an update of {KEY}")
    };
    assert_eq!((current.mod_revision, previous.mod_revision), (three, two));
    assert_eq!(previous.value, bytes("two"));
}
