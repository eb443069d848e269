//! Runs tasks side by side: the first that ends unexpectedly stops the rest and names the reason.

use std::future::Future;
use std::time::Duration;

use anyhow::{Context as _, Result, anyhow};
use tokio::signal::unix::{SignalKind, signal};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

/// How long tasks may take to stop; people are promised five seconds in all.
const STOP_SECONDS: u64 = 4;

/// Tasks that live and end together.
pub struct Supervisor {
    tasks: JoinSet<(&'static str, Result<()>)>,
    shutdown: CancellationToken,
}

impl Supervisor {
    /// Stops its tasks when `shutdown` is cancelled, and cancels it when a task ends unexpectedly.
    pub fn new(shutdown: CancellationToken) -> Self {
        Self {
            tasks: JoinSet::new(),
            shutdown,
        }
    }

    /// Adds a task that is to run until shutdown.
    pub fn spawn(&mut self, name: &'static str, task: impl Future<Output = Result<()>> + Send + 'static) {
        self.tasks.spawn(async move { (name, task.await) });
    }

    /// Waits for a task to fail or for shutdown, then for the rest to stop.
    ///
    /// # Errors
    /// The first task's error, or that it ended though nothing asked it to.
    pub async fn run(mut self) -> Result<()> {
        let mut outcome = Ok(());
        tokio::select! {
            () = self.shutdown.cancelled() => {}
            Some(ended) = self.tasks.join_next() => outcome = self.unexpected(ended),
        }
        self.shutdown.cancel();
        let stopped = tokio::time::timeout(Duration::from_secs(STOP_SECONDS), async {
            while let Some(ended) = self.tasks.join_next().await {
                if outcome.is_ok() {
                    outcome = match ended {
                        Ok((name, result)) => result.context(name),
                        Err(error) => Err(anyhow!(error).context("a task")),
                    };
                }
            }
        });
        if stopped.await.is_err() {
            tracing::warn!("some tasks did not stop within {STOP_SECONDS} s and are left behind");
        }
        outcome
    }

    fn unexpected(&self, ended: Result<(&'static str, Result<()>), tokio::task::JoinError>) -> Result<()> {
        match ended {
            Ok((_, Ok(()))) if self.shutdown.is_cancelled() => Ok(()),
            Ok((name, Ok(()))) => Err(anyhow!("{name} ended though nothing asked it to")),
            Ok((name, Err(error))) => Err(error.context(name)),
            Err(error) => Err(anyhow!(error).context("a task failed")),
        }
    }
}

/// Cancelled by Ctrl-C, SIGTERM or SIGHUP; a second signal ends the process at once.
pub fn signals() -> Result<CancellationToken> {
    let shutdown = CancellationToken::new();
    let mut interrupt = signal(SignalKind::interrupt()).context("cannot listen for SIGINT")?;
    let mut terminate = signal(SignalKind::terminate()).context("cannot listen for SIGTERM")?;
    let mut hangup = signal(SignalKind::hangup()).context("cannot listen for SIGHUP")?;
    let asked = shutdown.clone();
    tokio::spawn(async move {
        for attempt in 0.. {
            let code = tokio::select! {
                _ = interrupt.recv() => 130,
                _ = terminate.recv() => 143,
                _ = hangup.recv() => 129,
            };
            if attempt > 0 {
                std::process::exit(code);
            }
            asked.cancel();
        }
    });
    Ok(shutdown)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_first_failure_stops_the_rest_and_is_reported() {
        let shutdown = CancellationToken::new();
        let mut supervisor = Supervisor::new(shutdown.clone());
        let waits = shutdown.clone();
        supervisor.spawn("the patient one", async move {
            waits.cancelled().await;
            Ok(())
        });
        supervisor.spawn("the broken one", async { Err(anyhow!("no disk")) });
        let error = supervisor.run().await.expect_err("one failed");
        assert_eq!(format!("{error:#}"), "the broken one: no disk");
        assert!(shutdown.is_cancelled());
    }

    #[tokio::test]
    async fn a_task_that_just_ends_is_a_failure() {
        let mut supervisor = Supervisor::new(CancellationToken::new());
        supervisor.spawn("the short one", async { Ok(()) });
        assert!(supervisor.run().await.is_err());
    }

    #[tokio::test]
    async fn shutdown_is_no_failure() {
        let shutdown = CancellationToken::new();
        let mut supervisor = Supervisor::new(shutdown.clone());
        let waits = shutdown.clone();
        supervisor.spawn("a task", async move {
            waits.cancelled().await;
            Ok(())
        });
        shutdown.cancel();
        supervisor.run().await.expect("a clean stop");
    }
}
