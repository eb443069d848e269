//! The command line: the only code that reads the environment, prints, or exits. Wires everything.

mod args;
mod components;
mod config_file;
mod connect;
mod data_dir;
mod explain;
mod logging;
mod node;
mod progress;
mod render;
mod report;
mod run;
mod scheduling;
mod serve;
mod sources;
mod supervise;

use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context as _, Result};
use clap::Parser as _;

use args::{Cli, Command};

/// The exit code of every failure; 1 means that a dry run found differences.
const FAILURE: u8 = 2;

/// How long blocking calls (a git fetch, a large read) may hold up the end of the process.
const BLOCKING_STOP_SECONDS: u64 = 1;

/// Runs the program named by the command line.
pub fn main() -> ExitCode {
    let cli = Cli::parse();
    logging::start(cli.log());
    match start(cli) {
        Ok(code) => code,
        Err(error) => {
            report::fail(&error);
            ExitCode::from(FAILURE)
        }
    }
}

fn start(cli: Cli) -> Result<ExitCode> {
    rustls::crypto::ring::default_provider()
        .install_default()
        .map_err(|_| anyhow::anyhow!("the TLS provider was installed twice"))?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .context("cannot start the async runtime")?;
    let outcome = runtime.block_on(dispatch(cli));
    runtime.shutdown_timeout(Duration::from_secs(BLOCKING_STOP_SECONDS));
    outcome
}

async fn dispatch(cli: Cli) -> Result<ExitCode> {
    match cli.command {
        None => run::run(cli.run).await,
        Some(Command::Apiserver(args)) => components::apiserver(args).await,
        Some(Command::Scheduler(args)) => components::scheduler(args).await,
        Some(Command::Kubelet(args)) => components::kubelet(args).await,
        Some(Command::Down(args)) => components::down(args).await,
        Some(Command::Status(args)) => sources::status(args).await,
        Some(Command::Apply(args)) => run::apply(*args).await,
        Some(Command::Sync(args)) => sources::sync(args).await,
        Some(Command::Suspend(args)) => sources::suspend(args, true).await,
        Some(Command::Resume(args)) => sources::suspend(args, false).await,
        Some(Command::Rollback(args)) => sources::rollback(args).await,
        Some(Command::Approve(args)) => sources::approve(args).await,
        Some(Command::History(args)) => sources::history(args).await,
        Some(Command::Forget(args)) => sources::forget(args).await,
        Some(Command::Explain(args)) => explain::explain(args).await,
    }
}
