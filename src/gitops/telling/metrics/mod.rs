//! Counts and measures what goes on, for Prometheus. A source has series for as long as it is followed.

mod labels;

use std::collections::HashMap;
use std::fmt;
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;

use crate::gitops::observed::{Delivery, Observed, Round, Step};
use crate::gitops::report::{Cause, Report, Reporter};
use labels::{ActionLabel, Fetched, Of, Outcome, Synced, Webhook, With};

/// Upper bounds of the buckets for how long syncs take: from one where nothing changes to one that waits for pods to go.
const SECONDS: [f64; 9] = [0.01, 0.05, 0.1, 0.5, 1.0, 5.0, 10.0, 30.0, 60.0];

/// All that is measured in a process. Cheap to clone; clones share.
#[derive(Clone)]
pub struct Metrics(Arc<Inner>);

struct Inner {
    registry: Arc<Registry>,
    families: Families,
    /// Names that are measured, with how often: while one follower hands over to the next, both are.
    measured: Mutex<HashMap<String, usize>>,
}

type Timestamps = Family<Of, Gauge<f64, AtomicU64>>;
type Durations = Family<Of, Histogram, fn() -> Histogram>;

struct Families {
    syncs: Family<With<Synced>, Counter>,
    durations: Durations,
    last_sync: Timestamps,
    fetches: Family<With<Fetched>, Counter>,
    owned: Family<Of, Gauge>,
    problems: Family<Of, Gauge>,
    changes: Family<With<ActionLabel>, Counter>,
    drift: Family<Of, Counter>,
    suspended: Family<Of, Gauge>,
    waiting: Family<Of, Gauge>,
    drifted: Family<Of, Gauge>,
    webhooks: Family<With<Webhook>, Counter>,
    notifications: Family<With<Outcome>, Counter>,
}

impl Default for Metrics {
    fn default() -> Self {
        let mut registry = Registry::with_prefix("reconcile");
        let build: Family<Vec<(&str, &str)>, Gauge> = Family::default();
        build
            .get_or_create_owned(&vec![("version", env!("CARGO_PKG_VERSION"))])
            .set(1);
        registry.register("build_info", "Which version this is, always 1", build);
        Self(Arc::new(Inner {
            families: Families::register(&mut registry),
            registry: Arc::new(registry),
            measured: Mutex::default(),
        }))
    }
}

impl fmt::Debug for Metrics {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Metrics")
    }
}

impl Metrics {
    /// Measures the source of that name until what is returned is dropped.
    pub fn source(&self, name: &str) -> SourceMetrics {
        let mut measured = self.0.measured.lock().unwrap_or_else(PoisonError::into_inner);
        *measured.entry(name.to_owned()).or_default() += 1;
        self.0.families.begin(name);
        SourceMetrics {
            metrics: self.clone(),
            name: name.to_owned(),
        }
    }

    /// All that is measured, to be shown.
    pub fn registry(&self) -> Arc<Registry> {
        self.0.registry.clone()
    }
}

impl Families {
    fn register(registry: &mut Registry) -> Self {
        Self {
            syncs: registered(registry, "syncs", "Syncs that came to an end, by how they ended"),
            durations: {
                let durations: Durations = Family::new_with_constructor(|| Histogram::new(SECONDS));
                let help = "How long syncs took that did not fail as a whole";
                registry.register("sync_duration_seconds", help, durations.clone());
                durations
            },
            last_sync: registered(
                registry,
                "last_sync_timestamp_seconds",
                "When the last sync ended that did not fail as a whole",
            ),
            fetches: registered(registry, "fetches", "How often a remote was asked for news"),
            owned: registered(registry, "objects", "Objects that the source owns"),
            problems: registered(registry, "problems", "What was wrong in the last sync"),
            changes: registered(registry, "changes", "Objects written, by what was done with them"),
            drift: registered(
                registry,
                "drift_repairs",
                "Objects written because another hand had changed them",
            ),
            suspended: registered(registry, "suspended", "Whether the syncs are suspended"),
            waiting: registered(
                registry,
                "deletes_waiting_for_approval",
                "Objects that are deleted once that is approved",
            ),
            drifted: registered(
                registry,
                "drifted_objects",
                "Objects that another hand changed and that are left so",
            ),
            webhooks: registered(
                registry,
                "webhook_deliveries",
                "Webhooks that came, by how they were answered",
            ),
            notifications: registered(
                registry,
                "notification_deliveries",
                "Notifications and commit statuses, by what became of them",
            ),
        }
    }

    fn gauges(&self) -> [&Family<Of, Gauge>; 5] {
        [
            &self.owned,
            &self.problems,
            &self.suspended,
            &self.waiting,
            &self.drifted,
        ]
    }

    /// Every series of a source, so that each is there before it first counts.
    fn begin(&self, name: &str) {
        let of = Of::new(name);
        drop(self.durations.get_or_create(&of));
        drop(self.drift.get_or_create(&of));
        for gauge in self.gauges() {
            drop(gauge.get_or_create(&of));
        }
        begin_each(&self.syncs, name);
        begin_each(&self.fetches, name);
        begin_each(&self.changes, name);
        begin_each(&self.webhooks, name);
        begin_each(&self.notifications, name);
    }

    fn end(&self, name: &str) {
        let of = Of::new(name);
        self.durations.remove(&of);
        self.last_sync.remove(&of);
        self.drift.remove(&of);
        for gauge in self.gauges() {
            gauge.remove(&of);
        }
        end_each(&self.syncs, name);
        end_each(&self.fetches, name);
        end_each(&self.changes, name);
        end_each(&self.webhooks, name);
        end_each(&self.notifications, name);
    }
}

fn registered<L, M>(registry: &mut Registry, name: &str, help: &str) -> Family<L, M>
where
    L: EncodeLabelSet + Clone + std::hash::Hash + Eq + fmt::Debug + Send + Sync + 'static,
    M: Default
        + prometheus_client::encoding::EncodeMetric
        + prometheus_client::metrics::TypedMetric
        + fmt::Debug
        + Send
        + Sync
        + 'static,
{
    let family = Family::default();
    registry.register(name, help, Family::clone(&family));
    family
}

fn begin_each<L: labels::Each>(family: &Family<With<L>, Counter>, name: &str) {
    for label in L::ALL {
        drop(family.get_or_create(&With::new(name, *label)));
    }
}

fn end_each<L: labels::Each>(family: &Family<With<L>, Counter>, name: &str) {
    for label in L::ALL {
        family.remove(&With::new(name, *label));
    }
}

/// Measures one source.
pub struct SourceMetrics {
    metrics: Metrics,
    name: String,
}

impl SourceMetrics {
    fn count<L: labels::Each>(&self, family: &Family<With<L>, Counter>, label: L) {
        family.get_or_create(&With::new(&self.name, label)).inc();
    }

    fn set(&self, family: &Family<Of, Gauge>, value: usize) {
        let value = i64::try_from(value).unwrap_or(i64::MAX);
        family.get_or_create(&Of::new(&self.name)).set(value);
    }

    fn synced(&self, round: &Round<'_>) {
        let (families, of) = (&self.metrics.0.families, Of::new(&self.name));
        let result = match round.now.problem_count {
            0 => Synced::Success,
            _ => Synced::Problems,
        };
        families
            .durations
            .get_or_create(&of)
            .observe(round.elapsed.as_secs_f64());
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        families.last_sync.get_or_create(&of).set(now.as_secs_f64());
        self.set(&families.owned, round.owned);
        self.set(&families.problems, round.now.problem_count);
        let waiting = round.now.approval.as_ref().map_or(0, |approval| approval.deletes);
        self.set(&families.waiting, waiting);
        self.set(&families.drifted, round.now.drift_count);
        // Last: whoever sees it sees the rest.
        self.count(&families.syncs, result);
    }
}

impl Reporter for SourceMetrics {
    fn report(&self, report: Report) {
        let Report::Change(change) = report else { return };
        let families = &self.metrics.0.families;
        if let Some(action) = ActionLabel::of(change.action) {
            self.count(&families.changes, action);
        }
        if matches!(change.cause, Cause::Drift { .. }) {
            families.drift.get_or_create(&Of::new(&self.name)).inc();
        }
    }

    fn observe(&self, observed: &Observed<'_>) {
        let families = &self.metrics.0.families;
        match observed {
            Observed::Fetched(true) => self.count(&families.fetches, Fetched::Success),
            Observed::Fetched(false) => self.count(&families.fetches, Fetched::Failure),
            Observed::WebhookAnswered(status) => self.count(&families.webhooks, Webhook::of(*status)),
            Observed::Suspended { suspended, .. } => self.set(&families.suspended, usize::from(*suspended)),
            Observed::TakenUp { .. } => {}
            Observed::Synced(round) => self.synced(round),
            Observed::Failed { step, .. } => {
                if *step == Step::Sync {
                    self.count(&families.syncs, Synced::Failure);
                }
            }
            Observed::Notified(delivery) => self.count(
                &families.notifications,
                match delivery {
                    Delivery::Delivered => Outcome::Delivered,
                    Delivery::Failed => Outcome::Failed,
                    Delivery::Dropped => Outcome::Dropped,
                },
            ),
        }
    }
}

impl Drop for SourceMetrics {
    fn drop(&mut self) {
        let mut measured = self.metrics.0.measured.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(times) = measured.get_mut(&self.name) {
            *times -= 1;
            if *times == 0 {
                measured.remove(&self.name);
                self.metrics.0.families.end(&self.name);
            }
        }
    }
}
