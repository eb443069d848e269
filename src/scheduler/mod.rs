//! Chooses a node for each unbound pod. Decides purely; a thin loop feeds it and binds.
//!
//! [`schedule`] decides over a [`Snapshot`] by the rules in [`filter`] and [`score`].

pub mod affinity;
pub mod filter;
pub mod pod;
pub mod refusal;
pub mod resources;
mod schedule;
pub mod score;
pub mod snapshot;

pub use schedule::{Decision, Unschedulable, feasible, schedule};
pub use snapshot::Snapshot;
