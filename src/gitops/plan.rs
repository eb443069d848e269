//! Decides what to do with every object. Pure: all it knows comes in as arguments.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};

use super::applyset::{ApplySet, Members, PART_OF, owner};
use super::budget::{Approval, Budget};
use super::fieldset;
use super::health::is_going;
use super::kinds::Resource;
use super::manifests::{Intended, Manifests};
use super::neighbours::Others;
use super::on_drift;
use super::predict::Prediction;
use super::report::{Action, Cause, Counts, ObjectKey, Place, Problem};
use super::wave;

/// The annotation that protects an object from being deleted because it left the source.
pub const PRUNE: &str = "reconcile.dev/prune";

/// Why an object stays as another hand made it.
const LEFT: &str = "another hand changed it and it is left so, until its manifest changes or `reconcile sync`";

/// What is done first and what later: an object's stage.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Stage {
    /// What others lie in.
    Namespaces,
    /// Definitions of further kinds, and storage classes: the default one is filled into claims as they are made.
    Definitions,
    /// What workloads refer to.
    Config,
    /// What runs, and everything unknown.
    Workloads,
}

impl Stage {
    /// In their order.
    pub const ALL: [Self; 4] = [Self::Namespaces, Self::Definitions, Self::Config, Self::Workloads];

    /// The stage of a kind.
    pub fn of(group: &str, kind: &str) -> Self {
        match (group, kind) {
            ("", "Namespace") => Self::Namespaces,
            ("apiextensions.k8s.io", _) | ("storage.k8s.io", "StorageClass") => Self::Definitions,
            ("", "ConfigMap" | "Secret" | "ServiceAccount" | "LimitRange" | "ResourceQuota")
            | ("", "PersistentVolume" | "PersistentVolumeClaim")
            | ("scheduling.k8s.io" | "rbac.authorization.k8s.io" | "storage.k8s.io" | "node.k8s.io", _) => Self::Config,
            _ => Self::Workloads,
        }
    }
}

/// A live object of the source's own.
#[derive(Clone, Debug)]
pub struct Owned {
    /// As the API server has it.
    pub value: Arc<Value>,
    /// How its kind is served.
    pub resource: Resource,
}

/// All that a plan depends on.
pub struct World<'a> {
    /// What the source says.
    pub manifests: &'a Manifests,
    /// Which set is planned for.
    pub set: &'a ApplySet,
    /// Live objects that carry our label.
    pub owned: &'a BTreeMap<ObjectKey, Owned>,
    /// Live objects of intended keys, owned or not.
    pub live: &'a BTreeMap<ObjectKey, Arc<Value>>,
    /// What applying each intended object would do.
    pub predictions: &'a BTreeMap<ObjectKey, Prediction>,
    /// Objects that were as intended with this very manifest before: what differs now is drift.
    pub settled: &'a dyn Fn(&Intended) -> bool,
    /// For how long an object is left as others have it, because they change it as often as it is repaired.
    pub paused: &'a dyn Fn(&ObjectKey) -> Option<Duration>,
    /// Objects whose manifest was applied as it is and whose drift is only told.
    pub left: &'a dyn Fn(&ObjectKey, Option<&Value>) -> bool,
    /// Where members came from.
    pub members: &'a Members,
    /// What the other sources of this process say.
    pub others: &'a Others,
    /// Namespaces that hold objects of others, each with one of them.
    pub occupied: &'a BTreeMap<String, String>,
    /// Why nothing may be deleted at all, if so.
    pub no_prune: Option<String>,
    /// How much may be deleted without approval.
    pub budget: Budget,
    /// How many objects there were before this revision, where that is known.
    pub base: Option<usize>,
    /// The token of the deletions that a person agreed to, if any did.
    pub approved: Option<&'a str>,
}

/// One object and what to do with it.
#[derive(Clone, Debug)]
pub struct Step {
    /// What to do.
    pub action: Action,
    /// With which object.
    pub key: ObjectKey,
    /// Which of its stage's waves it belongs to.
    pub wave: i32,
    /// How its kind is served.
    pub resource: Resource,
    /// Where it stands in the source.
    pub place: Option<Place>,
    /// What to apply: the intended object with our label.
    pub manifest: Option<Value>,
    /// What there is.
    pub live: Option<Arc<Value>>,
    /// What there will be, if the API server could say.
    pub predicted: Option<Value>,
    /// Why, where it is not obvious.
    pub reasons: Vec<String>,
    /// Whether the source or another hand is the cause.
    pub cause: Cause,
}

/// What to do, in order.
#[derive(Clone, Debug, Default)]
pub struct Plan {
    /// Applies by stage and wave, then deletes in reverse, then what is kept.
    pub steps: Vec<Step>,
    /// Objects that the API server refuses, each reason with its place.
    pub problems: Vec<Problem>,
    /// Objects that the API server refuses, with their stage and wave.
    pub refused: Vec<(Stage, i32, ObjectKey)>,
    /// What the deletions wait for, if they do.
    pub approval: Option<Approval>,
}

impl Step {
    /// Its stage.
    pub fn stage(&self) -> Stage {
        Stage::of(&self.key.group, &self.key.kind)
    }

    /// Whether another hand deleted the object, told it to go or took it from us, and it is left so.
    pub fn is_left_gone(&self) -> bool {
        let is_lost = |live: &Value| is_going(live) || live["metadata"]["labels"][PART_OF].is_null();
        self.action == Action::Drifted && self.live.as_deref().is_none_or(is_lost)
    }
}

impl Plan {
    /// How many objects each action concerns.
    pub fn counts(&self) -> Counts {
        let mut counts = Counts::default();
        for step in &self.steps {
            counts.add(step.action);
        }
        counts
    }

    /// Whether everything is as intended, or left as it is until something changes.
    pub fn is_done(&self) -> bool {
        let is_done = |step: &Step| matches!(step.action, Action::Unchanged | Action::Drifted);
        self.steps.iter().all(is_done)
    }
}

/// The manifest as it is applied: with the label that makes it a member.
pub fn labelled(intended: &Intended, set: &ApplySet) -> Value {
    let mut manifest = intended.value.clone();
    if manifest["metadata"]["labels"].is_null() {
        manifest["metadata"]["labels"] = json!({});
    }
    if let Some(labels) = manifest["metadata"]["labels"].as_object_mut() {
        labels.insert(PART_OF.to_owned(), json!(set.id));
    }
    manifest
}

/// Compares what is wanted with what there is.
pub fn plan(world: &World<'_>) -> Plan {
    let mut plan = Plan::default();
    for intended in world.manifests.objects.values() {
        match apply_step(world, intended, &mut plan.problems) {
            Some(step) => plan.steps.push(step),
            None => {
                let stage = Stage::of(&intended.key.group, &intended.key.kind);
                plan.refused
                    .push((stage, wave_of(&intended.value), intended.key.clone()));
            }
        }
    }
    plan.steps.sort_by(|a, b| order(a).cmp(&order(b)));
    let (mut kept, mut deleted): (Vec<Step>, Vec<Step>) = leavers(world).partition(|step| step.action == Action::Keep);
    deleted.sort_by(|a, b| order(b).cmp(&order(a)));
    plan.approval = withhold(world, &mut deleted);
    kept.sort_by(|a, b| order(a).cmp(&order(b)));
    plan.steps.extend(deleted);
    plan.steps.extend(kept);
    plan.problems.sort();
    plan
}

fn order(step: &Step) -> (Stage, i32, &ObjectKey) {
    (step.stage(), step.wave, &step.key)
}

/// The wave of a manifest, which was found right before, or of a live object, whose annotation may say anything.
fn wave_of(object: &Value) -> i32 {
    wave::of(object).unwrap_or_default()
}

fn apply_step(world: &World<'_>, intended: &Intended, problems: &mut Vec<Problem>) -> Option<Step> {
    let live = world.live.get(&intended.key);
    let mut reasons = Vec::new();
    let (action, predicted) = match world.predictions.get(&intended.key)? {
        Prediction::Absent(predicted) => (Action::Create, predicted.clone()),
        Prediction::Same => (Action::Unchanged, None),
        Prediction::Changed(predicted) => {
            if let Some(live) = live {
                match owner(live) {
                    None => reasons.push("it exists and is taken over by this source".to_owned()),
                    Some(id) => reasons.extend((world.others.let_go(id, &intended.key)).map(|name| {
                        format!("it is taken over from the source {name}, which does not name it any more")
                    })),
                }
                let others = fieldset::overridden(live, predicted);
                if !others.is_empty() {
                    reasons.push(format!("fields are taken over from {}", others.join(", ")));
                }
            }
            (Action::Update, Some(predicted.clone()))
        }
        Prediction::Replace(predicted, reason) => {
            reasons.push(reason.clone());
            (Action::Replace, predicted.clone())
        }
        Prediction::Refused(refusals) => {
            problems.extend(refusals.iter().map(|refusal| Problem {
                place: Some(match &refusal.field {
                    Some(field) => intended.locate(field),
                    None => intended.place.clone(),
                }),
                object: Some(intended.key.clone()),
                reason: refusal.message.clone(),
            }));
            return None;
        }
    };
    let live_value = live.map(AsRef::as_ref);
    let is_left = action != Action::Unchanged && (world.left)(&intended.key, live_value);
    if is_left {
        // What repairing it would be, and why, is nobody's business now.
        reasons = vec![LEFT.to_owned()];
    }
    let cause = match is_left || ((world.settled)(intended) && action != Action::Unchanged) {
        true => on_drift::cause(live_value),
        false => Cause::Source,
    };
    let pause = (world.paused)(&intended.key).filter(|_| matches!(cause, Cause::Drift { .. }));
    let action = match (&cause, pause) {
        _ if is_left => Action::Drifted,
        (Cause::Drift { manager }, Some(pause)) => {
            let manager = manager.as_deref().unwrap_or("somebody");
            let seconds = pause.as_secs();
            reasons.push(format!(
                "{manager} changes it as often as it is repaired; left so for {seconds} s"
            ));
            Action::Keep
        }
        _ => action,
    };
    Some(Step {
        action,
        key: intended.key.clone(),
        wave: wave_of(&intended.value),
        resource: intended.resource.clone(),
        place: Some(intended.place.clone()),
        manifest: Some(labelled(intended, world.set)),
        live: live.cloned(),
        predicted,
        reasons,
        cause,
    })
}

/// Owned objects that the source does not name (readably): deleted, or kept with a reason.
fn leavers<'a>(world: &'a World<'_>) -> impl Iterator<Item = Step> + 'a {
    world
        .owned
        .iter()
        .filter(|(key, _)| !world.manifests.objects.contains_key(key))
        // What is on its way out already needs nothing more.
        .filter(|(_, owned)| !is_going(&owned.value))
        .map(|(key, owned)| {
            let keep = reason_to_keep(world, key, &owned.value);
            Step {
                action: if keep.is_some() { Action::Keep } else { Action::Delete },
                key: key.clone(),
                wave: wave_of(&owned.value),
                resource: owned.resource.clone(),
                place: world.members.file(key).map(Place::file),
                manifest: None,
                live: Some(Arc::clone(&owned.value)),
                predicted: None,
                reasons: keep.into_iter().collect(),
                cause: Cause::Source,
            }
        })
}

/// Blocks the deletions where they are more than the budget allows and nobody agreed to exactly them.
fn withhold(world: &World<'_>, deletes: &mut [Step]) -> Option<Approval> {
    let base = world.base.unwrap_or(usize::MAX).min(world.owned.len());
    if !world.budget.is_exceeded(deletes.len(), base) {
        return None;
    }
    let approval = Approval::of(deletes, base);
    if world.approved == Some(approval.token.as_str()) {
        return None;
    }
    for step in deletes {
        step.action = Action::Blocked;
        step.reasons
            .push(format!("it waits for approval with {} others", approval.deletes - 1));
    }
    Some(approval)
}

fn reason_to_keep(world: &World<'_>, key: &ObjectKey, live: &Value) -> Option<String> {
    if let Some(reason) = &world.no_prune {
        return Some(reason.clone());
    }
    if world.manifests.is_empty() {
        return Some("the source holds no object at all, so nothing is deleted".into());
    }
    if let Some(reason) = world.manifests.may_declare(key, world.members.file(key)) {
        return Some(reason);
    }
    if let Some(reason) = world.others.want(key) {
        return Some(reason);
    }
    if live["metadata"]["annotations"][PRUNE] == "disabled" {
        return Some(format!("its annotation {PRUNE} says disabled"));
    }
    if key.kind == "Namespace" && key.group.is_empty() {
        return reason_to_keep_namespace(world, &key.name);
    }
    None
}

/// Deleting a namespace deletes what lies in it, so that must all be ours and leaving as well.
fn reason_to_keep_namespace(world: &World<'_>, name: &str) -> Option<String> {
    let inside = |key: &&ObjectKey| key.namespace.as_deref() == Some(name);
    if let Some(intended) = world
        .manifests
        .objects
        .keys()
        .chain(world.manifests.held.keys())
        .find(inside)
    {
        return Some(format!("{intended} of the source lies in it"));
    }
    let kept = world
        .owned
        .iter()
        .filter(|(key, _)| inside(key) && !world.manifests.objects.contains_key(key))
        .find(|(key, owned)| reason_to_keep(world, key, &owned.value).is_some());
    if let Some((key, _)) = kept {
        return Some(format!("{key}, which is kept, lies in it"));
    }
    world
        .occupied
        .get(name)
        .map(|other| format!("{other}, which is not of this source, lies in it"))
}

#[cfg(test)]
mod tests;
