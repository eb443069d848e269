//! Runs the pods of one node in Docker. Never talks to the API server but through `kube::Client`.

mod config;
pub mod create_spec;
pub mod docker;
pub mod events;
pub mod images;
pub mod labels;
pub mod local;
pub mod make;
pub mod observed;
pub mod plan;
pub mod pod;
pub mod sources;
pub mod status;
#[cfg(test)]
mod testing;
pub mod volumes;

pub use config::Config;
