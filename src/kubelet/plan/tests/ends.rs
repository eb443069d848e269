//! Pods that end, are deleted, or are gone.

use k8s_openapi::api::core::v1::Pod;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

use super::{NOW, is, just_ended, planned, words};
use crate::kubelet::local::Local;
use crate::kubelet::observed::Observed;
use crate::kubelet::plan::{Desired, plan};
use crate::kubelet::testing::{at, deleting, observed, pod, running, sidecar, with_init};

#[test]
fn deletion_stops_then_finishes() {
    let pod = deleting(pod("Always", &["a", "b"]), 7);
    is(
        &pod,
        &observed(vec![running("a", 0), just_ended("b", 0, 0)]),
        "stop a-0 7s Deleted",
    );
    is(&pod, &observed(vec![just_ended("a", 0, 0)]), "finish");
    is(&pod, &Observed::default(), "finish");
}

#[test]
fn a_stop_under_way_is_repeated_only_to_hurry() {
    let world = observed(vec![running("a", 0)]);
    let local = Local {
        stopping: [("a-0".to_owned(), at(NOW + 20))].into(),
        ..Local::default()
    };
    for (grace, expected) in [(30, ""), (20, ""), (5, "stop a-0 5s Deleted")] {
        assert_eq!(
            planned(&deleting(pod("Always", &["a"]), grace), &world, &local).0,
            expected,
            "{grace}"
        );
    }
}

#[test]
fn sidecars_stop_last_and_in_reverse() {
    let pod = deleting(with_init(pod("Always", &["a"]), vec![sidecar("s"), sidecar("t")]), 7);
    is(
        &pod,
        &observed(vec![running("s", 0), running("t", 0), running("a", 0)]),
        "stop a-0 7s Deleted",
    );
    is(
        &pod,
        &observed(vec![running("s", 0), running("t", 0)]),
        "stop t-0 7s Deleted",
    );
    is(&pod, &observed(vec![running("s", 0)]), "stop s-0 7s Deleted");
}

#[test]
fn what_the_api_does_not_know_goes() {
    let gone = |observed: &Observed, last: Option<&Pod>| {
        words(&plan(Desired::Gone(last), observed, &Local::default(), at(NOW)).actions)
    };
    let world = observed(vec![running("a", 0), just_ended("b", 0, 0)]);
    assert_eq!(gone(&world, None), "stop a-0 30s Deleted", "as its label says");
    let forced = deleting(pod("Always", &["a"]), 0);
    assert_eq!(gone(&world, Some(&forced)), "stop a-0 1s Deleted");
    let world = observed(vec![just_ended("a", 0, 0)]);
    assert_eq!(gone(&world, None), "remove a-0, remove sandbox-0");
    assert_eq!(gone(&Observed::default(), None), "forget");
}

#[test]
fn an_ended_pod_stays_ended() {
    let mut pod = pod("Always", &["a"]);
    pod.status.as_mut().expect("set").phase = Some("Failed".into());
    is(&pod, &Observed::default(), "");
    is(&pod, &observed(vec![running("a", 0)]), "stop a-0 30s Finished");
}

#[test]
fn a_deadline_ends_a_pod() {
    let mut pod = pod("Always", &["a"]);
    pod.spec.as_mut().expect("set").active_deadline_seconds = Some(100);
    pod.status.as_mut().expect("set").start_time = Some(Time(at(NOW - 90)));
    let world = observed(vec![running("a", 0)]);
    assert_eq!(
        planned(&pod, &world, &Local::default()),
        (String::new(), Some(at(NOW + 10)))
    );
    pod.status.as_mut().expect("set").start_time = Some(Time(at(NOW - 100)));
    is(&pod, &world, "stop a-0 30s DeadlineExceeded");
}
