//! Keeps the status of disruption budgets: how many of their pods are healthy, and how many may go.
//!
//! [`index`] holds budgets and pods and tells which budgets to count, [`count`] counts, both purely; `run` feeds the
//! index from watches and writes what changed over what it was counted from.

pub mod count;
pub mod index;
mod run;

pub(super) use run::run;
