//! Reads a KubeSchedulerConfiguration (`kubescheduler.config.k8s.io/v1`) and says everything that is wrong with it at
//! once. Pure: the text comes in as an argument.

mod arguments;
#[cfg(test)]
mod decision_tests;
mod elect;
mod plugins;
mod strict;
#[cfg(test)]
mod tests;
mod wire;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use super::pod::DEFAULT_SCHEDULER;
use super::profile::{Profile, Profiles};
use super::queue::Backoff;
use crate::object::FieldError;
use crate::object::field_error::Path;
pub use elect::Election;
use strict::Report;

const API_VERSION: &str = "kubescheduler.config.k8s.io/v1";
const KIND: &str = "KubeSchedulerConfiguration";
/// A back-off may not be longer: a year is as good as never, and can still be reckoned with.
const LONGEST_SECONDS: u64 = 365 * 24 * 3600;

/// How the scheduler decides and how it takes turns with others.
#[derive(Clone, Debug, Default)]
pub struct Configuration {
    /// How pods are decided on, by the scheduler that they name.
    pub profiles: Profiles,
    /// How long pods rest after a failure.
    pub backoff: Backoff,
    /// How schedulers of which only one may decide agree on which.
    pub election: Election,
}

/// Everything wrong with a configuration.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub struct Invalid(pub Vec<String>);

impl fmt::Display for Invalid {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0[..] {
            [only] => formatter.write_str(only),
            many => {
                write!(formatter, "{} mistakes", many.len())?;
                many.iter().try_for_each(|each| write!(formatter, "\n  {each}"))
            }
        }
    }
}

impl Configuration {
    /// Reads one, as YAML or JSON.
    ///
    /// # Errors
    /// Everything that is wrong with it, each with the path of its field.
    pub fn read(text: &str) -> Result<Self, Invalid> {
        let mut report = Report::default();
        let read = strict::document(text, &mut report).map(|document| {
            expect(&document, "apiVersion", API_VERSION, &mut report);
            expect(&document, "kind", KIND, &mut report);
            // Of another kind or version every field would be a mistake.
            let wire = report.is_empty().then(|| strict::decode(document, "", &mut report));
            wire.flatten().map(|wire| resolve(wire, &mut report))
        });
        match read.flatten() {
            Some(configuration) if report.is_empty() => Ok(configuration),
            _ => Err(Invalid(report.into_lines())),
        }
    }
}

fn expect(document: &serde_json::Value, field: &str, wanted: &str, report: &mut Report) {
    let at = Path::new(field);
    match document.get(field) {
        None | Some(serde_json::Value::Null) => {
            report.push(FieldError::required(&at, &format!("write {field}: {wanted}")))
        }
        Some(value) if value == wanted => {}
        Some(value) => report.push(FieldError::not_supported(&at, value, &[wanted])),
    }
}

fn resolve(wire: wire::Configuration, report: &mut Report) -> Configuration {
    let wire::Configuration {
        api_version: _,
        kind: _,
        profiles,
        percentage_of_nodes_to_score,
        pod_initial_backoff_seconds,
        pod_max_backoff_seconds,
        leader_election,
        parallelism,
        client_connection,
        extenders,
        // There is nothing to profile here, and what is known of the cluster is always kept up to date.
        enable_profiling: _,
        enable_contention_profiling: _,
        delay_cache_until_active: _,
    } = wire;
    if let Some(count) = parallelism.filter(|count| *count <= 0) {
        let why = "should be an integer value greater than zero";
        report.push(FieldError::invalid(&Path::new("parallelism"), count, why));
    }
    if client_connection.is_some_and(|connection| connection.kubeconfig.is_some_and(|path| !path.is_empty())) {
        let why = "the API server is named by the flags; leave it out and give --kubeconfig";
        report.push(FieldError::forbidden(&Path::new("clientConnection.kubeconfig"), why));
    }
    if extenders.is_some_and(|extenders| !extenders.is_empty()) {
        let why = "no other program takes part in the decisions; leave extenders out";
        report.push(FieldError::forbidden(&Path::new("extenders"), why));
    }
    let percentage = percentage(percentage_of_nodes_to_score, &Path::new(PERCENTAGE), report);
    Configuration {
        profiles: resolve_profiles(profiles.unwrap_or_default(), percentage, report),
        backoff: backoff(pod_initial_backoff_seconds, pod_max_backoff_seconds, report),
        election: elect::resolve(leader_election.unwrap_or_default(), report),
    }
}

const PERCENTAGE: &str = "percentageOfNodesToScore";

/// How many nodes to look at, where it says; 0 says nothing.
fn percentage(value: Option<i64>, at: &Path, report: &mut Report) -> Option<u8> {
    let value = value?;
    match u8::try_from(value).ok().filter(|value| *value <= 100) {
        Some(0) => None,
        Some(value) => Some(value),
        None => {
            report.push(FieldError::invalid(at, value, "not in valid range [0-100]"));
            None
        }
    }
}

fn backoff(first: Option<i64>, longest: Option<i64>, report: &mut Report) -> Backoff {
    let standard = Backoff::default();
    let seconds = |seconds: i64| Duration::from_secs(u64::try_from(seconds).unwrap_or_default().min(LONGEST_SECONDS));
    // As in Kubernetes 0 stands for what is left out.
    let (first, longest) = (first.filter(|each| *each != 0), longest.filter(|each| *each != 0));
    let read = Backoff {
        first: first.map_or(standard.first, seconds),
        longest: longest.map_or(standard.longest, seconds),
    };
    if let Some(first) = first.filter(|first| *first < 0) {
        let at = Path::new("podInitialBackoffSeconds");
        report.push(FieldError::invalid(&at, first, "must be greater than 0"));
    } else if read.longest < read.first {
        let at = Path::new("podMaxBackoffSeconds");
        let why = "must be greater than or equal to podInitialBackoffSeconds";
        report.push(FieldError::invalid(&at, longest.unwrap_or(10), why));
    }
    read
}

fn resolve_profiles(profiles: Vec<serde_json::Value>, percentage: Option<u8>, report: &mut Report) -> Profiles {
    let all = Path::new("profiles");
    let alone = profiles.len() <= 1;
    // No profile is one that says nothing.
    let profiles = match profiles.is_empty() {
        true => vec![serde_json::json!({})],
        false => profiles,
    };
    let mut resolved: Vec<Arc<Profile>> = Vec::new();
    for (index, profile) in profiles.into_iter().enumerate() {
        let at = all.index(index);
        let Some(profile) = strict::decode::<wire::Profile>(profile, &at.to_string(), report) else {
            continue;
        };
        let name = profile.scheduler_name.clone().filter(|name| !name.is_empty());
        let name_at = at.child("schedulerName");
        if name.is_none() && !alone {
            let why = "each of several profiles needs the schedulerName that its pods ask for";
            report.push(FieldError::required(&name_at, why));
            continue;
        }
        let name = name.unwrap_or_else(|| DEFAULT_SCHEDULER.to_owned());
        if resolved.iter().any(|other| *other.name == *name) {
            report.push(FieldError::duplicate(&name_at, &name));
        }
        resolved.push(Arc::new(resolve_profile(name, profile, percentage, &at, report)));
    }
    Profiles::new(resolved)
}

fn resolve_profile(
    name: String,
    profile: wire::Profile,
    percentage: Option<u8>,
    at: &Path,
    report: &mut Report,
) -> Profile {
    let wire::Profile {
        scheduler_name: _,
        percentage_of_nodes_to_score: own,
        plugins,
        plugin_config,
    } = profile;
    let mut resolved = Profile::named(name);
    let own_is_said = own.is_some();
    let own = self::percentage(own, &at.child(PERCENTAGE), report);
    resolved.percentage_of_nodes = if own_is_said { own } else { percentage };
    plugins::resolve(plugins, &at.child("plugins"), &mut resolved, report);
    arguments::resolve(
        plugin_config.unwrap_or_default(),
        &at.child("pluginConfig"),
        &mut resolved,
        report,
    );
    resolved
}
