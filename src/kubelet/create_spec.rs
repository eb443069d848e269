//! What is asked of Docker when a container is created, in our own words. Plain data.

use std::collections::BTreeMap;

/// A container to create.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct CreateSpec {
    /// Docker's name for it, unique on the engine.
    pub name: String,
    /// An image reference or id that is present.
    pub image: String,
    /// Its labels.
    pub labels: BTreeMap<String, String>,
    /// Replaces the image's entrypoint (and then its command too).
    pub entrypoint: Option<Vec<String>>,
    /// Replaces the image's command.
    pub command: Option<Vec<String>>,
    /// `NAME=value`.
    pub env: Vec<String>,
    /// Replaces the image's working directory.
    pub working_dir: Option<String>,
    /// `uid` or `uid:gid`.
    pub user: Option<String>,
    /// The host name inside; only of a container with its own network.
    pub hostname: Option<String>,
    /// The domain name inside.
    pub domainname: Option<String>,
    /// Whether to attach a terminal.
    pub tty: bool,
    /// Whether to keep standard input open.
    pub stdin: bool,
    /// Whether standard input closes when the first client leaves.
    pub stdin_once: bool,
    /// `bridge`, `host`, `container:<id>`…
    pub network_mode: String,
    /// `shareable`, `host`, `container:<id>`.
    pub ipc_mode: String,
    /// `host`, `container:<id>`, or empty for its own.
    pub pid_mode: String,
    /// Ports to publish on the host.
    pub ports: Vec<PortBinding>,
    /// Directories, files and volumes to mount.
    pub mounts: Vec<Mount>,
    /// Name servers and search domains of its resolv.conf.
    pub dns: Dns,
    /// Limits.
    pub resources: Resources,
    /// Rights.
    pub security: Security,
    /// The cgroup below which it runs.
    pub cgroup_parent: Option<String>,
}

/// A published port.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PortBinding {
    /// The port inside.
    pub container_port: u16,
    /// `tcp`, `udp`, `sctp`.
    pub protocol: String,
    /// The host's address to listen on; empty for all.
    pub host_ip: String,
    /// The port on the host.
    pub host_port: u16,
}

/// Where a mount comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum MountSource {
    /// A path of the host.
    Path(String),
    /// A Docker volume.
    Volume(String),
}

/// Something mounted into a container.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mount {
    /// Where it comes from.
    pub source: MountSource,
    /// The path inside.
    pub target: String,
    /// Whether writes are refused.
    pub read_only: bool,
    /// `rprivate`, `rslave`, `rshared`.
    pub propagation: &'static str,
}

/// Name resolution; empty lists leave Docker's own.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Dns {
    /// Addresses.
    pub servers: Vec<String>,
    /// Search domains.
    pub searches: Vec<String>,
    /// `name` or `name:value`.
    pub options: Vec<String>,
}

/// Limits; 0 leaves Docker's default.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Resources {
    /// Relative weight, 1024 a core.
    pub cpu_shares: i64,
    /// Microseconds of CPU in a period.
    pub cpu_quota: i64,
    /// Microseconds.
    pub cpu_period: i64,
    /// Bytes; swap is limited to the same, so none can be used.
    pub memory_bytes: i64,
    /// Who is killed first for want of memory.
    pub oom_score_adj: i64,
}

/// Rights.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Security {
    /// Whether all rights of the host are granted.
    pub privileged: bool,
    /// Capabilities added.
    pub cap_add: Vec<String>,
    /// Capabilities dropped.
    pub cap_drop: Vec<String>,
    /// Whether the root file system refuses writes.
    pub read_only_root: bool,
    /// Docker's `--security-opt`s.
    pub options: Vec<String>,
    /// Further groups of the process.
    pub groups: Vec<String>,
    /// Kernel parameters of the namespaces; only of a sandbox.
    pub sysctls: BTreeMap<String, String>,
}
