//! Carries a plan out: stage by stage, objects of a stage side by side, deletes last. Decides only what to try again.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use futures::{FutureExt as _, StreamExt as _, stream};
use serde_json::Value;
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;

use super::applyset::ApplySet;
use super::error::Error;
use super::fail_point;
use super::health::is_going;
use super::plan::{Plan, Step};
use super::predict::refusals;
use super::report::{Action, Cause, Change, Counts, ObjectKey, Problem, Report, Reporter};
use super::requests::{Mode, Requests};

mod going;
mod images;
mod wave;

/// Requests under way at once: enough to hide their latency, few enough for other clients of the server.
const CONCURRENCY: usize = 64;

/// The moment that [`Patience::Moment`] means: what goes without grace is gone by then.
const MOMENT: Duration = Duration::from_millis(100);

/// Between looks at an object that is going; the first is soon, for most are gone at once.
const GONE_POLL: (Duration, Duration) = (Duration::from_millis(10), Duration::from_millis(250));

/// How long a new namespace may take until its service account exists and pods are accepted.
const NAMESPACE_READY: Duration = Duration::from_secs(10);

/// Between attempts in a namespace that is not ready.
const NAMESPACE_PAUSE: Duration = Duration::from_millis(50);

/// What became of a plan.
#[derive(Debug, Default)]
pub(super) struct Applied {
    /// What was done.
    pub counts: Counts,
    /// How much of it only undid what another hand did.
    pub repairs: Counts,
    /// What failed.
    pub problems: Vec<Problem>,
    /// Whether news came before all was begun: what is left is the next round's.
    pub is_cut: bool,
    /// Objects as the API server has them after our write.
    pub written: Vec<(ObjectKey, Arc<Value>)>,
    /// Objects that are deleted, or on their way.
    pub deleted: BTreeSet<ObjectKey>,
    /// Objects that a later round has to go on with, each with what it waits for.
    pub pending: BTreeMap<ObjectKey, String>,
    /// Whether a wave had to wait.
    put_off: bool,
}

/// How long to wait for a replaced object to go, or for a wave to be healthy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Patience {
    /// A moment; a later round goes on, and meanwhile everything else can.
    Moment,
    /// For what goes, as long as it may take; for a wave that is not healthy, until then.
    Until(Instant),
}

/// Writes for one source.
pub(super) struct Applier<'a> {
    pub requests: &'a Requests,
    pub set: &'a ApplySet,
    pub reporter: &'a dyn Reporter,
    /// Namespaces that this plan creates.
    pub upcoming: &'a BTreeSet<String>,
    pub patience: Patience,
    /// Cancelled by news: what was begun is ended and told, and nothing more is begun.
    pub news: &'a CancellationToken,
}

/// What an object lacks that is deleted so that it can be made again.
const GOING: &str = "it stops, and is then made again";

/// What became of a step.
enum Done {
    Written(Box<Value>),
    Deleted,
    /// A later round has to go on with it; what it waits for.
    Pending(String),
    /// It cannot be done now; why.
    Failed(String),
    /// The object changed so that deleting it is not right any more.
    Spared(String),
}

impl Applier<'_> {
    /// Carries out every step; what fails is in the result and stops nothing else.
    ///
    /// # Errors
    /// Where the API server cannot be reached.
    pub async fn carry_out(&self, plan: &Plan) -> Result<Applied, Error> {
        let mut applied = Applied::default();
        let mut rest = plan.steps.as_slice();
        while let Some(first) = rest.first() {
            let group = |step: &Step| (step.action == Action::Delete, step.stage(), step.wave);
            let end = rest
                .iter()
                .position(|step| group(step) != group(first))
                .unwrap_or(rest.len());
            let (now, later) = rest.split_at(end);
            rest = later;
            if self.news.is_cancelled() {
                applied.is_cut = true;
                break;
            }
            match self.obstacle(plan, now, &applied).await? {
                None => self.stage(now, &mut applied).await?,
                Some(reason) => self.put_off(now, &reason, &mut applied),
            }
        }
        applied.problems.sort();
        Ok(applied)
    }

    async fn stage(&self, steps: &[Step], applied: &mut Applied) -> Result<(), Error> {
        // What lies in a namespace that has to go first waits with it.
        let (waiting, steps): (Vec<&Step>, Vec<&Step>) = steps.iter().partition(|step| {
            let namespace = |key: &ObjectKey| key.kind == "Namespace" && Some(&key.name) == step.key.namespace.as_ref();
            step.manifest.is_some() && applied.pending.keys().any(namespace)
        });
        let going = waiting.into_iter().map(|step| (step.key.clone(), GOING.to_owned()));
        applied.pending.extend(going);
        // Boxed and collected, or the compiler cannot see that the futures may move between threads.
        let writes: Vec<_> = steps
            .into_iter()
            .map(|step| async move { (step, self.begin(step).await) }.boxed())
            .collect();
        let mut results = stream::iter(writes).buffer_unordered(CONCURRENCY);
        while let Some((step, result)) = results.next().await {
            let Some(result) = result else {
                applied.is_cut = true;
                continue;
            };
            match result {
                Ok(None) => applied.counts.add(step.action),
                Ok(Some(done)) => self.note(step, done, applied),
                Err(kube::Error::Api(status)) => {
                    let found = refusals(&status);
                    let problems = found.into_iter().map(|refusal| Problem {
                        place: step.place.clone(),
                        object: Some(step.key.clone()),
                        reason: format!("{}: {}", verb(step.action), refusal.message),
                    });
                    applied.problems.extend(problems);
                }
                Err(error) => return Err(Error::api(format!("{} {}", verb(step.action), step.key), error)),
            }
        }
        Ok(())
    }

    fn note(&self, step: &Step, done: Done, applied: &mut Applied) {
        match done {
            Done::Spared(reason) => {
                applied.counts.add(Action::Keep);
                self.reporter.report(Report::Kept {
                    object: step.key.clone(),
                    reason,
                });
                return;
            }
            Done::Pending(lacks) => {
                applied.pending.insert(step.key.clone(), lacks);
                return;
            }
            Done::Failed(reason) => {
                applied.problems.push(Problem {
                    place: step.place.clone(),
                    object: Some(step.key.clone()),
                    reason: format!("{}: {reason}", verb(step.action)),
                });
                return;
            }
            Done::Written(value) => applied.written.push((step.key.clone(), Arc::new(*value))),
            Done::Deleted => {
                applied.deleted.insert(step.key.clone());
            }
        }
        applied.counts.add(step.action);
        if matches!(step.cause, Cause::Drift { .. }) {
            applied.repairs.add(step.action);
        }
        self.reporter.report(Report::Change(Change {
            action: step.action,
            object: step.key.clone(),
            cause: step.cause.clone(),
            notes: step.reasons.clone(),
        }));
    }

    /// Carries a step out; None where news came before it was begun.
    async fn begin(&self, step: &Step) -> Option<Result<Option<Done>, kube::Error>> {
        match self.news.is_cancelled() {
            true => None,
            false => Some(self.step(step).await),
        }
    }

    async fn step(&self, step: &Step) -> Result<Option<Done>, kube::Error> {
        if let Some(live) = step.live.as_deref().filter(|_| step.action != Action::Replace) {
            self.ask_no_more(step, live).await?;
        }
        match (step.action, &step.manifest, &step.live) {
            // Deleted by another hand, and still going.
            (Action::Create, Some(manifest), Some(live)) if is_going(live) => {
                self.replace(step, manifest, live).await.map(Some)
            }
            (Action::Create | Action::Update, Some(manifest), _) => self.write(step, manifest).await.map(Some),
            (Action::Replace, Some(manifest), None) => self.write(step, manifest).await.map(Some),
            (Action::Replace, Some(manifest), Some(live)) => self.replace(step, manifest, live).await.map(Some),
            (Action::Delete, _, Some(live)) => self.delete(step, live).await.map(Some),
            _ => Ok(None),
        }
    }

    async fn write(&self, step: &Step, manifest: &Value) -> Result<Done, kube::Error> {
        let namespace = step.key.namespace.as_deref();
        let deadline = Instant::now() + NAMESPACE_READY;
        fail_point::pass("before a write");
        loop {
            let written = self
                .requests
                .apply(&step.resource, namespace, &step.key.name, manifest, Mode::Write)
                .await;
            match written {
                Err(kube::Error::Api(status))
                    if matches!(status.code, 403 | 404)
                        && namespace.is_some_and(|namespace| self.upcoming.contains(namespace))
                        && Instant::now() < deadline =>
                {
                    sleep(NAMESPACE_PAUSE).await;
                }
                result => {
                    fail_point::pass("after a write");
                    return result.map(|object| Done::Written(Box::new(object)));
                }
            }
        }
    }
}

fn verb(action: Action) -> &'static str {
    match action {
        Action::Create => "creating",
        Action::Update => "changing",
        Action::Replace => "replacing",
        Action::Delete => "deleting",
        Action::Keep | Action::Blocked | Action::Drifted | Action::Unchanged => "looking at",
    }
}
