//! Probes containers and runs their hooks. Reports what it finds; decides nothing.

mod handler;
mod prober;

pub use handler::{Answer, Target, hook};
pub use prober::Probes;
