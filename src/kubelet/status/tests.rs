//! Worlds and the statuses that follow from them.

use k8s_openapi::api::core::v1::{Pod, PodStatus};
use serde_json::{Value, json};

use super::{Input, status};
use crate::kubelet::local::{Hold, Local, Probed};
use crate::kubelet::observed::{Container, Observed};
use crate::kubelet::testing::{at, deleting, ended, observed, pod, running, sandbox, sidecar, spec, with_init};

const NOW: i64 = 500;

fn of(pod: &Pod, observed: &Observed, local: &Local) -> Value {
    let status = status(Input {
        pod,
        observed,
        local,
        host_ip: "10.0.0.1".parse().expect("an address"),
        now: at(NOW),
    });
    serde_json::to_value(status).expect("JSON")
}

fn plainly(pod: &Pod, observed: &Observed) -> Value {
    of(pod, observed, &Local::default())
}

fn just_ended(name: &str, attempt: u32, code: i32) -> Container {
    ended(name, attempt, code, at(NOW - 2), at(NOW - 1))
}

fn condition<'a>(status: &'a Value, kind: &str) -> &'a Value {
    let conditions = status["conditions"].as_array().expect("conditions");
    conditions
        .iter()
        .find(|condition| condition["type"] == kind)
        .expect("the condition")
}

/// A pod as the API shows it after that status was written.
fn published(pod: &Pod, status: &Value) -> Pod {
    let status = serde_json::from_value::<PodStatus>(status.clone()).expect("a status");
    Pod {
        status: Some(status),
        ..pod.clone()
    }
}

#[test]
fn phases() {
    let (a, ab) = (["a"].as_slice(), ["a", "b"].as_slice());
    for (name, policy, containers, world, expected) in [
        ("nothing yet", "Always", a, vec![], "Pending"),
        ("running", "Always", a, vec![running("a", 0)], "Running"),
        ("one still to come", "Always", ab, vec![running("a", 0)], "Pending"),
        ("restarting", "Always", a, vec![just_ended("a", 0, 1)], "Running"),
        ("in back-off", "Always", a, vec![just_ended("a", 2, 1)], "Running"),
        ("ended well", "Never", a, vec![just_ended("a", 0, 0)], "Succeeded"),
        ("ended badly", "Never", a, vec![just_ended("a", 0, 1)], "Failed"),
        (
            "failed, to be tried again",
            "OnFailure",
            a,
            vec![just_ended("a", 0, 1)],
            "Running",
        ),
        (
            "one ended badly, one runs",
            "Never",
            ab,
            vec![just_ended("a", 0, 1), running("b", 0)],
            "Running",
        ),
        (
            "one well, one badly",
            "Never",
            ab,
            vec![just_ended("a", 0, 0), just_ended("b", 0, 1)],
            "Failed",
        ),
    ] {
        let status = plainly(&pod(policy, containers), &observed(world));
        assert_eq!(status["phase"], expected, "{name}");
    }
}

#[test]
fn a_running_pod() {
    let pod = pod("Always", &["a"]);
    let status = plainly(&pod, &observed(vec![running("a", 2)]));
    assert_eq!(status["podIP"], "172.17.0.2");
    assert_eq!(status["hostIP"], "10.0.0.1");
    assert_eq!(status["startTime"], "1970-01-01T00:08:20Z");
    let expected = json!({
        "name": "a", "image": "busybox", "imageID": "docker://sha256:1", "containerID": "docker://a-2",
        "ready": true, "started": true, "restartCount": 2, "state": {"running": {"startedAt": "1970-01-01T00:01:40Z"}},
    });
    assert_eq!(status["containerStatuses"], json!([expected]));
    for kind in [
        "PodReadyToStartContainers",
        "Initialized",
        "Ready",
        "ContainersReady",
        "PodScheduled",
    ] {
        assert_eq!(condition(&status, kind)["status"], "True", "{kind}");
    }
}

#[test]
fn waiting_reasons() {
    let hold = |reason: &str, since| Local {
        holds: [(
            "a".to_owned(),
            Hold {
                reason: reason.into(),
                message: "Failed to pull image \"busybox\": no".into(),
                since: at(since),
                retry_at: Some(at(NOW + 9)),
                failures: 1,
                hash: String::new(),
            },
        )]
        .into(),
        ..Local::default()
    };
    let plain = pod("Always", &["a"]);
    let init = with_init(plain.clone(), vec![spec("i")]);
    for (name, pod, world, local, expected) in [
        ("nothing yet", &plain, vec![], Local::default(), "ContainerCreating"),
        (
            "behind an init container",
            &init,
            vec![running("i", 0)],
            Local::default(),
            "PodInitializing",
        ),
        (
            "a pull failed just now",
            &plain,
            vec![],
            hold("ErrImagePull", NOW - 1),
            "ErrImagePull",
        ),
        (
            "a pull failed a while ago",
            &plain,
            vec![],
            hold("ErrImagePull", NOW - 4),
            "ImagePullBackOff",
        ),
        (
            "no config map",
            &plain,
            vec![],
            hold("CreateContainerConfigError", NOW - 4),
            "CreateContainerConfigError",
        ),
        (
            "crashed again",
            &plain,
            vec![just_ended("a", 3, 1)],
            Local::default(),
            "CrashLoopBackOff",
        ),
    ] {
        let status = of(pod, &observed(world), &local);
        let waiting = &status["containerStatuses"][0]["state"]["waiting"];
        assert_eq!(waiting["reason"], expected, "{name}");
    }
}

#[test]
fn a_crash_loop_tells_the_wait_and_the_last_end() {
    let status = plainly(&pod("Always", &["a"]), &observed(vec![just_ended("a", 1, 3)]));
    let shown = &status["containerStatuses"][0];
    let message = "back-off 10s restarting failed container=a pod=web_default(u-1)";
    assert_eq!(shown["state"]["waiting"]["message"], message);
    assert_eq!(shown["lastState"]["terminated"]["exitCode"], 3);
    assert_eq!((&shown["restartCount"], &shown["ready"]), (&json!(1), &json!(false)));
    let unready = condition(&status, "Ready");
    assert_eq!(unready["reason"], "ContainersNotReady");
    assert_eq!(unready["message"], "containers with unready status: [a]");
}

#[test]
fn ends_and_their_reasons() {
    for (name, code, oom, ran, expected) in [
        ("well", 0, false, true, "Completed"),
        ("badly", 1, false, true, "Error"),
        ("by SIGKILL", 137, false, true, "Error"),
        ("for want of memory", 137, true, true, "OOMKilled"),
        ("never started", 127, false, false, "ContainerCannotRun"),
    ] {
        let mut container = just_ended("a", 0, code);
        if let crate::kubelet::observed::State::Exited(exit) = &mut container.state {
            exit.oom_killed = oom;
            exit.started_at = exit.started_at.filter(|_| ran);
        }
        let status = plainly(&pod("Never", &["a"]), &observed(vec![container]));
        assert_eq!(
            status["containerStatuses"][0]["state"]["terminated"]["reason"], expected,
            "{name}"
        );
    }
}

#[test]
fn the_last_state_survives_the_loss_of_the_dead_container() {
    let pod = pod("Always", &["a"]);
    let before = published(&pod, &plainly(&pod, &observed(vec![just_ended("a", 0, 3)])));
    let after = plainly(&before, &observed(vec![running("a", 1)]));
    assert_eq!(after["containerStatuses"][0]["lastState"]["terminated"]["exitCode"], 3);
    let again = plainly(&published(&pod, &after), &observed(vec![running("a", 1)]));
    assert_eq!(
        again["containerStatuses"], after["containerStatuses"],
        "nor is it lost the next time"
    );
}

#[test]
fn readiness_follows_probes_and_hooks() {
    let world = observed(vec![running("a", 0)]);
    let pod = pod("Always", &["a"]);
    let probed = |ready, started| Local {
        probes: [(
            "a-0".to_owned(),
            Probed {
                ready,
                started,
                alive: true,
            },
        )]
        .into(),
        ..Local::default()
    };
    let hooked = Local {
        hooks: vec!["a-0".into()],
        ..Local::default()
    };
    for (name, local, ready, started) in [
        ("ready", probed(true, true), true, true),
        ("not ready", probed(false, true), false, true),
        ("not started", probed(true, false), false, false),
        ("its hook runs", hooked, false, false),
    ] {
        let status = of(&pod, &world, &local);
        let shown = &status["containerStatuses"][0];
        assert_eq!(
            (&shown["ready"], &shown["started"]),
            (&json!(ready), &json!(started)),
            "{name}"
        );
        assert_eq!(
            condition(&status, "Ready")["status"],
            if ready { "True" } else { "False" },
            "{name}"
        );
        assert_eq!(status["phase"], "Running", "{name}");
    }
}

#[test]
fn init_containers_hold_the_pod_back() {
    let pod = with_init(pod("Always", &["a"]), vec![spec("i"), sidecar("s")]);
    let status = plainly(&pod, &observed(vec![running("i", 0)]));
    assert_eq!(status["phase"], "Pending");
    let condition = condition(&status, "Initialized");
    assert_eq!(condition["message"], "containers with incomplete status: [i s]");
    let status = plainly(
        &pod,
        &observed(vec![just_ended("i", 0, 0), running("s", 0), running("a", 0)]),
    );
    assert_eq!(status["phase"], "Running");
    assert_eq!(self::condition(&status, "Initialized")["status"], "True");
    assert_eq!(self::condition(&status, "Ready")["status"], "True");
    assert_eq!(status["initContainerStatuses"][0]["ready"], true);
}

#[test]
fn a_transition_keeps_its_time_until_the_next() {
    let pod = pod("Always", &["a"]);
    let mut early = plainly(&pod, &observed(vec![running("a", 0)]));
    for condition in early["conditions"].as_array_mut().expect("conditions") {
        condition["lastTransitionTime"] = json!("1970-01-01T00:00:07Z");
    }
    let pod = published(&pod, &early);
    let later = plainly(&pod, &observed(vec![just_ended("a", 1, 1)]));
    assert_eq!(
        condition(&later, "PodScheduled")["lastTransitionTime"],
        "1970-01-01T00:00:07Z"
    );
    assert_eq!(condition(&later, "Ready")["lastTransitionTime"], "1970-01-01T00:08:20Z");
}

#[test]
fn a_status_that_was_written_stays_as_it_is() {
    for (name, world) in [
        ("pending", observed(vec![])),
        ("running", observed(vec![running("a", 0)])),
        ("ended", observed(vec![just_ended("a", 0, 1)])),
    ] {
        let pod = pod("Never", &["a"]);
        let first = plainly(&pod, &world);
        assert_eq!(plainly(&published(&pod, &first), &world), first, "{name}");
    }
}

#[test]
fn what_others_say_is_kept() {
    let mut pod = pod("Always", &["a"]);
    let before = json!({"qosClass": "BestEffort", "conditions": [{"type": "example.com/gate", "status": "True"}]});
    pod.status = Some(serde_json::from_value(before).expect("a status"));
    let status = plainly(&pod, &observed(vec![running("a", 0)]));
    assert_eq!(status["qosClass"], "BestEffort");
    assert_eq!(condition(&status, "example.com/gate")["status"], "True");
}

#[test]
fn a_deleted_pods_last_status() {
    let deleting = deleting(pod("Always", &["a"]), 30);
    let mut world = observed(vec![just_ended("a", 0, 0)]);
    world.sandboxes = vec![sandbox(0, false)];
    let status = plainly(&deleting, &world);
    assert_eq!(status["phase"], "Succeeded");
    assert_eq!(
        status["containerStatuses"][0]["state"]["terminated"]["reason"],
        "Completed"
    );
}

#[test]
fn a_deadline_fails_the_pod_once_nothing_runs() {
    let mut pod = pod("Always", &["a"]);
    pod.spec.as_mut().expect("set").active_deadline_seconds = Some(10);
    let started = json!({"startTime": "1970-01-01T00:00:01Z"});
    pod.status = Some(serde_json::from_value(started).expect("a status"));
    assert_eq!(plainly(&pod, &observed(vec![running("a", 0)]))["phase"], "Running");
    let status = plainly(&pod, &observed(vec![just_ended("a", 0, 137)]));
    assert_eq!(
        (&status["phase"], &status["reason"]),
        (&json!("Failed"), &json!("DeadlineExceeded"))
    );
}
