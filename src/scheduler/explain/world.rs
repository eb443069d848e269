//! What explaining looks at: lists of the cluster read into what the scheduler decides by.

use std::sync::Arc;

use k8s_openapi::api::core::v1::{Namespace, Node, PersistentVolume, PersistentVolumeClaim, Pod};
use k8s_openapi::api::policy::v1::PodDisruptionBudget;
use k8s_openapi::api::storage::v1::StorageClass;
use kube::ResourceExt as _;

use crate::scheduler::pod::{PendingPod, PodInfo, Role, role};
use crate::scheduler::preemption::Budget;
use crate::scheduler::profile::Profiles;
use crate::scheduler::reserved::comes_before;
use crate::scheduler::snapshot::Snapshot;

/// The cluster at one moment, as a scheduler sees it.
#[derive(Clone, Debug)]
pub struct World {
    /// What the scheduler decides by, each for pods of another `schedulerName`; pods of others are not its own.
    pub(super) profiles: Profiles,
    pub(super) snapshot: Snapshot,
    pub(super) budgets: Vec<Budget>,
    /// Pods that wait for a node that is being made free for them.
    nominated: Vec<(Arc<PodInfo>, Arc<str>)>,
}

impl World {
    /// Reads lists of one moment.
    pub fn new<'a>(
        profiles: Profiles,
        nodes: &[Node],
        pods: impl IntoIterator<Item = &'a Pod>,
        namespaces: &[Namespace],
        budgets: &[PodDisruptionBudget],
    ) -> Self {
        let mut snapshot = Snapshot::default();
        for namespace in namespaces {
            snapshot.set_namespace(&namespace.name_any(), namespace.labels().clone());
        }
        for node in nodes {
            snapshot.set_node(node);
        }
        let mut nominated = Vec::new();
        for pod in pods {
            match role(pod, &profiles) {
                Role::Placed(info, node) => snapshot.set_pod(info.into(), &node),
                Role::Pending(pending) => nominated.extend(pending.nominated.map(|node| (pending.info, node))),
                Role::None | Role::Gated => {}
            }
        }
        Self {
            profiles,
            snapshot,
            budgets: budgets.iter().filter_map(Budget::read).collect(),
            nominated,
        }
    }

    /// The same with these volumes, claims and classes, of the same moment.
    #[must_use]
    pub fn with_storage(
        mut self,
        volumes: Vec<PersistentVolume>,
        claims: Vec<PersistentVolumeClaim>,
        classes: Vec<StorageClass>,
    ) -> Self {
        let known = self.snapshot.volumes_mut();
        volumes.into_iter().for_each(|volume| known.set_volume(volume));
        claims.into_iter().for_each(|claim| known.set_claim(claim));
        classes.into_iter().for_each(|class| known.set_class(class));
        self
    }

    /// The cluster without the pod itself.
    pub(super) fn without(&self, pod: &PendingPod) -> Snapshot {
        let mut snapshot = self.snapshot.clone();
        snapshot.remove_pod(&pod.info.uid);
        snapshot.prepare(pod);
        snapshot
    }

    /// The other pods that a node is being made free for and that come before this one, with their nodes.
    pub(super) fn reserved(&self, pod: &PendingPod) -> impl Iterator<Item = (Arc<PodInfo>, Arc<str>)> {
        let others = self.nominated.iter();
        others.filter(|(other, _)| comes_before(other, &pod.info)).cloned()
    }
}
