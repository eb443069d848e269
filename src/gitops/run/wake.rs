//! What calls for a round, and the waiting for it.

use chrono::Local;
use tokio::sync::Notify;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep_until};

use super::{BACKOFF, Follower, MAX_SLEEP};
use crate::gitops::error::Error;
use crate::gitops::observed::Observed;
use crate::gitops::report::Report;
use crate::gitops::schedule::jittered;
use crate::gitops::source::Watch;

enum Wake {
    Files,
    Drift,
    News,
    Retry,
    RetryFetch,
    Poll,
    Fetched(Result<(), Error>),
}

impl Follower {
    pub(super) fn renew_watch(&mut self) {
        if !self.schedules.is_empty() || self.watch.as_ref().is_some_and(|watch| !watch.is_stale()) {
            return;
        }
        self.watch = None;
        match self.source.watch() {
            Ok(watch) => self.watch = watch,
            Err(error) => {
                let text = format!("{error}; changes are seen every {} s", self.interval.as_secs());
                if self.told.notices.insert(text.clone()) && self.last.is_some() {
                    self.reporter.report(Report::Notice { text });
                }
            }
        }
    }

    pub(super) fn start_fetch(&mut self) {
        if self.is_following && self.source.is_remote() && self.fetch.is_none() {
            let (source, inputs, client) = (self.source.clone(), self.inputs.clone(), self.engine.client.clone());
            self.fetch = Some(tokio::spawn(async move {
                inputs.unchanged(&client).await?;
                source.refresh().await
            }));
        }
    }

    /// Sets when to look for news next although nothing tells of any.
    pub(super) fn plan_poll(&mut self) {
        let pause = match self.schedules.is_empty() {
            true if self.source.is_remote() => jittered(self.interval, rand::random()),
            true => self.interval,
            false => self.schedules.next(&Local::now()).unwrap_or(MAX_SLEEP).min(MAX_SLEEP),
        };
        self.next_poll = Instant::now() + pause;
    }

    /// Whether it is time to look for news.
    fn is_due(&mut self) -> bool {
        let (since, now) = (self.looked, Local::now());
        self.looked = now;
        self.schedules.is_empty() || self.schedules.is_due(&since, &now)
    }

    /// Waits for anything that calls for a round; returns what changed where something did that the configuration was
    /// read from.
    pub(super) async fn wait(&mut self) -> Option<String> {
        loop {
            let wake = tokio::select! {
                () = changed(self.watch.as_ref()) => Wake::Files,
                () = self.drift.woken() => Wake::Drift,
                () = told(self.news.as_deref()) => Wake::News,
                () = at(self.retry) => Wake::Retry,
                () = at(self.fetch_retry) => Wake::RetryFetch,
                () = sleep_until(self.next_poll) => Wake::Poll,
                result = fetched(&mut self.fetch) => Wake::Fetched(result),
            };
            let follows_files = self.schedules.is_empty();
            match wake {
                Wake::Files => {
                    self.read_again = true;
                    return None;
                }
                Wake::Drift => {
                    self.read_again |= follows_files;
                    return None;
                }
                Wake::News if self.source.is_remote() => {
                    self.fetch_again = self.fetch.is_some();
                    self.start_fetch();
                }
                Wake::News => {
                    self.read_again = true;
                    return None;
                }
                Wake::Retry => {
                    self.retry = None;
                    self.read_again |= follows_files;
                    return None;
                }
                Wake::RetryFetch => {
                    self.fetch_retry = None;
                    self.start_fetch();
                }
                Wake::Poll => {
                    let due = self.is_due();
                    self.plan_poll();
                    if due && self.source.is_remote() {
                        self.start_fetch();
                    } else if due {
                        self.read_again = true;
                        return None;
                    }
                }
                Wake::Fetched(Ok(())) => {
                    self.reporter.observe(&Observed::Fetched(true));
                    if self.source.lacks_modules() {
                        self.fetch_retry = Some(Instant::now() + self.fetch_backoff);
                        self.fetch_backoff = (self.fetch_backoff * 2).min(BACKOFF.1);
                    } else {
                        self.fetch_backoff = BACKOFF.0;
                    }
                    self.told.fetch_failure = None;
                    self.pin_waits = false;
                    if std::mem::take(&mut self.fetch_again) {
                        self.start_fetch();
                    }
                    self.read_again = true;
                    return None;
                }
                Wake::Fetched(Err(Error::Outdated(what))) => return Some(what),
                Wake::Fetched(Err(error)) => {
                    self.fetch_failed(&error).await;
                    if std::mem::take(&mut self.pin_waits) {
                        return None;
                    }
                }
            }
        }
    }
}

async fn changed(watch: Option<&Watch>) {
    match watch {
        Some(watch) => watch.changed().await,
        None => std::future::pending().await,
    }
}

async fn told(news: Option<&Notify>) {
    match news {
        Some(news) => news.notified().await,
        None => std::future::pending().await,
    }
}

async fn at(time: Option<Instant>) {
    match time {
        Some(time) => sleep_until(time).await,
        None => std::future::pending().await,
    }
}

async fn fetched(fetch: &mut Option<JoinHandle<Result<(), Error>>>) -> Result<(), Error> {
    let Some(running) = fetch else {
        return std::future::pending().await;
    };
    let result = running.await;
    *fetch = None;
    result.unwrap_or_else(|error| Err(Error::Source(format!("the fetch ended early: {error}"))))
}
