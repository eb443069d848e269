//! What people ask of a source: annotations of its parent, which wake whoever follows it.

use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::ConfigMap;
use kube::ResourceExt as _;
use kube::api::{Patch, PatchParams};
use serde::Serialize;
use serde_json::{Value, json};
use tokio::time::{Instant, sleep};

use super::{MANAGER, Sources, Status, read, short_name};
use crate::gitops::applyset::NAMESPACE;
use crate::gitops::budget::Approval;
use crate::gitops::error::Error;
use crate::gitops::inventory::{self, Inventory};
use crate::gitops::lease::{self, FollowedBy};
use crate::gitops::record::{APPROVED, PINNED, REQUESTED, RESUMED, SUSPENDED};

/// Between looks at whether a request was answered.
const POLL: Duration = Duration::from_millis(100);

/// Between looks at whether anybody is there to answer.
const FOLLOWER_POLL: Duration = Duration::from_secs(2);

/// Between looks at the health of all objects.
const HEALTH_POLL: Duration = Duration::from_millis(300);

/// A wish that was written down.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Asked {
    /// What people call the source.
    pub name: String,
    /// Who will see it.
    pub followed_by: FollowedBy,
}

impl Sources {
    /// Stops the syncs of a source, or lets them go on, where it was rolled back with what the source is at.
    ///
    /// # Errors
    /// Where the API server does not answer, or there is not exactly one such source.
    pub async fn suspend(&self, name: Option<&str>, suspended: bool) -> Result<Asked, Error> {
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
        self.asked(&parent).await
    }

    /// Agrees to the deletions that wait now, and to no others.
    ///
    /// # Errors
    /// Where nothing waits, the API server does not answer, or there is not exactly one such source.
    pub async fn approve(&self, name: Option<&str>) -> Result<(Asked, Approval), Error> {
        let parent = self.find(name).await?;
        let name = short_name(&parent);
        let inventory = Inventory::of(parent.clone());
        let Some(approval) = inventory.record.approval else {
            return Err(Error::Config(format!("nothing of {name} waits for approval")));
        };
        self.annotate(&parent, &json!({APPROVED: approval.token})).await?;
        Ok((self.asked(&parent).await?, approval))
    }

    /// Asks for a sync now and waits until it is done, or has failed.
    ///
    /// # Errors
    /// Where nobody follows it or answers in time, the source is suspended, the API server does not answer, or there is
    /// not exactly one such source.
    pub async fn sync(&self, name: Option<&str>, timeout: Duration) -> Result<Status, Error> {
        self.request(name, json!({}), timeout).await
    }

    /// Waits until everything that a source owns is healthy, or cannot become so, at most until the deadline. `waiting` is
    /// shown what it waits for.
    ///
    /// # Errors
    /// Where the API server does not answer, or the source was forgotten meanwhile.
    pub async fn healthy(
        &self,
        mut status: Status,
        deadline: Instant,
        waiting: impl Fn(&Status),
    ) -> Result<Status, Error> {
        loop {
            let is_over = status.is_healthy() || status.unhealthy.iter().any(|one| one.failed);
            if is_over || !status.is_applied() || Instant::now() >= deadline {
                return Ok(status);
            }
            waiting(&status);
            sleep(HEALTH_POLL).await;
            let parent = self.api.get(&status.parent).await.map_err(read)?;
            let followed_by = status.followed_by;
            status = self.status(parent).await?;
            status.followed_by = followed_by;
        }
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
        let Asked { name, followed_by } = self.asked(&parent).await?;
        let inventory = Inventory::of(parent.clone());
        if inventory.controls.suspended || inventory.record.suspended {
            return Err(match inventory.controls.suspended {
                true => Error::Suspended(name),
                false => Error::SuspendedBySpec(name),
            });
        }
        if followed_by.is_nobody() {
            return Err(Error::NotFollowed(name));
        }
        let request = Timestamp::now().to_string();
        annotations[REQUESTED] = request.as_str().into();
        self.annotate(&parent, &annotations).await?;
        let deadline = Instant::now() + timeout;
        let mut look = Instant::now() + FOLLOWER_POLL;
        loop {
            let parent = self.api.get(&parent.name_any()).await.map_err(read)?;
            let record = Inventory::of(parent.clone()).record;
            if record.answered.as_ref() == Some(&request) {
                return match record.closed {
                    Some(closed) => Err(Error::Closed { name, closed }),
                    None => {
                        let status = self.status(parent).await?;
                        Ok(Status { followed_by, ..status })
                    }
                };
            }
            // Whoever followed it may have ended without a word.
            if Instant::now() >= look {
                if self.asked(&parent).await?.followed_by.is_nobody() {
                    return Err(Error::NotFollowed(name));
                }
                look = Instant::now() + FOLLOWER_POLL;
            }
            if Instant::now() >= deadline {
                return Err(Error::Source(format!(
                    "{name} was not synced within {} s; is the reconciler that follows it still running?",
                    timeout.as_secs()
                )));
            }
            sleep(POLL).await;
        }
    }

    /// Which source it is, and who will see what is asked of it.
    pub(super) async fn asked(&self, parent: &ConfigMap) -> Result<Asked, Error> {
        let claim = inventory::followed_by(parent);
        Ok(Asked {
            name: short_name(parent),
            followed_by: lease::followed_by(&self.client, claim, Timestamp::now()).await?,
        })
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
}
