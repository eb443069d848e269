//! What everything that talks through `kube::Client` shares: how an answer of the API server reads to a person,
//! watches that go on, events for people, and who of several leads.

pub mod events;
pub mod leader;

use std::error::Error;
use std::fmt::{self, Display};

use futures::{Stream, StreamExt as _};
use kube::core::Status;
use kube::runtime::WatchStreamExt as _;
use kube::runtime::watcher::{self, Event};

/// An error and its causes as one line: what the API server said, without the client's debug output around it.
///
/// ```
/// use kube::core::Status;
/// let status = Status::failure("pods \"web\" not found", "NotFound").with_code(404);
/// let error = kube::Error::Api(Box::new(status));
/// assert_eq!(reconcile::client::Told(&error).to_string(), "pods \"web\" not found");
/// ```
pub struct Told<'a>(pub &'a (dyn Error + 'static));

impl Display for Told<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&told(self.0))
    }
}

fn told(error: &(dyn Error + 'static)) -> String {
    if let Some(status) = answer(error) {
        return match status.message.is_empty() {
            true => format!("{} {}", status.code, status.reason),
            false => status.message.clone(),
        };
    }
    let text = error.to_string();
    let Some(cause) = error.source() else { return text };
    let (written, told) = (cause.to_string(), told(cause));
    if matches!(of_kube(error), Some(kube::Error::Service(_))) {
        // What it wraps says it all.
        return told;
    }
    // An error that quotes its cause quotes the debug output too, and that may hold what is told.
    if text.contains(&written) && !(told.contains(&written) && text.contains(&told)) {
        return text.replace(&written, &told);
    }
    match text.contains(&told) {
        true => text,
        false => format!("{text}: {told}"),
    }
}

/// The API server's answer, where the error is one.
fn answer<'a>(error: &'a (dyn Error + 'static)) -> Option<&'a Status> {
    match of_kube(error) {
        Some(kube::Error::Api(status)) => Some(status),
        _ => None,
    }
}

fn of_kube<'a>(error: &'a (dyn Error + 'static)) -> Option<&'a kube::Error> {
    let boxed = error.downcast_ref::<Box<kube::Error>>();
    boxed.map(AsRef::as_ref).or_else(|| error.downcast_ref())
}

/// A watch that goes on through errors, waiting longer after each in a row. `what` is for the log.
pub fn lasting<K: Send>(
    watch: impl Stream<Item = watcher::Result<Event<K>>> + Send,
    what: &'static str,
) -> impl Stream<Item = Event<K>> + Send {
    let mut failures = 0_usize;
    watch.default_backoff().filter_map(move |event| {
        match (&event, failures) {
            (Ok(_), 0 | 1) => {}
            (Ok(_), _) => tracing::info!(what, "the watch goes on"),
            // One failure is the end of a connection, and often that of everything.
            (Err(error), 1) => {
                tracing::warn!(what, error = %Told(error), "a watch fails and is opened again and again")
            }
            (Err(error), _) => tracing::debug!(what, error = %Told(error), "a watch failed and is opened again"),
        }
        failures = match &event {
            Err(_) => failures.saturating_add(1),
            Ok(Event::Apply(_) | Event::Delete(_) | Event::InitDone) => 0,
            // A list that was begun may fail yet.
            Ok(_) => failures,
        };
        std::future::ready(event.ok())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, thiserror::Error)]
    enum Outer {
        #[error("listing pods: {0}")]
        Quotes(#[source] kube::Error),
        #[error("binding failed")]
        Leaves(#[source] Box<kube::Error>),
    }

    fn refused() -> kube::Error {
        kube::Error::Api(Status::failure("no such pod", "NotFound").with_code(404).boxed())
    }

    #[test]
    fn what_the_server_said_stands_alone() {
        let cases: [(Box<dyn Error>, &str); 6] = [
            (Box::new(refused()), "no such pod"),
            (Box::new(Outer::Quotes(refused())), "listing pods: no such pod"),
            (
                Box::new(Outer::Leaves(Box::new(refused()))),
                "binding failed: no such pod",
            ),
            (
                Box::new(kube::Error::Api(Status::failure("", "Gone").with_code(410).boxed())),
                "410 Gone",
            ),
            (
                Box::new(Outer::Quotes(kube::Error::Service("cut off".into()))),
                "listing pods: cut off",
            ),
            (Box::new(std::io::Error::other("cut off")), "cut off"),
        ];
        for (error, expected) in cases {
            assert_eq!(Told(error.as_ref()).to_string(), expected);
        }
    }
}
