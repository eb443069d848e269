//! Runs the pods of one node in Docker. Never talks to the API server but through `kube::Client`.

mod config;
pub mod create_spec;
pub mod docker;
pub mod labels;
pub mod local;
pub mod observed;
pub mod plan;
pub mod pod;
pub mod status;
#[cfg(test)]
mod testing;

pub use config::Config;
