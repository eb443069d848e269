//! Who follows a source: its parent object names the lease of whoever does. Says when somebody else may.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::coordination::v1::Lease;
use kube::api::{Api, DeleteParams, Preconditions};
use kube::{Client, ResourceExt as _};
use serde::{Serialize, Serializer};
use tokio::time::Instant;

use super::is_refusal;
use crate::gitops::applyset::NAMESPACE;
use crate::gitops::error::Error;
use crate::gitops::requests::answered;

/// The annotation of a source's parent that names the lease of whoever follows it.
pub const FOLLOWED_BY: &str = "reconcile.dev/followed-by";

/// What the annotation says where whoever follows may write no lease.
pub const UNTOLD: &str = "unknown";

/// How far the clocks of two machines may be apart: a lease that was over for that long by ours is over.
const SKEW: SignedDuration = SignedDuration::from_secs(60);

/// Who follows a source.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FollowedBy {
    /// Nobody: what becomes of its commits is seen by no one.
    Nobody,
    /// This process, as `HOST (DATA_DIR)`.
    Process(String),
    /// It cannot be told: whoever follows, or whoever asks, has no right to leases.
    Unknown,
}

impl FollowedBy {
    /// Whether it is certain that nobody does.
    pub fn is_nobody(&self) -> bool {
        *self == Self::Nobody
    }
}

/// The process, `null` for nobody, or `unknown`.
impl Serialize for FollowedBy {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Nobody => serializer.serialize_none(),
            Self::Process(holder) => serializer.serialize_str(holder),
            Self::Unknown => serializer.serialize_str(UNTOLD),
        }
    }
}

/// Who follows the source whose parent says this of it.
///
/// # Errors
/// Where the API server does not answer.
pub async fn followed_by(client: &Client, claim: Option<&str>, now: Timestamp) -> Result<FollowedBy, Error> {
    match claim {
        None => Ok(FollowedBy::Nobody),
        Some(UNTOLD) => Ok(FollowedBy::Unknown),
        Some(name) => match held(client, name).await {
            Ok(Some(lease)) if !is_over(&lease, now) => Ok(FollowedBy::Process(holder(&lease))),
            Ok(_) => Ok(FollowedBy::Nobody),
            Err(error) if is_refusal(&error) => Ok(FollowedBy::Unknown),
            Err(error) => Err(reading(name, error)),
        },
    }
}

/// The lease of that name.
pub async fn held(client: &Client, name: &str) -> Result<Option<Lease>, kube::Error> {
    let api: Api<Lease> = Api::namespaced(client.clone(), NAMESPACE);
    answered(api.get_opt(name)).await
}

fn reading(name: &str, error: kube::Error) -> Error {
    Error::api(format!("reading Lease {NAMESPACE}/{name}"), error)
}

/// What people call whoever holds it.
fn holder(lease: &Lease) -> String {
    let spec = lease.spec.as_ref();
    let holder = spec.and_then(|spec| spec.holder_identity.clone());
    holder.unwrap_or_else(|| lease.metadata.name.clone().unwrap_or_default())
}

fn renewed(lease: &Lease) -> Option<Timestamp> {
    let spec = lease.spec.as_ref()?;
    spec.renew_time.as_ref().map(|time| time.0)
}

fn duration(lease: &Lease) -> Duration {
    let seconds = lease.spec.as_ref().and_then(|spec| spec.lease_duration_seconds);
    let seconds = seconds.and_then(|seconds| u64::try_from(seconds).ok());
    Duration::from_secs(seconds.unwrap_or_default())
}

/// Whether it was not renewed in time, by this clock.
fn is_over(lease: &Lease, now: Timestamp) -> bool {
    let lasts = SignedDuration::try_from(duration(lease)).unwrap_or(SignedDuration::MAX);
    renewed(lease).is_none_or(|renewed| now.duration_since(renewed) > lasts)
}

/// Another process that follows a source, as a standby sees it. Time is counted from when its last renewal was first
/// seen, for its clock may not be ours.
#[derive(Debug)]
pub struct Rival {
    lease: String,
    /// What people call it.
    pub holder: String,
    renewed: Option<Timestamp>,
    seen: Instant,
    lasts: Duration,
}

impl Rival {
    /// What is known of it now.
    ///
    /// # Errors
    /// Where the API server does not answer.
    pub async fn look(known: Option<Self>, client: &Client, name: &str) -> Result<Sight, Error> {
        let lease = held(client, name).await.map_err(|error| reading(name, error))?;
        let Some(lease) = lease else {
            return Ok(Sight::Over(None));
        };
        Ok(match Self::after(known, &lease, Timestamp::now(), Instant::now()) {
            Some(rival) => Sight::There(rival),
            None => Sight::Over(Some(Box::new(lease))),
        })
    }

    fn after(known: Option<Self>, lease: &Lease, now: Timestamp, seen: Instant) -> Option<Self> {
        let name = lease.metadata.name.clone().unwrap_or_default();
        let (renewed, lasts) = (renewed(lease), duration(lease));
        let same = known.filter(|known| known.lease == name && known.renewed == renewed);
        let rival = Self {
            lease: name,
            holder: holder(lease),
            renewed,
            seen: same.map_or(seen, |known| known.seen),
            lasts,
        };
        let is_over = seen >= rival.ends() || is_over(lease, now.saturating_sub(SKEW).unwrap_or(now));
        (!is_over).then_some(rival)
    }

    /// When its lease is over unless it is renewed.
    pub fn ends(&self) -> Instant {
        self.seen + self.lasts
    }
}

/// What became of another process.
pub enum Sight {
    /// It may still follow.
    There(Rival),
    /// Its lease is over, or was removed.
    Over(Option<Box<Lease>>),
}

/// Removes a lease that is over: on a host that never comes back nobody else would. A process that only slept writes it
/// again.
pub async fn remove(client: &Client, lease: &Lease) -> Result<(), kube::Error> {
    let api: Api<Lease> = Api::namespaced(client.clone(), NAMESPACE);
    let params = DeleteParams {
        preconditions: Some(Preconditions {
            uid: lease.uid(),
            resource_version: lease.resource_version(),
        }),
        ..DeleteParams::default()
    };
    answered(api.delete(&lease.name_any(), &params)).await.map(drop)
}

#[cfg(test)]
mod tests {
    use k8s_openapi::api::coordination::v1::LeaseSpec;
    use k8s_openapi::apimachinery::pkg::apis::meta::v1::{MicroTime, ObjectMeta};

    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).expect("a time")
    }

    fn lease(renewed: i64) -> Lease {
        Lease {
            metadata: ObjectMeta {
                name: Some("reconcile-a".into()),
                ..ObjectMeta::default()
            },
            spec: Some(LeaseSpec {
                holder_identity: Some("one (/a)".into()),
                lease_duration_seconds: Some(30),
                renew_time: Some(MicroTime(at(renewed))),
                ..LeaseSpec::default()
            }),
        }
    }

    #[test]
    fn a_lease_is_over_when_it_was_not_renewed_in_time() {
        for (name, lease, now, over) in [
            ("fresh", lease(100), 100, false),
            ("at the end", lease(100), 130, false),
            ("after it", lease(100), 131, true),
            ("by a clock that is ahead", lease(100), 90, false),
            ("never renewed", Lease::default(), 0, true),
        ] {
            assert_eq!(is_over(&lease, at(now)), over, "{name}");
        }
    }

    #[test]
    fn a_standby_trusts_its_own_clock_and_what_is_long_over() {
        let begin = Instant::now();
        let later = |seconds| begin + Duration::from_secs(seconds);
        // Its clock is 50 seconds behind ours: over by ours, and renewed all the same.
        let first = Rival::after(None, &lease(100), at(150), begin).expect("it may live");
        assert_eq!((first.holder.as_str(), first.ends()), ("one (/a)", later(30)));
        let renewed = Rival::after(Some(first), &lease(110), at(160), later(10)).expect("it lives");
        assert_eq!(renewed.ends(), later(40));
        let same = Rival::after(Some(renewed), &lease(110), at(180), later(39)).expect("it may live");
        assert!(Rival::after(Some(same), &lease(110), at(190), later(40)).is_none());
        assert!(Rival::after(None, &lease(100), at(191), begin).is_none(), "long over");
    }
}
