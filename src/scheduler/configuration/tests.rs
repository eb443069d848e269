use super::*;
use crate::client::leader::Terms;
use crate::scheduler::profile::{Candidates, Strategy};
use crate::scheduler::resources::Resource;

const HEAD: &str = "apiVersion: kubescheduler.config.k8s.io/v1\nkind: KubeSchedulerConfiguration\n";

fn read(rest: &str) -> Result<Configuration, Invalid> {
    Configuration::read(&format!("{HEAD}{rest}"))
}

/// The one profile of a file with these fields in it.
pub(super) fn profile(rest: &str) -> Arc<Profile> {
    let text: String = rest.lines().map(|line| format!("  {line}\n")).collect();
    let read = read(&format!("profiles:\n- schedulerName: default-scheduler\n{text}")).expect("valid");
    read.profiles.of(DEFAULT_SCHEDULER).expect("it is there").clone()
}

fn filters(profile: &Profile) -> Vec<&'static str> {
    profile.filters.iter().map(|plugin| plugin.name).collect()
}

fn scores(profile: &Profile) -> Vec<(&'static str, i64)> {
    let scores = profile.scores.iter();
    scores.map(|(plugin, weight)| (plugin.name, *weight)).collect()
}

#[test]
fn a_file_that_says_nothing_changes_nothing() {
    let standard = Profile::named(DEFAULT_SCHEDULER);
    for text in [
        "",
        "profiles: []\n",
        "profiles:\n- {}\n",
        "profiles:\n- plugins: {}\n  pluginConfig: []\n",
    ] {
        let read = read(text).expect("valid");
        let profile = read.profiles.of(DEFAULT_SCHEDULER).expect("the default");
        assert_eq!(filters(profile), filters(&standard), "{text}");
        assert_eq!(scores(profile), scores(&standard), "{text}");
        assert_eq!(profile.preemption, Some(Candidates::default()), "{text}");
        assert_eq!(profile.fit, standard.fit, "{text}");
        assert_eq!(
            (read.backoff, &read.election),
            (Backoff::default(), &Election::default())
        );
    }
}

#[test]
fn plugins_are_put_together_as_kube_scheduler_does() {
    let all = filters(&Profile::named("x"));
    let without = |name: &str| -> Vec<&str> { all.iter().copied().filter(|each| *each != name).collect() };
    for (name, plugins, wanted) in [
        (
            "one less",
            "filter: {disabled: [{name: NodeName}]}",
            without("NodeName"),
        ),
        (
            "one less everywhere",
            "multiPoint: {disabled: [{name: NodeName}]}",
            without("NodeName"),
        ),
        (
            "only one",
            "filter: {disabled: [{name: '*'}], enabled: [{name: NodeUnschedulable}]}",
            vec!["NodeUnschedulable"],
        ),
        (
            "what a point has of its own comes first",
            "filter: {enabled: [{name: TaintToleration}]}",
            [vec!["TaintToleration"], without("TaintToleration")].concat(),
        ),
        (
            "and behind what is disabled in general",
            "multiPoint: {disabled: [{name: NodeName}]}\n  filter: {enabled: [{name: NodeName}]}",
            [without("NodeName"), vec!["NodeName"]].concat(),
        ),
    ] {
        assert_eq!(filters(&profile(&format!("plugins:\n  {plugins}\n"))), wanted, "{name}");
    }
}

#[test]
fn weights_of_the_point_come_before_those_of_every_point() {
    let standard = scores(&Profile::named("x"));
    let with = |name: &str, weight: i64| -> Vec<(&str, i64)> {
        let changed = |(each, old): &(&'static str, i64)| (*each, if *each == name { weight } else { *old });
        standard.iter().map(changed).collect()
    };
    for (name, plugins, wanted) in [
        (
            "in general",
            "multiPoint: {enabled: [{name: ImageLocality, weight: 7}]}",
            with("ImageLocality", 7),
        ),
        (
            "without one it is 1",
            "multiPoint: {enabled: [{name: TaintToleration}]}",
            with("TaintToleration", 1),
        ),
        (
            "of the point",
            "multiPoint: {enabled: [{name: TaintToleration, weight: 7}]}\n  score: {enabled: [{name: TaintToleration, weight: 9}]}",
            with("TaintToleration", 9),
        ),
    ] {
        let mut got = scores(&profile(&format!("plugins:\n  {plugins}\n")));
        got.sort_by_key(|(name, _)| standard.iter().position(|(known, _)| known == name));
        assert_eq!(got, wanted, "{name}");
    }
    let alone = profile("plugins:\n  score: {disabled: [{name: '*'}], enabled: [{name: ImageLocality, weight: 3}]}\n");
    assert_eq!(scores(&alone), [("ImageLocality", 3)]);
}

#[test]
fn arguments_reach_the_profile() {
    let fit = profile(
        "pluginConfig:
- name: NodeResourcesFit
  args:
    apiVersion: kubescheduler.config.k8s.io/v1
    kind: NodeResourcesFitArgs
    ignoredResources: [example.com/gpu]
    ignoredResourceGroups: [example.org]
    scoringStrategy:
      type: MostAllocated
      resources: [{name: cpu, weight: 3}, {name: example.com/gpu}]
- name: InterPodAffinity
  args: {hardPodAffinityWeight: 5, ignorePreferredTermsOfExistingPods: true}
- name: DefaultPreemption
  args: {minCandidateNodesPercentage: 20, minCandidateNodesAbsolute: 7}
- name: NodeResourcesBalancedAllocation
  args: {resources: [{name: cpu, weight: 1}, {name: memory}, {name: ephemeral-storage}]}
- name: PodTopologySpread
  args: {defaultConstraints: [], defaultingType: List}
",
    );
    assert_eq!(fit.fit.strategy, Strategy::MostAllocated);
    let gpu = Resource::Other("example.com/gpu".to_owned());
    assert_eq!(fit.fit.resources, [(Resource::Cpu, 3), (gpu, 1)]);
    for (resource, ignored) in [
        ("example.com/gpu", true),
        ("example.com/tpu", false),
        ("example.org/any", true),
        ("hugepages-2Mi", false),
    ] {
        assert_eq!(fit.fit.ignores(resource), ignored, "{resource}");
    }
    assert_eq!((fit.required_near_weight, fit.prefers_alone), (5, true));
    assert_eq!(fit.preemption.map(|tried| (tried.of(100), tried.of(10))), Some((20, 7)));
    assert_eq!(fit.balanced.len(), 3);
    let none = profile("plugins:\n  postFilter: {disabled: [{name: DefaultPreemption}]}\n");
    assert_eq!(none.preemption, None);
}

#[test]
fn scalars_and_several_profiles() {
    let read = read(
        "percentageOfNodesToScore: 40
podInitialBackoffSeconds: 2
podMaxBackoffSeconds: 3
leaderElection: {leaderElect: true, leaseDuration: 30s, renewDeadline: 20s, retryPeriod: 1s500ms, resourceName: mine}
profiles:
- schedulerName: a
- schedulerName: b
  percentageOfNodesToScore: 60
- schedulerName: c
  percentageOfNodesToScore: 0
",
    )
    .expect("valid");
    let percentages: Vec<_> = read
        .profiles
        .iter()
        .map(|each| (&*each.name, each.percentage_of_nodes))
        .collect();
    assert_eq!(percentages, [("a", Some(40)), ("b", Some(60)), ("c", None)]);
    assert!(read.profiles.of(DEFAULT_SCHEDULER).is_none());
    assert_eq!(
        read.backoff,
        Backoff {
            first: Duration::from_secs(2),
            longest: Duration::from_secs(3)
        }
    );
    assert_eq!(
        read.election,
        Election {
            elects: Some(true),
            terms: Terms {
                lease_duration: Duration::from_secs(30),
                renew_deadline: Duration::from_secs(20),
                retry_period: Duration::from_millis(1500),
                name: "mine".to_owned(),
                namespace: "kube-system".to_owned(),
            },
        }
    );
}

#[test]
fn all_mistakes_are_told_at_once() {
    let text = "percentageOfNodesToScore: 101
podInitialBackoffSeconds: -1
leaderElection: {leaseDuration: 5s, retryPeriod: soon, resourceLock: endpoints}
parallelism: 0
extenders: [{urlPrefix: 'http://x'}]
clientConnection: {kubeconfig: /etc/x}
nonsense: 1
profiles:
- schedulerName: a
  plugins:
    score: {enabled: [{name: ImageLocality, weight: -1}, {name: NodeName}], disabled: [{name: Ratio}]}
    bind: {disabled: [{name: '*'}]}
    preFilter: {disabled: [{name: NodePorts}]}
  pluginConfig:
  - {name: ImageLocality, args: {}}
  - {name: Foo}
  - name: NodeResourcesFit
    args: {kind: Other, ignored: [], scoringStrategy: {type: Least, resources: [{name: cpu, weight: 101}]}}
  - name: NodeAffinity
    args: {addedAffinity: {requiredDuringSchedulingIgnoredDuringExecution: {nodeSelectorTerms: []}}}
- schedulerName: a
  frobnicate: true
- {schedulerName: b, percentageOfNodesToScore: many}
- plugins: {}
";
    let mut mistakes = read(text).expect_err("wrong").0;
    mistakes.sort();
    insta::assert_snapshot!(mistakes.join("\n"), @r#"
    clientConnection.kubeconfig: Forbidden: the API server is named by the flags; leave it out and give --kubeconfig
    extenders: Forbidden: no other program takes part in the decisions; leave extenders out
    leaderElection.leaseDuration: Invalid value: "5s": must be greater than renewDeadline
    leaderElection.resourceLock: Unsupported value: "endpoints": supported values: "leases"
    leaderElection.retryPeriod: Invalid value: "soon": write a duration as 30s, 5m or 1h30m
    nonsense: unknown field; correct or remove it
    parallelism: Invalid value: 0: should be an integer value greater than zero
    percentageOfNodesToScore: Invalid value: 101: not in valid range [0-100]
    podInitialBackoffSeconds: Invalid value: -1: must be greater than 0
    profiles[0].pluginConfig[0].args: Forbidden: this plugin is told nothing; remove it from pluginConfig
    profiles[0].pluginConfig[1].name: Unsupported value: "Foo": supported values: "SchedulingGates", "PrioritySort", "NodeUnschedulable", "NodeName", "TaintToleration", "NodeAffinity", "NodePorts", "NodeResourcesFit", "VolumeRestrictions", "NodeVolumeLimits", "VolumeBinding", "VolumeZone", "PodTopologySpread", "InterPodAffinity", "DefaultPreemption", "NodeResourcesBalancedAllocation", "ImageLocality", "DefaultBinder"
    profiles[0].pluginConfig[2].args.ignored: unknown field; correct or remove it
    profiles[0].pluginConfig[2].args.kind: Unsupported value: "Other": supported values: "NodeResourcesFitArgs"
    profiles[0].pluginConfig[2].args.scoringStrategy.resources[0].weight: Invalid value: 101: resource weight of cpu not in valid range [1-100]
    profiles[0].pluginConfig[2].args.scoringStrategy.type: Unsupported value: "Least": supported values: "LeastAllocated", "MostAllocated", "RequestedToCapacityRatio"
    profiles[0].pluginConfig[3].args.addedAffinity.requiredDuringSchedulingIgnoredDuringExecution.nodeSelectorTerms: Required value: must have at least one node selector term
    profiles[0].plugins.bind: Required value: one plugin is needed here; enable DefaultBinder, or do not disable it
    profiles[0].plugins.preFilter: Required value: NodePorts needs it for filter; enable it here, or disable it there, too
    profiles[0].plugins.score.disabled[0].name: Unsupported value: "Ratio": supported values: "*", "SchedulingGates", "PrioritySort", "NodeUnschedulable", "NodeName", "TaintToleration", "NodeAffinity", "NodePorts", "NodeResourcesFit", "VolumeRestrictions", "NodeVolumeLimits", "VolumeBinding", "VolumeZone", "PodTopologySpread", "InterPodAffinity", "DefaultPreemption", "NodeResourcesBalancedAllocation", "ImageLocality", "DefaultBinder"
    profiles[0].plugins.score.enabled[0].weight: Invalid value: -1: must not be negative, and fit 32 bits; to leave the plugin out, disable it
    profiles[0].plugins.score.enabled[1].name: Invalid value: "NodeName": this plugin does not extend score; remove it here
    profiles[1].frobnicate: unknown field; correct or remove it
    profiles[1].schedulerName: Duplicate value: "a"
    profiles[2].percentageOfNodesToScore: invalid type: string "many", expected i64; correct the value
    profiles[3].schedulerName: Required value: each of several profiles needs the schedulerName that its pods ask for
    "#);
}

#[test]
fn one_mistake_hides_the_rest_where_nothing_can_be_read() {
    for (text, wanted) in [
        ("", "there is nothing in it"),
        ("a: 1\na: 2\n", "duplicate"),
        ("\tx", "found character that cannot start any token"),
        (
            "kind: KubeSchedulerConfiguration\n",
            "apiVersion: Required value: write apiVersion: kubescheduler",
        ),
        (
            "apiVersion: kubescheduler.config.k8s.io/v1beta3\nkind: KubeSchedulerConfiguration\n",
            "apiVersion: Unsupported value: \"kubescheduler.config.k8s.io/v1beta3\"",
        ),
        (
            "apiVersion: kubescheduler.config.k8s.io/v1\nkind: Pod\nspec: {}\n",
            "kind: Unsupported value: \"Pod\"",
        ),
        (&format!("{HEAD}---\n{HEAD}"), "more than one document"),
    ] {
        let invalid = Configuration::read(text).expect_err(wanted);
        assert!(
            invalid.0.len() == 1 && invalid.to_string().contains(wanted),
            "{text}: {invalid}"
        );
    }
}
