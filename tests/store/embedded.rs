//! What is particular to the embedded store: its file, and what a crash leaves in it.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use bytes::Bytes;
use futures::future::join_all;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use reconcile::store::{Embedded, Event, ListOptions, OpenError, Revision, Store, StoreError, Watched};
use tempfile::TempDir;

use super::fixture::{Watcher, bytes, keys};

/// Names the store file to the child that is killed.
const CRASH_FILE: &str = "RECONCILE_TEST_CRASH_FILE";

fn place() -> (TempDir, PathBuf) {
    let directory = TempDir::new().expect("a temporary directory");
    let path = directory.path().join("store.redb");
    (directory, path)
}

async fn filled(path: &Path) -> Revision {
    let store = Embedded::open(path).unwrap();
    for n in 0..200 {
        store
            .create(&format!("/registry/pods/{n:03}"), Bytes::from(vec![b'x'; 1500]))
            .await
            .unwrap();
    }
    store.revision().await.unwrap()
}

#[tokio::test]
async fn a_new_file_is_readable_by_its_owner_only() {
    let (_directory, path) = place();
    let store = Embedded::open(&path).unwrap();
    assert_eq!(store.revision().await.unwrap(), 0, "a new store has no revision yet");
    let mode = std::fs::metadata(&path).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
}

#[tokio::test]
async fn a_file_in_use_is_refused_and_free_again_after_the_drop() {
    let (_directory, path) = place();
    let store = Embedded::open(&path).unwrap();
    let watch = store.watch("/", 1).await.unwrap();
    for second in [Embedded::open(&path), Embedded::open_copy(&path)] {
        let error = second.err().expect("the file is in use");
        assert!(matches!(error, OpenError::InUse { .. }), "{error}");
        assert!(error.to_string().contains(path.to_str().unwrap()), "{error}");
    }
    drop(store);
    // A watch that is still held does not keep the file.
    Embedded::open(&path).map(drop).expect("a free file opens");
    drop(watch);
}

#[tokio::test]
async fn a_damaged_file_is_refused_and_left_as_it_is() {
    let (directory, path) = place();
    filled(&path).await;
    let good = std::fs::read(&path).unwrap();
    let mut flipped = good.clone();
    // Every page: whichever hold data, their checksums no longer match.
    for page in flipped.chunks_mut(4096).skip(1) {
        page[100] ^= 0xff;
    }
    let damages = [
        ("no store at all", b"apiVersion: v1\nkind: Pod\n".repeat(1000)),
        ("a few bytes", b"redb".to_vec()),
        ("cut in the middle", good[..good.len() / 2].to_vec()),
        ("cut after the first page", good[..4096].to_vec()),
        ("flipped bits", flipped),
        ("zeros", vec![0; good.len()]),
    ];
    for (name, damaged) in damages {
        let path = directory.path().join(name);
        std::fs::write(&path, &damaged).unwrap();
        for opened in [Embedded::open(&path), Embedded::open_copy(&path)] {
            let error = opened.err().unwrap_or_else(|| panic!("{name}: opened"));
            assert!(matches!(error, OpenError::Corrupt { .. }), "{name}: {error:?}");
            assert!(error.to_string().contains(path.to_str().unwrap()), "{name}: {error}");
        }
        assert!(std::fs::read(&path).unwrap() == damaged, "{name}: the file was changed");
    }
}

#[tokio::test]
async fn another_format_is_refused_and_left_as_it_is() {
    let (_directory, path) = place();
    drop(Embedded::open(&path).unwrap());
    let database = redb::Database::open(&path).unwrap();
    let transaction = database.begin_write().unwrap();
    let meta: redb::TableDefinition<&str, u64> = redb::TableDefinition::new("meta");
    transaction.open_table(meta).unwrap().insert("format", 2).unwrap();
    transaction.commit().unwrap();
    drop(database);
    match Embedded::open(&path).err() {
        Some(OpenError::Version {
            found: 2, expected: 1, ..
        }) => {}
        other => panic!("{other:?}"),
    }
    let database = redb::Database::open(&path).unwrap();
    let transaction = redb::ReadableDatabase::begin_read(&database).unwrap();
    let format = transaction
        .open_table(meta)
        .unwrap()
        .get("format")
        .unwrap()
        .map(|row| row.value());
    assert_eq!(format, Some(2));
}

#[test]
fn a_file_in_no_directory_is_an_error_that_names_it() {
    let (directory, _) = place();
    let path = directory.path().join("none/store.redb");
    let error = Embedded::open(&path).err().expect("no directory");
    assert!(
        matches!(error, OpenError::Io { .. }) && error.to_string().contains(path.to_str().unwrap()),
        "{error}"
    );
}

#[tokio::test]
async fn a_copy_changes_neither_the_file_nor_the_directory() {
    let (directory, path) = place();
    let copy = Embedded::open_copy(&path).unwrap();
    assert_eq!(copy.revision().await.unwrap(), 0, "an absent file is an empty store");
    copy.create("/registry/pods/a", bytes("one")).await.unwrap();
    drop(copy);
    assert_eq!(std::fs::read_dir(directory.path()).unwrap().count(), 0);

    let revision = filled(&path).await;
    let before = std::fs::read(&path).unwrap();
    let beside = std::fs::read_dir(directory.path()).unwrap().count();
    let copy = Embedded::open_copy(&path).unwrap();
    assert_eq!(copy.revision().await.unwrap(), revision);
    assert_eq!(
        copy.list("/registry/pods/", ListOptions::default())
            .await
            .unwrap()
            .items
            .len(),
        200
    );
    copy.delete("/registry/pods/007", 8).await.unwrap();
    drop(copy);
    assert!(std::fs::read(&path).unwrap() == before, "the file was changed");
    assert_eq!(std::fs::read_dir(directory.path()).unwrap().count(), beside);
}

#[tokio::test]
async fn a_store_in_memory_works() {
    let store = Embedded::in_memory().unwrap();
    let revision = store.create("/registry/pods/a", bytes("one")).await.unwrap();
    assert_eq!(store.get("/registry/pods/a").await.unwrap().1, revision);
    let mut watch = Watcher(store.watch("/registry/", revision).await.unwrap());
    assert_eq!(watch.event().await.revision(), revision);
}

/// What a writer of the crash test was told: key, revision, value.
type Acknowledged = BTreeMap<String, (Revision, String)>;

/// Not a test by itself: the process that the next test kills. Writes without end and prints what
/// was acknowledged.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "run by an_acknowledged_write_survives_a_kill"]
async fn crash_child() {
    let path = std::env::var_os(CRASH_FILE).expect("run by an_acknowledged_write_survives_a_kill");
    let store = Embedded::open(Path::new(&path)).unwrap();
    let write = |writer: usize| {
        let store = &store;
        async move {
            for n in 0.. {
                let key = format!("/registry/pods/{writer}-{}", n % 50);
                let value = format!("{n}-{}", "x".repeat(n % 3000));
                let revision = match store.get(&key).await.unwrap().0 {
                    Some(found) => store.update(&key, bytes(&value), found.mod_revision).await.unwrap(),
                    None => store.create(&key, bytes(&value)).await.unwrap(),
                };
                let line = format!("ack {key} {revision} {value}\n");
                std::io::stdout().lock().write_all(line.as_bytes()).unwrap();
            }
        }
    };
    join_all((0..8).map(write)).await;
}

/// Starts the child, kills it after `lines` acknowledgements, and returns all it printed.
fn run_and_kill(path: &Path, lines: usize, acknowledged: &mut Acknowledged) {
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "store::embedded::crash_child", "--ignored", "--nocapture"])
        .env(CRASH_FILE, path)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let output = BufReader::new(child.stdout.take().unwrap());
    let mut count = 0;
    for line in output.lines() {
        let line = line.unwrap();
        let Some((_, ack)) = line.split_once("ack ") else {
            continue;
        };
        let mut words = ack.split(' ');
        let (Some(key), Some(revision), Some(value)) = (words.next(), words.next(), words.next()) else {
            continue;
        };
        // What was printed before the kill counts, however much of it was still in the pipe; only
        // the very last line can be cut.
        let Ok(revision) = revision.parse::<Revision>() else {
            continue;
        };
        acknowledged.insert(key.to_owned(), (revision, value.to_owned()));
        count += 1;
        if count == lines {
            child.kill().unwrap();
        }
    }
    assert!(
        count >= lines,
        "the child ended by itself after {count} writes: {:?}",
        child.wait()
    );
    child.wait().unwrap();
}

#[tokio::test]
async fn an_acknowledged_write_survives_a_kill() {
    let (_directory, path) = place();
    let mut random = StdRng::seed_from_u64(9);
    let mut acknowledged = Acknowledged::new();
    let mut seen = 0;
    for round in 0..8 {
        run_and_kill(&path, random.random_range(1..600), &mut acknowledged);
        let store = Embedded::open(&path).unwrap_or_else(|error| panic!("round {round}: {error}"));
        let page = store.list("/registry/pods/", ListOptions::default()).await.unwrap();
        for (key, (revision, value)) in &acknowledged {
            let found = page.items.iter().find(|item| item.key == *key);
            let found = found.unwrap_or_else(|| panic!("round {round}: {key} is lost"));
            assert!(
                found.mod_revision >= *revision,
                "round {round}: {key} fell back from {revision}"
            );
            if found.mod_revision == *revision {
                // A line cut by the kill ends early.
                let stored = String::from_utf8(found.value.to_vec()).unwrap();
                assert!(stored.starts_with(value.as_str()), "round {round}: {key}");
            }
        }
        // The history goes on without a gap, and agrees with what is there.
        let mut watch = Watcher(store.watch("/registry/pods/", seen + 1).await.unwrap());
        let events = watch.events_to(page.revision).await;
        let revisions: Vec<_> = events.iter().map(Event::revision).collect();
        assert_eq!(
            revisions,
            (seen + 1..=page.revision).collect::<Vec<_>>(),
            "round {round}"
        );
        for event in &events {
            let Event::Put { current, .. } = event else {
                panic!("{event:?}")
            };
            let newest = page
                .items
                .iter()
                .find(|item| item.key == current.key)
                .expect("nothing is deleted");
            assert!(
                newest.mod_revision > current.mod_revision || newest == current,
                "round {round}: {}",
                current.key
            );
        }
        seen = page.revision;
    }
}

#[tokio::test]
async fn progress_stops_when_nothing_moves() {
    // Paused time runs as fast as all tasks are idle, so this is many silent seconds.
    let store = Embedded::in_memory().unwrap();
    let revision = store.create("/registry/pods/a", bytes("one")).await.unwrap();
    let mut watch = Watcher(store.watch("/registry/quiet/", revision).await.unwrap());
    tokio::time::pause();
    let first = watch.next().await;
    assert!(
        matches!(first, Some(Ok(Watched::Progress(at))) if at == revision),
        "{first:?}"
    );
    let silence = tokio::time::timeout(
        std::time::Duration::from_secs(30),
        futures::StreamExt::next(&mut watch.0),
    )
    .await;
    assert!(silence.is_err(), "{silence:?}");
}

#[tokio::test]
async fn too_large_a_value_is_refused_and_the_store_goes_on() {
    let store = Embedded::in_memory().unwrap();
    let error = store
        .create("/registry/pods/a", Bytes::from(vec![0; 17 << 20]))
        .await
        .unwrap_err();
    assert!(matches!(error, StoreError::Failed(_)), "{error:?}");
    let error = store.create(&"k".repeat(2000), Bytes::new()).await.unwrap_err();
    assert!(matches!(error, StoreError::Failed(_)), "{error:?}");
    store.create("/registry/pods/a", bytes("one")).await.unwrap();
    let page = store.list("", ListOptions::default()).await.unwrap();
    assert_eq!(keys(&page), ["/registry/pods/a"]);
}
