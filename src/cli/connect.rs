//! Finds the API server to talk to: the one named by flags, or the one of a data directory if it answers.

use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Client, Config};

use super::args::ConnectionArgs;
use super::data_dir::DataDir;
use crate::client::Told;

/// How long the API server of the data directory may take to answer before it counts as stopped.
const ANSWER_SECONDS: u64 = 3;

/// The configuration of a kubeconfig file, or of a URL alone, or of both: the file's credentials for the URL.
pub async fn config(server: Option<&str>, kubeconfig: Option<&Path>) -> Result<Config> {
    let url = server.map(|server| {
        server
            .parse::<http::Uri>()
            .with_context(|| format!("--server {server}: not a URL"))
    });
    let url = url.transpose()?;
    let Some(path) = kubeconfig else {
        let url = url.context("neither --server nor --kubeconfig is given")?;
        anyhow::ensure!(
            matches!(url.scheme_str(), Some("http" | "https")),
            "--server {url}: the URL must begin with http:// or https://"
        );
        return Ok(Config::new(url));
    };
    // Looked at first: what cannot be read at all is said in one breath.
    std::fs::File::open(path).with_context(|| format!("cannot read the kubeconfig {}", path.display()))?;
    let parsed = Kubeconfig::read_from(path).with_context(|| format!("{} is no kubeconfig", path.display()))?;
    let mut config = Config::from_custom_kubeconfig(parsed, &KubeConfigOptions::default())
        .await
        .with_context(|| format!("the kubeconfig {} cannot be used", path.display()))?;
    if let Some(url) = url {
        config.cluster_url = url;
    }
    Ok(config)
}

/// The configuration that the flags name, or else that of the data directory's kubeconfig, or else of `KUBECONFIG`.
pub async fn named(args: &ConnectionArgs, data: &DataDir) -> Result<Config> {
    let default = data.kubeconfig();
    // As kubectl, which reads the first file of the list that is there.
    let exported = std::env::var_os("KUBECONFIG").unwrap_or_default();
    let exported = std::env::split_paths(&exported).find(|path| path.is_file());
    let kubeconfig = match (&args.kubeconfig, &args.server) {
        (Some(path), _) => Some(path.clone()),
        (None, Some(_)) => None,
        (None, None) if default.is_file() => Some(default),
        (None, None) if exported.is_some() => exported,
        (None, None) => bail!(
            "no API server is known: {} is not there; is `reconcile` running? Else give --kubeconfig or --server",
            default.display()
        ),
    };
    config(args.server.as_deref(), kubeconfig.as_deref()).await
}

/// A client whose calls bear `component` as field manager and user agent.
pub fn client(config: Config) -> Result<Client> {
    Client::try_from(config).context("cannot make a client of the API server")
}

/// A client of an API server that answers.
///
/// # Errors
/// Where it does not; an answer that refuses us is an answer.
pub async fn answering(config: Config) -> Result<Client> {
    let url = config.cluster_url.clone();
    let client = client(config)?;
    let request = http::Request::get("/readyz").body(Vec::new())?;
    match tokio::time::timeout(Duration::from_secs(ANSWER_SECONDS), client.request_text(request)).await {
        Ok(Ok(_) | Err(kube::Error::Api(_))) => Ok(client),
        Ok(Err(error)) => Err(anyhow::Error::new(error).context(format!(
            "the API server {url} cannot be reached (is `reconcile` running?)"
        ))),
        Err(_) => bail!("the API server {url} did not answer within {ANSWER_SECONDS} s (is `reconcile` running?)"),
    }
}

/// A client of the API server of this kubeconfig if the file is there and the server answers in time.
pub async fn if_it_answers(kubeconfig: &Path) -> Option<Client> {
    let config = config(None, Some(kubeconfig)).await.ok()?;
    answering(config)
        .await
        .inspect_err(|error| tracing::debug!(error = %Told(error.as_ref()), "the data directory's API server"))
        .ok()
}

/// The certificate authorities of a configuration, as one PEM text.
pub fn authorities_pem(config: &Config) -> Option<String> {
    use base64::Engine as _;
    let certificates = config.root_cert.as_ref()?;
    let mut text = String::new();
    for der in certificates {
        text.push_str("-----BEGIN CERTIFICATE-----\n");
        let encoded = base64::engine::general_purpose::STANDARD.encode(der);
        for line in encoded.as_bytes().chunks(64) {
            text.push_str(&String::from_utf8_lossy(line));
            text.push('\n');
        }
        text.push_str("-----END CERTIFICATE-----\n");
    }
    Some(text)
}
