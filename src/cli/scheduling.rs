//! How the scheduler is told what to do: the file of `--scheduler-config`.

use std::path::Path;

use anyhow::{Context as _, Result};

use super::config_file;
use crate::scheduler;
use crate::scheduler::configuration::Configuration;

/// A scheduler of this machine that decides so.
pub fn config(configuration: Configuration) -> scheduler::Config {
    let host = hostname::get().map_or_else(|_| "localhost".to_owned(), |name| name.to_string_lossy().into_owned());
    scheduler::Config {
        configuration,
        host,
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
