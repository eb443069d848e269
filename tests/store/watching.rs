//! What every store must do: watching.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use futures::future::join_all;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use reconcile::store::{Event, Revision, Store, StoreError, Watched};

use super::fixture::{Fixture, Watcher, bytes, show};
use super::suite::for_every_store;

for_every_store!(
    a_watch_replays_the_past_and_goes_on_live,
    a_watch_has_the_events_of_its_prefix_only,
    a_deletion_has_its_own_revision_and_is_replayed,
    a_watch_from_a_revision_ahead_begins_there,
    several_watches_see_the_same,
    watches_begun_at_any_time_see_every_revision_once,
    a_slow_watch_misses_nothing,
    a_watch_left_behind_by_compaction_ends,
    progress_reaches_a_quiet_watch,
    progress_is_never_ahead_of_events,
    a_watch_resumes_on_a_reopened_store,
    a_dropped_store_ends_its_watches,
);

async fn a_watch_replays_the_past_and_goes_on_live(fixture: Fixture) {
    let a = fixture.create("/registry/pods/a", "one").await;
    fixture.create("/registry/pods/b", "one").await;
    fixture.update("/registry/pods/a", "two").await;
    let mut watch = fixture.watch("/registry/pods/", a).await;
    let past = watch.events_to(a + 2).await;
    fixture.delete("/registry/pods/b").await;
    fixture.create("/registry/pods/b", "again").await;
    let live = watch.events_to(a + 4).await;
    let seen: Vec<String> = past.iter().chain(&live).map(show).collect();
    let expected = [
        format!("+/registry/pods/a=one@{a}"),
        format!("+/registry/pods/b=one@{}", a + 1),
        format!("~/registry/pods/a=two@{} (was one)", a + 2),
        format!("-/registry/pods/b@{} (was one)", a + 3),
        format!("+/registry/pods/b=again@{}", a + 4),
    ];
    assert_eq!(seen, expected);
    let Event::Put { current, .. } = &past[2] else {
        panic!("{:?}", past[2])
    };
    assert_eq!((current.create_revision, current.mod_revision), (a, a + 2));
}

async fn a_watch_has_the_events_of_its_prefix_only(fixture: Fixture) {
    let start = fixture.store.revision().await.unwrap();
    let mut live = fixture.watch("/registry/pods/", start + 1).await;
    for key in [
        "/registry/podsx/a",
        "/registry/pods/a",
        "/registry/pod",
        "/registry/pods/b",
        "/registry/podsx/b",
    ] {
        fixture.create(key, "one").await;
    }
    fixture.delete("/registry/podsx/a").await;
    let last = fixture.delete("/registry/pods/a").await;
    let mut replayed = fixture.watch("/registry/pods/", start + 1).await;
    for (name, watch) in [("live", &mut live), ("replayed", &mut replayed)] {
        let seen: Vec<String> = watch
            .events_to(last)
            .await
            .iter()
            .map(|event| event.key().to_owned())
            .collect();
        assert_eq!(
            seen,
            ["/registry/pods/a", "/registry/pods/b", "/registry/pods/a"],
            "{name}"
        );
    }
}

async fn a_deletion_has_its_own_revision_and_is_replayed(fixture: Fixture) {
    let key = "/registry/pods/a";
    fixture.create(key, "one").await;
    let updated = fixture.update(key, "two").await;
    let deleted = fixture.delete(key).await;
    fixture.create("/registry/pods/b", "one").await;
    let event = fixture.watch("/registry/pods/", deleted).await.event().await;
    let Event::Delete { previous, revision } = event else {
        panic!("{event:?}")
    };
    assert_eq!(
        (revision, previous.mod_revision, previous.value),
        (deleted, updated, bytes("two"))
    );
    let next = fixture.watch("/registry/pods/", deleted + 1).await.event().await;
    assert_eq!(
        next.key(),
        "/registry/pods/b",
        "the deletion is not repeated to who has seen it"
    );
}

async fn a_watch_from_a_revision_ahead_begins_there(fixture: Fixture) {
    let start = fixture.create("/registry/pods/a", "one").await;
    let mut watch = fixture.watch("/registry/pods/", start + 3).await;
    for n in 0..4 {
        fixture.create(&format!("/registry/pods/later-{n}"), "one").await;
    }
    let revisions: Vec<_> = watch.events_to(start + 4).await.iter().map(Event::revision).collect();
    assert_eq!(revisions, [start + 3, start + 4]);
}

async fn several_watches_see_the_same(fixture: Fixture) {
    let start = fixture.store.revision().await.unwrap();
    let mut watches = Vec::new();
    for n in 0..12 {
        watches.push(fixture.watch("/registry/", start + 1).await);
        fixture.create(&format!("/registry/pods/{n}"), "one").await;
    }
    let last = fixture.store.revision().await.unwrap();
    let mut first = None;
    for watch in &mut watches {
        let seen = watch.events_to(last).await;
        assert_eq!(first.get_or_insert_with(|| seen.clone()), &seen);
    }
    assert_eq!(first.map(|events| events.len()), Some(12));
}

/// Writers that create, update and delete under two prefixes until told to stop; returns, for every
/// revision they were acknowledged, the key.
async fn hammer(store: Arc<dyn Store>, writer: u64, stop: Arc<AtomicBool>) -> Vec<(Revision, String)> {
    let mut random = StdRng::seed_from_u64(writer);
    let mut made = Vec::new();
    let mut own: BTreeMap<String, Revision> = BTreeMap::new();
    while !stop.load(Ordering::Relaxed) {
        let plural = ["pods", "podsx"][random.random_range(0..2)];
        let key = format!("/registry/{plural}/{writer}-{}", random.random_range(0..10));
        let revision = match own.get(&key).copied() {
            None => store.create(&key, bytes("one")).await,
            Some(expected) if random.random_bool(0.5) => store.delete(&key, expected).await,
            Some(expected) => store.update(&key, bytes("two"), expected).await,
        };
        let revision = revision.expect("nobody else writes this key");
        let deleted = own.insert(key.clone(), revision).is_some() && store.get(&key).await.unwrap().0.is_none();
        if deleted {
            own.remove(&key);
        }
        made.push((revision, key));
    }
    made
}

async fn watches_begun_at_any_time_see_every_revision_once(fixture: Fixture) {
    // A past that is on disk only, so that watches begun there must change over to the present.
    let start = fixture.store.revision().await.unwrap();
    let mut made = Vec::new();
    for n in 0..300 {
        let key = format!("/registry/{}/old-{n}", ["pods", "podsx"][n % 2]);
        made.push((fixture.create(&key, "old").await, key));
    }
    let fixture = fixture.reopen().await;
    let stop = Arc::new(AtomicBool::new(false));
    let writers: Vec<_> = (0..4)
        .map(|writer| tokio::spawn(hammer(Arc::clone(&fixture.store), writer, Arc::clone(&stop))))
        .collect();
    let mut random = StdRng::seed_from_u64(4);
    let mut watches = Vec::new();
    // Each begins somewhere in the past, the present or the near future, while the writers go on.
    for _ in 0..30 {
        let now = fixture.store.revision().await.unwrap();
        let from = random.random_range(start + 1..=now + 3);
        let mut watch = fixture.watch("/registry/pods/", from).await;
        let first = watch.event().await;
        watches.push((from, first, watch));
    }
    stop.store(true, Ordering::Relaxed);
    made.extend(join_all(writers).await.into_iter().flat_map(Result::unwrap));
    made.sort();
    let end = fixture.create("/registry/pods/end", "end").await;
    made.push((end, "/registry/pods/end".to_owned()));
    assert_eq!(
        made.iter().map(|(revision, _)| *revision).collect::<Vec<_>>(),
        (start + 1..=end).collect::<Vec<_>>()
    );
    for (from, first, mut watch) in watches {
        let mut seen = vec![first];
        if seen[0].revision() < end {
            seen.extend(watch.events_to(end).await);
        }
        let seen: Vec<_> = seen
            .iter()
            .map(|event| (event.revision(), event.key().to_owned()))
            .collect();
        let expected: Vec<_> = made
            .iter()
            .filter(|(revision, key)| *revision >= from && key.starts_with("/registry/pods/"))
            .collect();
        assert_eq!(seen.iter().collect::<Vec<_>>(), expected, "from {from}");
    }
}

/// Creates `count` keys, many at a time; returns the newest revision.
async fn fill(store: &Arc<dyn Store>, prefix: &str, count: usize) -> Revision {
    let lane = |lane: usize| {
        let store = Arc::clone(store);
        let prefix = prefix.to_owned();
        tokio::spawn(async move {
            for n in (lane..count).step_by(64) {
                store.create(&format!("{prefix}{n:05}"), bytes("filler")).await.unwrap();
            }
        })
    };
    join_all((0..64).map(lane)).await.into_iter().for_each(Result::unwrap);
    store.revision().await.unwrap()
}

/// More than any store keeps in memory for its watches.
const MANY: usize = 6000;

async fn a_slow_watch_misses_nothing(fixture: Fixture) {
    let start = fixture.create("/registry/pods/first", "one").await;
    let mut slow = fixture.watch("/registry/", start).await;
    assert_eq!(slow.event().await.revision(), start);
    let last = fill(&fixture.store, "/registry/pods/", MANY).await;
    let revisions: Vec<_> = slow.events_to(last).await.iter().map(Event::revision).collect();
    assert_eq!(revisions, (start + 1..=last).collect::<Vec<_>>());
}

async fn a_watch_left_behind_by_compaction_ends(fixture: Fixture) {
    let start = fixture.create("/registry/pods/first", "one").await;
    let mut slow = fixture.watch("/registry/", start).await;
    assert_eq!(slow.event().await.revision(), start);
    let last = fill(&fixture.store, "/registry/pods/", MANY).await;
    fixture.store.compact(last).await.unwrap();
    let (events, error) = slow.end().await;
    assert!(matches!(error, StoreError::Behind), "{error:?}");
    let revisions: Vec<_> = events.iter().map(Event::revision).collect();
    let delivered = revisions.len() as u64;
    assert_eq!(
        revisions,
        (start + 1..=start + delivered).collect::<Vec<_>>(),
        "what it did deliver has no gap"
    );
    assert!(delivered < last - start, "not everything can have been at hand");
}

async fn progress_reaches_a_quiet_watch(fixture: Fixture) {
    let start = fixture.create("/registry/pods/a", "one").await;
    let mut quiet = fixture.watch("/registry/quiet/", start).await;
    let last = fill(&fixture.store, "/registry/pods/", 10).await;
    let mut reached = 0;
    while reached < last {
        match quiet.next().await {
            Some(Ok(Watched::Progress(revision))) => {
                assert!(
                    revision > reached && revision <= last,
                    "{revision} after {reached}, newest {last}"
                );
                reached = revision;
            }
            other => panic!("{other:?}"),
        }
    }
    let event = fixture.create("/registry/quiet/a", "one").await;
    assert_eq!(quiet.event().await.revision(), event, "and the watch still delivers");
}

async fn progress_is_never_ahead_of_events(fixture: Fixture) {
    let start = fixture.store.revision().await.unwrap();
    let stop = Arc::new(AtomicBool::new(false));
    let mut watches: Vec<Watcher> = Vec::new();
    for prefix in ["/registry/pods/", "/registry/podsx/", "/registry/rare/"] {
        watches.push(fixture.watch(prefix, start + 1).await);
    }
    let writers: Vec<_> = (0..2)
        .map(|writer| tokio::spawn(hammer(Arc::clone(&fixture.store), writer, Arc::clone(&stop))))
        .collect();
    let reader = |mut watch: Watcher| async move {
        let (mut told, mut progress) = (0, 0);
        loop {
            match watch.next().await {
                Some(Ok(Watched::Progress(revision))) => {
                    assert!(revision > told, "progress {revision} after {told}");
                    told = revision;
                    progress += 1;
                }
                Some(Ok(Watched::Event(event))) => {
                    assert!(
                        event.revision() > told,
                        "event {} after {told} was reported",
                        event.revision()
                    );
                    told = event.revision();
                    if event.key().ends_with("/end") {
                        return progress;
                    }
                }
                other => panic!("{other:?}"),
            }
        }
    };
    let readers: Vec<_> = watches.into_iter().map(|watch| tokio::spawn(reader(watch))).collect();
    // One watch has a rare event now and then, with progress between.
    let mut rare = fixture.watch("/registry/rare/", start + 1).await;
    for n in 0..3 {
        let Some(Ok(Watched::Progress(_))) = rare.next().await else {
            panic!("progress comes first")
        };
        fixture.create(&format!("/registry/rare/{n}"), "one").await;
        rare.event().await;
    }
    stop.store(true, Ordering::Relaxed);
    join_all(writers).await.into_iter().for_each(|made| drop(made.unwrap()));
    for plural in ["pods", "podsx", "rare"] {
        fixture.create(&format!("/registry/{plural}/end"), "end").await;
    }
    let progress: Vec<u32> = join_all(readers).await.into_iter().map(Result::unwrap).collect();
    assert!(progress[2] > 0, "the rare watch was told of progress: {progress:?}");
}

async fn a_watch_resumes_on_a_reopened_store(fixture: Fixture) {
    let first = fixture.create("/registry/pods/a", "one").await;
    let mut watch = fixture.watch("/registry/pods/", first).await;
    assert_eq!(watch.event().await.revision(), first);
    // Not seen by the watch before the store goes away.
    fixture.update("/registry/pods/a", "two").await;
    fixture.delete("/registry/pods/a").await;
    drop(watch);
    let fixture = fixture.reopen().await;
    let last = fixture.create("/registry/pods/a", "three").await;
    let mut resumed = fixture.watch("/registry/pods/", first + 1).await;
    let seen: Vec<String> = resumed.events_to(last).await.iter().map(show).collect();
    let expected = [
        format!("~/registry/pods/a=two@{} (was one)", first + 1),
        format!("-/registry/pods/a@{} (was two)", first + 2),
        format!("+/registry/pods/a=three@{last}"),
    ];
    assert_eq!(seen, expected);
}

async fn a_dropped_store_ends_its_watches(fixture: Fixture) {
    let revision = fixture.create("/registry/pods/a", "one").await;
    let mut watch = fixture.watch("/registry/pods/", revision).await;
    let mut waiting = fixture.watch("/registry/pods/", revision + 1).await;
    watch.event().await;
    drop(fixture);
    for watch in [&mut watch, &mut waiting] {
        let (events, error) = watch.end().await;
        assert!(
            events.is_empty() && matches!(error, StoreError::Unavailable(_)),
            "{events:?} {error:?}"
        );
    }
}
