//! What scheduling keeps of a pod, and no more: thousands are held at once.

mod host_port;

use std::collections::BTreeMap;
use std::sync::Arc;

use k8s_openapi::api::core::v1::{Container, Pod, PodSpec, PreferredSchedulingTerm, Toleration};

pub use host_port::HostPort;

use super::affinity::PodTerms;
use super::node_rules::NodeRules;
use super::profile::{Profile, Profiles};
use super::resources::{self, Estimate, Resources};
use super::snapshot::{Question, Where};
use super::spread::{Asker, Constraints};
use crate::object::volume::claims;

/// The scheduler that pods are for which name none.
pub const DEFAULT_SCHEDULER: &str = "default-scheduler";

/// What other pods and nodes must know of a pod.
#[derive(Clone, Debug, PartialEq)]
pub struct PodInfo {
    /// Tells this pod from an earlier one of its name.
    pub uid: Arc<str>,
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// Its labels.
    pub labels: BTreeMap<String, String>,
    /// What it takes from its node.
    pub requests: Resources,
    /// What scores reckon it takes.
    pub estimate: Estimate,
    /// The node's ports that it takes.
    pub host_ports: Vec<HostPort>,
    /// Higher goes first, and may drive out lower ones.
    pub priority: i32,
    /// When it started to run, in seconds since 1970; `None` before.
    pub started_seconds: Option<i64>,
    /// Whether it is on its way out.
    pub is_ending: bool,
    /// Which pods it wants near and away.
    pub terms: Option<Box<PodTerms>>,
    /// The claims that it uses.
    pub claims: Vec<Claim>,
}

/// A claim that a pod of the same namespace uses.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Claim {
    /// Its name.
    pub name: String,
    /// Whether it is made for this pod alone, and is to be its own.
    pub is_own: bool,
}

/// A pod that waits for a node, with what only matters until it has one.
#[derive(Clone, Debug, PartialEq)]
pub struct PendingPod {
    /// What it has in common with placed pods.
    pub info: Arc<PodInfo>,
    /// How it is decided on.
    pub profile: Arc<Profile>,
    /// Seconds since 1970; older goes first.
    pub created_seconds: i64,
    /// Whether it may drive out pods of lower priority.
    pub preempts: bool,
    /// The node that is being made free for it, as its status says.
    pub nominated: Option<Arc<str>>,
    /// The one node it asks for, empty for any. The loop takes a pod that names its node for bound; asking
    /// where such a pod could go is for those who ask the pure part alone.
    pub node_name: String,
    /// What a node must be like.
    pub node_rules: NodeRules,
    /// What a node should be like.
    pub preferred_nodes: Vec<PreferredSchedulingTerm>,
    /// Which taints it stands.
    pub tolerations: Vec<Toleration>,
    /// Its containers' images, with their tags.
    pub images: Vec<String>,
    /// How it and its like are to be spread.
    pub spread: Constraints,
    /// What it asks about other pods.
    pub asked: Asked,
}

/// What a pod's wishes about other pods ask of the cluster.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Asked {
    /// Where pods are that all of its required near terms mean, by each term's label.
    pub near: Vec<Question>,
    /// Where pods are that it must be away from.
    pub away: Vec<Question>,
    /// Where pods are that it should be near, and how much that weighs; negative for away.
    pub preferred: Vec<(i64, Question)>,
}

impl PendingPod {
    /// Everything it asks about other pods.
    pub fn questions(&self) -> impl Iterator<Item = &Question> {
        let Asked { near, away, preferred } = &self.asked;
        let preferred = preferred.iter().map(|(_, question)| question);
        let spread = self.spread.iter().map(|constraint| &constraint.question);
        near.iter().chain(away).chain(preferred).chain(spread)
    }

    /// Whether a change of one node or pod may make it fit on another node.
    pub fn looks_beyond(&self) -> bool {
        self.info.terms.is_some() || !self.spread.is_empty()
    }
}

impl Asked {
    fn read(terms: Option<&PodTerms>) -> Self {
        let Some(PodTerms { near, away, preferred }) = terms else {
            return Self::default();
        };
        let ask = |who, key: &str| Question::new(who, Where::default(), key);
        let all: Vec<_> = near.iter().map(|term| term.who.clone()).collect();
        Self {
            near: near.iter().map(|term| ask(all.clone(), &term.topology_key)).collect(),
            away: away
                .iter()
                .map(|term| ask(vec![term.who.clone()], &term.topology_key))
                .collect(),
            preferred: preferred
                .iter()
                .map(|(weight, term)| (*weight, ask(vec![term.who.clone()], &term.topology_key)))
                .collect(),
        }
    }
}

/// What a pod is to the scheduler.
#[derive(Clone, Debug, PartialEq)]
pub enum Role {
    /// It runs, or is about to, on this node and takes its share.
    Placed(PodInfo, Arc<str>),
    /// It is for us to place.
    Pending(PendingPod),
    /// It is for us to place once its scheduling gates are gone.
    Gated,
    /// It is finished, being deleted or another scheduler's.
    None,
}

/// What of this pod concerns a scheduler with these profiles.
pub fn role(pod: &Pod, profiles: &Profiles) -> Role {
    let Some(spec) = &pod.spec else { return Role::None };
    let phase = pod.status.as_ref().and_then(|status| status.phase.as_deref());
    if matches!(phase, Some("Succeeded" | "Failed")) {
        return Role::None;
    }
    if let Some(node) = spec.node_name.as_deref().filter(|name| !name.is_empty()) {
        return Role::Placed(info(pod, spec), node.into());
    }
    let Some(profile) = profiles.of(scheduler_name(pod)) else {
        return Role::None;
    };
    let gated = spec.scheduling_gates.as_ref().is_some_and(|gates| !gates.is_empty());
    if pod.metadata.deletion_timestamp.is_some() {
        return Role::None;
    }
    if gated && profile.keeps_gates {
        return Role::Gated;
    }
    Role::Pending(read_pending(pod, spec, profile.clone()))
}

/// The name of the scheduler that the pod is for.
pub fn scheduler_name(pod: &Pod) -> &str {
    let spec = pod.spec.as_ref();
    let named = spec.and_then(|spec| spec.scheduler_name.as_deref());
    named.unwrap_or(DEFAULT_SCHEDULER)
}

/// Tells this pod from any other, also from an earlier one of its name.
pub fn uid(pod: &Pod) -> Arc<str> {
    let metadata = &pod.metadata;
    match metadata.uid.as_deref().filter(|uid| !uid.is_empty()) {
        Some(uid) => uid.into(),
        None => format!(
            "{}/{}",
            metadata.namespace.as_deref().unwrap_or_default(),
            metadata.name.as_deref().unwrap_or_default()
        )
        .into(),
    }
}

fn info(pod: &Pod, spec: &PodSpec) -> PodInfo {
    let namespace = pod.metadata.namespace.clone().unwrap_or_default();
    let labels = pod.metadata.labels.clone().unwrap_or_default();
    let terms = spec
        .affinity
        .as_ref()
        .and_then(|affinity| PodTerms::read(affinity, &namespace, &labels));
    PodInfo {
        uid: uid(pod),
        name: pod.metadata.name.clone().unwrap_or_default(),
        requests: resources::requests(spec),
        estimate: resources::estimate(spec),
        host_ports: host_port::read(spec),
        terms: terms.map(Box::new),
        priority: spec.priority.unwrap_or_default(),
        started_seconds: pod
            .status
            .as_ref()
            .and_then(|status| Some(status.start_time.as_ref()?.0.as_second())),
        is_ending: pod.metadata.deletion_timestamp.is_some(),
        claims: claims::used(pod)
            .map(|used| Claim {
                name: used.name(),
                is_own: used.template.is_some(),
            })
            .collect(),
        namespace,
        labels,
    }
}

/// Everything that matters to placing this pod by the standard profile, whoever is to place it.
pub fn pending(pod: &Pod) -> PendingPod {
    pending_by(pod, Profile::standard())
}

/// The same by another profile.
pub fn pending_by(pod: &Pod, profile: Arc<Profile>) -> PendingPod {
    match &pod.spec {
        Some(spec) => read_pending(pod, spec, profile),
        None => read_pending(pod, &PodSpec::default(), profile),
    }
}

fn read_pending(pod: &Pod, spec: &PodSpec, profile: Arc<Profile>) -> PendingPod {
    let info = info(pod, spec);
    let node_rules = NodeRules::read(spec);
    let tolerations = spec.tolerations.clone().unwrap_or_default();
    let asker = Asker {
        namespace: &info.namespace,
        labels: &info.labels,
        rules: &node_rules,
        tolerations: &tolerations,
    };
    let constraints = spec.topology_spread_constraints.as_deref().unwrap_or_default();
    PendingPod {
        created_seconds: pod
            .metadata
            .creation_timestamp
            .as_ref()
            .map_or(0, |time| time.0.as_second()),
        preempts: spec.preemption_policy.as_deref() != Some("Never"),
        nominated: nominated(pod),
        node_name: spec.node_name.clone().unwrap_or_default(),
        preferred_nodes: preferred_nodes(spec),
        images: spec.containers.iter().map(image).collect(),
        spread: Constraints::read(constraints, &asker),
        asked: Asked::read(info.terms.as_deref()),
        info: Arc::new(info),
        profile,
        node_rules,
        tolerations,
    }
}

fn nominated(pod: &Pod) -> Option<Arc<str>> {
    let name = pod.status.as_ref()?.nominated_node_name.as_deref()?;
    (!name.is_empty()).then(|| name.into())
}

fn preferred_nodes(spec: &PodSpec) -> Vec<PreferredSchedulingTerm> {
    let affinity = spec
        .affinity
        .as_ref()
        .and_then(|affinity| affinity.node_affinity.as_ref());
    let preferred = affinity.and_then(|affinity| affinity.preferred_during_scheduling_ignored_during_execution.clone());
    preferred.unwrap_or_default()
}

fn image(container: &Container) -> String {
    tagged(container.image.as_deref().unwrap_or_default())
}

/// An image's name with the tag that stands for none.
pub fn tagged(image: &str) -> String {
    let last = image.rsplit('/').next().unwrap_or_default();
    if last.contains(':') {
        image.to_owned()
    } else {
        format!("{image}:latest")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn role_of(spec: Value, metadata: Value, phase: &str) -> Role {
        let pod = serde_json::from_value(json!({"metadata": metadata, "spec": spec, "status": {"phase": phase}}));
        role(&pod.expect("a pod"), &Profiles::default())
    }

    #[test]
    fn only_our_pods_without_a_node_wait() {
        let now = "2026-01-02T03:04:05Z";
        for (name, spec, metadata, phase, wanted) in [
            ("a new pod", json!({"containers": []}), json!({}), "Pending", "pending"),
            (
                "bound",
                json!({"containers": [], "nodeName": "n"}),
                json!({}),
                "Running",
                "placed",
            ),
            (
                "finished",
                json!({"containers": [], "nodeName": "n"}),
                json!({}),
                "Succeeded",
                "none",
            ),
            ("failed unbound", json!({"containers": []}), json!({}), "Failed", "none"),
            (
                "another's",
                json!({"containers": [], "schedulerName": "mine"}),
                json!({}),
                "Pending",
                "none",
            ),
            (
                "gated",
                json!({"containers": [], "schedulingGates": [{"name": "g"}]}),
                json!({}),
                "Pending",
                "gated",
            ),
            (
                "being deleted",
                json!({"containers": []}),
                json!({"deletionTimestamp": now}),
                "Pending",
                "none",
            ),
            (
                "bound and being deleted",
                json!({"containers": [], "nodeName": "n"}),
                json!({"deletionTimestamp": now}),
                "Running",
                "placed",
            ),
        ] {
            let got = match role_of(spec, metadata, phase) {
                Role::Placed(..) => "placed",
                Role::Pending(_) => "pending",
                Role::Gated => "gated",
                Role::None => "none",
            };
            assert_eq!(got, wanted, "{name}");
        }
    }

    #[test]
    fn images_get_the_tag_that_none_stands_for() {
        for (image, wanted) in [
            ("busybox", "busybox:latest"),
            ("busybox:1", "busybox:1"),
            ("registry:5000/busybox", "registry:5000/busybox:latest"),
            ("registry:5000/busybox:1", "registry:5000/busybox:1"),
        ] {
            assert_eq!(tagged(image), wanted);
        }
    }
}
