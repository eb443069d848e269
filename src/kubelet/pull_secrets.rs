//! Pulls an image with the credentials that the pod's secrets hold.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use k8s_openapi::api::core::v1::{Pod, Secret};
use kube::ResourceExt;
use serde::Deserialize;

use super::context::Context;
use super::docker::{Credentials, DockerError};
use super::images::registry;
use crate::client::Told;

/// The content of a `kubernetes.io/dockerconfigjson` secret.
#[derive(Deserialize)]
struct DockerConfig {
    #[serde(default)]
    auths: BTreeMap<String, Entry>,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Entry {
    username: String,
    password: String,
    auth: String,
    #[serde(rename = "identitytoken")]
    identity_token: String,
}

/// Pulls the image for that pod.
pub(super) async fn pull_for(context: &Context, pod: &Pod, image: &str) -> Result<(), DockerError> {
    let namespace = pod.namespace().unwrap_or_default();
    let references = pod.spec.iter();
    let references = references.flat_map(|spec| spec.image_pull_secrets.iter().flatten());
    let names: Vec<String> = references.map(|reference| reference.name.clone()).collect();
    pull(context, &namespace, &names, image).await
}

/// Pulls the image with the credentials of these secrets of the namespace. One that is missing or unreadable is passed
/// over, as in Kubernetes.
pub(super) async fn pull(
    context: &Context,
    namespace: &str,
    secrets: &[String],
    image: &str,
) -> Result<(), DockerError> {
    let mut credentials = Vec::new();
    for name in secrets {
        match context.sources.secret(namespace, name).await {
            Ok(Some(secret)) => credentials.extend(matching(&secret, registry(image))),
            Ok(None) => tracing::warn!(secret = name, "an image pull secret does not exist"),
            Err(error) => {
                tracing::warn!(secret = name, error = %Told(&error), "an image pull secret could not be read")
            }
        }
    }
    context.images.pull(image, credentials).await
}

/// The secret's credentials for that registry.
fn matching(secret: &Secret, registry: &str) -> Vec<Credentials> {
    let data = |key: &str| secret.data.as_ref().and_then(|data| data.get(key));
    let auths = if let Some(bytes) = data(".dockerconfigjson") {
        serde_json::from_slice::<DockerConfig>(&bytes.0).map(|config| config.auths)
    } else if let Some(bytes) = data(".dockercfg") {
        serde_json::from_slice(&bytes.0)
    } else {
        return Vec::new();
    };
    let auths = match auths {
        Ok(auths) => auths,
        Err(error) => {
            tracing::warn!(%error, secret = secret.name_any(), "an image pull secret is malformed");
            return Vec::new();
        }
    };
    let wanted = auths.into_iter().filter(|(server, _)| host(server) == registry);
    wanted.map(|(server, entry)| credentials(server, entry)).collect()
}

/// The registry's name in a key such as `https://index.docker.io/v1/`.
fn host(server: &str) -> &str {
    let bare = server.split_once("://").map_or(server, |(_, rest)| rest);
    match bare.split('/').next().unwrap_or_default() {
        "index.docker.io" | "registry-1.docker.io" => "docker.io",
        host => host,
    }
}

fn credentials(server: String, entry: Entry) -> Credentials {
    let decoded = BASE64_STANDARD
        .decode(&entry.auth)
        .ok()
        .and_then(|bytes| String::from_utf8(bytes).ok());
    let (username, password) = match decoded.as_deref().and_then(|text| text.split_once(':')) {
        Some((username, password)) if entry.username.is_empty() => (username.to_owned(), password.to_owned()),
        _ => (entry.username, entry.password),
    };
    Credentials {
        username,
        password,
        identity_token: entry.identity_token,
        server,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn secret(text: &str) -> Secret {
        let data = k8s_openapi::ByteString(text.as_bytes().to_vec());
        Secret {
            data: Some(BTreeMap::from([(".dockerconfigjson".to_owned(), data)])),
            ..Secret::default()
        }
    }

    #[test]
    fn finds_the_registrys_credentials() {
        // "dTpw" is base64 of "u:p".
        for (name, text, registry, expected) in [
            (
                "by auth",
                r#"{"auths":{"localhost:5000":{"auth":"dTpw"}}}"#,
                "localhost:5000",
                Some(("u", "p")),
            ),
            (
                "by name",
                r#"{"auths":{"ghcr.io":{"username":"a","password":"b"}}}"#,
                "ghcr.io",
                Some(("a", "b")),
            ),
            (
                "docker hub",
                r#"{"auths":{"https://index.docker.io/v1/":{"auth":"dTpw"}}}"#,
                "docker.io",
                Some(("u", "p")),
            ),
            (
                "another registry",
                r#"{"auths":{"quay.io":{"auth":"dTpw"}}}"#,
                "ghcr.io",
                None,
            ),
            ("malformed", "{", "ghcr.io", None),
        ] {
            let found = matching(&secret(text), registry);
            let found = found
                .first()
                .map(|found| (found.username.as_str(), found.password.as_str()));
            assert_eq!(found, expected, "{name}");
        }
    }
}
