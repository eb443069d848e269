//! What a running reconciler reports, a line a report, under the same column as the lines printed at the start.

use std::time::Duration;

use super::{Ink, Style, count, printable};
use crate::gitops::report::{Action, Cause, Change, Counts, Report};

/// Where the text begins behind its label.
pub const COLUMN: usize = 11;

/// How many waiting objects a line names.
const WAITING_SHOWN: usize = 3;

/// The line of a report, with the name of the source where there are several; and whether it tells of something wrong.
/// None where there is nothing to say.
pub fn report(report: &Report, source: Option<&str>, style: Style) -> Option<(String, bool)> {
    let (ink, label, text, wrong) = match report {
        Report::Following { source } => (Ink::Heading, "source", printable(source), false),
        Report::Change(change) => {
            let (ink, label) = done(change.action)?;
            (ink, label, changed(change), false)
        }
        Report::Problem(problem) => (Ink::Error, "error", printable(&problem.to_string()), true),
        Report::Kept { object, reason } => (Ink::Faint, "kept", printable(&format!("{object}: {reason}")), false),
        Report::Drifted(drifted) => {
            let text = format!("{drifted} and is left so");
            (Ink::Changed, "drifted", printable(&text), false)
        }
        Report::Synced {
            revision,
            counts,
            problems,
            waiting,
            elapsed,
        } => {
            let ink = if *problems == 0 { Ink::Added } else { Ink::Changed };
            let text = format!(
                "{}: {}",
                printable(&revision.to_string()),
                sum(*counts, *problems, *waiting, *elapsed)
            );
            (ink, "synced", text, false)
        }
        Report::Retrying { reason, after } => {
            let text = format!("{}; trying again in {}", printable(reason), seconds(*after));
            (Ink::Error, "error", text, true)
        }
        Report::Waiting { objects } => {
            let named: Vec<String> = objects
                .iter()
                .take(WAITING_SHOWN)
                .map(|(object, lacks)| printable(&format!("{object} ({lacks})")))
                .collect();
            let more = match objects.len() - named.len() {
                0 => String::new(),
                more => format!(" and {more} more"),
            };
            (Ink::Faint, "waiting", format!("for {}{more}", named.join(", ")), false)
        }
        Report::RolledBack(quarantine) => (Ink::Changed, "rolled back", printable(&quarantine.to_string()), false),
        Report::Notice { text } => (Ink::Changed, "note", printable(text), false),
    };
    // Padded before it is painted: colours have no width.
    let label = style.paint(ink, &format!("{label:<COLUMN$}"));
    let source = source.map(|source| printable(source) + ": ").unwrap_or_default();
    Some((format!("{label} {source}{text}\n"), wrong))
}

fn done(action: Action) -> Option<(Ink, &'static str)> {
    Some(match action {
        Action::Create => (Ink::Added, "created"),
        Action::Update => (Ink::Changed, "changed"),
        Action::Replace => (Ink::Replaced, "replaced"),
        Action::Delete => (Ink::Removed, "deleted"),
        Action::Keep | Action::Blocked | Action::Drifted | Action::Unchanged => return None,
    })
}

fn changed(change: &Change) -> String {
    let mut notes = change.notes.clone();
    if let Cause::Drift { manager } = &change.cause {
        notes.insert(
            0,
            match (change.action, manager) {
                (Action::Create, _) => "drift: another hand deleted it".to_owned(),
                (_, Some(manager)) => format!("drift: {manager} changed it"),
                (_, None) => "drift: another hand changed it".to_owned(),
            },
        );
    }
    let notes = match notes.is_empty() {
        true => String::new(),
        false => format!("  ({})", notes.join("; ")),
    };
    printable(&format!("{}{notes}", change.object))
}

fn sum(counts: Counts, problems: usize, waiting: usize, elapsed: Duration) -> String {
    let mut parts: Vec<String> = [
        (counts.create, "created"),
        (counts.update, "changed"),
        (counts.replace, "replaced"),
        (waiting, "waiting"),
        (counts.delete, "deleted"),
        (counts.keep, "kept"),
        (counts.blocked, "waiting for approval"),
        (counts.drifted, "drifted"),
        (counts.unchanged, "unchanged"),
    ]
    .into_iter()
    .filter(|(number, _)| *number > 0)
    .map(|(number, what)| format!("{number} {what}"))
    .collect();
    if parts.is_empty() {
        parts.push("nothing to do".to_owned());
    }
    if problems > 0 {
        parts.push(count(problems, "error"));
    }
    format!("{} in {}", parts.join(", "), seconds(elapsed))
}

fn seconds(duration: Duration) -> String {
    match duration.as_secs_f64() {
        short if short < 1.0 => format!("{} ms", duration.as_millis()),
        long if long < 10.0 => format!("{long:.1} s"),
        long => format!("{long:.0} s"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gitops::report::{ObjectKey, Place, Problem, Revision};

    fn key(name: &str) -> ObjectKey {
        ObjectKey {
            group: String::new(),
            kind: "Pod".into(),
            namespace: Some("default".into()),
            name: name.into(),
        }
    }

    #[test]
    fn every_report_is_a_line() {
        let change = |action, cause, notes: &[&str]| {
            Report::Change(Change {
                action,
                object: key("web"),
                cause,
                notes: notes.iter().map(|note| (*note).to_owned()).collect(),
            })
        };
        let drift = |manager: Option<&str>| Cause::Drift {
            manager: manager.map(str::to_owned),
        };
        for (value, expected) in [
            (
                Report::Following {
                    source: "directory /srv".into(),
                },
                "source      directory /srv\n",
            ),
            (
                change(Action::Create, Cause::Source, &[]),
                "created     Pod default/web\n",
            ),
            (
                change(Action::Create, drift(None), &[]),
                "created     Pod default/web  (drift: another hand deleted it)\n",
            ),
            (
                change(Action::Update, drift(Some("kubectl-edit")), &[]),
                "changed     Pod default/web  (drift: kubectl-edit changed it)\n",
            ),
            (
                change(Action::Replace, Cause::Source, &["spec cannot change in place"]),
                "replaced    Pod default/web  (spec cannot change in place)\n",
            ),
            (
                Report::Problem(Problem {
                    place: Some(Place::file("a.yaml")),
                    object: Some(key("web")),
                    reason: "no".into(),
                }),
                "error       a.yaml: Pod default/web: no\n",
            ),
            (
                Report::Kept {
                    object: key("web"),
                    reason: "--no-prune".into(),
                },
                "kept        Pod default/web: --no-prune\n",
            ),
            (
                Report::Synced {
                    revision: Revision::Directory {
                        hash: "0123456789".into(),
                    },
                    counts: Counts {
                        create: 2,
                        unchanged: 3,
                        ..Counts::default()
                    },
                    problems: 1,
                    waiting: 2,
                    elapsed: Duration::from_millis(120),
                },
                "synced      0123456: 2 created, 2 waiting, 3 unchanged, 1 error in 120 ms\n",
            ),
            (
                Report::Synced {
                    revision: Revision::Directory {
                        hash: "0123456789".into(),
                    },
                    counts: Counts::default(),
                    problems: 0,
                    waiting: 0,
                    elapsed: Duration::from_millis(2500),
                },
                "synced      0123456: nothing to do in 2.5 s\n",
            ),
            (
                Report::Retrying {
                    reason: "gone".into(),
                    after: Duration::from_secs(30),
                },
                "error       gone; trying again in 30 s\n",
            ),
            (
                Report::Waiting {
                    objects: vec![(key("web"), "Pending".into())],
                },
                "waiting     for Pod default/web (Pending)\n",
            ),
            (Report::Notice { text: "hello".into() }, "note        hello\n"),
        ] {
            assert_eq!(
                report(&value, None, Style::default()).map(|(text, _)| text).as_deref(),
                Some(expected)
            );
        }
    }

    #[test]
    fn colours_do_not_move_the_column() {
        let style = Style {
            color: true,
            width: None,
        };
        let (text, wrong) = report(&Report::Notice { text: "hello".into() }, None, style).expect("a line");
        assert_eq!(
            (text.as_str(), wrong),
            ("\u{1b}[33mnote       \u{1b}[0m hello\n", false)
        );
    }
}
