//! What is recorded of going back. All of it lies in the record, so that a restart goes on the same.

use std::fmt;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::gitops::record::{Controls, Record};
use crate::gitops::report::{Commit, Revision};

/// Why a commit is quarantined that a person went back from.
pub(super) const BY_HAND: &str = "rolled back by hand";

/// A revision of which everything was healthy.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Healthy {
    /// Which.
    pub revision: Revision,
    /// When it was found to be.
    pub at: Timestamp,
}

/// A revision that is not applied although the source is at it, and what is applied instead.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Quarantine {
    /// Which.
    pub revision: Revision,
    /// Why, with the objects named.
    pub reason: String,
    /// Since when.
    pub at: Timestamp,
    /// What is applied as long as the source is at the other.
    pub instead: Commit,
    /// What a person asked to go back to; none where it happened by itself.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pinned: Option<String>,
}

impl fmt::Display for Quarantine {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (instead, quarantined) = (self.instead.short(), self.revision.short());
        let reason = match self.pinned {
            Some(_) => "by hand",
            None => &self.reason,
        };
        write!(
            formatter,
            "to {instead}: {reason}; the commit {quarantined} is quarantined until a newer one comes"
        )
    }
}

/// Why an unhealthy revision stays.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stays {
    /// Which.
    pub revision: Revision,
    /// Why.
    pub reason: String,
}

/// A wish to go back that cannot be met.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Refused {
    /// The request that it came with, if it came with one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub request: Option<String>,
    /// Why not.
    pub reason: String,
}

/// What becomes of the quarantine now that the source is at this revision.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Turn {
    /// Nothing changes.
    Stay,
    /// A person wants to go back to this.
    Pin(String),
    /// The source's own revision is applied again; why.
    Resume(String),
}

/// Decides that.
pub(super) fn turn(record: &Record, controls: &Controls, head: &Revision) -> Turn {
    let pinned = record.quarantine.as_ref().and_then(|known| known.pinned.as_ref());
    if let Some(wanted) = controls.pinned.as_ref().filter(|wanted| Some(*wanted) != pinned) {
        return Turn::Pin(wanted.clone());
    }
    let Some(quarantine) = &record.quarantine else {
        return Turn::Stay;
    };
    let quarantined = quarantine.revision.short();
    let is_unpinned = pinned.is_some() && controls.pinned.is_none();
    if is_unpinned || controls.resumed != record.resumed {
        return Turn::Resume(format!("resumed: {quarantined} is not quarantined any more"));
    }
    match head.id() == quarantine.revision.id() {
        true => Turn::Stay,
        false => Turn::Resume(format!(
            "resumed: {} comes after {quarantined}, which was quarantined",
            head.short()
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn commit(id: &str) -> Commit {
        Commit {
            id: id.repeat(40),
            reference: None,
            subject: String::new(),
            author: None,
        }
    }

    fn quarantine(pinned: Option<&str>) -> Option<Quarantine> {
        Some(Quarantine {
            revision: Revision::Commit(commit("b")),
            reason: "Pod default/web: Failed".into(),
            at: Timestamp::UNIX_EPOCH,
            instead: commit("a"),
            pinned: pinned.map(str::to_owned),
        })
    }

    #[test]
    fn what_people_ask_comes_first_and_a_newer_commit_ends_it() {
        let pin = |text: &str| Turn::Pin(text.into());
        let ended = || Turn::Resume("resumed: bbbbbbb is not quarantined any more".into());
        let newer = || Turn::Resume("resumed: ccccccc comes after bbbbbbb, which was quarantined".into());
        for (name, known, pinned, resumed, head, expected) in [
            ("nothing", None, None, None, "b", Turn::Stay),
            ("resumed long ago", None, None, Some("1"), "b", Turn::Stay),
            ("a wish", None, Some("a"), None, "b", pin("a")),
            ("the same wish", quarantine(Some("a")), Some("a"), None, "b", Turn::Stay),
            ("another wish", quarantine(Some("a")), Some("v1"), None, "b", pin("v1")),
            (
                "a wish after it happened",
                quarantine(None),
                Some("v1"),
                None,
                "b",
                pin("v1"),
            ),
            ("it happened", quarantine(None), None, None, "b", Turn::Stay),
            ("no wish any more", quarantine(Some("a")), None, None, "b", ended()),
            ("resumed", quarantine(None), None, Some("1"), "b", ended()),
            ("a newer one", quarantine(None), None, None, "c", newer()),
            (
                "a newer one for a wish",
                quarantine(Some("a")),
                Some("a"),
                None,
                "c",
                newer(),
            ),
        ] {
            let record = Record {
                quarantine: known,
                ..Record::default()
            };
            let controls = Controls {
                pinned: pinned.map(str::to_owned),
                resumed: resumed.map(str::to_owned),
                ..Controls::default()
            };
            let head = Revision::Commit(commit(head));
            assert_eq!(turn(&record, &controls, &head), expected, "{name}");
        }
    }

    #[test]
    fn a_quarantine_says_what_is_applied_and_why() {
        let text = |pinned| quarantine(pinned).map(|known| known.to_string()).unwrap_or_default();
        let end = "; the commit bbbbbbb is quarantined until a newer one comes";
        assert_eq!(text(None), format!("to aaaaaaa: Pod default/web: Failed{end}"));
        assert_eq!(text(Some("v1")), format!("to aaaaaaa: by hand{end}"));
    }
}
