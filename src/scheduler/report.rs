//! Tells people what was decided: events and the PodScheduled condition.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use k8s_openapi::api::core::v1::{Event, EventSource, ObjectReference, Pod};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, Time};
use k8s_openapi::jiff::Timestamp;
use kube::api::{Patch, PatchParams, PostParams};
use kube::{Api, Client};
use serde_json::json;

use super::pod::{PendingPod, PodInfo};
use crate::client::Told;

/// The longest message an event may have, as the API limits it.
const LONGEST_MESSAGE: usize = 1024;
/// The same event is counted up no more often than this: a pod that is refused over and over should not
/// keep the API busy.
const REPEAT_PAUSE: Duration = Duration::from_secs(10);
/// How many pods' last event is remembered for counting up; beyond, the whole memory is dropped, which costs
/// no more than a new event instead of a count.
const REMEMBERED: usize = 1024;

/// An event about to be told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Notice {
    pub warning: bool,
    pub reason: &'static str,
    pub message: String,
}

impl Notice {
    pub(super) fn scheduled(pod: &PendingPod, node: &str) -> Self {
        Self {
            warning: false,
            reason: "Scheduled",
            message: format!(
                "Successfully assigned {}/{} to {node}",
                pod.info.namespace, pod.info.name
            ),
        }
    }

    pub(super) fn preempted(by: &PendingPod, node: &str) -> Self {
        Self {
            warning: false,
            reason: "Preempted",
            message: format!("Preempted by pod {} on node {node}", by.info.uid),
        }
    }

    pub(super) fn failed(message: String) -> Self {
        Self {
            warning: true,
            reason: "FailedScheduling",
            message,
        }
    }
}

/// Whether to write an event, and how.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Write {
    /// A new one of this name.
    New(String),
    /// The one of this name happened once more: this often by now.
    Again(String, i32),
    /// Not now; the next one counts this one too.
    Held,
}

/// Remembers each pod's last event, to count up the same one instead of writing it anew.
#[derive(Debug, Default)]
pub(super) struct Memory {
    last: HashMap<Arc<str>, Last>,
}

#[derive(Debug)]
struct Last {
    notice: Notice,
    name: String,
    count: i32,
    written: Instant,
}

impl Memory {
    /// How to write this event about that pod. `unique` tells a new event's name from earlier ones.
    pub(super) fn decide(&mut self, pod: &PodInfo, notice: &Notice, unique: u128, now: Instant) -> Write {
        if let Some(last) = self.last.get_mut(&pod.uid).filter(|last| last.notice == *notice) {
            last.count = last.count.saturating_add(1);
            if now.saturating_duration_since(last.written) < REPEAT_PAUSE {
                return Write::Held;
            }
            last.written = now;
            return Write::Again(last.name.clone(), last.count);
        }
        if self.last.len() >= REMEMBERED {
            self.last.clear();
        }
        let name = format!("{}.{unique:x}", pod.name);
        let last = Last {
            notice: notice.clone(),
            name: name.clone(),
            count: 1,
            written: now,
        };
        self.last.insert(pod.uid.clone(), last);
        Write::New(name)
    }

    pub(super) fn forget(&mut self, uid: &str) {
        self.last.remove(uid);
    }
}

/// Writes an event that happened then. Events are a courtesy: a failure is logged and no more.
pub(super) async fn event(
    client: &Client,
    scheduler: &str,
    pod: &PodInfo,
    notice: &Notice,
    write: Write,
    now: Timestamp,
) {
    let events: Api<Event> = Api::namespaced(client.clone(), &pod.namespace);
    let result = match write {
        Write::Held => return,
        Write::New(name) => {
            let event = render(scheduler, pod, notice, name, now);
            events.create(&PostParams::default(), &event).await
        }
        Write::Again(name, count) => {
            let patch = json!({"count": count, "lastTimestamp": Time(now)});
            events.patch(&name, &PatchParams::default(), &Patch::Merge(patch)).await
        }
    };
    if let Err(error) = result {
        tracing::debug!(pod = %pod.name, reason = notice.reason, error = %Told(&error), "cannot write an event");
    }
}

fn render(scheduler: &str, pod: &PodInfo, notice: &Notice, name: String, now: Timestamp) -> Event {
    let mut message = notice.message.clone();
    while message.len() > LONGEST_MESSAGE {
        message.pop();
    }
    Event {
        metadata: ObjectMeta {
            name: Some(name),
            namespace: Some(pod.namespace.clone()),
            ..ObjectMeta::default()
        },
        involved_object: ObjectReference {
            api_version: Some("v1".to_owned()),
            kind: Some("Pod".to_owned()),
            namespace: Some(pod.namespace.clone()),
            name: Some(pod.name.clone()),
            uid: Some(pod.uid.to_string()),
            ..ObjectReference::default()
        },
        type_: Some(if notice.warning { "Warning" } else { "Normal" }.to_owned()),
        reason: Some(notice.reason.to_owned()),
        message: Some(message),
        count: Some(1),
        first_timestamp: Some(Time(now)),
        last_timestamp: Some(Time(now)),
        source: Some(EventSource {
            component: Some(scheduler.to_owned()),
            ..EventSource::default()
        }),
        reporting_component: Some(scheduler.to_owned()),
        ..Event::default()
    }
}

/// Writes that the pod fits nowhere, and which node is made free for it, if it is still the pod of that version.
///
/// # Errors
/// Where the API refuses, also because the pod has changed since; not where the pod is gone.
pub(super) async fn condition(
    client: &Client,
    pod: &PendingPod,
    resource_version: &str,
    message: &str,
) -> Result<(), kube::Error> {
    let pods: Api<Pod> = Api::namespaced(client.clone(), &pod.info.namespace);
    let patch = json!({
        "metadata": {"uid": &*pod.info.uid, "resourceVersion": resource_version},
        "status": {"nominatedNodeName": pod.nominated.as_deref(), "conditions": [{
            "type": "PodScheduled",
            "status": "False",
            "reason": "Unschedulable",
            "message": message,
            "lastProbeTime": null,
            "lastTransitionTime": Time(Timestamp::now()),
        }]},
    });
    match pods
        .patch_status(&pod.info.name, &PatchParams::default(), &Patch::Strategic(patch))
        .await
    {
        Err(kube::Error::Api(status)) if status.is_not_found() => Ok(()),
        other => other.map(drop),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pod() -> Arc<PodInfo> {
        let pod = serde_json::from_value(json!({"metadata": {"name": "web", "uid": "u"}, "spec": {"containers": []}}));
        super::super::pod::pending(&pod.expect("a pod")).info
    }

    #[test]
    fn the_same_event_is_counted_up_and_not_too_often() {
        let mut memory = Memory::default();
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        let notice = Notice::failed("full".into());
        assert_eq!(memory.decide(&pod(), &notice, 0xa, at(0)), Write::New("web.a".into()));
        assert_eq!(memory.decide(&pod(), &notice, 0xb, at(1)), Write::Held);
        assert_eq!(
            memory.decide(&pod(), &notice, 0xc, at(10)),
            Write::Again("web.a".into(), 3)
        );
        let other = Notice::failed("fuller".into());
        assert_eq!(memory.decide(&pod(), &other, 0xd, at(11)), Write::New("web.d".into()));
        memory.forget("u");
        assert_eq!(memory.decide(&pod(), &other, 0xe, at(12)), Write::New("web.e".into()));
    }

    #[test]
    fn an_event_fits_the_api() {
        let event = render(
            "default-scheduler",
            &pod(),
            &Notice::failed("ä".repeat(1000)),
            "n".into(),
            Timestamp::now(),
        );
        assert_eq!(event.message.map(|message| message.len()), Some(1024));
        assert_eq!(
            event.source.and_then(|source| source.component).as_deref(),
            Some("default-scheduler")
        );
        assert_eq!(event.type_.as_deref(), Some("Warning"));
    }
}
