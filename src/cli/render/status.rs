//! What is known of sources, as a table and what there is to say below it.

use std::collections::{BTreeMap, VecDeque};

use jiff::Timestamp;

use super::{COLUMN, Ink, Style, count, printable};
use crate::gitops::manage::{Forgotten, Status};
use crate::gitops::record::{Healthy, Past, Quarantine, Record};
use crate::gitops::report::Counts;

/// The sources, a line each; then what is wrong, a line each.
pub fn statuses(all: &[Status], now: Timestamp, style: Style) -> String {
    if all.is_empty() {
        return "There is no source yet; `reconcile SOURCE` follows one.\n".to_owned();
    }
    let mut rows = vec![header()];
    rows.extend(all.iter().map(|status| row(status, now)));
    let mut text = table(&rows, &mut Widths::default(), style);
    for status in all {
        for (ink, label, detail) in details(status, now) {
            let label = style.paint(ink, &format!("{label:<COLUMN$}"));
            let name = if all.len() > 1 {
                format!("{}: ", status.name)
            } else {
                String::new()
            };
            text.push_str(&format!("{label} {}\n", printable(&format!("{name}{detail}"))));
        }
    }
    text
}

/// A line of a table: each cell with its colour.
type Row<const N: usize> = [(Ink, String); N];

/// How wide the columns are; empty before the first table.
type Widths = Vec<usize>;

fn header() -> Row<7> {
    ["NAME", "REVISION", "SYNCED", "OBJECTS", "HEALTHY", "DRIFT", "STATE"].map(|name| (Ink::Heading, name.to_owned()))
}

fn row(status: &Status, now: Timestamp) -> Row<7> {
    let record = &status.record;
    let revision = record.revision.as_ref().map(|revision| revision.short().to_owned());
    [
        (Ink::Plain, status.name.clone()),
        (Ink::Plain, revision.unwrap_or_else(|| "-".to_owned())),
        (
            Ink::Plain,
            record.synced_at.map_or("never".to_owned(), |at| ago(at, now)),
        ),
        (Ink::Plain, status.objects.to_string()),
        (Ink::Plain, status.healthy.to_string()),
        (Ink::Plain, record.drift_count.to_string()),
        state(status),
    ]
}

/// The lines of sources as they were last shown.
#[derive(Default)]
pub struct Watched {
    /// By name and parent, without how long ago anything was: that changes by itself.
    known: BTreeMap<(String, String), String>,
    widths: Widths,
}

impl Watched {
    /// The sources whose lines changed, and those lines; under a heading at first.
    pub fn look<'a>(&mut self, all: &'a [Status], now: Timestamp, style: Style) -> (Vec<&'a Status>, String) {
        let mut rows = Vec::new();
        if self.widths.is_empty() {
            rows.push(header());
        }
        let mut news = Vec::new();
        let mut seen = BTreeMap::new();
        for status in all {
            let key = (status.name.clone(), status.parent.clone());
            let cells = row(status, status.record.synced_at.unwrap_or(now));
            let cells = format!("{cells:?} {:?}", status.record.synced_at);
            if self.known.get(&key) != Some(&cells) {
                news.push(status);
                rows.push(row(status, now));
            }
            seen.insert(key, cells);
        }
        for (name, _) in self.known.keys().filter(|key| !seen.contains_key(key)) {
            let none = || (Ink::Plain, "-".to_owned());
            let gone = (Ink::Faint, "forgotten".to_owned());
            rows.push([(Ink::Plain, name.clone()), none(), none(), none(), none(), none(), gone]);
        }
        self.known = seen;
        let text = table(&rows, &mut self.widths, style);
        (news, text)
    }
}

/// What is left of a source that was forgotten.
pub fn forgotten(forgotten: &Forgotten, style: Style) -> String {
    let Forgotten { name, stays } = forgotten;
    let label = |text: &str| style.paint(Ink::Heading, &format!("{text:<COLUMN$}"));
    let what = match stays.len() {
        0 => "nothing of it is left".to_owned(),
        1 => "1 object of it stays, and is nobody's".to_owned(),
        more => format!("{more} objects of it stay, and are nobody's"),
    };
    let mut text = format!("{} {}: {what}\n", label("forgotten"), printable(name));
    for object in stays {
        text.push_str(&format!("{} {}\n", label("stays"), printable(&object.to_string())));
    }
    text
}

/// The revisions that were applied, a line each.
pub fn history(past: &VecDeque<Past>, now: Timestamp, style: Style) -> String {
    let header =
        ["APPLIED", "CHANGES", "REPAIRS", "ERRORS", "STATE", "REVISION"].map(|name| (Ink::Heading, name.to_owned()));
    let mut rows = vec![header];
    rows.extend(past.iter().map(|past| {
        let errors = if past.problem_count == 0 {
            Ink::Plain
        } else {
            Ink::Error
        };
        [
            (Ink::Plain, ago(past.at, now)),
            (Ink::Plain, changes(past.counts)),
            (Ink::Plain, past.repairs.to_string()),
            (errors, past.problem_count.to_string()),
            seen(past),
            (Ink::Plain, past.revision.to_string()),
        ]
    }));
    table(&rows, &mut Widths::default(), style)
}

/// Created, changed (in place or by a replacement) and deleted.
fn changes(counts: Counts) -> String {
    format!(
        "+{} ~{} -{}",
        counts.create,
        counts.update + counts.replace,
        counts.delete
    )
}

/// What became of a revision, where its health was looked at or it was gone back from.
fn seen(past: &Past) -> (Ink, String) {
    match (&past.quarantined, past.healthy_at) {
        (Some(_), _) => (Ink::Changed, "quarantined".to_owned()),
        (None, Some(_)) => (Ink::Added, "healthy".to_owned()),
        (None, None) => (Ink::Plain, "-".to_owned()),
    }
}

fn state(status: &Status) -> (Ink, String) {
    let record = &status.record;
    let failed = status.unhealthy.iter().filter(|one| one.failed).count();
    if status.obstacle.is_some() {
        (Ink::Error, "failing".to_owned())
    } else if status.followed_by.is_nobody() {
        (Ink::Error, "not followed".to_owned())
    } else if status.suspended {
        (Ink::Changed, "suspended".to_owned())
    } else if record.closed.is_some() {
        (Ink::Changed, "outside window".to_owned())
    } else if record.waits.is_some() {
        (Ink::Changed, "waits".to_owned())
    } else if record.failure.is_some() {
        (Ink::Error, "failing".to_owned())
    } else if record.problem_count > 0 {
        (Ink::Error, count(record.problem_count, "error"))
    } else if record.approval.is_some() {
        (Ink::Changed, "waits for approval".to_owned())
    } else if let Some(quarantine) = &record.quarantine {
        let state = if quarantine.pinned.is_some() {
            "pinned"
        } else {
            "rolled back"
        };
        (Ink::Changed, state.to_owned())
    } else if record.revision.is_none() {
        (Ink::Changed, "not synced yet".to_owned())
    } else if failed > 0 {
        (Ink::Error, format!("{failed} failed"))
    } else if record.drift_count > 0 {
        (Ink::Changed, "drifted".to_owned())
    } else if status.healthy < status.objects {
        (Ink::Changed, "not healthy yet".to_owned())
    } else {
        (Ink::Added, "in sync".to_owned())
    }
}

/// What is not applied and why, and what was healthy last.
fn rolled_back(record: &Record, now: Timestamp) -> Vec<(Ink, &'static str, String)> {
    let mut lines = Vec::new();
    if let Some(quarantine) = &record.quarantine {
        let Quarantine {
            revision,
            reason,
            at,
            instead,
            pinned,
        } = quarantine;
        if let Some(pinned) = pinned {
            let what = match instead.id.starts_with(pinned.as_str()) {
                true => instead.short().to_owned(),
                false => format!("{pinned}, which is {}", instead.short()),
            };
            let text = format!("to {what}, until a newer commit or `reconcile resume`");
            lines.push((Ink::Changed, "pinned", text));
        }
        lines.push((
            Ink::Changed,
            "quarantined",
            format!("{revision} ({}): {reason}", ago(*at, now)),
        ));
    }
    lines.extend(
        record
            .stays
            .iter()
            .map(|stays| (Ink::Changed, "note", stays.reason.clone())),
    );
    let healthy = record.healthy.iter();
    let healthy = healthy.filter(|healthy| Some(&healthy.revision) != record.revision.as_ref());
    lines.extend(healthy.map(|Healthy { revision, at }| {
        let text = format!("{revision}, the last to be so ({})", ago(*at, now));
        (Ink::Added, "healthy", text)
    }));
    lines
}

fn details(status: &Status, now: Timestamp) -> Vec<(Ink, &'static str, String)> {
    let record = &status.record;
    let mut details = Vec::new();
    details.extend(
        status
            .obstacle
            .iter()
            .map(|reason| (Ink::Error, "error", reason.clone())),
    );
    if status.followed_by.is_nobody() && status.obstacle.is_none() {
        let text = match status.parent.is_empty() {
            true => "no reconciler follows it yet".to_owned(),
            false => format!(
                "no reconciler follows it; `reconcile forget {}` forgets it",
                status.name
            ),
        };
        details.push((Ink::Error, "note", text));
    }
    details.extend(
        record
            .failure
            .iter()
            .map(|reason| (Ink::Error, "error", reason.clone())),
    );
    details.extend(
        record
            .problems
            .iter()
            .map(|problem| (Ink::Error, "error", problem.to_string())),
    );
    details.extend(
        record
            .waits
            .iter()
            .map(|reason| (Ink::Changed, "waiting", reason.clone())),
    );
    details.extend(
        record
            .closed
            .iter()
            .map(|closed| (Ink::Changed, "window", closed.to_string())),
    );
    let closes = record.closes.filter(|closes| record.closed.is_none() && *closes > now);
    details.extend(closes.map(|closes| (Ink::Plain, "window", format!("syncs are allowed until {closes}"))));
    details.extend(
        record
            .approval
            .iter()
            .map(|approval| (Ink::Changed, "approval", approval.to_string())),
    );
    details.extend((record.drifted.iter()).map(|drifted| (Ink::Changed, "drift", drifted.to_string())));
    details.extend(rolled_back(record, now));
    details.extend(status.unhealthy.iter().map(|one| match one.failed {
        true => (Ink::Error, "failed", format!("{}: {}", one.object, one.reason)),
        false => (Ink::Changed, "waiting", format!("{}: {}", one.object, one.reason)),
    }));
    details
}

/// Columns as wide as their widest cell, three spaces apart; the last one ends where its text does.
/// Columns grow, and never shrink again.
fn table<const N: usize>(rows: &[Row<N>], widths: &mut Widths, style: Style) -> String {
    widths.resize(N, 0);
    for row in rows {
        for (width, (_, cell)) in widths.iter_mut().zip(row) {
            *width = (*width).max(printable(cell).chars().count());
        }
    }
    let mut text = String::new();
    for row in rows {
        for (column, (ink, cell)) in row.iter().enumerate() {
            let cell = printable(cell);
            match column + 1 == N {
                true => text.push_str(&style.paint(*ink, &cell)),
                false => {
                    // Padded before it is painted: colours have no width.
                    let padded = format!("{cell:<width$}   ", width = widths[column]);
                    text.push_str(&style.paint(*ink, &padded));
                }
            }
        }
        text.push('\n');
    }
    text
}

/// How long ago, in the largest unit that says enough: as `kubectl` shows ages.
fn ago(then: Timestamp, now: Timestamp) -> String {
    let seconds = now.duration_since(then).as_secs().max(0);
    let text = match seconds {
        0..=119 => format!("{seconds}s"),
        120..=7199 => format!("{}m", seconds / 60),
        7200..=172_799 => format!("{}h", seconds / 3600),
        _ => format!("{}d", seconds / 86_400),
    };
    format!("{text} ago")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gitops::FollowedBy;
    use crate::gitops::report::{Commit, Revision};

    fn commit(id: &str, subject: &str) -> Commit {
        Commit {
            id: id.repeat(40),
            reference: Some("main".into()),
            subject: subject.into(),
            author: None,
        }
    }

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).expect("a time")
    }

    fn rolled_back(pinned: Option<&str>) -> Status {
        let good = Revision::Commit(commit("a", "good"));
        Status {
            name: "apps".into(),
            followed_by: FollowedBy::Process("host (/data)".into()),
            obstacle: None,
            suspended: false,
            requested: false,
            objects: 2,
            healthy: 2,
            unhealthy: Vec::new(),
            parent: String::new(),
            record: Record {
                revision: Some(good.clone()),
                synced_at: Some(at(50)),
                healthy: Some(Healthy {
                    revision: good,
                    at: at(10),
                }),
                quarantine: Some(Quarantine {
                    revision: Revision::Commit(commit("b", "bad")),
                    reason: "Pod default/web: Failed".into(),
                    at: at(40),
                    instead: commit("a", "good"),
                    pinned: pinned.map(str::to_owned),
                }),
                ..Record::default()
            },
        }
    }

    #[test]
    fn what_was_rolled_back_is_told_with_its_reason() {
        let text = statuses(&[rolled_back(None)], at(60), Style::default());
        let expected = "\
NAME   REVISION   SYNCED    OBJECTS   HEALTHY   DRIFT   STATE
apps   aaaaaaa    10s ago   2         2         0       rolled back
quarantined bbbbbbb (main) bad (20s ago): Pod default/web: Failed
";
        assert_eq!(text, expected);
        let mut status = rolled_back(Some("v1"));
        status.record.healthy = status.record.healthy.map(|healthy| Healthy {
            revision: Revision::Commit(commit("c", "older")),
            ..healthy
        });
        let text = statuses(&[status], at(60), Style::default());
        let lines: Vec<&str> = text.lines().skip(1).collect();
        let expected = [
            "apps   aaaaaaa    10s ago   2         2         0       pinned",
            "pinned      to v1, which is aaaaaaa, until a newer commit or `reconcile resume`",
            "quarantined bbbbbbb (main) bad (20s ago): Pod default/web: Failed",
            "healthy     ccccccc (main) older, the last to be so (50s ago)",
        ];
        assert_eq!(lines, expected);
    }

    #[test]
    fn history_says_what_became_of_revisions() {
        let past = |id: &str, healthy: bool, quarantined: bool| Past {
            revision: Revision::Commit(commit(id, "one")),
            at: at(0),
            counts: Counts {
                create: 2,
                replace: 1,
                ..Counts::default()
            },
            repairs: 3,
            problem_count: 0,
            healthy_at: healthy.then(|| at(1)),
            quarantined: quarantined.then(|| "Failed".to_owned()),
        };
        let all = [past("a", false, false), past("b", false, true), past("a", true, false)];
        let text = history(&all.into_iter().collect(), at(60), Style::default());
        let expected = "\
APPLIED   CHANGES    REPAIRS   ERRORS   STATE         REVISION
60s ago   +2 ~1 -0   3         0        -             aaaaaaa (main) one
60s ago   +2 ~1 -0   3         0        quarantined   bbbbbbb (main) one
60s ago   +2 ~1 -0   3         0        healthy       aaaaaaa (main) one
";
        assert_eq!(text, expected);
    }
}
