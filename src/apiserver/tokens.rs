//! Service account tokens: signed by this server, checked without the store. Never decides what a user may do.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

/// Length of a signing key in bytes, that of the hash.
pub const KEY_LENGTH: usize = 32;
/// HMAC's block length for SHA-256.
const BLOCK_LENGTH: usize = 64;
/// Who issues the tokens, as Kubernetes' default.
pub const ISSUER: &str = "https://kubernetes.default.svc";

/// Signs and checks tokens (JWT, HS256).
#[derive(Clone)]
pub struct TokenKey([u8; KEY_LENGTH]);

/// Whom a valid token names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Claims {
    /// The service account's namespace.
    pub namespace: String,
    /// Its name.
    pub service_account: String,
    /// Its uid when the token was made.
    pub uid: String,
    /// The Secret the token lies in; `None` for requested tokens.
    pub secret: Option<String>,
    /// Seconds since 1970 when it ends; `None` is never.
    pub expires: Option<i64>,
}

impl TokenKey {
    /// A key of these bytes.
    pub fn new(bytes: [u8; KEY_LENGTH]) -> Self {
        Self(bytes)
    }

    /// A key nobody else knows; tokens made with it die with the process.
    pub fn random() -> Self {
        Self(rand::random())
    }

    /// The token that says so.
    pub fn sign(&self, claims: &Claims) -> String {
        let mut payload = json!({
            "iss": ISSUER,
            "sub": format!("system:serviceaccount:{}:{}", claims.namespace, claims.service_account),
            "kubernetes.io/serviceaccount/namespace": claims.namespace,
            "kubernetes.io/serviceaccount/service-account.name": claims.service_account,
            "kubernetes.io/serviceaccount/service-account.uid": claims.uid,
        });
        if let Some(secret) = &claims.secret {
            payload["kubernetes.io/serviceaccount/secret.name"] = json!(secret);
        }
        if let Some(expires) = claims.expires {
            payload["exp"] = json!(expires);
        }
        let header = json!({"alg": "HS256", "typ": "JWT"});
        let signed = format!(
            "{}.{}",
            URL_SAFE_NO_PAD.encode(header.to_string()),
            URL_SAFE_NO_PAD.encode(payload.to_string())
        );
        let signature = URL_SAFE_NO_PAD.encode(self.mac(signed.as_bytes()));
        format!("{signed}.{signature}")
    }

    /// What the token says, where this key signed it and it has not ended.
    pub fn check(&self, token: &str, now_seconds: i64) -> Option<Claims> {
        let (signed, signature) = token.rsplit_once('.')?;
        let signature = URL_SAFE_NO_PAD.decode(signature).ok()?;
        if !equal(&signature, &self.mac(signed.as_bytes())) {
            return None;
        }
        let payload: Value = serde_json::from_slice(&URL_SAFE_NO_PAD.decode(signed.split_once('.')?.1).ok()?).ok()?;
        let text = |name: &str| payload.get(name).and_then(Value::as_str).map(str::to_owned);
        let expires = payload.get("exp").and_then(Value::as_i64);
        if expires.is_some_and(|expires| expires <= now_seconds) {
            return None;
        }
        Some(Claims {
            namespace: text("kubernetes.io/serviceaccount/namespace")?,
            service_account: text("kubernetes.io/serviceaccount/service-account.name")?,
            uid: text("kubernetes.io/serviceaccount/service-account.uid")?,
            secret: text("kubernetes.io/serviceaccount/secret.name"),
            expires,
        })
    }

    /// HMAC-SHA256 (RFC 2104).
    fn mac(&self, message: &[u8]) -> [u8; KEY_LENGTH] {
        let mut block = [0_u8; BLOCK_LENGTH];
        block[..KEY_LENGTH].copy_from_slice(&self.0);
        let pad = |value: u8| block.map(|byte| byte ^ value);
        let inner = Sha256::new().chain_update(pad(0x36)).chain_update(message).finalize();
        Sha256::new()
            .chain_update(pad(0x5c))
            .chain_update(inner)
            .finalize()
            .into()
    }
}

/// Compares without telling by its duration where they differ.
fn equal(one: &[u8], other: &[u8]) -> bool {
    one.len() == other.len()
        && one
            .iter()
            .zip(other)
            .fold(0, |differences, (a, b)| differences | (a ^ b))
            == 0
}

#[cfg(test)]
mod tests {
    use super::*;

    fn claims() -> Claims {
        Claims {
            namespace: "default".into(),
            service_account: "builder".into(),
            uid: "u".into(),
            secret: Some("builder-token-abcde".into()),
            expires: Some(100),
        }
    }

    #[test]
    fn only_ones_own_unexpired_tokens_are_valid() {
        let key = TokenKey::new([7; KEY_LENGTH]);
        let token = key.sign(&claims());
        assert_eq!(key.check(&token, 99), Some(claims()));
        assert_eq!(key.check(&token, 100), None, "expired");
        assert_eq!(TokenKey::random().check(&token, 1), None, "another key");
        assert_eq!(key.check(&token[..token.len() - 1], 1), None, "cut");
        assert_eq!(key.check("a.b.c", 1), None);
        assert_eq!(key.check("", 1), None);
    }

    #[test]
    fn the_mac_is_that_of_rfc_4231() {
        // Test case 1: the key is 20 bytes of 0x0b, which zero padding makes the same as a 32-byte key ending in zeros.
        let mut bytes = [0; KEY_LENGTH];
        bytes[..20].fill(0x0b);
        let mac = TokenKey::new(bytes).mac(b"Hi There");
        assert_eq!(
            hex::encode(mac),
            "b0344c61d8db38535ca8afceaf0bf12b881dc200c9833da726e9376c2e32cff7"
        );
    }
}
