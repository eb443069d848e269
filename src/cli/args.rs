//! The flags and their environment variables: a contract that scripts rely on.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Parser, Subcommand, ValueEnum};

use crate::gitops::{Budget, OnDrift, Window};
use crate::object::source::duration;

/// GitOps for pods in one binary: commit a manifest, it runs; delete it, it goes.
#[derive(Debug, Parser)]
#[command(
    name = "reconcile",
    version,
    args_conflicts_with_subcommands = true,
    max_term_width = 100
)]
pub struct Cli {
    /// A component to run on its own, or a task.
    #[command(subcommand)]
    pub command: Option<Command>,

    /// What to do without a subcommand.
    #[command(flatten)]
    pub run: RunArgs,
}

impl Cli {
    /// The logging flags of whatever is run.
    pub fn log(&self) -> &LogArgs {
        match &self.command {
            None => &self.run.log,
            Some(Command::Apiserver(args)) => &args.log,
            Some(Command::Scheduler(args)) => &args.log,
            Some(Command::Kubelet(args)) => &args.log,
            Some(Command::Down(args)) => &args.log,
            Some(Command::Status(args)) => &args.source.log,
            Some(Command::Apply(args)) => &args.run.log,
            Some(Command::Sync(args)) => &args.source.log,
            Some(Command::Rollback(args)) => &args.source.log,
            Some(Command::Forget(args)) => &args.log,
            Some(Command::Explain(args)) => &args.log,
            Some(Command::Suspend(args) | Command::Resume(args) | Command::Approve(args) | Command::History(args)) => {
                &args.log
            }
        }
    }
}

/// How many letters may be wrong in a command that was meant.
const TYPOS: usize = 2;

/// How long a command must be for each of them: of a short word too much would be wrong.
const LETTERS_A_TYPO: usize = 3;

/// The command that was probably meant by a word.
pub fn meant(word: &str) -> Option<String> {
    use clap::CommandFactory as _;
    let command = Cli::command();
    let names = command.get_subcommands().map(|command| command.get_name());
    let near = names.map(|name| (typos(word, name), name));
    let near = near.filter(|(typos, name)| *typos <= TYPOS && *typos * LETTERS_A_TYPO <= name.len());
    near.min().map(|(_, name)| name.to_owned())
}

/// How many letters were left out, added, changed or swapped with their neighbour.
fn typos(a: &str, b: &str) -> usize {
    let (a, b): (Vec<char>, Vec<char>) = (a.chars().collect(), b.chars().collect());
    let mut rows = vec![(0..=b.len()).collect::<Vec<usize>>()];
    for i in 1..=a.len() {
        let mut row = vec![i];
        for j in 1..=b.len() {
            let changed = rows[i - 1][j - 1] + usize::from(a[i - 1] != b[j - 1]);
            let mut least = changed.min(rows[i - 1][j] + 1).min(row[j - 1] + 1);
            if i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] {
                least = least.min(rows[i - 2][j - 2] + 1);
            }
            row.push(least);
        }
        rows.push(row);
    }
    rows[a.len()][b.len()]
}

/// One component a process, or a task.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Run only the API server, over HTTPS
    Apiserver(ApiserverArgs),
    /// Run only the scheduler, against the API server of a kubeconfig
    Scheduler(SchedulerArgs),
    /// Run only this node's kubelet, against the API server of a kubeconfig
    Kubelet(KubeletArgs),
    /// Stop and remove this node's pods' containers and sandboxes
    Down(DownArgs),
    /// Show what became of the sources: revision, when it was applied, health, what is wrong
    Status(StatusArgs),
    /// Carry out a plan that --dry-run -o json wrote, and exactly it: with the SOURCE and flags of that dry run. Exit 0 when
    /// all is applied and healthy; 2 when something is wrong, or anything it touches has changed since
    Apply(Box<ApplyArgs>),
    /// Sync a source now; exit 0 when all of it is applied (with --wait: and healthy), 1 when it is applied and did not
    /// become healthy in time, 2 when something is wrong
    Sync(SyncArgs),
    /// Stop the syncs of a source
    Suspend(SourceArgs),
    /// Let the syncs of a source go on, with what it is at where it was rolled back
    Resume(SourceArgs),
    /// Go back to an earlier revision until a newer commit comes; exit 0 when it is applied, 2 when something is wrong
    Rollback(RollbackArgs),
    /// Agree to the deletions of a source that wait because they are many
    Approve(SourceArgs),
    /// Show the revisions of a source that were applied, the newest first
    History(SourceArgs),
    /// Forget a source that nobody follows: what is known of it goes, and the objects that it made stay
    Forget(ForgetArgs),
    /// Show why a pod is on its node or on none: what each node is worth or what keeps the pod out, and what would have to
    /// change; exit 1 when there is no such pod
    Explain(ExplainArgs),
}

/// Everything in one process, or only the reconciler where an API server is named.
#[derive(Debug, Args)]
pub struct RunArgs {
    /// A directory, a git work tree, a bare repository or a git URL
    #[arg(default_value = ".", env = "RECONCILE_SOURCE")]
    pub source: String,

    /// Follow the sources in this file instead of SOURCE: manifests of kind Source, group reconcile.dev/v1, one a document
    #[arg(long, value_name = "FILE", env = "RECONCILE_CONFIG", conflicts_with_all = ["source", "reference", "semver", "credentials", "path", "ignore", "submodules", "schedule", "sync_window", "no_prune", "drift", "rollback", "health_timeout", "verify_commits", "verify_tags", "notify"])]
    pub config: Option<PathBuf>,

    /// Print what would change, change nothing; exit 0 same, 1 differs, 2 error
    #[arg(long, env = "RECONCILE_DRY_RUN", conflicts_with = "once")]
    pub dry_run: bool,

    /// Sync once, wait until what was applied is healthy; exit 0 or 2
    #[arg(long, env = "RECONCILE_ONCE")]
    pub once: bool,

    /// How long --once waits for health
    #[arg(long, value_name = "DURATION", default_value = "5m", value_parser = duration, env = "RECONCILE_TIMEOUT")]
    pub timeout: Duration,

    /// Use this running API server instead of starting one
    #[arg(long, value_name = "URL", env = "RECONCILE_SERVER")]
    pub server: Option<String>,

    /// Use the running API server of this kubeconfig instead of starting one
    #[arg(long, value_name = "FILE", env = "RECONCILE_KUBECONFIG")]
    pub kubeconfig: Option<PathBuf>,

    /// Which branch, tag or commit of the repository
    #[arg(long = "ref", value_name = "REF", env = "RECONCILE_REF")]
    pub reference: Option<String>,

    /// The highest tag in this range of versions, e.g. 1.x, ~1.4 or ">=1.2 <2"; pre-releases only where it names one
    #[arg(long, value_name = "RANGE", env = "RECONCILE_SEMVER", conflicts_with = "reference")]
    pub semver: Option<String>,

    /// Which folder of the source
    #[arg(long, value_name = "DIR", env = "RECONCILE_PATH")]
    pub path: Option<PathBuf>,

    /// What to leave out, as in a .gitignore; may be repeated. What is left out is as if absent: its objects are deleted
    #[arg(long, value_name = "PATTERN", env = "RECONCILE_IGNORE", value_delimiter = ';')]
    pub ignore: Vec<String>,

    /// Read the manifests of git submodules as well, at their places. A login is only for submodules on the same host
    #[arg(long, env = "RECONCILE_SUBMODULES")]
    pub submodules: bool,

    /// What a remote asks for, as files of this directory: username, password, bearerToken, identity, identity.password, known_hosts, ca.crt, proxy
    #[arg(long, value_name = "DIR", env = "RECONCILE_CREDENTIALS")]
    pub credentials: Option<PathBuf>,

    /// How often to poll a remote, and the safety net under file events
    #[arg(long, value_name = "DURATION", default_value = "30s", value_parser = duration, env = "RECONCILE_INTERVAL")]
    pub interval: Duration,

    /// Cron expression for when to sync, instead of --interval: seconds minutes hours days months weekdays; may be repeated
    #[arg(long, value_name = "CRON", env = "RECONCILE_SCHEDULE", value_delimiter = ';')]
    pub schedule: Vec<String>,

    /// When syncs are allowed or denied: "allow 0 0 22 * * * for 8h in Europe/Berlin", "deny ..."; may be repeated
    #[arg(long, value_name = "WINDOW", env = "RECONCILE_SYNC_WINDOW", value_delimiter = ';')]
    pub sync_window: Vec<Window>,

    /// Apply only commits signed with a key of this file: OpenSSH's allowed_signers, or armoured OpenPGP public keys; may be repeated
    #[arg(
        long,
        value_name = "FILE",
        value_delimiter = ',',
        env = "RECONCILE_VERIFY_COMMITS",
        conflicts_with = "verify_tags"
    )]
    pub verify_commits: Vec<PathBuf>,

    /// Apply only what an annotated tag signed with a key of this file leads to; needs --ref with the tag; may be repeated
    #[arg(long, value_name = "FILE", value_delimiter = ',', env = "RECONCILE_VERIFY_TAGS")]
    pub verify_tags: Vec<PathBuf>,

    /// Where webhooks of GitHub, Gitea, Forgejo and GitLab arrive, as POST /webhook/default over plain HTTP
    #[arg(
        long,
        value_name = "ADDRESS:PORT",
        env = "RECONCILE_WEBHOOK_LISTEN",
        requires = "webhook_secret"
    )]
    pub webhook_listen: Option<std::net::SocketAddr>,

    /// The file with the secret that webhooks are signed with
    #[arg(
        long,
        value_name = "FILE",
        env = "RECONCILE_WEBHOOK_SECRET",
        requires = "webhook_listen"
    )]
    pub webhook_secret: Option<PathBuf>,

    /// Where metrics are served for Prometheus, as GET /metrics over plain HTTP and to everybody who reaches it
    #[arg(long, value_name = "ADDRESS:PORT", env = "RECONCILE_METRICS_LISTEN")]
    pub metrics_listen: Option<std::net::SocketAddr>,

    /// Who is told by HTTP what happens to SOURCE: a YAML list of what a Source has as spec.notifications, with urlFile for the address
    #[arg(long, value_name = "FILE", env = "RECONCILE_NOTIFY")]
    pub notify: Option<PathBuf>,

    /// Never delete
    #[arg(long, env = "RECONCILE_NO_PRUNE")]
    pub no_prune: bool,

    /// What is done about a change by another hand: repair undoes it, report only tells it
    #[arg(
        long,
        value_name = "repair|report",
        default_value = "repair",
        env = "RECONCILE_DRIFT"
    )]
    pub drift: OnDrift,

    /// How much may be deleted in one sync before `reconcile approve` is needed: a share of what is owned (where that is more than five objects), a number of objects, or none for no limit
    #[arg(long, value_name = "BUDGET", default_value_t, env = "RECONCILE_PRUNE_BUDGET")]
    pub prune_budget: Budget,

    /// Go back to the last healthy commit where a new one fails, or is not healthy in time, until a newer one comes; git only
    #[arg(long, env = "RECONCILE_ROLLBACK")]
    pub rollback: bool,

    /// How long a commit may take to become healthy before --rollback
    #[arg(long, value_name = "DURATION", default_value = "5m", value_parser = duration, env = "RECONCILE_HEALTH_TIMEOUT")]
    pub health_timeout: Duration,

    /// Where container logs are served to the API server, which alone may read them; a specific address becomes the node's own
    #[arg(
        long,
        value_name = "ADDRESS:PORT",
        default_value = "0.0.0.0:0",
        env = "RECONCILE_KUBELET_LISTEN"
    )]
    pub kubelet_listen: std::net::SocketAddr,

    /// How pods are placed: a KubeSchedulerConfiguration of kubescheduler.config.k8s.io/v1
    #[arg(long, value_name = "FILE", env = "RECONCILE_SCHEDULER_CONFIG", conflicts_with_all = ["server", "kubeconfig"])]
    pub scheduler_config: Option<PathBuf>,

    /// How output that is data is written
    #[arg(short, long, value_enum, default_value_t = Output::Text, env = "RECONCILE_OUTPUT")]
    pub output: Output,

    /// The API server that is started.
    #[command(flatten)]
    pub serving: ServingArgs,

    /// The node that is started.
    #[command(flatten)]
    pub node: NodeArgs,

    /// Where state lies.
    #[command(flatten)]
    pub data: DataArgs,

    /// Logging.
    #[command(flatten)]
    pub log: LogArgs,
}

/// How the API server keeps state and listens.
#[derive(Clone, Debug, Args)]
pub struct ServingArgs {
    /// Keep state in this etcd instead of the embedded store
    #[arg(long, value_name = "URL", value_delimiter = ',', env = "RECONCILE_ETCD")]
    pub etcd: Vec<String>,

    /// Where to serve HTTPS; port 0 takes a free one
    #[arg(
        long,
        value_name = "ADDRESS:PORT",
        default_value = "127.0.0.1:6443",
        env = "RECONCILE_LISTEN"
    )]
    pub listen: std::net::SocketAddr,

    /// Also serve plain HTTP, without authentication, on this port of the loopback address
    #[arg(long, value_name = "PORT", env = "RECONCILE_INSECURE_PORT")]
    pub insecure_port: Option<u16>,
}

/// Which node this is.
#[derive(Clone, Debug, Args)]
pub struct NodeArgs {
    /// This node's name [default: the host name]
    #[arg(long, value_name = "NAME", env = "RECONCILE_NODE_NAME")]
    pub node_name: Option<String>,

    /// An image for pod sandboxes instead of the one carried in the binary
    #[arg(long, value_name = "IMAGE", env = "RECONCILE_PAUSE_IMAGE")]
    pub pause_image: Option<String>,

    /// The Docker Engine to run containers in
    #[arg(
        long,
        value_name = "URL",
        default_value = "unix:///var/run/docker.sock",
        env = "DOCKER_HOST"
    )]
    pub docker_host: String,
}

/// Where state lies.
#[derive(Clone, Debug, Args)]
pub struct DataArgs {
    /// Where state lies [default: $XDG_STATE_HOME/reconcile, or /var/lib/reconcile for root]
    #[arg(long, value_name = "DIR", env = "RECONCILE_DATA_DIR")]
    pub data_dir: Option<PathBuf>,
}

/// What is logged to standard error.
#[derive(Clone, Debug, Args)]
pub struct LogArgs {
    /// Log more: -v what is done, -vv how
    #[arg(short, long, action = clap::ArgAction::Count, env = "RECONCILE_VERBOSE")]
    pub verbose: u8,

    /// How log lines are written
    #[arg(long, value_enum, default_value_t = LogFormat::Text, env = "RECONCILE_LOG_FORMAT")]
    pub log_format: LogFormat,
}

/// `reconcile apiserver`.
#[derive(Debug, Args)]
pub struct ApiserverArgs {
    /// How it keeps state and listens.
    #[command(flatten)]
    pub serving: ServingArgs,
    /// Where state lies.
    #[command(flatten)]
    pub data: DataArgs,
    /// Logging.
    #[command(flatten)]
    pub log: LogArgs,
}

/// How a lone component reaches its API server.
#[derive(Clone, Debug, Args)]
pub struct ConnectionArgs {
    /// The kubeconfig of the API server [default: DATA_DIR/kubeconfig]
    #[arg(long, value_name = "FILE", env = "RECONCILE_KUBECONFIG")]
    pub kubeconfig: Option<PathBuf>,
    /// The URL of the API server, instead of the one in the kubeconfig
    #[arg(long, value_name = "URL", env = "RECONCILE_SERVER")]
    pub server: Option<String>,
}

/// `reconcile scheduler`.
#[derive(Debug, Args)]
pub struct SchedulerArgs {
    /// How pods are placed: a KubeSchedulerConfiguration of kubescheduler.config.k8s.io/v1
    #[arg(long, value_name = "FILE", env = "RECONCILE_SCHEDULER_CONFIG")]
    pub scheduler_config: Option<PathBuf>,
    /// Where metrics are served for Prometheus, as GET /metrics over plain HTTP and to everybody who reaches it
    #[arg(long, value_name = "ADDRESS:PORT", env = "RECONCILE_METRICS_LISTEN")]
    pub metrics_listen: Option<std::net::SocketAddr>,
    /// The API server.
    #[command(flatten)]
    pub connection: ConnectionArgs,
    /// Where state lies.
    #[command(flatten)]
    pub data: DataArgs,
    /// Logging.
    #[command(flatten)]
    pub log: LogArgs,
}

/// `reconcile kubelet`.
#[derive(Debug, Args)]
pub struct KubeletArgs {
    /// The API server.
    #[command(flatten)]
    pub connection: ConnectionArgs,
    /// Where container logs are served to the API server, which alone may read them; a specific address becomes the node's own
    #[arg(
        long,
        value_name = "ADDRESS:PORT",
        default_value = "0.0.0.0:0",
        env = "RECONCILE_KUBELET_LISTEN"
    )]
    pub kubelet_listen: std::net::SocketAddr,
    /// The node.
    #[command(flatten)]
    pub node: NodeArgs,
    /// Where state lies.
    #[command(flatten)]
    pub data: DataArgs,
    /// Logging.
    #[command(flatten)]
    pub log: LogArgs,
}

/// `reconcile down`.
#[derive(Debug, Args)]
pub struct DownArgs {
    /// The node.
    #[command(flatten)]
    pub node: NodeArgs,
    /// Where state lies.
    #[command(flatten)]
    pub data: DataArgs,
    /// Logging.
    #[command(flatten)]
    pub log: LogArgs,
}

/// Which source, of which cluster.
#[derive(Debug, Args)]
pub struct SourceArgs {
    /// The source's name (the last part of its path or URL), path or URL [default: the only one]
    #[arg(value_name = "SOURCE")]
    pub name: Option<String>,
    /// How output is written
    #[arg(short, long, value_enum, default_value_t = Output::Text, env = "RECONCILE_OUTPUT")]
    pub output: Output,
    /// The API server.
    #[command(flatten)]
    pub connection: ConnectionArgs,
    /// Where state lies.
    #[command(flatten)]
    pub data: DataArgs,
    /// Logging.
    #[command(flatten)]
    pub log: LogArgs,
}

/// `reconcile status`.
#[derive(Debug, Args)]
pub struct StatusArgs {
    /// Which source.
    #[command(flatten)]
    pub source: SourceArgs,
    /// Go on, with a line whenever a source's line changes, until Ctrl-C
    #[arg(short, long)]
    pub watch: bool,
}

/// `reconcile sync`.
#[derive(Debug, Args)]
pub struct SyncArgs {
    /// Which source.
    #[command(flatten)]
    pub source: SourceArgs,
    /// Also wait until all of its objects are healthy
    #[arg(long)]
    pub wait: bool,
    /// How long to wait for it
    #[arg(long, value_name = "DURATION", default_value = "5m", value_parser = duration, env = "RECONCILE_TIMEOUT")]
    pub timeout: Duration,
}

/// `reconcile apply`.
#[derive(Debug, Args)]
pub struct ApplyArgs {
    /// The file with the plan; - reads it from the standard input
    #[arg(value_name = "PLAN")]
    pub plan: PathBuf,
    /// What the plan was made of.
    #[command(flatten)]
    pub run: RunArgs,
}

/// `reconcile rollback`.
#[derive(Debug, Args)]
pub struct RollbackArgs {
    /// A revision of `reconcile history`: a hash or the beginning of one; or a branch or tag
    #[arg(value_name = "REV")]
    pub revision: String,
    /// Which source.
    #[command(flatten)]
    pub source: SourceArgs,
    /// How long to wait for it
    #[arg(long, value_name = "DURATION", default_value = "5m", value_parser = duration, env = "RECONCILE_TIMEOUT")]
    pub timeout: Duration,
}

/// `reconcile forget`.
#[derive(Debug, Args)]
pub struct ForgetArgs {
    /// The source's name (the last part of its path or URL), path or URL
    #[arg(value_name = "SOURCE")]
    pub name: String,
    /// How output is written
    #[arg(short, long, value_enum, default_value_t = Output::Text, env = "RECONCILE_OUTPUT")]
    pub output: Output,
    /// The API server.
    #[command(flatten)]
    pub connection: ConnectionArgs,
    /// Where state lies.
    #[command(flatten)]
    pub data: DataArgs,
    /// Logging.
    #[command(flatten)]
    pub log: LogArgs,
}

/// `reconcile explain`.
#[derive(Debug, Args)]
pub struct ExplainArgs {
    /// The pod's name
    #[arg(value_name = "POD")]
    pub pod: String,
    /// Its namespace [default: the one of the kubeconfig's context, or "default"]
    #[arg(short, long, value_name = "NAMESPACE")]
    pub namespace: Option<String>,
    /// Show every node, also in a large cluster
    #[arg(long)]
    pub all: bool,
    /// What the scheduler was told to decide by: a KubeSchedulerConfiguration of kubescheduler.config.k8s.io/v1
    #[arg(long, value_name = "FILE", env = "RECONCILE_SCHEDULER_CONFIG")]
    pub scheduler_config: Option<PathBuf>,
    /// How output is written: text (or table) for people, json and yaml with everything, name for the nodes that fit
    #[arg(short, long, value_enum, default_value_t = Output::Text, env = "RECONCILE_OUTPUT")]
    pub output: Output,
    /// The API server.
    #[command(flatten)]
    pub connection: ConnectionArgs,
    /// Where state lies.
    #[command(flatten)]
    pub data: DataArgs,
    /// Logging.
    #[command(flatten)]
    pub log: LogArgs,
}

/// How data is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Output {
    /// For people.
    #[value(alias = "table")]
    Text,
    /// One JSON document.
    Json,
    /// One YAML document.
    Yaml,
    /// `kind/name`, one a line.
    Name,
}

/// How log lines are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    /// For people.
    Text,
    /// One JSON object a line.
    Json,
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn a_command_that_was_meant() {
        for (word, expected) in [
            ("statsu", Some("status")),
            ("stauts", Some("status")),
            ("histroy", Some("history")),
            ("aprove", Some("approve")),
            ("syn", Some("sync")),
            ("apps", None),
            ("x", None),
            ("example-repo", None),
        ] {
            assert_eq!(meant(word).as_deref(), expected, "{word}");
        }
    }

    #[test]
    fn durations() {
        for (text, seconds) in [
            ("30s", Some(30)),
            ("5m", Some(300)),
            ("1h30m", Some(5400)),
            ("0s", None),
            ("-1s", None),
            ("soon", None),
        ] {
            assert_eq!(
                duration(text).ok().map(|duration| duration.as_secs()),
                seconds,
                "{text}"
            );
        }
    }

    #[test]
    fn a_source_and_a_subcommand_are_told_apart() {
        let cli = Cli::try_parse_from(["reconcile", "example-repo", "--dry-run"]).expect("a source");
        assert!(cli.command.is_none() && cli.run.dry_run && cli.run.source == "example-repo");
        let cli = Cli::try_parse_from(["reconcile", "apiserver", "--listen", "127.0.0.1:0"]).expect("a component");
        assert!(matches!(cli.command, Some(Command::Apiserver(_))));
        assert!(
            Cli::try_parse_from(["reconcile", "--dry-run", "--once"]).is_err(),
            "one or the other"
        );
        assert!(
            Cli::try_parse_from(["reconcile", "--frobnicate"]).is_err(),
            "an unknown flag"
        );
    }
}
