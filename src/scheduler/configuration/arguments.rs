//! What single plugins are told: `pluginConfig`.

use std::collections::BTreeSet;
use std::time::Duration;

use k8s_openapi::api::core::v1::NodeAffinity;
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::strict::{Report, decode};
use super::wire::{
    BalancedAllocationArgs, FitArgs, InterPodAffinityArgs, NodeAffinityArgs, PluginConfig, PreemptionArgs,
    RequestedToCapacityRatio, ResourceSpec, ScoringStrategy, ShapePoint, TopologySpreadArgs, VolumeBindingArgs,
};
use super::{API_VERSION, plugins};
use crate::object::FieldError;
use crate::object::field_error::Path;
use crate::object::format::qualified_name;
use crate::object::pod::validate_node_affinity;
use crate::scheduler::profile::{AddedAffinity, Fit, Point, Profile, Strategy};
use crate::scheduler::resources::Resource;

/// The strategies by their names.
const STRATEGIES: [&str; 3] = ["LeastAllocated", "MostAllocated", "RequestedToCapacityRatio"];
/// Points of a shape are scored up to this, nodes up to 100.
const MAX_POINT: i64 = 10;

/// Tells the plugins of the profile what the file has for them.
pub(super) fn resolve(configs: Vec<PluginConfig>, at: &Path, profile: &mut Profile, report: &mut Report) {
    let mut seen = BTreeSet::new();
    for (index, PluginConfig { name, args }) in configs.into_iter().enumerate() {
        let at = at.index(index);
        if !plugins::is_known(&name) {
            let known = plugins::names();
            report.push(FieldError::not_supported(&at.child("name"), &name, &known));
            continue;
        }
        if !seen.insert(name.clone()) {
            report.push(FieldError::duplicate(&at.child("name"), &name));
        }
        let args = args.unwrap_or_else(|| Value::Object(serde_json::Map::new()));
        one(&name, args, &at.child("args"), profile, report);
    }
}

fn one(name: &str, args: Value, at: &Path, profile: &mut Profile, report: &mut Report) {
    match name {
        "NodeResourcesFit" => told(name, args, at, report, |args, report| {
            profile.fit = fit(args, at, report);
        }),
        "NodeResourcesBalancedAllocation" => told(name, args, at, report, |args, report| {
            if let Some(resources) = balanced(args, at, report) {
                profile.balanced = resources;
            }
        }),
        "InterPodAffinity" => told(name, args, at, report, |args: InterPodAffinityArgs, report| {
            let field = at.child("hardPodAffinityWeight");
            if let Some(weight) = within(args.hard_pod_affinity_weight, 0..=100, &field, report) {
                profile.required_near_weight = weight;
            }
            profile.prefers_alone = args.ignore_preferred_terms_of_existing_pods.unwrap_or_default();
        }),
        "PodTopologySpread" => told(name, args, at, report, |args, report| spread(&args, at, report)),
        "NodeAffinity" => told(name, args, at, report, |args: NodeAffinityArgs, report| {
            profile.added_affinity = added(args.added_affinity.unwrap_or_default(), at, report);
        }),
        "DefaultPreemption" => told(name, args, at, report, |args, report| {
            preemption(&args, at, profile, report);
        }),
        "VolumeBinding" => told(name, args, at, report, |args: VolumeBindingArgs, report| {
            let field = at.child("bindTimeoutSeconds");
            if let Some(seconds) = within(args.bind_timeout_seconds, 0..=i64::from(u32::MAX), &field, report) {
                profile.volumes_timeout = Duration::from_secs(seconds.unsigned_abs());
            }
        }),
        _ => {
            let why = "this plugin is told nothing; remove it from pluginConfig";
            report.push(FieldError::forbidden(at, why));
        }
    }
}

/// Decodes the arguments, which may say what they are but need not, and takes them in.
fn told<T: DeserializeOwned>(
    plugin: &str,
    mut args: Value,
    at: &Path,
    report: &mut Report,
    take: impl FnOnce(T, &mut Report),
) {
    if let Some(fields) = args.as_object_mut() {
        for (field, wanted) in [("apiVersion", API_VERSION), ("kind", &*format!("{plugin}Args"))] {
            if let Some(value) = fields.remove(field).filter(|value| value != wanted) {
                report.push(FieldError::not_supported(&at.child(field), value, &[wanted]));
            }
        }
    }
    if let Some(args) = decode(args, &at.to_string(), report) {
        take(args, report);
    }
}

fn within(value: Option<i64>, range: std::ops::RangeInclusive<i64>, at: &Path, report: &mut Report) -> Option<i64> {
    let value = value?;
    if range.contains(&value) {
        return Some(value);
    }
    let why = format!("not in valid range [{}-{}]", range.start(), range.end());
    report.push(FieldError::invalid(at, value, why));
    None
}

fn fit(args: FitArgs, at: &Path, report: &mut Report) -> Fit {
    let ignored = args.ignored_resources.unwrap_or_default();
    for (index, name) in ignored.iter().enumerate() {
        let at = at.child("ignoredResources").index(index);
        for why in qualified_name(name) {
            report.push(FieldError::invalid(&at, name, why));
        }
    }
    let groups = args.ignored_resource_groups.unwrap_or_default();
    for (index, group) in groups.iter().enumerate() {
        let at = at.child("ignoredResourceGroups").index(index);
        if group.contains('/') {
            report.push(FieldError::invalid(&at, group, "resource group name can't contain '/'"));
        }
        for why in qualified_name(group) {
            report.push(FieldError::invalid(&at, group, why));
        }
    }
    let standard = Fit::default();
    let (strategy, resources) = match args.scoring_strategy {
        None => (standard.strategy, standard.resources),
        Some(said) => strategy(said, &at.child("scoringStrategy"), report),
    };
    Fit {
        ignored: ignored.into_iter().collect(),
        ignored_groups: groups.into_iter().collect(),
        strategy,
        resources,
    }
}

fn strategy(said: ScoringStrategy, at: &Path, report: &mut Report) -> (Strategy, Vec<(Resource, i64)>) {
    let ScoringStrategy {
        type_,
        resources,
        requested_to_capacity_ratio,
    } = said;
    let type_ = type_.filter(|type_| !type_.is_empty());
    let shape = requested_to_capacity_ratio.map(|RequestedToCapacityRatio { shape }| shape.unwrap_or_default());
    let points_at = at.child("requestedToCapacityRatio.shape");
    let points = shape.map(|shape| points(&shape, &points_at, report));
    let strategy = match type_.as_deref() {
        None | Some("LeastAllocated") => Strategy::LeastAllocated,
        Some("MostAllocated") => Strategy::MostAllocated,
        Some("RequestedToCapacityRatio") => Strategy::RequestedToCapacityRatio(points.unwrap_or_else(|| {
            report.push(FieldError::required(&points_at, "at least one point must be specified"));
            Vec::new()
        })),
        Some(other) => {
            report.push(FieldError::not_supported(&at.child("type"), other, &STRATEGIES));
            Strategy::LeastAllocated
        }
    };
    let at = at.child("resources");
    let resources = resources.filter(|resources| !resources.is_empty());
    let weights = resources.map(|resources| {
        let resources = resources.into_iter().enumerate();
        resources
            .map(|(index, spec)| weighed(spec, &at.index(index), report))
            .collect()
    });
    (strategy, weights.unwrap_or_else(|| Fit::default().resources))
}

fn weighed(spec: ResourceSpec, at: &Path, report: &mut Report) -> (Resource, i64) {
    let ResourceSpec { name, weight } = spec;
    for why in qualified_name(&name) {
        report.push(FieldError::invalid(&at.child("name"), &name, why));
    }
    // As in Kubernetes no weight, and 0, is 1.
    let weight = weight.filter(|weight| *weight != 0).unwrap_or(1);
    if !(1..=100).contains(&weight) {
        let why = format!("resource weight of {name} not in valid range [1-100]");
        report.push(FieldError::invalid(&at.child("weight"), weight, why));
    }
    (Resource::from(name.as_str()), weight)
}

fn points(shape: &[ShapePoint], at: &Path, report: &mut Report) -> Vec<Point> {
    if shape.is_empty() {
        report.push(FieldError::required(at, "at least one point must be specified"));
    }
    let mut last = None;
    let mut points = Vec::new();
    for (index, ShapePoint { utilization, score }) in shape.iter().enumerate() {
        let at = at.index(index);
        within(Some(*utilization), 0..=100, &at.child("utilization"), report);
        within(Some(*score), 0..=MAX_POINT, &at.child("score"), report);
        if last.is_some_and(|last| last >= *utilization) {
            let why = "utilization values must be sorted in increasing order";
            report.push(FieldError::invalid(&at.child("utilization"), utilization, why));
        }
        last = Some(*utilization);
        points.push(Point {
            utilization: *utilization,
            score: score.saturating_mul(100 / MAX_POINT),
        });
    }
    points
}

fn balanced(args: BalancedAllocationArgs, at: &Path, report: &mut Report) -> Option<Vec<Resource>> {
    let resources = args.resources.filter(|resources| !resources.is_empty())?;
    let mut seen = BTreeSet::new();
    for (index, ResourceSpec { name, weight }) in resources.iter().enumerate() {
        let at = at.child("resources").index(index);
        if !seen.insert(name) {
            report.push(FieldError::duplicate(&at.child("name"), name));
        }
        if let Some(weight) = weight.filter(|weight| !matches!(weight, 0 | 1)) {
            report.push(FieldError::invalid(&at.child("weight"), weight, "must be 1"));
        }
    }
    Some(
        resources
            .iter()
            .map(|each| Resource::from(each.name.as_str()))
            .collect(),
    )
}

fn spread(args: &TopologySpreadArgs, at: &Path, report: &mut Report) {
    let any = args
        .default_constraints
        .as_ref()
        .is_some_and(|constraints| !constraints.is_empty());
    let (system, list) = ("System", "List");
    match args.defaulting_type.as_deref() {
        None | Some("" | "System" | "List") => {}
        Some(other) => {
            let at = at.child("defaultingType");
            report.push(FieldError::not_supported(&at, other, &[system, list]));
        }
    }
    if any {
        // They are about the pods of one Service or workload controller.
        let why = "default constraints are of Services and workload controllers, which are not known here; remove them, \
                   and write topologySpreadConstraints in pods";
        report.push(FieldError::forbidden(&at.child("defaultConstraints"), why));
    }
}

fn added(affinity: NodeAffinity, at: &Path, report: &mut Report) -> AddedAffinity {
    let mut errors = Vec::new();
    validate_node_affinity(&affinity, &at.child("addedAffinity"), &mut errors);
    errors.into_iter().for_each(|error| report.push(error));
    let required = affinity.required_during_scheduling_ignored_during_execution;
    AddedAffinity {
        required: required.map(|required| required.node_selector_terms),
        preferred: affinity
            .preferred_during_scheduling_ignored_during_execution
            .unwrap_or_default(),
    }
}

fn preemption(args: &PreemptionArgs, at: &Path, profile: &mut Profile, report: &mut Report) {
    let mut read = |value: Option<i64>, field: &str, range| {
        let value = within(value, range, &at.child(field), report)?;
        usize::try_from(value).ok()
    };
    let percentage = read(
        args.min_candidate_nodes_percentage,
        "minCandidateNodesPercentage",
        0..=100,
    );
    let fewest = read(
        args.min_candidate_nodes_absolute,
        "minCandidateNodesAbsolute",
        0..=i64::from(i32::MAX),
    );
    if let Some(candidates) = &mut profile.preemption {
        candidates.percentage = percentage.unwrap_or(candidates.percentage);
        candidates.fewest = fewest.unwrap_or(candidates.fewest);
    }
    if (percentage, fewest) == (Some(0), Some(0)) {
        let why = "minCandidateNodesPercentage and minCandidateNodesAbsolute cannot both be zero";
        report.push(FieldError::invalid(&at.child("minCandidateNodesAbsolute"), 0, why));
    }
}
