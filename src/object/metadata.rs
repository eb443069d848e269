//! What every kind's metadata must be and how a write may change it. Leaves uid, times and managedFields to the server.

use std::collections::BTreeMap;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, OwnerReference};
use serde::Serialize;

use super::field_error::{FieldError, Path};
use super::format;
use super::kind::Part;

/// The most bytes that all annotations' keys and values have together.
const ANNOTATIONS_MAX_BYTES: usize = 256 * 1024;

/// Drops what a creator may not set.
pub(super) fn prepare_create(meta: &mut ObjectMeta) {
    meta.self_link = None;
    meta.deletion_timestamp = None;
    meta.deletion_grace_period_seconds = None;
}

/// Carries over what only the server sets. What an update leaves out stays; what it changes is refused by validation.
pub(super) fn prepare_update(meta: &mut ObjectMeta, old: &ObjectMeta, part: Part) {
    meta.self_link = None;
    meta.generation = old.generation;
    meta.creation_timestamp.clone_from(&old.creation_timestamp);
    meta.deletion_timestamp.clone_from(&old.deletion_timestamp);
    meta.deletion_grace_period_seconds = old.deletion_grace_period_seconds;
    meta.uid = meta.uid.take().or_else(|| old.uid.clone());
    meta.generate_name = meta.generate_name.take().or_else(|| old.generate_name.clone());
    if part == Part::Status {
        // A status writer with an older idea of the object must not orphan it.
        meta.owner_references.clone_from(&old.owner_references);
    }
}

/// Everything wrong with a new object's metadata.
pub(super) fn validate_create(
    meta: &ObjectMeta,
    namespaced: bool,
    name_problems: fn(&str) -> Vec<String>,
    errors: &mut Vec<FieldError>,
) {
    let path = Path::new("metadata");
    if let Some(prefix) = &meta.generate_name {
        // What is generated follows a dash, so that a prefix may end in one.
        let stand_in = match prefix.strip_suffix('-') {
            Some(rest) if !rest.is_empty() => format!("{rest}a"),
            _ => prefix.clone(),
        };
        let field = path.child("generateName");
        errors.extend(
            name_problems(&stand_in)
                .into_iter()
                .map(|why| FieldError::invalid(&field, prefix, why)),
        );
    }
    let field = path.child("name");
    match &meta.name {
        None => errors.push(FieldError::required(&field, "name or generateName is required")),
        Some(name) => errors.extend(
            name_problems(name)
                .into_iter()
                .map(|why| FieldError::invalid(&field, name, why)),
        ),
    }
    validate_namespace(meta.namespace.as_deref(), namespaced, &path.child("namespace"), errors);
    if let Some(generation) = meta.generation.filter(|generation| *generation < 0) {
        let why = "must be greater than or equal to 0";
        errors.push(FieldError::invalid(&path.child("generation"), generation, why));
    }
    validate_common(meta, &path, errors);
}

/// Everything wrong with a change of metadata.
pub(super) fn validate_update(meta: &ObjectMeta, old: &ObjectMeta, namespaced: bool, errors: &mut Vec<FieldError>) {
    let path = Path::new("metadata");
    if meta.deletion_timestamp.is_some() {
        let known = old.finalizers.as_deref().unwrap_or_default();
        let new: Vec<&String> = meta
            .finalizers
            .iter()
            .flatten()
            .filter(|name| !known.contains(name))
            .collect();
        if !new.is_empty() {
            let why =
                format!("no new finalizers can be added if the object is being deleted, found new finalizers {new:?}");
            errors.push(FieldError::forbidden(&path.child("finalizers"), &why));
        }
    }
    immutable(&meta.name, &old.name, &path.child("name"), errors);
    immutable(&meta.namespace, &old.namespace, &path.child("namespace"), errors);
    immutable(&meta.uid, &old.uid, &path.child("uid"), errors);
    immutable(
        &meta.creation_timestamp,
        &old.creation_timestamp,
        &path.child("creationTimestamp"),
        errors,
    );
    immutable(
        &meta.deletion_timestamp,
        &old.deletion_timestamp,
        &path.child("deletionTimestamp"),
        errors,
    );
    let (new_grace, old_grace) = (&meta.deletion_grace_period_seconds, &old.deletion_grace_period_seconds);
    immutable(new_grace, old_grace, &path.child("deletionGracePeriodSeconds"), errors);
    validate_namespace(meta.namespace.as_deref(), namespaced, &path.child("namespace"), errors);
    validate_common(meta, &path, errors);
}

/// Refuses a change of a field that may not change.
pub(super) fn immutable<T: PartialEq + Serialize>(new: &T, old: &T, field: &Path, errors: &mut Vec<FieldError>) {
    if new != old {
        errors.push(FieldError::invalid(field, new, "field is immutable"));
    }
}

fn validate_namespace(namespace: Option<&str>, namespaced: bool, field: &Path, errors: &mut Vec<FieldError>) {
    match (namespace, namespaced) {
        (None, true) => errors.push(FieldError::required(field, "")),
        (Some(_), false) => errors.push(FieldError::forbidden(field, "not allowed on this type")),
        (Some(name), true) => {
            errors.extend(
                format::dns_label(name)
                    .into_iter()
                    .map(|why| FieldError::invalid(field, name, why)),
            );
        }
        (None, false) => {}
    }
}

fn validate_common(meta: &ObjectMeta, path: &Path, errors: &mut Vec<FieldError>) {
    validate_labels(meta.labels.as_ref(), &path.child("labels"), errors);
    validate_annotations(meta.annotations.as_ref(), &path.child("annotations"), errors);
    validate_owners(
        meta.owner_references.as_deref().unwrap_or_default(),
        &path.child("ownerReferences"),
        errors,
    );
    validate_finalizers(
        meta.finalizers.as_deref().unwrap_or_default(),
        &path.child("finalizers"),
        errors,
    );
}

/// A map of labels, also where it selects (a pod's `nodeSelector`).
pub(super) fn validate_labels(labels: Option<&BTreeMap<String, String>>, field: &Path, errors: &mut Vec<FieldError>) {
    for (key, value) in labels.into_iter().flatten() {
        errors.extend(
            format::qualified_name(key)
                .into_iter()
                .map(|why| FieldError::invalid(field, key, why)),
        );
        errors.extend(
            format::label_value(value)
                .into_iter()
                .map(|why| FieldError::invalid(field, value, why)),
        );
    }
}

fn validate_annotations(annotations: Option<&BTreeMap<String, String>>, field: &Path, errors: &mut Vec<FieldError>) {
    let mut size = 0;
    for (key, value) in annotations.into_iter().flatten() {
        let problems = format::qualified_name(&key.to_lowercase());
        errors.extend(problems.into_iter().map(|why| FieldError::invalid(field, key, why)));
        size += key.len() + value.len();
    }
    if size > ANNOTATIONS_MAX_BYTES {
        errors.push(FieldError::too_long(field, ANNOTATIONS_MAX_BYTES));
    }
}

fn validate_owners(owners: &[OwnerReference], field: &Path, errors: &mut Vec<FieldError>) {
    for (index, owner) in owners.iter().enumerate() {
        let at = field.index(index);
        let version = owner.api_version.rsplit('/').next().unwrap_or("");
        for (name, value, what) in [
            ("apiVersion", version, "version"),
            ("kind", &owner.kind, "kind"),
            ("name", &owner.name, "name"),
            ("uid", &owner.uid, "uid"),
        ] {
            if value.is_empty() {
                errors.push(FieldError::invalid(
                    &at.child(name),
                    value,
                    format!("{what} must not be empty"),
                ));
            }
        }
        if owner.api_version == "v1" && owner.kind == "Event" {
            errors.push(FieldError::invalid(
                &at,
                owner,
                "/v1, Kind=Event is disallowed from being an owner",
            ));
        }
    }
    let controllers: Vec<&str> = owners
        .iter()
        .filter(|owner| owner.controller == Some(true))
        .map(|owner| owner.name.as_str())
        .collect();
    if let [first, second, ..] = controllers[..] {
        let why = format!(
            "Only one reference can have Controller set to true. Found \"true\" in references for {first} and {second}"
        );
        errors.push(FieldError::invalid(field, owners, why));
    }
}

fn validate_finalizers(finalizers: &[String], field: &Path, errors: &mut Vec<FieldError>) {
    const STANDARD: [&str; 3] = ["kubernetes", "orphan", "foregroundDeletion"];
    for name in finalizers {
        let problems = format::qualified_name(name);
        if problems.is_empty() && !name.contains('/') && !STANDARD.contains(&name.as_str()) {
            let why = "name is neither a standard finalizer name nor is it fully qualified";
            errors.push(FieldError::invalid(field, name, why));
        }
        errors.extend(problems.into_iter().map(|why| FieldError::invalid(field, name, why)));
    }
    let has = |wanted: &str| finalizers.iter().any(|name| name == wanted);
    if has("orphan") && has("foregroundDeletion") {
        let why = "finalizer orphan and foregroundDeletion cannot be both set";
        errors.push(FieldError::invalid(field, finalizers, why));
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn meta(value: Value) -> ObjectMeta {
        serde_json::from_value(value).unwrap()
    }

    fn fields(errors: &[FieldError]) -> Vec<&str> {
        errors.iter().map(|error| error.field.as_str()).collect()
    }

    #[test]
    fn new_metadata() {
        let many = "x".repeat(ANNOTATIONS_MAX_BYTES);
        let owner =
            |controller| json!({"apiVersion": "v1", "kind": "Pod", "name": "a", "uid": "u", "controller": controller});
        for (name, value, wanted) in [
            (
                "good",
                json!({"name": "a.b", "labels": {"a/b": "c"}, "finalizers": ["a/b", "kubernetes"]}),
                vec![],
            ),
            ("generated", json!({"name": "g-1", "generateName": "g-"}), vec![]),
            (
                "bad prefix",
                json!({"name": "a", "generateName": "-"}),
                vec!["metadata.generateName"],
            ),
            ("no name", json!({}), vec!["metadata.name"]),
            ("bad name", json!({"name": "A"}), vec!["metadata.name"]),
            (
                "labels",
                json!({"name": "a", "labels": {"a b": "-"}}),
                vec!["metadata.labels", "metadata.labels"],
            ),
            (
                "annotations may have capitals",
                json!({"name": "a", "annotations": {"A.B/c": ""}}),
                vec![],
            ),
            (
                "annotations too large",
                json!({"name": "a", "annotations": {"a": many}}),
                vec!["metadata.annotations"],
            ),
            (
                "finalizer",
                json!({"name": "a", "finalizers": ["mine"]}),
                vec!["metadata.finalizers"],
            ),
            (
                "owner",
                json!({"name": "a", "ownerReferences": [{"apiVersion": "v1", "kind": "", "name": "x", "uid": ""}]}),
                vec!["metadata.ownerReferences[0].kind", "metadata.ownerReferences[0].uid"],
            ),
            (
                "two controllers",
                json!({"name": "a", "ownerReferences": [owner(true), owner(true)]}),
                vec!["metadata.ownerReferences"],
            ),
            (
                "one controller",
                json!({"name": "a", "ownerReferences": [owner(true), owner(false)]}),
                vec![],
            ),
        ] {
            let mut errors = Vec::new();
            let mut meta = meta(value);
            meta.namespace = Some("default".to_owned());
            validate_create(&meta, true, format::dns_subdomain, &mut errors);
            assert_eq!(fields(&errors), wanted, "{name}: {errors:?}");
        }
    }

    #[test]
    fn changed_metadata() {
        let old = meta(json!({
            "name": "a", "uid": "u", "creationTimestamp": "2020-01-01T00:00:00Z", "generation": 3, "finalizers": ["a/b"],
            "deletionTimestamp": "2021-01-01T00:00:00Z", "deletionGracePeriodSeconds": 30,
        }));
        for (name, value, wanted) in [
            ("left out", json!({"name": "a"}), vec![]),
            (
                "server fields are carried over",
                json!({"name": "a", "creationTimestamp": "2000-01-01T00:00:00Z", "generation": 9}),
                vec![],
            ),
            ("another uid", json!({"name": "a", "uid": "x"}), vec!["metadata.uid"]),
            ("another name", json!({"name": "b"}), vec!["metadata.name"]),
            (
                "finalizer while deleting",
                json!({"name": "a", "finalizers": ["a/b", "c/d"]}),
                vec!["metadata.finalizers"],
            ),
            ("finalizer removed", json!({"name": "a", "finalizers": []}), vec![]),
        ] {
            let mut errors = Vec::new();
            let mut new = meta(value);
            prepare_update(&mut new, &old, Part::Main);
            validate_update(&new, &old, false, &mut errors);
            assert_eq!(fields(&errors), wanted, "{name}: {errors:?}");
            assert_eq!(
                (new.generation, &new.deletion_timestamp),
                (Some(3), &old.deletion_timestamp),
                "{name}"
            );
        }
    }
}
