//! Counts and measures what the scheduler does, under kube-scheduler's names and with its buckets. Costs a few atomic
//! additions a pod, and nothing a node.

use std::fmt;
use std::hash::Hash;
use std::sync::Arc;
use std::time::{Duration, Instant};

use prometheus_client::encoding::{EncodeLabelSet, EncodeMetric};
use prometheus_client::metrics::TypedMetric;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::{Family, MetricConstructor};
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::registry::Registry;

use super::queue::{Incoming, Sizes};
use super::state::{Counted, History};

/// Pods that took this many attempts, or more, are measured together, as kube-scheduler does.
const MOST_ATTEMPTS: u32 = 15;

/// All that the scheduler measures. Cheap to clone; clones share.
#[derive(Clone)]
pub struct Metrics(Arc<Inner>);

struct Inner {
    registry: Arc<Registry>,
    attempts: Attempts,
    standing: Standing,
}

/// What is counted once a pod.
struct Attempts {
    attempts: Family<Attempted, Counter>,
    attempt_seconds: Family<Attempted, Histogram, Doubling>,
    algorithm_seconds: Histogram,
    attempts_of_pod: Histogram,
    pod_seconds: Family<Took, Histogram, Doubling>,
    preemptions: Counter,
    victims: Histogram,
}

/// How things stand, and what came to the queue. What is set all the time is not looked up.
struct Standing {
    pending: [Gauge; PENDING.len()],
    cache: [Gauge; CACHE.len()],
    incoming: Family<Arrived, Counter>,
    unschedulable: Family<RefusedBy, Gauge>,
}

/// The labels of [`Standing::pending`] and [`Standing::cache`].
const PENDING: [&str; 4] = ["active", "backoff", "unschedulable", "gated"];
const CACHE: [&str; 3] = ["nodes", "pods", "assumed_pods"];

/// How an attempt to place a pod ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It is bound.
    Scheduled,
    /// It fits nowhere.
    Unschedulable,
    /// The API failed it.
    Error,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Attempted {
    profile: String,
    result: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Took {
    attempts: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Queued {
    queue: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Arrived {
    event: &'static str,
    queue: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct RefusedBy {
    plugin: &'static str,
    profile: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Held {
    r#type: &'static str,
}

/// Makes histograms whose bounds double.
#[derive(Clone, Copy)]
struct Doubling {
    first: f64,
    count: u16,
}

impl MetricConstructor<Histogram> for Doubling {
    fn new_metric(&self) -> Histogram {
        Histogram::new(exponential_buckets(self.first, 2.0, self.count))
    }
}

const ATTEMPT: Doubling = Doubling {
    first: 0.001,
    count: 15,
};
const POD: Doubling = Doubling { first: 0.01, count: 20 };
const ATTEMPTS: Doubling = Doubling { first: 1.0, count: 5 };
const VICTIMS: Doubling = Doubling { first: 1.0, count: 7 };

impl Default for Metrics {
    fn default() -> Self {
        let mut registry = Registry::with_prefix("scheduler");
        let (attempts, standing) = (Attempts::register(&mut registry), Standing::register(&mut registry));
        Self(Arc::new(Inner {
            registry: Arc::new(registry),
            attempts,
            standing,
        }))
    }
}

impl Attempts {
    fn register(to: &mut Registry) -> Self {
        Self {
            attempts: registered(
                to,
                "schedule_attempts",
                "Attempts to place a pod, by how they ended and by profile",
                Family::default(),
            ),
            attempt_seconds: registered(
                to,
                "scheduling_attempt_duration_seconds",
                "How long attempts took, binding included",
                Family::new_with_constructor(ATTEMPT),
            ),
            algorithm_seconds: registered(
                to,
                "scheduling_algorithm_duration_seconds",
                "How long it took to choose a node",
                ATTEMPT.new_metric(),
            ),
            attempts_of_pod: registered(
                to,
                "pod_scheduling_attempts",
                "How many attempts bound pods took",
                ATTEMPTS.new_metric(),
            ),
            pod_seconds: registered(
                to,
                "pod_scheduling_sli_duration_seconds",
                "How long pods waited for a node, from when they could be placed until they were bound",
                Family::new_with_constructor(POD),
            ),
            preemptions: registered(
                to,
                "preemption_attempts",
                "How often it was looked for pods to be driven out",
                Counter::default(),
            ),
            victims: registered(
                to,
                "preemption_victims",
                "How many pods were driven out for one",
                VICTIMS.new_metric(),
            ),
        }
    }
}

impl Standing {
    fn register(to: &mut Registry) -> Self {
        let pending: Family<Queued, Gauge> = registered(
            to,
            "pending_pods",
            "Pods that wait: active ones are next, others rest (backoff), fit nowhere (unschedulable) or are gated",
            Family::default(),
        );
        let cache: Family<Held, Gauge> = registered(
            to,
            "cache_size",
            "What is known of the cluster: nodes, pods on them, and those of them that are not bound yet",
            Family::default(),
        );
        Self {
            pending: PENDING.map(|queue| pending.get_or_create_owned(&Queued { queue })),
            cache: CACHE.map(|r#type| cache.get_or_create_owned(&Held { r#type })),
            incoming: registered(
                to,
                "queue_incoming_pods",
                "Pods that came to a queue, and through what",
                Family::default(),
            ),
            unschedulable: registered(
                to,
                "unschedulable_pods",
                "Pods that fit nowhere, by every plugin that refused a node",
                Family::default(),
            ),
        }
    }
}

impl fmt::Debug for Metrics {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Metrics")
    }
}

fn registered<M>(registry: &mut Registry, name: &str, help: &str, metric: M) -> M
where
    M: EncodeMetric + TypedMetric + Clone + fmt::Debug + Send + Sync + 'static,
{
    registry.register(name, help, metric.clone());
    metric
}

impl Metrics {
    /// All that is measured, to be shown.
    pub fn registry(&self) -> Arc<Registry> {
        self.0.registry.clone()
    }

    /// A node was chosen.
    pub(super) fn chosen(&self, took: Duration) {
        self.0.attempts.algorithm_seconds.observe(took.as_secs_f64());
    }

    /// An attempt came to its end.
    pub(super) fn attempted(&self, profile: &str, outcome: Outcome, took: Duration) {
        let of = Attempted {
            profile: profile.to_owned(),
            result: match outcome {
                Outcome::Scheduled => "scheduled",
                Outcome::Unschedulable => "unschedulable",
                Outcome::Error => "error",
            },
        };
        let Attempts {
            attempts,
            attempt_seconds,
            ..
        } = &self.0.attempts;
        attempts.get_or_create(&of).inc();
        attempt_seconds.get_or_create(&of).observe(took.as_secs_f64());
    }

    /// A pod was bound after all that.
    pub(super) fn bound(&self, history: History, now: Instant) {
        let History { attempt, since } = history;
        self.0.attempts.attempts_of_pod.observe(f64::from(attempt));
        let attempts = match attempt {
            few @ 0..MOST_ATTEMPTS => few.to_string(),
            _ => format!("{MOST_ATTEMPTS}+"),
        };
        let waited = self.0.attempts.pod_seconds.get_or_create(&Took { attempts });
        waited.observe(now.saturating_duration_since(since).as_secs_f64());
    }

    /// It was looked for pods to be driven out, and so many were.
    pub(super) fn preempted(&self, victims: usize) {
        self.0.attempts.preemptions.inc();
        if victims > 0 {
            self.0.attempts.victims.observe(victims as f64);
        }
    }

    /// How things stand.
    pub(super) fn show(&self, counted: &Counted) {
        let Counted {
            queue:
                Sizes {
                    active,
                    backoff,
                    unschedulable,
                    taken,
                },
            gated,
            nodes,
            pods,
        } = *counted;
        let Standing { pending, cache, .. } = &self.0.standing;
        let counts = [active, backoff, unschedulable, gated];
        pending.iter().zip(counts).for_each(|(gauge, count)| set(gauge, count));
        let counts = [nodes, pods, taken];
        cache.iter().zip(counts).for_each(|(gauge, count)| set(gauge, count));
    }

    /// How many pods of a profile a plugin keeps from being placed.
    pub(super) fn refused(&self, profile: &str, plugin: &'static str, pods: usize) {
        let profile = profile.to_owned();
        set(
            &self
                .0
                .standing
                .unschedulable
                .get_or_create(&RefusedBy { plugin, profile }),
            pods,
        );
    }

    /// Pods that came to queues.
    pub(super) fn arrived(&self, incoming: &Incoming) {
        for (queue, event, count) in incoming.iter() {
            self.0
                .standing
                .incoming
                .get_or_create(&Arrived { event, queue })
                .inc_by(count);
        }
    }
}

fn set(gauge: &Gauge, count: usize) {
    gauge.set(i64::try_from(count).unwrap_or(i64::MAX));
}
