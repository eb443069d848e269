//! `reconcile [SOURCE]`: everything in one process, or only the reconciler where an API server runs already.

use std::process::ExitCode;
use std::sync::Arc;

use anyhow::{Context as _, Result, ensure};
use kube::Client;
use prometheus_client::registry::Registry;
use tokio_util::sync::CancellationToken;

use super::args::{ApplyArgs, RunArgs};
use super::data_dir::{DataDir, Lock};
use super::report::Printer;
use super::supervise::{Supervisor, signals};
use super::{config_file, connect, node, report, scheduling, serve};
use crate::apiserver::pki::Pki;
use crate::apiserver::{self, ApiServer};
use crate::client::Told;
use crate::gitops::report::Verdict;
use crate::gitops::telling::Telling;
use crate::gitops::trust::{Keyring, Mode, Verify};
use crate::gitops::webhook::{self, Webhooks};
use crate::gitops::{Agreed, Presence};
use crate::store::{Embedded, Store};
use crate::{exposition, gitops, kubelet, plain_http, scheduler};

/// Runs what the flags say.
pub async fn run(args: RunArgs) -> Result<ExitCode> {
    let data = DataDir::locate(&args.data)?;
    let configs = sources(&args, &data)?;
    for config in &configs {
        gitops::check(config).map_err(|error| typo(&args, error.into()))?;
    }
    let shutdown = signals()?;
    if args.dry_run {
        return dry_run(&args, &data, &configs, shutdown).await;
    }
    if args.once {
        return once(&args, &data, &configs, None, shutdown).await;
    }
    match remote(&args).await? {
        Some(server) => {
            let client = connect::client(server)?;
            let mut supervisor = Supervisor::new(shutdown.clone());
            let _place = follow(&args, &data, configs, client, None, &mut supervisor, &shutdown).await?;
            supervisor.run().await?;
        }
        None => all_in_one(&args, &data, configs, shutdown).await?,
    }
    Ok(ExitCode::SUCCESS)
}

/// The error, with a tip where what is no SOURCE looks like a command.
fn typo(args: &RunArgs, error: anyhow::Error) -> anyhow::Error {
    let is_there = std::path::Path::new(&args.source).exists();
    match super::args::meant(&args.source).filter(|_| args.config.is_none() && !is_there) {
        Some(command) => anyhow::anyhow!("{error:#}; did you mean `reconcile {command}`?"),
        None => error,
    }
}

/// Carries out a plan.
pub async fn apply(args: ApplyArgs) -> Result<ExitCode> {
    let ApplyArgs { plan: path, run: args } = args;
    ensure!(
        !args.dry_run && !args.once,
        "`reconcile apply` carries out a plan; leave out --dry-run and --once"
    );
    ensure!(
        args.config.is_none(),
        "a plan is of one source; give that instead of --config"
    );
    let shown = path.display();
    let text = match path.to_str() {
        Some("-") => std::io::read_to_string(std::io::stdin()).context("reading the plan from standard input")?,
        _ => std::fs::read_to_string(&path).with_context(|| format!("reading the plan {shown}"))?,
    };
    let plan = Agreed::parse(&text).with_context(|| format!("{shown}"))?;
    let data = DataDir::locate(&args.data)?;
    let configs = sources(&args, &data)?;
    once(&args, &data, &configs, Some(&plan), signals()?).await
}

/// Reads what the flags name, now and whenever one of these files changes.
fn held(args: &RunArgs) -> impl Fn(&mut gitops::Inputs) -> Result<gitops::Held, gitops::Error> + Send + Sync + 'static {
    let (credentials, notify) = (args.credentials.clone(), args.notify.clone());
    let (keys, mode) = match args.verify_tags.as_slice() {
        [] => (args.verify_commits.clone(), Mode::Commit),
        files => (files.to_vec(), Mode::Tag),
    };
    move |inputs| {
        let mut held = gitops::Held::default();
        if let Some(directory) = &credentials {
            gitops::Access::files(directory).for_each(|file| inputs.file(file));
            held.access = gitops::Access::from_directory(directory)?;
        }
        if !keys.is_empty() {
            keys.iter().for_each(|file| inputs.file(file));
            let keyring = Keyring::read(&keys)?;
            held.verify = Some(Verify { keyring, mode });
        }
        if let Some(path) = &notify {
            let wrong = |error| gitops::Error::Config(format!("{error:#}"));
            held.receivers = config_file::receivers(path, inputs).map_err(wrong)?;
        }
        Ok(held)
    }
}

/// What to follow: SOURCE, or what the file says.
fn sources(args: &RunArgs, data: &DataDir) -> Result<Vec<gitops::Config>> {
    let (webhooks, telling) = (Webhooks::default(), Telling::default());
    let neighbours = gitops::Neighbours::default();
    if let Some(path) = &args.config {
        let mut configs = config_file::read(path, data.path(), args.webhook_secret.as_deref())?;
        for config in &mut configs {
            config.webhooks = webhooks.clone();
            config.telling = telling.clone();
            config.neighbours = neighbours.clone();
        }
        return Ok(configs);
    }
    let config = gitops::Config {
        webhook_secret: args.webhook_secret.clone(),
        webhooks,
        telling,
        neighbours,
        reference: args.reference.clone(),
        semver: args.semver.clone(),
        path: args.path.clone(),
        ignore: args.ignore.clone(),
        submodules: args.submodules,
        interval: args.interval,
        schedules: args.schedule.clone(),
        windows: args.sync_window.clone(),
        prune: !args.no_prune,
        on_drift: args.drift,
        budget: args.prune_budget,
        rollback: args.rollback,
        health_timeout: args.health_timeout,
        ..gitops::Config::new(&args.source, data.path().to_owned())
    };
    Ok(vec![config.with_files(held(args))?])
}

/// Follows the sources, listens for their webhooks and serves their metrics; with a file of them also those that are
/// objects of the cluster, where it has that kind. What it returns is to be kept for as long as they are followed.
async fn follow(
    args: &RunArgs,
    data: &DataDir,
    configs: Vec<gitops::Config>,
    client: Client,
    measured: Option<Arc<Registry>>,
    supervisor: &mut Supervisor,
    shutdown: &CancellationToken,
) -> Result<Option<Lock>> {
    let (hooks, telling, neighbours) = configs
        .first()
        .map(|config| {
            (
                config.webhooks.clone(),
                config.telling.clone(),
                config.neighbours.clone(),
            )
        })
        .unwrap_or_default();
    let (place, presence) = presence(data);
    if let Some(address) = args.webhook_listen {
        let listener = serve::listen(address, "--webhook-listen").await?;
        let (address, name) = (
            listener.local_addr()?,
            args.config.as_ref().map_or(webhook::DEFAULT, |_| "NAME"),
        );
        report::announce("webhooks", format_args!("http://{address}/webhook/{name}"))?;
        let (hooks, stop) = (hooks.clone(), shutdown.clone());
        supervisor.spawn("webhooks", async move {
            webhook::serve(listener, hooks, stop).await.context("serving webhooks")
        });
    }
    if let Some(address) = args.metrics_listen {
        let listener = serve::listen(address, "--metrics-listen").await?;
        report::announce("metrics", format_args!("http://{}/metrics", listener.local_addr()?))?;
        let registries = [telling.metrics.registry()].into_iter().chain(measured);
        let (router, stop) = (exposition::router(registries.collect()), shutdown.clone());
        supervisor.spawn("metrics", async move {
            plain_http::serve(listener, router, stop)
                .await
                .context("serving metrics")
        });
    }
    let taken = configs.iter().filter_map(|config| config.name.clone()).collect();
    for mut config in configs {
        let (client, stop) = (client.clone(), shutdown.clone());
        let printer = Arc::new(Printer::of(args.output, config.name.as_deref()));
        config.presence = presence.clone();
        supervisor.spawn("the reconciler", async move {
            Ok(gitops::run(client, config, printer, stop).await?)
        });
    }
    let (output, stop) = (args.output, shutdown.clone());
    let manager = gitops::manager::Manager {
        client,
        data_dir: data.path().to_owned(),
        taken,
        webhooks: hooks,
        webhook_secret: args.webhook_secret.clone(),
        telling,
        neighbours,
        presence,
        reporter: Arc::new(move |name| Arc::new(Printer::of(output, Some(name)))),
    };
    if args.config.is_some() || (args.server.is_none() && args.kubeconfig.is_none()) {
        supervisor.spawn("the sources' manager", async move { Ok(manager.run(stop).await?) });
    }
    Ok(place)
}

/// The name under which this process follows sources, and what keeps others from it: that of the process before it on
/// this host and data directory.
fn presence(data: &DataDir) -> (Option<Lock>, Presence) {
    let host = node::host();
    let path = data.path().display();
    match data.lock_place() {
        Ok((lock, 1)) => (Some(lock), Presence::new(format!("{host} ({path})"))),
        Ok((lock, place)) => (Some(lock), Presence::new(format!("{host} ({path}, {place})"))),
        Err(error) => {
            tracing::debug!(error = %Told(error.as_ref()), "followers of this data directory cannot be told apart");
            let process = std::process::id();
            (None, Presence::new(format!("{host} ({path}, process {process})")))
        }
    }
}

/// How to reach the API server that the flags name, if they name one.
async fn remote(args: &RunArgs) -> Result<Option<kube::Config>> {
    if args.server.is_none() && args.kubeconfig.is_none() {
        return Ok(None);
    }
    let config = connect::config(args.server.as_deref(), args.kubeconfig.as_deref()).await?;
    Ok(Some(config))
}

/// A client of the API server that the flags name, or of the data directory's if it answers.
async fn running(args: &RunArgs, data: &DataDir) -> Result<Option<Client>> {
    match remote(args).await? {
        Some(config) => connect::answering(config).await.map(Some),
        None => Ok(connect::if_it_answers(&data.kubeconfig()).await),
    }
}

async fn all_in_one(
    args: &RunArgs,
    data: &DataDir,
    configs: Vec<gitops::Config>,
    shutdown: CancellationToken,
) -> Result<()> {
    let scheduler = scheduling::config(scheduling::configuration(args.scheduler_config.as_deref())?);
    let measured = scheduler.metrics.registry();
    data.create()?;
    let _locks = (data.lock()?, data.lock_kubelet()?);
    let serving = serve::start(&args.serving, data, &shutdown).await?;
    report::announce("state", serve::describe_store(data, &args.serving.etcd))?;
    report::announce("api server", serving.addresses.join(", "))?;
    report::announce(
        "kubectl",
        format_args!("export KUBECONFIG={}", serving.kubeconfig.display()),
    )?;
    let mut supervisor = Supervisor::new(shutdown.clone());
    let (api, client_ca) = (serving.api.clone(), serving.client_ca.clone());
    serving.spawn(&mut supervisor, &shutdown);
    node_components(&api, args, data, scheduler, Some(client_ca), &mut supervisor, &shutdown)?;
    let client = serve::in_process(&api, "reconcile");
    let components = tokio::spawn(supervisor.run());
    node::ready(&client, &node::name(&args.node)?).await;
    let mut supervisor = Supervisor::new(shutdown.clone());
    let _place = follow(args, data, configs, client, Some(measured), &mut supervisor, &shutdown).await?;
    let reconcilers = supervisor.run().await;
    components.await.context("the components")??;
    reconcilers
}

/// Scheduler, controllers and kubelet over an API server in this process.
fn node_components(
    api: &ApiServer,
    args: &RunArgs,
    data: &DataDir,
    scheduler: scheduler::Config,
    client_ca: Option<String>,
    supervisor: &mut Supervisor,
    shutdown: &CancellationToken,
) -> Result<()> {
    let (client, stop) = (serve::in_process(api, "system:kube-scheduler"), shutdown.clone());
    supervisor.spawn("the scheduler", async move {
        Ok(scheduler::run(client, scheduler, stop).await?)
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
    configs: &[gitops::Config],
    shutdown: CancellationToken,
) -> Result<ExitCode> {
    let work = async {
        let client = match running(args, data).await? {
            Some(client) => client,
            None => serve::in_process(&without_writing(args, data).await?, "reconcile"),
        };
        let _known = gitops::introduce(configs).await;
        let mut worst = Verdict::Same;
        for config in configs {
            match gitops::dry_run(client.clone(), config).await {
                Ok(plan) => {
                    report::print_plan(&plan, args.output)?;
                    worst = worst.max(plan.verdict());
                }
                Err(error) => {
                    failed(config, error);
                    worst = Verdict::Error;
                }
            }
        }
        Ok(report::exit_code(worst))
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
    configs: &[gitops::Config],
    plan: Option<&Agreed>,
    shutdown: CancellationToken,
) -> Result<ExitCode> {
    let success = match running(args, data).await? {
        Some(client) => sync_all(&client, args, configs, plan, &shutdown).await?,
        None => once_in_process(args, data, configs, plan, shutdown).await?,
    };
    Ok(if success {
        ExitCode::SUCCESS
    } else {
        ExitCode::from(super::FAILURE)
    })
}

/// Everything but the listeners runs for as long as the sync takes; the containers stay.
async fn once_in_process(
    args: &RunArgs,
    data: &DataDir,
    configs: &[gitops::Config],
    plan: Option<&Agreed>,
    shutdown: CancellationToken,
) -> Result<bool> {
    let scheduler = scheduling::config(scheduling::configuration(args.scheduler_config.as_deref())?);
    data.create()?;
    let _locks = (data.lock()?, data.lock_kubelet()?);
    let store = serve::open_store(data, &args.serving.etcd).await?;
    let pki = Pki::open(&data.path().join("pki"))?;
    let stop = shutdown.child_token();
    let api = ApiServer::start(apiserver::Config::with_pki(store, &pki, stop.clone())?).await?;
    let mut supervisor = Supervisor::new(stop.clone());
    serve::spawn_controllers(&api, &mut supervisor, &stop);
    node_components(&api, args, data, scheduler, None, &mut supervisor, &stop)?;
    let client = serve::in_process(&api, "reconcile");
    let components = tokio::spawn(supervisor.run());
    let success = sync_all(&client, args, configs, plan, &stop).await;
    stop.cancel();
    components.await.context("the components")??;
    success
}

/// Syncs one source after the other, or carries out the plan of one; whether all went well.
async fn sync_all(
    client: &Client,
    args: &RunArgs,
    configs: &[gitops::Config],
    plan: Option<&Agreed>,
    shutdown: &CancellationToken,
) -> Result<bool> {
    let _known = gitops::introduce(configs).await;
    let mut success = true;
    for config in configs {
        let printer = Arc::new(Printer::of(args.output, config.name.as_deref()));
        let (client, stop) = (client.clone(), shutdown.clone());
        let outcome = match plan {
            Some(plan) => gitops::apply_plan(client, config, plan, printer, args.timeout, stop).await,
            None => gitops::sync_once(client, config, printer, args.timeout, stop).await,
        };
        success &= match outcome {
            Ok(outcome) => outcome.success(),
            Err(error @ gitops::Error::Stopped) => return Err(error.into()),
            Err(error) => {
                failed(config, error);
                false
            }
        };
    }
    Ok(success)
}

/// Tells that nothing could be done with one of the sources; the others are gone on with.
fn failed(config: &gitops::Config, error: gitops::Error) {
    let error = anyhow::Error::new(error);
    report::fail(&match &config.name {
        Some(name) => error.context(name.clone()),
        None => error,
    });
}
