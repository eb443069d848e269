//! `reconcile status | sync | suspend | resume | rollback | approve | history`: what people see of sources and ask of them.

use std::process::ExitCode;

use anyhow::{Result, bail};
use jiff::Timestamp;

use super::args::{Output, RollbackArgs, SourceArgs, StatusArgs, SyncArgs};
use super::data_dir::DataDir;
use super::{FAILURE, connect, render, report};
use crate::gitops::manage::{Sources, Status};

/// Prints what is known of the sources.
pub async fn status(args: StatusArgs) -> Result<ExitCode> {
    let statuses = open(&args.source).await?.statuses(args.source.name.as_deref()).await?;
    match args.output {
        Output::Name => {
            let names: String = statuses.iter().map(|status| format!("{}\n", status.name)).collect();
            report::print(&names)?;
        }
        Output::Text => report::print(&render::statuses(&statuses, Timestamp::now(), report::stdout_style()))?,
        output => report::print_data(&statuses, output)?,
    }
    Ok(ExitCode::SUCCESS)
}

/// Prints the revisions that were applied.
pub async fn history(args: StatusArgs) -> Result<ExitCode> {
    let statuses = open(&args.source).await?.statuses(args.source.name.as_deref()).await?;
    let [status] = statuses.as_slice() else {
        let names: Vec<&str> = statuses.iter().map(|status| status.name.as_str()).collect();
        bail!("say which source is meant: {}", names.join(", "));
    };
    let past = &status.record.history;
    match args.output {
        Output::Text => report::print(&render::history(past, Timestamp::now(), report::stdout_style()))?,
        Output::Name => {
            let ids: String = past.iter().map(|past| format!("{}\n", past.revision.id())).collect();
            report::print(&ids)?;
        }
        output => report::print_data(past, output)?,
    }
    Ok(ExitCode::SUCCESS)
}

/// Syncs now, and says what came of it.
pub async fn sync(args: SyncArgs) -> Result<ExitCode> {
    let sources = open(&args.source).await?;
    let status = sources.sync(args.source.name.as_deref(), args.timeout).await?;
    answer(status, Status::is_in_sync)
}

/// Goes back to an earlier revision, and says what came of it.
pub async fn rollback(args: RollbackArgs) -> Result<ExitCode> {
    let (name, sources) = (args.source.name.as_deref(), open(&args.source).await?);
    let status = sources.rollback(&args.revision, name, args.timeout).await?;
    answer(status, Status::is_applied)
}

fn answer(status: Status, is_well: impl Fn(&Status) -> bool) -> Result<ExitCode> {
    let code = match is_well(&status) {
        true => ExitCode::SUCCESS,
        false => ExitCode::from(FAILURE),
    };
    report::print(&render::statuses(&[status], Timestamp::now(), report::stdout_style()))?;
    Ok(code)
}

/// Stops the syncs of a source, or lets them go on.
pub async fn suspend(args: SourceArgs, suspended: bool) -> Result<ExitCode> {
    let name = open(&args).await?.suspend(args.name.as_deref(), suspended).await?;
    report::announce(if suspended { "suspended" } else { "resumed" }, name)?;
    Ok(ExitCode::SUCCESS)
}

/// Agrees to the deletions that wait.
pub async fn approve(args: SourceArgs) -> Result<ExitCode> {
    let (name, approval) = open(&args).await?.approve(args.name.as_deref()).await?;
    let text = format_args!(
        "{name}: {} of {} objects will be deleted",
        approval.deletes, approval.owned
    );
    report::announce("approved", text)?;
    Ok(ExitCode::SUCCESS)
}

async fn open(args: &SourceArgs) -> Result<Sources> {
    let data = DataDir::locate(&args.data)?;
    let config = connect::named(&args.connection, &data).await?;
    Ok(Sources::new(connect::answering(config).await?))
}
