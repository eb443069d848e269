//! What the cluster has of interest, and what it would make of the manifests. Writes nothing.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use futures::future::BoxFuture;
use futures::{FutureExt as _, Stream, StreamExt as _, TryStreamExt as _, stream};
use serde_json::Value;

use super::Engine;
use super::known::{fingerprint, hash};
use crate::client::Told;
use crate::gitops::applyset::{ApplySet, MemberKind, Members, owner};
use crate::gitops::error::Error;
use crate::gitops::kinds::{Kinds, Resource};
use crate::gitops::manifests::{Intended, Manifests};
use crate::gitops::neighbours::Others;
use crate::gitops::plan::{Owned, Stage, labelled};
use crate::gitops::predict::{Prediction, Predictor, Upcoming};
use crate::gitops::report::ObjectKey;

/// Requests under way at once while looking; more of them only wait for one another.
const CONCURRENCY: usize = 64;

/// What the cluster has of interest.
#[derive(Default)]
pub(super) struct Look {
    pub owned: BTreeMap<ObjectKey, Owned>,
    pub live: BTreeMap<ObjectKey, Arc<Value>>,
}

impl Look {
    /// What is owned and not intended.
    pub fn leaves<'a>(&'a self, manifests: &'a Manifests) -> impl Iterator<Item = &'a ObjectKey> {
        self.owned.keys().filter(|key| !manifests.objects.contains_key(key))
    }

    /// What is intended and of another set, with that set's id.
    pub fn comes<'a>(
        &'a self,
        manifests: &'a Manifests,
        set: &'a ApplySet,
    ) -> impl Iterator<Item = (&'a ObjectKey, &'a str)> {
        let owned = self.live.iter().filter_map(|(key, live)| Some((key, owner(live)?)));
        owned.filter(|(key, id)| *id != set.id && manifests.objects.contains_key(key))
    }
}

impl Engine {
    /// The live objects of these kinds that are owned.
    pub async fn members(&self, kinds: &[Resource]) -> Result<BTreeMap<ObjectKey, Value>, Error> {
        let mut found = BTreeMap::new();
        for resource in kinds {
            let members = self.requests.members(resource, &self.set.id).await;
            let members = members.map_err(|error| Error::api(format!("listing {}", resource.api.plural), error))?;
            found.extend(members.into_iter().map(|value| (resource.key_of(&value), value)));
        }
        Ok(found)
    }

    /// Lists what is owned and gets what is intended and not owned yet.
    pub(super) async fn look(
        &self,
        manifests: &Manifests,
        kinds: &[Resource],
        unseen: &mut BTreeSet<MemberKind>,
        notices: &mut Vec<String>,
    ) -> Result<Look, Error> {
        let mut look = Look::default();
        for resource in kinds {
            let members = self.requests.members(resource, &self.set.id).await;
            let members = match members {
                Ok(members) => members,
                Err(error @ kube::Error::Api(_)) => {
                    let reason = Told(&error);
                    notices.push(format!("{} cannot be listed: {reason}", resource.api.plural));
                    unseen.insert(MemberKind {
                        api_version: resource.api.api_version.clone(),
                        kind: resource.api.kind.clone(),
                    });
                    continue;
                }
                Err(error) => return Err(Error::api(format!("listing {}", resource.api.plural), error)),
            };
            for value in members {
                let key = resource.key_of(&value);
                let value = Arc::new(value);
                look.live.insert(key.clone(), Arc::clone(&value));
                let resource = resource.clone();
                look.owned.insert(key, Owned { value, resource });
            }
        }
        let missing: Vec<&Intended> = manifests
            .objects
            .values()
            .filter(|intended| !look.live.contains_key(&intended.key))
            .collect();
        let gets = missing.into_iter().map(|intended| {
            async move {
                let key = &intended.key;
                let found = self
                    .requests
                    .get(&intended.resource, key.namespace.as_deref(), &key.name)
                    .await;
                match found {
                    Ok(object) => Ok((key.clone(), object)),
                    // What cannot be read is tried all the same; the API server then says what is wrong.
                    Err(kube::Error::Api(_)) => Ok((key.clone(), None)),
                    Err(error) => Err(Error::api(format!("reading {key}"), error)),
                }
            }
            .boxed()
        });
        let found: Vec<(ObjectKey, Option<Value>)> = side_by_side(gets.collect()).try_collect().await?;
        look.live.extend(
            found
                .into_iter()
                .filter_map(|(key, object)| Some((key, Arc::new(object?)))),
        );
        Ok(look)
    }

    /// What other sources say, where an object may come from one of them or go to one.
    pub(super) async fn others(&self, manifests: &Manifests, look: &Look) -> Result<Others, Error> {
        match look.leaves(manifests).next().is_some() || look.comes(manifests, &self.set).next().is_some() {
            true => self.neighbours.say(&self.set, &self.client, self.view).await,
            false => Ok(Others::default()),
        }
    }

    /// Predicts stage by stage, for what comes later may lie in or refer to what comes first.
    pub(super) async fn predict(
        &self,
        manifests: &Manifests,
        live: &BTreeMap<ObjectKey, Arc<Value>>,
        others: &Others,
    ) -> Result<(BTreeMap<ObjectKey, Prediction>, Upcoming), Error> {
        let mut upcoming = Upcoming::of(manifests, live);
        let mut predictions = BTreeMap::new();
        for stage in Stage::ALL {
            let predictor = Predictor {
                requests: &self.requests,
                set: &self.set,
                upcoming: &upcoming,
                others,
            };
            let predictor = &predictor;
            let of_stage = manifests
                .objects
                .values()
                .filter(|intended| Stage::of(&intended.key.group, &intended.key.kind) == stage);
            let asked = of_stage.map(|intended| {
                async move {
                    let manifest = labelled(intended, &self.set);
                    let live = live.get(&intended.key);
                    let stays = !predictor.upcoming.has_namespace(intended.key.namespace.as_deref());
                    let known = live.filter(|_| stays).map(|live| (hash(&manifest), fingerprint(live)));
                    let prediction = match known.is_some() && self.settled.get(&intended.key).copied() == known {
                        true => Prediction::Same,
                        false => predictor.predict(intended, &manifest, live.map(AsRef::as_ref)).await?,
                    };
                    Ok((intended.key.clone(), prediction))
                }
                .boxed()
            });
            let found: BTreeMap<ObjectKey, Prediction> = side_by_side(asked.collect()).try_collect().await?;
            upcoming.learn(&found);
            predictions.extend(found);
        }
        Ok((predictions, upcoming))
    }

    /// The first object of others in each namespace that may be deleted.
    pub(super) async fn occupied(
        &self,
        manifests: &Manifests,
        owned: &BTreeMap<ObjectKey, Owned>,
    ) -> Result<BTreeMap<String, String>, Error> {
        let mut occupied = BTreeMap::new();
        let leaving: Vec<&ObjectKey> = owned
            .keys()
            .filter(|key| key.kind == "Namespace" && key.group.is_empty() && !manifests.objects.contains_key(key))
            .collect();
        if leaving.is_empty() {
            return Ok(occupied);
        }
        // Of whatever kind: all of it would go.
        let kinds = Kinds::everything(&self.client).await?;
        let inside: Vec<&Resource> = kinds.namespaced().collect();
        for namespace in leaving {
            if let Some((version, reason)) = kinds.unknown() {
                let reason = format!("perhaps something of {version}, which cannot be asked for ({reason})");
                occupied.insert(namespace.name.clone(), reason);
            }
            for resource in inside.iter().copied() {
                let objects = match self.requests.list(resource, Some(&namespace.name), None).await {
                    Ok(objects) => objects,
                    Err(kube::Error::Api(status)) if matches!(status.code, 404 | 405) => continue,
                    Err(error @ kube::Error::Api(_)) => {
                        let reason = format!("{} that cannot be listed ({})", resource.api.plural, Told(&error));
                        occupied.insert(namespace.name.clone(), reason);
                        break;
                    }
                    Err(error) => return Err(Error::api(format!("listing {}", resource.api.plural), error)),
                };
                if let Some(other) = objects.iter().find(|object| self.is_others(resource, object)) {
                    occupied.insert(namespace.name.clone(), resource.key_of(other).to_string());
                    break;
                }
            }
        }
        Ok(occupied)
    }

    /// Whether an object is somebody's: not ours, not made by the cluster itself for every namespace, not derived.
    fn is_others(&self, resource: &Resource, object: &Value) -> bool {
        let metadata = &object["metadata"];
        let by_the_cluster = match (
            resource.api.kind.as_str(),
            metadata["name"].as_str().unwrap_or_default(),
        ) {
            ("Event" | "Endpoints" | "EndpointSlice", _) => true,
            ("ServiceAccount", "default") | ("ConfigMap", "kube-root-ca.crt") => true,
            ("Secret", _) => object["type"] == "kubernetes.io/service-account-token",
            _ => false,
        };
        let derived = metadata["ownerReferences"]
            .as_array()
            .is_some_and(|owners| !owners.is_empty());
        owner(object) != Some(&self.set.id) && !by_the_cluster && !derived
    }
}

/// Runs requests a few at a time. They come boxed and collected, or the compiler cannot see that they may move
/// between threads.
fn side_by_side<T: Send>(
    requests: Vec<BoxFuture<'_, Result<T, Error>>>,
) -> impl Stream<Item = Result<T, Error>> + Send {
    stream::iter(requests).buffered(CONCURRENCY)
}

/// Kinds that have or will have members; members of kinds that are not served any more cannot be looked at.
pub(super) fn kinds_of_interest(
    manifests: &Manifests,
    members: &Members,
    kinds: &Kinds,
    unseen: &mut BTreeSet<MemberKind>,
    notices: &mut Vec<String>,
) -> Vec<Resource> {
    let mut found: BTreeMap<(String, String), Resource> = BTreeMap::new();
    for intended in manifests.objects.values() {
        let api = &intended.resource.api;
        found
            .entry((api.group.clone(), api.kind.clone()))
            .or_insert_with(|| intended.resource.clone());
    }
    for member in members.kinds() {
        match kinds.find(&member.api_version, &member.kind) {
            Ok(resource) => {
                found
                    .entry((resource.api.group.clone(), resource.api.kind.clone()))
                    .or_insert_with(|| resource.clone());
            }
            Err(reason) => {
                notices.push(format!("objects of kind {} stay as they are: {reason}", member.kind));
                unseen.insert(member.clone());
            }
        }
    }
    found.into_values().collect()
}
