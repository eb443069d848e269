//! Asks the API server what applying a manifest would give (`dryRun=All`). Writes nothing.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use kube::core::Status;
use serde_json::{Value, json};

use super::applyset::{ApplySet, PART_OF, owner};
use super::diff::without_noise;
use super::error::Error;
use super::health::{is_finished_pod, is_going};
use super::manifests::{Intended, Manifests};
use super::neighbours::Others;
use super::report::ObjectKey;
use super::requests::{Mode, Requests};
use crate::client::Told;

/// Where an object is validated whose own namespace does not exist yet.
const STAND_IN_NAMESPACE: &str = "default";

/// The account of pods that name none; every namespace gets one.
const DEFAULT_ACCOUNT: &str = "default";

/// Why an object on its way out is replaced.
const BEING_DELETED: &str = "it is being deleted, and is made again once it is gone";
const NAMESPACE_BEING_DELETED: &str = "its namespace is being deleted, and is made again once it is gone";

/// What applying a manifest would do.
#[derive(Clone, Debug)]
pub enum Prediction {
    /// The object does not exist; what it would be, if that could be asked.
    Absent(Option<Value>),
    /// It is as intended.
    Same,
    /// It would change in place to this.
    Changed(Value),
    /// It can only be deleted and created again, as this; why.
    Replace(Option<Value>, String),
    /// The API server refuses it.
    Refused(Vec<Refusal>),
}

/// One reason of a refusal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// The field as the API server names it, where it does.
    pub field: Option<String>,
    /// What is wrong, complete.
    pub message: String,
}

impl Refusal {
    fn of(message: impl Into<String>) -> Self {
        Self {
            field: None,
            message: message.into(),
        }
    }
}

/// What the same plan makes or changes before other objects, so that the API server cannot be asked about it yet.
#[derive(Debug, Default)]
pub struct Upcoming {
    /// Namespaces that do not exist yet, or are on their way out and are made again.
    pub namespaces: BTreeSet<String>,
    /// Service accounts by namespace and name, and priority classes: what a new pod gets depends on them.
    accounts: BTreeSet<(String, String)>,
    classes: BTreeSet<String>,
}

impl Upcoming {
    /// Before anything was predicted.
    pub fn of(manifests: &Manifests, live: &BTreeMap<ObjectKey, Arc<Value>>) -> Self {
        let namespaces = manifests
            .objects
            .keys()
            .filter(|key| key.kind == "Namespace" && key.group.is_empty())
            .filter(|key| live.get(key).is_none_or(|live| is_going(live)))
            .map(|key| key.name.clone());
        Self {
            namespaces: namespaces.collect(),
            ..Self::default()
        }
    }

    /// Takes in what was predicted for an earlier stage.
    pub fn learn(&mut self, predictions: &BTreeMap<ObjectKey, Prediction>) {
        for (key, prediction) in predictions {
            let changes = match prediction {
                Prediction::Same => false,
                Prediction::Absent(_) | Prediction::Changed(_) | Prediction::Replace(..) => true,
                Prediction::Refused(_) => {
                    if key.kind == "Namespace" && key.group.is_empty() {
                        self.namespaces.remove(&key.name);
                    }
                    false
                }
            };
            match (key.group.as_str(), key.kind.as_str(), &key.namespace) {
                ("", "ServiceAccount", Some(namespace)) if changes => {
                    self.accounts.insert((namespace.clone(), key.name.clone()));
                }
                ("scheduling.k8s.io", "PriorityClass", _) if changes => {
                    self.classes.insert(key.name.clone());
                }
                _ => {}
            }
        }
    }

    /// Whether the namespace is one of them.
    pub fn has_namespace(&self, namespace: Option<&str>) -> bool {
        namespace.is_some_and(|namespace| self.namespaces.contains(namespace))
    }

    /// Takes out of a new pod what cannot be asked about yet; whether there was anything. An account that will not be
    /// there either is refused.
    fn without_references(&self, key: &ObjectKey, pod: &mut Value) -> Result<bool, Vec<Refusal>> {
        let (true, Some(namespace)) = (key.kind == "Pod" && key.group.is_empty(), &key.namespace) else {
            return Ok(false);
        };
        let mut unknown = self.namespaces.contains(namespace);
        let Some(spec) = pod["spec"].as_object_mut() else {
            return Ok(unknown);
        };
        let named = |field: &str| spec.get(field).and_then(Value::as_str).filter(|name| !name.is_empty());
        let account = named("serviceAccountName").or_else(|| named("serviceAccount"));
        let account = account.unwrap_or(DEFAULT_ACCOUNT).to_owned();
        let class = named("priorityClassName").map(str::to_owned);
        let upcoming = self.accounts.contains(&(namespace.clone(), account.clone()));
        if unknown && !upcoming && account != DEFAULT_ACCOUNT {
            return Err(vec![Refusal {
                field: Some("spec.serviceAccountName".into()),
                message: format!(
                    "service account {namespace}/{account} does not exist; add a manifest for it, or create it"
                ),
            }]);
        }
        if unknown || upcoming {
            unknown = true;
            spec.remove("serviceAccountName");
            spec.remove("serviceAccount");
        }
        if class.is_some_and(|class| self.classes.contains(&class)) {
            unknown = true;
            spec.remove("priorityClassName");
        }
        Ok(unknown)
    }
}

/// Predicts for one source.
pub(super) struct Predictor<'a> {
    pub requests: &'a Requests,
    pub set: &'a ApplySet,
    /// What the same plan makes first.
    pub upcoming: &'a Upcoming,
    /// What the other sources of this process say.
    pub others: &'a Others,
}

impl Predictor<'_> {
    /// What applying `manifest` (the intended object with our label) would do to `live`.
    ///
    /// # Errors
    /// Where the API server cannot be reached; what it answers is in the prediction.
    pub async fn predict(
        &self,
        intended: &Intended,
        manifest: &Value,
        live: Option<&Value>,
    ) -> Result<Prediction, Error> {
        let result = match live {
            None => self.absent(intended, manifest).await,
            Some(live) => match self.foreign(&intended.key, live) {
                Some(refusal) => self.refused(intended, manifest, refusal).await,
                None if is_going(live) => self.going(intended, manifest, BEING_DELETED).await,
                // What lies in a namespace that goes, goes with it.
                None if self.upcoming.has_namespace(intended.key.namespace.as_deref()) => {
                    self.going(intended, manifest, NAMESPACE_BEING_DELETED).await
                }
                None => self.existing(intended, manifest, live).await,
            },
        };
        result.or_else(|error| match error {
            kube::Error::Api(status) => Ok(Prediction::Refused(refusals(&status))),
            error => Err(Error::api(
                format!("asking what applying {} would do", intended.key),
                error,
            )),
        })
    }

    /// Another source's object is not ours to change, unless that has let go of it.
    fn foreign(&self, key: &ObjectKey, live: &Value) -> Option<Refusal> {
        let owner = owner(live).filter(|owner| *owner != self.set.id)?;
        if self.others.let_go(owner, key).is_some() {
            return None;
        }
        Some(Refusal::of(format!(
            "it belongs to another source ({PART_OF}={owner}); to hand it over, remove it there or remove that label"
        )))
    }

    /// Refused for what lives, and for what is wrong with the manifest in itself: whoever mends the one sees the other.
    async fn refused(&self, intended: &Intended, manifest: &Value, why: Refusal) -> Result<Prediction, kube::Error> {
        let wrong = self.as_new(intended, manifest).await?.err().unwrap_or_default();
        Ok(Prediction::Refused([vec![why], wrong].concat()))
    }

    async fn absent(&self, intended: &Intended, manifest: &Value) -> Result<Prediction, kube::Error> {
        let namespace = intended.key.namespace.as_deref();
        let mut asked = manifest.clone();
        let depends = self.upcoming.without_references(&intended.key, &mut asked);
        if self.upcoming.has_namespace(namespace) || !matches!(depends, Ok(false)) {
            return match self.as_new(intended, manifest).await? {
                Ok(predicted) => Ok(Prediction::Absent(predicted)),
                Err(refusals) => Ok(Prediction::Refused(refusals)),
            };
        }
        let applied = self
            .requests
            .apply(
                &intended.resource,
                namespace,
                &intended.key.name,
                manifest,
                Mode::DryRun,
            )
            .await;
        match (applied, namespace) {
            (Ok(predicted), _) => Ok(Prediction::Absent(Some(predicted))),
            (Err(kube::Error::Api(status)), Some(namespace)) if status.code == 404 => {
                Ok(Prediction::Refused(vec![Refusal {
                    field: Some("metadata.namespace".into()),
                    message: format!("namespace {namespace} does not exist; add a manifest for it, or create it"),
                }]))
            }
            (Err(error), _) => Err(error),
        }
    }

    /// It is being deleted and will be created again when it is gone.
    async fn going(&self, intended: &Intended, manifest: &Value, why: &str) -> Result<Prediction, kube::Error> {
        Ok(match self.as_new(intended, manifest).await? {
            Ok(predicted) => Prediction::Replace(predicted, why.into()),
            Err(refusals) => Prediction::Refused(refusals),
        })
    }

    async fn existing(&self, intended: &Intended, manifest: &Value, live: &Value) -> Result<Prediction, kube::Error> {
        let namespace = intended.key.namespace.as_deref();
        let applied = self
            .requests
            .apply(
                &intended.resource,
                namespace,
                &intended.key.name,
                manifest,
                Mode::DryRun,
            )
            .await;
        match applied {
            Ok(predicted) if without_noise(&predicted) == without_noise(live) => Ok(Prediction::Same),
            Ok(predicted) if self.is_so_by_now(intended, live, &predicted).await? => Ok(Prediction::Same),
            Ok(predicted) if is_finished_pod(live) && predicted["spec"] != live["spec"] => {
                self.replace(
                    intended,
                    manifest,
                    live,
                    "it has finished and its spec changed".into(),
                    None,
                )
                .await
            }
            Ok(predicted) => Ok(Prediction::Changed(predicted)),
            Err(kube::Error::Api(status)) if status.code == 422 && is_immutability(&status) => {
                let why = status.message.clone();
                self.replace(
                    intended,
                    manifest,
                    live,
                    immutable_fields(&status),
                    Some((*status, why)),
                )
                .await
            }
            Err(error) => Err(error),
        }
    }

    /// Whether the object is as predicted, and only was otherwise when it was looked at: others write meanwhile.
    async fn is_so_by_now(&self, intended: &Intended, live: &Value, predicted: &Value) -> Result<bool, kube::Error> {
        let version = |object: &Value| object["metadata"]["resourceVersion"].clone();
        if version(predicted) == version(live) {
            return Ok(false);
        }
        let key = &intended.key;
        let now = self
            .requests
            .get(&intended.resource, key.namespace.as_deref(), &key.name)
            .await?;
        Ok(now.is_some_and(|now| without_noise(&now) == without_noise(predicted)))
    }

    /// Replacing needs an object that is ours, and a manifest that is valid as a new object.
    async fn replace(
        &self,
        intended: &Intended,
        manifest: &Value,
        live: &Value,
        reason: String,
        refused: Option<(Status, String)>,
    ) -> Result<Prediction, kube::Error> {
        let is_ours =
            owner(live).is_some_and(|id| id == self.set.id || self.others.let_go(id, &intended.key).is_some());
        if !is_ours {
            let why = format!(
                "it exists, is not owned by this source, and cannot be changed in place ({reason}); delete it by hand to have it replaced"
            );
            return self.refused(intended, manifest, Refusal::of(why)).await;
        }
        if let Some(kept) = data_of(live) {
            let why = format!(
                "it cannot be changed in place ({reason}), and is not replaced, for {kept}; delete it by hand to have it made again"
            );
            return self.refused(intended, manifest, Refusal::of(why)).await;
        }
        Ok(match (self.as_new(intended, manifest).await?, refused) {
            (Ok(predicted), _) => Prediction::Replace(predicted, reason),
            // Invalid in itself: what is wrong with it as a new object is the clearer message.
            (Err(refusals), _) => Prediction::Refused(refusals),
        })
    }

    /// Whether the manifest is valid as a new object, and what that would be, if it can be said. API servers validate
    /// before they look whether the name is taken.
    async fn as_new(
        &self,
        intended: &Intended,
        manifest: &Value,
    ) -> Result<Result<Option<Value>, Vec<Refusal>>, kube::Error> {
        let mut body = manifest.clone();
        let approximate = match self.upcoming.without_references(&intended.key, &mut body) {
            Ok(approximate) => approximate,
            Err(refusals) => return Ok(Err(refusals)),
        };
        let mut namespace = intended.key.namespace.as_deref();
        let stands_in = self.upcoming.has_namespace(namespace);
        if stands_in {
            namespace = Some(STAND_IN_NAMESPACE);
        }
        if intended.resource.namespaced {
            body["metadata"]["namespace"] = json!(namespace);
        }
        match self.requests.preview_create(&intended.resource, namespace, &body).await {
            Ok(_) if approximate => Ok(Ok(None)),
            Ok(mut predicted) => {
                if intended.resource.namespaced {
                    predicted["metadata"]["namespace"] = json!(intended.key.namespace);
                }
                Ok(Ok(Some(predicted)))
            }
            Err(kube::Error::Api(status)) if is_refused_as_new(&status, stands_in) => Ok(Err(refusals(&status))),
            Err(kube::Error::Api(_)) => Ok(Ok(None)),
            Err(error) => Err(error),
        }
    }
}

/// What would go with an object that is deleted to be made again: whatever lies in a volume.
fn data_of(live: &Value) -> Option<&'static str> {
    let has = |pointer: &str| {
        live.pointer(pointer)
            .is_some_and(|value| !value.is_null() && value != "")
    };
    match (live["apiVersion"].as_str(), live["kind"].as_str()) {
        (Some("v1"), Some("PersistentVolumeClaim")) if has("/spec/volumeName") => Some("it has a volume with data"),
        (Some("v1"), Some("PersistentVolume")) if has("/spec/claimRef") => Some("a claim has its data there"),
        _ => None,
    }
}

/// Whether the answer to the preview of a creation is about the object itself, so that it could not be created once its
/// name is free. What is not known to be harmless counts: an object is never deleted for one that may be refused.
fn is_refused_as_new(status: &Status, stands_in: bool) -> bool {
    match status.code {
        // The name is taken; by then everything else was found right.
        409 => false,
        // An object that goes makes room for the one that replaces it.
        403 if status.message.contains("exceeded quota") => false,
        // What the stand-in forbids, the object's own namespace may allow; classes are the same everywhere.
        403 if stands_in => status.message.contains("PriorityClass"),
        _ => true,
    }
}

fn causes(status: &Status) -> impl Iterator<Item = (&str, &str, &str)> {
    status
        .details
        .iter()
        .flat_map(|details| &details.causes)
        .map(|cause| (cause.field.as_str(), cause.reason.as_str(), cause.message.as_str()))
}

/// Whether the refusal is about changing a field that must not change, by what Kubernetes says in such cases.
fn is_immutability(status: &Status) -> bool {
    let says = |text: &str| {
        [
            "immutable",
            "may not change",
            "may not be changed",
            "may not update",
            "may not be updated",
            "may not be removed",
        ]
        .iter()
        .any(|part| text.contains(part))
    };
    causes(status).any(|(_, reason, message)| reason == "FieldValueForbidden" || says(message)) || says(&status.message)
}

fn immutable_fields(status: &Status) -> String {
    let mut fields: Vec<&str> = causes(status)
        .map(|(field, _, _)| field)
        .filter(|field| !field.is_empty())
        .collect();
    fields.dedup();
    match fields.is_empty() {
        true => "an immutable field changed".into(),
        false => format!("{} cannot change in place", fields.join(", ")),
    }
}

/// What an error answer says, a reason a field.
pub(super) fn refusals(status: &Status) -> Vec<Refusal> {
    let found: Vec<Refusal> = causes(status)
        .flat_map(|(field, _, message)| {
            let unknown = unknown_fields(message);
            // A message may quote whole structs over many lines; the first line says what is wrong.
            let message = message.lines().next().unwrap_or(message);
            match (unknown.is_empty(), field) {
                (false, _) => unknown,
                (true, "") => vec![Refusal::of(message)],
                (true, field) => vec![Refusal {
                    field: Some(field.to_owned()),
                    message: format!("{field}: {message}"),
                }],
            }
        })
        .collect();
    if !found.is_empty() {
        return found;
    }
    let message = Told(&kube::Error::Api(Box::new(status.clone()))).to_string();
    let unknown = unknown_fields(&message);
    match unknown.is_empty() {
        true => vec![mistyped(message)],
        false => unknown,
    }
}

/// Finds the field in `… json: cannot unmarshal number into field data.key of type string`.
fn mistyped(message: String) -> Refusal {
    let found = message.split_once("cannot unmarshal ").and_then(|(_, rest)| {
        let (value, rest) = rest.split_once(" into ")?;
        let (place, wanted) = rest.split_once(" of type ")?;
        let field = place.rsplit(' ').next()?;
        // Go's own decoder begins with the struct's name.
        let field = match field.split_once('.') {
            Some((first, rest)) if first.starts_with(char::is_uppercase) => rest,
            _ => field,
        };
        // As YAML calls them.
        let value = match value {
            "array" => "list",
            "object" => "mapping",
            value => value,
        };
        let hint = match (wanted, value) {
            (_, "list" | "mapping") => "",
            ("string", _) => "; put it in quotes",
            _ => "",
        };
        Some((
            field.to_owned(),
            format!("{field}: a {value} stands where a {wanted} belongs{hint}"),
        ))
    });
    let found = found.or_else(|| {
        let (_, rest) = message.split_once(" cannot be handled as a ")?;
        let (_, rest) = rest.split_once(": ")?;
        let (field, _) = rest.split_once(": ")?;
        let is_field = !field.contains(' ') && field != "json" && field.starts_with(char::is_lowercase);
        is_field.then(|| (field.to_owned(), rest.to_owned()))
    });
    match found {
        Some((field, message)) => Refusal {
            field: Some(field),
            message,
        },
        None => Refusal { field: None, message },
    }
}

/// The fields of `strict decoding error: unknown field "spec.x", unknown field "spec.y"`.
fn unknown_fields(message: &str) -> Vec<Refusal> {
    message
        .split("unknown field \"")
        .skip(1)
        .filter_map(|rest| rest.split_once('"'))
        .map(|(field, _)| Refusal {
            message: format!("unknown field {field}"),
            field: Some(field.to_owned()),
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn status(value: Value) -> Status {
        serde_json::from_value(value).expect("a status")
    }

    #[test]
    fn only_refused_changes_are_immutability() {
        for (name, causes, expected) in [
            (
                "a pod's env",
                json!([{"field": "spec", "reason": "FieldValueForbidden", "message": "Forbidden: pod updates may not change fields other than …\n core.PodSpec{"}]),
                true,
            ),
            (
                "a secret's type",
                json!([{"field": "type", "reason": "FieldValueInvalid", "message": "Invalid value: \"a\": field is immutable"}]),
                true,
            ),
            (
                "a bad name",
                json!([{"field": "spec.containers[0].name", "reason": "FieldValueInvalid", "message": "Invalid value: \"_\""}]),
                false,
            ),
        ] {
            let status = status(
                json!({"status": "Failure", "code": 422, "message": "is invalid", "details": {"causes": causes}}),
            );
            assert_eq!(is_immutability(&status), expected, "{name}");
            assert!(!refusals(&status)[0].message.contains('\n'), "{name}");
        }
    }

    #[test]
    fn nothing_is_deleted_for_an_object_that_may_be_refused() {
        for (name, code, message, stands_in, expected) in [
            ("the name is taken", 409, "pods \"a\" already exists", false, false),
            ("invalid", 422, "Pod \"a\" is invalid", false, true),
            (
                "no such account",
                403,
                "error looking up service account default/x",
                false,
                true,
            ),
            (
                "no such class",
                403,
                "no PriorityClass with name x was found",
                false,
                true,
            ),
            (
                "no such class, asked elsewhere",
                403,
                "no PriorityClass with name x was found",
                true,
                true,
            ),
            ("a rule of another namespace", 403, "violates PodSecurity", true, false),
            ("no room beside the old one", 403, "exceeded quota: pods", false, false),
            ("overloaded", 429, "too many requests", false, true),
            ("broken", 500, "internal error", false, true),
        ] {
            let status = Status::failure(message, "").with_code(code);
            assert_eq!(is_refused_as_new(&status, stands_in), expected, "{name}");
        }
    }

    #[test]
    fn mistyped_fields_are_taken_from_the_message() {
        for (message, field, expected) in [
            (
                "ConfigMap in version \"v1\" cannot be handled as a ConfigMap: json: cannot unmarshal number into field data.key of type string",
                Some("data.key"),
                "data.key: a number stands where a string belongs; put it in quotes",
            ),
            (
                "json: cannot unmarshal string into Go struct field ConfigMap.immutable of type bool",
                Some("immutable"),
                "immutable: a string stands where a bool belongs",
            ),
            (
                "Pod in version \"v1\" cannot be handled as a Pod: json: cannot unmarshal array into field spec.containers[0].env[0].value of type string",
                Some("spec.containers[0].env[0].value"),
                "spec.containers[0].env[0].value: a list stands where a string belongs",
            ),
            (
                "Secret in version \"v1\" cannot be handled as a Secret: data.key: Invalid symbol 42, offset 0.",
                Some("data.key"),
                "data.key: Invalid symbol 42, offset 0.",
            ),
            ("something else", None, "something else"),
        ] {
            let refusal = mistyped(message.to_owned());
            assert_eq!((refusal.field.as_deref(), refusal.message.as_str()), (field, expected));
        }
    }

    #[test]
    fn unknown_fields_are_taken_from_the_message() {
        let status = status(
            json!({"status": "Failure", "code": 400, "message": "Pod in version \"v1\" cannot be handled as a Pod: strict decoding error: unknown field \"spec.containers[0].imge\", unknown field \"spec.foo\""}),
        );
        let found = refusals(&status);
        assert_eq!(
            found.iter().map(|refusal| refusal.field.as_deref()).collect::<Vec<_>>(),
            [Some("spec.containers[0].imge"), Some("spec.foo")]
        );
    }
}
