//! Removes Events an hour after they last happened, so that they do not pile up. Touches nothing else.

use std::sync::Arc;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use serde_json::Value;

use super::error::ApiError;
use super::record;
use super::registry::text;
use super::server::Server;
use crate::object::Kind;
use crate::store::{ListOptions, StoreError};

/// How long an Event is kept, as in Kubernetes.
const LIFETIME: SignedDuration = SignedDuration::from_hours(1);
/// How often old ones are looked for.
const PERIOD: Duration = Duration::from_secs(300);
/// How many are read at a time.
const PAGE: usize = 500;

/// Runs until shutdown.
pub async fn run(server: Arc<Server>) {
    let Some(kind) = Kind::find("", "v1", "events") else {
        return;
    };
    loop {
        tokio::select! {
            () = server.shutdown.cancelled() => return,
            () = tokio::time::sleep(PERIOD) => {}
        }
        match expire(&server, kind, Timestamp::now()).await {
            Ok(0) => {}
            Ok(removed) => tracing::debug!(removed, "old events are removed"),
            Err(error) => tracing::warn!(%error, "old events could not be removed; trying again later"),
        }
    }
}

/// Removes those that are too old at `now`; returns how many.
///
/// # Errors
/// Where the store fails.
pub async fn expire(server: &Server, kind: &Kind, now: Timestamp) -> Result<usize, ApiError> {
    let prefix = record::prefix(kind, None);
    let (mut after, mut removed) = (None, 0);
    loop {
        let options = ListOptions {
            after: after.take(),
            limit: PAGE,
            at: None,
        };
        let page = server.store.list(&prefix, options).await?;
        for pair in &page.items {
            if server.shutdown.is_cancelled() {
                return Ok(removed);
            }
            if !is_old(&record::decode(pair)?.object, now) {
                continue;
            }
            match server.store.delete(&pair.key, pair.mod_revision).await {
                Ok(_) => removed += 1,
                // It happened again meanwhile, or is gone.
                Err(StoreError::Conflict { .. }) => {}
                Err(error) => return Err(error.into()),
            }
        }
        match page.items.last() {
            Some(last) if page.remaining > 0 => after = Some(last.key.clone()),
            _ => return Ok(removed),
        }
    }
}

/// Whether it last happened too long ago. One without any readable time stays.
fn is_old(event: &Value, now: Timestamp) -> bool {
    [
        "/series/lastObservedTime",
        "/lastTimestamp",
        "/eventTime",
        "/metadata/creationTimestamp",
    ]
    .into_iter()
    .filter_map(|pointer| text(event, pointer).parse::<Timestamp>().ok())
    .max()
    .is_some_and(|last| now.duration_since(last) > LIFETIME)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn the_last_time_counts() {
        let now: Timestamp = "2026-01-01T12:00:00Z".parse().expect("a time");
        let cases = [
            ("long ago", json!({"lastTimestamp": "2026-01-01T10:59:59Z"}), true),
            ("just within", json!({"lastTimestamp": "2026-01-01T11:00:00Z"}), false),
            (
                "old but again",
                json!({"metadata": {"creationTimestamp": "2026-01-01T01:00:00Z"}, "lastTimestamp": "2026-01-01T11:59:00Z"}),
                false,
            ),
            ("no time", json!({"lastTimestamp": null}), false),
        ];
        for (name, event, old) in cases {
            assert_eq!(is_old(&event, now), old, "{name}");
        }
    }
}
