//! Changing objects: what a change may not touch, the kind's rules, one compare-and-swap. Never knows HTTP.

use serde_json::{Map, Value};

use super::{Decision, Outcome, Write, is_deleting, is_empty_list, swap, text};
use crate::apiserver::admission;
use crate::apiserver::error::ApiError;
use crate::apiserver::record::Stored;
use crate::apiserver::server::Server;
use crate::object::kind::Part;
use crate::object::{Kind, managed};

/// Whether the change itself has recorded who owns what (server-side apply does).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ownership {
    /// Compare old and new.
    Track,
    /// Already done.
    Recorded,
}

/// Which object is changed, and which part of it.
#[derive(Clone, Copy)]
pub struct Subject<'a> {
    /// Its kind.
    pub kind: &'static Kind,
    /// Its namespace.
    pub namespace: Option<&'a str>,
    /// Its name.
    pub name: &'a str,
    /// What may change.
    pub part: Part,
}

/// Changes an object: `change` makes the decoded new state from the live one; it is asked again when others write
/// meanwhile, unless the new state names the resourceVersion it was made from.
///
/// # Errors
/// 404, 409 where the new state names another resourceVersion, 422 with everything wrong with it.
pub async fn update(
    server: &Server,
    subject: Subject<'_>,
    ownership: Ownership,
    write: Write<'_>,
    mut change: impl FnMut(&Value) -> Result<Value, ApiError>,
) -> Result<Outcome, ApiError> {
    let Subject {
        kind, namespace, name, ..
    } = subject;
    let refusal = admission::default_refusal(server, kind, name).await?;
    swap(server, kind, namespace, name, write.dry_run, |live| {
        let new = change(&live.object)?;
        if let Some(refusal) = refusal.as_ref().filter(|_| admission::is_default_class(&new)) {
            return Err(refusal.clone());
        }
        decide(subject, live, new, ownership, write)
    })
    .await
}

fn decide(
    subject: Subject<'_>,
    live: Stored,
    mut new: Value,
    ownership: Ownership,
    write: Write<'_>,
) -> Result<Decision, ApiError> {
    let Subject { kind, name, part, .. } = subject;
    check_version(kind, name, &live, &new)?;
    kind.default(&mut new);
    carry_metadata(&mut new, &live.object);
    kind.prepare_update(&mut new, &live.object, part);
    if ownership == Ownership::Track {
        managed::track_update(kind, Some(&live.object), &mut new, write.writer());
    }
    let errors = kind.validate_update(&new, &live.object, part);
    if !errors.is_empty() {
        return Err(ApiError::invalid(kind, name, errors));
    }
    if is_same(&new, &live.object) {
        return Ok(Decision::Keep(live.object));
    }
    if deletion_is_complete(kind, &new) {
        Ok(Decision::Remove(new))
    } else {
        Ok(Decision::Write(new))
    }
}

/// Refuses a new state that was made from another version than the live one.
fn check_version(kind: &Kind, name: &str, live: &Stored, new: &Value) -> Result<(), ApiError> {
    let named = text(new, "/metadata/resourceVersion");
    if named.is_empty() || named == "0" {
        return Ok(());
    }
    let revision: u64 = named.parse().map_err(|_| {
        ApiError::BadRequest(format!(
            "metadata.resourceVersion: Invalid value: {named:?}: must be a number"
        ))
    })?;
    if revision == live.revision {
        Ok(())
    } else {
        Err(ApiError::modified(kind, name))
    }
}

/// Keeps the metadata that only the server writes. A uid that is named stays as it is, so that validation can refuse it.
fn carry_metadata(new: &mut Value, old: &Value) {
    let Some(old) = old.get("metadata").and_then(Value::as_object) else {
        return;
    };
    if !new["metadata"].is_object() {
        new["metadata"] = Value::Object(Map::new());
    }
    let Some(metadata) = new["metadata"].as_object_mut() else {
        return;
    };
    let named_uid = metadata
        .get("uid")
        .and_then(Value::as_str)
        .is_some_and(|uid| !uid.is_empty());
    for field in [
        "name",
        "namespace",
        "creationTimestamp",
        "deletionTimestamp",
        "deletionGracePeriodSeconds",
        "generateName",
        "resourceVersion",
        "uid",
    ] {
        if field == "uid" && named_uid {
            continue;
        }
        match old.get(field) {
            Some(value) => metadata.insert(field.to_owned(), value.clone()),
            None => metadata.remove(field),
        };
    }
    metadata.remove("selfLink");
}

/// Whether a deleted object has nothing left to wait for.
pub fn deletion_is_complete(kind: &Kind, object: &Value) -> bool {
    let grace = object
        .pointer("/metadata/deletionGracePeriodSeconds")
        .and_then(Value::as_i64)
        .unwrap_or(0);
    is_deleting(object)
        && grace == 0
        && is_empty_list(object, "/metadata/finalizers")
        && (kind.kind != "Namespace" || is_empty_list(object, "/spec/finalizers"))
}

/// Whether writing `new` over `old` would change nothing but the times in managedFields.
fn is_same(new: &Value, old: &Value) -> bool {
    if new == old {
        return true;
    }
    let (Some(new), Some(old)) = (new.as_object(), old.as_object()) else {
        return false;
    };
    same_but(new, old, &["metadata"]) && {
        let (Some(new), Some(old)) = (
            new.get("metadata").and_then(Value::as_object),
            old.get("metadata").and_then(Value::as_object),
        ) else {
            return false;
        };
        same_but(new, old, &["managedFields", "resourceVersion"]) && timeless(new) == timeless(old)
    }
}

fn same_but(one: &Map<String, Value>, other: &Map<String, Value>, except: &[&str]) -> bool {
    let counted = |(key, _): &(&String, &Value)| !except.contains(&key.as_str());
    one.iter().filter(counted).eq(other.iter().filter(counted))
}

fn timeless(metadata: &Map<String, Value>) -> Vec<Value> {
    let mut entries = metadata
        .get("managedFields")
        .and_then(Value::as_array)
        .cloned()
        .unwrap_or_default();
    for entry in entries.iter_mut().filter_map(Value::as_object_mut) {
        entry.remove("time");
    }
    entries
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn only_times_of_managers_are_ignored_in_a_comparison() {
        let entry = |time: &str, manager: &str| json!({"manager": manager, "time": time});
        let object = |managed: Value, label: &str| json!({"metadata": {"labels": {"a": label}, "managedFields": [managed]}, "spec": {}});
        let base = object(entry("1", "m"), "x");
        assert!(is_same(&object(entry("2", "m"), "x"), &base));
        assert!(!is_same(&object(entry("1", "n"), "x"), &base));
        assert!(!is_same(&object(entry("1", "m"), "y"), &base));
        assert!(!is_same(
            &json!({"metadata": base["metadata"].clone(), "spec": {"a": 1}}),
            &base
        ));
    }

    #[test]
    fn the_servers_metadata_is_kept() {
        let old = json!({"metadata": {"name": "a", "uid": "u", "creationTimestamp": "t", "resourceVersion": "5"}});
        let mut new = json!({"metadata": {"name": "a", "creationTimestamp": "forged", "deletionTimestamp": "forged", "labels": {"a": "b"}}});
        carry_metadata(&mut new, &old);
        assert_eq!(
            new,
            json!({"metadata": {"name": "a", "uid": "u", "creationTimestamp": "t", "resourceVersion": "5", "labels": {"a": "b"}}})
        );
        let mut other = json!({"metadata": {"name": "a", "uid": "other"}});
        carry_metadata(&mut other, &old);
        assert_eq!(other["metadata"]["uid"], "other");
    }
}
