//! `reconcile apiserver | scheduler | kubelet | down`: one component a process.

use std::process::ExitCode;

use anyhow::{Context as _, Result};

use super::args::{ApiserverArgs, DownArgs, KubeletArgs, Output, SchedulerArgs};
use super::data_dir::DataDir;
use super::progress::Progress;
use super::supervise::{Supervisor, signals};
use super::{connect, node, report, scheduling, serve};
use crate::kubelet::Down;
use crate::{exposition, kubelet, plain_http, scheduler};

/// Serves the API until a signal, and keeps nodes and namespaces tidy.
pub async fn apiserver(args: ApiserverArgs) -> Result<ExitCode> {
    let shutdown = signals()?;
    let data = DataDir::locate(&args.data)?;
    data.create()?;
    let _lock = data.lock()?;
    let serving = serve::start(&args.serving, &data, &shutdown).await?;
    report::announce("state", serve::describe_store(&data, &args.serving.etcd))?;
    report::announce("api server", serving.addresses.join(", "))?;
    report::announce(
        "kubectl",
        format_args!("export KUBECONFIG={}", serving.kubeconfig.display()),
    )?;
    let mut supervisor = Supervisor::new(shutdown.clone());
    serving.spawn(&mut supervisor, &shutdown);
    supervisor.run().await?;
    Ok(ExitCode::SUCCESS)
}

/// Schedules until a signal.
pub async fn scheduler(args: SchedulerArgs) -> Result<ExitCode> {
    let shutdown = signals()?;
    let mut configuration = scheduling::configuration(args.scheduler_config.as_deref())?;
    if args.scheduler_config.is_some() {
        // What such a file does not say is as for kube-scheduler.
        configuration.election.elects.get_or_insert(true);
    }
    let data = DataDir::locate(&args.data)?;
    let config = connect::named(&args.connection, &data).await?;
    report::announce("scheduler", format_args!("scheduling for {}", config.cluster_url))?;
    let client = connect::client(config)?;
    let config = scheduling::config(configuration);
    let mut supervisor = Supervisor::new(shutdown.clone());
    if let Some(address) = args.metrics_listen {
        let listener = serve::listen(address, "--metrics-listen").await?;
        report::announce("metrics", format_args!("http://{}/metrics", listener.local_addr()?))?;
        let router = exposition::router(vec![config.metrics.registry()]);
        let stop = shutdown.clone();
        supervisor.spawn("metrics", async move {
            plain_http::serve(listener, router, stop)
                .await
                .context("serving metrics")
        });
    }
    supervisor.spawn("the scheduler", async move {
        Ok(scheduler::run(client, config, shutdown).await?)
    });
    supervisor.run().await?;
    Ok(ExitCode::SUCCESS)
}

/// Runs this node's pods until a signal; the containers stay.
pub async fn kubelet(args: KubeletArgs) -> Result<ExitCode> {
    let shutdown = signals()?;
    let data = DataDir::locate(&args.data)?;
    data.create()?;
    let _lock = data.lock_kubelet()?;
    let config = connect::named(&args.connection, &data).await?;
    let node = node::config(
        &args.node,
        &data,
        args.kubelet_listen,
        connect::authorities_pem(&config),
    )?;
    report::announce(
        "kubelet",
        format_args!("node {} of {}", node.node_name, config.cluster_url),
    )?;
    let client = connect::client(config)?;
    kubelet::run(client, node, shutdown).await.context("the kubelet")?;
    Ok(ExitCode::SUCCESS)
}

/// Stops and removes this node's containers.
pub async fn down(args: DownArgs) -> Result<ExitCode> {
    let data = DataDir::locate(&args.data)?;
    // Where no kubelet ever ran there is nothing to lock, and nothing is created.
    let _lock = data.path().exists().then(|| data.lock_kubelet()).transpose()?;
    let bind = std::net::SocketAddr::from((std::net::Ipv4Addr::LOCALHOST, 0));
    let config = node::config(&args.node, &data, bind, None)?;
    let text = format!("stopping the containers of node {}", config.node_name);
    let progress = Progress::begin(Output::Text, &args.log, text);
    let removed = progress
        .during(kubelet::down(&config))
        .await
        .with_context(|| format!("stopping the containers of node {}", config.node_name))?;
    drop(progress);
    let Down { containers, sandboxes } = removed;
    let text = format_args!(
        "{containers} container(s) and {sandboxes} sandbox(es) of node {}",
        config.node_name
    );
    report::announce("removed", text)?;
    Ok(ExitCode::SUCCESS)
}
