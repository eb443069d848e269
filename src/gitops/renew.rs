//! Follows a source with what its files say, and begins anew when one of them changes.

use std::sync::Arc;
use std::time::Duration;

use kube::Client;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

use super::config::Config;
use super::error::Error;
use super::report::{Report, Reporter};
use super::source::Source;
use super::sync::Engine;
use super::{check, run as follow};

/// Between attempts to read files that cannot be read: one may be half written.
const RETRY: Duration = Duration::from_secs(1);

/// Follows until told to stop.
pub(super) async fn run(
    client: Client,
    mut config: Config,
    reporter: Arc<dyn Reporter>,
    shutdown: CancellationToken,
) -> Result<(), Error> {
    loop {
        let (reports, stop) = (Arc::clone(&reporter), shutdown.clone());
        let Some(changed) = follow::run(client.clone(), config.clone(), reports, stop).await? else {
            return Ok(());
        };
        reporter.report(Report::Notice {
            text: format!("{changed} changed and is read again"),
        });
        let again = again(&client, &config, reporter.as_ref());
        match shutdown.run_until_cancelled(again).await {
            Some(fresh) => config = fresh,
            None => return Ok(()),
        }
    }
}

/// The configuration as its files say, once they can be read.
async fn again(client: &Client, before: &Config, reporter: &dyn Reporter) -> Config {
    let mut told = None;
    loop {
        let read = before.read_again();
        let reason = match read.and_then(|config| check(&config).map(|()| config)) {
            Ok(config) => return config,
            Err(error) => error.to_string(),
        };
        if told.as_ref() != Some(&reason) {
            note(client, before, &reason).await;
            reporter.report(Report::Retrying {
                reason: reason.clone(),
                after: RETRY,
            });
            told = Some(reason);
        }
        sleep(RETRY).await;
    }
}

/// Records why there is no sync, where the cluster can be reached.
async fn note(client: &Client, config: &Config, reason: &str) {
    let noted = async {
        let source = Source::open(config)?;
        let engine = Engine::new(client.clone(), &source, config);
        engine.note_failure(reason, false).await
    };
    if let Err(error) = noted.await {
        tracing::debug!(%error, reason, "a failure could not be recorded");
    }
}
