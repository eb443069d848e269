//! What a budget's status should say. Pure.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::Pod;
use k8s_openapi::api::policy::v1::{PodDisruptionBudget, PodDisruptionBudgetStatus};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use k8s_openapi::jiff::Timestamp;

use crate::object::disruption::{self, GOING_FOR};
use crate::object::selector::SelectorError;

/// What counting looks at of a pod; there may be many.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PodView {
    /// Its name.
    pub name: String,
    /// Its labels.
    pub labels: BTreeMap<String, String>,
    /// Whether it is ready.
    pub ready: bool,
    /// Whether its deletion has begun.
    pub deleting: bool,
    /// Whether a controller owns it.
    pub controlled: bool,
}

/// What counting a budget came to.
#[derive(Clone, Debug, PartialEq)]
pub struct Counted {
    /// The whole status as it should be.
    pub status: PodDisruptionBudgetStatus,
    /// When to count again, though nothing happens: a pod that was to go has not.
    pub due: Option<Timestamp>,
    /// Whether there are pods that the budget's terms cannot count, for want of a controller that says how many there
    /// should be.
    pub unmanaged: bool,
}

/// Why a budget cannot be counted.
#[derive(Debug, thiserror::Error)]
enum Uncountable {
    /// Its selector is none.
    #[error("{0}")]
    Selector(#[source] SelectorError),
    /// A pod's controller is of no kind that has a scale, none of which is served.
    #[error("found no controllers for pod {0:?}")]
    NoScale(String),
    /// Its terms are neither a number nor a share.
    #[error("invalid value for IntOrString: {0:?}")]
    Amount(IntOrString),
}

/// How many pods there should be, and how many of them healthy.
#[derive(Default)]
struct Expected {
    pods: i32,
    healthy: i32,
    unmanaged: bool,
}

impl PodView {
    /// What counting looks at of a pod.
    pub fn read(pod: &Pod) -> Self {
        let owners = pod.metadata.owner_references.iter().flatten();
        Self {
            name: pod.metadata.name.clone().unwrap_or_default(),
            labels: pod.metadata.labels.clone().unwrap_or_default(),
            ready: disruption::is_ready(pod),
            deleting: pod.metadata.deletion_timestamp.is_some(),
            controlled: owners.into_iter().any(|owner| owner.controller == Some(true)),
        }
    }
}

/// Counts a budget over the pods of its namespace.
pub fn count<'a>(budget: &PodDisruptionBudget, pods: impl IntoIterator<Item = &'a PodView>, now: Timestamp) -> Counted {
    let before = budget.status.clone().unwrap_or_default();
    let counted = selected(budget, pods).and_then(|pods| Ok((expected(budget, &pods)?, pods)));
    let (expected, pods) = match counted {
        Ok(counted) => counted,
        Err(why) => {
            let mut status = before;
            disruption::fail_safe(&mut status, why.to_string(), now);
            return Counted {
                status,
                due: None,
                unmanaged: false,
            };
        }
    };
    let going = going(&before, &pods, now);
    let healthy = pods
        .iter()
        .filter(|pod| pod.ready && !pod.deleting && !going.contains_key(&pod.name));
    let current = number(healthy.count());
    // Without pods nothing is allowed, so that the first ones are safe before they were counted.
    let allowed = if expected.pods > 0 {
        (current - expected.healthy).max(0)
    } else {
        0
    };
    let due = going
        .values()
        .filter_map(|since| since.0.checked_add(GOING_FOR).ok())
        .min();
    let mut status = PodDisruptionBudgetStatus {
        conditions: before.conditions,
        current_healthy: Some(current),
        desired_healthy: Some(expected.healthy),
        disrupted_pods: (!going.is_empty()).then_some(going),
        disruptions_allowed: Some(allowed),
        expected_pods: Some(expected.pods),
        observed_generation: budget.metadata.generation,
    };
    disruption::sum_up(&mut status, now);
    Counted {
        status,
        due,
        unmanaged: expected.unmanaged,
    }
}

fn selected<'a>(
    budget: &PodDisruptionBudget,
    pods: impl IntoIterator<Item = &'a PodView>,
) -> Result<Vec<&'a PodView>, Uncountable> {
    let mut selected = Vec::new();
    for pod in pods {
        if disruption::selects(budget, &pod.labels).map_err(Uncountable::Selector)? {
            selected.push(pod);
        }
    }
    Ok(selected)
}

/// A number of pods that must stay counts them itself; every other term is about the scale of their controllers.
fn expected(budget: &PodDisruptionBudget, pods: &[&PodView]) -> Result<Expected, Uncountable> {
    let Some(spec) = &budget.spec else {
        return Ok(Expected::default());
    };
    let amount =
        |term: &IntOrString, total| disruption::amount(term, total).ok_or_else(|| Uncountable::Amount(term.clone()));
    match (&spec.max_unavailable, &spec.min_available) {
        (None, None) => Ok(Expected::default()),
        (None, Some(IntOrString::Int(healthy))) => Ok(Expected {
            pods: number(pods.len()),
            healthy: *healthy,
            unmanaged: false,
        }),
        (Some(term), _) => {
            let scale = scale(pods)?;
            Ok(Expected {
                healthy: (scale.pods - amount(term, scale.pods)?).max(0),
                ..scale
            })
        }
        (None, Some(term)) => {
            let scale = scale(pods)?;
            Ok(Expected {
                healthy: amount(term, scale.pods)?,
                ..scale
            })
        }
    }
}

/// How many pods their controllers want. Those without a controller count for nothing.
fn scale(pods: &[&PodView]) -> Result<Expected, Uncountable> {
    match pods.iter().find(|pod| pod.controlled) {
        Some(pod) => Err(Uncountable::NoScale(pod.name.clone())),
        None => Ok(Expected {
            unmanaged: !pods.is_empty(),
            ..Expected::default()
        }),
    }
}

/// The pods that were given leave to go and are not seen going yet; those that stayed for too long are not to go.
fn going(before: &PodDisruptionBudgetStatus, pods: &[&PodView], now: Timestamp) -> BTreeMap<String, Time> {
    let Some(given) = &before.disrupted_pods else {
        return BTreeMap::new();
    };
    let staying = pods.iter().filter(|pod| !pod.deleting);
    staying
        .filter_map(|pod| given.get_key_value(&pod.name))
        .filter(|(_, since)| now.duration_since(since.0) < GOING_FOR)
        .map(|(name, since)| (name.clone(), since.clone()))
        .collect()
}

/// As the API counts. More pods than that do not fit into a store.
fn number(count: usize) -> i32 {
    i32::try_from(count).unwrap_or(i32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn second(second: i64) -> Timestamp {
        Timestamp::from_second(second).expect("a time")
    }

    fn budget(spec: Value, status: Value) -> PodDisruptionBudget {
        let mut spec = spec;
        spec["selector"] = json!({"matchLabels": {"app": "web"}});
        let budget = json!({"metadata": {"name": "b", "generation": 3}, "spec": spec, "status": status});
        serde_json::from_value(budget).expect("a budget")
    }

    fn pod(name: &str) -> PodView {
        let pod = json!({
            "metadata": {"name": name, "labels": {"app": "web"}},
            "spec": {"containers": []},
            "status": {"conditions": [{"type": "Ready", "status": "True"}]},
        });
        PodView::read(&serde_json::from_value(pod).expect("a pod"))
    }

    fn ill(name: &str) -> PodView {
        PodView {
            ready: false,
            ..pod(name)
        }
    }

    fn going_away(name: &str) -> PodView {
        PodView {
            deleting: true,
            ..pod(name)
        }
    }

    fn other(name: &str) -> PodView {
        PodView {
            labels: BTreeMap::new(),
            ..pod(name)
        }
    }

    /// Healthy, wanted, there, allowed.
    fn counts(counted: &Counted) -> [i32; 4] {
        let status = &counted.status;
        [
            status.current_healthy,
            status.desired_healthy,
            status.expected_pods,
            status.disruptions_allowed,
        ]
        .map(|count| count.expect("it is counted"))
    }

    #[test]
    fn how_many_may_go() {
        let min = |min: Value| json!({"minAvailable": min});
        for (name, spec, pods, wanted) in [
            ("none there", min(json!(0)), vec![], [0, 0, 0, 0]),
            ("one spare", min(json!(1)), vec![pod("a"), pod("b")], [2, 1, 2, 1]),
            ("just enough", min(json!(2)), vec![pod("a"), pod("b")], [2, 2, 2, 0]),
            ("too few", min(json!(3)), vec![pod("a")], [1, 3, 1, 0]),
            (
                "the ill count as there",
                min(json!(1)),
                vec![pod("a"), ill("b")],
                [1, 1, 2, 0],
            ),
            (
                "those that go, too",
                min(json!(1)),
                vec![pod("a"), going_away("b")],
                [1, 1, 2, 0],
            ),
            ("others do not", min(json!(0)), vec![pod("a"), other("b")], [1, 0, 1, 1]),
            ("a share of no scale", min(json!("50%")), vec![pod("a")], [1, 0, 0, 0]),
            (
                "down of no scale",
                json!({"maxUnavailable": 1}),
                vec![pod("a")],
                [1, 0, 0, 0],
            ),
            ("no terms", json!({}), vec![pod("a")], [1, 0, 0, 0]),
        ] {
            let counted = count(&budget(spec, Value::Null), &pods, second(0));
            assert_eq!(counts(&counted), wanted, "{name}");
            assert_eq!(counted.status.observed_generation, Some(3), "{name}");
            assert_eq!(counted.unmanaged, name.ends_with("scale"), "{name}");
            let condition = &counted.status.conditions.as_ref().expect("conditions")[0];
            let reason = if wanted[3] > 0 {
                "SufficientPods"
            } else {
                "InsufficientPods"
            };
            assert_eq!(condition.reason, reason, "{name}");
        }
    }

    #[test]
    fn what_cannot_be_counted_allows_nothing_and_says_why() {
        let owned = PodView {
            controlled: true,
            ..pod("a")
        };
        let mut lost = budget(json!({"minAvailable": 0}), Value::Null);
        let selector = json!({"matchExpressions": [{"key": "app", "operator": "Near"}]});
        lost.spec.as_mut().expect("a spec").selector = serde_json::from_value(selector).expect("a selector");
        let before = json!({"disruptionsAllowed": 4, "observedGeneration": 2});
        for (name, budget, why) in [
            (
                "of a controller",
                budget(json!({"maxUnavailable": 1}), before.clone()),
                "found no controllers for pod \"a\"",
            ),
            (
                "no share",
                budget(json!({"minAvailable": "much"}), before),
                "found no controllers for pod \"a\"",
            ),
            ("no selector", lost, "\"Near\" is not a valid label selector operator"),
        ] {
            let counted = count(&budget, [&owned], second(5));
            let condition = &counted.status.conditions.as_ref().expect("conditions")[0];
            let said = (condition.reason.as_str(), condition.message.as_str());
            assert_eq!(said, ("SyncFailed", why), "{name}");
            assert_eq!(counted.status.disruptions_allowed, Some(0), "{name}");
            assert_ne!(counted.status.observed_generation, Some(3), "{name}");
        }
        let counted = count(&budget(json!({"minAvailable": 0}), Value::Null), [&owned], second(5));
        assert_eq!(counts(&counted), [1, 0, 1, 1], "a number needs no scale");
    }

    #[test]
    fn pods_that_were_given_leave_count_as_gone_for_two_minutes() {
        let given = json!({"disruptedPods": {"a": second(100).to_string(), "gone": second(100).to_string()}});
        let budget = budget(json!({"minAvailable": 1}), given);
        for (name, pods, now, healthy, left, due) in [
            ("not seen going yet", [pod("a"), pod("b")], 110, 1, 1, Some(220)),
            ("until then", [pod("a"), pod("b")], 219, 1, 1, Some(220)),
            ("it stayed", [pod("a"), pod("b")], 220, 2, 0, None),
            ("it goes", [going_away("a"), pod("b")], 110, 1, 0, None),
        ] {
            let counted = count(&budget, &pods, second(now));
            assert_eq!(counts(&counted)[0], healthy, "{name}");
            let kept = counted.status.disrupted_pods.as_ref().map_or(0, BTreeMap::len);
            assert_eq!((kept, counted.due), (left, due.map(second)), "{name}");
        }
    }

    #[test]
    fn counting_again_changes_nothing() {
        let mut budget = budget(json!({"minAvailable": 1}), Value::Null);
        let pods = [pod("a"), pod("b")];
        let first = count(&budget, &pods, second(1)).status;
        // As it is read again.
        budget.status = serde_json::from_value(serde_json::to_value(&first).expect("JSON")).expect("a status");
        assert_eq!(count(&budget, &pods, second(9)).status, first);
    }
}
