//! What people see of sources, and ask of them, while a reconciler follows them elsewhere: all of it goes through the
//! sources' parent objects, so any API server will do.

use std::collections::BTreeSet;
use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::ConfigMap;
use kube::api::{Api, Patch, PatchParams};
use kube::{Client, ResourceExt as _};
use serde::Serialize;
use serde_json::{Value, json};
use tokio::time::{Instant, sleep};

use super::applyset::{ApplySet, NAMESPACE, SOURCE};
use super::budget::Approval;
use super::config;
use super::error::Error;
use super::health::{self, Health};
use super::inventory::Inventory;
use super::kinds::Kinds;
use super::record::{APPROVED, NAME, PINNED, REQUESTED, RESUMED, Record, SUSPENDED};
use super::report::ObjectKey;
use super::requests::Requests;

/// Between looks at whether a request was answered.
const POLL: Duration = Duration::from_millis(100);

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
    /// The ConfigMap in `kube-system` that all of this comes from.
    pub parent: String,
}

impl Status {
    /// Whether all that the source says was done, and nothing is wrong.
    pub fn is_in_sync(&self) -> bool {
        self.is_applied() && self.record.quarantine.is_none()
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

    /// What is known of every source, or of the one with that name.
    ///
    /// # Errors
    /// Where the API server does not answer, or there is no such source.
    pub async fn statuses(&self, name: Option<&str>) -> Result<Vec<Status>, Error> {
        let parents = match name {
            Some(_) => vec![self.find(name).await?],
            None => self.all().await?,
        };
        let mut statuses = Vec::new();
        for parent in parents {
            statuses.push(self.status(parent).await?);
        }
        statuses.sort_by(|a, b| (&a.name, &a.parent).cmp(&(&b.name, &b.parent)));
        Ok(statuses)
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

    /// Stops the syncs of a source, or lets them go on, where it was rolled back with what the source is at; returns
    /// its name.
    ///
    /// # Errors
    /// Where the API server does not answer, or there is not exactly one such source.
    pub async fn suspend(&self, name: Option<&str>, suspended: bool) -> Result<String, Error> {
        let parent = self.find(name).await?;
        let known = Inventory::of(parent.clone());
        if !suspended && known.record.suspended && !known.controls.suspended {
            return Err(Error::SuspendedBySpec(short_name(&parent)));
        }
        let now = Timestamp::now().to_string();
        let annotations = match suspended {
            true => json!({SUSPENDED: "true"}),
            false => json!({SUSPENDED: null, PINNED: null, RESUMED: now}),
        };
        self.annotate(&parent, &annotations).await?;
        Ok(short_name(&parent))
    }

    /// Agrees to the deletions that wait now, and to no others.
    ///
    /// # Errors
    /// Where nothing waits, the API server does not answer, or there is not exactly one such source.
    pub async fn approve(&self, name: Option<&str>) -> Result<(String, Approval), Error> {
        let parent = self.find(name).await?;
        let name = short_name(&parent);
        let inventory = Inventory::of(parent.clone());
        let Some(approval) = inventory.record.approval else {
            return Err(Error::Config(format!("nothing of {name} waits for approval")));
        };
        self.annotate(&parent, &json!({APPROVED: approval.token})).await?;
        Ok((name, approval))
    }

    /// Asks for a sync now and waits until it is done, or has failed.
    ///
    /// # Errors
    /// Where nobody answers in time, the source is suspended, the API server does not answer, or there is not exactly one
    /// such source.
    pub async fn sync(&self, name: Option<&str>, timeout: Duration) -> Result<Status, Error> {
        self.request(name, json!({}), timeout).await
    }

    /// Goes back to a revision until a newer one than the source is at now comes, and waits until that is done.
    ///
    /// # Errors
    /// Where there is no such revision, and as for [`Sources::sync`].
    pub async fn rollback(&self, revision: &str, name: Option<&str>, timeout: Duration) -> Result<Status, Error> {
        if revision.trim().is_empty() {
            return Err(Error::Config("say which revision to go back to".into()));
        }
        let status = self.request(name, json!({PINNED: revision.trim()}), timeout).await?;
        let pinned = status
            .record
            .quarantine
            .as_ref()
            .and_then(|known| known.pinned.as_deref());
        match (&status.record.refused, &status.record.failure) {
            (Some(refused), _) if refused.request == status.record.answered => Err(Error::Source(format!(
                "{} is not rolled back: {}",
                status.name, refused.reason
            ))),
            (_, None) if pinned != Some(revision.trim()) => Err(Error::Source(format!(
                "{} went on to a newer commit meanwhile",
                status.name
            ))),
            _ => Ok(status),
        }
    }

    /// Asks for a sync along with something else, and waits for the answer.
    async fn request(&self, name: Option<&str>, mut annotations: Value, timeout: Duration) -> Result<Status, Error> {
        let parent = self.find(name).await?;
        let name = short_name(&parent);
        let inventory = Inventory::of(parent.clone());
        if inventory.controls.suspended || inventory.record.suspended {
            return Err(match inventory.controls.suspended {
                true => Error::Suspended(name),
                false => Error::SuspendedBySpec(name),
            });
        }
        let request = Timestamp::now().to_string();
        annotations[REQUESTED] = request.as_str().into();
        self.annotate(&parent, &annotations).await?;
        let deadline = Instant::now() + timeout;
        loop {
            let parent = self.api.get(&parent.name_any()).await.map_err(read)?;
            let record = Inventory::of(parent.clone()).record;
            if record.answered.as_ref() == Some(&request) {
                return match record.closed {
                    Some(closed) => Err(Error::Closed { name, closed }),
                    None => self.status(parent).await,
                };
            }
            if Instant::now() >= deadline {
                return Err(Error::Source(format!(
                    "{name} was not synced within {} s; is a reconciler that follows it running?",
                    timeout.as_secs()
                )));
            }
            sleep(POLL).await;
        }
    }

    async fn all(&self) -> Result<Vec<ConfigMap>, Error> {
        Inventory::parents(&self.client).await.map_err(read)
    }

    /// The source with that name, the last part of its path or URL; the only one there is, where no name is given.
    async fn find(&self, name: Option<&str>) -> Result<ConfigMap, Error> {
        let all = self.all().await?;
        let names = all.iter().map(short_name).collect::<BTreeSet<_>>();
        let names = names.into_iter().collect::<Vec<_>>().join(", ");
        let mut found: Vec<ConfigMap> = all
            .into_iter()
            .filter(|parent| name.is_none_or(|name| is_called(parent, name)))
            .collect();
        // A name that was given goes before one that was guessed from a path or URL.
        let exact = |parent: &ConfigMap| name.is_some_and(|name| source(parent) == Some(&config::identity(name)));
        if let Some(named) = found.iter().position(exact) {
            return Ok(found.swap_remove(named));
        }
        match (found.pop(), found.is_empty(), name) {
            (Some(parent), true, _) => Ok(parent),
            (None, _, None) => Err(Error::Config(
                "there is no source yet; `reconcile SOURCE` follows one".into(),
            )),
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

    async fn annotate(&self, parent: &ConfigMap, annotations: &Value) -> Result<(), Error> {
        let patch = json!({"metadata": {"annotations": annotations}});
        let params = PatchParams {
            field_manager: Some(MANAGER.to_owned()),
            ..PatchParams::default()
        };
        let patched = self.api.patch(&parent.name_any(), &params, &Patch::Merge(patch)).await;
        patched
            .map(drop)
            .map_err(|error| Error::api(format!("writing ConfigMap {NAMESPACE}/{}", parent.name_any()), error))
    }

    async fn status(&self, parent: ConfigMap) -> Result<Status, Error> {
        let set = ApplySet::of(source(&parent).unwrap_or_default());
        let name = short_name(&parent);
        let inventory = Inventory::of(parent);
        let mut status = Status {
            name,
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
