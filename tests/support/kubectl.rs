//! Stock kubectl, in each version that is at hand.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use serde_json::Value;

use super::process::{self, Ended};
use super::tools;

/// Longer than any command of ours takes, `delete` of a pod with a grace period included.
const TIMEOUT: Duration = Duration::from_secs(90);

/// A kubectl program, the cluster it talks to and its own cache.
#[derive(Clone)]
pub struct Kubectl {
    program: PathBuf,
    kubeconfig: PathBuf,
    cache: PathBuf,
}

impl Kubectl {
    /// Debian's kubectl 1.20.
    #[track_caller]
    pub fn debian(kubeconfig: &Path) -> Kubectl {
        Kubectl::new(tools::unpacked("kubectl-1.20"), kubeconfig)
    }

    /// Debian's 1.20, and the machine's own where it has one.
    #[track_caller]
    pub fn available(kubeconfig: &Path) -> Vec<Kubectl> {
        let mut all = vec![Kubectl::debian(kubeconfig)];
        all.extend(tools::on_path("kubectl").map(|program| Kubectl::new(program, kubeconfig)));
        all
    }

    fn new(program: PathBuf, kubeconfig: &Path) -> Kubectl {
        // Discovery is cached by host and port, and tests use ports again that others used before.
        let cache = kubeconfig.with_file_name("kubectl-cache");
        Kubectl {
            program,
            kubeconfig: kubeconfig.to_owned(),
            cache,
        }
    }

    /// Which program this is, for messages.
    pub fn name(&self) -> String {
        self.program.display().to_string()
    }

    /// Runs it to its end.
    #[track_caller]
    pub fn run(&self, arguments: &[&str]) -> Ended {
        process::run(&mut self.command(arguments), TIMEOUT)
    }

    /// The command, for one that is left running.
    pub fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(&self.program);
        command
            .arg("--kubeconfig")
            .arg(&self.kubeconfig)
            .arg("--cache-dir")
            .arg(&self.cache)
            .args(arguments)
            .env_remove("KUBECONFIG");
        command
    }

    /// Runs it; panics where it fails.
    #[track_caller]
    pub fn ok(&self, arguments: &[&str]) -> String {
        self.run(arguments).ok()
    }

    /// The object or list that `get … -o json` shows; `Err` says why there is none.
    #[track_caller]
    pub fn json(&self, arguments: &[&str]) -> Result<Value, String> {
        let mut all = vec!["get", "-o", "json"];
        all.extend(arguments);
        let ended = self.run(&all);
        if ended.code != Some(0) {
            return Err(ended.stderr);
        }
        Ok(serde_json::from_str(&ended.stdout).unwrap_or_else(|error| panic!("not JSON ({error}): {ended}")))
    }
}
