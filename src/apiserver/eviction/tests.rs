//! Which pods go without asking, what their budgets ask for, and what is spent.

use serde_json::{Value, json};

use super::*;

fn pod(phase: &str, ready: bool) -> Value {
    let ready = if ready { "True" } else { "False" };
    json!({"metadata": {"name": "p"}, "status": {"phase": phase, "conditions": [{"type": "Ready", "status": ready}]}})
}

fn budget(name: &str, policy: Value, status: Value) -> PodDisruptionBudget {
    let budget = json!({"metadata": {"name": name, "generation": 2}, "spec": {"unhealthyPodEvictionPolicy": policy},
        "status": status});
    serde_json::from_value(budget).expect("a budget")
}

#[test]
fn pods_that_serve_nobody_go_without_asking() {
    let mut going = pod("Running", true);
    going["metadata"]["deletionTimestamp"] = json!("2026-01-01T00:00:00Z");
    for (name, pod, wanted) in [
        ("running", pod("Running", true), None),
        ("not ready", pod("Running", false), None),
        ("not begun", pod("Pending", false), Some(Leave::WhileUnchanged(None))),
        ("done", pod("Succeeded", false), Some(Leave::Given)),
        ("failed", pod("Failed", false), Some(Leave::Given)),
        ("going", going, Some(Leave::Given)),
    ] {
        assert_eq!(without_asking(&pod), wanted, "{name}");
    }
}

#[test]
fn what_a_budget_asks_for() {
    let counts = |current: i32, desired: i32| json!({"currentHealthy": current, "desiredHealthy": desired});
    let (spends, goes) = (
        Leave::Spend("b".to_owned()),
        Leave::WhileUnchanged(Some("b".to_owned())),
    );
    for (name, ready, policy, counts, wanted) in [
        ("ready", true, Value::Null, counts(3, 2), &spends),
        (
            "ready, whatever the policy",
            true,
            json!("AlwaysAllow"),
            counts(3, 2),
            &spends,
        ),
        ("not ready, enough others", false, Value::Null, counts(2, 2), &goes),
        ("not ready, too few others", false, Value::Null, counts(1, 2), &spends),
        ("not ready, none are needed", false, Value::Null, counts(0, 0), &spends),
        (
            "the same, named",
            false,
            json!("IfHealthyBudget"),
            counts(1, 2),
            &spends,
        ),
        (
            "not ready, never counted",
            false,
            json!("AlwaysAllow"),
            counts(1, 2),
            &goes,
        ),
    ] {
        let budgets = [budget("b", policy, counts)];
        let got = ask(&pod("Running", ready), &budgets).expect("one budget is kept");
        assert_eq!(&got, wanted, "{name}");
    }
    assert_eq!(
        ask(&pod("Running", true), &[]).expect("none is no obstacle"),
        Leave::Given
    );
    let two = [budget("a", Value::Null, json!({})), budget("b", Value::Null, json!({}))];
    assert!(matches!(ask(&pod("Running", true), &two), Err(ApiError::ManyBudgets)));
}

#[test]
fn a_pod_that_need_not_be_paid_for_must_stay_as_it_is() {
    let live = Stored {
        object: json!({}),
        revision: 7,
    };
    let asked = Options {
        resource_version: Some("5".to_owned()),
        ..Options::default()
    };
    for (name, leave, options, wanted) in [
        ("done", Leave::Given, &Options::default(), None),
        ("paid for", Leave::Spend("b".to_owned()), &Options::default(), None),
        ("not begun", Leave::WhileUnchanged(None), &Options::default(), Some("7")),
        ("another's demand", Leave::WhileUnchanged(None), &asked, Some("5")),
    ] {
        let held = held_to(&leave, options, &live);
        assert_eq!(held.resource_version.as_deref(), wanted, "{name}");
    }
}

fn spent_of(status: Value) -> Result<Value, ApiError> {
    let budget = budget("b", Value::Null, status);
    let live = Stored {
        object: serde_json::to_value(&budget).expect("JSON"),
        revision: 1,
    };
    let now = "2026-01-01T00:00:00Z".parse().expect("a time");
    spent(budget_kind().expect("it is served"), &live, "p", now)
}

#[test]
fn a_disruption_is_spent_once_and_the_last_one_shows() {
    let status = json!({"observedGeneration": 2, "disruptionsAllowed": 2, "currentHealthy": 4, "desiredHealthy": 2});
    let first = spent_of(status).expect("there is room");
    assert_eq!(first["status"]["disruptionsAllowed"], 1);
    assert_eq!(first["status"]["disruptedPods"], json!({"p": "2026-01-01T00:00:00Z"}));
    assert!(first["status"].get("conditions").is_none(), "the last one changes it");
    let last = spent_of(first["status"].clone()).expect("there is room");
    assert_eq!(last["status"]["disruptionsAllowed"], 0);
    let condition = &last["status"]["conditions"][0];
    assert_eq!(
        (&condition["status"], &condition["reason"]),
        (&json!("False"), &json!("InsufficientPods"))
    );
}

#[test]
fn refusals_say_why_and_when_to_ask_again() {
    let many: serde_json::Map<String, Value> = (0..=GOING_MAX)
        .map(|index| (format!("p{index}"), json!("2026-01-01T00:00:00Z")))
        .collect();
    let failed = json!({"type": "DisruptionAllowed", "status": "False", "reason": "SyncFailed", "message": "no scale",
        "lastTransitionTime": "2026-01-01T00:00:00Z"});
    for (name, status, code, cause, retry) in [
        (
            "no room",
            json!({"observedGeneration": 2, "currentHealthy": 1, "desiredHealthy": 2}),
            429,
            json!("The disruption budget b needs 2 healthy pods and has 1 currently"),
            Value::Null,
        ),
        (
            "not counted yet",
            json!({"observedGeneration": 1, "disruptionsAllowed": 1}),
            429,
            json!("The disruption budget b is still being processed by the server."),
            json!(10),
        ),
        (
            "not to be counted",
            json!({"observedGeneration": 2, "conditions": [failed]}),
            429,
            json!("The disruption budget b does not allow evicting pods currently because it failed sync: no scale"),
            Value::Null,
        ),
        (
            "nobody counts",
            json!({"observedGeneration": 2, "disruptionsAllowed": 1, "disruptedPods": many}),
            403,
            Value::Null,
            Value::Null,
        ),
    ] {
        let refusal = spent_of(status).expect_err(name).status();
        assert_eq!(refusal["code"], code, "{name}");
        assert_eq!(refusal["details"]["causes"][0]["message"], cause, "{name}");
        assert_eq!(refusal["details"]["retryAfterSeconds"], retry, "{name}");
    }
}
