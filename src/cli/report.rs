<<<<<<< HEAD
//! Writes what the reconciler reports to the terminal, or as data to whatever reads it.

use std::io::{IsTerminal, Write};
use std::process::ExitCode;
use std::sync::Mutex;

use anyhow::Result;
use serde::Serialize;

use super::args::Output;
use super::render::{self, Style};
use crate::gitops::report::Verdict;
use crate::gitops::{Action, PlanReport, Report, Reporter};

/// Prints each report as it comes.
pub struct Printer {
    output: Output,
    out: Style,
    err: Style,
    /// Lines of several threads must not mix.
    turn: Mutex<()>,
}

impl Printer {
    /// Reports to standard output, what is wrong to standard error.
    pub fn stdout(output: Output) -> Self {
        Self {
            output,
            out: style(&std::io::stdout()),
            err: style(&std::io::stderr()),
            turn: Mutex::new(()),
        }
    }

    fn text(&self, report: &Report) -> std::io::Result<()> {
        let wrong = render::report(report, self.err).filter(|(_, wrong)| *wrong);
        match (wrong, render::report(report, self.out)) {
            (Some((text, _)), _) => std::io::stderr().write_all(text.as_bytes()),
            (None, Some((text, _))) => write_out(&text),
            (None, None) => Ok(()),
=======
//! Renders what the reconciler reports: for people, or as data.

use std::io::{self, IsTerminal as _, Write as _};
use std::process::ExitCode;

use anyhow::{Context as _, Result};
use serde::Serialize;

use super::args::Output;
use crate::gitops::report::{Cause, Change, DiffLine, PlanEntry, Revision, Uncommitted, Verdict};
use crate::gitops::{Action, Counts, PlanReport, Report, Reporter};

/// Uncommitted files named in the first line of a dry run; beyond that their number is enough.
const UNCOMMITTED_NAMED: usize = 5;

/// ANSI colours, or none of them.
#[derive(Clone, Copy)]
struct Palette {
    colours: bool,
}

impl Palette {
    /// Colours only where a person looks: a terminal, and no `NO_COLOR`.
    fn of(terminal: bool) -> Self {
        let wanted = std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
        Self {
            colours: terminal && wanted,
        }
    }

    fn paint(self, code: &str, text: &str) -> String {
        if self.colours {
            format!("\x1b[{code}m{text}\x1b[0m")
        } else {
            text.to_owned()
        }
    }

    fn action(self, action: Action, text: &str) -> String {
        match action {
            Action::Create => self.paint("32", text),
            Action::Update | Action::Replace => self.paint("33", text),
            Action::Delete => self.paint("31", text),
            Action::Keep | Action::Unchanged => text.to_owned(),
>>>>>>> main
        }
    }
}

<<<<<<< HEAD
impl Reporter for Printer {
    fn report(&self, report: Report) {
        // A panic elsewhere must not silence the reports that tell of it.
        let _turn = self.turn.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        let written = match self.output {
            Output::Text => self.text(&report),
            Output::Json => encode_json(&report, false).and_then(|text| write_out(&text)),
            Output::Yaml => encode_yaml(&report).and_then(|text| write_out(&text)),
            Output::Name => match &report {
                Report::Change(change) => write_out(&format!(
                    "{}/{}\n",
                    change.object.kind.to_lowercase(),
                    change.object.name
                )),
                Report::Problem(_) | Report::Retrying { .. } => self.text(&report),
                _ => Ok(()),
            },
        };
        // Nobody may be reading any more (`reconcile | head`); the cluster is to be kept all the same.
        if let Err(error) = written {
            tracing::debug!(%error, "a report could not be written");
=======
/// Prints reports as they come.
pub struct Printer {
    output: Output,
    palette: Palette,
}

impl Printer {
    /// To standard output; problems to standard error where people read.
    pub fn stdout(output: Output) -> Self {
        Self {
            output,
            palette: Palette::of(io::stdout().is_terminal()),
        }
    }

    fn data(&self, report: &Report) -> Option<String> {
        let text = match self.output {
            Output::Text => return None,
            Output::Json => serde_json::to_string(report).map_err(|error| error.to_string()),
            Output::Yaml => serde_yaml::to_string(report)
                .map(|text| format!("---\n{}", text.trim_end()))
                .map_err(|e| e.to_string()),
            Output::Name => match report {
                Report::Change(change) => Ok(change.object.to_string()),
                _ => Ok(String::new()),
            },
        };
        Some(text.unwrap_or_else(|error| format!("a report cannot be written: {error}")))
    }
}

impl Reporter for Printer {
    fn report(&self, report: Report) {
        if let Some(text) = self.data(&report) {
            if !text.is_empty() {
                say(&text);
            }
            return;
        }
        let palette = self.palette;
        match report {
            Report::Following { source } => say(&format!("{:<11} {source}", "source")),
            Report::Change(change) => say(&change_line(&change, palette)),
            Report::Problem(problem) => complain(&format!("{} {problem}", palette.paint("31", "error"))),
            Report::Kept { object, reason } => say(&format!("{:<11} {object}: {reason}", "kept")),
            Report::Synced {
                revision,
                counts,
                problems,
                elapsed,
            } => {
                let mut line = format!("{:<11} {revision}: {}", "synced", counts_done(counts));
                if problems > 0 {
                    append(
                        &mut line,
                        &format!(", {}", palette.paint("31", &plural(problems, "error"))),
                    );
                }
                append(&mut line, &format!(" in {} ms", elapsed.as_millis()));
                say(&line);
            }
            Report::Retrying { reason, after } => {
                complain(&format!(
                    "{} {reason}; trying again in {} s",
                    palette.paint("31", "error"),
                    after.as_secs().max(1)
                ));
            }
            Report::Waiting { objects } => {
                for (object, lacks) in objects {
                    say(&format!("{:<11} {object}: {lacks}", "waiting"));
                }
            }
            Report::Notice { text } => say(&format!("{:<11} {text}", "note")),
>>>>>>> main
        }
    }
}

<<<<<<< HEAD
/// Prints what a sync would change; the exit code says whether anything would.
///
/// # Errors
/// Where standard output cannot be written.
pub fn print_plan(plan: &PlanReport, output: Output) -> Result<ExitCode> {
    match output {
        Output::Text => {
            let (text, _) = render::plan(plan, style(&std::io::stdout()));
            write_out(&text)?;
            print_errors(plan)?;
        }
        Output::Json => write_out(&encode_json(plan, true)?)?,
        Output::Yaml => write_out(&encode_yaml(plan)?)?,
        Output::Name => {
            let names: String = plan
                .entries
                .iter()
                .filter(|entry| entry.action != Action::Keep)
                .map(|entry| format!("{}\n", entry.name))
                .collect();
            write_out(&names)?;
            print_errors(plan)?;
        }
=======
fn change_line(change: &Change, palette: Palette) -> String {
    let done = match change.action {
        Action::Create => "created",
        Action::Update => "changed",
        Action::Replace => "replaced",
        Action::Delete => "deleted",
        Action::Keep => "kept",
        Action::Unchanged => "unchanged",
    };
    let mut line = format!(
        "{} {}",
        palette.action(change.action, &format!("{done:<11}")),
        change.object
    );
    if let Cause::Drift { manager } = &change.cause {
        match manager {
            Some(manager) => append(&mut line, &format!(" (drift: changed by {manager})")),
            None => append(&mut line, " (drift)"),
        }
    }
    for note in &change.notes {
        append(&mut line, &format!(" ({note})"));
    }
    line
}

/// `2 created, 1 changed`, or `nothing to do`.
fn counts_done(counts: Counts) -> String {
    let parts: Vec<String> = [
        (counts.create, "created"),
        (counts.update, "changed"),
        (counts.replace, "replaced"),
        (counts.delete, "deleted"),
        (counts.keep, "kept"),
    ]
    .into_iter()
    .filter(|(count, _)| *count > 0)
    .map(|(count, word)| format!("{count} {word}"))
    .collect();
    match (parts.is_empty(), counts.unchanged) {
        (true, 0) => "nothing to do".to_owned(),
        (true, unchanged) => format!("{} as intended", plural(unchanged, "object")),
        (false, _) => parts.join(", "),
    }
}

fn plural(count: usize, noun: &str) -> String {
    if count == 1 {
        format!("1 {noun}")
    } else {
        format!("{count} {noun}s")
    }
}

/// Prints what a sync would do; the exit code tells whether anything.
pub fn print_plan(plan: &PlanReport, output: Output) -> Result<ExitCode> {
    let text = match output {
        Output::Text => plan_text(plan, Palette::of(io::stdout().is_terminal())),
        Output::Json => serde_json::to_string_pretty(&Data::of(plan)).context("writing the plan")? + "\n",
        Output::Yaml => serde_yaml::to_string(&Data::of(plan)).context("writing the plan")?,
        Output::Name => changed(plan).map(|entry| format!("{}\n", entry.name)).collect(),
    };
    write_whole(&text)?;
    let palette = Palette::of(io::stderr().is_terminal());
    for problem in &plan.problems {
        complain(&format!("{} {problem}", palette.paint("31", "error")));
>>>>>>> main
    }
    Ok(ExitCode::from(match plan.verdict() {
        Verdict::Same => 0,
        Verdict::Differs => 1,
<<<<<<< HEAD
        Verdict::Error => 2,
    }))
}

fn print_errors(plan: &PlanReport) -> std::io::Result<()> {
    let (_, errors) = render::plan(plan, style(&std::io::stderr()));
    std::io::stderr().write_all(errors.as_bytes())
}

fn write_out(text: &str) -> std::io::Result<()> {
    let mut out = std::io::stdout().lock();
    out.write_all(text.as_bytes())?;
    out.flush()
}

fn encode_json(value: &impl Serialize, pretty: bool) -> std::io::Result<String> {
    let text = match pretty {
        true => serde_json::to_string_pretty(value),
        false => serde_json::to_string(value),
    };
    Ok(text? + "\n")
}

fn encode_yaml(value: &impl Serialize) -> std::io::Result<String> {
    let text = serde_yaml::to_string(value).map_err(std::io::Error::other)?;
    Ok(format!("---\n{text}"))
}

/// Colours on terminals that understand them, unless `NO_COLOR` asks for none (see no-color.org).
fn style(stream: &(impl IsTerminal + std::os::fd::AsFd)) -> Style {
    let is_set = |name: &str| std::env::var_os(name).is_some_and(|value| !value.is_empty());
    let dumb = std::env::var_os("TERM").is_some_and(|term| term == "dumb");
    let terminal = stream.is_terminal();
    Style {
        color: terminal && !is_set("NO_COLOR") && !dumb,
        width: terminal_size::terminal_size_of(stream)
            .filter(|_| terminal)
            .map(|(width, _)| usize::from(width.0)),
=======
        Verdict::Error => super::FAILURE,
    }))
}

/// The plan and what the exit code says, as one document.
#[derive(Serialize)]
struct Data<'a> {
    verdict: Verdict,
    #[serde(flatten)]
    plan: &'a PlanReport,
}

impl<'a> Data<'a> {
    fn of(plan: &'a PlanReport) -> Self {
        Self {
            verdict: plan.verdict(),
            plan,
        }
    }
}

fn changed(plan: &PlanReport) -> impl Iterator<Item = &PlanEntry> {
    plan.entries
        .iter()
        .filter(|entry| !matches!(entry.action, Action::Keep | Action::Unchanged))
}

fn plan_text(plan: &PlanReport, palette: Palette) -> String {
    let mut text = format!("{}, {}{}\n", plan.source, plan.revision, uncommitted(&plan.revision));
    for notice in &plan.notices {
        append(&mut text, &format!("note: {notice}\n"));
    }
    for entry in plan.entries.iter().filter(|entry| entry.action != Action::Unchanged) {
        append(&mut text, &entry_text(entry, palette));
    }
    let Counts {
        create,
        update,
        replace,
        delete,
        ..
    } = plan.counts;
    append(
        &mut text,
        &format!("{create} to create, {update} to change, {replace} to replace, {delete} to delete\n"),
    );
    text
}

fn entry_text(entry: &PlanEntry, palette: Palette) -> String {
    let what = match entry.action {
        Action::Create => "create",
        Action::Update => "change",
        Action::Replace => "replace",
        Action::Delete => "delete",
        Action::Keep => "keep",
        Action::Unchanged => "unchanged",
    };
    let mut text = format!(
        "{} {}",
        palette.action(entry.action, what),
        palette.paint("1", &entry.object.to_string())
    );
    if let Some(place) = &entry.place {
        append(&mut text, &format!(" ({place})"));
    }
    text.push('\n');
    for reason in &entry.reasons {
        append(&mut text, &format!("  {reason}\n"));
    }
    for line in &entry.diff {
        let line = match line {
            DiffLine::Hunk(line) => palette.paint("36", line),
            DiffLine::Context(line) => format!(" {line}"),
            DiffLine::Removed(line) => palette.paint("31", &format!("-{line}")),
            DiffLine::Added(line) => palette.paint("32", &format!("+{line}")),
        };
        append(&mut text, &line);
        text.push('\n');
    }
    text
}

/// `; uncommitted: a.yaml (new), b.yaml (modified)`.
fn uncommitted(revision: &Revision) -> String {
    let Revision::WorkTree { uncommitted, .. } = revision else {
        return String::new();
    };
    if uncommitted.is_empty() {
        return "; nothing uncommitted".to_owned();
    }
    let named: Vec<String> = uncommitted
        .iter()
        .take(UNCOMMITTED_NAMED)
        .map(|Uncommitted { path, state }| format!("{path} ({state})"))
        .collect();
    let more = match uncommitted.len().saturating_sub(UNCOMMITTED_NAMED) {
        0 => String::new(),
        more => format!(" and {more} more"),
    };
    format!("; uncommitted: {}{more}", named.join(", "))
}

fn append(text: &mut String, more: &str) {
    text.push_str(more);
}

/// A line to standard output. A reader that went away takes the rest with it, and nothing else depends on it.
fn say(line: &str) {
    if let Err(error) = writeln!(io::stdout().lock(), "{line}") {
        tracing::debug!(%error, "standard output is gone");
    }
}

/// A line to standard error.
fn complain(line: &str) {
    if let Err(error) = writeln!(io::stderr().lock(), "{line}") {
        tracing::debug!(%error, "standard error is gone");
    }
}

/// All of it to standard output; a reader that stops early (`| head`) is no failure.
fn write_whole(text: &str) -> Result<()> {
    let mut stdout = io::stdout().lock();
    match stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush()) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => Err(error).context("writing to standard output"),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gitops::report::Commit;
    use crate::gitops::{ObjectKey, Place};

    fn plan() -> PlanReport {
        let entry = |action, name: &str, diff| PlanEntry {
            action,
            object: ObjectKey {
                group: String::new(),
                kind: "Pod".into(),
                namespace: Some("default".into()),
                name: name.into(),
            },
            name: format!("pod/{name}"),
            place: Some(Place {
                path: "web.yaml".into(),
                line: 3,
                column: 1,
            }),
            reasons: Vec::new(),
            diff,
        };
        let entries = vec![
            entry(
                Action::Update,
                "web",
                vec![
                    DiffLine::Hunk("@@ -1,2 +1,2 @@".into()),
                    DiffLine::Context("spec:".into()),
                    DiffLine::Removed("  image: a:1".into()),
                    DiffLine::Added("  image: a:2".into()),
                ],
            ),
            entry(Action::Unchanged, "same", Vec::new()),
        ];
        let mut counts = Counts::default();
        entries.iter().for_each(|entry| counts.add(entry.action));
        PlanReport {
            source: "git work tree /apps".into(),
            revision: Revision::WorkTree {
                head: Some(Commit {
                    id: "0123456789abcdef".into(),
                    reference: Some("main".into()),
                    subject: "Add web".into(),
                }),
                uncommitted: vec![Uncommitted {
                    path: "web.yaml".into(),
                    state: "modified".into(),
                }],
            },
            entries,
            counts,
            problems: Vec::new(),
            notices: Vec::new(),
        }
    }

    #[test]
    fn a_plan_for_people() {
        insta::assert_snapshot!(plan_text(&plan(), Palette { colours: false }), @r"
        git work tree /apps, 0123456 (main) Add web; uncommitted: web.yaml (modified)
        change Pod default/web (web.yaml:3:1)
        @@ -1,2 +1,2 @@
         spec:
        -  image: a:1
        +  image: a:2
        0 to create, 1 to change, 0 to replace, 0 to delete
        ");
    }

    #[test]
    fn colours_only_on_request() {
        assert!(plan_text(&plan(), Palette { colours: true }).contains("\x1b[32m+  image: a:2\x1b[0m"));
        assert!(!plan_text(&plan(), Palette { colours: false }).contains('\x1b'));
    }

    #[test]
    fn what_was_done() {
        let done = |create, unchanged| {
            counts_done(Counts {
                create,
                unchanged,
                ..Counts::default()
            })
        };
        assert_eq!(done(0, 0), "nothing to do");
        assert_eq!(done(0, 1), "1 object as intended");
        assert_eq!(done(2, 1), "2 created");
>>>>>>> main
    }
}
