//! What a queue counts for those who watch it: what came to which of its parts and why, and how much is in each.

/// Through what a pod comes to a part of the queue, in kube-scheduler's words.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cause {
    /// It is new.
    PodAdd,
    /// It changed itself.
    PodUpdate,
    /// It was tried in vain.
    ScheduleAttemptFailure,
    /// Its rest is over.
    BackoffComplete,
    /// It has waited for a long time.
    UnschedulableTimeout,
    /// A pod came to a node.
    AssignedPodAdd,
    /// A pod on a node changed.
    AssignedPodUpdate,
    /// A pod went from a node.
    AssignedPodDelete,
    /// A node is new, or changed.
    NodeUpdate,
    /// A node is gone.
    NodeDelete,
    /// The labels of a namespace changed.
    NamespaceUpdate,
    /// A volume is new, changed or gone.
    PvUpdate,
    /// A claim is new, changed or gone.
    PvcUpdate,
    /// A storage class is new, changed or gone.
    StorageClassUpdate,
    /// A more important pod takes the room that was made, or a victim did not go.
    Preemption,
}

/// A part of the queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Part {
    Active,
    Backoff,
    Unschedulable,
}

const CAUSES: [(Cause, &str); 15] = [
    (Cause::PodAdd, "PodAdd"),
    (Cause::PodUpdate, "PodUpdate"),
    (Cause::ScheduleAttemptFailure, "ScheduleAttemptFailure"),
    (Cause::BackoffComplete, "BackoffComplete"),
    (Cause::UnschedulableTimeout, "UnschedulableTimeout"),
    (Cause::AssignedPodAdd, "AssignedPodAdd"),
    (Cause::AssignedPodUpdate, "AssignedPodUpdate"),
    (Cause::AssignedPodDelete, "AssignedPodDelete"),
    (Cause::NodeUpdate, "NodeUpdate"),
    (Cause::NodeDelete, "NodeDelete"),
    (Cause::NamespaceUpdate, "NamespaceUpdate"),
    (Cause::PvUpdate, "PvUpdate"),
    (Cause::PvcUpdate, "PvcUpdate"),
    (Cause::StorageClassUpdate, "StorageClassUpdate"),
    (Cause::Preemption, "Preemption"),
];
const PARTS: [(Part, &str); 3] = [
    (Part::Active, "active"),
    (Part::Backoff, "backoff"),
    (Part::Unschedulable, "unschedulable"),
];

/// How many pods came to each part of a queue, by what.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Incoming([[u64; CAUSES.len()]; PARTS.len()]);

impl Incoming {
    pub(super) fn count(&mut self, part: Part, cause: Cause) {
        self.0[part as usize][cause as usize] += 1;
    }

    /// The part's name, the cause's and the number, where there were any.
    pub fn iter(&self) -> impl Iterator<Item = (&'static str, &'static str, u64)> {
        let all = PARTS.iter().zip(&self.0).flat_map(|((_, part), counts)| {
            let causes = CAUSES.iter().zip(counts);
            causes.map(move |((_, cause), count)| (*part, *cause, *count))
        });
        all.filter(|(_, _, count)| *count > 0)
    }
}

/// How many pods are in each part of a queue.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Sizes {
    /// They are next.
    pub active: usize,
    /// They rest.
    pub backoff: usize,
    /// They fit nowhere.
    pub unschedulable: usize,
    /// They are being decided on or bound.
    pub taken: usize,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_has_its_own_place_and_name() {
        for (index, (cause, name)) in CAUSES.iter().enumerate() {
            assert_eq!(*cause as usize, index, "{name}");
            assert_eq!(format!("{cause:?}"), *name);
        }
        for (index, (part, name)) in PARTS.iter().enumerate() {
            assert_eq!(*part as usize, index, "{name}");
        }
    }
}
