//! What a kubelet is told at start. Reads no environment and no files.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// As many pods a node as Kubernetes allows by default.
pub const DEFAULT_MAX_PODS: u32 = 110;

/// The kubelet's port in Kubernetes.
pub const DEFAULT_PORT: u16 = 10250;

/// Reading a config map a pod twice a minute is no load, and people do not wait much longer for a change.
pub const DEFAULT_REFRESH_VOLUMES: Duration = Duration::from_secs(30);

/// Everything a kubelet needs to know; [`Config::new`] fills in what most nodes want.
#[derive(Clone, Debug)]
pub struct Config {
    /// The node's name: pods with this `spec.nodeName` are ours.
    pub node_name: String,
    /// Tells clusters apart that share one Docker; part of every container's labels.
    pub cluster: String,
    /// Volumes, `/etc/hosts` files and termination messages live in `pods/<uid>` below it. Docker mounts
    /// these paths, so where the kubelet itself runs in a container the directory must have the same path on the host.
    pub data_dir: PathBuf,
    /// `unix:///var/run/docker.sock`, `tcp://…` or a path.
    pub docker_host: String,
    /// Where the log server listens (port 0 picks one); what was bound is published in the node's daemonEndpoints.
    pub bind: SocketAddr,
    /// PEM of the CA whose client certificates may read logs; without one nobody may.
    pub client_ca: Option<String>,
    /// The node's InternalIP; found from the routing table where absent.
    pub node_ip: Option<IpAddr>,
    /// A sandbox image to use in place of the built-in one.
    pub pause_image: Option<String>,
    /// The Docker network that pods join.
    pub network: String,
    /// The cgroup below which Docker puts the containers; Docker's own where absent.
    pub cgroup_parent: Option<String>,
    /// Further labels for every container and volume.
    pub container_labels: BTreeMap<String, String>,
    /// The most pods this node offers to run.
    pub max_pods: u32,
    /// How often the files of volumes made from API objects are brought up to date.
    pub refresh_volumes: Duration,
}

impl Config {
    /// The usual configuration of a node.
    pub fn new(node_name: impl Into<String>, data_dir: impl Into<PathBuf>) -> Self {
        Self {
            node_name: node_name.into(),
            cluster: "default".into(),
            data_dir: data_dir.into(),
            docker_host: "unix:///var/run/docker.sock".into(),
            bind: SocketAddr::new(IpAddr::V4(Ipv4Addr::UNSPECIFIED), DEFAULT_PORT),
            client_ca: None,
            node_ip: None,
            pause_image: None,
            network: "bridge".into(),
            cgroup_parent: None,
            container_labels: BTreeMap::new(),
            max_pods: DEFAULT_MAX_PODS,
            refresh_volumes: DEFAULT_REFRESH_VOLUMES,
        }
    }

    /// Where the files of all pods live.
    pub fn pods_dir(&self) -> PathBuf {
        self.data_dir.join("pods")
    }

    /// Where the files of one pod live.
    pub fn pod_dir(&self, uid: &str) -> PathBuf {
        debug_assert!(!uid.is_empty() && Path::new(uid).components().count() == 1);
        self.pods_dir().join(uid)
    }
}
