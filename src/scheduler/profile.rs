//! How the pods that ask for one scheduler are decided on: which rules there are, what each score counts and by which
//! resources. Pure; worked out once, so that nothing is looked up by name while nodes are.

use std::collections::BTreeSet;
use std::sync::{Arc, LazyLock};
use std::time::Duration;

use k8s_openapi::api::core::v1::{NodeSelectorTerm, PreferredSchedulingTerm};

use super::filter;
use super::pod::DEFAULT_SCHEDULER;
use super::resources::Resource;
use super::score;

/// How long kube-scheduler waits for volumes where it is not told otherwise.
const VOLUMES_TIMEOUT: Duration = Duration::from_secs(600);

/// How the pods of one `schedulerName` are decided on.
#[derive(Debug)]
pub struct Profile {
    /// The `schedulerName`.
    pub name: Arc<str>,
    /// Whether a pod with scheduling gates waits for them to go.
    pub keeps_gates: bool,
    /// The rules that say where a pod fits, in the order they are asked.
    pub filters: Vec<&'static filter::Plugin>,
    /// The rules that say where it is best, and what each counts.
    pub scores: Vec<(&'static score::Plugin, i64)>,
    /// How many nodes are tried when others are driven out; `None` where nobody is.
    pub preemption: Option<Candidates>,
    /// How many nodes of a large cluster are looked at, in hundredths; `None` for as many as its size suggests.
    pub percentage_of_nodes: Option<u8>,
    /// By which resources a node is too small, or better than another.
    pub fit: Fit,
    /// Which resources are to be taken evenly.
    pub balanced: Vec<Resource>,
    /// What being required near by a pod already there weighs.
    pub required_near_weight: i64,
    /// Whether what pods already there prefer counts only for pods that prefer something themselves.
    pub prefers_alone: bool,
    /// What every node must or should be like, whatever the pod asks.
    pub added_affinity: AddedAffinity,
    /// How long a pod waits for the volumes that its claims get.
    pub volumes_timeout: Duration,
}

/// How many nodes are tried when others are driven out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Candidates {
    /// This part of those that may do, in hundredths,
    pub percentage: usize,
    /// and at least so many.
    pub fewest: usize,
}

/// By which resources a node is too small, or better than another.
#[derive(Clone, Debug, PartialEq)]
pub struct Fit {
    /// Extended resources that no node is refused for.
    pub ignored: BTreeSet<String>,
    /// The same for all whose name begins with one of these and a slash.
    pub ignored_groups: BTreeSet<String>,
    /// When a node is better.
    pub strategy: Strategy,
    /// By which resources, and what each counts.
    pub resources: Vec<(Resource, i64)>,
}

/// When a node is better, by what would be taken of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Strategy {
    /// The more would be left.
    LeastAllocated,
    /// The less would be left.
    MostAllocated,
    /// As a line through these points says; by utilization, which rises.
    RequestedToCapacityRatio(Vec<Point>),
}

/// What a node is worth at some utilization.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Point {
    /// In hundredths.
    pub utilization: i64,
    /// 0 to 100.
    pub score: i64,
}

/// What every node must or should be like, whatever the pod asks.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct AddedAffinity {
    /// Terms of which it must satisfy one; `None` where there is no such rule.
    pub required: Option<Vec<NodeSelectorTerm>>,
    /// Terms that it should satisfy.
    pub preferred: Vec<PreferredSchedulingTerm>,
}

/// A profile is what it is for being that one: there is only one of a name.
impl PartialEq for Profile {
    fn eq(&self, other: &Self) -> bool {
        std::ptr::eq(self, other)
    }
}

impl Profile {
    /// kube-scheduler's own, for that `schedulerName`.
    pub fn named(name: impl Into<Arc<str>>) -> Self {
        Self {
            name: name.into(),
            keeps_gates: true,
            filters: filter::PLUGINS.iter().collect(),
            scores: score::PLUGINS.iter().map(|plugin| (plugin, plugin.weight)).collect(),
            preemption: Some(Candidates::default()),
            percentage_of_nodes: None,
            fit: Fit::default(),
            balanced: vec![Resource::Cpu, Resource::Memory],
            required_near_weight: 1,
            prefers_alone: false,
            added_affinity: AddedAffinity::default(),
            volumes_timeout: VOLUMES_TIMEOUT,
        }
    }

    /// Whether pods' claims are looked at, and get volumes.
    pub fn binds_volumes(&self) -> bool {
        self.filters.iter().any(|plugin| plugin.name == filter::VOLUMES)
    }

    /// The one of pods that name no scheduler, where nothing is configured.
    pub fn standard() -> Arc<Self> {
        static STANDARD: LazyLock<Arc<Profile>> = LazyLock::new(|| Arc::new(Profile::named(DEFAULT_SCHEDULER)));
        STANDARD.clone()
    }
}

impl Default for Candidates {
    fn default() -> Self {
        Self {
            percentage: 10,
            fewest: 100,
        }
    }
}

impl Candidates {
    /// How many to try of so many that may do.
    pub fn of(self, nodes: usize) -> usize {
        (nodes * self.percentage / 100).max(self.fewest)
    }
}

impl Default for Fit {
    fn default() -> Self {
        Self {
            ignored: BTreeSet::new(),
            ignored_groups: BTreeSet::new(),
            strategy: Strategy::LeastAllocated,
            resources: vec![(Resource::Cpu, 1), (Resource::Memory, 1)],
        }
    }
}

impl Fit {
    /// Whether no node is refused for want of this resource.
    pub fn ignores(&self, name: &str) -> bool {
        self.ignored.contains(name)
            || name
                .split_once('/')
                .is_some_and(|(group, _)| self.ignored_groups.contains(group))
    }
}

/// All that one scheduler decides by, each for pods of another `schedulerName`. Never empty.
#[derive(Clone, Debug)]
pub struct Profiles(Vec<Arc<Profile>>);

impl Profiles {
    /// These, each of its own name; the standard one where there is none.
    pub fn new(profiles: Vec<Arc<Profile>>) -> Self {
        match profiles.is_empty() {
            true => Self::default(),
            false => Self(profiles),
        }
    }

    /// The one of that name. There are few, so they are looked through.
    pub fn of(&self, name: &str) -> Option<&Arc<Profile>> {
        self.0.iter().find(|profile| *profile.name == *name)
    }

    /// All of them.
    pub fn iter(&self) -> impl Iterator<Item = &Arc<Profile>> {
        self.0.iter()
    }
}

impl Default for Profiles {
    fn default() -> Self {
        Self(vec![Profile::standard()])
    }
}
