//! What to do about a Lease, seen so and at that time. Pure.
//!
//! Clocks of two machines may differ, so a lease is not judged by the time written in it: it is over when it has not
//! changed for as long as it holds, counted from when it was first seen so.

use std::time::{Duration, Instant};

use k8s_openapi::api::coordination::v1::{Lease, LeaseSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{MicroTime, ObjectMeta};
use k8s_openapi::jiff::Timestamp;

use super::Terms;

/// What a candidate remembers between looks.
#[derive(Debug, Default)]
pub(super) struct Observed {
    spec: Option<LeaseSpec>,
    /// When it was first seen so.
    since: Option<Instant>,
}

/// What a look at the lease leads to.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Step {
    /// There is none: make it ours.
    Create(Lease),
    /// It is ours, or nobody's: write it, as long as nobody else has meanwhile.
    Replace(Lease),
    /// It is another's, until then if it does not change.
    Wait(Instant),
}

impl Observed {
    /// What a candidate does who finds the lease like this.
    pub(super) fn step(
        &mut self,
        lease: Option<&Lease>,
        identity: &str,
        terms: &Terms,
        now: Instant,
        clock: Timestamp,
    ) -> Step {
        let Some(lease) = lease else {
            *self = Self::default();
            let metadata = ObjectMeta {
                name: Some(terms.name.clone()),
                namespace: Some(terms.namespace.clone()),
                ..ObjectMeta::default()
            };
            let spec = Some(taken(identity, terms, 0, clock));
            return Step::Create(Lease { metadata, spec });
        };
        let spec = lease.spec.clone().unwrap_or_default();
        if self.spec.as_ref() != Some(&spec) {
            self.since = Some(now);
            self.spec = Some(spec.clone());
        }
        let since = self.since.unwrap_or(now);
        let holder = spec.holder_identity.as_deref().unwrap_or_default();
        if holder == identity {
            let renewed = LeaseSpec {
                lease_duration_seconds: Some(seconds(terms.lease_duration)),
                renew_time: Some(MicroTime(clock)),
                ..spec
            };
            return Step::Replace(with(lease, renewed));
        }
        let lasts = u64::try_from(spec.lease_duration_seconds.unwrap_or_default()).unwrap_or_default();
        let over = since + Duration::from_secs(lasts);
        if !holder.is_empty() && now < over {
            return Step::Wait(over);
        }
        let transitions = spec.lease_transitions.unwrap_or_default().saturating_add(1);
        Step::Replace(with(lease, taken(identity, terms, transitions, clock)))
    }
}

/// The lease as nobody's, as it was last written by us.
pub(super) fn released(lease: &Lease, clock: Timestamp) -> Lease {
    let spec = LeaseSpec {
        holder_identity: None,
        // Whoever goes by the times alone need not wait either.
        lease_duration_seconds: Some(1),
        renew_time: Some(MicroTime(clock)),
        ..lease.spec.clone().unwrap_or_default()
    };
    with(lease, spec)
}

fn taken(identity: &str, terms: &Terms, transitions: i32, clock: Timestamp) -> LeaseSpec {
    LeaseSpec {
        holder_identity: Some(identity.to_owned()),
        lease_duration_seconds: Some(seconds(terms.lease_duration)),
        acquire_time: Some(MicroTime(clock)),
        renew_time: Some(MicroTime(clock)),
        lease_transitions: Some(transitions),
        ..LeaseSpec::default()
    }
}

/// The same object, with its version, so that it is only written if nobody else has meanwhile.
fn with(lease: &Lease, spec: LeaseSpec) -> Lease {
    Lease {
        metadata: lease.metadata.clone(),
        spec: Some(spec),
    }
}

/// Whole seconds, which is how a Lease counts: rather too long, so that nobody comes too soon.
fn seconds(duration: Duration) -> i32 {
    let rounded_up = duration.as_secs() + u64::from(duration.subsec_nanos() > 0);
    i32::try_from(rounded_up).unwrap_or(i32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    const CLOCK: Timestamp = Timestamp::UNIX_EPOCH;

    fn terms() -> Terms {
        Terms {
            namespace: "kube-system".to_owned(),
            name: "kube-scheduler".to_owned(),
            lease_duration: Duration::from_millis(14_500),
            renew_deadline: Duration::from_secs(10),
            retry_period: Duration::from_secs(2),
        }
    }

    fn step(observed: &mut Observed, lease: Option<&Lease>, identity: &str, now: Instant) -> Step {
        observed.step(lease, identity, &terms(), now, CLOCK)
    }

    fn written(step: Step) -> Lease {
        match step {
            Step::Create(lease) | Step::Replace(lease) => lease,
            Step::Wait(_) => panic!("it waits"),
        }
    }

    fn spec(lease: &Lease) -> &LeaseSpec {
        lease.spec.as_ref().expect("a spec")
    }

    /// The lease as it is once a has taken it, with a version.
    fn held_by_a(now: Instant) -> Lease {
        let mut lease = written(step(&mut Observed::default(), None, "a", now));
        lease.metadata.resource_version = Some("7".to_owned());
        lease
    }

    #[test]
    fn where_there_is_none_it_is_made() {
        let lease = match step(&mut Observed::default(), None, "a", Instant::now()) {
            Step::Create(lease) => lease,
            other => panic!("{other:?}"),
        };
        assert_eq!(lease.metadata.name.as_deref(), Some("kube-scheduler"));
        let spec = spec(&lease);
        assert_eq!(spec.holder_identity.as_deref(), Some("a"));
        assert_eq!(
            (spec.lease_duration_seconds, spec.lease_transitions),
            (Some(15), Some(0))
        );
    }

    #[test]
    fn the_holder_renews_it_and_stays_the_same_holder() {
        let now = Instant::now();
        let held = held_by_a(now);
        let later = Timestamp::from_second(5).expect("a time");
        let renewed = written(Observed::default().step(Some(&held), "a", &terms(), now, later));
        assert_eq!(renewed.metadata, held.metadata, "only if nobody else has written it");
        assert_eq!(spec(&renewed).renew_time, Some(MicroTime(later)));
        assert_eq!(spec(&renewed).acquire_time, Some(MicroTime(CLOCK)));
        assert_eq!(spec(&renewed).lease_transitions, Some(0));
    }

    #[test]
    fn another_waits_until_it_has_not_changed_for_as_long_as_it_holds() {
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        let mut held = held_by_a(start);
        let mut observed = Observed::default();
        assert_eq!(step(&mut observed, Some(&held), "b", at(0)), Step::Wait(at(15)));
        assert_eq!(step(&mut observed, Some(&held), "b", at(14)), Step::Wait(at(15)));
        // A renewal, whatever time it says.
        held.spec.as_mut().expect("a spec").renew_time = Some(MicroTime(Timestamp::MIN));
        assert_eq!(step(&mut observed, Some(&held), "b", at(14)), Step::Wait(at(29)));
        let taken = written(step(&mut observed, Some(&held), "b", at(29)));
        assert_eq!(taken.metadata, held.metadata);
        assert_eq!(spec(&taken).holder_identity.as_deref(), Some("b"));
        assert_eq!(spec(&taken).lease_transitions, Some(1));
    }

    #[test]
    fn a_released_one_is_taken_at_once() {
        let now = Instant::now();
        let released = released(&held_by_a(now), CLOCK);
        assert_eq!(spec(&released).holder_identity, None);
        assert_eq!(released.metadata.resource_version.as_deref(), Some("7"));
        let taken = written(step(&mut Observed::default(), Some(&released), "b", now));
        assert_eq!(spec(&taken).holder_identity.as_deref(), Some("b"));
        assert_eq!(spec(&taken).lease_duration_seconds, Some(15));
    }

    #[test]
    fn one_that_was_removed_is_forgotten() {
        let now = Instant::now();
        let held = held_by_a(now);
        let mut observed = Observed::default();
        step(&mut observed, Some(&held), "b", now);
        assert!(matches!(step(&mut observed, None, "b", now), Step::Create(_)));
        let later = now + Duration::from_secs(60);
        assert!(matches!(step(&mut observed, Some(&held), "b", later), Step::Wait(_)));
    }
}
