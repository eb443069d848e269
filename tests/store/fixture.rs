//! A store to test, whichever it is, and shorthands for using it.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures::StreamExt;
use reconcile::store::{
    Embedded, Etcd, Event, KeyValue, ListOptions, Page, Revision, Store, StoreError, WatchStream, Watched,
};
use tempfile::TempDir;

use super::etcd_server::EtcdServer;

/// How long anything that must happen may take before the test fails.
const PATIENCE: Duration = Duration::from_secs(60);

/// A store with what it needs to live.
pub struct Fixture {
    pub store: Arc<dyn Store>,
    backend: Backend,
}

enum Backend {
    Embedded(TempDir),
    Etcd(EtcdServer),
}

impl Fixture {
    pub async fn embedded() -> Self {
        let directory = TempDir::new().expect("a temporary directory");
        let store = Embedded::open(&directory.path().join("store.redb")).expect("a new store opens");
        Self {
            store: Arc::new(store),
            backend: Backend::Embedded(directory),
        }
    }

    pub async fn etcd() -> Self {
        let server = EtcdServer::start();
        let store = Etcd::connect(&[server.endpoint()])
            .await
            .expect("a well-formed endpoint");
        Self {
            store: Arc::new(store),
            backend: Backend::Etcd(server),
        }
    }

    /// The same data through a new store; where the data is another process's, that is killed too.
    pub async fn reopen(self) -> Self {
        drop(self.store);
        match self.backend {
            Backend::Embedded(directory) => {
                let store = Embedded::open(&directory.path().join("store.redb")).expect("a closed store opens again");
                Self {
                    store: Arc::new(store),
                    backend: Backend::Embedded(directory),
                }
            }
            Backend::Etcd(mut server) => {
                server.kill();
                server.restart();
                let store = Etcd::connect(&[server.endpoint()])
                    .await
                    .expect("a well-formed endpoint");
                Self {
                    store: Arc::new(store),
                    backend: Backend::Etcd(server),
                }
            }
        }
    }

    pub async fn create(&self, key: &str, value: &str) -> Revision {
        self.store.create(key, bytes(value)).await.expect("a new key")
    }

    pub async fn update(&self, key: &str, value: &str) -> Revision {
        let expected = self.current(key).await.expect("an existing key").mod_revision;
        self.store
            .update(key, bytes(value), expected)
            .await
            .expect("an unchanged key")
    }

    pub async fn delete(&self, key: &str) -> Revision {
        let expected = self.current(key).await.expect("an existing key").mod_revision;
        self.store.delete(key, expected).await.expect("an unchanged key")
    }

    pub async fn current(&self, key: &str) -> Option<KeyValue> {
        self.store.get(key).await.expect("a readable store").0
    }

    pub async fn list(&self, prefix: &str) -> Page {
        self.store
            .list(prefix, ListOptions::default())
            .await
            .expect("a readable store")
    }

    pub async fn list_at(&self, prefix: &str, at: Revision) -> Result<Page, StoreError> {
        self.store
            .list(
                prefix,
                ListOptions {
                    at: Some(at),
                    ..ListOptions::default()
                },
            )
            .await
    }

    pub async fn watch(&self, prefix: &str, from: Revision) -> Watcher {
        Watcher(self.store.watch(prefix, from).await.expect("a watch"))
    }
}

/// A watch that fails the test instead of waiting for ever.
pub struct Watcher(pub WatchStream);

impl Watcher {
    /// The next item, whatever it is.
    pub async fn next(&mut self) -> Option<Result<Watched, StoreError>> {
        tokio::time::timeout(PATIENCE, self.0.next())
            .await
            .expect("a watch that says something in time")
    }

    /// The next event.
    pub async fn event(&mut self) -> Event {
        loop {
            match self.next().await {
                Some(Ok(Watched::Event(event))) => return event,
                Some(Ok(Watched::Progress(_))) => {}
                ended => panic!("the watch ended with {ended:?}"),
            }
        }
    }

    /// The next events up to and including the one at `last`.
    pub async fn events_to(&mut self, last: Revision) -> Vec<Event> {
        let mut events = Vec::new();
        while events.last().map(Event::revision) < Some(last) {
            events.push(self.event().await);
        }
        assert_eq!(events.last().map(Event::revision), Some(last), "the last event");
        events
    }

    /// The error that ends the watch, and the events delivered before it.
    pub async fn end(&mut self) -> (Vec<Event>, StoreError) {
        let mut events = Vec::new();
        loop {
            match self.next().await {
                Some(Ok(Watched::Event(event))) => events.push(event),
                Some(Ok(Watched::Progress(_))) => {}
                Some(Err(error)) => {
                    assert!(self.next().await.is_none(), "nothing follows an error");
                    return (events, error);
                }
                None => panic!("the watch ended without saying why"),
            }
        }
    }
}

pub fn bytes(value: &str) -> Bytes {
    Bytes::copy_from_slice(value.as_bytes())
}

pub fn keys(page: &Page) -> Vec<&str> {
    page.items.iter().map(|item| item.key.as_str()).collect()
}

/// An event in a line: `+key=value@revision`, `~key=value@revision (was value)`, `-key@revision (was value)`.
pub fn show(event: &Event) -> String {
    let text = |value: &Bytes| String::from_utf8_lossy(value).into_owned();
    match event {
        Event::Put {
            current,
            previous: None,
        } => {
            format!("+{}={}@{}", current.key, text(&current.value), current.mod_revision)
        }
        Event::Put {
            current,
            previous: Some(previous),
        } => {
            let (now, before) = (text(&current.value), text(&previous.value));
            format!("~{}={now}@{} (was {before})", current.key, current.mod_revision)
        }
        Event::Delete { previous, revision } => {
            format!("-{}@{revision} (was {})", previous.key, text(&previous.value))
        }
    }
}
