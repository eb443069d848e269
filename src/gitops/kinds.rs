//! Which kinds the target cluster serves, asked of the cluster itself. Only the API groups that are named are asked for.

use std::collections::{BTreeMap, BTreeSet};

use kube::Client;
use kube::core::ApiResource;
use serde_json::Value;

use super::error::Error;
use super::report::ObjectKey;
use super::requests::answered;
use crate::client::Told;

/// A kind as the API serves it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Resource {
    /// Names and group, as `kube` wants them.
    pub api: ApiResource,
    /// e.g. `pod`, as `kubectl` shows it.
    pub singular: String,
    /// Whether objects live in a namespace.
    pub namespaced: bool,
}

impl Resource {
    /// `pod/web`, `lease.coordination.k8s.io/x`.
    pub fn name_of(&self, name: &str) -> String {
        match self.api.group.as_str() {
            "" => format!("{}/{name}", self.singular),
            group => format!("{}.{group}/{name}", self.singular),
        }
    }

    /// Which object of this kind that is.
    pub fn key_of(&self, object: &Value) -> ObjectKey {
        ObjectKey {
            group: self.api.group.clone(),
            kind: self.api.kind.clone(),
            namespace: object["metadata"]["namespace"].as_str().map(str::to_owned),
            name: object["metadata"]["name"].as_str().unwrap_or_default().to_owned(),
        }
    }
}

/// What is served of the `apiVersion`s that were asked for.
#[derive(Clone, Debug, Default)]
pub struct Kinds {
    /// By `apiVersion`; an error where the group could not be asked.
    versions: BTreeMap<String, Result<Vec<Resource>, String>>,
    /// What the cluster serves at all, for the message about what it does not serve.
    served: Vec<String>,
}

impl Kinds {
    /// Asks the cluster for these `apiVersion`s.
    ///
    /// # Errors
    /// Where the cluster does not answer at all.
    pub async fn discover(client: &Client, api_versions: &BTreeSet<String>) -> Result<Self, Error> {
        let mut kinds = Self::default();
        let mut missing = false;
        for api_version in api_versions {
            let found = match ask(client, api_version).await {
                Ok(found) => Ok(found),
                Err(kube::Error::Api(status)) if status.code == 404 => {
                    missing = true;
                    continue;
                }
                Err(error @ kube::Error::Api(_)) => Err(Told(&error).to_string()),
                Err(error) => return Err(Error::api("asking the API server which kinds it serves", error)),
            };
            kinds.versions.insert(api_version.clone(), found);
        }
        if missing {
            kinds.served = served(client).await?;
        }
        Ok(kinds)
    }

    /// Asks the cluster for everything that it serves.
    ///
    /// # Errors
    /// Where the cluster does not answer.
    pub async fn everything(client: &Client) -> Result<Self, Error> {
        let all = versions(client).await?.into_iter().flatten().collect();
        Self::discover(client, &all).await
    }

    /// What could not be asked, with the reason.
    pub fn unknown(&self) -> Option<(&str, &str)> {
        self.versions.iter().find_map(|(version, found)| match found {
            Ok(_) => None,
            Err(reason) => Some((version.as_str(), reason.as_str())),
        })
    }

    /// The resource of that kind, or why there is none.
    ///
    /// # Errors
    /// What is wrong, for a person: the version is not served, or has no such kind, or could not be asked.
    pub fn find(&self, api_version: &str, kind: &str) -> Result<&Resource, String> {
        match self.versions.get(api_version) {
            Some(Ok(resources)) => resources
                .iter()
                .find(|resource| resource.api.kind == kind)
                .ok_or_else(|| format!("{api_version} has no kind {kind}; it has {}", names(resources))),
            Some(Err(reason)) => Err(format!("the API server cannot say what {api_version} holds: {reason}")),
            None => Err(format!(
                "{api_version} is not served here; served are {}",
                self.served.join(", ")
            )),
        }
    }

    /// The kinds in namespaces, as far as they were asked for.
    pub fn namespaced(&self) -> impl Iterator<Item = &Resource> {
        self.versions
            .values()
            .filter_map(|found| found.as_ref().ok())
            .flatten()
            .filter(|resource| resource.namespaced)
    }

    /// A cluster with a handful of core kinds.
    #[cfg(test)]
    pub(crate) fn for_tests() -> Self {
        let resource = |kind: &str, namespaced| Resource {
            api: ApiResource {
                group: String::new(),
                version: "v1".into(),
                api_version: "v1".into(),
                kind: kind.into(),
                plural: format!("{}s", kind.to_lowercase()),
            },
            singular: kind.to_lowercase(),
            namespaced,
        };
        let resources = vec![
            resource("Pod", true),
            resource("ConfigMap", true),
            resource("Secret", true),
            resource("Namespace", false),
        ];
        let served = vec![format!("v1 ({})", names(&resources))];
        Self {
            versions: BTreeMap::from([("v1".to_owned(), Ok(resources))]),
            served,
        }
    }
}

fn names(resources: &[Resource]) -> String {
    let mut names: Vec<&str> = resources.iter().map(|resource| resource.api.kind.as_str()).collect();
    names.sort_unstable();
    names.join(", ")
}

async fn ask(client: &Client, api_version: &str) -> Result<Vec<Resource>, kube::Error> {
    let (group, version) = api_version.split_once('/').unwrap_or(("", api_version));
    let list = match group {
        "" => answered(client.list_core_api_resources(version)).await?,
        _ => answered(client.list_api_group_resources(api_version)).await?,
    };
    Ok(list
        .resources
        .into_iter()
        // Subresources have a slash; what cannot be listed and patched cannot be kept like a manifest.
        .filter(|resource| !resource.name.contains('/') && resource.verbs.iter().any(|verb| verb == "patch"))
        .map(|resource| Resource {
            api: ApiResource {
                group: group.to_owned(),
                version: version.to_owned(),
                api_version: api_version.to_owned(),
                kind: resource.kind.clone(),
                plural: resource.name,
            },
            singular: match resource.singular_name.as_str() {
                "" => resource.kind.to_lowercase(),
                singular => singular.to_owned(),
            },
            namespaced: resource.namespaced,
        })
        .collect())
}

/// The versions of each group, the preferred one first.
async fn versions(client: &Client) -> Result<Vec<Vec<String>>, Error> {
    let failed = |error| Error::api("asking the API server which groups it serves", error);
    let core = answered(client.list_core_api_versions())
        .await
        .map_err(failed)?
        .versions;
    let groups = answered(client.list_api_groups()).await.map_err(failed)?.groups;
    let groups = groups.into_iter().map(|group| {
        let preferred = group.preferred_version.map(|version| version.group_version);
        let all = group.versions.into_iter().map(|version| version.group_version);
        let others = all.filter(|version| preferred.as_ref() != Some(version));
        preferred.iter().cloned().chain(others.collect::<Vec<_>>()).collect()
    });
    Ok(core.into_iter().map(|version| vec![version]).chain(groups).collect())
}

/// Every version served, with its kinds. A group that does not answer is named without them.
async fn served(client: &Client) -> Result<Vec<String>, Error> {
    let mut served = Vec::new();
    for version in versions(client)
        .await?
        .into_iter()
        .filter_map(|group| group.into_iter().next())
    {
        served.push(match ask(client, &version).await {
            Ok(resources) => format!("{version} ({})", names(&resources)),
            Err(_) => version,
        });
    }
    Ok(served)
}
