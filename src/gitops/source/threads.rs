//! Work that cannot be interrupted, on a thread of its own: it is waited for only so long, and never keeps the process from
//! ending. Knows nothing of git.

use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use tokio::sync::oneshot;

use crate::gitops::error::Error;

/// Does something on a thread of its own and waits for it. `what` begins the message where that takes longer.
pub(super) async fn within<T: Send + 'static>(
    limit: Duration,
    what: &str,
    work: impl FnOnce() -> Result<T, Error> + Send + 'static,
) -> Result<T, Error> {
    let (sender, receiver) = oneshot::channel();
    std::thread::Builder::new()
        .name("git".into())
        .spawn(move || {
            if sender.send(work()).is_err() {
                tracing::debug!("work on a repository ended after nobody waited for it any more");
            }
        })
        .map_err(|error| Error::Source(format!("{what}: cannot start a thread: {error}")))?;
    match tokio::time::timeout(limit, receiver).await {
        Ok(Ok(result)) => result,
        Ok(Err(_)) => Err(Error::Source(format!("{what} ended without a result"))),
        Err(_) => Err(Error::Source(format!(
            "{what} did not end within {} s",
            limit.as_secs()
        ))),
    }
}

/// What was given up and goes on all the same: while it does, the same is not begun again.
#[derive(Debug, Default)]
pub(super) struct GivenUp(Mutex<Weak<()>>);

impl GivenUp {
    /// As [`within`], for reading: fails at once while an earlier one that was given up has not ended.
    pub async fn within<T: Send + 'static>(
        &self,
        limit: Duration,
        work: impl FnOnce() -> Result<T, Error> + Send + 'static,
    ) -> Result<T, Error> {
        const WHAT: &str = "reading the source";
        if self.0.lock().unwrap_or_else(PoisonError::into_inner).strong_count() > 0 {
            let hint = "it may be damaged: mend what git fsck finds, then start reconcile again";
            return Err(Error::Source(format!(
                "{WHAT} has not ended since it was given up; {hint}"
            )));
        }
        let running = Arc::new(());
        let goes_on = Arc::downgrade(&running);
        let work = move || {
            let result = work();
            drop(running);
            result
        };
        let result = within(limit, WHAT, work).await;
        if result.is_err() {
            *self.0.lock().unwrap_or_else(PoisonError::into_inner) = goes_on;
        }
        result
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::*;

    #[tokio::test]
    async fn what_hangs_is_given_up_once_and_may_end_later() {
        let given_up = GivenUp::default();
        let (sender, receiver) = mpsc::channel::<()>();
        let (ended, has_ended) = oneshot::channel();
        let hung = given_up.within(Duration::from_millis(1), move || {
            // Ends when the sender goes.
            assert!(receiver.recv().is_err());
            assert!(ended.send(()).is_ok());
            Ok(1)
        });
        let error = hung.await.expect_err("it hangs").to_string();
        assert!(error.starts_with("reading the source did not end within"), "{error}");
        let error = given_up
            .within(Duration::from_secs(60), || Ok(2))
            .await
            .expect_err("it goes on");
        assert!(error.to_string().contains("git fsck"), "{error}");
        drop(sender);
        has_ended.await.expect("it ends");
        loop {
            // Its last step may still be under way.
            match given_up.within(Duration::from_secs(60), || Ok(3)).await {
                Ok(result) => break assert_eq!(result, 3),
                Err(_) => tokio::task::yield_now().await,
            }
        }
        let error: Result<(), _> = given_up
            .within(Duration::from_secs(60), || Err(Error::Source("no".into())))
            .await;
        assert_eq!(error.expect_err("no").to_string(), "no");
        assert_eq!(
            given_up
                .within(Duration::from_secs(60), || Ok(4))
                .await
                .expect("it ended"),
            4
        );
    }
}
