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
                Arc::new(json!({"apiVersion": "v1", "kind": "Pod", "status": status})),
            )
        })
        .into_iter()
        .collect();
    let look = Look {
        intended: vec![&web],
        live: &live,
        problems: &problems.iter().cloned().collect(),
        pending: &BTreeMap::new(),
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
fn what_has_to_stop_first_is_given_the_time() {
    let web = key("web");
    let policy = Policy {
        timeout: Duration::from_secs(30),
        min_ready: Duration::ZERO,
    };
    for (name, created, deleted, deadline) in [
        ("there before", 1, None, SINCE + 30),
        ("made late", SINCE + 20, None, SINCE + 50),
        ("still to go", 1, Some(SINCE + 45), SINCE + 75),
    ] {
        let mut metadata = json!({"creationTimestamp": at(created).to_string()});
        if let Some(deleted) = deleted {
            metadata["deletionTimestamp"] = json!(at(deleted).to_string());
        }
        let pod = json!({"apiVersion": "v1", "kind": "Pod", "metadata": metadata});
        let (live, problems) = (BTreeMap::from([(web.clone(), Arc::new(pod))]), BTreeSet::new());
        let pending = BTreeMap::new();
        let look = |now| Look {
            intended: vec![&web],
            live: &live,
            problems: &problems,
            pending: &pending,
            waits_for_approval: false,
            since: at(SINCE),
            now: at(now),
        };
        let verdict = judge(&look(deadline - 1), &policy);
        assert_eq!(verdict, Verdict::Until(at(deadline)), "{name}");
        assert!(matches!(judge(&look(deadline), &policy), Verdict::Bad(_)), "{name}");
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

#[test]
fn what_waits_to_be_replaced_is_not_healthy_though_the_old_one_is() {
    let web = key("web");
    let old = json!({"apiVersion": "v1", "kind": "Pod", "status": ready(SINCE - 100)});
    let live = BTreeMap::from([(web.clone(), Arc::new(old))]);
    let pending = BTreeMap::from([(web.clone(), "it waits for images: a:1".to_owned())]);
    let policy = Policy {
        timeout: Duration::from_secs(300),
        min_ready: Duration::from_secs(10),
    };
    let said = |now: i64, pending: &BTreeMap<ObjectKey, String>| {
        let look = Look {
            intended: vec![&web],
            live: &live,
            problems: &BTreeSet::new(),
            pending,
            waits_for_approval: false,
            since: at(SINCE),
            now: at(now),
        };
        judge(&look, &policy)
    };
    assert_eq!(said(SINCE + 50, &BTreeMap::new()), Verdict::Healthy);
    assert_eq!(said(SINCE + 50, &pending), Verdict::Until(at(SINCE + 300)));
    let late = Verdict::Bad("not healthy within 5m: Pod default/web (it waits for images: a:1)".into());
    assert_eq!(said(SINCE + 300, &pending), late);
}
