//! Says that this process is there and follows sources: one `Lease` a process, renewed while it follows any and removed
//! at an orderly end. Who follows which source is [`claim`]'s.

mod claim;

use std::sync::{Arc, Mutex as StdMutex, MutexGuard as StdGuard, PoisonError};
use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::coordination::v1::{Lease, LeaseSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{MicroTime, ObjectMeta};
use kube::Client;
use kube::api::{Api, PostParams};
use sha2::{Digest, Sha256};
use tokio::sync::Mutex;
use tokio::task::JoinHandle;
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;

use super::applyset::NAMESPACE;
use super::error::Error;
use super::fieldset::MANAGER;
use super::requests::answered;
use crate::client::Told;

pub use claim::FollowedBy;
pub(super) use claim::{FOLLOWED_BY, Rival, Sight, UNTOLD, followed_by, remove};

/// How long a lease holds without renewal. It is renewed three times as often, so that one renewal that fails loses
/// nothing.
const DURATION_SECONDS: i32 = 30;

/// Renewals in the time that a lease holds.
const RENEWALS: i32 = 3;

/// How long the removal of the lease may hold up the end.
const END_TIMEOUT: Duration = Duration::from_secs(1);

/// A process among those that follow sources of a cluster; clones are the same one.
#[derive(Clone, Debug)]
pub struct Presence(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    name: String,
    holder: String,
    members: StdMutex<Members>,
    state: Mutex<State>,
}

/// How many followers there are, and what keeps the lease for them.
#[derive(Debug, Default)]
struct Members {
    count: usize,
    keeper: Option<Keeper>,
}

#[derive(Debug)]
struct Keeper {
    stop: CancellationToken,
    task: JoinHandle<()>,
}

/// What is known of the lease.
#[derive(Debug, Default)]
struct State {
    /// Whether it was written.
    is_held: bool,
    /// Whether we have no right to.
    is_refused: bool,
    /// As last written, unless that may be outdated.
    last: Option<Lease>,
}

/// What a follower finds its process to have.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Held {
    /// The lease.
    Lease,
    /// No right to one; with the reason where nobody was told yet.
    Refused(Option<String>),
}

impl Presence {
    /// The process that people know by this, such as `HOST (DATA_DIR)`. The same words are the same one: it follows on at
    /// once what it followed before.
    pub fn new(holder: impl Into<String>) -> Self {
        let holder = holder.into();
        let hash = Sha256::digest(holder.as_bytes());
        Self(Arc::new(Inner {
            name: format!("reconcile-{}", hex::encode(&hash[..6])),
            holder,
            members: StdMutex::default(),
            state: Mutex::default(),
        }))
    }

    /// The lease's name.
    pub fn name(&self) -> &str {
        &self.0.name
    }

    /// One more follower; the lease is kept for as long as there is any.
    pub(super) fn join(&self, client: Client) -> Membership {
        let mut members = self.members();
        members.count += 1;
        members.keeper.get_or_insert_with(|| {
            let stop = CancellationToken::new();
            let task = tokio::spawn(self.clone().keep(client.clone(), stop.clone()));
            Keeper { stop, task }
        });
        drop(members);
        Membership {
            presence: self.clone(),
            api: Api::namespaced(client, NAMESPACE),
            is_left: false,
        }
    }

    fn members(&self) -> StdGuard<'_, Members> {
        self.0.members.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// One follower less; the end of what kept the lease, where it was the last.
    fn part(&self) -> Option<JoinHandle<()>> {
        let mut members = self.members();
        members.count = members.count.saturating_sub(1);
        let is_last = members.count == 0;
        let keeper = members.keeper.take_if(|_| is_last)?;
        keeper.stop.cancel();
        Some(keeper.task)
    }

    async fn keep(self, client: Client, stop: CancellationToken) {
        let api = Api::namespaced(client.clone(), NAMESPACE);
        let pause = Duration::from_secs((DURATION_SECONDS / RENEWALS).unsigned_abs().into());
        while stop.run_until_cancelled(sleep(pause)).await.is_some() {
            let mut state = self.0.state.lock().await;
            if !state.is_held {
                continue;
            }
            if let Err(error) = self.write(&api, &mut state).await {
                tracing::debug!(error = %Told(&error), lease = self.name(), "a lease was not renewed");
            }
        }
        let mut state = self.0.state.lock().await;
        // A follower that came meanwhile has it renewed.
        if self.members().count > 0 {
            return;
        }
        let State { is_held, last, .. } = std::mem::take(&mut *state);
        if is_held {
            self.remove(&client, last.as_ref()).await;
        }
    }

    /// Writes the lease as of now.
    async fn write(&self, api: &Api<Lease>, state: &mut State) -> Result<(), kube::Error> {
        let params = PostParams {
            field_manager: Some(MANAGER.to_owned()),
            ..PostParams::default()
        };
        // A write that fails leaves `last` empty, so that the next one reads first.
        let known = match state.last.take() {
            Some(known) => Some(known),
            None => answered(api.get_opt(self.name())).await?,
        };
        let spec = Some(self.spec());
        let written = match known {
            Some(known) => {
                let body = Lease { spec, ..known };
                answered(api.replace(self.name(), &params, &body)).await?
            }
            None => {
                let metadata = ObjectMeta {
                    name: Some(self.name().to_owned()),
                    namespace: Some(NAMESPACE.to_owned()),
                    ..ObjectMeta::default()
                };
                answered(api.create(&params, &Lease { metadata, spec })).await?
            }
        };
        state.last = Some(written);
        state.is_held = true;
        Ok(())
    }

    fn spec(&self) -> LeaseSpec {
        LeaseSpec {
            holder_identity: Some(self.0.holder.clone()),
            lease_duration_seconds: Some(DURATION_SECONDS),
            renew_time: Some(MicroTime(Timestamp::now())),
            ..LeaseSpec::default()
        }
    }

    /// Removes the lease unless somebody else wrote it meanwhile.
    async fn remove(&self, client: &Client, last: Option<&Lease>) {
        // Where the last renewal failed, nobody knows what is there.
        let Some(last) = last else { return };
        match timeout(END_TIMEOUT, claim::remove(client, last)).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => tracing::debug!(error = %Told(&error), "a lease was not removed and expires"),
            Err(_) => tracing::debug!("a lease was not removed in time and expires"),
        }
    }
}

/// A follower's part in the presence of its process.
#[derive(Debug)]
pub(super) struct Membership {
    presence: Presence,
    api: Api<Lease>,
    is_left: bool,
}

impl Membership {
    /// The lease's name.
    pub fn lease(&self) -> &str {
        self.presence.name()
    }

    /// Sees to it that the lease was written, once for all followers of the process.
    ///
    /// # Errors
    /// Where the API server does not answer.
    pub async fn hold(&self) -> Result<Held, Error> {
        let mut state = self.presence.0.state.lock().await;
        if state.is_held {
            return Ok(Held::Lease);
        }
        if state.is_refused {
            return Ok(Held::Refused(None));
        }
        match self.presence.write(&self.api, &mut state).await {
            Ok(()) => Ok(Held::Lease),
            // No such kind, or no right to it: what is to be applied is applied all the same.
            Err(error @ kube::Error::Api(_)) if is_refusal(&error) => {
                state.is_refused = true;
                Ok(Held::Refused(Some(Told(&error).to_string())))
            }
            Err(error) => {
                let step = format!("writing Lease {NAMESPACE}/{}", self.lease());
                Err(Error::api(step, error))
            }
        }
    }

    /// The end; the last one waits until the lease is removed.
    pub async fn leave(mut self) {
        self.is_left = true;
        let Some(keeper) = self.presence.part() else { return };
        if timeout(2 * END_TIMEOUT, keeper).await.is_err() {
            tracing::debug!("a lease was not removed in time and expires");
        }
    }
}

impl Drop for Membership {
    fn drop(&mut self) {
        if !self.is_left {
            self.presence.part();
        }
    }
}

/// Whether the API server says that we shall not, or that it has no such kind.
fn is_refusal(error: &kube::Error) -> bool {
    matches!(error, kube::Error::Api(status) if matches!(status.code, 401 | 403 | 404 | 405))
}
