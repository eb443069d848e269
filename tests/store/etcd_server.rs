//! A real etcd of a test's own: own data, own ports, gone with the value.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use tempfile::TempDir;

/// How long etcd may take to answer, on a machine that builds and tests many things at once.
const START_TIMEOUT: Duration = Duration::from_secs(60);
const POLL_INTERVAL: Duration = Duration::from_millis(20);
/// Another process may take a port between its choice and its use; then others are tried.
const START_TRIES: usize = 5;

/// A running (or killed) etcd.
pub struct EtcdServer {
    process: Option<Child>,
    data: TempDir,
    client_port: u16,
    peer_port: u16,
}

impl EtcdServer {
    /// Starts an empty etcd and waits until it answers.
    pub fn start() -> Self {
        let mut server = Self::prepared();
        for _ in 1..START_TRIES {
            if server.try_start() {
                return server;
            }
            (server.client_port, server.peer_port) = free_ports();
        }
        assert!(server.try_start(), "etcd did not start: {}", server.log());
        server
    }

    /// Data and ports for an etcd, not started yet.
    pub fn prepared() -> Self {
        let (client_port, peer_port) = free_ports();
        Self {
            process: None,
            data: TempDir::new().expect("a temporary directory"),
            client_port,
            peer_port,
        }
    }

    /// Where clients reach it.
    pub fn endpoint(&self) -> String {
        format!("http://127.0.0.1:{}", self.client_port)
    }

    /// Starts it (again) on the same data and ports and waits until it answers.
    pub fn restart(&mut self) {
        assert!(self.try_start(), "etcd did not start: {}", self.log());
    }

    /// Starts it on the same data at another address, where clients of the usual one do not find it;
    /// returns that address. The next `restart` is at the usual one again.
    pub fn restart_elsewhere(&mut self) -> String {
        let usual = std::mem::replace(&mut self.client_port, free_ports().0);
        self.restart();
        let elsewhere = self.endpoint();
        self.client_port = usual;
        elsewhere
    }

    /// Kills it at once, as a crash would.
    pub fn kill(&mut self) {
        if let Some(mut process) = self.process.take() {
            process.kill().expect("etcd can be killed");
            process.wait().expect("a killed etcd ends");
        }
    }

    fn try_start(&mut self) -> bool {
        let program = Path::new(env!("CARGO_MANIFEST_DIR")).join(".tools/bin/etcd");
        assert!(program.exists(), "{} is missing: run scripts/tools", program.display());
        let log = std::fs::OpenOptions::new()
            .create(true)
            .append(true)
            .open(self.data.path().join("log"));
        let log = log.expect("etcd's log can be opened");
        let (client, peer) = (self.endpoint(), format!("http://127.0.0.1:{}", self.peer_port));
        let process = Command::new(program)
            .args(["--name", "test", "--logger", "zap", "--log-level", "warn"])
            .arg("--data-dir")
            .arg(self.data.path().join("data"))
            .args(["--listen-client-urls", &client, "--advertise-client-urls", &client])
            .args(["--listen-peer-urls", &peer, "--initial-advertise-peer-urls", &peer])
            .args(["--initial-cluster", &format!("test={peer}")])
            // A single member need not wait long to elect itself.
            .args(["--heartbeat-interval", "20", "--election-timeout", "200"])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .expect("etcd can be executed");
        self.process = Some(process);
        let started = Instant::now();
        while started.elapsed() < START_TIMEOUT {
            if self.healthy() {
                return true;
            }
            let exited = self
                .process
                .as_mut()
                .and_then(|process| process.try_wait().expect("etcd can be waited for"));
            if exited.is_some() {
                self.process = None;
                return false;
            }
            std::thread::sleep(POLL_INTERVAL);
        }
        false
    }

    fn healthy(&self) -> bool {
        let mut answer = String::new();
        let asked = TcpStream::connect(("127.0.0.1", self.client_port)).and_then(|mut stream| {
            stream.set_read_timeout(Some(Duration::from_secs(5)))?;
            stream.write_all(b"GET /health HTTP/1.0\r\n\r\n")?;
            stream.read_to_string(&mut answer)
        });
        asked.is_ok() && answer.contains("\"health\":\"true\"")
    }

    fn log(&self) -> String {
        std::fs::read_to_string(self.data.path().join("log")).unwrap_or_default()
    }
}

impl Drop for EtcdServer {
    fn drop(&mut self) {
        self.kill();
    }
}

fn free_ports() -> (u16, u16) {
    let listen = || TcpListener::bind(("127.0.0.1", 0)).expect("a free port");
    let port = |listener: &TcpListener| listener.local_addr().expect("a bound address").port();
    let (client, peer) = (listen(), listen());
    (port(&client), port(&peer))
}
