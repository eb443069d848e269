//! Whether the revision that was applied is healthy, may still become so, or has to go. Pure.

use std::collections::{BTreeMap, BTreeSet};
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
    pub live: &'a BTreeMap<ObjectKey, Value>,
    /// What went wrong when it was applied.
    pub problems: &'a BTreeSet<Problem>,
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
    let mut failed_before = false;
    let wrong = wrong(look.problems);
    let is_refused = |key: &ObjectKey| wrong.iter().any(|problem| problem.object.as_ref() == Some(key));
    for key in look.intended.iter().filter(|key| !is_refused(key)) {
        let Some(object) = look.live.get(key) else {
            lacking.push(format!("{key} (it is not there)"));
            continue;
        };
        match health::of(object) {
            Health::Failed(_) if ended(object).is_some_and(|ended| ended < whole(look.since)) => failed_before = true,
            Health::Failed(reason) => failed.push(format!("{key}: {reason}")),
            Health::Progressing(lacks) => lacking.push(format!("{key} ({lacks})")),
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
    let deadline = after(look.since, policy.timeout);
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
mod tests {
    use serde_json::json;

    use super::*;
    use crate::gitops::report::Place;

    const SINCE: i64 = 1000;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).expect("a time")
    }

    fn key(name: &str) -> ObjectKey {
        ObjectKey {
            group: String::new(),
            kind: "Pod".into(),
            namespace: Some("default".into()),
            name: name.into(),
        }
    }

    fn ready(second: i64) -> Value {
        json!({"phase": "Running", "conditions": [{"type": "Ready", "status": "True", "lastTransitionTime": at(second).to_string()}]})
    }

    fn failed(second: i64) -> Value {
        json!({"phase": "Failed", "containerStatuses": [{"name": "c", "state": {"terminated": {"exitCode": 1, "finishedAt": at(second).to_string()}}}]})
    }

    fn problem(object: Option<&str>, path: Option<&str>) -> Problem {
        Problem {
            place: path.map(Place::file),
            object: object.map(key),
            reason: "refused".into(),
        }
    }

    fn verdict(status: Option<Value>, problems: &[Problem], waits_for_approval: bool, now: i64) -> Verdict {
        let web = key("web");
        let live = status
            .map(|status| {
                (
                    web.clone(),
                    json!({"apiVersion": "v1", "kind": "Pod", "status": status}),
                )
            })
            .into_iter()
            .collect();
        let look = Look {
            intended: vec![&web],
            live: &live,
            problems: &problems.iter().cloned().collect(),
            waits_for_approval,
            since: at(SINCE),
            now: at(now),
        };
        let policy = Policy {
            timeout: Duration::from_secs(300),
            min_ready: Duration::from_secs(10),
        };
        judge(&look, &policy)
    }

    #[test]
    fn pods_have_until_the_deadline_and_must_stay_ready() {
        let deadline = SINCE + 300;
        let bad = |text: &str| Verdict::Bad(text.into());
        for (name, status, now, expected) in [
            ("not there yet", None, SINCE + 1, Verdict::Until(at(deadline))),
            (
                "not there in time",
                None,
                deadline,
                bad("not healthy within 5m: Pod default/web (it is not there)"),
            ),
            ("new", Some(json!({})), deadline - 1, Verdict::Until(at(deadline))),
            (
                "never ready",
                Some(json!({})),
                deadline,
                bad("not healthy within 5m: Pod default/web (Pending)"),
            ),
            (
                "ready a moment ago",
                Some(ready(SINCE + 5)),
                SINCE + 6,
                Verdict::Until(at(SINCE + 15)),
            ),
            (
                "ready just in time",
                Some(ready(deadline - 1)),
                deadline + 1,
                Verdict::Until(at(deadline + 9)),
            ),
            (
                "ready for long enough",
                Some(ready(SINCE + 5)),
                SINCE + 15,
                Verdict::Healthy,
            ),
            (
                "ready since before, and not looked at by its node since",
                Some(ready(1)),
                SINCE + 1,
                Verdict::Until(at(SINCE + 10)),
            ),
            ("done", Some(json!({"phase": "Succeeded"})), SINCE + 1, Verdict::Healthy),
            (
                "failed",
                Some(failed(SINCE)),
                SINCE + 1,
                bad("Pod default/web: Failed: container c ended with exit code 1 (Error)"),
            ),
            ("failed before", Some(failed(SINCE - 1)), deadline, Verdict::Undecided),
        ] {
            assert_eq!(verdict(status, &[], false, now), expected, "{name}");
        }
    }

    #[test]
    fn what_was_refused_counts_and_what_a_person_has_to_say_does_not() {
        let well = || Some(ready(SINCE));
        let later = SINCE + 300;
        assert_eq!(verdict(well(), &[], true, later), Verdict::Undecided);
        assert_eq!(
            verdict(well(), &[problem(None, None)], false, later),
            Verdict::Healthy,
            "another commit was refused"
        );
        assert_eq!(
            verdict(None, &[problem(Some("web"), Some("a.yaml"))], false, later),
            Verdict::Bad("not healthy within 5m: a.yaml: Pod default/web: refused".into()),
            "named once"
        );
        assert_eq!(
            verdict(well(), &[problem(None, Some("a.yaml"))], false, SINCE + 20),
            Verdict::Until(at(later))
        );
    }

    #[test]
    fn reasons_name_a_few() {
        let all: Vec<String> = (0..5).map(|number| format!("o{number}")).collect();
        assert_eq!(listed(&all), "o0; o1; o2 and 2 more");
        assert_eq!(listed(&["x".repeat(1000)]).chars().count(), MAX_REASON + 1);
    }
}
