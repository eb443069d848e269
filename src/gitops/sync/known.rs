//! What is kept between rounds: it saves requests, tells drift from news, and names the cause of what goes on over rounds.

use std::collections::BTreeSet;
use std::collections::hash_map::DefaultHasher;
use std::hash::{Hash, Hasher};

use serde_json::Value;

use super::{Engine, Prepared};
use crate::gitops::apply::Applied;
use crate::gitops::diff::without_noise;
use crate::gitops::health::is_going;
use crate::gitops::manifests::Intended;
use crate::gitops::on_drift;
use crate::gitops::plan::{Plan, labelled};
use crate::gitops::record::Record;
use crate::gitops::report::{Action, Cause, ObjectKey};

impl Engine {
    /// Records which manifests were applied as they are. While something could not be read, what was recorded stays: it
    /// may be of that.
    pub(super) fn note_applied(&self, prepared: &Prepared, applied: &Applied, record: &mut Record) {
        let Prepared {
            marks,
            manifests,
            plan,
            problems,
            ..
        } = prepared;
        let written = applied.written.iter().map(|(key, value)| (key, value.as_ref()));
        let now = on_drift::applied(marks, &record.applied, &plan.steps, &written.collect());
        let is_whole = problems.is_empty() && manifests.held.is_empty() && manifests.unreadable.is_empty();
        match is_whole {
            true => record.applied = now,
            false => record.applied.extend(now),
        }
    }

    pub(super) fn is_settled(&self, intended: &Intended) -> bool {
        self.settled
            .get(&intended.key)
            .is_some_and(|(manifest, _)| *manifest == hash(&labelled(intended, &self.set)))
    }

    /// Remembers what was found as intended and forgets what is not intended any more.
    pub(super) fn remember(&mut self, plan: &mut Plan) {
        let applied: BTreeSet<&ObjectKey> = plan
            .steps
            .iter()
            .filter(|step| step.manifest.is_some())
            .map(|step| &step.key)
            .collect();
        self.settled.retain(|key, _| applied.contains(key));
        self.replacing.retain(|key, _| applied.contains(key));
        for step in &mut plan.steps {
            // The second half of a replacement that an earlier round began.
            let begun = match step.action {
                Action::Create => true,
                Action::Replace => step.live.as_deref().is_some_and(is_going),
                _ => false,
            };
            if let Some((cause, reasons)) = self.replacing.get(&step.key).filter(|_| begun) {
                step.action = Action::Replace;
                step.cause = cause.clone();
                step.reasons.clone_from(reasons);
            } else if begun && step.action == Action::Replace && matches!(step.cause, Cause::Drift { .. }) {
                // Not told to go by us: another hand deleted it, and whose is written nowhere.
                step.action = Action::Create;
                step.cause = Cause::Drift { manager: None };
                step.reasons.clear();
            }
            if let (Action::Unchanged, Some(manifest), Some(live)) = (step.action, &step.manifest, &step.live) {
                self.settled
                    .insert(step.key.clone(), (hash(manifest), fingerprint(live)));
            }
        }
    }
}

/// Of an object's content, without status and what changes with every write.
pub(in crate::gitops) fn fingerprint(object: &Value) -> u64 {
    hash(&without_noise(object))
}

/// Of anything, within this process.
pub(in crate::gitops) fn hash(value: &impl Hash) -> u64 {
    let mut hasher = DefaultHasher::new();
    value.hash(&mut hasher);
    hasher.finish()
}
