//! A real container registry on loopback, which Docker treats as insecure without being told to.

use std::process::Command;
use std::time::Duration;

use super::process::{Process, http_get};
use super::{docker, eventually, free_port, tools};

/// A running registry. Dropping it ends it and removes its data.
pub struct Registry {
    _directory: tempfile::TempDir,
    port: u16,
    _process: Process,
}

impl Registry {
    /// Starts a registry with no images.
    #[track_caller]
    pub fn start() -> Registry {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let port = free_port();
        let config = directory.path().join("config.yml");
        let text = format!(
            "version: 0.1\nlog: {{level: warn}}\nstorage: {{filesystem: {{rootdirectory: {}}}}}\nhttp: {{addr: '127.0.0.1:{port}'}}\n",
            directory.path().join("images").display()
        );
        std::fs::write(&config, text).expect("the registry's configuration");
        let mut command = Command::new(tools::unpacked("docker-registry"));
        let mut process = Process::start(command.arg("serve").arg(&config));
        eventually("the registry answers", Duration::from_secs(20), || {
            assert!(process.is_running(), "the registry ended:\n{}", process.output());
            let answer = http_get(&format!("127.0.0.1:{port}"), "/v2/").map_err(|error| error.to_string())?;
            answer.contains("200 OK").then_some(()).ok_or(answer)
        });
        Registry {
            _directory: directory,
            port,
            _process: process,
        }
    }

    /// The full name of an image in this registry: `127.0.0.1:PORT/NAME`.
    pub fn name(&self, image: &str) -> String {
        format!("127.0.0.1:{}/{image}", self.port)
    }

    /// Puts a local image there and drops the local tag, so that it has to be pulled; returns the full name.
    #[track_caller]
    pub fn publish(&self, local: &str, image: &str) -> String {
        let name = self.name(image);
        docker::docker(&["tag", local, &name]);
        docker::docker(&["push", "-q", &name]);
        docker::docker(&["rmi", &name]);
        name
    }
}
