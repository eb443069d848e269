//! Each namespace's `default` service account, the Secret with an account's token, and what a pod gets of them.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use super::error::ApiError;
use super::record;
use super::registry::{self, Decision, Write, create, find};
use super::server::{Server, now};
use super::tokens::Claims;
use crate::object::Kind;
use crate::store::StoreError;

/// Type of the Secret that holds a token.
const SECRET_TYPE: &str = "kubernetes.io/service-account-token";
/// The account of pods that name none.
const DEFAULT: &str = "default";

/// The row of service accounts.
pub fn kind() -> Result<&'static Kind, ApiError> {
    Kind::find("", "v1", "serviceaccounts")
        .ok_or_else(|| ApiError::Internal("service accounts are not served".to_owned()))
}

/// The row of secrets.
pub fn secrets() -> Result<&'static Kind, ApiError> {
    Kind::find("", "v1", "secrets").ok_or_else(|| ApiError::Internal("secrets are not served".to_owned()))
}

/// Makes a namespace's `default` account and its token where they are missing.
///
/// # Errors
/// Where the store fails.
pub async fn ensure_default(server: &Server, namespace: &str) -> Result<(), ApiError> {
    if find(server, kind()?, Some(namespace), DEFAULT).await?.is_none() {
        let account = json!({
            "apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": DEFAULT},
            "secrets": [{"name": secret_name(DEFAULT)}],
        });
        let now = now();
        let write = Write {
            manager: super::MANAGER,
            subresource: "",
            now: &now,
            dry_run: false,
        };
        // Boxed because creating an object may in turn make what belongs to it.
        match Box::pin(create::create(server, kind()?, Some(namespace), account, write)).await {
            Ok(_) | Err(ApiError::AlreadyExists { .. }) => {}
            Err(error) => return Err(error),
        }
    }
    let account = registry::read(server, kind()?, Some(namespace), DEFAULT).await?;
    ensure_token(server, namespace, account.object).await.map(drop)
}

fn secret_name(account: &str) -> String {
    create::generated(&format!("{account}-token-"))
}

/// The name of the Secret with the account's token, which is made where it is missing.
async fn ensure_token(server: &Server, namespace: &str, mut account: Value) -> Result<String, ApiError> {
    let name = registry::text(&account, "/metadata/name").to_owned();
    if token_secret_of(&account).is_none() {
        let fresh = secret_name(&name);
        let outcome = registry::swap(server, kind()?, Some(namespace), &name, false, |live| {
            if token_secret_of(&live.object).is_some() {
                return Ok(Decision::Keep(live.object));
            }
            let mut object = live.object;
            if !object["secrets"].is_array() {
                object["secrets"] = json!([]);
            }
            if let Some(list) = object["secrets"].as_array_mut() {
                list.push(json!({"name": fresh}));
            }
            Ok(Decision::Write(object))
        })
        .await?;
        account = outcome.object;
    }
    let secret = token_secret_of(&account).unwrap_or_default().to_owned();
    if find(server, secrets()?, Some(namespace), &secret).await?.is_none() {
        create_secret(server, namespace, &account, &secret).await?;
    }
    Ok(secret)
}

/// The Secret of an account that by its name holds a token.
fn token_secret_of(account: &Value) -> Option<&str> {
    let prefix = format!("{}-token-", registry::text(account, "/metadata/name"));
    account["secrets"]
        .as_array()?
        .iter()
        .filter_map(|secret| secret["name"].as_str())
        .find(|name| name.starts_with(&prefix))
}

async fn create_secret(server: &Server, namespace: &str, account: &Value, secret: &str) -> Result<(), ApiError> {
    let (name, uid) = (
        registry::text(account, "/metadata/name"),
        registry::text(account, "/metadata/uid"),
    );
    let token = server.tokens.sign(&Claims {
        namespace: namespace.to_owned(),
        service_account: name.to_owned(),
        uid: uid.to_owned(),
        secret: Some(secret.to_owned()),
        expires: None,
    });
    let object = json!({
        "apiVersion": "v1", "kind": "Secret", "type": SECRET_TYPE,
        "metadata": {
            "name": secret,
            "annotations": {
                "kubernetes.io/service-account.name": name,
                "kubernetes.io/service-account.uid": uid,
            },
        },
        "data": {
            "ca.crt": STANDARD.encode(&server.ca_certificate),
            "namespace": STANDARD.encode(namespace),
            "token": STANDARD.encode(token),
        },
    });
    let now = now();
    let write = Write {
        manager: super::MANAGER,
        subresource: "",
        now: &now,
        dry_run: false,
    };
    match Box::pin(create::create(server, secrets()?, Some(namespace), object, write)).await {
        Ok(_) | Err(ApiError::AlreadyExists { .. }) => Ok(()),
        Err(error) => Err(error),
    }
}

/// A pod's account and the Secret with its token; `None` where there is no such account. What is missing but belongs to
/// every namespace or account is made, except on a dry run.
///
/// # Errors
/// Where the store fails.
pub async fn for_pod(
    server: &Server,
    namespace: &str,
    name: &str,
    dry_run: bool,
) -> Result<Option<(Value, String)>, ApiError> {
    let mut account = find(server, kind()?, Some(namespace), name).await?;
    if account.is_none() && name == DEFAULT && !dry_run {
        ensure_default(server, namespace).await?;
        account = find(server, kind()?, Some(namespace), name).await?;
    }
    let Some(account) = account else { return Ok(None) };
    let secret = match token_secret_of(&account.object) {
        Some(secret) if dry_run => secret.to_owned(),
        None if dry_run => secret_name(name),
        _ => ensure_token(server, namespace, account.object.clone()).await?,
    };
    Ok(Some((account.object, secret)))
}

/// Removes the token Secrets of an account that is gone; its name may come again, its tokens must not.
///
/// # Errors
/// Where the store fails.
pub async fn after_delete(server: &Server, account: &Value) -> Result<(), ApiError> {
    let namespace = registry::text(account, "/metadata/namespace");
    let listed = account["secrets"].as_array();
    for secret in listed
        .into_iter()
        .flatten()
        .filter_map(|secret| secret["name"].as_str())
    {
        let Some(found) = find(server, secrets()?, Some(namespace), secret).await? else {
            continue;
        };
        let owner = &found.object["metadata"]["annotations"]["kubernetes.io/service-account.uid"];
        if found.object["type"] != SECRET_TYPE || *owner != account["metadata"]["uid"] {
            continue;
        }
        match server
            .store
            .delete(&record::key(secrets()?, Some(namespace), secret), found.revision)
            .await
        {
            Ok(_) | Err(StoreError::Conflict { .. }) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(())
}
