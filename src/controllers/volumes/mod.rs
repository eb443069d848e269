//! Binds claims to volumes, lets go of volumes whose claims are gone, and keeps both for as long as they are in use.
//!
//! [`world`] holds what is known; [`decide`] says what to do over all of it, purely: [`shelf`] finds volumes for claims,
//! [`claims`] and [`reclaim`] decide about the one and the other, [`binding`] says how to go on with a pair,
//! [`protection`] and [`ephemeral`] when claims come and go. `run` feeds the world from watches, `act` writes, each
//! time over what was decided on. Nothing here makes or deletes storage: volumes come from people or from a
//! provisioner of theirs.

mod act;
pub mod binding;
pub mod claims;
pub mod decide;
pub mod ephemeral;
pub mod protection;
pub mod reclaim;
mod run;
pub mod shelf;
#[cfg(test)]
mod tests;
mod words;
pub mod world;

pub(super) use run::run;
