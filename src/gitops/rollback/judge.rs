//! Whether the revision that was applied is healthy, may still become so, or has to go. Pure.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use serde_json::Value;

use super::Policy;
use crate::gitops::health::{self, Health};
use crate::gitops::report::{ObjectKey, Problem};

/// How many objects a reason names.
const NAMED: usize = 3;

/// How long a reason may be: as many as there are revisions in the history are recorded.
const MAX_REASON: usize = 400;

/// All that the verdict depends on.
pub(super) struct Look<'a> {
    /// What the revision says should be there.
    pub intended: Vec<&'a ObjectKey>,
    /// What is there of it.
    pub live: &'a BTreeMap<ObjectKey, Arc<Value>>,
    /// What went wrong when it was applied.
    pub problems: &'a BTreeSet<Problem>,
    /// What a later round has to go on with: what lives of it is of the revision before.
    pub pending: &'a BTreeMap<ObjectKey, String>,
    /// Whether deletions wait for a person.
    pub waits_for_approval: bool,
    /// When it was applied first.
    pub since: Timestamp,
    pub now: Timestamp,
}

/// What is to be thought of the revision.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// All is well.
    Healthy,
    /// It cannot be said before then, unless something changes.
    Until(Timestamp),
    /// Only what is not the revision's doing stands in the way.
    Undecided,
    /// It will not do; why.
    Bad(String),
}

pub(super) fn judge(look: &Look<'_>, policy: &Policy) -> Verdict {
    let mut failed = Vec::new();
    let mut lacking = Vec::new();
    let mut young: Option<Timestamp> = None;
    let mut began = look.since;
    let mut failed_before = false;
    let wrong = wrong(look.problems);
    let is_refused = |key: &ObjectKey| wrong.iter().any(|problem| problem.object.as_ref() == Some(key));
    for key in look.intended.iter().filter(|key| !is_refused(key)) {
        if let Some(lacks) = look.pending.get(key) {
            lacking.push(format!("{key} ({lacks})"));
            began = look.live.get(key).map_or(began, |object| began.max(turned_up(object)));
            continue;
        }
        let Some(object) = look.live.get(key) else {
            lacking.push(format!("{key} (it is not there)"));
            continue;
        };
        match health::of(object) {
            Health::Failed(_) if ended(object).is_some_and(|ended| ended < whole(look.since)) => failed_before = true,
            Health::Failed(reason) => failed.push(format!("{key}: {reason}")),
            Health::Progressing(lacks) => {
                lacking.push(format!("{key} ({lacks})"));
                began = began.max(turned_up(object));
            }
            Health::Healthy => {
                let ready = ready_since(object).map(|ready| after(ready.max(look.since), policy.min_ready));
                young = young.max(ready.filter(|settled| *settled > look.now));
            }
        }
    }
    if !failed.is_empty() {
        return Verdict::Bad(listed(&failed));
    }
    if lacking.is_empty() && wrong.is_empty() {
        return match young {
            Some(settled) => Verdict::Until(settled),
            None if failed_before || look.waits_for_approval => Verdict::Undecided,
            None => Verdict::Healthy,
        };
    }
    let deadline = after(began, policy.timeout);
    if look.now < deadline {
        return Verdict::Until(deadline);
    }
    let wrong = wrong.iter().map(ToString::to_string);
    let all: Vec<String> = lacking.into_iter().chain(wrong).collect();
    Verdict::Bad(format!(
        "not healthy within {}: {}",
        shown(policy.timeout),
        listed(&all)
    ))
}

/// What is wrong with the revision itself: with an object or a file of it. That another one is refused is not its doing.
fn wrong(problems: &BTreeSet<Problem>) -> Vec<&Problem> {
    let is_its_own = |problem: &&Problem| problem.object.is_some() || problem.place.is_some();
    problems.iter().filter(is_its_own).collect()
}

/// Since when a pod is ready; None of anything else, and of pods that are done.
fn ready_since(object: &Value) -> Option<Timestamp> {
    let conditions = object["status"]["conditions"].as_array()?;
    let is_pod = object["apiVersion"] == "v1" && object["kind"] == "Pod" && object["status"]["phase"] != "Succeeded";
    let ready = conditions.iter().find(|condition| condition["type"] == "Ready")?;
    // A condition without a time says nothing of the past.
    is_pod.then(|| time(&ready["lastTransitionTime"]).unwrap_or(Timestamp::MIN))
}

/// When an object came, or, of one that is still to go, when it will be gone: a pod of the revision before may take
/// its time to stop, and only then is it made again.
fn turned_up(object: &Value) -> Timestamp {
    let metadata = &object["metadata"];
    let times = [&metadata["creationTimestamp"], &metadata["deletionTimestamp"]];
    times.into_iter().filter_map(time).max().unwrap_or(Timestamp::MIN)
}

/// When the last of a pod's containers ended.
fn ended(object: &Value) -> Option<Timestamp> {
    let containers = object["status"]["containerStatuses"].as_array()?;
    let ends = containers
        .iter()
        .filter_map(|container| time(&container["state"]["terminated"]["finishedAt"]));
    ends.max()
}

fn time(value: &Value) -> Option<Timestamp> {
    value.as_str()?.parse().ok()
}

/// As times of the API are: in whole seconds.
fn whole(time: Timestamp) -> Timestamp {
    Timestamp::from_second(time.as_second()).unwrap_or(time)
}

/// A time that no clock shows is never.
fn after(time: Timestamp, duration: Duration) -> Timestamp {
    time.checked_add(duration).unwrap_or(Timestamp::MAX)
}

fn shown(duration: Duration) -> String {
    SignedDuration::try_from(duration).map_or_else(|_| format!("{duration:?}"), |duration| format!("{duration:#}"))
}

/// The first few of them.
fn listed(all: &[String]) -> String {
    let named = all
        .iter()
        .take(NAMED)
        .map(String::as_str)
        .collect::<Vec<_>>()
        .join("; ");
    let more = match all.len().saturating_sub(NAMED) {
        0 => String::new(),
        more => format!(" and {more} more"),
    };
    match named.chars().count() {
        long if long > MAX_REASON => named.chars().take(MAX_REASON).chain("…".chars()).collect::<String>() + &more,
        _ => named + &more,
    }
}

#[cfg(test)]
mod tests;
