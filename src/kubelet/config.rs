//! What a kubelet is told at start. Reads no environment and no files.

use std::collections::BTreeMap;
use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// As many pods a node as Kubernetes allows by default.
pub const DEFAULT_MAX_PODS: u32 = 110;

/// The kubelet's port in Kubernetes.
pub const DEFAULT_PORT: u16 = 10250;

/// Reading a config map a pod twice a minute is no load, and people do not wait much longer for a change.
pub const DEFAULT_REFRESH_VOLUMES: Duration = Duration::from_secs(30);

/// The file below the data directory that keeps its cluster id.
const CLUSTER_ID: &str = "cluster-id";

/// Everything a kubelet needs to know; [`Config::new`] fills in what most nodes want.
#[derive(Clone, Debug)]
pub struct Config {
    /// The node's name: pods with this `spec.nodeName` are ours.
    pub node_name: String,
    /// Tells clusters apart that share one Docker; part of every container's labels. Empty stands for an id of the
    /// data directory's own, made on first use: two clusters of one machine have two data directories.
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
            cluster: String::new(),
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

    /// This configuration with an absolute data directory, which exists afterwards, and a cluster id.
    ///
    /// # Errors
    /// Where the data directory cannot be written.
    pub fn settled(mut self) -> io::Result<Self> {
        fs::create_dir_all(self.pods_dir())?;
        // Docker takes only absolute paths.
        self.data_dir = self.data_dir.canonicalize()?;
        if self.cluster.is_empty() {
            self.cluster = cluster_id(&self.data_dir.join(CLUSTER_ID))?;
        }
        Ok(self)
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

/// The id in that file; a new one where there is none. Processes that start together agree on one.
fn cluster_id(path: &Path) -> io::Result<String> {
    let read = || match fs::read_to_string(path)?.trim() {
        "" => Err(io::Error::new(
            io::ErrorKind::InvalidData,
            format!("{} is empty", path.display()),
        )),
        id => Ok(id.to_owned()),
    };
    match read() {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        known => return known,
    }
    // Written whole before it gets its name, so that nobody reads half an id; a name that is taken stays.
    let id = uuid::Uuid::new_v4().simple().to_string();
    let fresh = path.with_extension(&id);
    let mut file = OpenOptions::new().write(true).create_new(true).open(&fresh)?;
    writeln!(file, "{id}")?;
    file.sync_all()?;
    let linked = fs::hard_link(&fresh, path);
    fs::remove_file(&fresh)?;
    match linked {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => Err(error),
        _ => read(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_data_directory_keeps_its_cluster_id() {
        let (one, two) = (
            tempfile::tempdir().expect("a directory"),
            tempfile::tempdir().expect("a directory"),
        );
        let id = |directory: &Path| Config::new("n", directory).settled().expect("settled").cluster;
        assert_eq!(id(one.path()), id(one.path()));
        assert_ne!(id(one.path()), id(two.path()));
        let given = Config {
            cluster: "given".into(),
            ..Config::new("n", one.path())
        };
        assert_eq!(given.settled().expect("settled").cluster, "given");
    }
}
