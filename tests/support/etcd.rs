//! A real etcd server of a test's own: started, killed and started again on the same data and port.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use super::process::Process;
use super::{eventually, free_port, tools};

/// How often other ports are tried where another process took one between choosing it and etcd's start.
const ATTEMPTS: usize = 5;

/// A running etcd. Dropping it ends it and removes its data.
pub struct Etcd {
    directory: tempfile::TempDir,
    client: u16,
    peer: u16,
    process: Option<Process>,
}

/// Where data lies: in memory in tests, for they are about us and not about how long a busy disk takes, and on disk where
/// something is measured.
fn directory() -> tempfile::TempDir {
    let memory = Path::new("/dev/shm");
    let made = match cfg!(test) && memory.is_dir() {
        true => tempfile::tempdir_in(memory),
        false => tempfile::tempdir(),
    };
    made.expect("a temporary directory")
}

impl Etcd {
    /// Starts a server with no data.
    #[track_caller]
    pub fn start() -> Etcd {
        for _ in 0..ATTEMPTS {
            let mut etcd = Etcd {
                directory: directory(),
                client: free_port(),
                peer: free_port(),
                process: None,
            };
            if etcd.try_start().is_ok() {
                return etcd;
            }
        }
        panic!("etcd did not start on any of {ATTEMPTS} pairs of ports");
    }

    /// Where clients reach it.
    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.client)
    }

    /// Kills the server; its data stays.
    pub fn kill(&mut self) {
        if let Some(process) = self.process.take() {
            process.kill();
        }
    }

    /// Starts the server again on the same data and ports.
    #[track_caller]
    pub fn restart(&mut self) {
        self.kill();
        if let Err(output) = self.try_start() {
            panic!("etcd did not start again:\n{output}");
        }
    }

    /// Every key, in order.
    #[track_caller]
    pub fn keys(&self) -> Vec<String> {
        let url = self.url();
        let runtime = tokio::runtime::Runtime::new().expect("a runtime");
        runtime.block_on(async {
            let mut client = etcd_client::Client::connect([url], None).await.expect("etcd answers");
            let options = etcd_client::GetOptions::new().with_all_keys().with_keys_only();
            let found = client.get("", Some(options)).await.expect("etcd lists its keys");
            let keys = found
                .kvs()
                .iter()
                .map(|pair| pair.key_str().expect("a textual key").to_owned());
            keys.collect()
        })
    }

    /// The revision, which every write counts up.
    #[track_caller]
    pub fn revision(&self) -> i64 {
        let url = self.url();
        let runtime = tokio::runtime::Runtime::new().expect("a runtime");
        runtime.block_on(async {
            let mut client = etcd_client::Client::connect([url], None).await.expect("etcd answers");
            let found = client.get("any", None).await.expect("etcd reads a key");
            found.header().expect("an answer has a header").revision()
        })
    }

    fn try_start(&mut self) -> Result<(), String> {
        let data: PathBuf = self.directory.path().join("data");
        let client = self.url();
        let peer = format!("http://127.0.0.1:{}", self.peer);
        let mut command = Command::new(tools::unpacked("etcd"));
        command
            .env_clear()
            .arg("--data-dir")
            .arg(&data)
            .args(["--name", "test", "--logger", "zap", "--log-level", "error"])
            .args(["--listen-client-urls", &client, "--advertise-client-urls", &client])
            .args(["--listen-peer-urls", &peer, "--initial-advertise-peer-urls", &peer])
            .args(["--initial-cluster", &format!("test={peer}")]);
        let mut process = Process::start(&mut command);
        let address = format!("127.0.0.1:{}", self.client);
        let outcome = eventually("etcd healthy or ended", Duration::from_secs(30), || {
            if !process.is_running() {
                return Ok(Err(process.output()));
            }
            match super::process::http_get(&address, "/health") {
                Ok(answer) if answer.contains("\"true\"") => Ok(Ok(())),
                Ok(answer) => Err(answer),
                Err(error) => Err(error.to_string()),
            }
        });
        self.process = Some(process);
        outcome
    }
}
