//! Tells people what is new in a round, and records a failure.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use tokio::time::{Instant, timeout};

use super::{BACKOFF, Follower, SETTLING};
use crate::gitops::apply::Applied;
use crate::gitops::error::Error;
use crate::gitops::observed::{Observed, Step};
use crate::gitops::on_drift::{self, Drifted};
use crate::gitops::quiet::Quiet;
use crate::gitops::report::{Action, ObjectKey, Problem, Report};
use crate::gitops::sync::Prepared;

/// How long recording a failure may hold up the next attempt.
const NOTE_TIMEOUT: Duration = Duration::from_secs(5);

/// What was told already, so that a standing problem is told once.
#[derive(Default)]
pub(super) struct Told {
    pub(super) problems: BTreeSet<Problem>,
    pub(super) kept: BTreeSet<(ObjectKey, String)>,
    pub(super) drifted: BTreeSet<Drifted>,
    pub(super) notices: BTreeSet<String>,
    pub(super) pending: BTreeMap<ObjectKey, String>,
    pub(super) suspended: bool,
    pub(super) closed: Option<String>,
    pub(super) obstacle: Option<String>,
    /// Whom this one stands by for.
    pub(super) rival: Option<String>,
    pub(super) failure: Option<String>,
    pub(super) fetch_failure: Option<String>,
    pub(super) revision: Option<String>,
}

impl Follower {
    /// Reports what is new among what is wrong and what is kept.
    pub(super) fn tell(&mut self, prepared: &Prepared) {
        let notices: BTreeSet<String> = prepared.notices.iter().cloned().collect();
        for text in notices.difference(&self.told.notices) {
            self.reporter.report(Report::Notice { text: text.clone() });
        }
        self.told.notices = notices;
        let kept: BTreeSet<(ObjectKey, String)> = prepared
            .plan
            .steps
            .iter()
            .filter(|step| step.action == Action::Keep)
            .map(|step| (step.key.clone(), step.reasons.join("; ")))
            .filter(|(_, reason)| reason != SETTLING)
            .collect();
        for (object, reason) in kept.difference(&self.told.kept) {
            self.reporter.report(Report::Kept {
                object: object.clone(),
                reason: reason.clone(),
            });
        }
        self.told.kept = kept;
        for problem in &prepared.problems {
            if !self.told.problems.contains(problem) {
                self.reporter.report(Report::Problem(problem.clone()));
            }
        }
        self.told.problems.extend(prepared.problems.iter().cloned());
    }

    pub(super) fn summarize(
        &mut self,
        prepared: &Prepared,
        applied: &Applied,
        problems: BTreeSet<Problem>,
        started: Instant,
    ) {
        for problem in problems.difference(&self.told.problems) {
            self.reporter.report(Report::Problem(problem.clone()));
        }
        let waiting: Vec<(ObjectKey, String)> = applied
            .pending
            .iter()
            .filter(|(key, _)| !self.told.pending.contains_key(key))
            .map(|(key, reason)| (key.clone(), reason.clone()))
            .collect();
        if !waiting.is_empty() {
            self.reporter.report(Report::Waiting { objects: waiting });
        }
        let drifted: BTreeSet<Drifted> = on_drift::drifted(&prepared.plan.steps).into_iter().collect();
        for one in drifted.difference(&self.told.drifted) {
            self.reporter.report(Report::Drifted(one.clone()));
        }
        self.told.drifted = drifted;
        let revision = prepared.revision.id();
        let news = self.told.revision.as_deref() != Some(revision)
            || self.told.failure.is_some()
            || self.told.problems != problems
            || applied.counts.changes() > 0;
        self.told.revision = Some(revision.to_owned());
        self.told.failure = None;
        if news {
            self.reporter.report(Report::Synced {
                revision: prepared.revision.clone(),
                counts: applied.counts,
                problems: problems.len(),
                waiting: applied.pending.len(),
                elapsed: started.elapsed(),
            });
        }
        self.told.problems = problems;
        self.told.pending.clone_from(&applied.pending);
    }

    /// The whole round failed.
    pub(super) async fn failed(&mut self, error: &Error) {
        let reason = error.to_string();
        self.quiet = Quiet::default();
        self.retry = None;
        let after = self.back_off();
        let is_told = self.told.failure.as_ref() == Some(&reason);
        self.record_failure(Step::Sync, &reason, is_told, true).await;
        if is_told {
            tracing::debug!(%reason, ?after, "still failing");
        } else {
            self.reporter.report(Report::Retrying {
                reason: reason.clone(),
                after,
            });
            self.told.failure = Some(reason);
        }
        // A source that went may come back as another directory.
        self.watch = None;
        self.read_again |= matches!(error, Error::Source(_)) && self.schedules.is_empty();
    }

    /// The remote could not be asked; what was fetched before is kept up meanwhile.
    pub(super) async fn fetch_failed(&mut self, error: &Error) {
        let reason = error.to_string();
        let after = self.fetch_backoff;
        self.fetch_backoff = (after * 2).min(BACKOFF.1);
        self.fetch_retry = Some(Instant::now() + after);
        let is_told = self.told.fetch_failure.as_ref() == Some(&reason);
        self.reporter.observe(&Observed::Fetched(false));
        self.record_failure(Step::Fetch, &reason, is_told, !self.pin_waits)
            .await;
        if !is_told {
            self.reporter.report(Report::Retrying {
                reason: reason.clone(),
                after,
            });
            self.told.fetch_failure = Some(reason);
        }
    }

    /// Records it, and says whether it was neither told nor recorded before.
    async fn record_failure(&self, step: Step, reason: &str, is_told: bool, answers: bool) {
        // The API server may be what failed.
        let is_new = match timeout(NOTE_TIMEOUT, self.engine.note_failure(reason, answers)).await {
            Ok(Ok(is_new)) => is_new,
            Ok(Err(error)) => {
                tracing::debug!(%error, reason, "a failure could not be recorded");
                true
            }
            Err(_) => {
                tracing::debug!(reason, "a failure could not be recorded in time");
                true
            }
        };
        let is_news = is_new && !is_told;
        self.reporter.observe(&Observed::Failed { step, reason, is_news });
    }
}
