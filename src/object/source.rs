//! `Source`: a directory or repository that the cluster is kept like. The one kind that is not of Kubernetes.

mod budget;
mod telling;
pub mod terms;
mod validate;
mod verification;

use k8s_openapi::api::core::v1::SecretReference;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, ObjectMeta};
use k8s_openapi::jiff::Timestamp;
use k8s_openapi::schemars::{self, JsonSchema};
use k8s_openapi::{ClusterResourceScope, ListableResource, Metadata, Resource};
use serde::{Deserialize, Serialize};

pub use budget::Budget;
pub use telling::{COMMIT_HOSTS, CommitStatus, EVENTS, FORMS, LEVELS, Notification};
pub use terms::duration;
pub(in crate::object) use validate::problems;
pub use validate::{HeldBy, validate};
pub use verification::{MODES, Verification};

/// The group of our own kinds.
pub const GROUP: &str = "reconcile.dev";

/// What can be done about changes by other hands.
pub const DRIFTS: [&str; 2] = ["repair", "report"];

/// A directory or repository that the cluster is kept like.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
#[schemars(rename = "dev.reconcile.v1.Source")]
pub struct Source {
    /// Always `reconcile.dev/v1`.
    pub api_version: String,
    /// Always `Source`.
    pub kind: String,
    /// Standard metadata of an object.
    pub metadata: ObjectMeta,
    /// What to follow and how.
    pub spec: SourceSpec,
    /// What became of it.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "SourceStatus")]
    pub status: Option<SourceStatus>,
}

/// What to follow and how.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
#[schemars(rename = "dev.reconcile.v1.SourceSpec")]
pub struct SourceSpec {
    /// A directory, a git work tree, a bare repository or a git URL, as the machine that reconciles sees it.
    pub source: String,
    /// Branch, tag or commit; the repository's HEAD if left out.
    #[serde(rename = "ref", skip_serializing_if = "Option::is_none")]
    #[schemars(with = "String")]
    pub reference: Option<String>,
    /// Instead of ref: a range of versions, whose highest tag is followed, e.g. `1.x` or `>=1.2 <2`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "String")]
    pub semver: Option<String>,
    /// The Secret that says how to log in to the remote and whom to trust there, with the keys username, password,
    /// bearerToken, identity, identity.password, known_hosts, ca.crt and proxy, each optional.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "SecretReference")]
    pub secret_ref: Option<SecretReference>,
    /// Instead of secretRef: a directory with files of these names, on the machine that reconciles.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "String")]
    pub credentials: Option<String>,
    /// What must be signed, and by whom. Whatever else arrives is not applied, and the last verified revision stays.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Verification")]
    pub verify: Option<Verification>,
    /// The folder below the source that holds the manifests; all of it if left out.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "String")]
    pub path: Option<String>,
    /// What is left out below it, as in a `.gitignore`: as if it were absent, so that its objects are deleted.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Vec<String>")]
    pub ignore: Option<Vec<String>>,
    /// Whether the manifests of git submodules are read as well, at their places. False if left out: what came from a
    /// folder that is a submodule now stays.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "bool")]
    pub submodules: Option<bool>,
    /// How often to poll a remote, and the safety net under file events: `30s`, `5m`. 30s if left out.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "String")]
    pub interval: Option<String>,
    /// Cron expressions with seconds that say when to sync, instead of the interval and file events.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Vec<String>")]
    pub schedules: Option<Vec<String>>,
    /// Names of sources that come first: nothing is synced before all they say is applied and healthy.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Vec<String>")]
    pub depends_on: Option<Vec<String>>,
    /// Times in which syncs are allowed or denied. At all times if left out.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Vec<WindowSpec>")]
    pub windows: Option<Vec<WindowSpec>>,
    /// Whether objects that left the source are deleted. True if left out.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "bool")]
    pub prune: Option<bool>,
    /// How much may be deleted in one sync without approval: `50%`, a number of objects, or `none`. 50% if left out.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "String")]
    pub prune_budget: Option<String>,
    /// What is done about a change by another hand: `repair` undoes it, `report` only tells it. repair if left out.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "String")]
    pub drift: Option<String>,
    /// Whether a revision that does not become healthy is gone back from, to the last one that was.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "bool")]
    pub rollback: Option<bool>,
    /// How long a revision may take to become healthy before that: `90s`, `10m`. 5m if left out.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "String")]
    pub health_timeout: Option<String>,
    /// Who is told by HTTP what happens to it.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Vec<Notification>")]
    pub notifications: Option<Vec<Notification>>,
    /// Where its commits are shown to be applied.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "CommitStatus")]
    pub commit_status: Option<CommitStatus>,
    /// Stops all syncs while true.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "bool")]
    pub suspend: Option<bool>,
}

/// A time that comes again and again, in which syncs are allowed or denied. What denies wins.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
#[schemars(rename = "dev.reconcile.v1.Window")]
pub struct WindowSpec {
    /// `allow` or `deny`.
    pub kind: String,
    /// A cron expression with seconds: when it opens.
    pub schedule: String,
    /// How long it is open each time: `8h`, `30m`.
    pub duration: String,
    /// The time zone of the schedule, e.g. `Europe/Berlin`. UTC if left out.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "String")]
    pub time_zone: Option<String>,
}

/// What became of a source.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
#[schemars(rename = "dev.reconcile.v1.SourceStatus")]
pub struct SourceStatus {
    /// Ready: whether the last sync did all that the source says.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Vec<Condition>")]
    pub conditions: Option<Vec<Condition>>,
    /// The generation of the spec that this is about.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "i64")]
    pub observed_generation: Option<i64>,
    /// What was last applied: a commit's hash, or one of a directory's content.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "String")]
    pub revision: Option<String>,
    /// When that last changed anything.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "String")]
    pub synced_at: Option<Timestamp>,
    /// How many objects it owns.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "i64")]
    pub objects: Option<i64>,
}

impl Resource for Source {
    const API_VERSION: &'static str = "reconcile.dev/v1";
    const GROUP: &'static str = GROUP;
    const KIND: &'static str = "Source";
    const VERSION: &'static str = "v1";
    const URL_PATH_SEGMENT: &'static str = "sources";
    type Scope = ClusterResourceScope;
}

impl ListableResource for Source {
    const LIST_KIND: &'static str = "SourceList";
}

impl Metadata for Source {
    type Ty = ObjectMeta;

    fn metadata(&self) -> &ObjectMeta {
        &self.metadata
    }

    fn metadata_mut(&mut self) -> &mut ObjectMeta {
        &mut self.metadata
    }
}

impl Source {
    /// One with that name that follows this.
    pub fn new(name: &str, spec: SourceSpec) -> Self {
        Self {
            api_version: Self::API_VERSION.to_owned(),
            kind: Self::KIND.to_owned(),
            metadata: ObjectMeta {
                name: Some(name.to_owned()),
                ..ObjectMeta::default()
            },
            spec,
            status: None,
        }
    }
}
