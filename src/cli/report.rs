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
        }
    }
}

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
        }
    }
}

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
        Output::Json => write_out(&encode_json(&Data::of(plan), true)?)?,
        Output::Yaml => write_out(&encode_yaml(&Data::of(plan))?)?,
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
    }
    Ok(ExitCode::from(match plan.verdict() {
        Verdict::Same => 0,
        Verdict::Differs => 1,
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

fn print_errors(plan: &PlanReport) -> std::io::Result<()> {
    let (_, errors) = render::plan(plan, style(&std::io::stderr()));
    std::io::stderr().write_all(errors.as_bytes())
}

/// A reader that stops early (`| head`) is no failure.
fn write_out(text: &str) -> std::io::Result<()> {
    let mut out = std::io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => Err(error),
        _ => Ok(()),
    }
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
    }
}
