//! Worlds and the plans that follow from them.

mod ends;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::Pod;

use super::{Action, Desired, plan};
use crate::kubelet::local::{Hold, Local, Probed};
use crate::kubelet::observed::{Container, Observed};
use crate::kubelet::testing::{at, created, ended, observed, pod, running, sandbox, sidecar, spec, with_init};

const NOW: i64 = 500;

/// A plan in few words, e.g. `sandbox 0, launch c#0/0`.
fn words(actions: &[Action]) -> String {
    let word = |action: &Action| match action {
        Action::CreateSandbox { attempt } => format!("sandbox {attempt}"),
        Action::Launch(launch) => format!(
            "launch {}#{}/{}",
            launch.container, launch.attempt, launch.backoff_seconds
        ),
        Action::BackOff { container } => format!("back-off {container}"),
        Action::Stop { id, grace, why, .. } => format!("stop {id} {}s {why:?}", grace.as_secs()),
        Action::StopSandbox { id } => format!("stop {id}"),
        Action::Remove { id } => format!("remove {id}"),
        Action::FinishDeletion => "finish".into(),
        Action::Forget => "forget".into(),
    };
    actions.iter().map(word).collect::<Vec<_>>().join(", ")
}

fn planned(pod: &Pod, observed: &Observed, local: &Local) -> (String, Option<Timestamp>) {
    let plan = plan(Desired::Pod(pod), observed, local, at(NOW));
    (words(&plan.actions), plan.wake_at)
}

fn is(pod: &Pod, observed: &Observed, expected: &str) {
    assert_eq!(planned(pod, observed, &Local::default()).0, expected);
}

/// Ended a moment ago.
fn just_ended(name: &str, attempt: u32, code: i32) -> Container {
    ended(name, attempt, code, at(NOW - 2), at(NOW - 1))
}

#[test]
fn a_new_pod_gets_a_sandbox_and_all_its_containers_at_once() {
    is(
        &pod("Always", &["a", "b"]),
        &Observed::default(),
        "sandbox 0, launch a#0/0, launch b#0/0",
    );
}

#[test]
fn a_running_pod_is_left_alone() {
    is(
        &pod("Always", &["a", "b"]),
        &observed(vec![running("a", 0), running("b", 3)]),
        "",
    );
}

#[test]
fn a_label_or_annotation_changes_nothing() {
    let mut pod = pod("Always", &["a"]);
    pod.metadata.labels = Some([("new".to_owned(), "label".to_owned())].into());
    is(&pod, &observed(vec![running("a", 0)]), "");
}

#[test]
fn restarts_follow_the_policy() {
    for (policy, code, expected) in [
        ("Always", 0, "launch a#1/10"),
        ("Always", 1, "launch a#1/10"),
        ("OnFailure", 1, "launch a#1/10"),
        ("OnFailure", 0, "stop sandbox-0"),
        ("Never", 0, "stop sandbox-0"),
        ("Never", 1, "stop sandbox-0"),
    ] {
        let actions = planned(
            &pod(policy, &["a"]),
            &observed(vec![just_ended("a", 0, code)]),
            &Local::default(),
        )
        .0;
        assert_eq!(actions, expected, "{policy} after {code}");
    }
}

#[test]
fn a_second_failure_waits() {
    let (actions, wake_at) = planned(
        &pod("Always", &["a"]),
        &observed(vec![just_ended("a", 1, 1)]),
        &Local::default(),
    );
    assert_eq!((actions.as_str(), wake_at), ("back-off a", Some(at(NOW + 9))));
}

#[test]
fn one_that_ended_does_not_end_the_others() {
    is(
        &pod("Never", &["a", "b"]),
        &observed(vec![just_ended("a", 0, 1), running("b", 0)]),
        "",
    );
}

#[test]
fn a_changed_image_replaces_that_container_only() {
    let mut pod = pod("Always", &["a", "b"]);
    let before = observed(vec![running("a", 0), running("b", 0)]);
    pod.spec.as_mut().expect("set").containers[0].image = Some("busybox:2".into());
    is(&pod, &before, "stop a-0 30s Changed");
    // Its back-off does not count: the one that failed was another.
    is(
        &pod,
        &observed(vec![just_ended("a", 4, 1), running("b", 0)]),
        "launch a#5/0",
    );
}

#[test]
fn restart_counts_never_fall() {
    let mut pod = pod("Always", &["a"]);
    let status = serde_json::json!({"containerStatuses": [{
        "name": "a", "image": "busybox", "imageID": "", "ready": true, "restartCount": 7, "containerID": "docker://gone",
    }]});
    pod.status = Some(serde_json::from_value(status).expect("a status"));
    is(&pod, &Observed::default(), "sandbox 0, launch a#8/0");
    is(&pod, &observed(vec![just_ended("a", 0, 1)]), "launch a#8/10");
}

#[test]
fn a_container_made_but_not_started_is_made_again() {
    is(
        &pod("Always", &["a"]),
        &observed(vec![created("a", 2)]),
        "remove a-2, launch a#2/10",
    );
}

#[test]
fn init_containers_run_one_after_the_other() {
    let pod = with_init(pod("Always", &["a"]), vec![spec("i"), spec("j")]);
    for (name, containers, expected) in [
        ("the first is running", vec![running("i", 0)], ""),
        ("the first is done", vec![just_ended("i", 0, 0)], "launch j#0/0"),
        ("the first failed", vec![just_ended("i", 0, 1)], "launch i#1/10"),
        (
            "both are done",
            vec![just_ended("i", 0, 0), just_ended("j", 0, 0)],
            "launch a#0/0",
        ),
        (
            "the main one has run",
            vec![just_ended("i", 0, 0), just_ended("j", 0, 0), running("a", 0)],
            "",
        ),
        ("the dead were collected", vec![running("a", 0)], ""),
    ] {
        assert_eq!(
            planned(&pod, &observed(containers), &Local::default()).0,
            expected,
            "{name}"
        );
    }
    is(&pod, &Observed::default(), "sandbox 0, launch i#0/0");
}

#[test]
fn a_failed_init_container_ends_a_pod_that_never_restarts() {
    let pod = with_init(pod("Never", &["a"]), vec![spec("i")]);
    is(&pod, &observed(vec![just_ended("i", 0, 1)]), "stop sandbox-0");
}

#[test]
fn a_sidecar_runs_on_beside_the_others() {
    let pod = with_init(pod("Never", &["a"]), vec![sidecar("s"), spec("i")]);
    let s = || {
        let mut container = running("s", 0);
        container.hash = crate::kubelet::labels::spec_hash(&sidecar("s"));
        container
    };
    for (name, containers, expected) in [
        ("it runs", vec![s()], "launch i#0/0"),
        ("the rest runs", vec![s(), just_ended("i", 0, 0), running("a", 0)], ""),
        (
            "it failed, and the rest runs",
            vec![just_ended("s", 0, 1), just_ended("i", 0, 0), running("a", 0)],
            "launch s#1/10",
        ),
        (
            "the main one ended",
            vec![s(), just_ended("i", 0, 0), just_ended("a", 0, 0)],
            "stop s-0 30s Finished",
        ),
    ] {
        assert_eq!(
            planned(&pod, &observed(containers), &Local::default()).0,
            expected,
            "{name}"
        );
    }
    let starting = Local {
        probes: [(
            "s-0".to_owned(),
            Probed {
                started: false,
                ..Probed::default()
            },
        )]
        .into(),
        ..Local::default()
    };
    assert_eq!(
        planned(&pod, &observed(vec![s()]), &starting).0,
        "",
        "it has not passed its startup probe"
    );
}

#[test]
fn a_dead_sandbox_is_replaced_with_everything_in_it() {
    let mut world = observed(vec![running("a", 0)]);
    world.sandboxes = vec![sandbox(0, false)];
    is(&pod("Always", &["a"]), &world, "stop a-0 30s SandboxChanged");
    world.containers = vec![just_ended("a", 0, 137)];
    is(&pod("Always", &["a"]), &world, "sandbox 1, launch a#1/10");
    is(&pod("Never", &["a"]), &world, "");
    world.sandboxes = vec![sandbox(1, true), sandbox(0, false)];
    is(&pod("Always", &["a"]), &world, "launch a#1/10, remove sandbox-0");
}

#[test]
fn init_containers_run_anew_in_a_new_sandbox() {
    let pod = with_init(pod("Always", &["a"]), vec![spec("i")]);
    let mut world = observed(vec![just_ended("i", 0, 0), just_ended("a", 0, 137)]);
    world.sandboxes = vec![sandbox(1, true), sandbox(0, false)];
    is(&pod, &world, "launch i#1/0, remove sandbox-0");
}

#[test]
fn a_sandbox_that_never_started_is_made_again() {
    let mut world = observed(vec![]);
    world.sandboxes = vec![sandbox(0, false)];
    world.sandboxes[0].fresh = true;
    is(
        &pod("Always", &["a"]),
        &world,
        "remove sandbox-0, sandbox 0, launch a#0/0",
    );
}

#[test]
fn probes_restart_what_is_not_well() {
    let world = observed(vec![running("a", 0)]);
    let found = |probed| Local {
        probes: [("a-0".to_owned(), probed)].into(),
        ..Local::default()
    };
    let dead = Probed {
        alive: false,
        ..Probed::default()
    };
    let pod = pod("Always", &["a"]);
    assert_eq!(planned(&pod, &world, &found(dead)).0, "stop a-0 30s Unhealthy");
    let stuck = Probed { started: false, ..dead };
    assert_eq!(planned(&pod, &world, &found(stuck)).0, "stop a-0 30s NeverStarted");
    let unready = Probed {
        ready: false,
        ..Probed::default()
    };
    assert_eq!(planned(&pod, &world, &found(unready)).0, "");
}

#[test]
fn a_hold_keeps_a_container_back_until_its_time() {
    let hold = |retry_at| Hold {
        reason: "ErrImagePull".into(),
        message: String::new(),
        since: at(NOW - 5),
        retry_at,
        failures: 1,
        hash: String::new(),
    };
    let with = |retry_at| Local {
        holds: [("a".to_owned(), hold(retry_at))].into(),
        ..Local::default()
    };
    let pod = pod("Always", &["a"]);
    let world = observed(vec![]);
    assert_eq!(
        planned(&pod, &world, &with(None)),
        (String::new(), None),
        "a pull is under way"
    );
    assert_eq!(
        planned(&pod, &world, &with(Some(at(NOW + 5)))),
        (String::new(), Some(at(NOW + 5)))
    );
    assert_eq!(planned(&pod, &world, &with(Some(at(NOW)))).0, "launch a#0/0");
    let held = Local {
        pod_hold: Some(hold(Some(at(NOW + 5)))),
        ..Local::default()
    };
    assert_eq!(
        planned(&pod, &Observed::default(), &held),
        (String::new(), Some(at(NOW + 5)))
    );
}

#[test]
fn of_the_dead_only_the_newest_is_kept() {
    let world = observed(vec![
        just_ended("a", 0, 1),
        just_ended("a", 1, 1),
        running("a", 2),
        just_ended("b", 5, 0),
    ]);
    is(&pod("OnFailure", &["a", "b"]), &world, "remove a-0");
}
