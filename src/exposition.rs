//! Shows what is measured to Prometheus, in its text format, version 0.0.4, which every scraper reads. What is measured, and
//! who may listen, is for others to say.
//!
//! The library writes OpenMetrics: there a counter's family lacks the `_total` that its samples have, and a line ends the
//! text.

use std::fmt::Error;
use std::sync::Arc;

use axum::Router;
use axum::extract::State;
use axum::response::{IntoResponse as _, Response};
use axum::routing::get;
use http::StatusCode;
use http::header::CONTENT_TYPE;
use prometheus_client::encoding::text;
use prometheus_client::registry::Registry;

/// What the format is called.
const FORMAT: &str = "text/plain; version=0.0.4; charset=utf-8";

/// `GET /metrics`, one registry after the other, and `GET /healthz`.
pub fn router(registries: Vec<Arc<Registry>>) -> Router {
    Router::new()
        .route("/metrics", get(show))
        .route("/healthz", get(async || "ok\n"))
        .with_state(Arc::from(registries))
}

async fn show(State(registries): State<Arc<[Arc<Registry>]>>) -> Response {
    match encode(&registries) {
        Ok(text) => ([(CONTENT_TYPE, FORMAT)], text).into_response(),
        Err(error) => {
            tracing::error!(%error, "the metrics could not be written");
            StatusCode::INTERNAL_SERVER_ERROR.into_response()
        }
    }
}

/// All metrics as text.
fn encode(registries: &[Arc<Registry>]) -> Result<String, Error> {
    let mut open = String::new();
    for registry in registries {
        text::encode_registry(&mut open, registry)?;
    }
    Ok(classic(&open))
}

fn classic(open: &str) -> String {
    let mut text = String::with_capacity(open.len());
    let mut lines = open.lines().peekable();
    while let Some(line) = lines.next() {
        let words: Vec<&str> = line.splitn(4, ' ').collect();
        let is_counter = |line: &str| line.starts_with("# TYPE ") && line.ends_with(" counter");
        match words.as_slice() {
            ["#", "UNIT", ..] => continue,
            ["#", "HELP", name, help] if lines.peek().copied().is_some_and(is_counter) => {
                text.push_str(&format!("# HELP {name}_total {help}"));
            }
            ["#", "TYPE", name, "counter"] => text.push_str(&format!("# TYPE {name}_total counter")),
            _ => text.push_str(line),
        }
        text.push('\n');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counters_are_named_as_their_samples() {
        let open = "# HELP a_b It counts.\n# TYPE a_b counter\na_b_total{x=\"# TYPE y counter\"} 1\n# HELP c Is.\n# TYPE c gauge\n# UNIT c s\nc 2\n";
        let expected = "# HELP a_b_total It counts.\n# TYPE a_b_total counter\na_b_total{x=\"# TYPE y counter\"} 1\n# HELP c Is.\n# TYPE c gauge\nc 2\n";
        assert_eq!(classic(open), expected);
    }
}
