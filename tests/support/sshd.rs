//! A real sshd of a test's own, with its own host key, that lets one key in.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use super::process::{self, Process};
use super::{eventually, free_port, tools};

/// How often other ports are tried where another process took one between choosing it and sshd's start.
const ATTEMPTS: usize = 5;

/// sshd wants a user of its own and a directory of root's, which a machine without it lacks: they are put in place for
/// this process alone, and the machine stays as it is.
const AS_ROOT: &str = r#"
mount -t tmpfs none /run
mkdir -p /run/sshd
getent passwd sshd >/dev/null || mount --bind "$1" /etc/passwd
shift
exec "$@"
"#;

/// A running sshd. Dropping it ends it.
pub struct Sshd {
    directory: tempfile::TempDir,
    pub port: u16,
    process: Option<Process>,
}

impl Sshd {
    /// Starts a server.
    #[track_caller]
    pub fn start() -> Sshd {
        let mut sshd = Sshd {
            directory: tempfile::tempdir().expect("a temporary directory"),
            port: 0,
            process: None,
        };
        sshd.keygen("host", "");
        sshd.keygen("client", "");
        sshd.serve();
        sshd
    }

    /// The user to log in as.
    pub fn user() -> String {
        process::run(Command::new("id").arg("-un"), Duration::from_secs(10))
            .ok()
            .trim()
            .to_owned()
    }

    /// The URL of a repository through that port.
    pub fn url(port: u16, repository: &Path) -> String {
        format!("ssh://{}@127.0.0.1:{port}{}", Sshd::user(), repository.display())
    }

    /// A private key that the server accepts.
    pub fn client_key(&self) -> String {
        std::fs::read_to_string(self.path("client")).expect("a key")
    }

    /// The line by which this server is known.
    pub fn known_host(&self, hosts: &str) -> String {
        let public = std::fs::read_to_string(self.path("host.pub")).expect("a public key");
        format!("{hosts} {public}")
    }

    /// The host key's fingerprint as `ssh-keygen` shows it.
    pub fn fingerprint(&self) -> String {
        let mut command = Command::new(tools::installed("ssh-keygen", "openssh-client"));
        let shown = process::run(command.arg("-lf").arg(self.path("host.pub")), Duration::from_secs(10)).ok();
        shown.split_whitespace().nth(1).expect("a fingerprint").to_owned()
    }

    /// A new key pair under that name; returns the private one.
    #[track_caller]
    pub fn keygen(&self, name: &str, passphrase: &str) -> String {
        for file in [self.path(name), self.path(&format!("{name}.pub"))] {
            if file.exists() {
                std::fs::remove_file(file).expect("removed");
            }
        }
        let mut command = Command::new(tools::installed("ssh-keygen", "openssh-client"));
        command
            .args(["-q", "-t", "ed25519", "-N", passphrase, "-C", "test", "-f"])
            .arg(self.path(name));
        process::run(&mut command, Duration::from_secs(20)).ok();
        std::fs::read_to_string(self.path(name)).expect("a key")
    }

    /// Hides the names in a `known_hosts` text, as `ssh-keygen -H` does.
    pub fn hashed(&self, known_hosts: &str) -> String {
        let file = self.path("to-hash");
        std::fs::write(&file, known_hosts).expect("written");
        let mut command = Command::new(tools::installed("ssh-keygen", "openssh-client"));
        process::run(command.arg("-Hf").arg(&file), Duration::from_secs(10)).ok();
        std::fs::read_to_string(&file).expect("a file")
    }

    /// Lets a key of [`Sshd::keygen`] in, besides those let in before.
    pub fn allow(&self, name: &str) {
        let file = self.path("authorized");
        let before = std::fs::read_to_string(&file).unwrap_or_default();
        let public = std::fs::read_to_string(self.path(&format!("{name}.pub"))).expect("a public key");
        std::fs::write(file, before + &public).expect("written");
    }

    /// The same server with a new host key, on the same port.
    #[track_caller]
    pub fn change_host_key(&mut self) {
        self.stop();
        self.keygen("host", "");
        if let Err(output) = self.try_serve() {
            panic!("sshd did not start again:\n{output}");
        }
    }

    fn stop(&mut self) {
        if let Some(process) = self.process.take() {
            process.kill();
        }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    #[track_caller]
    fn serve(&mut self) {
        self.allow("client");
        let mut outputs = Vec::new();
        for _ in 0..ATTEMPTS {
            self.port = free_port();
            match self.try_serve() {
                Ok(()) => return,
                Err(output) => outputs.push(output),
            }
        }
        panic!("sshd did not start on any of {ATTEMPTS} ports:\n{}", outputs.join("\n"));
    }

    fn try_serve(&mut self) -> Result<(), String> {
        let config = self.path("config");
        let path = std::env::var("PATH").expect("a PATH");
        let text = format!(
            "Port {}\nListenAddress 127.0.0.1\nHostKey {}\nAuthorizedKeysFile {}\nPidFile none\nUsePAM no\n\
             StrictModes no\nPermitRootLogin yes\nPasswordAuthentication no\nKbdInteractiveAuthentication no\n\
             LogLevel VERBOSE\nMaxStartups 100\nSetEnv PATH={path} GIT_CONFIG_GLOBAL=/dev/null\n",
            self.port,
            self.path("host").display(),
            self.path("authorized").display(),
        );
        std::fs::write(&config, text).expect("written");
        let passwd = self.path("passwd");
        let own = std::fs::read_to_string("/etc/passwd").expect("users");
        std::fs::write(&passwd, own + "sshd:x:65533:65534::/run/sshd:/usr/sbin/nologin\n").expect("written");
        let sshd = tools::unpacked("sshd");
        let mut command = match Sshd::user().as_str() {
            "root" => {
                let mut command = Command::new("unshare");
                command
                    .args(["--mount", "sh", "-ec", AS_ROOT, "sh"])
                    .arg(&passwd)
                    .arg(sshd);
                command
            }
            _ => Command::new(sshd),
        };
        command.args(["-D", "-e", "-f"]).arg(&config);
        let mut process = Process::start(tools::with_libraries(&mut command));
        let address = format!("127.0.0.1:{}", self.port);
        let outcome = eventually("sshd listens or ended", Duration::from_secs(20), || {
            if !process.is_running() {
                return Ok(Err(process.output()));
            }
            match process.output().contains("Server listening") {
                true => std::net::TcpStream::connect(&address)
                    .map(|_| Ok(()))
                    .map_err(|error| error.to_string()),
                false => Err(process.output()),
            }
        });
        self.process = Some(process);
        outcome
    }
}
