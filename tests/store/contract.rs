//! What every store must do: reading and writing. Watching is in `watching`.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use futures::FutureExt;
use futures::future::join_all;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use reconcile::store::{KeyValue, ListOptions, Page, Revision, Store, StoreError};

use super::fixture::{Fixture, bytes, keys};
use super::suite::for_every_store;

/// Where the keys of many writers lie.
const LEASES: &str = "/registry/leases/";

for_every_store!(
    a_key_lives_through_create_update_and_delete,
    a_conflict_carries_what_is_there,
    reads_side_by_side_get_what_each_asked_for,
    large_values_are_read_side_by_side,
    a_read_among_many_sees_what_was_written_before_it,
    a_list_among_many_has_what_was_written_before_it,
    many_reads_of_one_key_all_get_it,
    values_are_kept_byte_for_byte,
    a_list_has_the_keys_of_its_prefix_only,
    pages_are_of_one_snapshot_while_others_write,
    a_list_at_a_revision_is_what_was_there_then,
    a_list_larger_than_a_message_is_whole,
    a_revision_ahead_is_refused,
    a_compacted_past_is_refused_and_the_present_stays,
    of_concurrent_updates_each_is_counted_once,
    a_dropped_write_is_made_whole_or_not_at_all,
    a_reopened_store_has_everything,
);

async fn a_key_lives_through_create_update_and_delete(fixture: Fixture) {
    let key = "/registry/pods/default/web";
    let start = fixture.store.revision().await.unwrap();
    assert_eq!(fixture.store.get(key).await.unwrap(), (None, start));

    let created = fixture.create(key, "one").await;
    assert_eq!(created, start + 1);
    let (found, at) = fixture.store.get(key).await.unwrap();
    let found = found.expect("the created key");
    assert_eq!(
        (found.create_revision, found.mod_revision, at),
        (created, created, created)
    );
    assert_eq!((found.key.as_str(), found.value), (key, bytes("one")));

    let updated = fixture.store.update(key, bytes("two"), created).await.unwrap();
    assert_eq!(updated, created + 1);
    let found = fixture.current(key).await.expect("the updated key");
    assert_eq!(
        (found.create_revision, found.mod_revision, found.value),
        (created, updated, bytes("two"))
    );

    let deleted = fixture.store.delete(key, updated).await.unwrap();
    assert_eq!(deleted, updated + 1);
    assert_eq!(fixture.store.get(key).await.unwrap(), (None, deleted));
    assert_eq!(fixture.store.revision().await.unwrap(), deleted);

    let again = fixture.create(key, "three").await;
    let found = fixture.current(key).await.expect("the key created again");
    assert_eq!(
        (found.create_revision, found.mod_revision),
        (again, again),
        "a new life has a new create revision"
    );
}

async fn a_conflict_carries_what_is_there(fixture: Fixture) {
    let (key, absent) = ("/registry/pods/default/web", "/registry/pods/default/none");
    let old = fixture.create(key, "one").await;
    let new = fixture.update(key, "two").await;
    let current = fixture.current(key).await;
    let store = &fixture.store;
    let refused = [
        ("create what exists", store.create(key, bytes("x")).await, &current),
        (
            "update an older revision",
            store.update(key, bytes("x"), old).await,
            &current,
        ),
        (
            "update a revision to come",
            store.update(key, bytes("x"), new + 1).await,
            &current,
        ),
        (
            "update expecting revision 0",
            store.update(key, bytes("x"), 0).await,
            &current,
        ),
        ("delete an older revision", store.delete(key, old).await, &current),
        (
            "update what is not there",
            store.update(absent, bytes("x"), new).await,
            &None,
        ),
        (
            "update what is not there at 0",
            store.update(absent, bytes("x"), 0).await,
            &None,
        ),
        ("delete what is not there", store.delete(absent, new).await, &None),
        ("delete what is not there at 0", store.delete(absent, 0).await, &None),
    ];
    for (name, result, expected) in refused {
        match result {
            Err(StoreError::Conflict { current }) => assert_eq!(&current, expected, "{name}"),
            other => panic!("{name}: {other:?}"),
        }
    }
    assert_eq!(
        store.revision().await.unwrap(),
        new,
        "a refused write makes no revision"
    );
}

async fn reads_side_by_side_get_what_each_asked_for(fixture: Fixture) {
    let key = |n: usize| format!("/registry/pods/{n:03}");
    for n in (0..300).step_by(3) {
        fixture.create(&key(n), &n.to_string()).await;
    }
    let head = fixture.store.revision().await.unwrap();
    let read = |n: usize| {
        let store = Arc::clone(&fixture.store);
        async move { store.get(&key(n)).await.unwrap() }
    };
    for (n, (found, at)) in join_all((0..300).map(read)).await.into_iter().enumerate() {
        let expected = (n % 3 == 0).then(|| (key(n), bytes(&n.to_string())));
        assert_eq!((found.map(|found| (found.key, found.value)), at), (expected, head));
    }
}

async fn large_values_are_read_side_by_side(fixture: Fixture) {
    let key = |n: usize| format!("/registry/configmaps/{n:03}");
    let value = |n: usize| Bytes::from(vec![b'a' + n as u8; 1 << 20]);
    for n in 0..20 {
        fixture.store.create(&key(n), value(n)).await.unwrap();
    }
    let read = |n: usize| {
        let store = Arc::clone(&fixture.store);
        async move { store.get(&key(n)).await.unwrap().0.map(|found| found.value) }
    };
    for (n, found) in join_all((0..20).map(read)).await.into_iter().enumerate() {
        assert!(found == Some(value(n)), "{n}");
    }
}

/// Twenty writers, each of a key of its own; after every write one looks for what it wrote, and that at which revision.
async fn each_sees_its_writes<F>(store: &Arc<dyn Store>, look: impl Fn(Arc<dyn Store>, String) -> F)
where
    F: Future<Output = (Option<KeyValue>, Revision)>,
{
    let writer = |n: usize| {
        let (store, look, key) = (store, &look, format!("{LEASES}{n}"));
        async move {
            let mut at = store.create(&key, bytes("0")).await.unwrap();
            for round in 1..20 {
                at = store.update(&key, bytes(&round.to_string()), at).await.unwrap();
                let (found, read_at) = look(Arc::clone(store), key.clone()).await;
                assert_eq!(found.expect("it is there").value, bytes(&round.to_string()), "{n}");
                assert!(read_at >= at, "{read_at} {at}");
            }
        }
    };
    join_all((0..20).map(writer)).await;
}

async fn a_read_among_many_sees_what_was_written_before_it(fixture: Fixture) {
    let get = |store: Arc<dyn Store>, key: String| async move { store.get(&key).await.unwrap() };
    each_sees_its_writes(&fixture.store, get).await;
}

async fn a_list_among_many_has_what_was_written_before_it(fixture: Fixture) {
    let list = |store: Arc<dyn Store>, key: String| async move {
        let page = store.list(LEASES, ListOptions::default()).await.unwrap();
        (page.items.into_iter().find(|pair| pair.key == key), page.revision)
    };
    each_sees_its_writes(&fixture.store, list).await;
}

async fn many_reads_of_one_key_all_get_it(fixture: Fixture) {
    let at = fixture.create("/registry/namespaces/default", "one").await;
    // With more different keys among them than go out at once.
    let read = |n: usize| {
        let store = Arc::clone(&fixture.store);
        async move {
            if n.is_multiple_of(2) {
                let (found, read_at) = store.get("/registry/namespaces/default").await.unwrap();
                assert_eq!(found.expect("it is there").mod_revision, at);
                assert!(read_at >= at);
            } else {
                let (found, _) = store.get(&format!("/registry/namespaces/{n}")).await.unwrap();
                assert_eq!(found, None, "{n}");
            }
        }
    };
    join_all((0..600).map(read)).await;
}

async fn values_are_kept_byte_for_byte(fixture: Fixture) {
    let values = [
        ("empty", Bytes::new()),
        ("every byte", (0..=255).collect()),
        ("a megabyte", Bytes::from(vec![b'x'; 1 << 20])),
    ];
    for (name, value) in values {
        let key = format!("/registry/configmaps/default/{}", name.replace(' ', "-"));
        fixture.store.create(&key, value.clone()).await.unwrap();
        let found = fixture.current(&key).await.expect("the created key");
        assert_eq!(found.value, value, "{name}");
        assert_eq!(fixture.list(&key).await.items, [found], "{name}");
    }
}

async fn a_list_has_the_keys_of_its_prefix_only(fixture: Fixture) {
    for key in [
        "/registry/podsx/a",
        "/registry/pods/b/y",
        "/registry/pods/a/z",
        "/registry/pod",
        "/registry/pods/a/b",
    ] {
        fixture.create(key, key).await;
    }
    let revision = fixture.store.revision().await.unwrap();
    for (prefix, expected) in [
        (
            "/registry/pods/",
            &["/registry/pods/a/b", "/registry/pods/a/z", "/registry/pods/b/y"][..],
        ),
        ("/registry/pods/a/", &["/registry/pods/a/b", "/registry/pods/a/z"]),
        ("/registry/podsx/", &["/registry/podsx/a"]),
        ("/registry/none/", &[]),
    ] {
        let page = fixture.list(prefix).await;
        assert_eq!(keys(&page), expected, "{prefix}");
        assert_eq!((page.revision, page.remaining), (revision, 0), "{prefix}");
    }
    assert_eq!(fixture.list("").await.items.len(), 5, "an empty prefix is everything");
}

async fn pages_are_of_one_snapshot_while_others_write(fixture: Fixture) {
    let prefix = "/registry/pods/";
    for n in 0..25 {
        fixture.create(&format!("{prefix}{n:02}"), "before").await;
    }
    let whole = fixture.list(prefix).await;
    let mut options = ListOptions {
        limit: 10,
        ..ListOptions::default()
    };
    let mut items = Vec::new();
    for (index, (len, remaining)) in [(10, 15), (10, 5), (5, 0)].into_iter().enumerate() {
        let page = fixture.store.list(prefix, options.clone()).await.unwrap();
        assert_eq!((page.items.len(), page.remaining), (len, remaining), "page {index}");
        assert_eq!(page.revision, whole.revision, "page {index}");
        items.extend(page.items);
        options.after = items.last().map(|item| item.key.clone());
        options.at = Some(page.revision);
        // Others create, change and delete before, at and behind the place the list has come to.
        for n in [3, 9, 10, 11, 20, 24] {
            let key = format!("{prefix}{n:02}");
            match index {
                0 => drop(fixture.update(&key, "after").await),
                _ if fixture.current(&key).await.is_some() => drop(fixture.delete(&key).await),
                _ => drop(fixture.create(&key, "again").await),
            }
            fixture.create(&format!("{prefix}{n:02}-new-{index}"), "new").await;
        }
    }
    assert_eq!(items, whole.items);
    let exact = ListOptions {
        limit: 25,
        at: Some(whole.revision),
        ..ListOptions::default()
    };
    assert_eq!(
        fixture.store.list(prefix, exact).await.unwrap(),
        whole,
        "a limit of exactly what there is"
    );
}

async fn a_list_at_a_revision_is_what_was_there_then(fixture: Fixture) {
    let mut random = StdRng::seed_from_u64(20);
    let mut then: Vec<Page> = vec![fixture.list("/registry/").await];
    let mut now: BTreeMap<String, ()> = BTreeMap::new();
    for step in 0..120 {
        let key = format!(
            "/registry/{}/{}",
            ["pods", "podsx"][random.random_range(0..2)],
            random.random_range(0..8)
        );
        let value = format!("step {step}");
        if now.contains_key(&key) && random.random_bool(0.4) {
            fixture.delete(&key).await;
            now.remove(&key);
        } else if now.insert(key.clone(), ()).is_some() {
            fixture.update(&key, &value).await;
        } else {
            fixture.create(&key, &value).await;
        }
        then.push(fixture.list("/registry/").await);
    }
    for page in then.iter().filter(|page| page.revision > 0) {
        assert_eq!(
            &fixture.list_at("/registry/", page.revision).await.unwrap(),
            page,
            "at {}",
            page.revision
        );
        let pods = fixture.list_at("/registry/pods/", page.revision).await.unwrap();
        let expected: Vec<_> = page
            .items
            .iter()
            .filter(|item| item.key.starts_with("/registry/pods/"))
            .collect();
        assert_eq!(
            pods.items.iter().collect::<Vec<_>>(),
            expected,
            "pods at {}",
            page.revision
        );
    }
}

async fn a_list_larger_than_a_message_is_whole(fixture: Fixture) {
    let prefix = "/registry/configmaps/";
    let create = |n: usize| {
        let store = Arc::clone(&fixture.store);
        async move {
            let value = Bytes::from(vec![b'a' + (n % 26) as u8; 1 << 20]);
            store.create(&format!("{prefix}{n:03}"), value).await.unwrap();
        }
    };
    for first in (0..20).step_by(4) {
        join_all((first..first + 4).map(create)).await;
    }
    let page = fixture.list(prefix).await;
    assert_eq!((page.items.len(), page.remaining), (20, 0));
    for (n, item) in page.items.iter().enumerate() {
        assert_eq!(item.key, format!("{prefix}{n:03}"));
        assert!(
            item.value.len() == 1 << 20 && item.value[0] == b'a' + (n % 26) as u8,
            "{}",
            item.key
        );
    }
}

async fn a_revision_ahead_is_refused(fixture: Fixture) {
    let current = fixture.create("/registry/pods/a", "one").await;
    match fixture.list_at("/registry/", current + 5).await {
        Err(StoreError::Future {
            requested,
            current: said,
        }) => assert_eq!((requested, said), (current + 5, current)),
        other => panic!("{other:?}"),
    }
    assert!(matches!(
        fixture.store.compact(current + 5).await,
        Err(StoreError::Future { .. })
    ));
}

async fn a_compacted_past_is_refused_and_the_present_stays(fixture: Fixture) {
    let prefix = "/registry/pods/";
    fixture.create("/registry/pods/kept", "old").await;
    fixture.create("/registry/pods/gone", "old").await;
    let before = fixture.update("/registry/pods/kept", "older").await;
    fixture.delete("/registry/pods/gone").await;
    let at = fixture.create("/registry/pods/new", "new").await;
    let then = fixture.list(prefix).await;
    let after = fixture.update("/registry/pods/kept", "newest").await;
    fixture.store.compact(at).await.unwrap();

    match fixture.list_at(prefix, before).await {
        Err(StoreError::Compacted { requested, oldest }) => assert_eq!((requested, oldest), (before, at)),
        other => panic!("a list before the compaction: {other:?}"),
    }
    assert_eq!(
        fixture.list_at(prefix, at).await.unwrap(),
        then,
        "a list at the compaction"
    );
    let (events, error) = fixture.watch(prefix, before).await.end().await;
    assert!(
        events.is_empty(),
        "a watch of the compacted past delivers nothing: {events:?}"
    );
    match error {
        StoreError::Compacted { requested, oldest } => assert_eq!((requested, oldest), (before, at + 1)),
        other => panic!("a watch before the compaction: {other:?}"),
    }
    let events = fixture.watch(prefix, at + 1).await.events_to(after).await;
    assert_eq!(events.len(), 1, "a watch from behind the compaction");
    assert_eq!(
        fixture.current("/registry/pods/kept").await.map(|kv| kv.value),
        Some(bytes("newest"))
    );
    assert_eq!(
        fixture.store.revision().await.unwrap(),
        after,
        "compaction makes no revision"
    );
    for again in [at, before] {
        let result = fixture.store.compact(again).await;
        assert!(
            matches!(result, Err(StoreError::Compacted { .. })),
            "compacted twice, to {again}: {result:?}"
        );
    }
}

async fn of_concurrent_updates_each_is_counted_once(fixture: Fixture) {
    let key = "/registry/counters/one";
    let start = fixture.create(key, "0").await;
    let count = |store: Arc<dyn Store>| async move {
        for _ in 0..10 {
            let mut current = store.get(key).await.unwrap().0.expect("the counter");
            loop {
                let number: u64 = std::str::from_utf8(&current.value).unwrap().parse().unwrap();
                match store
                    .update(key, bytes(&(number + 1).to_string()), current.mod_revision)
                    .await
                {
                    Ok(_) => break,
                    Err(StoreError::Conflict { current: Some(now) }) => current = now,
                    Err(error) => panic!("{error}"),
                }
            }
        }
    };
    join_all((0..8).map(|_| tokio::spawn(count(Arc::clone(&fixture.store)))))
        .await
        .into_iter()
        .for_each(Result::unwrap);
    let counter = fixture.current(key).await.expect("the counter");
    assert_eq!((counter.value, counter.mod_revision), (bytes("80"), start + 80));
}

async fn a_dropped_write_is_made_whole_or_not_at_all(fixture: Fixture) {
    let prefix = "/registry/pods/";
    for n in 0..50 {
        // Polled once, so that it is on its way, and dropped before it is answered.
        let key = format!("{prefix}dropped-{n:02}");
        let answered = fixture.store.create(&key, bytes("dropped")).now_or_never();
        assert!(!matches!(answered, Some(Err(_))), "{answered:?}");
    }
    let last = fixture.create(&format!("{prefix}last"), "kept").await;
    let start = fixture.list(prefix).await;
    let made = start.items.len() as u64;
    assert!(made >= 1 && last >= made, "{made} keys at revision {last}");
    fixture.update(&format!("{prefix}last"), "changed").await;
    let events = fixture
        .watch(prefix, 1)
        .await
        .events_to(fixture.store.revision().await.unwrap())
        .await;
    let created = events.iter().filter(|event| event.key().contains("dropped")).count();
    let present = fixture.list(&format!("{prefix}dropped")).await.items.len();
    assert_eq!(created, present, "every write that was made has its event");
}

async fn a_reopened_store_has_everything(fixture: Fixture) {
    for n in 0..20 {
        fixture.create(&format!("/registry/pods/{n:02}"), "one").await;
    }
    let middle = fixture.update("/registry/pods/07", "two").await;
    fixture.delete("/registry/pods/08").await;
    let before = fixture.list("").await;
    let then = fixture.list_at("", middle).await.unwrap();

    let fixture = fixture.reopen().await;
    assert_eq!(fixture.list("").await, before);
    assert_eq!(fixture.list_at("", middle).await.unwrap(), then, "history survives too");
    assert_eq!(
        fixture.create("/registry/pods/new", "one").await,
        before.revision + 1,
        "revisions go on"
    );
}
