//! What must be signed before it is applied, and by whom.

use k8s_openapi::api::core::v1::SecretReference;
use k8s_openapi::schemars::{self, JsonSchema};
use serde::{Deserialize, Serialize};

/// What can be asked to be signed.
pub const MODES: [&str; 2] = ["Commits", "Tags"];

/// What must be signed before it is applied, and by whom.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
#[schemars(rename = "dev.reconcile.v1.Verification")]
pub struct Verification {
    /// Commits, or Tags: only what an annotated tag leads to that is signed under the very name that is followed.
    pub mode: String,
    /// The Secret with the keys: each value is an allowed_signers file as ssh-keygen(1) describes it, or armoured OpenPGP
    /// public keys.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "SecretReference")]
    pub secret_ref: Option<SecretReference>,
    /// In files, instead of secretRef: the files with such keys.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Vec<String>")]
    pub files: Option<Vec<String>>,
}
