//! Waves: what has to be there and healthy before the next of them begins.

use std::sync::Arc;

use tokio::time::{Instant, sleep};

use super::{Applied, Applier, GONE_POLL, Patience};
use crate::gitops::error::Error;
use crate::gitops::health::{self, Health};
use crate::gitops::plan::{Plan, Stage, Step};
use crate::gitops::report::{Action, Problem};

impl Applier<'_> {
    /// Why steps of one wave, or deletions, have to wait, if they do.
    pub(super) async fn obstacle(&self, plan: &Plan, now: &[Step], applied: &Applied) -> Result<Option<String>, Error> {
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
        // What another hand deleted, and is left so, holds up nothing.
        let is_awaited = |step: &&Step| step.manifest.is_some() && !step.is_left_gone();
        let earlier = plan.steps.iter().filter(is_awaited);
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
        let written = written.map(|(_, value)| Arc::clone(value));
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
    pub(super) fn put_off(&self, steps: &[Step], reason: &str, applied: &mut Applied) {
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
}
