//! Which plugins a profile has at which extension point, and what each score weighs: defaults and what the file changes,
//! put together as kube-scheduler does.

use super::strict::Report;
use super::wire::{Plugin, PluginSet, Plugins};
use crate::object::FieldError;
use crate::object::field_error::Path;
use crate::scheduler::filter;
use crate::scheduler::profile::Profile;
use crate::scheduler::score;

use Point::{Bind, Filter, PostFilter, PreBind, PreEnqueue, PreFilter, PreScore, QueueSort, Reserve, Score};

/// Stands for every plugin, where plugins are disabled.
const ALL: &str = "*";

/// Where plugins take part.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Point {
    PreEnqueue,
    QueueSort,
    PreFilter,
    Filter,
    PostFilter,
    PreScore,
    Score,
    Reserve,
    Permit,
    PreBind,
    Bind,
    PostBind,
}

impl Point {
    fn field(self) -> &'static str {
        match self {
            Self::PreEnqueue => "preEnqueue",
            Self::QueueSort => "queueSort",
            Self::PreFilter => "preFilter",
            Self::Filter => "filter",
            Self::PostFilter => "postFilter",
            Self::PreScore => "preScore",
            Self::Score => "score",
            Self::Reserve => "reserve",
            Self::Permit => "permit",
            Self::PreBind => "preBind",
            Self::Bind => "bind",
            Self::PostBind => "postBind",
        }
    }
}

/// kube-scheduler's default plugins in their order, and where each takes part.
const PLUGINS: &[(&str, &[Point])] = &[
    ("SchedulingGates", &[PreEnqueue]),
    ("PrioritySort", &[QueueSort]),
    ("NodeUnschedulable", &[Filter]),
    ("NodeName", &[Filter]),
    ("TaintToleration", &[Filter, PreScore, Score]),
    ("NodeAffinity", &[PreFilter, Filter, PreScore, Score]),
    ("NodePorts", &[PreFilter, Filter]),
    ("NodeResourcesFit", &[PreFilter, Filter, PreScore, Score]),
    ("VolumeRestrictions", &[PreFilter, Filter]),
    ("NodeVolumeLimits", &[PreFilter, Filter]),
    ("VolumeBinding", &[PreFilter, Filter, PreScore, Score, Reserve, PreBind]),
    ("VolumeZone", &[PreFilter, Filter]),
    ("PodTopologySpread", &[PreFilter, Filter, PreScore, Score]),
    ("InterPodAffinity", &[PreFilter, Filter, PreScore, Score]),
    ("DefaultPreemption", &[PostFilter]),
    ("NodeResourcesBalancedAllocation", &[PreScore, Score]),
    ("ImageLocality", &[Score]),
    ("DefaultBinder", &[Bind]),
];

/// Plugins that find out at one point what they need at another.
const NEEDS: &[(Point, Point, &[&str])] = &[
    (
        Filter,
        PreFilter,
        &["NodePorts", "NodeResourcesFit", "PodTopologySpread", "InterPodAffinity"],
    ),
    (
        Score,
        PreScore,
        &["TaintToleration", "PodTopologySpread", "InterPodAffinity"],
    ),
];

pub(super) fn is_known(name: &str) -> bool {
    points(name).is_some()
}

/// The names of all plugins.
pub(super) fn names() -> Vec<&'static str> {
    PLUGINS.iter().map(|(name, _)| *name).collect()
}

fn points(name: &str) -> Option<&'static [Point]> {
    let (_, points) = PLUGINS.iter().find(|(known, _)| *known == name)?;
    Some(points)
}

/// Settles which plugins the profile has.
pub(super) fn resolve(plugins: Option<Plugins>, at: &Path, profile: &mut Profile, report: &mut Report) {
    let Some(plugins) = plugins else { return };
    let (everywhere, by_point) = apart(plugins);
    check(&everywhere, None, &at.child("multiPoint"), report);
    for (point, set) in &by_point {
        check(set, Some(*point), &at.child(point.field()), report);
    }
    let everywhere = merged(&everywhere);
    let settled: Vec<(Point, Vec<String>)> = by_point
        .iter()
        .map(|(point, set)| (*point, expanded(*point, set, &everywhere)))
        .collect();
    let of = |wanted: Point| -> &[String] {
        let found = settled.iter().find(|(point, _)| *point == wanted);
        found.map_or(&[], |(_, names)| names)
    };
    check_settled(&of, at, report);
    let has = |point: Point, name: &str| of(point).iter().any(|each| each == name);
    profile.keeps_gates = has(PreEnqueue, "SchedulingGates");
    profile.preemption = profile.preemption.filter(|_| has(PostFilter, "DefaultPreemption"));
    let filters = of(Filter).iter();
    profile.filters = filters
        .filter_map(|name| filter::PLUGINS.iter().find(|plugin| plugin.name == name))
        .collect();
    let own = by_point.iter().find(|(point, _)| *point == Score).map(|(_, set)| set);
    let own = own.and_then(|set| set.enabled.as_deref()).unwrap_or_default();
    let weight = |name: &str| {
        let said = own.iter().chain(&everywhere).find(|plugin| plugin.name == name);
        // As in kube-scheduler no weight, and 0, is 1.
        said.and_then(|plugin| plugin.weight)
            .filter(|weight| *weight != 0)
            .unwrap_or(1)
    };
    let scores = of(Score).iter();
    profile.scores = scores
        .filter_map(|name| score::PLUGINS.iter().find(|plugin| plugin.name == name))
        .map(|plugin| (plugin, weight(plugin.name)))
        .collect();
}

/// The set for every point, and those for each.
fn apart(plugins: Plugins) -> (PluginSet, [(Point, PluginSet); 12]) {
    let Plugins {
        multi_point,
        pre_enqueue,
        queue_sort,
        pre_filter,
        filter,
        post_filter,
        pre_score,
        score,
        reserve,
        permit,
        pre_bind,
        bind,
        post_bind,
    } = plugins;
    let by_point = [
        (PreEnqueue, pre_enqueue),
        (QueueSort, queue_sort),
        (PreFilter, pre_filter),
        (Filter, filter),
        (PostFilter, post_filter),
        (PreScore, pre_score),
        (Score, score),
        (Reserve, reserve),
        (Point::Permit, permit),
        (PreBind, pre_bind),
        (Bind, bind),
        (Point::PostBind, post_bind),
    ];
    let by_point = by_point.map(|(point, set)| (point, set.unwrap_or_default()));
    (multi_point.unwrap_or_default(), by_point)
}

/// Whether all that a set names exists and takes part there, once; `None` for the set of every point.
fn check(set: &PluginSet, point: Option<Point>, at: &Path, report: &mut Report) {
    let mut seen: Vec<&str> = Vec::new();
    for (index, plugin) in set.enabled.iter().flatten().enumerate() {
        let at = at.child("enabled").index(index);
        let name_at = at.child("name");
        match (points(&plugin.name), point) {
            (None, _) => report.push(FieldError::not_supported(&name_at, &plugin.name, &names())),
            (Some(points), Some(point)) if !points.contains(&point) => {
                let why = format!("this plugin does not extend {}; remove it here", point.field());
                report.push(FieldError::invalid(&name_at, &plugin.name, why));
            }
            (Some(_), _) if seen.contains(&plugin.name.as_str()) => {
                report.push(FieldError::duplicate(&name_at, &plugin.name));
            }
            (Some(_), _) => seen.push(&plugin.name),
        }
        let weight = plugin
            .weight
            .filter(|weight| !(0..=i64::from(i32::MAX)).contains(weight));
        if let Some(weight) = weight {
            let why = "must not be negative, and fit 32 bits; to leave the plugin out, disable it";
            report.push(FieldError::invalid(&at.child("weight"), weight, why));
        }
    }
    for (index, plugin) in set.disabled.iter().flatten().enumerate() {
        if plugin.name != ALL && !is_known(&plugin.name) {
            let known: Vec<&str> = [ALL].into_iter().chain(names()).collect();
            let at = at.child("disabled").index(index).child("name");
            report.push(FieldError::not_supported(&at, &plugin.name, &known));
        }
    }
}

/// The default plugins less those disabled, those enabled again in their old place, and other enabled ones behind.
fn merged(custom: &PluginSet) -> Vec<Plugin> {
    let enabled = custom.enabled.as_deref().unwrap_or_default();
    let default_weight = |name: &str| {
        let plugin = score::PLUGINS.iter().find(|plugin| plugin.name == name);
        plugin.map(|plugin| plugin.weight)
    };
    let mut merged = Vec::new();
    for (name, _) in PLUGINS {
        if is_disabled(custom, name) {
            continue;
        }
        let again = enabled.iter().find(|plugin| plugin.name == *name);
        merged.push(again.cloned().unwrap_or_else(|| Plugin {
            name: (*name).to_owned(),
            weight: default_weight(name),
        }));
    }
    for plugin in enabled {
        if !merged.iter().any(|known| known.name == plugin.name) {
            merged.push(plugin.clone());
        }
    }
    merged
}

fn is_disabled(set: &PluginSet, name: &str) -> bool {
    let mut disabled = set.disabled.iter().flatten();
    disabled.any(|plugin| plugin.name == ALL || plugin.name == name)
}

/// The plugins of a point in their order: first those of the point's own set that are also in the general one, then the
/// rest of the general one, then the rest of its own.
fn expanded(point: Point, own: &PluginSet, everywhere: &[Plugin]) -> Vec<String> {
    let takes_part = |name: &str| points(name).is_some_and(|points| points.contains(&point));
    let names = |plugins: &[Plugin]| -> Vec<String> {
        let names = plugins.iter().map(|plugin| plugin.name.clone());
        names.filter(|name| takes_part(name)).collect()
    };
    let enabled = names(own.enabled.as_deref().unwrap_or_default());
    if own.disabled.iter().flatten().any(|plugin| plugin.name == ALL) {
        return enabled;
    }
    let general: Vec<String> = names(everywhere)
        .into_iter()
        .filter(|name| !is_disabled(own, name))
        .collect();
    let (overriding, further): (Vec<String>, Vec<String>) =
        enabled.iter().cloned().partition(|name| general.contains(name));
    let others = general.into_iter().filter(|name| !enabled.contains(name));
    overriding.into_iter().chain(others).chain(further).collect()
}

/// What must be there, and what needs something else to be there.
fn check_settled<'a>(of: &impl Fn(Point) -> &'a [String], at: &Path, report: &mut Report) {
    for (point, only) in [(QueueSort, "PrioritySort"), (Bind, "DefaultBinder")] {
        if of(point).is_empty() {
            let why = format!("one plugin is needed here; enable {only}, or do not disable it");
            report.push(FieldError::required(&at.child(point.field()), &why));
        }
    }
    for (point, needed, plugins) in NEEDS {
        for name in of(*point).iter().filter(|name| plugins.contains(&name.as_str())) {
            if !of(*needed).contains(name) {
                let why = format!(
                    "{name} needs it for {}; enable it here, or disable it there, too",
                    point.field()
                );
                report.push(FieldError::required(&at.child(needed.field()), &why));
            }
        }
    }
}
