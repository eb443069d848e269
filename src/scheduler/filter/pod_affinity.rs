//! Pods that must be near this one or away from it, in both directions.

use std::collections::HashMap;

use super::{Check, Verdict};
use crate::scheduler::affinity::{PodTerms, Term};
use crate::scheduler::pod::{PendingPod, PodInfo};
use crate::scheduler::refusal::Refusal;
use crate::scheduler::snapshot::{NodeInfo, Snapshot};

/// How many pods count in each domain, by the domain's label and value.
type Domains<'a> = HashMap<(&'a str, &'a str), usize>;

pub(super) fn check<'a>(pod: &'a PendingPod, snapshot: &'a Snapshot) -> Option<Check<'a>> {
    let own = pod
        .info
        .terms
        .as_deref()
        .filter(|terms| !terms.near.is_empty() || !terms.away.is_empty());
    let existing = existing_away(&pod.info, snapshot);
    let Some(own) = own else {
        return (!existing.is_empty()).then(|| -> Check<'a> { Box::new(move |node| welcome(&existing, node)) });
    };
    let (near, away) = counted(own, snapshot);
    // The first of a group that wants to be near itself may start anywhere.
    let first = near.is_empty() && !own.near.is_empty() && matches_all(&own.near, &pod.info, snapshot);
    Some(Box::new(move |node| {
        if !own.near.is_empty() && !is_near(&own.near, &near, node, first) {
            return Err(vec![Refusal::PodAffinity]);
        }
        if own
            .away
            .iter()
            .any(|term| domain(term, node).is_some_and(|domain| away.contains_key(&domain)))
        {
            return Err(vec![Refusal::PodAntiAffinity]);
        }
        welcome(&existing, node)
    }))
}

/// The domains in which a pod already placed wants this one away.
fn existing_away<'a>(pod: &PodInfo, snapshot: &'a Snapshot) -> Domains<'a> {
    let mut domains = Domains::new();
    if snapshot.pods_with_terms() == 0 {
        return domains;
    }
    for node in snapshot.nodes().filter(|node| node.with_terms > 0) {
        for terms in node.pods.values().filter_map(|pod| pod.terms.as_deref()) {
            for term in terms
                .away
                .iter()
                .filter(|term| term.matches(pod, snapshot.namespaces()))
            {
                if let Some(domain) = domain(term, node) {
                    *domains.entry(domain).or_default() += 1;
                }
            }
        }
    }
    domains
}

/// The domains of pods that match every near term, and of those that match an away term.
fn counted<'a>(own: &'a PodTerms, snapshot: &'a Snapshot) -> (Domains<'a>, Domains<'a>) {
    let (mut near, mut away) = (Domains::new(), Domains::new());
    for node in snapshot.nodes() {
        for pod in node.pods.values() {
            if !own.near.is_empty() && matches_all(&own.near, pod, snapshot) {
                for domain in own.near.iter().filter_map(|term| domain(term, node)) {
                    *near.entry(domain).or_default() += 1;
                }
            }
            for term in own.away.iter().filter(|term| term.matches(pod, snapshot.namespaces())) {
                if let Some(domain) = domain(term, node) {
                    *away.entry(domain).or_default() += 1;
                }
            }
        }
    }
    (near, away)
}

fn matches_all(terms: &[Term], pod: &PodInfo, snapshot: &Snapshot) -> bool {
    terms.iter().all(|term| term.matches(pod, snapshot.namespaces()))
}

/// Even the first of a group needs a node that has the labels.
fn is_near(terms: &[Term], near: &Domains, node: &NodeInfo, first: bool) -> bool {
    terms
        .iter()
        .all(|term| domain(term, node).is_some_and(|domain| first || near.contains_key(&domain)))
}

fn welcome(existing: &Domains, node: &NodeInfo) -> Verdict {
    let mut labels = node.labels.iter();
    if labels.any(|(key, value)| existing.contains_key(&(key.as_str(), value.as_str()))) {
        return Err(vec![Refusal::ExistingAntiAffinity]);
    }
    Ok(())
}

fn domain<'a>(term: &'a Term, node: &'a NodeInfo) -> Option<(&'a str, &'a str)> {
    let (key, value) = node.labels.get_key_value(&term.topology_key)?;
    Some((key, value))
}
