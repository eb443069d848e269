//! Runs the pods of one node in Docker. Never talks to the API server but through `kube::Client`.

mod config;
mod context;
pub mod create_spec;
mod dispatch;
pub mod docker;
mod down;
pub mod events;
pub mod images;
pub mod labels;
pub mod local;
pub mod make;
mod node;
pub mod observed;
pub mod plan;
pub mod pod;
pub mod pods;
mod probes;
mod pull_secrets;
mod run;
mod server;
pub mod sources;
pub mod status;
#[cfg(test)]
mod testing;
pub mod volumes;
mod worker;

pub use config::Config;
pub use down::{Down, down};
pub use run::{Error, run};
