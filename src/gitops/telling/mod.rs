//! Tells others what becomes of a source: whoever reads metrics, people who look at the cluster, receivers of messages
//! over HTTP, and the host of a repository. Never holds a sync up, and never decides anything.
//!
//! ```text
//! follower ─▶ reporters ─┬▶ metrics
//!                        ├▶ narrator ─┬▶ events (a queue) ─▶ API server
//!                        │            └▶ receiver ─▶ delivery (a queue each) ─▶ HTTP
//!                        └▶ commit_status ─────────▶ delivery
//! ```

mod commit_status;
mod delivery;
mod events;
mod happening;
pub mod metrics;
mod narrator;
mod receiver;

use std::sync::Arc;
use std::time::Duration;

use kube::Client;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::applyset::ApplySet;
use super::config::Config;
use super::error::Error;
use super::observed::Observed;
use super::report::{Report, Reporter};
use commit_status::Setter;
use delivery::Queue;
use events::About;
use metrics::Metrics;
use narrator::{Listener, Narrator};
use receiver::Notifier;

pub use commit_status::CommitStatus;
pub use delivery::Patience;
pub use receiver::Receiver;

/// How long what is still to be told may hold up the end of a follower.
const END_TIMEOUT: Duration = Duration::from_secs(1);

/// What the followers of one process share.
#[derive(Clone, Debug, Default)]
pub struct Telling {
    /// Where all of them are measured.
    pub metrics: Metrics,
    /// How patiently messages are delivered.
    pub patience: Patience,
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
    ///
    /// # Errors
    /// Where nothing could be sent at all.
    pub fn begin(client: &Client, config: &Config, set: &ApplySet, reporter: Arc<dyn Reporter>) -> Result<Self, Error> {
        let mut tasks = JoinSet::new();
        let closing = CancellationToken::new();
        let measured = Arc::new(config.telling.metrics.source(set.short_name()));
        let about = match &config.about {
            Some(object) => About::Object(object.clone()),
            None => About::Parent(set.name.clone()),
        };
        let (events, posting) = events::begin(client.clone(), about, closing.clone());
        tasks.spawn(posting);
        let mut listeners: Vec<Box<dyn Listener>> = vec![Box::new(events)];
        let mut reporters: Vec<Arc<dyn Reporter>> = vec![reporter, measured];
        // What becomes of messages is measured and said, and no message tells of it.
        let nearest: Arc<dyn Reporter> = Arc::new(Several(reporters.clone()));
        let mut deliver = |who: String| -> Result<Queue, Error> {
            let queue = Queue::new(Arc::clone(&nearest));
            let patience = config.telling.patience;
            tasks.spawn(
                queue
                    .clone()
                    .deliver(delivery::client()?, who, patience, closing.clone()),
            );
            Ok(queue)
        };
        for receiver in &config.receivers {
            let queue = deliver(receiver.name().to_owned())?;
            listeners.push(Box::new(Notifier {
                source: set.short_name().to_owned(),
                receiver: receiver.clone(),
                queue,
            }));
        }
        if let Some(to) = &config.commit_status {
            let queue = deliver("commitStatus".to_owned())?;
            reporters.push(Arc::new(Setter::new(to.clone(), queue)));
        }
        reporters.push(Arc::new(Narrator::new(listeners)));
        Ok(Self {
            reporter: Arc::new(Several(reporters)),
            tasks,
            closing,
        })
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
