//! A plan that was written down and looked at, and is carried out only while it is still what a sync would do.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::Value;
use sha2::{Digest as _, Sha256};

use super::diff::without_noise;
use super::error::Error;
use super::plan::Step;
use super::report::{Action, ObjectKey, Revision};
use super::sync::Prepared;

/// How many differences an error names.
const NAMED: usize = 5;

/// What a plan says that has to hold still: the rest of it is for people.
#[derive(Clone, Debug, Deserialize)]
pub struct Agreed {
    source: String,
    revision: Revision,
    entries: Vec<Entry>,
}

#[derive(Clone, Debug, Deserialize)]
struct Entry {
    action: Action,
    object: ObjectKey,
    mark: String,
}

impl Agreed {
    /// Reads what a dry run wrote as JSON or YAML.
    ///
    /// # Errors
    /// Where the text is no plan.
    pub fn parse(text: &str) -> Result<Self, Error> {
        serde_yaml::from_str(text).map_err(|error| {
            Error::Config(format!(
                "this is no plan ({error}); write one with --dry-run -o json or -o yaml"
            ))
        })
    }

    /// Whether a sync would do exactly this.
    ///
    /// # Errors
    /// Where it would not, naming what changed.
    pub(super) fn check(&self, source: &str, prepared: &Prepared) -> Result<(), Error> {
        let refused = |reason: String| Err(Error::Moved(reason));
        if self.source != source {
            return refused(format!("the plan is of the {}, and this is the {source}", self.source));
        }
        if let Revision::WorkTree { uncommitted, .. } = &self.revision
            && !uncommitted.is_empty()
        {
            let count = uncommitted.len();
            return refused(format!(
                "files of the plan were not committed ({count} in all); commit them and make a new plan"
            ));
        }
        if self.revision.id() != prepared.revision.id() {
            let (then, now) = (self.revision.short(), prepared.revision.short());
            return refused(format!("the source is at {now}, and the plan is of {then}"));
        }
        let now: BTreeMap<&ObjectKey, (Action, String)> = (prepared.plan.steps.iter())
            .filter(|step| step.action != Action::Unchanged)
            .map(|step| (&step.key, (step.action, mark(step))))
            .collect();
        let then: BTreeMap<&ObjectKey, (Action, String)> = (self.entries.iter())
            .map(|entry| (&entry.object, (entry.action, entry.mark.clone())))
            .collect();
        let moved = now
            .keys()
            .chain(then.keys())
            .filter(|key| now.get(*key) != then.get(*key));
        let mut moved: Vec<String> = moved.map(ToString::to_string).collect();
        moved.sort();
        moved.dedup();
        match moved.len() {
            0 => Ok(()),
            count => {
                moved.truncate(NAMED);
                let more = match count - moved.len() {
                    0 => String::new(),
                    more => format!(" and {more} more"),
                };
                refused(format!("changed since the plan was made: {}{more}", moved.join(", ")))
            }
        }
    }
}

/// A mark of what a step was decided from in the cluster; the source's part is told by its revision. Says nothing of what
/// a Secret holds, not even by a hash that could be guessed at.
pub(super) fn mark(step: &Step) -> String {
    let Some(live) = &step.live else {
        return "absent".to_owned();
    };
    let metadata = &live["metadata"];
    let uid = metadata["uid"].as_str().unwrap_or_default();
    let content = match live["kind"].as_str() {
        Some("Secret") => metadata["resourceVersion"].as_str().unwrap_or_default().to_owned(),
        _ => content(live),
    };
    format!("{uid}/{content}")
}

fn content(live: &Value) -> String {
    hex::encode(&Sha256::digest(without_noise(live).to_string())[..8])
}
