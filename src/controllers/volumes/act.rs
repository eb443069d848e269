//! Carries out what was decided. Writes only over what it was decided on; what has changed meanwhile is left to the
//! next decision.

use k8s_openapi::api::core::v1::{ObjectReference, PersistentVolume, PersistentVolumeClaim, Pod};
use kube::api::{DeleteParams, ListParams, PostParams, Preconditions};
use kube::{Api, Client};

use super::binding::{self, Write};
use super::claims::Notice;
use super::decide::{Action, Condition, reference};
use super::world::{Key, PodUse};
use crate::controllers::event;

/// A volume, its status, a claim, its status: a binding takes no more writes than that.
const MOST_WRITES: usize = 4;

/// What an object is like once it is written.
enum Written {
    Volume(Box<PersistentVolume>),
    Claim(Box<PersistentVolumeClaim>),
}

/// Does it. What turned out to be gone, or to have changed, is left as it is.
///
/// # Errors
/// Where the API fails or refuses.
pub(super) async fn carry_out(client: &Client, action: Action) -> Result<(), kube::Error> {
    let result = match action {
        Action::Bind { volume, claim } => bind(client, volume, claim).await,
        Action::Write { write, notice, only_if } => write_if(client, write, notice, only_if).await,
        Action::Make(claim) => make(client, &claim).await,
        Action::Delete { claim, pod } => delete(client, &claim, &pod).await,
        Action::Tell { about, notice, .. } => {
            tell(client, *about, notice).await;
            Ok(())
        }
    };
    match result {
        Err(kube::Error::Api(status)) if status.is_not_found() || status.is_conflict() => Ok(()),
        other => other,
    }
}

async fn bind(
    client: &Client,
    mut volume: Box<PersistentVolume>,
    mut claim: Box<PersistentVolumeClaim>,
) -> Result<(), kube::Error> {
    for _ in 0..MOST_WRITES {
        let Some(write) = binding::next(&volume, &claim) else {
            break;
        };
        match put(client, &write).await? {
            Written::Volume(now) => volume = now,
            Written::Claim(now) => claim = now,
        }
    }
    Ok(())
}

async fn write_if(
    client: &Client,
    write: Write,
    notice: Option<Notice>,
    only_if: Condition,
) -> Result<(), kube::Error> {
    if !holds(client, only_if).await? {
        return Ok(());
    }
    let about = match put(client, &write).await? {
        Written::Volume(volume) => reference(&volume.metadata, "PersistentVolume"),
        Written::Claim(claim) => reference(&claim.metadata, "PersistentVolumeClaim"),
    };
    if let Some(notice) = notice {
        tell(client, about, notice).await;
    }
    Ok(())
}

/// Watches lag behind: what is taken for not being there is asked for once more.
async fn holds(client: &Client, condition: Condition) -> Result<bool, kube::Error> {
    match condition {
        Condition::Unchanged => Ok(true),
        Condition::NoClaim(key, uid) => {
            let found = claims(client, &key.0).get_opt(&key.1).await?;
            Ok(found.is_none_or(|claim| claim.metadata.uid != Some(uid)))
        }
        Condition::NoVolume(name) => Ok(volumes(client).get_opt(&name).await?.is_none()),
        Condition::Unused(claim) => {
            let pods: Api<Pod> = Api::namespaced(client.clone(), &claim.0);
            let pods = pods.list(&ListParams::default()).await?;
            let mut uses = pods.items.iter().filter_map(PodUse::read);
            Ok(!uses.any(|pod| pod.holds(&claim)))
        }
    }
}

async fn put(client: &Client, write: &Write) -> Result<Written, kube::Error> {
    let how = PostParams::default();
    let written = match write {
        Write::Volume(volume) => {
            let name = volume.metadata.name.as_deref().unwrap_or_default();
            Written::Volume(Box::new(volumes(client).replace(name, &how, volume).await?))
        }
        Write::VolumeStatus(volume) => {
            let name = volume.metadata.name.as_deref().unwrap_or_default();
            Written::Volume(Box::new(volumes(client).replace_status(name, &how, volume).await?))
        }
        Write::Claim(claim) => {
            let (api, name) = claim_api(client, claim);
            Written::Claim(Box::new(api.replace(name, &how, claim).await?))
        }
        Write::ClaimStatus(claim) => {
            let (api, name) = claim_api(client, claim);
            Written::Claim(Box::new(api.replace_status(name, &how, claim).await?))
        }
    };
    Ok(written)
}

/// One of that name that came meanwhile is looked at in the next decision.
async fn make(client: &Client, claim: &PersistentVolumeClaim) -> Result<(), kube::Error> {
    let (api, _) = claim_api(client, claim);
    api.create(&PostParams::default(), claim).await.map(drop)
}

async fn delete(client: &Client, claim: &PersistentVolumeClaim, pod: &(Key, String)) -> Result<(), kube::Error> {
    let ((namespace, name), uid) = pod;
    let pods: Api<Pod> = Api::namespaced(client.clone(), namespace);
    let found = pods.get_opt(name).await?;
    if found.is_some_and(|pod| pod.metadata.uid.as_ref() == Some(uid)) {
        return Ok(());
    }
    let parameters = DeleteParams::default().preconditions(Preconditions {
        uid: claim.metadata.uid.clone(),
        resource_version: None,
    });
    let (api, name) = claim_api(client, claim);
    api.delete(name, &parameters).await.map(drop)
}

async fn tell(client: &Client, about: ObjectReference, notice: Notice) {
    let told = event::Event {
        component: "persistentvolume-controller",
        severity: if notice.warning { event::WARNING } else { event::NORMAL },
        reason: notice.reason,
        message: notice.message,
    };
    event::tell(client, about, told).await;
}

fn volumes(client: &Client) -> Api<PersistentVolume> {
    Api::all(client.clone())
}

fn claims(client: &Client, namespace: &str) -> Api<PersistentVolumeClaim> {
    Api::namespaced(client.clone(), namespace)
}

fn claim_api<'a>(client: &Client, claim: &'a PersistentVolumeClaim) -> (Api<PersistentVolumeClaim>, &'a str) {
    let namespace = claim.metadata.namespace.as_deref().unwrap_or_default();
    let name = claim.metadata.name.as_deref().unwrap_or_default();
    (claims(client, namespace), name)
}
