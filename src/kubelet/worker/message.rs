//! Reads what ended containers left as their termination messages.

use std::collections::BTreeMap;

use futures::{StreamExt, pin_mut};
use tokio::io::AsyncReadExt;

use super::Worker;
use crate::kubelet::docker::{Engine, LogQuery, MessageSource};
use crate::kubelet::observed::{Observed, State};

/// The most of a message that the status shows, as in Kubernetes.
const MAX_BYTES: usize = 4096;
/// The most of a log that stands in for one, as in Kubernetes.
const MAX_LOG_BYTES: usize = 2048;
const MAX_LOG_LINES: u64 = 80;

impl Worker {
    /// Puts the messages of ended containers where the status looks for them.
    pub(super) async fn read_messages(&mut self, observed: &mut Observed, sources: &BTreeMap<String, MessageSource>) {
        self.messages
            .retain(|id, _| observed.containers.iter().any(|container| container.id == *id));
        for container in &mut observed.containers {
            let State::Exited(exit) = &mut container.state else {
                continue;
            };
            if !self.messages.contains_key(&container.id) {
                let message = match sources.get(&container.id) {
                    Some(source) if exit.started_at.is_some() => {
                        read(&self.context.engine, &container.id, source, exit.code).await
                    }
                    _ => None,
                };
                self.messages.insert(container.id.clone(), message);
            }
            if let Some(Some(message)) = self.messages.get(&container.id) {
                exit.message = Some(message.clone());
            }
        }
    }
}

async fn read(engine: &Engine, id: &str, source: &MessageSource, code: i32) -> Option<String> {
    let mut bytes = Vec::new();
    match tokio::fs::File::open(&source.file).await {
        Ok(file) => {
            if let Err(error) = file.take(MAX_BYTES as u64).read_to_end(&mut bytes).await {
                tracing::debug!(%error, file = source.file, "a termination message could not be read");
            }
        }
        Err(error) => tracing::debug!(%error, file = source.file, "a termination message could not be read"),
    }
    if bytes.is_empty() && source.from_log && code != 0 {
        bytes = log_end(engine, id).await;
    }
    Some(String::from_utf8_lossy(&bytes).into_owned()).filter(|text| !text.is_empty())
}

async fn log_end(engine: &Engine, id: &str) -> Vec<u8> {
    let query = LogQuery {
        tail_lines: Some(MAX_LOG_LINES),
        ..LogQuery::default()
    };
    let stream = engine.logs(id, &query);
    pin_mut!(stream);
    let mut bytes = Vec::new();
    while let Some(Ok(chunk)) = stream.next().await {
        bytes.extend_from_slice(&chunk);
        let surplus = bytes.len().saturating_sub(MAX_LOG_BYTES);
        bytes.drain(..surplus);
    }
    bytes
}
