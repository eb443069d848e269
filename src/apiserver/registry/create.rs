//! Making objects: names, system fields, the kind's rules, one write. Never knows HTTP.

use rand::Rng;
use serde_json::{Value, json};
use uuid::Uuid;

use super::{Write, text};
use crate::apiserver::admission;
use crate::apiserver::error::ApiError;
use crate::apiserver::record;
use crate::apiserver::server::Server;
use crate::object::{Kind, managed};
use crate::store::StoreError;

/// How many names are tried for a `generateName`, as Kubernetes does.
const NAME_TRIES_MAX: usize = 8;
/// Random letters at the end of a generated name.
const SUFFIX_LENGTH: usize = 5;
/// The longest prefix kept of a `generateName`, so that the whole name stays within a DNS label.
const PREFIX_LENGTH_MAX: usize = 63 - SUFFIX_LENGTH;
/// Letters of a suffix: no vowels and nothing that looks like another, so that no words arise.
const SUFFIX_LETTERS: &[u8] = b"bcdfghjklmnpqrstvwxz2456789";

/// Creates a decoded object.
///
/// # Errors
/// 409 where the name is taken, 422 with everything wrong with it, 403 where policy refuses it.
pub async fn create(
    server: &Server,
    kind: &'static Kind,
    namespace: Option<&str>,
    mut object: Value,
    write: Write<'_>,
) -> Result<Value, ApiError> {
    if !text(&object, "/metadata/resourceVersion").is_empty() {
        return Err(ApiError::BadRequest(
            "resourceVersion should not be set on objects to be created".to_owned(),
        ));
    }
    admission::namespace_takes_objects(server, kind, namespace, &object).await?;
    kind.default(&mut object);
    system_fields(&mut object, namespace, write.now);
    let prefix = generate_name(&object);
    if let Some(prefix) = &prefix {
        object["metadata"]["name"] = json!(generated(prefix));
    }
    managed::track_update(kind, None, &mut object, write.writer());
    insert(server, kind, namespace, object, write, prefix).await
}

/// Admits, validates and writes an object whose system and managed fields are set.
///
/// # Errors
/// As [`create`].
pub async fn insert(
    server: &Server,
    kind: &'static Kind,
    namespace: Option<&str>,
    mut object: Value,
    write: Write<'_>,
    generate_prefix: Option<String>,
) -> Result<Value, ApiError> {
    admission::admit_create(server, kind, namespace, &mut object, write.dry_run).await?;
    kind.prepare_create(&mut object);
    let errors = kind.validate_create(&object);
    if !errors.is_empty() {
        return Err(ApiError::invalid(kind, text(&object, "/metadata/name"), errors));
    }
    for _ in 0..NAME_TRIES_MAX {
        let name = text(&object, "/metadata/name").to_owned();
        match put_new(server, kind, namespace, &name, &object, write.dry_run).await {
            Ok(Some(revision)) => {
                record::set_revision(&mut object, revision);
                admission::after_create(server, kind, &object).await?;
                return Ok(object);
            }
            Ok(None) => return Ok(object),
            Err(StoreError::Conflict { .. }) => match &generate_prefix {
                Some(prefix) => object["metadata"]["name"] = json!(generated(prefix)),
                None => {
                    return Err(ApiError::AlreadyExists {
                        resource: kind.into(),
                        name,
                    });
                }
            },
            Err(error) => return Err(error.into()),
        }
    }
    let name = text(&object, "/metadata/name").to_owned();
    Err(ApiError::AlreadyExists {
        resource: kind.into(),
        name,
    })
}

/// Writes the key, or on a dry run only looks whether it is free.
async fn put_new(
    server: &Server,
    kind: &Kind,
    namespace: Option<&str>,
    name: &str,
    object: &Value,
    dry_run: bool,
) -> Result<Option<u64>, StoreError> {
    let key = record::key(kind, namespace, name);
    if dry_run {
        return match server.store.get(&key).await?.0 {
            None => Ok(None),
            taken => Err(StoreError::Conflict { current: taken }),
        };
    }
    let bytes = record::encode(object).map_err(|error| StoreError::Failed(error.to_string()))?;
    server.store.create(&key, bytes).await.map(Some)
}

/// Sets what only the server sets, and drops what a creator may not.
pub fn system_fields(object: &mut Value, namespace: Option<&str>, now: &str) {
    let metadata = &mut object["metadata"];
    if !metadata.is_object() {
        *metadata = json!({});
    }
    let Some(metadata) = metadata.as_object_mut() else {
        return;
    };
    for field in [
        "deletionTimestamp",
        "deletionGracePeriodSeconds",
        "selfLink",
        "resourceVersion",
    ] {
        metadata.remove(field);
    }
    match namespace {
        Some(namespace) => metadata.insert("namespace".to_owned(), json!(namespace)),
        None => metadata.remove("namespace"),
    };
    metadata.insert("uid".to_owned(), json!(Uuid::new_v4().to_string()));
    metadata.insert("creationTimestamp".to_owned(), json!(now));
}

/// The prefix to make a name from, where the object has no name of its own.
fn generate_name(object: &Value) -> Option<String> {
    let prefix = text(object, "/metadata/generateName");
    (text(object, "/metadata/name").is_empty() && !prefix.is_empty()).then(|| prefix.to_owned())
}

/// A name of that prefix.
pub fn generated(prefix: &str) -> String {
    let mut end = prefix.len().min(PREFIX_LENGTH_MAX);
    while !prefix.is_char_boundary(end) {
        end -= 1;
    }
    let mut random = rand::rng();
    let suffix = (0..SUFFIX_LENGTH).map(|_| char::from(SUFFIX_LETTERS[random.random_range(0..SUFFIX_LETTERS.len())]));
    prefix[..end].chars().chain(suffix).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn generated_names_stay_within_a_label() {
        let name = generated(&"x".repeat(80));
        assert_eq!(name.len(), 63);
        assert!(generated("web-").starts_with("web-") && generated("web-").len() == 9);
        assert_eq!(generated(&"ä".repeat(40)).chars().count(), 29 + SUFFIX_LENGTH);
    }

    #[test]
    fn a_creator_sets_no_system_fields() {
        let mut object =
            json!({"metadata": {"name": "a", "uid": "mine", "deletionTimestamp": "x", "namespace": "other"}});
        system_fields(&mut object, Some("default"), "2026-01-01T00:00:00Z");
        assert_ne!(object["metadata"]["uid"], "mine");
        assert_eq!(object["metadata"]["namespace"], "default");
        assert!(object["metadata"].get("deletionTimestamp").is_none());
        let mut empty = json!({});
        system_fields(&mut empty, None, "now");
        assert_eq!(empty["metadata"]["creationTimestamp"], "now");
    }
}
