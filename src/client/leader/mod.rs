//! One of several processes does the work: whoever holds a Lease. The others stand by.
//!
//! What to do about the Lease is decided in [`step`]; here it is read and written. A leader that cannot renew stops
//! before its lease could be another's, and begins anew as one who stands by. (The reconciler's leases are another thing:
//! each process has its own, which says that it is there, for any number of sources that it follows.)

mod step;

use std::future::Future;
use std::time::{Duration, Instant};

use futures::{Stream, StreamExt as _};
use k8s_openapi::api::coordination::v1::Lease;
use k8s_openapi::jiff::Timestamp;
use kube::api::PostParams;
use kube::runtime::watcher::{self, Event, watcher};
use kube::{Api, Client};
use tokio::sync::watch;
use tokio::time::{sleep, sleep_until, timeout, timeout_at};
use tokio_util::sync::CancellationToken;

use super::{Told, lasting};
use step::{Observed, Step, released};

/// How long giving the lease back may hold up the end; it expires otherwise.
const RELEASE_TIMEOUT: Duration = Duration::from_secs(1);

/// Which Lease it is about, and how long things take.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Terms {
    /// The Lease's namespace.
    pub namespace: String,
    /// The Lease's name.
    pub name: String,
    /// For how long a leader that is not heard of is still one.
    pub lease_duration: Duration,
    /// After how long a leader that cannot renew its lease gives up; less than the above.
    pub renew_deadline: Duration,
    /// How often the lease is renewed, or looked at.
    pub retry_period: Duration,
}

/// The time that somebody leads for. It is over unless it is renewed.
#[derive(Clone, Debug)]
pub struct Term(watch::Receiver<Instant>);

impl Term {
    /// Whether it is over, so that nothing more may be begun.
    pub fn is_over(&self) -> bool {
        Instant::now() >= *self.0.borrow()
    }
}

/// Does the work whenever, and only as long as, this process holds the lease; until told to stop, or until the work ends by
/// itself. Work that may not go on is dropped. `identity` must be nobody else's.
///
/// # Errors
/// What the work fails with; an API that fails is waited for.
pub async fn lead<E, W, F>(
    client: Client,
    terms: Terms,
    identity: String,
    shutdown: CancellationToken,
    mut work: W,
) -> Result<(), E>
where
    W: FnMut(Term) -> F,
    F: Future<Output = Result<(), E>>,
{
    let mut candidate = Candidate {
        leases: Api::namespaced(client, &terms.namespace),
        terms,
        identity,
        observed: Observed::default(),
        held: None,
    };
    loop {
        let Some(begun) = shutdown.run_until_cancelled(candidate.acquire()).await else {
            candidate.release().await;
            return Ok(());
        };
        let (name, identity) = (&candidate.terms.name, &candidate.identity);
        tracing::info!(lease = %name, %identity, "leads from now on");
        let (renewed, term) = watch::channel(begun + candidate.terms.renew_deadline);
        let ended = tokio::select! {
            // First, so that no work is done in a term that is over.
            biased;
            () = candidate.renew(&renewed) => None,
            () = shutdown.cancelled() => Some(Ok(())),
            ended = work(Term(term)) => Some(ended),
        };
        match ended {
            Some(ended) => {
                candidate.release().await;
                return ended;
            }
            None => tracing::warn!(
                lease = %candidate.terms.name,
                "the lease could not be renewed in time, so this process stands by"
            ),
        }
    }
}

struct Candidate {
    leases: Api<Lease>,
    terms: Terms,
    identity: String,
    observed: Observed,
    /// The lease as we last wrote it.
    held: Option<Lease>,
}

impl Candidate {
    /// Waits until the lease is ours; tells from when on it counts.
    async fn acquire(&mut self) -> Instant {
        let mut gone = std::pin::pin!(ownerless(self.leases.clone(), &self.terms.name));
        let mut told = None;
        loop {
            let begun = Instant::now();
            let next = match self.attempt().await {
                Ok(None) => return begun,
                Ok(Some(over)) => over.min(begun + self.terms.retry_period),
                Err(error) => {
                    let error = Told(&error).to_string();
                    if told.as_ref() != Some(&error) {
                        let Terms { namespace, name, .. } = &self.terms;
                        tracing::warn!(lease = %format_args!("{namespace}/{name}"), %error, "a lease cannot be had and is tried for again and again");
                        told = Some(error);
                    }
                    begun + self.terms.retry_period
                }
            };
            tokio::select! {
                () = sleep_until(next.into()) => {}
                Some(()) = gone.next() => {}
            }
        }
    }

    /// Renews the lease for as long as that works.
    async fn renew(&mut self, term: &watch::Sender<Instant>) {
        loop {
            sleep(self.terms.retry_period).await;
            let over = *term.borrow();
            let begun = Instant::now();
            if begun >= over {
                return;
            }
            match timeout_at(over.into(), self.attempt()).await {
                Ok(Ok(None)) => {
                    term.send_replace(begun + self.terms.renew_deadline);
                }
                // Somebody else has it.
                Ok(Ok(Some(_))) | Err(_) => return,
                Ok(Err(error)) => {
                    tracing::debug!(error = %Told(&error), "a lease was not renewed and is tried again");
                    if Instant::now() + self.terms.retry_period >= over {
                        sleep_until(over.into()).await;
                        return;
                    }
                }
            }
        }
    }

    /// Looks at the lease and takes or renews it; tells until when it is another's, if it is.
    async fn attempt(&mut self) -> Result<Option<Instant>, kube::Error> {
        let lease = match self.held.take() {
            // As we wrote it last; if that is not how it is, the write is refused and the next look reads.
            Some(held) => Some(held),
            None => self.leases.get_opt(&self.terms.name).await?,
        };
        let (now, clock) = (Instant::now(), Timestamp::now());
        let params = PostParams::default();
        let written = match self
            .observed
            .step(lease.as_ref(), &self.identity, &self.terms, now, clock)
        {
            Step::Wait(over) => return Ok(Some(over)),
            Step::Create(lease) => self.leases.create(&params, &lease).await?,
            Step::Replace(lease) => self.leases.replace(&self.terms.name, &params, &lease).await?,
        };
        self.held = Some(written);
        Ok(None)
    }

    /// Gives the lease back if it is ours, so that whoever stands by need not wait.
    async fn release(&self) {
        match timeout(RELEASE_TIMEOUT, self.give_back()).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => tracing::debug!(error = %Told(&error), "a lease was not given back and expires"),
            Err(_) => tracing::debug!("a lease was not given back in time and expires"),
        }
    }

    /// Reads it first: a write that was under way in the end may or may not have been done.
    async fn give_back(&self) -> Result<(), kube::Error> {
        loop {
            let Some(lease) = self.leases.get_opt(&self.terms.name).await? else {
                return Ok(());
            };
            let holder = lease.spec.as_ref().and_then(|spec| spec.holder_identity.as_ref());
            if holder != Some(&self.identity) {
                return Ok(());
            }
            let (params, free) = (PostParams::default(), released(&lease, Timestamp::now()));
            match self.leases.replace(&self.terms.name, &params, &free).await {
                Err(kube::Error::Api(status)) if status.is_conflict() => {}
                other => return other.map(drop),
            }
        }
    }
}

/// Tells when the lease of that name is nobody's.
fn ownerless(leases: Api<Lease>, name: &str) -> impl Stream<Item = ()> + Send + use<> {
    let only = watcher::Config::default().fields(&format!("metadata.name={name}"));
    lasting(watcher(leases, only), "a lease").filter_map(|event| {
        let is_free = match event {
            Event::Apply(lease) => {
                let holder = lease.spec.and_then(|spec| spec.holder_identity);
                holder.is_none_or(|holder| holder.is_empty())
            }
            Event::Delete(_) => true,
            Event::Init | Event::InitApply(_) | Event::InitDone => false,
        };
        std::future::ready(is_free.then_some(()))
    })
}
