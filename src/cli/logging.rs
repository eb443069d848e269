//! Sends log lines to standard error.

use std::io::IsTerminal as _;

use tracing_subscriber::EnvFilter;

use super::args::{LogArgs, LogFormat};

/// Starts logging; the first call in a process wins.
pub fn start(args: &LogArgs) {
    let level = match args.verbose {
        // What a client's request came to is reported by who made it.
        0 => "warn,kube_client=off",
        1 => "warn,kube_client=off,reconcile=info",
        2 => "info,reconcile=debug",
        _ => "debug,reconcile=trace",
    };
    let filter = EnvFilter::try_from_env("RECONCILE_LOG").unwrap_or_else(|_| EnvFilter::new(level));
    let builder = tracing_subscriber::fmt()
        .with_env_filter(filter)
        // It would panic where nobody reads standard error any more.
        .log_internal_errors(false)
        .with_writer(std::io::stderr);
    match args.log_format {
        LogFormat::Json => builder.json().init(),
        LogFormat::Text => builder
            .with_ansi(std::io::stderr().is_terminal() && no_color_is_unset())
            .init(),
    }
}

fn no_color_is_unset() -> bool {
    std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty())
}
