//! Delivers messages over HTTP, one after the other to each receiver. Where they go is a secret: nothing here says it.

use std::collections::VecDeque;
use std::error::Error as _;
use std::fmt;
use std::io;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use http::header::{HeaderMap, RETRY_AFTER};
use http::{HeaderValue, StatusCode};
use jiff::Timestamp;
use reqwest::{Client, Url, redirect};
use serde_json::Value;
use tokio::sync::Notify;
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;

use crate::gitops::error::Error;
use crate::gitops::observed::{Delivery, Observed};
use crate::gitops::report::{Report, Reporter};

/// Messages of one receiver that wait; then the oldest give way, for what is new matters more.
const QUEUE: usize = 64;

/// How long a connection, and a whole exchange, may take.
const TIMEOUTS: (Duration, Duration) = (Duration::from_secs(5), Duration::from_secs(10));

/// How patiently a message is tried again.
#[derive(Clone, Copy, Debug)]
pub struct Patience {
    /// The first pause after a failure; each is twice as long as the one before.
    pub first: Duration,
    /// The longest pause.
    pub longest: Duration,
    /// The longest pause that a receiver can ask for.
    pub longest_asked: Duration,
    /// For how long a message is worth delivering.
    pub total: Duration,
}

impl Default for Patience {
    fn default() -> Self {
        Self {
            first: Duration::from_secs(1),
            longest: Duration::from_secs(60),
            longest_asked: Duration::from_secs(300),
            total: Duration::from_secs(900),
        }
    }
}

/// A message and where it goes.
pub struct Outgoing {
    url: Url,
    headers: HeaderMap,
    body: Value,
    at: Instant,
}

impl fmt::Debug for Outgoing {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Outgoing(***)")
    }
}

impl Outgoing {
    /// One from now on.
    pub fn new(url: Url, headers: HeaderMap, body: Value) -> Self {
        let at = Instant::now();
        Self { url, headers, body, at }
    }
}

/// A header's value that is not shown; None where it could be none.
pub fn secret_value(text: &str) -> Option<HeaderValue> {
    let mut value = HeaderValue::from_str(text).ok()?;
    value.set_sensitive(true);
    Some(value)
}

/// A client that follows nobody elsewhere.
///
/// # Errors
/// Where TLS cannot be set up.
pub fn client() -> Result<Client, Error> {
    let (connect, whole) = TIMEOUTS;
    Client::builder()
        .redirect(redirect::Policy::none())
        .connect_timeout(connect)
        .timeout(whole)
        .user_agent(concat!("reconcile/", env!("CARGO_PKG_VERSION")))
        .build()
        .map_err(|error| Error::Config(format!("notifications cannot be sent: {error}")))
}

/// What waits for one receiver; clones share.
#[derive(Clone)]
pub struct Queue {
    waiting: Arc<Waiting>,
    reporter: Arc<dyn Reporter>,
}

#[derive(Default)]
struct Waiting {
    messages: Mutex<Messages>,
    news: Notify,
}

#[derive(Default)]
struct Messages {
    queue: VecDeque<Outgoing>,
    dropped: usize,
}

impl Queue {
    /// An empty one; what becomes of its messages is told to `reporter`.
    pub fn new(reporter: Arc<dyn Reporter>) -> Self {
        let waiting = Arc::default();
        Self { waiting, reporter }
    }

    /// Adds a message; never waits.
    pub fn push(&self, message: Outgoing) {
        let mut messages = self.waiting.messages.lock().unwrap_or_else(PoisonError::into_inner);
        messages.queue.push_back(message);
        let is_full = messages.queue.len() > QUEUE;
        if is_full {
            messages.queue.pop_front();
            messages.dropped += 1;
        }
        drop(messages);
        if is_full {
            self.reporter.observe(&Observed::Notified(Delivery::Dropped));
        }
        self.waiting.news.notify_one();
    }

    fn pop(&self) -> Option<Outgoing> {
        let mut messages = self.waiting.messages.lock().unwrap_or_else(PoisonError::into_inner);
        messages.queue.pop_front()
    }

    fn take_dropped(&self) -> usize {
        let mut messages = self.waiting.messages.lock().unwrap_or_else(PoisonError::into_inner);
        std::mem::take(&mut messages.dropped)
    }

    fn note(&self, text: String) {
        self.reporter.report(Report::Notice { text });
    }

    /// Delivers what comes, in its order; once `closing`, each of what is left is tried a last time. `who` names the
    /// receiver to people.
    pub async fn deliver(self, client: Client, who: String, patience: Patience, closing: CancellationToken) {
        let mut is_failing = false;
        loop {
            let Some(message) = self.pop() else {
                tokio::select! {
                    () = self.waiting.news.notified() => continue,
                    () = closing.cancelled() => return,
                }
            };
            let delivered = persist(&client, &message, patience, &closing).await;
            let delivery = match &delivered {
                Ok(()) => Delivery::Delivered,
                Err(_) => Delivery::Failed,
            };
            self.reporter.observe(&Observed::Notified(delivery));
            match delivered {
                Err(reason) if is_failing => tracing::debug!(%reason, who, "a message was not delivered either"),
                Err(reason) => self.note(format!("{who}: a message was not delivered: {reason}")),
                Ok(()) if is_failing => self.note(format!("{who}: messages arrive again")),
                Ok(()) => {}
            }
            is_failing = delivery == Delivery::Failed;
            match self.take_dropped() {
                0 => {}
                dropped => self.note(format!("{who}: {dropped} older messages gave way to newer ones")),
            }
        }
    }
}

/// Tries until it is delivered, refused for good, or too old. Says why it is not delivered.
async fn persist(
    client: &Client,
    message: &Outgoing,
    patience: Patience,
    closing: &CancellationToken,
) -> Result<(), String> {
    let (mut pause, until) = (patience.first, message.at + patience.total);
    loop {
        let is_last = closing.is_cancelled();
        let (reason, asked) = match attempt(client, message).await {
            Ok(()) => return Ok(()),
            Err(Refusal::Final(reason)) => return Err(reason),
            Err(Refusal::Later(reason, asked)) => (reason, asked),
        };
        let wait = asked.map_or(pause, |asked| asked.min(patience.longest_asked));
        if is_last || Instant::now() + wait > until {
            return Err(reason);
        }
        tracing::debug!(%reason, ?wait, "a message is tried again");
        pause = (pause * 2).min(patience.longest);
        tokio::select! {
            () = sleep(wait) => {}
            () = closing.cancelled() => {}
        }
    }
}

enum Refusal {
    /// It would be refused again.
    Final(String),
    /// It may be taken later, perhaps after the time that the receiver asks for.
    Later(String, Option<Duration>),
}

async fn attempt(client: &Client, message: &Outgoing) -> Result<(), Refusal> {
    let request = client.post(message.url.clone()).headers(message.headers.clone());
    let answer = request.json(&message.body).send().await;
    let answer = answer.map_err(|error| Refusal::Later(broken(&error), None))?;
    let status = answer.status();
    let reason = format!("the answer was {status}");
    match status {
        _ if status.is_success() => Ok(()),
        _ if status.is_redirection() => Err(Refusal::Final(format!("{reason}; give the address that it leads to"))),
        StatusCode::TOO_MANY_REQUESTS | StatusCode::REQUEST_TIMEOUT => {
            Err(Refusal::Later(reason, retry_after(answer.headers(), Timestamp::now())))
        }
        _ if status.is_server_error() => Err(Refusal::Later(reason, retry_after(answer.headers(), Timestamp::now()))),
        _ => Err(Refusal::Final(reason)),
    }
}

/// Why there was no answer, without the address: the client's own words hold it.
fn broken(error: &reqwest::Error) -> String {
    let step = match error {
        _ if error.is_timeout() => return "no answer in time".to_owned(),
        _ if error.is_connect() => "no connection",
        _ => "the connection broke",
    };
    let mut cause = error.source();
    while let Some(inner) = cause {
        if let Some(error) = inner.downcast_ref::<io::Error>() {
            return format!("{step}: {}", error.kind());
        }
        cause = inner.source();
    }
    step.to_owned()
}

/// How long a receiver asks to be left alone: seconds, or until a date (RFC 9110, 10.2.3).
fn retry_after(headers: &HeaderMap, now: Timestamp) -> Option<Duration> {
    let text = headers.get(RETRY_AFTER)?.to_str().ok()?.trim();
    if let Ok(seconds) = text.parse::<f64>() {
        return Duration::try_from_secs_f64(seconds).ok();
    }
    let date = jiff::fmt::rfc2822::parse(text).ok()?.timestamp();
    Some(Duration::try_from(date.duration_since(now)).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_receivers_ask_for() {
        let now: Timestamp = "1994-11-06T08:49:07Z".parse().expect("a time");
        for (text, seconds) in [
            ("120", Some(120)),
            ("0", Some(0)),
            ("Sun, 06 Nov 1994 08:49:37 GMT", Some(30)),
            ("Sun, 06 Nov 1994 08:00:00 GMT", Some(0)),
            ("-1", None),
            ("NaN", None),
            ("soon", None),
        ] {
            let headers = HeaderMap::from_iter([(RETRY_AFTER, HeaderValue::from_static(text))]);
            assert_eq!(retry_after(&headers, now).map(|wait| wait.as_secs()), seconds, "{text}");
        }
    }

    #[test]
    fn the_oldest_give_way() {
        let queue = Queue::new(Arc::new(|_: Report| {}));
        let url = Url::parse("http://localhost").expect("a URL");
        for number in 0..QUEUE + 3 {
            queue.push(Outgoing::new(url.clone(), HeaderMap::new(), number.into()));
        }
        assert_eq!(queue.take_dropped(), 3);
        assert_eq!(queue.pop().expect("the oldest").body, 3);
    }
}
