//! Asks the API server what applying a manifest would give (`dryRun=All`). Writes nothing.

use std::collections::BTreeSet;

use kube::core::Status;
use serde_json::{Value, json};

use super::applyset::{ApplySet, PART_OF};
use super::diff::without_noise;
use super::error::{Error, reason};
use super::health::is_finished_pod;
use super::manifests::Intended;
use super::requests::{Mode, Requests};

/// Where an object is validated whose own namespace does not exist yet.
const STAND_IN_NAMESPACE: &str = "default";

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
    fn of(message: impl Into<String>) -> Vec<Self> {
        vec![Self {
            field: None,
            message: message.into(),
        }]
    }
}

/// Predicts for one source.
pub(super) struct Predictor<'a> {
    pub requests: &'a Requests,
    pub set: &'a ApplySet,
    /// Namespaces that the same plan creates first.
    pub upcoming: &'a BTreeSet<String>,
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
            Some(live) => match self.foreign(live) {
                Some(refusal) => Ok(Prediction::Refused(refusal)),
                None if live["metadata"].get("deletionTimestamp").is_some() => self.going(intended, manifest).await,
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

    /// Another source's object is not ours to change.
    fn foreign(&self, live: &Value) -> Option<Vec<Refusal>> {
        let owner = live["metadata"]["labels"][PART_OF]
            .as_str()
            .filter(|owner| *owner != self.set.id)?;
        Some(Refusal::of(format!(
            "it belongs to another source ({PART_OF}={owner}); to hand it over, remove it there or remove that label"
        )))
    }

    async fn absent(&self, intended: &Intended, manifest: &Value) -> Result<Prediction, kube::Error> {
        let namespace = intended.key.namespace.as_deref();
        if namespace.is_some_and(|namespace| self.upcoming.contains(namespace)) {
            return match self.as_new(intended, manifest, Some(STAND_IN_NAMESPACE)).await? {
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
    async fn going(&self, intended: &Intended, manifest: &Value) -> Result<Prediction, kube::Error> {
        let namespace = intended.key.namespace.as_deref();
        Ok(match self.as_new(intended, manifest, namespace).await? {
            Ok(predicted) => Prediction::Replace(predicted, "it is being deleted".into()),
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

    /// Replacing needs an object that is ours, and a manifest that is valid as a new object.
    async fn replace(
        &self,
        intended: &Intended,
        manifest: &Value,
        live: &Value,
        reason: String,
        refused: Option<(Status, String)>,
    ) -> Result<Prediction, kube::Error> {
        if live["metadata"]["labels"][PART_OF] != json!(self.set.id) {
            return Ok(Prediction::Refused(Refusal::of(format!(
                "it exists, is not owned by this source, and cannot be changed in place ({reason}); delete it by hand to have it replaced"
            ))));
        }
        let namespace = intended.key.namespace.as_deref();
        Ok(match (self.as_new(intended, manifest, namespace).await?, refused) {
            (Ok(predicted), _) => Prediction::Replace(predicted, reason),
            // Invalid in itself: what is wrong with it as a new object is the clearer message.
            (Err(refusals), _) => Prediction::Refused(refusals),
        })
    }

    /// Whether the manifest is valid as a new object. API servers validate before they look whether the name is taken.
    async fn as_new(
        &self,
        intended: &Intended,
        manifest: &Value,
        namespace: Option<&str>,
    ) -> Result<Result<Option<Value>, Vec<Refusal>>, kube::Error> {
        let mut body = manifest.clone();
        if intended.resource.namespaced {
            body["metadata"]["namespace"] = json!(namespace);
        }
        match self.requests.preview_create(&intended.resource, namespace, &body).await {
            Ok(mut predicted) => {
                if intended.resource.namespaced {
                    predicted["metadata"]["namespace"] = json!(intended.key.namespace);
                }
                Ok(Ok(Some(predicted)))
            }
            Err(kube::Error::Api(status)) if status.code == 400 || status.code == 422 => Ok(Err(refusals(&status))),
            // The name is taken, or something stands in the way that is not the manifest's fault.
            Err(kube::Error::Api(_)) => Ok(Ok(None)),
            Err(error) => Err(error),
        }
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
                (true, "") => Refusal::of(message),
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
    let message = reason(&kube::Error::Api(Box::new(status.clone())));
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
        let hint = if wanted == "string" { "; put it in quotes" } else { "" };
        Some((
            field.to_owned(),
            format!("{field}: a {value} stands where a {wanted} belongs{hint}"),
        ))
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
