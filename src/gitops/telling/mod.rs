//! Tells others what becomes of a source: whoever reads metrics, and people who look at the cluster. Never holds a sync
//! up, and never decides anything.

mod events;
mod happening;
pub mod metrics;
mod narrator;

use std::sync::Arc;
use std::time::Duration;

use kube::Client;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::applyset::ApplySet;
use super::config::Config;
use super::observed::Observed;
use super::report::{Report, Reporter};
use events::About;
use metrics::Metrics;
use narrator::Narrator;

/// How long what is still to be told may hold up the end of a follower.
const END_TIMEOUT: Duration = Duration::from_secs(1);

/// What the followers of one process share.
#[derive(Clone, Debug, Default)]
pub struct Telling {
    /// Where all of them are measured.
    pub metrics: Metrics,
}

/// Those who are told of one source.
pub(super) struct Told {
    /// Where its follower reports.
    pub reporter: Arc<dyn Reporter>,
    tasks: JoinSet<()>,
    closing: CancellationToken,
}

impl Told {
    /// Whoever is told of what that source's follower reports, `reporter` first.
    pub fn begin(client: &Client, config: &Config, set: &ApplySet, reporter: Arc<dyn Reporter>) -> Self {
        let mut tasks = JoinSet::new();
        let closing = CancellationToken::new();
        let measured = Arc::new(config.telling.metrics.source(set.short_name()));
        let about = match &config.about {
            Some(object) => About::Object(object.clone()),
            None => About::Parent(set.name.clone()),
        };
        let (events, posting) = events::begin(client.clone(), about, closing.clone());
        tasks.spawn(posting);
        let narrator = Arc::new(Narrator::new(vec![Box::new(events)]));
        Self {
            reporter: Arc::new(Several(vec![reporter, measured, narrator])),
            tasks,
            closing,
        }
    }

    /// Waits a moment for what is still to be told.
    pub async fn end(mut self) {
        self.closing.cancel();
        let rest = async { while self.tasks.join_next().await.is_some() {} };
        if tokio::time::timeout(END_TIMEOUT, rest).await.is_err() {
            tracing::debug!("not all that happened could be told in time");
        }
    }
}

/// Passes on to several.
struct Several(Vec<Arc<dyn Reporter>>);

impl Reporter for Several {
    fn report(&self, report: Report) {
        for reporter in &self.0 {
            reporter.report(report.clone());
        }
    }

    fn observe(&self, observed: &Observed<'_>) {
        for reporter in &self.0 {
            reporter.observe(observed);
        }
    }
}
