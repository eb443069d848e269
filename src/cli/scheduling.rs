//! How the scheduler is told what to do: the file of `--scheduler-config`.

use std::path::Path;

use anyhow::{Context as _, Result};

use super::{config_file, node};
use crate::scheduler;
use crate::scheduler::configuration::Configuration;

/// A scheduler of this machine that decides so.
pub fn config(configuration: Configuration) -> scheduler::Config {
    scheduler::Config {
        configuration,
        host: node::host(),
        ..scheduler::Config::default()
    }
}

/// What that file says, or what counts without one.
///
/// # Errors
/// Where it cannot be read; everything that is wrong in it.
pub fn configuration(path: Option<&Path>) -> Result<Configuration> {
    let Some(path) = path else {
        return Ok(Configuration::default());
    };
    let text = config_file::text("--scheduler-config", path)?;
    Configuration::read(&text).with_context(|| format!("--scheduler-config {}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mistakes_name_the_file_and_the_fields() {
        let scratch = tempfile::tempdir().expect("a scratch directory");
        let path = scratch.path().join("scheduler.yaml");
        let head = "apiVersion: kubescheduler.config.k8s.io/v1\nkind: KubeSchedulerConfiguration\n";
        std::fs::write(&path, format!("{head}parallelism: 0\nprofile: []\n")).expect("written");
        let told = format!("{:#}", configuration(Some(&path)).expect_err("wrong"));
        let begin = format!("--scheduler-config {}: 2 mistakes", path.display());
        assert!(told.starts_with(&begin), "{told}");
        assert!(
            told.contains("parallelism: Invalid value: 0") && told.contains("profile: unknown field"),
            "{told}"
        );
        std::fs::write(&path, head).expect("written");
        assert_eq!(configuration(Some(&path)).expect("valid").election.elects, None);
        let missing = scratch.path().join("missing");
        assert!(configuration(Some(&missing)).is_err());
    }
}
