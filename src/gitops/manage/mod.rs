//! What people see of sources, and ask of them, while a reconciler follows them elsewhere: all of it goes through the
//! sources' parent objects, so any API server will do.

mod ask;
mod forget;
mod unfollowed;

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use k8s_openapi::api::core::v1::ConfigMap;
use kube::api::Api;
use kube::{Client, ResourceExt as _};
use serde::Serialize;

use super::applyset::{ApplySet, NAMESPACE, SOURCE};
use super::config;
use super::error::Error;
use super::health::{self, Health};
use super::inventory::{self, Inventory};
use super::kinds::Kinds;
use super::lease::{self, FollowedBy};
use super::record::{NAME, Record};
use super::report::ObjectKey;
use super::requests::Requests;

pub use ask::Asked;
pub use forget::Forgotten;

/// The field manager of what people ask.
const MANAGER: &str = "reconcile-cli";

/// How many unhealthy objects of a source are named.
const NAMED: usize = 10;

/// A source as it is known in the cluster.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Status {
    /// What people call it.
    pub name: String,
    /// Who follows it: a process as `HOST (DATA_DIR)`, none, or unknown.
    pub followed_by: FollowedBy,
    /// Why its `Source` object cannot be followed, where that is so.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub obstacle: Option<String>,
    /// Whether people stopped its syncs.
    pub suspended: bool,
    /// Whether a request for a sync waits for an answer.
    pub requested: bool,
    /// How many objects it owns.
    pub objects: usize,
    /// How many of them are healthy.
    pub healthy: usize,
    /// Those that are not, each with what it lacks; the first of them.
    pub unhealthy: Vec<Unhealthy>,
    /// What became of it.
    pub record: Record,
    /// The ConfigMap in `kube-system` that all of this comes from; empty before there is one.
    pub parent: String,
}

impl Status {
    /// Whether all that the source says was done, and nothing is wrong.
    pub fn is_in_sync(&self) -> bool {
        self.is_applied() && self.record.quarantine.is_none()
    }

    /// Whether everything it owns is there and healthy.
    pub fn is_healthy(&self) -> bool {
        self.unhealthy.is_empty() && self.healthy >= self.objects
    }

    /// Whether all of the revision that is to be applied was, be it the source's own or one that was gone back to.
    pub fn is_applied(&self) -> bool {
        self.record.failure.is_none()
            && self.record.waits.is_none()
            && self.record.problem_count == 0
            && self.record.approval.is_none()
    }
}

/// An object that is not healthy.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Unhealthy {
    /// Which.
    pub object: ObjectKey,
    /// What it lacks.
    pub reason: String,
    /// Whether it will not become healthy by itself.
    pub failed: bool,
}

/// The parents of sources in a cluster.
pub struct Sources {
    client: Client,
    api: Api<ConfigMap>,
}

impl Sources {
    /// Those of this cluster.
    pub fn new(client: Client) -> Self {
        Self {
            api: Api::namespaced(client.clone(), NAMESPACE),
            client,
        }
    }

    /// What is known of every source, or of the one with that name; of `Source` objects also where nobody ever could
    /// follow them.
    ///
    /// # Errors
    /// Where the API server does not answer, or there is no such source.
    pub async fn statuses(&self, name: Option<&str>) -> Result<Vec<Status>, Error> {
        let (all, mut objects) = (self.all().await?, unfollowed::objects(&self.client).await?);
        let parents = match name {
            // Another parent may be called like the object; the exact name goes before that.
            Some(name) if objects.contains_key(name) && !all.iter().any(|parent| is_exactly(parent, name)) => {
                return Ok(objects.remove(name).into_iter().collect());
            }
            Some(name) => vec![found(all, Some(name))?],
            None => all,
        };
        let now = Timestamp::now();
        let mut claims: BTreeMap<String, FollowedBy> = BTreeMap::new();
        let mut statuses = Vec::new();
        for parent in parents {
            let mut status = self.status(parent.clone()).await?;
            status.followed_by = self.followed_by(&parent, &mut claims, now).await?;
            let object = objects.remove(&status.name).filter(|_| is_named(&parent));
            if status.followed_by.is_nobody() {
                status.obstacle = object.and_then(|object| object.obstacle);
            }
            statuses.push(status);
        }
        if name.is_none() {
            statuses.extend(objects.into_values());
        }
        statuses.sort_by(|a, b| (&a.name, &a.parent).cmp(&(&b.name, &b.parent)));
        Ok(statuses)
    }

    /// Who follows the source of that parent; what is known of leases is asked for once.
    async fn followed_by(
        &self,
        parent: &ConfigMap,
        known: &mut BTreeMap<String, FollowedBy>,
        now: Timestamp,
    ) -> Result<FollowedBy, Error> {
        let claim = inventory::followed_by(parent);
        if let Some(known) = claim.and_then(|claim| known.get(claim)) {
            return Ok(known.clone());
        }
        let found = lease::followed_by(&self.client, claim, now).await?;
        known.extend(claim.map(|claim| (claim.to_owned(), found.clone())));
        Ok(found)
    }

    /// What is known of the source with exactly that name, if anything is.
    ///
    /// # Errors
    /// Where the API server does not answer.
    pub(super) async fn named(&self, name: &str) -> Result<Option<Status>, Error> {
        let set = ApplySet::of(&config::identity(name));
        match self.api.get_opt(&set.name).await.map_err(read)? {
            Some(parent) => self.status(parent).await.map(Some),
            None => Ok(None),
        }
    }

    async fn all(&self) -> Result<Vec<ConfigMap>, Error> {
        Inventory::parents(&self.client).await.map_err(read)
    }

    /// The source with that name, the last part of its path or URL; the only one there is, where no name is given.
    async fn find(&self, name: Option<&str>) -> Result<ConfigMap, Error> {
        found(self.all().await?, name)
    }

    async fn status(&self, parent: ConfigMap) -> Result<Status, Error> {
        let set = ApplySet::of(source(&parent).unwrap_or_default());
        let name = short_name(&parent);
        let inventory = Inventory::of(parent);
        let mut status = Status {
            name,
            followed_by: FollowedBy::Unknown,
            obstacle: None,
            suspended: inventory.controls.suspended || inventory.record.suspended,
            requested: inventory.controls.requested != inventory.record.answered,
            objects: inventory.members.len(),
            healthy: 0,
            unhealthy: Vec::new(),
            parent: set.name.clone(),
            record: inventory.record,
        };
        let versions = inventory.members.kinds().map(|kind| kind.api_version.clone()).collect();
        let kinds = Kinds::discover(&self.client, &versions).await?;
        let requests = Requests::new(self.client.clone());
        for kind in inventory.members.kinds() {
            let Ok(resource) = kinds.find(&kind.api_version, &kind.kind) else {
                continue;
            };
            let members = requests.members(resource, &set.id).await;
            let members = members.map_err(|error| Error::api(format!("listing {}", resource.api.plural), error))?;
            for member in members {
                let (reason, failed) = match health::of(&member) {
                    Health::Healthy => {
                        status.healthy += 1;
                        continue;
                    }
                    Health::Progressing(reason) => (reason, false),
                    Health::Failed(reason) => (reason, true),
                };
                let object = resource.key_of(&member);
                status.unhealthy.push(Unhealthy { object, reason, failed });
            }
        }
        status.unhealthy.truncate(NAMED);
        Ok(status)
    }
}

fn read(error: kube::Error) -> Error {
    Error::api("reading what is known of sources", error)
}

fn source(parent: &ConfigMap) -> Option<&str> {
    parent.annotations().get(SOURCE).map(String::as_str)
}

fn short_name(parent: &ConfigMap) -> String {
    parent
        .annotations()
        .get(NAME)
        .cloned()
        .unwrap_or_else(|| parent.name_any())
}

fn is_called(parent: &ConfigMap, name: &str) -> bool {
    short_name(parent) == name || source(parent) == Some(name) || parent.name_any() == name
}

/// The source with that name, the last part of its path or URL; the only one there is, where no name is given.
fn found(all: Vec<ConfigMap>, name: Option<&str>) -> Result<ConfigMap, Error> {
    let names = all.iter().map(short_name).collect::<BTreeSet<_>>();
    let names = names.into_iter().collect::<Vec<_>>().join(", ");
    let mut found: Vec<ConfigMap> = all
        .into_iter()
        .filter(|parent| name.is_none_or(|name| is_called(parent, name)))
        .collect();
    // A name that was given goes before one that was guessed from a path or URL.
    let exact = |parent: &ConfigMap| name.is_some_and(|name| is_exactly(parent, name));
    if let Some(named) = found.iter().position(exact) {
        return Ok(found.swap_remove(named));
    }
    match (found.pop(), found.is_empty(), name) {
        (Some(parent), true, _) => Ok(parent),
        (None, _, None) => Err(Error::Config(
            "there is no source yet; `reconcile SOURCE` follows one".into(),
        )),
        (None, _, Some(name)) if names.is_empty() => {
            Err(Error::Config(format!("there is no source {name}, and no other")))
        }
        (None, _, Some(name)) => Err(Error::Config(format!("there is no source {name}; there is: {names}"))),
        (Some(_), false, None) => Err(Error::Config(format!("say which source is meant: {names}"))),
        (Some(parent), false, Some(name)) => {
            found.push(parent);
            let sources: Vec<&str> = found.iter().filter_map(source).collect();
            Err(Error::Config(format!(
                "several sources are called {name}; give one in full: {}",
                sources.join(", ")
            )))
        }
    }
}

/// Whether it is the parent of the source of exactly that name.
fn is_exactly(parent: &ConfigMap, name: &str) -> bool {
    source(parent) == Some(&config::identity(name))
}

/// Whether its source was given a name, as `Source` objects are.
fn is_named(parent: &ConfigMap) -> bool {
    is_exactly(parent, &short_name(parent))
}
