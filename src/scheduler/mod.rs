//! Chooses a node for each unbound pod. Decides purely; a thin loop feeds it and binds.
//!
//! [`schedule`] decides over a [`Snapshot`] by the rules in [`filter`] and [`score`]. [`state::State`] holds what is
//! known and says what is next, out of its [`queue`]; [`run`] feeds it from watches and carries out its steps.

pub mod affinity;
mod bind;
pub mod configuration;
mod drive_out;
pub mod explain;
pub mod filter;
mod lead;
pub mod metrics;
pub mod node_rules;
pub mod pod;
pub mod preemption;
pub mod profile;
pub mod queue;
pub mod refusal;
mod report;
mod reserved;
pub mod resources;
mod run;
pub mod sampling;
mod schedule;
pub mod score;
pub mod snapshot;
pub mod spread;
pub mod state;

pub use lead::{Config, run};
pub use run::Error;
pub use schedule::{Decision, Unschedulable, feasible, schedule};
pub use snapshot::Snapshot;
