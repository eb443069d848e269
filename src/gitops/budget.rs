//! How much one sync may delete before a person has to agree. Pure.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::plan::Step;

/// A source with no more objects than this may be emptied: half of a few is soon reached.
const FEW: usize = 5;

/// How many of its objects a source may lose in one sync without approval.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Budget {
    /// As many as it likes.
    Unlimited,
    /// So many.
    Count(usize),
    /// So many of a hundred, where it has more than five.
    Percent(usize),
}

impl Default for Budget {
    fn default() -> Self {
        Self::Percent(50)
    }
}

impl Budget {
    /// Whether deleting so many of the owned objects needs approval.
    pub fn is_exceeded(self, deletes: usize, owned: usize) -> bool {
        match self {
            Self::Unlimited => false,
            Self::Count(most) => deletes > most,
            Self::Percent(most) => owned > FEW && deletes * 100 > owned * most,
        }
    }
}

impl FromStr for Budget {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || format!("{text:?} is no budget: write 50%, a number of objects, or none");
        if text == "none" {
            return Ok(Self::Unlimited);
        }
        match text.strip_suffix('%') {
            Some(percent) => match percent.parse() {
                Ok(percent) if percent <= 100 => Ok(Self::Percent(percent)),
                _ => Err(wrong()),
            },
            None => text.parse().map(Self::Count).map_err(|_| wrong()),
        }
    }
}

impl fmt::Display for Budget {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unlimited => formatter.write_str("none"),
            Self::Count(most) => write!(formatter, "{most}"),
            Self::Percent(most) => write!(formatter, "{most}%"),
        }
    }
}

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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn budgets() {
        for (text, deletes, owned, exceeded) in [
            ("50%", 3, 6, false),
            ("50%", 4, 6, true),
            ("50%", 5, 5, false),
            ("50%", 6, 6, true),
            ("0%", 1, 6, true),
            ("100%", 6, 6, false),
            ("2", 2, 2, false),
            ("2", 3, 100, true),
            ("0", 1, 1, true),
            ("none", 100, 100, false),
        ] {
            let budget: Budget = text.parse().expect(text);
            assert_eq!(budget.is_exceeded(deletes, owned), exceeded, "{text} {deletes}/{owned}");
            assert_eq!(budget.to_string(), text);
        }
        for text in ["", "-1", "101%", "half", "5 %"] {
            assert!(text.parse::<Budget>().is_err(), "{text:?}");
        }
    }
}
