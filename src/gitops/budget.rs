//! Deletions that are so many that a person has to agree. Pure.

use std::fmt;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::plan::Step;

pub use crate::object::source::Budget;

/// Deletions that wait for a person.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Approval {
    /// Stands for exactly these objects: whatever else comes to leave needs another approval.
    pub token: String,
    /// How many would be deleted.
    pub deletes: usize,
    /// Of how many that are owned.
    pub owned: usize,
}

impl Approval {
    /// What these deletions of so many owned objects need.
    pub fn of(deletes: &[Step], owned: usize) -> Self {
        let mut names: Vec<String> = deletes
            .iter()
            .map(|step| {
                let uid = step.live.as_ref().and_then(|live| live["metadata"]["uid"].as_str());
                format!("{} {}", step.key, uid.unwrap_or_default())
            })
            .collect();
        names.sort();
        let hash = Sha256::digest(names.join("\n").as_bytes());
        Self {
            token: hex::encode(&hash[..6]),
            deletes: deletes.len(),
            owned,
        }
    }
}

impl fmt::Display for Approval {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            formatter,
            "{} of {} objects would be deleted; none is before that is approved (reconcile approve)",
            self.deletes, self.owned
        )
    }
}
