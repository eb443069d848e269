//! Shows a person who waits at a terminal what is waited for, on a line that goes away. Nobody else sees anything of it.

use std::future::Future;
use std::io::IsTerminal as _;
use std::time::Duration;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use super::args::{LogArgs, LogFormat, Output};

/// Between two looks of the line.
const TICK: Duration = Duration::from_millis(120);

/// What the shell is told of an end by Ctrl-C.
const INTERRUPTED: i32 = 130;

/// A line that says what is waited for, until this is dropped.
pub struct Progress(Option<ProgressBar>);

impl Progress {
    /// Nothing at all where nobody watches, output is data, or lines are logged.
    pub fn begin(output: Output, log: &LogArgs, text: impl Into<String>) -> Self {
        let is_dumb = std::env::var_os("TERM").is_none_or(|term| term == "dumb");
        let is_seen = std::io::stderr().is_terminal() && !is_dumb;
        let is_quiet = output == Output::Text && log.log_format == LogFormat::Text && log.verbose == 0;
        if !is_seen || !is_quiet {
            return Self(None);
        }
        let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr());
        let style = ProgressStyle::with_template("{spinner} {wide_msg} {elapsed}").expect("the template is right");
        bar.set_style(style.tick_chars("|/-\\ "));
        bar.set_message(text.into());
        bar.enable_steady_tick(TICK);
        Self(Some(bar))
    }

    /// Says something else.
    pub fn say(&self, text: impl Into<String>) {
        if let Some(bar) = &self.0 {
            bar.set_message(text.into());
        }
    }

    /// Waits for that; an end by Ctrl-C leaves no line behind.
    pub async fn during<T>(&self, work: impl Future<Output = T>) -> T {
        let Some(bar) = &self.0 else { return work.await };
        tokio::select! {
            result = work => result,
            _ = tokio::signal::ctrl_c() => {
                bar.finish_and_clear();
                std::process::exit(INTERRUPTED);
            }
        }
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        if let Some(bar) = &self.0 {
            bar.finish_and_clear();
        }
    }
}
