//! `reconcile [SOURCE]`: everything in one process, or only the reconciler where an API server runs already.

use std::process::ExitCode;
use std::sync::Arc;

use anyhow::{Context as _, Result};
use kube::Client;
use tokio_util::sync::CancellationToken;

use super::args::RunArgs;
use super::data_dir::DataDir;
use super::report::Printer;
use super::supervise::{Supervisor, signals};
use super::{connect, node, report, serve};
use crate::apiserver::pki::Pki;
use crate::apiserver::{self, ApiServer};
use crate::store::{Embedded, Store};
use crate::{gitops, kubelet, scheduler};

/// Runs what the flags say.
pub async fn run(args: RunArgs) -> Result<ExitCode> {
    let data = DataDir::locate(&args.data)?;
    let config = gitops::Config {
        source: args.source.clone(),
        reference: args.reference.clone(),
        path: args.path.clone(),
        interval: args.interval,
        schedules: args.schedule.clone(),
        prune: !args.no_prune,
        data_dir: data.path().to_owned(),
    };
    gitops::check(&config)?;
    let shutdown = signals()?;
    if args.dry_run {
        return dry_run(&args, &data, &config, shutdown).await;
    }
    if args.once {
        return once(&args, &data, &config, shutdown).await;
    }
    match remote(&args).await? {
        Some(client) => {
            let printer = Arc::new(Printer::stdout(args.output));
            gitops::run(client, config, printer, shutdown).await?;
        }
        None => all_in_one(&args, &data, config, shutdown).await?,
    }
    Ok(ExitCode::SUCCESS)
}

/// A client of the API server that the flags name, if they name one.
async fn remote(args: &RunArgs) -> Result<Option<Client>> {
    if args.server.is_none() && args.kubeconfig.is_none() {
        return Ok(None);
    }
    let config = connect::config(args.server.as_deref(), args.kubeconfig.as_deref()).await?;
    connect::client(config).map(Some)
}

/// A client of the API server that the flags name, or of the data directory's if it answers.
async fn running(args: &RunArgs, data: &DataDir) -> Result<Option<Client>> {
    match remote(args).await? {
        Some(client) => Ok(Some(client)),
        None => Ok(connect::if_it_answers(&data.kubeconfig()).await),
    }
}

async fn all_in_one(args: &RunArgs, data: &DataDir, config: gitops::Config, shutdown: CancellationToken) -> Result<()> {
    data.create()?;
    let _lock = data.lock()?;
    let serving = serve::start(&args.serving, data, &shutdown).await?;
    println!("{:<11} {}", "state", serve::describe_store(data, &args.serving.etcd));
    println!("{:<11} {}", "api server", serving.addresses.join(", "));
    println!("{:<11} export KUBECONFIG={}", "kubectl", serving.kubeconfig.display());
    let mut supervisor = Supervisor::new(shutdown.clone());
    let (api, client_ca) = (serving.api.clone(), serving.client_ca.clone());
    serving.spawn(&mut supervisor, &shutdown);
    node_components(&api, args, data, Some(client_ca), &mut supervisor, &shutdown)?;
    let client = serve::in_process(&api, "reconcile");
    let printer = Arc::new(Printer::stdout(args.output));
    supervisor.spawn("the reconciler", async move {
        Ok(gitops::run(client, config, printer, shutdown).await?)
    });
    supervisor.run().await
}

/// Scheduler, controllers and kubelet over an API server in this process.
fn node_components(
    api: &ApiServer,
    args: &RunArgs,
    data: &DataDir,
    client_ca: Option<String>,
    supervisor: &mut Supervisor,
    shutdown: &CancellationToken,
) -> Result<()> {
    let (client, stop) = (serve::in_process(api, "system:kube-scheduler"), shutdown.clone());
    supervisor.spawn("the scheduler", async move {
        Ok(scheduler::run(client, scheduler::Config::default(), stop).await?)
    });
    let node = node::config(&args.node, data, args.kubelet_listen, client_ca)?;
    let (client, stop) = (serve::in_process(api, "system:node"), shutdown.clone());
    supervisor.spawn(
        "the kubelet",
        async move { Ok(kubelet::run(client, node, stop).await?) },
    );
    Ok(())
}

async fn dry_run(
    args: &RunArgs,
    data: &DataDir,
    config: &gitops::Config,
    shutdown: CancellationToken,
) -> Result<ExitCode> {
    let work = async {
        let client = match running(args, data).await? {
            Some(client) => client,
            None => serve::in_process(&without_writing(args, data).await?, "reconcile"),
        };
        let plan = gitops::dry_run(client, config).await?;
        report::print_plan(&plan, args.output)
    };
    tokio::select! {
        outcome = work => outcome,
        () = shutdown.cancelled() => anyhow::bail!("interrupted"),
    }
}

/// An API server over what an idle data directory holds, as a copy in memory. With etcd nothing is copied, and nothing
/// but dry runs is asked; an etcd that no cluster has used yet is stood in for by a new cluster in memory.
async fn without_writing(args: &RunArgs, data: &DataDir) -> Result<ApiServer> {
    let etcd = &args.serving.etcd;
    let used = match etcd.as_slice() {
        [] => None,
        _ => Some(serve::open_store(data, etcd).await?),
    };
    let used = match used {
        Some(store) if serve::is_new(store.as_ref()).await? => None,
        other => other,
    };
    let bootstrap = used.is_none();
    let store: Arc<dyn Store> = match used {
        Some(store) => store,
        None if etcd.is_empty() => {
            let path = data.store();
            let copy = tokio::task::spawn_blocking(move || Embedded::open_copy(&path)).await;
            Arc::new(copy.context("opening the store")??)
        }
        None => Arc::new(Embedded::in_memory()?),
    };
    let config = apiserver::Config {
        bootstrap,
        ..apiserver::Config::new(store)
    };
    Ok(ApiServer::start(config).await?)
}

async fn once(
    args: &RunArgs,
    data: &DataDir,
    config: &gitops::Config,
    shutdown: CancellationToken,
) -> Result<ExitCode> {
    let printer = Arc::new(Printer::stdout(args.output));
    let outcome = match running(args, data).await? {
        Some(client) => gitops::sync_once(client, config, printer, args.timeout, shutdown).await?,
        None => once_in_process(args, data, config, printer, shutdown).await?,
    };
    Ok(if outcome.success() {
        ExitCode::SUCCESS
    } else {
        ExitCode::from(super::FAILURE)
    })
}

/// Everything but the listeners runs for as long as the sync takes; the containers stay.
async fn once_in_process(
    args: &RunArgs,
    data: &DataDir,
    config: &gitops::Config,
    printer: Arc<Printer>,
    shutdown: CancellationToken,
) -> Result<gitops::Outcome> {
    data.create()?;
    let _lock = data.lock()?;
    let store = serve::open_store(data, &args.serving.etcd).await?;
    let pki = Pki::open(&data.path().join("pki"))?;
    let stop = shutdown.child_token();
    let api = ApiServer::start(apiserver::Config::with_pki(store, &pki, stop.clone())?).await?;
    let mut supervisor = Supervisor::new(stop.clone());
    serve::spawn_controllers(&api, &mut supervisor, &stop);
    node_components(&api, args, data, None, &mut supervisor, &stop)?;
    let client = serve::in_process(&api, "reconcile");
    let sync = gitops::sync_once(client, config, printer, args.timeout, stop.clone());
    let components = tokio::spawn(supervisor.run());
    let outcome = sync.await;
    stop.cancel();
    components.await.context("the components")??;
    Ok(outcome?)
}
