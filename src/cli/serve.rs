//! Starts an API server in this process: store, certificates, listeners, kubeconfig.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;

use anyhow::{Context as _, Result};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use super::args::ServingArgs;
use super::data_dir::DataDir;
use super::supervise::Supervisor;
use crate::apiserver::pki::{self, Pki, Subject};
use crate::apiserver::{self, ApiServer, User};
use crate::controllers;
use crate::store::{Embedded, Etcd, ListOptions, Store};

/// An API server that listens.
pub struct Serving {
    /// The server itself, for in-process clients.
    pub api: ApiServer,
    /// The PEM of the authority that signs clients' certificates.
    pub client_ca: String,
    /// What was bound, for the person who started it.
    pub addresses: Vec<String>,
    /// Where the kubeconfig was written.
    pub kubeconfig: PathBuf,
    secure: (TcpListener, Arc<rustls::ServerConfig>),
    plain: Option<TcpListener>,
}

/// The store that the flags name. Nothing is created for a dry run.
pub async fn open_store(data: &DataDir, etcd: &[String]) -> Result<Arc<dyn Store>> {
    if !etcd.is_empty() {
        let store = Etcd::connect(etcd)
            .await
            .with_context(|| format!("--etcd {}", etcd.join(",")))?;
        return Ok(Arc::new(store));
    }
    let path = data.store();
    let store = tokio::task::spawn_blocking(move || Embedded::open(&path))
        .await
        .context("opening the store")??;
    Ok(Arc::new(store))
}

/// Whether no cluster has kept its state here yet: each begins with its namespaces.
pub async fn is_new(store: &dyn Store) -> Result<bool> {
    let one = ListOptions {
        limit: 1,
        ..ListOptions::default()
    };
    Ok(store.list("/registry/namespaces/", one).await?.items.is_empty())
}

/// Where state lies, for a person.
pub fn describe_store(data: &DataDir, etcd: &[String]) -> String {
    match etcd {
        [] => format!("{} (embedded store)", data.path().display()),
        urls => format!("etcd {}", urls.join(",")),
    }
}

/// Opens everything, so that what can fail has failed before anything is served.
pub async fn start(args: &ServingArgs, data: &DataDir, shutdown: &CancellationToken) -> Result<Serving> {
    let secure = listen(args.listen, "--listen").await?;
    let address = secure.local_addr()?;
    let url = format!("https://{}", reachable(address));
    let mut addresses = vec![url.clone()];
    let mut plain = None;
    if let Some(port) = args.insecure_port {
        let listener = listen(SocketAddr::from((Ipv4Addr::LOCALHOST, port)), "--insecure-port").await?;
        addresses.push(format!("http://{}", listener.local_addr()?));
        plain = Some(listener);
    }
    let store = open_store(data, &args.etcd).await?;
    let pki = Pki::open(&data.path().join("pki"))?;
    let host = hostname::get()
        .map(|name| name.to_string_lossy().into_owned())
        .unwrap_or_default();
    let serving = pki.serving(&[host, reachable(address).ip().to_string()])?;
    let tls = pki::server_config(&serving, pki.ca_certificate())?;
    let kubeconfig = data.kubeconfig();
    let text = pki::kubeconfig(
        &url,
        pki.ca_certificate(),
        Subject::ADMIN.user,
        &pki.client(Subject::ADMIN)?,
    );
    data.write_private(&kubeconfig, &text)?;
    let api = ApiServer::start(apiserver::Config::with_pki(store, &pki, shutdown.clone())?).await?;
    Ok(Serving {
        api,
        client_ca: pki.ca_certificate().to_owned(),
        addresses,
        kubeconfig,
        secure: (secure, tls),
        plain,
    })
}

impl Serving {
    /// Serves until shutdown, and keeps nodes and namespaces tidy.
    pub fn spawn(self, supervisor: &mut Supervisor, shutdown: &CancellationToken) {
        spawn_controllers(&self.api, supervisor, shutdown);
        let (listener, tls) = self.secure;
        let mut serve = |listener, router, tls| {
            let stop = shutdown.clone();
            supervisor.spawn("the API server", async move {
                apiserver::serve(listener, router, tls, stop).await.context("serving")
            });
        };
        serve(listener, self.api.router(), Some(tls));
        if let Some(listener) = self.plain {
            serve(listener, self.api.router_as(User::admin("system:unsecured")), None);
        }
    }
}

/// Keeps the nodes and namespaces of an API server in this process tidy.
pub fn spawn_controllers(api: &ApiServer, supervisor: &mut Supervisor, shutdown: &CancellationToken) {
    let (client, stop) = (in_process(api, "system:kube-controller-manager"), shutdown.clone());
    supervisor.spawn("the controllers", async move {
        Ok(controllers::run(client, controllers::Config::default(), stop).await?)
    });
}

/// A client of an API server in this process, under the name of a component.
pub fn in_process(api: &ApiServer, component: &'static str) -> kube::Client {
    kube::Client::new(api.router_as(User::admin(component)), "default")
}

/// A listener, or whose flag must change.
pub async fn listen(address: SocketAddr, flag: &str) -> Result<TcpListener> {
    TcpListener::bind(address).await.with_context(|| {
        format!("cannot listen on {address} (perhaps another reconcile or Kubernetes does); choose another with {flag}")
    })
}

/// An address that a client on this machine can use.
fn reachable(address: SocketAddr) -> SocketAddr {
    match address.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => SocketAddr::from((Ipv4Addr::LOCALHOST, address.port())),
        IpAddr::V6(ip) if ip.is_unspecified() => SocketAddr::from((std::net::Ipv6Addr::LOCALHOST, address.port())),
        _ => address,
    }
}
