//! `reconcile apiserver | scheduler | kubelet | down`: one component a process.

use std::process::ExitCode;

use anyhow::{Context as _, Result};

use super::args::{ApiserverArgs, ComponentArgs, ConnectionArgs, DownArgs, KubeletArgs};
use super::data_dir::DataDir;
use super::supervise::{Supervisor, signals};
use super::{connect, node, serve};
use crate::{kubelet, scheduler};

/// Serves the API until a signal, and keeps nodes and namespaces tidy.
pub async fn apiserver(args: ApiserverArgs) -> Result<ExitCode> {
    let shutdown = signals()?;
    let data = DataDir::locate(&args.data)?;
    data.create()?;
    let _lock = data.lock()?;
    let serving = serve::start(&args.serving, &data, &shutdown).await?;
    println!("{:<11} {}", "state", serve::describe_store(&data, &args.serving.etcd));
    println!("{:<11} {}", "api server", serving.addresses.join(", "));
    println!("{:<11} export KUBECONFIG={}", "kubectl", serving.kubeconfig.display());
    let mut supervisor = Supervisor::new(shutdown.clone());
    serving.spawn(&mut supervisor, &shutdown);
    supervisor.run().await?;
    Ok(ExitCode::SUCCESS)
}

/// Schedules until a signal.
pub async fn scheduler(args: ComponentArgs) -> Result<ExitCode> {
    let shutdown = signals()?;
    let data = DataDir::locate(&args.data)?;
    let config = connection(&args.connection, &data).await?;
    println!("{:<11} scheduling for {}", "scheduler", config.cluster_url);
    let client = connect::client(config)?;
    scheduler::run(client, scheduler::Config::default(), shutdown)
        .await
        .context("the scheduler")?;
    Ok(ExitCode::SUCCESS)
}

/// Runs this node's pods until a signal; the containers stay.
pub async fn kubelet(args: KubeletArgs) -> Result<ExitCode> {
    let shutdown = signals()?;
    let data = DataDir::locate(&args.data)?;
    data.create()?;
    let config = connection(&args.connection, &data).await?;
    let node = node::config(
        &args.node,
        &data,
        args.kubelet_listen,
        connect::authorities_pem(&config),
    )?;
    println!("{:<11} node {} of {}", "kubelet", node.node_name, config.cluster_url);
    let client = connect::client(config)?;
    kubelet::run(client, node, shutdown).await.context("the kubelet")?;
    Ok(ExitCode::SUCCESS)
}

/// Stops and removes this node's containers.
pub async fn down(args: DownArgs) -> Result<ExitCode> {
    let data = DataDir::locate(&args.data)?;
    let bind = std::net::SocketAddr::from((std::net::Ipv4Addr::LOCALHOST, 0));
    let config = node::config(&args.node, &data, bind, None)?;
    let removed = kubelet::down(&config)
        .await
        .with_context(|| format!("stopping the containers of node {}", config.node_name))?;
    println!(
        "removed {} container(s) and {} sandbox(es) of node {}",
        removed.containers, removed.sandboxes, config.node_name
    );
    Ok(ExitCode::SUCCESS)
}

async fn connection(args: &ConnectionArgs, data: &DataDir) -> Result<kube::Config> {
    let default = data.kubeconfig();
    let kubeconfig = match (&args.kubeconfig, &args.server) {
        (Some(path), _) => Some(path.as_path()),
        (None, Some(_)) => None,
        (None, None) => Some(default.as_path()),
    };
    connect::config(args.server.as_deref(), kubeconfig).await
}
