//! Secrets. An error never shows a value.

use k8s_openapi::ByteString;
use k8s_openapi::api::core::v1::Secret;
use serde_json::Value;

use super::Strategy;
use super::config_map::{DATA_MAX_BYTES, frozen, unchanged, valid_key};
use super::selectable::{Selectable, field};
use crate::object::field_error::{FieldError, Path};
use crate::object::kind::Part;
use crate::object::table::{self, Table};

/// What stands for a value in an error.
const REDACTED: &str = "<secret contents redacted>";
/// The account that a token is of.
const ACCOUNT_ANNOTATION: &str = "kubernetes.io/service-account.name";

/// The rules of Secrets.
pub(in crate::object) struct Secrets;

impl Strategy for Secrets {
    const TABLE: Table = table::SECRETS;

    type Object = Secret;

    /// `stringData` is only written, over `data`.
    fn default(secret: &mut Secret) {
        if let Some(texts) = secret.string_data.take() {
            let data = secret.data.get_or_insert_default();
            data.extend(
                texts
                    .into_iter()
                    .map(|(key, text)| (key, ByteString(text.into_bytes()))),
            );
        }
        secret.type_.get_or_insert_with(|| "Opaque".to_owned());
    }

    fn validate_create(secret: &Secret, errors: &mut Vec<FieldError>) {
        let mut size = 0;
        for (key, ByteString(value)) in secret.data.iter().flatten() {
            valid_key(key, &Path::new("data").key(key), errors);
            size += value.len();
        }
        if size > DATA_MAX_BYTES {
            errors.push(FieldError::too_long(&Path::new("data"), DATA_MAX_BYTES));
        }
        match secret.type_.as_deref().unwrap_or("") {
            "kubernetes.io/service-account-token" => {
                let annotations = secret.metadata.annotations.as_ref();
                if annotations
                    .and_then(|all| all.get(ACCOUNT_ANNOTATION))
                    .is_none_or(String::is_empty)
                {
                    let path = Path::new("metadata.annotations").key(ACCOUNT_ANNOTATION);
                    errors.push(FieldError::required(&path, ""));
                }
            }
            "kubernetes.io/dockerconfigjson" => json_of(secret, ".dockerconfigjson", errors),
            "kubernetes.io/dockercfg" => json_of(secret, ".dockercfg", errors),
            "kubernetes.io/basic-auth" if !has(secret, "username") && !has(secret, "password") => {
                errors.push(FieldError::required(&Path::new("data[username]"), ""));
                errors.push(FieldError::required(&Path::new("data[password]"), ""));
            }
            "kubernetes.io/ssh-auth" => need(secret, "ssh-privatekey", errors),
            "kubernetes.io/tls" => {
                need(secret, "tls.crt", errors);
                need(secret, "tls.key", errors);
            }
            _ => {}
        }
    }

    fn validate_update(secret: &Secret, old: &Secret, _part: Part, errors: &mut Vec<FieldError>) {
        if secret.type_ != old.type_ {
            errors.push(FieldError::invalid(
                &Path::new("type"),
                &secret.type_,
                "field is immutable",
            ));
        }
        if old.immutable == Some(true) {
            frozen(secret.immutable, errors);
            unchanged(&secret.data, &old.data, "data", errors);
        }
        Self::validate_create(secret, errors);
    }

    fn selectable() -> &'static [Selectable] {
        const FIELDS: &[Selectable] = &[field("type", &["/type"])];
        FIELDS
    }
}

fn has(secret: &Secret, key: &str) -> bool {
    secret.data.as_ref().is_some_and(|data| data.contains_key(key))
}

fn need(secret: &Secret, key: &str, errors: &mut Vec<FieldError>) {
    if !has(secret, key) {
        errors.push(FieldError::required(&Path::new("data").key(key), ""));
    }
}

/// That entry must be there and be JSON.
fn json_of(secret: &Secret, key: &str, errors: &mut Vec<FieldError>) {
    need(secret, key, errors);
    if let Some(ByteString(value)) = secret.data.as_ref().and_then(|data| data.get(key))
        && let Err(error) = serde_json::from_slice::<Value>(value)
    {
        let why = format!("is not JSON: line {}, column {}", error.line(), error.column());
        errors.push(FieldError::invalid(&Path::new("data").key(key), REDACTED, why));
    }
}
