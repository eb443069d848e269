//! `Source` objects that nobody can follow, and why: there is no parent that would tell.

use std::collections::BTreeMap;

use k8s_openapi::Resource as _;
use kube::api::{Api, ListParams};
use kube::{Client, ResourceExt as _};

use super::Status;
use crate::gitops::error::Error;
use crate::gitops::lease::FollowedBy;
use crate::gitops::record::Record;
use crate::gitops::requests::answered;
use crate::object::source::Source;

/// All `Source` objects by name, as sources of which nothing is known but what their conditions say. None where the
/// cluster has no such kind, or shows none to us.
pub(super) async fn objects(client: &Client) -> Result<BTreeMap<String, Status>, Error> {
    let api: Api<Source> = Api::all(client.clone());
    match answered(api.list(&ListParams::default())).await {
        Ok(list) => Ok(list
            .items
            .into_iter()
            .map(|object| (object.name_any(), of(&object)))
            .collect()),
        Err(kube::Error::Api(status)) if matches!(status.code, 403 | 404) => Ok(BTreeMap::new()),
        Err(error) => Err(Error::api(format!("listing {} objects", Source::KIND), error)),
    }
}

fn of(object: &Source) -> Status {
    let conditions = object
        .status
        .iter()
        .flat_map(|status| status.conditions.iter().flatten());
    let refused = conditions
        .filter(|condition| condition.type_ == "Ready" && condition.status == "False")
        .find(|condition| matches!(condition.reason.as_str(), "InvalidSpec" | "Failed"));
    Status {
        name: object.name_any(),
        followed_by: FollowedBy::Nobody,
        obstacle: refused.map(|condition| format!("{}: {}", condition.reason, condition.message)),
        suspended: object.spec.suspend.unwrap_or(false),
        requested: false,
        objects: 0,
        healthy: 0,
        unhealthy: Vec::new(),
        record: Record {
            source: object.spec.source.clone(),
            ..Record::default()
        },
        parent: String::new(),
    }
}
