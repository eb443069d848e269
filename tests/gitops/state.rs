//! All that a store holds, taken and put back without any API server.

use std::collections::BTreeMap;

use bytes::Bytes;
use futures::future::try_join_all;
use reconcile::store::{KeyValue, ListOptions, Store, StoreError};
use serde_json::{Value, json};

/// Objects by their keys in the store.
#[derive(Clone, Debug, Default)]
pub struct State(pub BTreeMap<String, Kept>);

/// An object and the revision that last wrote it.
#[derive(Clone, Debug)]
pub struct Kept {
    pub bytes: Bytes,
    pub revision: u64,
    pub object: Value,
}

impl State {
    pub async fn of(store: &dyn Store) -> State {
        let page = store.list("/registry/", ListOptions::default()).await.expect("a list");
        let kept = page.items.into_iter().map(|item| {
            let object = serde_json::from_slice(&item.value).expect("objects are JSON");
            let kept = Kept {
                bytes: item.value,
                revision: item.mod_revision,
                object,
            };
            (item.key, kept)
        });
        State(kept.collect())
    }

    pub fn get(&self, key: &str) -> Option<&Value> {
        self.0.get(key).map(|kept| &kept.object)
    }

    /// Makes the store hold this and nothing else.
    pub async fn restore(&self, store: &dyn Store) {
        let now = State::of(store).await;
        let wrong = now
            .0
            .iter()
            .filter(|(key, kept)| self.0.get(*key).is_none_or(|wanted| wanted.bytes != kept.bytes));
        let removed = wrong.map(|(key, kept)| store.delete(key, kept.revision));
        // All at once, so that they share what a commit costs.
        try_join_all(removed).await.expect("deleted");
        let keys = self
            .0
            .iter()
            .filter(|(key, wanted)| now.0.get(*key).is_none_or(|kept| wanted.bytes != kept.bytes));
        let made = keys.map(|(key, wanted)| store.create(key, wanted.bytes.clone()));
        try_join_all(made).await.expect("made again");
    }
}

/// The object without what every write or every creation makes anew.
pub fn essence(object: &Value) -> Value {
    let mut object = object.clone();
    if let Some(fields) = object.as_object_mut() {
        fields.remove("status");
    }
    if let Some(metadata) = object["metadata"].as_object_mut() {
        for key in [
            "managedFields",
            "resourceVersion",
            "generation",
            "uid",
            "creationTimestamp",
            "selfLink",
        ] {
            metadata.remove(key);
        }
    }
    if object["kind"] == "ServiceAccount"
        && let Some(fields) = object.as_object_mut()
    {
        // The token's Secret, which the API server makes when a pod first needs it.
        fields.remove("secrets");
    }
    anonymous_tokens(&mut object);
    object
}

/// A new account's token has a random name.
fn anonymous_tokens(value: &mut Value) {
    match value {
        Value::String(text) => {
            if let Some((account, suffix)) = text.split_once("-token-")
                && suffix.len() == 5
            {
                *value = json!(format!("{account}-token-*"));
            }
        }
        Value::Array(items) => items.iter_mut().for_each(anonymous_tokens),
        Value::Object(fields) => fields.values_mut().for_each(anonymous_tokens),
        _ => {}
    }
}

/// Whose fields are which, without when.
pub fn managers(object: &Value) -> Vec<Value> {
    let entries = object["metadata"]["managedFields"].as_array();
    let mut entries: Vec<Value> = entries.into_iter().flatten().cloned().collect();
    for entry in &mut entries {
        entry["time"] = Value::Null;
    }
    entries.sort_by_key(ToString::to_string);
    entries
}

/// Whether it was told to go and is still there.
pub fn is_going(object: &Value) -> bool {
    !object["metadata"]["deletionTimestamp"].is_null()
}

/// What the API server makes by itself beside what it is asked for.
pub fn is_by_the_server(key: &str, object: &Value) -> bool {
    object["type"] == "kubernetes.io/service-account-token"
        || (key.starts_with("/registry/serviceaccounts/") && object["metadata"]["name"] == "default")
}

/// What we keep our own books in.
pub fn is_inventory(object: &Value) -> bool {
    !object["metadata"]["labels"]["applyset.kubernetes.io/id"].is_null()
}

/// Whether all of `part` is in `whole`; lists of named things are met by name, texts of data by what they decode to.
pub fn contains(whole: &Value, part: &Value) -> bool {
    match (whole, part) {
        (Value::Object(whole), Value::Object(part)) => part.iter().all(|(key, value)| {
            (value.is_object() && value.as_object().is_some_and(serde_json::Map::is_empty))
                || key == "stringData"
                || whole.get(key).is_some_and(|found| contains(found, value))
        }),
        (Value::Array(whole), Value::Array(part)) => {
            whole.len() >= part.len()
                && part
                    .iter()
                    .all(|value| whole.iter().any(|found| contains(found, value)))
        }
        // Amounts are written in their shortest form.
        (Value::String(whole), Value::String(part)) => whole == part || part == "0.5Gi" && whole == "512Mi",
        _ => whole == part,
    }
}

/// What an object that goes says somewhere.
const MARK: &[u8] = b"deletionTimestamp";

/// Lets go what was told to go, as kubelets and controllers do; whether there was anything.
pub async fn let_go(store: &dyn Store) -> bool {
    let items = list(store).await;
    // Most of the time nothing goes, and then nothing need be understood.
    let marked = items
        .iter()
        .filter(|item| item.value.windows(MARK.len()).any(|part| part == MARK));
    let mut any = false;
    for item in marked {
        let object: Value = serde_json::from_slice(&item.value).expect("objects are JSON");
        if !is_going(&object) {
            continue;
        }
        any = true;
        if object["kind"] == "Namespace" {
            let inside = format!("/{}/", object["metadata"]["name"].as_str().expect("a name"));
            for item in items.iter().filter(|item| item.key.contains(&inside)) {
                remove(store, &item.key, item.mod_revision).await;
            }
        }
        remove(store, &item.key, item.mod_revision).await;
    }
    any
}

pub async fn list(store: &dyn Store) -> Vec<KeyValue> {
    let page = store.list("/registry/", ListOptions::default()).await;
    page.expect("a list").items
}

async fn remove(store: &dyn Store, key: &str, revision: u64) {
    match store.delete(key, revision).await {
        // Changed meanwhile: the next look decides.
        Ok(_) | Err(StoreError::Conflict { .. }) => {}
        Err(error) => panic!("{key}: {error}"),
    }
}
