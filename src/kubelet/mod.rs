//! Runs the pods of one node in Docker. Never talks to the API server but through `kube::Client`.
//!
//! ```text
//! API watch ──┐
//! Docker events ─▶ dispatch ─▶ worker (one a pod): observe ▸ plan ▸ act ─▶ Docker
//! timers, probes ┘                         └────────▶ status ▸ report ─▶ API
//! ```
//!
//! What wakes a worker carries no news: it looks at Docker and the pod again and plans from what it sees. [`plan`] and
//! [`status`] are pure; `worker` carries plans out; [`docker`] alone knows the engine's API. Labels on the containers
//! ([`labels`]) hold whatever a restarted kubelet has to know, so that it adopts what runs and repeats nothing.
//!
//! Docker mounts files below [`Config::data_dir`] into the containers. Where the kubelet itself runs in a container,
//! with Docker's socket mounted, that directory has to be mounted at the same path as on the host.

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
mod ooms;
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
