//! How schedulers of which only one may decide agree on which: `leaderElection`.

use std::time::Duration;

use super::strict::Report;
use super::wire::LeaderElection;
use crate::client::leader::Terms;
use crate::object::FieldError;
use crate::object::field_error::Path;
use crate::object::source::duration;

/// The only kind of object that is agreed by.
const LEASES: &str = "leases";
/// A holder that fails waits a little longer than the period, so that many do not come at once; the deadline must leave
/// room for that, as kube-scheduler has it.
const JITTER: f64 = 1.2;

/// How schedulers of which only one may decide agree on which.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Election {
    /// Whether they do; `None` where nothing is said, so that whoever runs the scheduler decides.
    pub elects: Option<bool>,
    /// By which Lease, and how long things take.
    pub terms: Terms,
}

impl Default for Election {
    /// kube-scheduler's.
    fn default() -> Self {
        Self {
            elects: None,
            terms: Terms {
                namespace: "kube-system".to_owned(),
                name: "kube-scheduler".to_owned(),
                lease_duration: Duration::from_secs(15),
                renew_deadline: Duration::from_secs(10),
                retry_period: Duration::from_secs(2),
            },
        }
    }
}

pub(super) fn resolve(wire: LeaderElection, report: &mut Report) -> Election {
    let LeaderElection {
        leader_elect,
        lease_duration,
        renew_deadline,
        retry_period,
        resource_lock,
        resource_name,
        resource_namespace,
    } = wire;
    let at = Path::new("leaderElection");
    if let Some(lock) = resource_lock.filter(|lock| !lock.is_empty() && lock != LEASES) {
        report.push(FieldError::not_supported(&at.child("resourceLock"), lock, &[LEASES]));
    }
    let standard = Election::default().terms;
    let mut read = |text: Option<String>, field: &str, standard: Duration| match text.as_deref().map(duration) {
        None => standard,
        Some(Ok(read)) => read,
        Some(Err(why)) => {
            report.push(FieldError::invalid(&at.child(field), text, why));
            standard
        }
    };
    let said = |text: Option<String>, standard: String| text.filter(|text| !text.is_empty()).unwrap_or(standard);
    let terms = Terms {
        lease_duration: read(lease_duration, "leaseDuration", standard.lease_duration),
        renew_deadline: read(renew_deadline, "renewDeadline", standard.renew_deadline),
        retry_period: read(retry_period, "retryPeriod", standard.retry_period),
        namespace: said(resource_namespace, standard.namespace),
        name: said(resource_name, standard.name),
    };
    in_order(&terms, &at, report);
    Election {
        elects: leader_elect,
        terms,
    }
}

/// A leader must give up before its lease is over, and have tried more than once before it gives up.
fn in_order(terms: &Terms, at: &Path, report: &mut Report) {
    let mut wrong = |field: &str, value: Duration, why: &str| {
        let value = format!("{}s", value.as_secs_f64());
        report.push(FieldError::invalid(&at.child(field), value, why));
    };
    if terms.lease_duration <= terms.renew_deadline {
        wrong(
            "leaseDuration",
            terms.lease_duration,
            "must be greater than renewDeadline",
        );
    }
    if terms.renew_deadline <= terms.retry_period.mul_f64(JITTER) {
        let why = "must be greater than 1.2 times retryPeriod";
        wrong("renewDeadline", terms.renew_deadline, why);
    }
    if terms.lease_duration < Duration::from_secs(1) {
        wrong(
            "leaseDuration",
            terms.lease_duration,
            "must be at least a second, in which a Lease counts",
        );
    }
}
