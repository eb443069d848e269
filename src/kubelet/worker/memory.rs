//! Tells an end for want of memory from any other kill.

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::core::v1::Pod;

use super::Worker;
use crate::kubelet::observed::{Container, Exit, Observed, State};
use crate::kubelet::pod;

/// How long after the end of a container with a limit Docker may still tell that it ran out of memory.
const ROOM: SignedDuration = SignedDuration::from_secs(1);

/// The exit code of a process that was killed.
const KILLED: i32 = 137;

impl Worker {
    /// Marks containers that ended for want of memory. Until when it is not known of one, where that is so.
    pub(super) fn mark_ooms(&self, pod: &Pod, observed: &mut Observed, now: Timestamp) -> Option<Timestamp> {
        let mut unsure = None;
        for container in &mut observed.containers {
            let known = self.context.ooms.has(&container.id) || was_published(pod, container);
            let limited = container.memory_limited && !self.local.stopping.contains_key(&container.id);
            let State::Exited(exit) = &mut container.state else {
                continue;
            };
            exit.oom_killed |= known;
            if limited {
                unsure = unsure.max(told_until(exit, now));
            }
        }
        unsure
    }
}

/// Until when Docker may tell more of this end.
fn told_until(exit: &Exit, now: Timestamp) -> Option<Timestamp> {
    let until = exit.finished_at.saturating_add(ROOM).ok()?;
    let open = exit.code == KILLED && !exit.oom_killed && exit.finished_at <= now && now < until;
    open.then_some(until)
}

/// Whether the status says already that this container ended for want of memory.
fn was_published(pod: &Pod, container: &Container) -> bool {
    let published = pod::published(pod, &container.name);
    let states = published
        .into_iter()
        .flat_map(|status| [&status.state, &status.last_state]);
    states
        .flatten()
        .filter_map(|state| state.terminated.as_ref())
        .any(|ended| {
            ended.reason.as_deref() == Some("OOMKilled")
                && ended
                    .container_id
                    .as_deref()
                    .is_some_and(|id| id.ends_with(&container.id))
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_fresh_kill_is_waited_for() {
        let at = |second| Timestamp::from_second(second).expect("a time");
        let exit = Exit {
            code: KILLED,
            started_at: Some(at(90)),
            finished_at: at(100),
            oom_killed: false,
            message: None,
        };
        assert_eq!(told_until(&exit, at(100)), Some(at(101)));
        assert_eq!(told_until(&exit, at(101)), None);
        // A clock that was set back.
        assert_eq!(told_until(&exit, at(99)), None);
        assert_eq!(
            told_until(
                &Exit {
                    code: 1,
                    ..exit.clone()
                },
                at(100)
            ),
            None
        );
        assert_eq!(
            told_until(
                &Exit {
                    oom_killed: true,
                    ..exit
                },
                at(100)
            ),
            None
        );
    }
}
