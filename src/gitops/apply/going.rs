//! What goes: objects that are replaced, and those that left the source.

use std::time::Duration;

use serde_json::{Value, json};
use tokio::time::{Instant, sleep};

use super::images::Images;
use super::{Applier, Done, GOING, GONE_POLL, MOMENT, Patience};
use crate::gitops::applyset::PART_OF;
use crate::gitops::fail_point;
use crate::gitops::health::is_going;
use crate::gitops::plan::{PRUNE, Step};

/// How long a replaced object may take to go, beyond its own grace period.
const GONE_TIMEOUT: Duration = Duration::from_secs(30);

/// Grace that API servers give pods which ask for none themselves.
const DEFAULT_GRACE: Duration = Duration::from_secs(30);

/// How often a delete is decided again because the object changed meanwhile (a pod's status does so all the time).
const MAX_CONFLICTS: usize = 10;

impl Applier<'_> {
    /// Deletes this very object, waits until it is gone and creates the new one. The manifest was found valid before.
    pub(super) async fn replace(&self, step: &Step, manifest: &Value, live: &Value) -> Result<Done, kube::Error> {
        if !is_going(live) {
            match self.images(step, manifest, live).await? {
                Images::Present => {}
                Images::Awaited(lacks) => return Ok(Done::Pending(lacks)),
                Images::Failed(reason) => {
                    let reason = format!("its images are not there, and the old one stays: {reason}");
                    return Ok(Done::Failed(reason));
                }
            }
            fail_point::pass("before a replacement");
            self.tell_to_go(step, live).await?;
            fail_point::pass("within a replacement");
        }
        match self.wait_gone(step, live).await? {
            true => self.write(step, manifest).await,
            false => Ok(Done::Pending(GOING.to_owned())),
        }
    }

    /// Deletes this very object, whatever state it is in by now.
    async fn tell_to_go(&self, step: &Step, live: &Value) -> Result<(), kube::Error> {
        let mut tries = 1;
        loop {
            match self.requests.delete(&step.resource, live, false).await {
                Ok(()) => return Ok(()),
                Err(kube::Error::Api(status)) if status.code == 404 => return Ok(()),
                Err(kube::Error::Api(status)) if status.code == 409 && tries < MAX_CONFLICTS => {
                    tries += 1;
                    let namespace = step.key.namespace.as_deref();
                    let now = self.requests.get(&step.resource, namespace, &step.key.name).await?;
                    // Gone and made again by another hand: the apply that follows decides.
                    if now.is_none_or(|now| now["metadata"]["uid"] != live["metadata"]["uid"]) {
                        return Ok(());
                    }
                }
                Err(error) => return Err(error),
            }
        }
    }

    /// Whether it went.
    async fn wait_gone(&self, step: &Step, live: &Value) -> Result<bool, kube::Error> {
        let seconds = live["metadata"]["deletionGracePeriodSeconds"]
            .as_u64()
            .or_else(|| live["spec"]["terminationGracePeriodSeconds"].as_u64());
        let grace = seconds.map_or(DEFAULT_GRACE, Duration::from_secs);
        let limit = match self.patience {
            Patience::Moment => MOMENT,
            Patience::Until(_) => grace + GONE_TIMEOUT,
        };
        let deadline = Instant::now() + limit;
        let mut pause = GONE_POLL.0;
        loop {
            let now = self
                .requests
                .get(&step.resource, step.key.namespace.as_deref(), &step.key.name)
                .await?;
            if now.is_none_or(|now| now["metadata"]["uid"] != live["metadata"]["uid"]) {
                return Ok(true);
            }
            if Instant::now() >= deadline {
                if self.patience == Patience::Moment {
                    return Ok(false);
                }
                let message = format!("it was told to go and is still there after {} s", limit.as_secs());
                return Err(kube::Error::Api(
                    kube::core::Status::failure(&message, "Timeout").with_code(504).boxed(),
                ));
            }
            sleep(pause).await;
            pause = (pause * 2).min(GONE_POLL.1);
        }
    }

    /// Deletes an object only in the state in which it was found to be ours and unprotected.
    pub(super) async fn delete(&self, step: &Step, live: &Value) -> Result<Done, kube::Error> {
        let mut current = live.clone();
        fail_point::pass("before a deletion");
        for _ in 0..MAX_CONFLICTS {
            match self.requests.delete(&step.resource, &current, true).await {
                Ok(()) => {
                    fail_point::pass("after a deletion");
                    return Ok(Done::Deleted);
                }
                Err(kube::Error::Api(status)) if status.code == 404 => return Ok(Done::Deleted),
                Err(kube::Error::Api(status)) if status.code == 409 => {
                    let namespace = step.key.namespace.as_deref();
                    match self.requests.get(&step.resource, namespace, &step.key.name).await? {
                        Some(now) if now["metadata"]["uid"] == live["metadata"]["uid"] => current = now,
                        _ => return Ok(Done::Deleted),
                    }
                    if let Some(reason) = self.spared(&current) {
                        return Ok(Done::Spared(reason));
                    }
                }
                Err(error) => return Err(error),
            }
        }
        Ok(Done::Spared("it changes all the time; trying again later".into()))
    }

    fn spared(&self, object: &Value) -> Option<String> {
        let metadata = &object["metadata"];
        if metadata["labels"][PART_OF] != json!(self.set.id) {
            return Some("it was released from this source meanwhile".into());
        }
        (metadata["annotations"][PRUNE] == "disabled").then(|| format!("its annotation {PRUNE} says disabled"))
    }
}
