//! Objects in the store: reading, and writing by compare-and-swap with a kind's rules. Never knows HTTP.

pub mod create;
pub mod delete;
pub mod list;
pub mod update;

use serde_json::{Value, json};

use super::error::ApiError;
use super::record::{self, Stored};
use super::server::Server;
use crate::object::Kind;
use crate::object::managed::Writer;
use crate::store::StoreError;

/// How often a write that names no resourceVersion is decided anew when others write meanwhile. Each round means that
/// somebody else's write succeeded, so only a crowd on one object can use this up.
const SWAP_ROUNDS_MAX: usize = 64;

/// How a write is to be made.
#[derive(Clone, Copy, Debug)]
pub struct Write<'a> {
    /// The field manager.
    pub manager: &'a str,
    /// `status` or empty.
    pub subresource: &'a str,
    /// RFC 3339.
    pub now: &'a str,
    /// Whether to go through everything but the write.
    pub dry_run: bool,
}

impl<'a> Write<'a> {
    /// As `managedFields` records it.
    pub fn writer(&self) -> Writer<'a> {
        Writer {
            manager: self.manager,
            subresource: self.subresource,
            now: self.now,
        }
    }
}

/// What is to become of an object.
pub enum Decision {
    /// Nothing; it stays as it is, which is this.
    Keep(Value),
    /// Write this in its place.
    Write(Value),
    /// Remove it; this is its last state, as the client shall see it.
    Remove(Value),
}

/// What became of an object.
#[derive(Debug)]
pub struct Outcome {
    /// Its state now, or its last one.
    pub object: Value,
    /// Whether it is gone.
    pub removed: bool,
}

/// Reads one object.
///
/// # Errors
/// 404, or the store's failure.
pub async fn read(server: &Server, kind: &Kind, namespace: Option<&str>, name: &str) -> Result<Stored, ApiError> {
    find(server, kind, namespace, name)
        .await?
        .ok_or_else(|| ApiError::not_found(kind, name))
}

/// Reads one object that may be missing.
///
/// # Errors
/// The store's failure.
pub async fn find(
    server: &Server,
    kind: &Kind,
    namespace: Option<&str>,
    name: &str,
) -> Result<Option<Stored>, ApiError> {
    let (pair, _) = server.store.get(&record::key(kind, namespace, name)).await?;
    pair.as_ref().map(record::decode).transpose()
}

/// Reads an object, lets `decide` say what becomes of it, and does that by compare-and-swap; on a conflict `decide` is
/// asked again with what is there then. What was last seen of it saves the read, where `decide` wants a write.
///
/// # Errors
/// What `decide` says; 404; 409 where others write without end.
pub async fn swap(
    server: &Server,
    kind: &Kind,
    namespace: Option<&str>,
    name: &str,
    dry_run: bool,
    mut decide: impl FnMut(Stored) -> Result<Decision, ApiError>,
) -> Result<Outcome, ApiError> {
    let key = record::key(kind, namespace, name);
    let guess = (!dry_run).then(|| server.store.last_seen(&key)).flatten();
    let mut is_guess = guess.is_some();
    let mut live = match guess {
        Some(pair) => record::decode(&pair)?,
        None => read(server, kind, namespace, name).await?,
    };
    for _ in 0..SWAP_ROUNDS_MAX {
        let revision = live.revision;
        let decision = decide(live);
        if is_guess && !matches!(decision, Ok(Decision::Write(_) | Decision::Remove(_))) {
            // Only a write shows whether the guess was right.
            is_guess = false;
            live = read(server, kind, namespace, name).await?;
            continue;
        }
        let written = match decision? {
            Decision::Keep(object) => return Ok(Outcome { object, removed: false }),
            Decision::Write(object) | Decision::Remove(object) if dry_run => {
                return Ok(Outcome { object, removed: false });
            }
            Decision::Write(mut object) => match server.store.update(&key, record::encode(&object)?, revision).await {
                Ok(revision) => {
                    record::set_revision(&mut object, revision);
                    Ok(Outcome { object, removed: false })
                }
                Err(error) => Err(error),
            },
            Decision::Remove(object) => server
                .store
                .delete(&key, revision)
                .await
                .map(|_| Outcome { object, removed: true }),
        };
        match written {
            Ok(outcome) => return Ok(outcome),
            Err(StoreError::Conflict { current: Some(pair) }) => {
                is_guess = false;
                live = record::decode(&pair)?;
            }
            Err(StoreError::Conflict { current: None }) => return Err(ApiError::not_found(kind, name)),
            Err(error) => return Err(error.into()),
        }
    }
    Err(ApiError::modified(kind, name))
}

/// A text at a JSON pointer; empty where it is missing.
pub fn text<'v>(object: &'v Value, pointer: &str) -> &'v str {
    object.pointer(pointer).and_then(Value::as_str).unwrap_or_default()
}

/// Whether a list at a JSON pointer has no items, or is missing.
pub fn is_empty_list(object: &Value, pointer: &str) -> bool {
    object
        .pointer(pointer)
        .and_then(Value::as_array)
        .is_none_or(Vec::is_empty)
}

/// Sets a pod's condition of that type (`type`, `status` and what else it says), with the time of its last change.
pub fn set_condition(pod: &mut Value, mut condition: Value, now: &str) {
    if !pod["status"]["conditions"].is_array() {
        pod["status"]["conditions"] = json!([]);
    }
    let Some(conditions) = pod["status"]["conditions"].as_array_mut() else {
        return;
    };
    let known = conditions.iter_mut().find(|known| known["type"] == condition["type"]);
    condition["lastProbeTime"] = Value::Null;
    condition["lastTransitionTime"] = match &known {
        Some(known) if known["status"] == condition["status"] => known["lastTransitionTime"].clone(),
        _ => json!(now),
    };
    match known {
        Some(known) => *known = condition,
        None => conditions.push(condition),
    }
}

/// Whether the object is being deleted.
pub fn is_deleting(object: &Value) -> bool {
    object
        .pointer("/metadata/deletionTimestamp")
        .is_some_and(|time| !time.is_null())
}
