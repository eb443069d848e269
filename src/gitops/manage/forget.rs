//! Forgetting a source that nobody follows: its books go, what it made stays.

use kube::ResourceExt as _;
use kube::api::{DeleteParams, Preconditions};
use serde::Serialize;
use serde_json::{Value, json};

use super::{Sources, source};
use crate::gitops::applyset::{ApplySet, NAMESPACE, PART_OF};
use crate::gitops::error::Error;
use crate::gitops::inventory::Inventory;
use crate::gitops::kinds::{Kinds, Resource};
use crate::gitops::lease::FollowedBy;
use crate::gitops::report::ObjectKey;
use crate::gitops::requests::{Requests, is_absent};

/// How often an object that others change meanwhile is looked at again.
const MAX_CONFLICTS: usize = 5;

/// What forgetting a source came to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Forgotten {
    /// What people called it.
    pub name: String,
    /// What it made and nobody owns now.
    pub stays: Vec<ObjectKey>,
}

impl Sources {
    /// Removes the mark of a source from its objects, and what is known of it; no object is deleted. Where that ends
    /// half way it can be asked for again.
    ///
    /// # Errors
    /// Where somebody follows it, or that cannot be told; where the API server does not answer or has not all kinds that
    /// it owns, or there is no such source.
    pub async fn forget(&self, name: &str) -> Result<Forgotten, Error> {
        let parent = self.find(Some(name)).await?;
        let asked = self.asked(&parent).await?;
        let name = asked.name;
        match asked.followed_by {
            FollowedBy::Nobody => {}
            FollowedBy::Process(holder) => {
                return Err(Error::Config(format!(
                    "{name} is followed by {holder}; stop that first, or delete its Source"
                )));
            }
            FollowedBy::Unknown => {
                return Err(Error::Config(format!(
                    "whether anybody follows {name} cannot be told without rights to Leases in {NAMESPACE}; \
                     where nobody does, delete the ConfigMap {NAMESPACE}/{}",
                    parent.name_any()
                )));
            }
        }
        let set = ApplySet::of(source(&parent).unwrap_or_default());
        let inventory = Inventory::of(parent.clone());
        let versions = inventory.members.kinds().map(|kind| kind.api_version.clone()).collect();
        let kinds = Kinds::discover(&self.client, &versions).await?;
        let requests = Requests::new(self.client.clone());
        let mut stays = Vec::new();
        for kind in inventory.members.kinds() {
            let resource = kinds.find(&kind.api_version, &kind.kind);
            let resource = resource.map_err(|reason| {
                let kind = &kind.kind;
                Error::Source(format!(
                    "objects of kind {kind} would keep the mark of {name}: {reason}"
                ))
            })?;
            let members = requests.members(resource, &set.id).await;
            let members = members.map_err(|error| Error::api(format!("listing {}", resource.api.plural), error))?;
            for member in members {
                if unmark(&requests, resource, &set, member.clone()).await? {
                    stays.push(resource.key_of(&member));
                }
            }
        }
        let delete = DeleteParams {
            preconditions: Some(Preconditions {
                uid: parent.uid(),
                resource_version: parent.resource_version(),
            }),
            ..DeleteParams::default()
        };
        let deleted = self.api.delete(&parent.name_any(), &delete).await;
        deleted.map_err(|error| Error::api(format!("deleting ConfigMap {NAMESPACE}/{}", parent.name_any()), error))?;
        stays.sort();
        Ok(Forgotten { name, stays })
    }
}

/// Takes the mark of the set from an object, where it still bears it; whether it is still there.
async fn unmark(requests: &Requests, resource: &Resource, set: &ApplySet, member: Value) -> Result<bool, Error> {
    let key = resource.key_of(&member);
    let failed = |error| Error::api(format!("writing {key}"), error);
    let mut live = Some(member);
    for _ in 0..MAX_CONFLICTS {
        let Some(object) = live else { return Ok(false) };
        if object["metadata"]["labels"][PART_OF] != set.id.as_str() {
            return Ok(false);
        }
        let metadata = &object["metadata"];
        let patch = json!({"metadata": {
            "uid": metadata["uid"],
            "resourceVersion": metadata["resourceVersion"],
            "labels": {PART_OF: null},
        }});
        let (namespace, name) = (key.namespace.as_deref(), &key.name);
        match requests.merge(resource, namespace, name, &patch).await {
            Ok(_) => return Ok(true),
            Err(kube::Error::Api(status)) if is_absent(&status) => return Ok(false),
            Err(kube::Error::Api(status)) if status.code == 409 => {
                live = requests.get(resource, namespace, name).await.map_err(failed)?;
            }
            Err(error) => return Err(failed(error)),
        }
    }
    Err(Error::Source(format!(
        "{key} is being changed by somebody else; try again"
    )))
}
