//! Who else is told what becomes of a source.

use k8s_openapi::api::core::v1::SecretReference;
use k8s_openapi::schemars::{self, JsonSchema};
use serde::{Deserialize, Serialize};

/// How notifications can be written.
pub const FORMS: [&str; 4] = ["generic", "slack", "mattermost", "discord"];

/// What notifications can tell of.
pub const EVENTS: [&str; 10] = [
    "Synced",
    "Problem",
    "SyncFailed",
    "Recovered",
    "ApprovalRequired",
    "RolledBack",
    "DriftRepaired",
    "Drifted",
    "Suspended",
    "Resumed",
];

/// What notifications can be limited to.
pub const LEVELS: [&str; 2] = ["info", "error"];

/// Whose API takes commit statuses.
pub const COMMIT_HOSTS: [&str; 3] = ["github", "gitlab", "gitea"];

/// Somebody who is told by HTTP what happens to a source.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
#[schemars(rename = "dev.reconcile.v1.Notification")]
pub struct Notification {
    /// How messages are written: generic (JSON with all there is), slack, mattermost or discord.
    #[serde(rename = "type")]
    pub type_: String,
    /// The Secret with the address as `url` and, where a bearer token is asked for, `token`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "SecretReference")]
    pub secret_ref: Option<SecretReference>,
    /// In files, instead of secretRef: the file with the address.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "String")]
    pub url_file: Option<String>,
    /// In files: the file with the bearer token, where one is asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "String")]
    pub token_file: Option<String>,
    /// What is told: Synced, Problem, SyncFailed, Recovered, ApprovalRequired, RolledBack, DriftRepaired, Drifted,
    /// Suspended, Resumed. All but DriftRepaired if left out.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Vec<String>")]
    pub events: Option<Vec<String>>,
    /// info, or error for only what needs a person: Problem, SyncFailed, ApprovalRequired and RolledBack. info if left out.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "String")]
    pub minimum_level: Option<String>,
}

/// Where commits are shown to be applied.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
#[schemars(rename = "dev.reconcile.v1.CommitStatus")]
pub struct CommitStatus {
    /// github, gitlab or gitea (which is for Forgejo too).
    #[serde(rename = "type")]
    pub type_: String,
    /// Where its API begins, such as `https://git.example.org/api/v1`. `https://api.github.com` or
    /// `https://gitlab.com/api/v4` if left out.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "String")]
    pub url: Option<String>,
    /// `owner/name`; for gitlab the project's path or number.
    pub repository: String,
    /// The Secret with the access token as `token`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "SecretReference")]
    pub secret_ref: Option<SecretReference>,
    /// In files, instead of secretRef: the file with the access token.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "String")]
    pub token_file: Option<String>,
    /// What the status is called. `reconcile/` and the source's name if left out.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "String")]
    pub context: Option<String>,
}
