//! Asks the API server what applying a manifest would give (`dryRun=All`). Writes nothing.

mod refusal;
mod upcoming;

use serde_json::{Value, json};

use super::applyset::{ApplySet, PART_OF, owner};
use super::diff::without_noise;
use super::error::Error;
use super::health::{is_finished_pod, is_going};
use super::manifests::Intended;
use super::neighbours::Others;
use super::report::ObjectKey;
use super::requests::{Mode, Requests};
pub use refusal::Refusal;
pub(super) use refusal::refusals;
use refusal::{immutable_fields, is_immutability, is_refused_as_new};
pub use upcoming::Upcoming;

/// Where an object is validated whose own namespace does not exist yet.
const STAND_IN_NAMESPACE: &str = "default";

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
                None if is_going(live) => self.made_again(intended, manifest, BEING_DELETED).await,
                // What lies in a namespace that goes, goes with it.
                None if self.upcoming.has_namespace(intended.key.namespace.as_deref()) => {
                    self.made_again(intended, manifest, NAMESPACE_BEING_DELETED).await
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
        match (self.applied(intended, manifest).await, namespace) {
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

    /// The object as applying the manifest would leave it.
    async fn applied(&self, intended: &Intended, manifest: &Value) -> Result<Value, kube::Error> {
        let (resource, key) = (&intended.resource, &intended.key);
        self.requests
            .apply(resource, key.namespace.as_deref(), &key.name, manifest, Mode::DryRun)
            .await
    }

    /// It is created again once it is gone, if the manifest is valid as a new object.
    async fn made_again(&self, intended: &Intended, manifest: &Value, why: &str) -> Result<Prediction, kube::Error> {
        Ok(match self.as_new(intended, manifest).await? {
            Ok(predicted) => Prediction::Replace(predicted, why.into()),
            // Invalid in itself: what is wrong with it as a new object is the clearer message.
            Err(refusals) => Prediction::Refused(refusals),
        })
    }

    async fn existing(&self, intended: &Intended, manifest: &Value, live: &Value) -> Result<Prediction, kube::Error> {
        match self.applied(intended, manifest).await {
            Ok(predicted) if without_noise(&predicted) == without_noise(live) => Ok(Prediction::Same),
            Ok(predicted) if self.is_so_by_now(intended, live, &predicted).await? => Ok(Prediction::Same),
            Ok(predicted) if is_finished_pod(live) && predicted["spec"] != live["spec"] => {
                let why = "it has finished and its spec changed".to_owned();
                self.replace(intended, manifest, live, why).await
            }
            Ok(predicted) => Ok(Prediction::Changed(predicted)),
            Err(kube::Error::Api(status)) if status.code == 422 && is_immutability(&status) => {
                self.replace(intended, manifest, live, immutable_fields(&status)).await
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
        self.made_again(intended, manifest, &reason).await
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
