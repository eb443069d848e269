//! Writes what the reconciler reports to the terminal, or as data to whatever reads it.

use std::fmt::Display;
use std::io::{IsTerminal, Write};
use std::process::ExitCode;
use std::sync::Mutex;

use anyhow::Result;
use serde::Serialize;

use super::args::Output;
use super::render::{self, Style};
use crate::client::Told;
use crate::gitops::report::Verdict;
use crate::gitops::{Action, PlanReport, Report, Reporter};

/// Prints each report as it comes.
pub struct Printer {
    /// Which of several sources it is that reports.
    source: Option<String>,
    output: Output,
    out: Style,
    err: Style,
    /// Lines of several threads must not mix.
    turn: Mutex<()>,
}

impl Printer {
    /// Reports to standard output, what is wrong to standard error; with the name of the source, where there are several.
    pub fn of(output: Output, source: Option<&str>) -> Self {
        Self {
            source: source.map(str::to_owned),
            output,
            out: style(&std::io::stdout()),
            err: style(&std::io::stderr()),
            turn: Mutex::new(()),
        }
    }

    fn data<'a>(&'a self, report: &'a Report) -> Named<'a> {
        Named {
            source: self.source.as_deref(),
            report,
        }
    }

    fn text(&self, report: &Report) -> std::io::Result<()> {
        let source = self.source.as_deref();
        let wrong = render::report(report, source, self.err).filter(|(_, wrong)| *wrong);
        match (wrong, render::report(report, source, self.out)) {
            (Some((text, _)), _) => std::io::stderr().write_all(text.as_bytes()),
            (None, Some((text, _))) => print(&text),
            (None, None) => Ok(()),
        }
    }
}

/// A report with the name of the source that it is about, where there are several.
#[derive(Serialize)]
struct Named<'a> {
    #[serde(rename = "of", skip_serializing_if = "Option::is_none")]
    source: Option<&'a str>,
    #[serde(flatten)]
    report: &'a Report,
}

impl Reporter for Printer {
    fn report(&self, report: Report) {
        // A panic elsewhere must not silence the reports that tell of it.
        let _turn = self.turn.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        let written = match self.output {
            Output::Text => self.text(&report),
            Output::Json => encode_json(&self.data(&report), false).and_then(|text| print(&text)),
            Output::Yaml => encode_yaml(&self.data(&report)).and_then(|text| print(&text)),
            Output::Name => match &report {
                Report::Change(change) => print(&format!(
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

/// Prints data as one JSON or YAML document.
///
/// # Errors
/// Where standard output cannot be written.
pub fn print_data(value: &impl Serialize, output: Output) -> std::io::Result<()> {
    print(&match output {
        Output::Yaml => encode_yaml(value)?,
        _ => encode_json(value, true)?,
    })
}

/// How to write to standard output.
pub fn stdout_style() -> Style {
    style(&std::io::stdout())
}

/// A line at the start: what a person needs next.
///
/// # Errors
/// Where standard output cannot be written.
pub fn announce(label: &str, text: impl Display) -> std::io::Result<()> {
    print(&format!("{label:<width$} {text}\n", width = render::COLUMN))
}

/// Tells why the program ends.
pub fn fail(error: &anyhow::Error) {
    let text = format!("error: {}\n", Told(error.as_ref()));
    // Where nobody reads it, the exit code says enough.
    if let Err(error) = std::io::stderr().write_all(text.as_bytes()) {
        tracing::debug!(%error, "the reason could not be written");
    }
}

/// Prints what a sync would change.
///
/// # Errors
/// Where standard output cannot be written.
pub fn print_plan(plan: &PlanReport, output: Output) -> Result<()> {
    match output {
        Output::Text => {
            let (text, _) = render::plan(plan, style(&std::io::stdout()));
            print(&text)?;
            print_errors(plan)?;
        }
        Output::Json => print(&encode_json(&Data::of(plan), true)?)?,
        Output::Yaml => print(&encode_yaml(&Data::of(plan))?)?,
        Output::Name => {
            let names: String = plan
                .entries
                .iter()
                .filter(|entry| entry.action != Action::Keep)
                .map(|entry| format!("{}\n", entry.name))
                .collect();
            print(&names)?;
            print_errors(plan)?;
        }
    }
    Ok(())
}

/// What a dry run returns to the shell.
pub fn exit_code(verdict: Verdict) -> ExitCode {
    ExitCode::from(match verdict {
        Verdict::Same => 0,
        Verdict::Differs => 1,
        Verdict::Error => super::FAILURE,
    })
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

/// Prints text that is the answer to a command; a reader that stops early (`| head`) is no failure.
///
/// # Errors
/// Where standard output cannot be written.
pub fn print(text: &str) -> std::io::Result<()> {
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
