//! Sources that come before others.

use kube::Client;

use super::error::Error;
use super::manage::{Sources, Status};

/// The sources that one comes after.
pub(super) struct Order {
    sources: Sources,
    names: Vec<String>,
}

impl Order {
    /// The sources of these names, in that cluster.
    pub fn new(client: Client, names: &[String]) -> Self {
        Self {
            sources: Sources::new(client),
            names: names.to_vec(),
        }
    }

    /// Which of them is not done, and what it lacks.
    ///
    /// # Errors
    /// Where the API server does not answer.
    pub async fn obstacle(&self) -> Result<Option<String>, Error> {
        for name in &self.names {
            let lacks = match self.sources.named(name).await? {
                None => Some("it was not synced yet".to_owned()),
                Some(status) => lacks(&status),
            };
            if let Some(lacks) = lacks {
                return Ok(Some(format!("the source {name} comes first: {lacks}")));
            }
        }
        Ok(None)
    }
}

/// What a source lacks before others may follow.
fn lacks(status: &Status) -> Option<String> {
    let record = &status.record;
    if let Some(failure) = &record.failure {
        return Some(failure.clone());
    }
    if let Some(problem) = record.problems.first() {
        return Some(problem.to_string());
    }
    // Not for what: two that wait for each other would tell ever longer tales.
    if record.waits.is_some() {
        return Some("it waits for a source itself".to_owned());
    }
    if let Some(approval) = &record.approval {
        return Some(approval.to_string());
    }
    if record.revision.is_none() {
        return Some("it was not synced yet".to_owned());
    }
    if let Some(one) = status.unhealthy.first() {
        return Some(format!("{}: {}", one.object, one.reason));
    }
    (status.healthy < status.objects).then(|| "objects of it are gone".to_owned())
}
