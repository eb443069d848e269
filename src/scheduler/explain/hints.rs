//! Finds what would have to change for a node to take a pod, reason by reason.

use std::collections::HashMap;

use super::change::{Amount, Change, Wisher};
use super::storage;
use crate::object::node_selector::Unmet;
use crate::object::taint::{self, NO_EXECUTE, NO_SCHEDULE};
use crate::scheduler::filter::{Counted, Neighbours};
use crate::scheduler::node_rules::unmet_terms;
use crate::scheduler::pod::{HostPort, PendingPod, PodInfo};
use crate::scheduler::refusal::Refusal;
use crate::scheduler::snapshot::{NodeInfo, Question, Snapshot};

/// The taint that a node has for being cordoned, which goes when it is uncordoned.
const CORDONED: &str = "node.kubernetes.io/unschedulable";

/// What a pod's rules count, and who is where; made ready once for all nodes.
pub(super) struct Hints<'a> {
    pod: &'a PendingPod,
    snapshot: &'a Snapshot,
    spread: Vec<Counted<'a>>,
    neighbours: Option<Neighbours<'a>>,
    /// Pods that this one must be away from, by what it asks and by domain.
    away: Named,
    /// Pods that want this one away, by their term and by domain.
    objecting: Named,
}

/// Pods as namespace/name, by what is asked and the value of its label.
type Named = HashMap<(String, String), Vec<String>>;

impl<'a> Hints<'a> {
    pub(super) fn new(pod: &'a PendingPod, snapshot: &'a Snapshot) -> Self {
        let mut hints = Self {
            pod,
            snapshot,
            spread: Counted::all(pod, snapshot),
            neighbours: Neighbours::new(pod, snapshot),
            away: Named::new(),
            objecting: Named::new(),
        };
        if hints.neighbours.is_some() {
            hints.find_neighbours();
        }
        hints
    }

    /// Notes once who stands in the way where, so that no node needs a look at all others.
    fn find_neighbours(&mut self) {
        let namespaces = self.snapshot.namespaces();
        for node in self.snapshot.nodes() {
            for question in &self.pod.asked.away {
                let Some(value) = node.labels.get(question.topology_key()) else {
                    continue;
                };
                let meant = node.pods.values().filter(|other| question.means(other, namespaces));
                let key = (question.id().to_string(), value.clone());
                note(&mut self.away, key, meant.map(|other| name(other)));
            }
            for other in node.pods_with_terms() {
                for term in other.terms.iter().flat_map(|terms| &terms.away) {
                    let Some(value) = node.labels.get(&term.topology_key) else {
                        continue;
                    };
                    if term.who.means(&self.pod.info, namespaces) {
                        let key = (term.id().to_string(), value.clone());
                        note(&mut self.objecting, key, [name(other)]);
                    }
                }
            }
        }
    }

    /// Everything that would have to change, given every reason why the node does not take the pod.
    pub(super) fn changes(&self, node: &NodeInfo, reasons: &[Refusal]) -> Vec<Change> {
        let mut changes = Vec::new();
        for reason in reasons {
            match reason {
                Refusal::NodeName => changes.push(Change::NodeName {
                    asked: self.pod.node_name.clone(),
                }),
                Refusal::Unschedulable => changes.push(Change::Uncordon),
                Refusal::Taint { .. } => changes.extend(self.taints(node, reasons)),
                Refusal::NodeAffinity => self.node_rules(node, &mut changes),
                Refusal::AddedAffinity => {
                    let added = self.pod.profile.added_affinity.required.as_deref();
                    let unmet = added.and_then(|terms| unmet_terms(terms, node));
                    changes.extend(unmet.map(|unmet| Change::AddedAffinity {
                        any_of: in_words(&unmet),
                    }));
                }
                Refusal::HostPorts => changes.extend(self.ports(node)),
                Refusal::TooManyPods => changes.push(Change::Pods {
                    running: i64::try_from(node.pods.len()).unwrap_or(i64::MAX),
                    allowed: node.allowed_pods,
                }),
                Refusal::Insufficient {
                    resource,
                    needed,
                    free,
                    capacity,
                } => changes.push(Change::Resource {
                    short: Amount::of(resource, needed.saturating_sub(*free)),
                    asked: Amount::of(resource, *needed),
                    free: Amount::of(resource, *free),
                    capacity: Amount::of(resource, *capacity),
                    resource: resource.clone(),
                }),
                Refusal::SpreadLabel | Refusal::Spread => changes.extend(self.spread(node)),
                Refusal::PodAffinity | Refusal::PodAntiAffinity | Refusal::ExistingAntiAffinity => {
                    changes.extend(self.neighbours(node));
                }
                Refusal::Claim { .. }
                | Refusal::UnboundClaims
                | Refusal::VolumeElsewhere
                | Refusal::NoVolume
                | Refusal::VolumeGone
                | Refusal::ClaimTaken => changes.extend(storage::changes(self.pod, self.snapshot, node, reason)),
                // No rule of a node: what driving others out would do is told apart from it.
                Refusal::NoVictims | Refusal::PreemptionNoHelp => {}
            }
        }
        changes
    }

    /// All taints, not only the first.
    fn taints(&self, node: &NodeInfo, reasons: &[Refusal]) -> impl Iterator<Item = Change> {
        let cordoned = reasons.contains(&Refusal::Unschedulable);
        let kept_away = node.taints.iter().filter(move |taint| {
            matches!(taint.effect.as_str(), NO_SCHEDULE | NO_EXECUTE)
                && taint::tolerating(&self.pod.tolerations, taint).is_none()
                && !(cordoned && taint.key == CORDONED)
        });
        kept_away.map(|taint| Change::Toleration {
            key: taint.key.clone(),
            value: taint.value.clone().unwrap_or_default(),
            effect: taint.effect.clone(),
        })
    }

    fn node_rules(&self, node: &NodeInfo, changes: &mut Vec<Change>) {
        let rules = &self.pod.node_rules;
        changes.extend(rules.missing_labels(node).map(|(key, value)| Change::Label {
            key: key.clone(),
            value: value.clone(),
            actual: node.labels.get(key).cloned(),
        }));
        let unmet = rules.unmet_terms(node);
        changes.extend(unmet.map(|unmet| Change::NodeAffinity {
            any_of: in_words(&unmet),
        }));
    }

    fn ports(&self, node: &NodeInfo) -> impl Iterator<Item = Change> {
        let taken = self.pod.info.host_ports.iter().filter(|port| !node.has_free(port));
        taken.map(|wanted| {
            let holds = |other: &&std::sync::Arc<PodInfo>| other.host_ports.iter().any(|port| port.conflicts(wanted));
            Change::Port {
                port: port(wanted),
                taken_by: node.pods.values().filter(holds).map(|other| name(other)).collect(),
            }
        })
    }

    fn spread(&self, node: &NodeInfo) -> impl Iterator<Item = Change> {
        self.spread.iter().filter_map(|counted| {
            let key = counted.constraint.question.topology_key();
            let max_skew = counted.constraint.max_skew;
            match counted.skew(node) {
                None => Some(Change::TopologyLabel { key: key.to_owned() }),
                Some(skew) if skew > max_skew => Some(Change::Spread {
                    domain: domain(key, node),
                    pods: counted.there(node),
                    emptiest: counted.emptiest,
                    max_skew,
                    needed_skew: skew,
                }),
                Some(_) => None,
            }
        })
    }

    /// In both directions, and not only the first that is told.
    fn neighbours(&self, node: &NodeInfo) -> Vec<Change> {
        let Some(neighbours) = &self.neighbours else {
            return Vec::new();
        };
        let in_the_way = |named: &Named, id: &str, key: &str| {
            let value = node.labels.get(key).cloned().unwrap_or_default();
            named.get(&(id.to_owned(), value)).cloned().unwrap_or_default()
        };
        let lacking = neighbours.lacking(node).map(|question| {
            let key = question.topology_key();
            match node.labels.contains_key(key) {
                true => Change::Affinity {
                    pods: who(question),
                    domain: domain(key, node),
                },
                false => Change::TopologyLabel { key: key.to_owned() },
            }
        });
        let away = neighbours.in_the_way(node).map(|question| Change::AntiAffinity {
            wished_by: Wisher::ThisPod,
            pods: who(question),
            domain: domain(question.topology_key(), node),
            in_the_way: in_the_way(&self.away, question.id(), question.topology_key()),
        });
        let objecting = neighbours.objecting(node).map(|wish| Change::AntiAffinity {
            wished_by: Wisher::PodsThere,
            pods: wish.term.who.to_string(),
            domain: domain(&wish.term.topology_key, node),
            in_the_way: in_the_way(&self.objecting, wish.term.id(), &wish.term.topology_key),
        });
        lacking.chain(away).chain(objecting).collect()
    }
}

fn note(named: &mut Named, key: (String, String), pods: impl IntoIterator<Item = String>) {
    let mut pods = pods.into_iter().peekable();
    if pods.peek().is_some() {
        named.entry(key).or_default().extend(pods);
    }
}

/// `namespace/name`.
pub(super) fn name(pod: &PodInfo) -> String {
    format!("{}/{}", pod.namespace, pod.name)
}

fn who(question: &Question) -> String {
    let all: Vec<String> = question.who().iter().map(ToString::to_string).collect();
    all.join(" and ")
}

fn domain(key: &str, node: &NodeInfo) -> String {
    format!("{key}={}", node.labels.get(key).map_or("", String::as_str))
}

fn port(port: &HostPort) -> String {
    let HostPort {
        address,
        protocol,
        port,
    } = port;
    match address == HostPort::ANY_ADDRESS {
        true => format!("{port}/{protocol}"),
        false => format!("{address}:{port}/{protocol}"),
    }
}

/// What a node lacks, term by term.
pub(super) fn in_words(terms: &[Vec<Unmet>]) -> Vec<Vec<String>> {
    let words = |term: &Vec<Unmet>| term.iter().map(requirement).collect();
    terms.iter().map(words).collect()
}

fn requirement(unmet: &Unmet) -> String {
    let Unmet { requirement, actual } = unmet;
    let (key, values) = (&requirement.key, requirement.values.as_deref().unwrap_or_default());
    let wanted = match requirement.operator.as_str() {
        "In" if values.len() == 1 => format!("{key}={}", values[0]),
        "In" => format!("{key} in ({})", values.join(",")),
        "NotIn" => format!("{key} notin ({})", values.join(",")),
        "Exists" => key.clone(),
        "DoesNotExist" => format!("!{key}"),
        "Gt" => format!("{key}>{}", values.join(",")),
        "Lt" => format!("{key}<{}", values.join(",")),
        other => format!("{key} {other} {}", values.join(",")),
    };
    match actual {
        Some(actual) => format!("{wanted} (it has {key}={actual})"),
        None => wanted,
    }
}
