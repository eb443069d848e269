//! A plan as text: first the source, then each object with its diff, then what is wrong, then the sum.

use super::{Ink, Style, count, cut, printable};
use crate::gitops::report::{Action, DiffLine, PlanEntry, PlanReport, Revision, Uncommitted};

/// Uncommitted files named at most; more are counted.
const FILES_SHOWN: usize = 10;

/// How much of a commit's subject is shown at least, however narrow the terminal.
const SUBJECT_SHOWN: usize = 12;

/// The plan for standard output, and what is wrong for standard error.
pub fn plan(plan: &PlanReport, style: Style) -> (String, String) {
    let mut out = first_line(plan, style);
    out.push('\n');
    for entry in &plan.entries {
        out.push('\n');
        out.push_str(&object(entry, style));
    }
    if !plan.entries.is_empty() {
        out.push('\n');
    }
    for notice in &plan.notices {
        out.push_str(&format!(
            "{} {}\n",
            style.paint(Ink::Changed, "note:"),
            printable(notice)
        ));
    }
    let counts = plan.counts;
    let blocked = match counts.blocked {
        0 => String::new(),
        blocked => format!(", {blocked} waiting for approval"),
    };
    let drifted = match counts.drifted {
        0 => String::new(),
        drifted => format!(", {drifted} drifted"),
    };
    out.push_str(&format!(
        "{} to create, {} to change, {} to replace, {} to delete{blocked}{drifted}\n",
        counts.create, counts.update, counts.replace, counts.delete
    ));
    let mut errors: String = plan
        .problems
        .iter()
        .map(|problem| {
            format!(
                "{} {}\n",
                style.paint(Ink::Error, "error:"),
                printable(&problem.to_string())
            )
        })
        .collect();
    if plan.problems.len() > 1 {
        errors.push_str(&format!("{}\n", count(plan.problems.len(), "error")));
    }
    (out, errors)
}

/// Source, revision and uncommitted files.
fn first_line(plan: &PlanReport, style: Style) -> String {
    let source = printable(&plan.source);
    let (revision, subject) = match &plan.revision {
        Revision::Commit(commit) | Revision::WorkTree { head: Some(commit), .. } => {
            let reference = commit.reference.as_ref().map(|reference| format!(" ({reference})"));
            (
                format!(" {}{}", commit.short(), reference.unwrap_or_default()),
                printable(&commit.subject),
            )
        }
        Revision::WorkTree { head: None, .. } => (" no commit yet".to_owned(), String::new()),
        Revision::Directory { .. } => (String::new(), String::new()),
    };
    let files = match &plan.revision {
        Revision::WorkTree { uncommitted, .. } => uncommitted.as_slice(),
        _ => &[],
    };
    let rest = |shown: usize| uncommitted(files, shown);
    let fits = |subject: &str, rest: &str| {
        let length = |text: &str| text.chars().count();
        let all = length(&source) + length(&printable(&revision)) + length(subject) + length(rest) + 1;
        style.width.is_none_or(|width| all <= width)
    };
    // The subject gives way first, then the files; source and commit are never cut.
    let mut shown = files.len().min(FILES_SHOWN);
    while shown > 1 && !fits(&cut(&subject, SUBJECT_SHOWN), &rest(shown)) {
        shown -= 1;
    }
    let rest = printable(&rest(shown));
    let mut columns = subject.chars().count();
    while columns > SUBJECT_SHOWN && !fits(&cut(&subject, columns), &rest) {
        columns -= 1;
    }
    let subject = match subject.is_empty() {
        true => String::new(),
        false => format!(" {}", cut(&subject, columns)),
    };
    format!(
        "{}{}{subject}{}",
        style.paint(Ink::Heading, &source),
        style.paint(Ink::Changed, &printable(&revision)),
        style.paint(Ink::Faint, &rest)
    )
}

fn uncommitted(files: &[Uncommitted], shown: usize) -> String {
    if files.is_empty() {
        return String::new();
    }
    let names: Vec<String> = files
        .iter()
        .take(shown)
        .map(|file| format!("{} ({})", file.path, file.state))
        .collect();
    let more = match files.len() - names.len() {
        0 => String::new(),
        more => format!(" and {more} more"),
    };
    format!(", uncommitted: {}{more}", names.join(", "))
}

fn object(entry: &PlanEntry, style: Style) -> String {
    let (verb, ink) = match entry.action {
        Action::Create => ("create", Ink::Added),
        Action::Update => ("change", Ink::Changed),
        Action::Replace => ("replace", Ink::Replaced),
        Action::Delete => ("delete", Ink::Removed),
        Action::Keep => ("keep", Ink::Faint),
        Action::Blocked => ("blocked", Ink::Removed),
        Action::Drifted => ("drifted", Ink::Changed),
        Action::Unchanged => ("same", Ink::Faint),
    };
    let place = entry
        .place
        .as_ref()
        .map(|place| format!("  {}", printable(&place.to_string())));
    let mut text = format!(
        "{} {}{}\n",
        style.paint(ink, verb),
        style.paint(Ink::Heading, &printable(&entry.object.to_string())),
        style.paint(Ink::Faint, &place.unwrap_or_default())
    );
    for reason in &entry.reasons {
        text.push_str(&style.paint(Ink::Faint, &format!("# {}", printable(reason))));
        text.push('\n');
    }
    for line in &entry.diff {
        let (ink, sign, line) = match line {
            DiffLine::Hunk(line) => (Some(Ink::Faint), "", line),
            DiffLine::Context(line) => (None, " ", line),
            DiffLine::Removed(line) => (Some(Ink::Removed), "-", line),
            DiffLine::Added(line) => (Some(Ink::Added), "+", line),
        };
        let line = printable(&format!("{sign}{line}"));
        text.push_str(&ink.map_or_else(|| line.clone(), |ink| style.paint(ink, &line)));
        text.push('\n');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gitops::report::{Commit, Counts, ObjectKey, Place, Problem};

    fn example() -> PlanReport {
        let key = |kind: &str, name: &str| ObjectKey {
            group: String::new(),
            kind: kind.into(),
            namespace: Some("default".into()),
            name: name.into(),
        };
        let file = |path: &str, state: &str| Uncommitted {
            path: path.into(),
            state: state.into(),
        };
        let entry = |action, kind: &str, name: &str, diff| PlanEntry {
            action,
            object: key(kind, name),
            name: format!("{}/{name}", kind.to_lowercase()),
            place: Some(Place {
                path: format!("{name}.yaml"),
                line: 1,
                column: 1,
            }),
            reasons: Vec::new(),
            predicted: None,
            mark: String::new(),
            diff,
        };
        let mut kept = entry(Action::Keep, "Pod", "old", Vec::new());
        kept.reasons = vec!["old.yaml cannot be read and may declare it".into()];
        PlanReport {
            source: "git repository /home/me/apps".into(),
            revision: Revision::WorkTree {
                head: Some(Commit {
                    id: "0123456789abcdef".into(),
                    reference: Some("main".into()),
                    subject: "Serve the page from two pods, for the one was not enough".into(),
                    author: None,
                }),
                uncommitted: vec![
                    file("web.yaml", "new"),
                    file("page.yaml", "modified"),
                    file("old.yaml", "modified"),
                ],
            },
            entries: vec![
                entry(
                    Action::Create,
                    "Pod",
                    "web",
                    vec![
                        DiffLine::Hunk("@@ -0,0 +1 @@".into()),
                        DiffLine::Added("kind: Pod".into()),
                    ],
                ),
                entry(
                    Action::Update,
                    "ConfigMap",
                    "page",
                    vec![
                        DiffLine::Context("data:".into()),
                        DiffLine::Removed("  a: one".into()),
                        DiffLine::Added("  a: two".into()),
                    ],
                ),
                kept,
            ],
            counts: Counts {
                create: 1,
                update: 1,
                keep: 1,
                ..Counts::default()
            },
            problems: vec![Problem {
                place: Some(Place {
                    path: "old.yaml".into(),
                    line: 3,
                    column: 5,
                }),
                object: None,
                reason: "did not find expected key".into(),
            }],
            notices: vec!["charts is a git submodule; what is in it is not read".into()],
        }
    }

    #[test]
    fn a_plan_reads_from_source_to_sum() {
        let (out, errors) = plan(&example(), Style::default());
        insta::assert_snapshot!(out, @r"
        git repository /home/me/apps 0123456 (main) Serve the page from two pods, for the one was not enough, uncommitted: web.yaml (new), page.yaml (modified), old.yaml (modified)

        create Pod default/web  web.yaml:1:1
        @@ -0,0 +1 @@
        +kind: Pod

        change ConfigMap default/page  page.yaml:1:1
         data:
        -  a: one
        +  a: two

        keep Pod default/old  old.yaml:1:1
        # old.yaml cannot be read and may declare it

        note: charts is a git submodule; what is in it is not read
        1 to create, 1 to change, 0 to replace, 0 to delete
        ");
        assert_eq!(errors, "error: old.yaml:3:5: did not find expected key\n");
    }

    #[test]
    fn the_first_line_fits_narrow_and_wide_terminals() {
        for (width, expected) in [
            (
                80,
                "git repository /home/me/apps 0123456 (main) Serve the p…, uncommitted: web.yaml (new) and 2 more",
            ),
            (
                120,
                "git repository /home/me/apps 0123456 (main) Serve the pag…, uncommitted: web.yaml (new), page.yaml (modified) and 1 more",
            ),
            (
                200,
                "git repository /home/me/apps 0123456 (main) Serve the page from two pods, for the one was not enough, uncommitted: web.yaml (new), page.yaml (modified), old.yaml (modified)",
            ),
        ] {
            let style = Style {
                color: false,
                width: Some(width),
            };
            assert_eq!(plan(&example(), style).0.lines().next(), Some(expected), "{width}");
        }
    }

    #[test]
    fn colours_only_add() {
        let plain = plan(&example(), Style::default());
        let style = Style {
            color: true,
            width: None,
        };
        let coloured = plan(&example(), style);
        assert!(coloured.0.contains("\u{1b}[32m+  a: two\u{1b}[0m"), "{}", coloured.0);
        let strip = |text: &str| {
            let mut parts = text.split("\u{1b}[");
            let first = parts.next().unwrap_or_default().to_owned();
            parts.fold(first, |text, part| {
                text + part.split_once('m').map_or(part, |(_, rest)| rest)
            })
        };
        assert_eq!((strip(&coloured.0), strip(&coloured.1)), plain);
    }

    #[test]
    fn a_subject_cannot_move_the_cursor() {
        let mut report = example();
        if let Revision::WorkTree { head: Some(head), .. } = &mut report.revision {
            head.subject = "\u{1b}[2J\u{1b}]0;x\u{7}".into();
        }
        assert!(!plan(&report, Style::default()).0.contains('\u{1b}'));
    }
}
