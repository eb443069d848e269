//! `reconcile status | sync | suspend | resume | rollback | approve | history | forget`: what people see of sources and
//! ask of them.

use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Result, bail};
use jiff::Timestamp;
use serde::Serialize;
use serde_json::json;
use tokio::time::{Instant, sleep};

use super::args::{ConnectionArgs, DataArgs, ForgetArgs, Output, RollbackArgs, SourceArgs, StatusArgs, SyncArgs};
use super::data_dir::DataDir;
use super::progress::Progress;
use super::render::Watched;
use super::{FAILURE, connect, render, report};
use crate::gitops::manage::{Asked, Sources, Status};

/// The exit code of a sync that is applied and did not become healthy in time.
const NOT_HEALTHY: u8 = 1;

/// Between looks at the sources that are watched.
const WATCH_POLL: Duration = Duration::from_secs(1);

/// Prints what is known of the sources, and goes on where that is asked for.
pub async fn status(args: StatusArgs) -> Result<ExitCode> {
    let StatusArgs { source: args, watch } = args;
    let sources = open(&args).await?;
    if watch {
        return watch_statuses(&args, &sources).await;
    }
    let statuses = sources.statuses(args.name.as_deref()).await?;
    match args.output {
        Output::Name => report::print(&names(&statuses))?,
        Output::Text => report::print(&render::statuses(&statuses, Timestamp::now(), report::stdout_style()))?,
        output => report::print_data(&statuses, output)?,
    }
    Ok(ExitCode::SUCCESS)
}

/// A line, or a document, whenever a source's line changes; ends with the process.
async fn watch_statuses(args: &SourceArgs, sources: &Sources) -> Result<ExitCode> {
    let mut watched = Watched::default();
    loop {
        let statuses = sources.statuses(args.name.as_deref()).await?;
        let (news, text) = watched.look(&statuses, Timestamp::now(), report::stdout_style());
        match args.output {
            Output::Text => report::print(&text)?,
            Output::Name => report::print(&names(news))?,
            output => {
                for status in news {
                    report::print_data(status, output)?;
                }
            }
        }
        sleep(WATCH_POLL).await;
    }
}

fn names<'a>(statuses: impl IntoIterator<Item = &'a Status>) -> String {
    statuses
        .into_iter()
        .map(|status| format!("{}\n", status.name))
        .collect()
}

/// Prints the revisions that were applied.
pub async fn history(args: SourceArgs) -> Result<ExitCode> {
    let statuses = open(&args).await?.statuses(args.name.as_deref()).await?;
    let [status] = statuses.as_slice() else {
        let names: Vec<&str> = statuses.iter().map(|status| status.name.as_str()).collect();
        match names.is_empty() {
            true => bail!("there is no source yet; `reconcile SOURCE` follows one"),
            false => bail!("say which source is meant: {}", names.join(", ")),
        }
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
    let SyncArgs {
        source: args,
        wait,
        timeout,
    } = args;
    let deadline = Instant::now() + timeout;
    let sources = open(&args).await?;
    let progress = Progress::begin(args.output, &args.log, "waiting until it is synced");
    let work = async {
        let status = sources.sync(args.name.as_deref(), timeout).await?;
        match wait && status.is_in_sync() {
            true => {
                sources
                    .healthy(status, deadline, |status| progress.say(lacks(status)))
                    .await
            }
            false => Ok(status),
        }
    };
    let status = progress.during(work).await?;
    drop(progress);
    let code = match (status.is_in_sync(), wait && !status.is_healthy()) {
        (false, _) => ExitCode::from(FAILURE),
        (true, true) => ExitCode::from(NOT_HEALTHY),
        (true, false) => ExitCode::SUCCESS,
    };
    answer(&status, args.output).map(|()| code)
}

/// What is waited for, in a line.
fn lacks(status: &Status) -> String {
    let Status { healthy, objects, .. } = status;
    let first = status.unhealthy.first();
    let first = first.map(|one| render::printable(&format!("; {}: {}", one.object, one.reason)));
    format!("{healthy} of {objects} healthy{}", first.unwrap_or_default())
}

/// Goes back to an earlier revision, and says what came of it.
pub async fn rollback(args: RollbackArgs) -> Result<ExitCode> {
    let RollbackArgs {
        revision,
        source: args,
        timeout,
    } = args;
    let sources = open(&args).await?;
    let progress = Progress::begin(args.output, &args.log, format!("going back to {revision}"));
    let work = sources.rollback(&revision, args.name.as_deref(), timeout);
    let status = progress.during(work).await?;
    drop(progress);
    answer(&status, args.output)?;
    Ok(match status.is_applied() {
        true => ExitCode::SUCCESS,
        false => ExitCode::from(FAILURE),
    })
}

fn answer(status: &Status, output: Output) -> Result<()> {
    match output {
        Output::Text => {
            let statuses = std::slice::from_ref(status);
            report::print(&render::statuses(statuses, Timestamp::now(), report::stdout_style()))?;
        }
        output => said(&status.name, status, output)?,
    }
    Ok(())
}

/// Stops the syncs of a source, or lets them go on.
pub async fn suspend(args: SourceArgs, suspended: bool) -> Result<ExitCode> {
    let asked = open(&args).await?.suspend(args.name.as_deref(), suspended).await?;
    let name = &asked.name;
    match args.output {
        Output::Text => {
            report::announce(if suspended { "suspended" } else { "resumed" }, name)?;
            unseen(&asked)?;
        }
        output => {
            let data = json!({"name": name, "followedBy": asked.followed_by, "suspended": suspended});
            said(name, &data, output)?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// Agrees to the deletions that wait.
pub async fn approve(args: SourceArgs) -> Result<ExitCode> {
    let (asked, approval) = open(&args).await?.approve(args.name.as_deref()).await?;
    let name = &asked.name;
    match args.output {
        Output::Text => {
            let text = format_args!(
                "{name}: {} of {} objects will be deleted",
                approval.deletes, approval.owned
            );
            report::announce("approved", text)?;
            unseen(&asked)?;
        }
        output => {
            let data = json!({"name": name, "followedBy": asked.followed_by, "approved": approval});
            said(name, &data, output)?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// Forgets a source that nobody follows.
pub async fn forget(args: ForgetArgs) -> Result<ExitCode> {
    let forgotten = connected(&args.data, &args.connection)
        .await?
        .forget(&args.name)
        .await?;
    match args.output {
        Output::Text => report::print(&render::forgotten(&forgotten, report::stdout_style()))?,
        output => said(&forgotten.name, &forgotten, output)?,
    }
    Ok(ExitCode::SUCCESS)
}

/// What was asked is written down, and nobody is there to see it.
fn unseen(asked: &Asked) -> std::io::Result<()> {
    match asked.followed_by.is_nobody() {
        true => report::announce(
            "note",
            format_args!("nobody follows {} now; it counts once somebody does", asked.name),
        ),
        false => Ok(()),
    }
}

/// One document, or the source's name.
fn said(name: &str, data: &impl Serialize, output: Output) -> std::io::Result<()> {
    match output {
        Output::Name => report::print(&format!("{name}\n")),
        output => report::print_data(data, output),
    }
}

async fn open(args: &SourceArgs) -> Result<Sources> {
    connected(&args.data, &args.connection).await
}

async fn connected(data: &DataArgs, connection: &ConnectionArgs) -> Result<Sources> {
    let data = DataDir::locate(data)?;
    let config = connect::named(connection, &data).await?;
    Ok(Sources::new(connect::answering(config).await?))
}
