//! Follows changes and streams them, one JSON line an event, in revision order, none skipped. Never writes.

mod start;

use std::collections::VecDeque;
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::response::Response;
use bytes::{BufMut, Bytes, BytesMut};
use futures::{FutureExt, StreamExt, stream};
use http::{HeaderValue, header};
use rand::Rng;
use serde_json::{Value, json};
use tokio::time::{Instant, Interval, MissedTickBehavior, Sleep};

use super::error::ApiError;
use super::negotiate::Shape;
use super::registry::list::{self, Wanted};
use super::request::Query;
use super::respond::View;
use super::select::Matcher;
use super::server::Server;
use crate::store::{Event, KeyValue, Revision, StoreError, WatchStream, Watched};
use start::Start;

/// A watch without `timeoutSeconds` ends after this to twice this, at random, so that clients do not all return at once.
const TIMEOUT_SECONDS_MIN: u64 = 1800;
/// The longest `timeoutSeconds` taken literally; longer ones mean "as long as you like".
const TIMEOUT_SECONDS_MAX: u64 = 86_400;
/// How often a client that asked for bookmarks learns how far it is.
const BOOKMARK_PERIOD: Duration = Duration::from_secs(60);
/// Events that are there already travel in one chunk up to this, which spares a write for each.
const CHUNK_BYTES: usize = 32 * 1024;

/// What a watch is to deliver.
pub struct Request<'a> {
    /// Of one namespace, or of all.
    pub namespace: Option<&'a str>,
    /// What matches.
    pub matcher: Matcher,
    /// How objects are shown.
    pub view: View,
}

/// Answers a watch request.
///
/// # Errors
/// 400 where the parameters contradict each other, 503 where the store is away. An expired revision is an ERROR event.
pub async fn watch(server: &Arc<Server>, request: Request<'_>, query: &Query) -> Result<Response, ApiError> {
    let start = Start::read(query)?;
    let opened = open(server, &request, start).await;
    let watcher = match opened {
        Ok((initial, live, revision)) => Watcher::new(server.clone(), request, query, initial, live, revision, start)?,
        Err(error @ ApiError::Expired { .. }) => {
            return Ok(streamed(Body::from(line(
                "ERROR",
                error.status().to_string().as_bytes(),
            ))));
        }
        Err(error) => return Err(error),
    };
    let chunks = stream::unfold(watcher, |mut watcher| async move {
        let chunk = watcher.next().await?;
        Some((Ok::<_, Infallible>(chunk), watcher))
    });
    Ok(streamed(Body::from_stream(chunks)))
}

fn streamed(body: Body) -> Response {
    let mut response = Response::new(body);
    response
        .headers_mut()
        .insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
        .headers_mut()
        .insert(header::CACHE_CONTROL, HeaderValue::from_static("no-cache, private"));
    response
}

/// The objects to begin with, what follows them, and the revision between.
async fn open(
    server: &Server,
    request: &Request<'_>,
    start: Start,
) -> Result<(VecDeque<KeyValue>, WatchStream, Revision), ApiError> {
    let kind = request.view.kind;
    let mut prefix = super::record::prefix(kind, request.namespace);
    if let Some(name) = request.matcher.name()
        && (request.namespace.is_some() || !kind.namespaced)
    {
        prefix.push_str(name);
    }
    let (initial, revision) = match start {
        Start::Now { at_least, .. } => {
            let current = server.store.revision().await?;
            if at_least > current {
                return Err(ApiError::FutureVersion {
                    requested: at_least,
                    current,
                });
            }
            let listing = list::list(server, kind, request.namespace, &request.matcher, &Wanted::default()).await?;
            (listing.items.into(), listing.revision)
        }
        // A watch that wants no initial events and names no revision starts at the newest.
        Start::After(0) => (VecDeque::new(), server.store.revision().await?),
        Start::After(revision) => (VecDeque::new(), revision),
    };
    let live = server.store.watch(&prefix, revision + 1).await?;
    Ok((initial, live, revision))
}

struct Watcher {
    server: Arc<Server>,
    matcher: Matcher,
    view: View,
    initial: VecDeque<KeyValue>,
    /// The initial events are to end with a marked bookmark, still to be sent.
    mark_pending: bool,
    live: Option<WatchStream>,
    /// Everything up to here has been delivered or did not match.
    delivered: Revision,
    deadline: std::pin::Pin<Box<Sleep>>,
    bookmarks: Option<Interval>,
    /// Whether the next event is the first, which alone carries a table's columns.
    first: bool,
}

impl Watcher {
    fn new(
        server: Arc<Server>,
        request: Request<'_>,
        query: &Query,
        initial: VecDeque<KeyValue>,
        live: WatchStream,
        delivered: Revision,
        start: Start,
    ) -> Result<Self, ApiError> {
        let seconds = match query.number::<u64>("timeoutSeconds")? {
            Some(seconds) if seconds > 0 => seconds.min(TIMEOUT_SECONDS_MAX),
            _ => rand::rng().random_range(TIMEOUT_SECONDS_MIN..=2 * TIMEOUT_SECONDS_MIN),
        };
        let bookmarks = query.flag("allowWatchBookmarks").then(|| {
            let mut interval = tokio::time::interval_at(Instant::now() + BOOKMARK_PERIOD, BOOKMARK_PERIOD);
            interval.set_missed_tick_behavior(MissedTickBehavior::Delay);
            interval
        });
        Ok(Self {
            server,
            matcher: request.matcher,
            view: request.view,
            initial,
            mark_pending: matches!(start, Start::Now { marked: true, .. }),
            live: Some(live),
            delivered,
            deadline: Box::pin(tokio::time::sleep(Duration::from_secs(seconds))),
            bookmarks,
            first: true,
        })
    }

    /// The next chunk of events; `None` when the watch is over.
    async fn next(&mut self) -> Option<Bytes> {
        if !self.initial.is_empty() || self.mark_pending {
            return Some(self.initial_chunk());
        }
        loop {
            let live = self.live.as_mut()?;
            tokio::select! {
                biased;
                () = self.server.shutdown.cancelled() => return None,
                () = &mut self.deadline => {
                    self.live = None;
                    return self.bookmarks.is_some().then(|| self.bookmark(false));
                }
                _ = next_tick(&mut self.bookmarks) => return Some(self.bookmark(false)),
                watched = live.next() => {
                    let chunk = self.live_chunk(watched)?;
                    if !chunk.is_empty() {
                        return Some(chunk);
                    }
                }
            }
        }
    }

    fn initial_chunk(&mut self) -> Bytes {
        let mut chunk = BytesMut::new();
        while chunk.len() < CHUNK_BYTES {
            let Some(pair) = self.initial.pop_front() else {
                if std::mem::take(&mut self.mark_pending) {
                    chunk.put_slice(&self.bookmark(true));
                }
                break;
            };
            self.put_event(&mut chunk, "ADDED", &pair, pair.mod_revision);
        }
        chunk.freeze()
    }

    /// This event and those that are there already. Empty where none matches; `None` at the end.
    fn live_chunk(&mut self, first: Option<Result<Watched, StoreError>>) -> Option<Bytes> {
        let mut chunk = BytesMut::new();
        let mut next = Some(first);
        while let Some(watched) = next {
            match watched {
                Some(Ok(watched)) => self.put_watched(&mut chunk, watched),
                Some(Err(error)) => self.end(&mut chunk, Some(error)),
                None => self.end(&mut chunk, None),
            }
            next = match &mut self.live {
                Some(live) if chunk.len() < CHUNK_BYTES => live.next().now_or_never(),
                Some(_) => None,
                None => return (!chunk.is_empty()).then(|| chunk.freeze()),
            };
        }
        Some(chunk.freeze())
    }

    /// The store's watch is over: an expired revision is told, a slow client is only cut off and may resume.
    fn end(&mut self, chunk: &mut BytesMut, error: Option<StoreError>) {
        self.live = None;
        match error {
            None | Some(StoreError::Behind) => {}
            Some(error) => {
                let error = ApiError::from(error);
                tracing::debug!(%error, "a watch ends");
                chunk.put_slice(&line("ERROR", error.status().to_string().as_bytes()));
            }
        }
    }

    fn put_watched(&mut self, chunk: &mut BytesMut, watched: Watched) {
        let event = match watched {
            Watched::Progress(revision) => {
                self.delivered = self.delivered.max(revision);
                return;
            }
            Watched::Event(event) => event,
        };
        match self.transition(&event) {
            Ok(Some((name, pair, revision))) => self.put_event(chunk, name, pair, revision),
            Ok(None) => {}
            Err(error) => {
                chunk.put_slice(&line("ERROR", error.status().to_string().as_bytes()));
                self.live = None;
            }
        }
        self.delivered = match &event {
            Event::Put { current, .. } => current.mod_revision,
            Event::Delete { revision, .. } => *revision,
        };
    }

    /// What the change is to this watch: into its selectors, within, out of them, or nothing.
    fn transition<'e>(&self, event: &'e Event) -> Result<Option<(&'static str, &'e KeyValue, Revision)>, ApiError> {
        Ok(match event {
            Event::Put { current, previous } => {
                let revision = current.mod_revision;
                let was = previous
                    .as_ref()
                    .map(|pair| self.matcher.matches(pair))
                    .transpose()?
                    .unwrap_or(false);
                match (was, self.matcher.matches(current)?, previous) {
                    (true, true, _) => Some(("MODIFIED", current, revision)),
                    (false, true, _) => Some(("ADDED", current, revision)),
                    (true, false, Some(previous)) => Some(("DELETED", previous, revision)),
                    _ => None,
                }
            }
            Event::Delete { previous, revision } => self
                .matcher
                .matches(previous)?
                .then_some(("DELETED", previous, *revision)),
        })
    }

    fn put_event(&mut self, chunk: &mut BytesMut, name: &str, pair: &KeyValue, revision: Revision) {
        match self.view.stored(pair, revision, std::mem::take(&mut self.first)) {
            Ok(bytes) => put_line(chunk, name, &bytes),
            Err(error) => {
                put_line(chunk, "ERROR", error.status().to_string().as_bytes());
                self.live = None;
                self.initial.clear();
            }
        }
    }

    /// How far the client is; `initial_end` where the initial events are complete.
    fn bookmark(&self, initial_end: bool) -> Bytes {
        let mut metadata = json!({"resourceVersion": self.delivered.to_string(), "creationTimestamp": null});
        if initial_end {
            metadata["annotations"] = json!({"k8s.io/initial-events-end": "true"});
        }
        let kind = self.view.kind;
        let object: Value = match self.view.shape {
            Shape::Object => json!({"kind": kind.kind, "apiVersion": kind.api_version(), "metadata": metadata}),
            Shape::Partial(version) => {
                json!({"kind": "PartialObjectMetadata", "apiVersion": format!("meta.k8s.io/{version}"), "metadata": metadata})
            }
            Shape::Table(version) => {
                let api_version = format!("meta.k8s.io/{version}");
                let carried = json!({"kind": "PartialObjectMetadata", "apiVersion": api_version, "metadata": metadata});
                json!({
                    "kind": "Table", "apiVersion": api_version,
                    "metadata": {"resourceVersion": self.delivered.to_string()},
                    "rows": [{"cells": [], "object": carried}],
                })
            }
        };
        line("BOOKMARK", object.to_string().as_bytes())
    }
}

/// The next tick, or never.
async fn next_tick(interval: &mut Option<Interval>) {
    match interval {
        Some(interval) => {
            interval.tick().await;
        }
        None => std::future::pending().await,
    }
}

fn line(name: &str, object: &[u8]) -> Bytes {
    let mut chunk = BytesMut::new();
    put_line(&mut chunk, name, object);
    chunk.freeze()
}

fn put_line(chunk: &mut BytesMut, name: &str, object: &[u8]) {
    chunk.reserve(object.len() + 40);
    chunk.put_slice(b"{\"type\":\"");
    chunk.put_slice(name.as_bytes());
    chunk.put_slice(b"\",\"object\":");
    chunk.put_slice(object);
    chunk.put_slice(b"}\n");
}
