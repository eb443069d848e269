//! Finds the API server to talk to: the one named by flags, or the one of a data directory if it answers.

use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, Result};
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Client, Config};

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
    let parsed =
        Kubeconfig::read_from(path).with_context(|| format!("cannot read the kubeconfig {}", path.display()))?;
    let mut config = Config::from_custom_kubeconfig(parsed, &KubeConfigOptions::default())
        .await
        .with_context(|| format!("the kubeconfig {} cannot be used", path.display()))?;
    if let Some(url) = url {
        config.cluster_url = url;
    }
    Ok(config)
}

/// A client whose calls bear `component` as field manager and user agent.
pub fn client(config: Config) -> Result<Client> {
    Client::try_from(config).context("cannot make a client of the API server")
}

/// A client of the API server of this kubeconfig if the file is there and the server answers in time.
pub async fn if_it_answers(kubeconfig: &Path) -> Option<Client> {
    let config = config(None, Some(kubeconfig)).await.ok()?;
    let client = client(config).ok()?;
    let request = http::Request::get("/readyz").body(Vec::new()).ok()?;
    match tokio::time::timeout(Duration::from_secs(ANSWER_SECONDS), client.request_text(request)).await {
        Ok(Ok(_)) => Some(client),
        Ok(Err(error)) => {
            tracing::debug!(%error, "the API server of {} does not answer", kubeconfig.display());
            None
        }
        Err(_) => None,
    }
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
