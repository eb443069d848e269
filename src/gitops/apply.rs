//! Carries a plan out: stage by stage, objects of a stage side by side, deletes last. Decides only what to try again.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use futures::{FutureExt as _, StreamExt as _, stream};
use serde_json::{Value, json};
use tokio::time::{Instant, sleep};

use super::applyset::{ApplySet, PART_OF};
use super::error::Error;
use super::fail_point;
use super::health::{self, Health, is_going};
use super::plan::{PRUNE, Plan, Stage, Step};
use super::predict::refusals;
use super::report::{Action, Change, Counts, ObjectKey, Problem, Report, Reporter};
use super::requests::{Mode, Requests};

/// Requests under way at once: enough to hide their latency, few enough for other clients of the server.
const CONCURRENCY: usize = 16;

/// How long a replaced object may take to go, beyond its own grace period.
const GONE_TIMEOUT: Duration = Duration::from_secs(30);

/// The moment that [`Patience::Moment`] means: what goes without grace is gone by then.
const MOMENT: Duration = Duration::from_millis(100);

/// Grace that API servers give pods which ask for none themselves.
const DEFAULT_GRACE: Duration = Duration::from_secs(30);

/// Between looks at an object that is going; the first is soon, for most are gone at once.
const GONE_POLL: (Duration, Duration) = (Duration::from_millis(10), Duration::from_millis(250));

/// How long a new namespace may take until its service account exists and pods are accepted.
const NAMESPACE_READY: Duration = Duration::from_secs(10);

/// Between attempts in a namespace that is not ready.
const NAMESPACE_PAUSE: Duration = Duration::from_millis(50);

/// How often a delete is decided again because the object changed meanwhile (a pod's status does so all the time).
const MAX_CONFLICTS: usize = 10;

/// What became of a plan.
#[derive(Debug, Default)]
pub(super) struct Applied {
    /// What was done.
    pub counts: Counts,
    /// What failed.
    pub problems: Vec<Problem>,
    /// Objects as the API server has them after our write.
    pub written: Vec<(ObjectKey, Value)>,
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
}

/// What an object lacks that is deleted so that it can be made again.
const GOING: &str = "it stops, and is then made again";

/// What became of a step.
enum Done {
    Written(Box<Value>),
    Deleted,
    /// It is still there.
    Pending,
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
            match self.obstacle(plan, now, &applied).await? {
                None => self.stage(now, &mut applied).await?,
                Some(reason) => self.put_off(now, &reason, &mut applied),
            }
        }
        applied.problems.sort();
        Ok(applied)
    }

    /// Why steps of one wave, or deletions, have to wait, if they do.
    async fn obstacle(&self, plan: &Plan, now: &[Step], applied: &Applied) -> Result<Option<String>, Error> {
        let Some(first) = now.iter().find(|step| step.action.is_change()) else {
            return Ok(None);
        };
        if first.action == Action::Delete {
            return Ok(applied.put_off.then(|| "deletions come after all waves".to_owned()));
        }
        let before = |stage: Stage, wave: i32| stage == first.stage() && wave < first.wave;
        if let Some((_, wave, key)) = plan.refused.iter().find(|(stage, wave, _)| before(*stage, *wave)) {
            return Ok(Some(format!("it waits for wave {wave}: {key} is refused")));
        }
        let earlier = plan.steps.iter().filter(|step| step.manifest.is_some());
        for step in earlier.filter(|step| before(step.stage(), step.wave)) {
            if let Some(lacks) = self.lacks(step, applied).await? {
                let (wave, key) = (step.wave, &step.key);
                return Ok(Some(format!("it waits for wave {wave}: {key}: {lacks}")));
            }
        }
        Ok(None)
    }

    /// What an object of an earlier wave lacks, after as much patience as there is.
    async fn lacks(&self, step: &Step, applied: &Applied) -> Result<Option<String>, Error> {
        if let Some(reason) = applied.pending.get(&step.key) {
            return Ok(Some(reason.clone()));
        }
        let is_about = |problem: &&Problem| problem.object.as_ref() == Some(&step.key);
        if let Some(problem) = applied.problems.iter().find(is_about) {
            return Ok(Some(problem.reason.clone()));
        }
        let written = applied.written.iter().find(|(key, _)| *key == step.key);
        let written = written.map(|(_, value)| Arc::new(value.clone()));
        let mut known = written.or_else(|| step.live.clone());
        let mut looked = false;
        loop {
            let lacks = match known.as_deref().map(health::of) {
                Some(Health::Healthy) => return Ok(None),
                Some(Health::Failed(reason)) => return Ok(Some(reason)),
                Some(Health::Progressing(lacks)) => lacks,
                None => "it is gone".to_owned(),
            };
            if looked {
                match self.patience {
                    Patience::Until(deadline) if Instant::now() < deadline => sleep(GONE_POLL.1).await,
                    _ => return Ok(Some(lacks)),
                }
            }
            looked = true;
            let namespace = step.key.namespace.as_deref();
            let found = self.requests.get(&step.resource, namespace, &step.key.name).await;
            let found = found.map_err(|error| Error::api(format!("reading {}", step.key), error))?;
            known = found.map(Arc::new);
        }
    }

    /// Leaves steps to a later round; where there is none, that is a problem.
    fn put_off(&self, steps: &[Step], reason: &str, applied: &mut Applied) {
        applied.put_off = true;
        for step in steps.iter().filter(|step| step.action.is_change()) {
            match self.patience {
                Patience::Moment => {
                    applied.pending.insert(step.key.clone(), reason.to_owned());
                }
                Patience::Until(_) => applied.problems.push(Problem {
                    place: step.place.clone(),
                    object: Some(step.key.clone()),
                    reason: reason.to_owned(),
                }),
            }
        }
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
            .map(|step| async move { (step, self.step(step).await) }.boxed())
            .collect();
        let mut results = stream::iter(writes).buffer_unordered(CONCURRENCY);
        while let Some((step, result)) = results.next().await {
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
            Done::Pending => {
                applied.pending.insert(step.key.clone(), GOING.to_owned());
                return;
            }
            Done::Written(value) => applied.written.push((step.key.clone(), *value)),
            Done::Deleted => {
                applied.deleted.insert(step.key.clone());
            }
        }
        applied.counts.add(step.action);
        self.reporter.report(Report::Change(Change {
            action: step.action,
            object: step.key.clone(),
            cause: step.cause.clone(),
            notes: step.reasons.clone(),
        }));
    }

    async fn step(&self, step: &Step) -> Result<Option<Done>, kube::Error> {
        match (step.action, &step.manifest, &step.live) {
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

    /// Deletes this very object, waits until it is gone and creates the new one. The manifest was found valid before.
    async fn replace(&self, step: &Step, manifest: &Value, live: &Value) -> Result<Done, kube::Error> {
        if !is_going(live) {
            fail_point::pass("before a replacement");
            self.tell_to_go(step, live).await?;
            fail_point::pass("within a replacement");
        }
        match self.wait_gone(step, live).await? {
            true => self.write(step, manifest).await,
            false => Ok(Done::Pending),
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
    async fn delete(&self, step: &Step, live: &Value) -> Result<Done, kube::Error> {
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

fn verb(action: Action) -> &'static str {
    match action {
        Action::Create => "creating",
        Action::Update => "changing",
        Action::Replace => "replacing",
        Action::Delete => "deleting",
        Action::Keep | Action::Blocked | Action::Unchanged => "looking at",
    }
}
