//! Going back as people ask: finds the commit that they mean, or says what there is instead.

use jiff::Timestamp;

use super::state::BY_HAND;
use super::{Quarantine, Refused, Rollback, Tools, quarantined};
use crate::gitops::error::Error;
use crate::gitops::inventory::{Inventory, Unpin};
use crate::gitops::record::Record;
use crate::gitops::report::{Commit, Report, Revision};
use crate::gitops::source::Source;

/// How many revisions a refusal names.
const NAMED: usize = 5;

impl Rollback {
    /// Takes up a wish to go back, or says why it cannot be met; then nothing changes.
    pub(super) async fn pin(
        &mut self,
        tools: Tools<'_>,
        inventory: &mut Inventory,
        wanted: &str,
        head: &Revision,
    ) -> Result<(), Error> {
        match self.resolve(tools.source, &inventory.record, wanted, head).await {
            Ok(instead) => {
                // Why it was gone back from at first says more.
                let known = inventory.record.quarantine.as_ref();
                let known = known.filter(|known| known.revision.id() == head.id());
                let quarantine = Quarantine {
                    revision: head.clone(),
                    reason: known.map_or_else(|| BY_HAND.to_owned(), |known| known.reason.clone()),
                    at: Timestamp::now(),
                    instead,
                    pinned: Some(wanted.to_owned()),
                };
                quarantined(tools, inventory, quarantine).await
            }
            Err(error) => {
                let reason = error.to_string();
                let text = format!("not rolled back to {wanted}: {reason}");
                let mut record = inventory.record.clone();
                let request = inventory.controls.requested.clone();
                record.refused = Some(Refused { request, reason });
                let before = record.quarantine.as_ref().and_then(|known| known.pinned.clone());
                inventory.unpin = Some(Unpin {
                    from: wanted.to_owned(),
                    to: before,
                });
                tools.engine.note(inventory, &record).await?;
                tools.reporter.report(Report::Notice { text });
                Ok(())
            }
        }
    }

    /// The commit that a person means, where it can be applied.
    async fn resolve(
        &mut self,
        source: &Source,
        record: &Record,
        wanted: &str,
        head: &Revision,
    ) -> Result<Commit, Error> {
        let known: Vec<Commit> = record
            .history
            .iter()
            .filter_map(|past| past.revision.commit().cloned())
            .collect();
        let found = source.find(wanted, &known).await.map_err(|error| match error {
            Error::Source(reason) => Error::Source(format!(
                "{reason}; give a hash or the beginning of one, a branch or a tag{}",
                applied(&known)
            )),
            other => other,
        })?;
        if found.id == head.id() {
            return Err(Error::Source(format!(
                "{} is what the source is at; `reconcile resume` ends a rollback",
                found.short()
            )));
        }
        // Where the name says nothing, the one that it was applied under does.
        let before = known.into_iter().find(|known| known.id == found.id);
        let found = before.filter(|_| found.reference.is_none()).unwrap_or(found);
        self.read(source, &found).await?;
        Ok(found)
    }
}

/// The revisions that were applied, for the end of a message.
fn applied(known: &[Commit]) -> String {
    let mut names: Vec<&str> = Vec::new();
    for commit in known {
        if !names.contains(&commit.short()) {
            names.push(commit.short());
        }
    }
    names.truncate(NAMED);
    match names.is_empty() {
        true => String::new(),
        false => format!("; applied before: {} (see `reconcile history`)", names.join(", ")),
    }
}
