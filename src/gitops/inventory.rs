//! The parent object of a source in the cluster: its members, its record and what is asked of it. Written by
//! compare-and-swap.

use k8s_openapi::api::core::v1::ConfigMap;
use kube::api::{Api, ListParams, ObjectMeta, PostParams};
use kube::{Client, ResourceExt};

use super::applyset::{ApplySet, GROUP_KINDS, ID, Members, NAMESPACE, NAMESPACES, SOURCE, TOOLING};
use super::error::Error;
use super::fieldset::MANAGER;
use super::lease::{FOLLOWED_BY, UNTOLD};
use super::record::{Controls, NAME, PINNED, Record};
use super::requests::answered;

/// How often a write of the parent is decided again after another writer came first.
const MAX_CONFLICTS: usize = 5;

/// The key of the record among the parent's data; those of members have dots.
const RECORD: &str = "record";

/// The parent as last seen in the cluster.
#[derive(Clone, Debug, Default)]
pub struct Inventory {
    parent: Option<ConfigMap>,
    /// What it owns.
    pub members: Members,
    /// What became of it.
    pub record: Record,
    /// What is asked of it.
    pub controls: Controls,
    /// What the next write makes of a pin, unless there is another by then.
    pub unpin: Option<Unpin>,
    /// The lease of whoever writes as the source's follower: what another follows by then is not written.
    pub claim: Option<String>,
}

/// A pin that is over.
#[derive(Clone, Debug)]
pub struct Unpin {
    /// The revision that was pinned.
    pub from: String,
    /// The one that was before, and is again.
    pub to: Option<String>,
}

impl Inventory {
    /// Reads the parent; an absent one is empty.
    ///
    /// # Errors
    /// Where the API server does not answer or refuses.
    pub async fn load(client: &Client, set: &ApplySet) -> Result<Self, Error> {
        let api: Api<ConfigMap> = Api::namespaced(client.clone(), NAMESPACE);
        let parent = answered(api.get_opt(&set.name))
            .await
            .map_err(|error| Error::api("reading what this source owns", error))?;
        Ok(parent.map(Self::of).unwrap_or_default())
    }

    /// What a parent says.
    pub fn of(parent: ConfigMap) -> Self {
        let data = parent.data.as_ref();
        let record = data.and_then(|data| data.get(RECORD)).map(|text| {
            serde_json::from_str(text).unwrap_or_else(|error| {
                tracing::warn!(%error, parent = parent.name_any(), "its record cannot be read and begins anew");
                Record::default()
            })
        });
        Self {
            members: data.map(Members::from_data).unwrap_or_default(),
            record: record.unwrap_or_default(),
            controls: Controls::of(parent.annotations()),
            parent: Some(parent),
            unpin: None,
            claim: None,
        }
    }

    /// The lease of the source's follower, as the parent says.
    pub fn followed_by(&self) -> Option<&str> {
        self.parent.as_ref().and_then(followed_by)
    }

    /// Says in the parent who follows the source, if it is as it was read; whether it was.
    ///
    /// # Errors
    /// Where the API server does not answer or refuses.
    pub async fn follow(&mut self, client: &Client, set: &ApplySet, lease: &str) -> Result<bool, Error> {
        let mut wanted = parent(set, &self.members, &self.record, self.parent.as_ref());
        wanted
            .annotations_mut()
            .insert(FOLLOWED_BY.to_owned(), lease.to_owned());
        self.swap(client, set, &wanted, Some(lease)).await
    }

    /// Says in the parent that this follower does not follow any more, where it says that it does.
    ///
    /// # Errors
    /// Where the API server does not answer or refuses.
    pub async fn unfollow(&mut self, client: &Client, set: &ApplySet) -> Result<(), Error> {
        for _ in 0..MAX_CONFLICTS {
            let Some(parent) = self
                .parent
                .as_ref()
                .filter(|_| self.followed_by() == self.claim.as_deref())
            else {
                return Ok(());
            };
            let mut wanted = parent.clone();
            wanted.annotations_mut().remove(FOLLOWED_BY);
            let claim = self.claim.clone();
            if self.swap(client, set, &wanted, None).await? {
                return Ok(());
            }
            *self = Self::load(client, set).await?;
            self.claim = claim;
        }
        Ok(())
    }

    /// Writes the parent if it is as it was read; whether it was.
    async fn swap(
        &mut self,
        client: &Client,
        set: &ApplySet,
        wanted: &ConfigMap,
        claim: Option<&str>,
    ) -> Result<bool, Error> {
        let api: Api<ConfigMap> = Api::namespaced(client.clone(), NAMESPACE);
        let written = match &self.parent {
            None => answered(api.create(&params(), wanted)).await,
            Some(_) => answered(api.replace(&set.name, &params(), wanted)).await,
        };
        match written {
            Ok(parent) => {
                *self = Self::of(parent);
                self.claim = claim.map(str::to_owned);
                Ok(true)
            }
            Err(kube::Error::Api(status)) if matches!(status.code, 404 | 409) => Ok(false),
            Err(error) => Err(Error::api("recording who follows this source", error)),
        }
    }

    /// The parents of all sources in a cluster.
    ///
    /// # Errors
    /// As the API server says.
    pub async fn parents(client: &Client) -> Result<Vec<ConfigMap>, kube::Error> {
        let api: Api<ConfigMap> = Api::namespaced(client.clone(), NAMESPACE);
        let parents = answered(api.list(&ListParams::default().labels(ID))).await?;
        let is_ours = |parent: &ConfigMap| {
            let tooling = parent.annotations().get(TOOLING);
            tooling.is_some_and(|tooling| tooling.starts_with("reconcile/"))
        };
        Ok(parents.items.into_iter().filter(is_ours).collect())
    }

    /// A mark of the parent as it was read; another after any write of it.
    pub fn version(&self) -> Option<String> {
        self.parent.as_ref().and_then(ConfigMap::resource_version)
    }

    /// Writes the parent if it says anything else, by compare-and-swap.
    ///
    /// # Errors
    /// Where the API server does not answer or refuses.
    pub async fn store(
        &mut self,
        client: &Client,
        set: &ApplySet,
        members: &Members,
        record: &Record,
    ) -> Result<(), Error> {
        let api: Api<ConfigMap> = Api::namespaced(client.clone(), NAMESPACE);
        let failed = |error| Error::api("recording what this source owns", error);
        let params = params();
        for _ in 0..MAX_CONFLICTS {
            let mut wanted = parent(set, members, record, self.parent.as_ref());
            if let Some(claim) = &self.claim {
                let other = self.followed_by().filter(|other| ![claim, UNTOLD].contains(other));
                if let Some(other) = other {
                    let reason = format!("another reconciler follows this source by now (Lease {NAMESPACE}/{other})");
                    return Err(Error::Source(reason));
                }
                wanted.annotations_mut().insert(FOLLOWED_BY.to_owned(), claim.clone());
            }
            if let Some(Unpin { from, to }) = &self.unpin
                && wanted.annotations().get(PINNED) == Some(from)
            {
                match to {
                    Some(to) => wanted.annotations_mut().insert(PINNED.to_owned(), to.clone()),
                    None => wanted.annotations_mut().remove(PINNED),
                };
            }
            if self.parent.as_ref() == Some(&wanted) {
                return Ok(());
            }
            let written = match &self.parent {
                None => answered(api.create(&params, &wanted)).await,
                Some(_) => answered(api.replace(&set.name, &params, &wanted)).await,
            };
            match written {
                Ok(parent) => {
                    let claim = self.claim.take();
                    *self = Self::of(parent);
                    self.claim = claim;
                    return Ok(());
                }
                // Another writer, or somebody deleted it: look again.
                Err(kube::Error::Api(status))
                    if status.code == 409 || (status.code == 404 && self.parent.is_some()) =>
                {
                    let (unpin, claim) = (self.unpin.take(), self.claim.take());
                    let parent = answered(api.get_opt(&set.name)).await.map_err(failed)?;
                    *self = parent.map(Self::of).unwrap_or_default();
                    (self.unpin, self.claim) = (unpin, claim);
                }
                Err(error) => return Err(failed(error)),
            }
        }
        Err(Error::Source(format!(
            "ConfigMap {NAMESPACE}/{} is being written by somebody else; are two reconcilers following this source?",
            set.name
        )))
    }
}

fn params() -> PostParams {
    PostParams {
        field_manager: Some(MANAGER.to_owned()),
        ..PostParams::default()
    }
}

/// The lease of whoever follows the source of that parent, as it says.
pub(super) fn followed_by(parent: &ConfigMap) -> Option<&str> {
    let claim = parent.annotations().get(FOLLOWED_BY).map(String::as_str);
    claim.filter(|claim| !claim.is_empty())
}

fn parent(set: &ApplySet, members: &Members, record: &Record, old: Option<&ConfigMap>) -> ConfigMap {
    let mut parent = old.cloned().unwrap_or_else(|| ConfigMap {
        metadata: ObjectMeta {
            name: Some(set.name.clone()),
            namespace: Some(NAMESPACE.to_owned()),
            ..ObjectMeta::default()
        },
        ..ConfigMap::default()
    });
    parent.labels_mut().insert(ID.to_owned(), set.id.clone());
    let annotations = parent.annotations_mut();
    for (key, value) in [
        (TOOLING, concat!("reconcile/v", env!("CARGO_PKG_VERSION")).to_owned()),
        (GROUP_KINDS, members.group_kinds()),
        (NAMESPACES, members.namespaces()),
        (SOURCE, set.source.clone()),
        (NAME, set.short_name().to_owned()),
    ] {
        annotations.insert(key.to_owned(), value);
    }
    let mut data = members.to_data();
    if *record != Record::default() {
        let text = serde_json::to_string(record).expect("a record is plain data");
        data.insert(RECORD.to_owned(), text);
    }
    parent.data = Some(data).filter(|data| !data.is_empty());
    parent
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gitops::report::ObjectKey;

    #[test]
    fn the_parent_follows_the_convention() {
        let set = ApplySet::of("/srv/apps");
        let mut members = Members::default();
        let key = |group: &str, kind: &str, namespace: Option<&str>| ObjectKey {
            group: group.into(),
            kind: kind.into(),
            namespace: namespace.map(str::to_owned),
            name: "n".into(),
        };
        members.insert("v1", &key("", "Pod", Some("shop")), "web.yaml");
        members.insert("v1", &key("", "Namespace", None), "");
        let lease = key("coordination.k8s.io", "Lease", Some("kube-system"));
        members.insert("coordination.k8s.io/v1", &lease, "");
        let record = Record {
            source: "directory /srv/apps".into(),
            ..Record::default()
        };
        let parent = parent(&set, &members, &record, None);
        assert_eq!(
            parent.annotations()[GROUP_KINDS],
            "Lease.coordination.k8s.io,Namespace,Pod"
        );
        assert_eq!(parent.annotations()[NAMESPACES], "shop");
        assert!(
            set.id.starts_with("applyset-") && set.id.ends_with("-v1") && set.id.len() <= 63,
            "{}",
            set.id
        );
        assert_eq!(parent.labels()[ID], set.id);
        assert_eq!(parent.annotations()[NAME], "apps");
        let read = Inventory::of(parent);
        assert_eq!((read.members, read.record), (members, record));
        assert_ne!(ApplySet::of("/srv/apps/other").id, set.id);
    }

    #[tokio::test]
    async fn a_write_that_was_done_already_is_not_done_again_and_its_result_is_known() {
        let set = ApplySet::of("/srv/apps");
        let members = Members::default();
        let record = |source: &str| Record {
            source: source.into(),
            ..Record::default()
        };
        let mut inventory = Inventory::of(parent(&set, &members, &record("before"), None));
        // As after a request that was given up and carried out all the same.
        let done = parent(&set, &members, &record("after"), None);
        let service = tower::service_fn(move |request: http::Request<kube::client::Body>| {
            let (status, body) = match *request.method() {
                http::Method::GET => (200, serde_json::to_vec(&done)),
                _ => (
                    409,
                    serde_json::to_vec(&kube::core::Status::failure("changed", "Conflict").with_code(409)),
                ),
            };
            let answer = http::Response::builder()
                .status(status)
                .header("content-type", "application/json")
                .body(kube::client::Body::from(body.expect("JSON")));
            std::future::ready(answer.map_err(std::io::Error::other))
        });
        let client = Client::new(service, "default");
        inventory
            .store(&client, &set, &members, &record("after"))
            .await
            .expect("it is as wanted");
        assert_eq!(inventory.record, record("after"));
    }
}
